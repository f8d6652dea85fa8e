//! Which keys each member holds.

use hobnob_keys::GenerationId;

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::datacenters::table::Entry;
use crate::node::Node;
use crate::node::view::MemberStatus;

/// The keys of a sealed cluster, as far as this node knows who holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The generation that this node seals with; `None` for a newcomer.
    pub present: Option<GenerationId>,
    /// The generation that replaces all others that this node holds. It comes into use ten seconds after it was received.
    pub newest: Option<GenerationId>,
    /// When this life of the node received the newest generation. The start of the node if its disk had it.
    pub newest_since: Option<Time>,
    /// The number of revocations that this node knows.
    pub revocations: usize,
    /// Every other member that is not gone, by id.
    pub members: Vec<MemberKeys>,
    /// Whether a survey is under way.
    pub is_surveying: bool,
}

/// The keys of a member, by what it showed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberKeys {
    /// The member.
    pub node: NodeId,
    /// Its status. A survey asks active members alone.
    pub status: MemberStatus,
    /// When it last showed its keys; `None` if it never did in this life of the node. Nothing is known of it then.
    pub shown_at: Option<Time>,
    /// The generation that it used then.
    pub present: Option<GenerationId>,
    /// Whether it held our newest generation.
    pub has_newest: bool,
    /// Whether it had the same revocations that we have now.
    pub has_revocations: bool,
    /// Whether it trusted the same CA keys that we do now.
    pub has_authorities: bool,
}

impl Node {
    /// The keys of the cluster, and which members hold them; `None` in a clear cluster.
    #[must_use]
    pub fn key_status(&self, now: Time) -> Option<KeyStatus> {
        let guard = self.guard.as_ref()?;
        let (keyring, ours) = (&guard.sealer.keyring, guard.ours());
        let others = self.members().into_iter().skip(1);
        let members = others.filter(|member| !member.status.is_gone()).map(|member| {
            let node = member.identity.node_id;
            let shown = guard.survey.shown(node);
            MemberKeys {
                node,
                status: member.status,
                shown_at: shown.map(|shown| shown.at),
                present: shown.and_then(|shown| shown.generations.first()).copied(),
                has_newest: shown.is_some_and(|shown| ours.has_newest(shown)),
                has_revocations: shown.is_some_and(|shown| ours.has_revocations(shown)),
                has_authorities: shown.is_some_and(|shown| ours.has_authorities(shown)),
            }
        });
        Some(KeyStatus {
            present: keyring.present(now).map(hobnob_keys::Generation::id),
            newest: ours.newest,
            newest_since: keyring.newest_received_at(),
            revocations: guard.revocations().iter().len(),
            members: members.collect(),
            is_surveying: guard.survey.is_under_way(),
        })
    }

    /// Begins to ask all active members which keys they hold, those of other datacenters last.
    pub(in crate::node) fn begin_survey(&mut self, now: Time) {
        let own = self.liveness.members().iter_active().map(|identity| identity.node_id);
        let others = self.wan.table().iter_remote().filter(|entry| entry.is_alive());
        let members = own.chain(others.map(|entry| entry.identity.node_id));
        if let Some(guard) = &mut self.guard {
            guard.survey.begin(members, now);
        }
    }

    /// Asks the next members of a survey. Those that went down meanwhile are not asked.
    pub(super) fn take_survey_step(&mut self, now: Time) {
        let Some(guard) = &mut self.guard else { return };
        for node in guard.take_survey_step(now) {
            let is_active = self.liveness.members().active(node).is_some()
                || self.wan.remote(node).is_some_and(Entry::is_alive);
            if let Some(peer) = self.identity_of(node).filter(|_| is_active) {
                self.run_errand(&peer, now);
            }
        }
    }
}
