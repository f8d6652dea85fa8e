//! The events of the node: they are persisted for the next start, shown to clients, and logged.

use std::time::Duration;

use hobnob_api::{LostTogether, likely_cause};
use hobnob_membership::view::{Member, MemberStatus};
use hobnob_membership::{Event, NodeId, Time, is_probably_a_cut};

use super::losses::HeldLoss;
use super::{Driver, Persist, words};
use crate::clock::wall_clock_ms;
use crate::elsewhere::Requested;
use crate::services::KnownMember;
use crate::translate;

/// Time between two looks for members that the node forgot without an event.
const RECONCILE_EVERY: Duration = Duration::from_secs(5);

impl Driver {
    pub(super) fn take_event(&mut self, event: Event) {
        self.record_event(&event);
        match event {
            Event::Instance(change) => self.writer.apply(change),
            Event::Member(change) => {
                self.note_member(&change.member);
                self.show_member(&change.member);
                self.losses_changed = true;
                self.members_changed = true;
                self.peers.changed();
                self.note_gone(&change.member);
            }
            Event::ForceLeft { node, told_by } => {
                tracing::warn!(
                    node_id = %node,
                    name = words::name_of(&self.node, node),
                    told_by = words::name_of(&self.node, told_by),
                    "an operator forced this member to leave: its instances are gone"
                );
                if self.is_alone() {
                    self.review_isolation();
                }
            }
            Event::Connected => {
                self.joining.connected();
                tracing::info!("in touch with the cluster");
                self.writer.set_isolated(false);
            }
            Event::LostTogether { nodes, of, exited } => {
                let lost = nodes.len();
                let others = if is_probably_a_cut(lost, of) {
                    self.writer.note_lost_together(LostTogether { lost, of, exited });
                    self.show_mass_losses();
                    let members = words::names(&self.node, nodes.iter().copied());
                    let cause = likely_cause(lost, exited);
                    tracing::warn!(members, "lost {lost} of {of} at once: {cause}");
                    self.losses.take_others(&nodes)
                } else {
                    self.losses.take()
                };
                others.iter().for_each(|loss| self.log_loss(loss));
            }
            Event::BackTogether { loss, lost_for } => {
                self.log_returns(&loss, lost_for);
                self.show_mass_losses();
            }
            Event::LinkBroken { node } => {
                self.log_broken_link(node);
                self.show_link(node);
            }
            Event::LinkEnded { node, end } => {
                self.log_end_of_link(node, end);
                self.show_link(node);
            }
            Event::Isolated => {
                // One line tells of all that were lost.
                self.losses.take();
                if self.review_isolation() {
                    tracing::warn!(
                        "this agent hears no other member: it answers from memory until it hears one"
                    );
                } else {
                    tracing::info!("all other members have left");
                }
            }
            Event::DuplicateNodeId { address } => tracing::error!(
                %address,
                "another agent runs under this agent's node id: its data directory is a copy of this one's. That agent gives \
                 way and is silent. Stop it, remove {} and registrations.log from its data directory, and start it \
                 again{}",
                self.entering.identity_files().0,
                self.entering.identity_files().1
            ),
            Event::GaveWay { to } => {
                tracing::error!(
                    %to,
                    "another agent runs under this agent's node id: this data directory is a copy, or was copied. This \
                     agent started later and gives way: it is silent, and answers from memory, until the other is gone. \
                     If this is the copy, stop this agent, remove {} and registrations.log from its data directory, \
                     and start it again{}",
                    self.entering.identity_files().0,
                    self.entering.identity_files().1
                );
                self.writer.set_isolated(true);
            }
            Event::Resumed => {
                tracing::warn!(
                    "the other agent under this agent's node id is gone: this agent joins again"
                );
                // It was isolated because it was silent.
                if self.is_alone() && !self.joining.expects_company() {
                    self.review_isolation();
                }
            }
            Event::NameConflict { other } => {
                let own = *self.node.identity();
                tracing::warn!(
                    name = words::name_of(&self.node, own.node_id),
                    node_id = %own.node_id,
                    address = %own.addr,
                    other_node_id = %other.node_id,
                    other_address = %other.addr,
                    "another living agent has the name of this one: give one of the two another --name"
                );
            }
            Event::OtherCluster { address } => tracing::warn!(
                %address,
                cluster = self.joining.cluster(),
                "an agent of another cluster sends to this one and is ignored: check --cluster and --join of both"
            ),
            Event::OtherSealing { address, is_sealed: true } => tracing::warn!(
                %address,
                "an agent of a sealed cluster sends to this one, whose cluster is clear, and is ignored: give this agent a \
                 token of that cluster, or check --join of both"
            ),
            Event::OtherSealing { address, is_sealed: false } => tracing::warn!(
                %address,
                cluster = self.joining.cluster(),
                "an agent of a clear cluster sends to this one, whose cluster is sealed, and is ignored: give that agent a \
                 token, or check --join of both"
            ),
            Event::Confirmation(outcome) => self.note_confirmation(outcome),
            Event::Requested { request, from, bytes } => {
                self.note_requested(Requested { request, from, bytes });
            }
            Event::Answered { request, result } => self.note_answered(request, result),
            Event::StrongStore { ticket, changes } => self.store_strongly(ticket, changes),
            Event::StrongDone { op, outcome } => self.note_strong_done(op, outcome),
            Event::Voters(chain) => self.note_voters(&chain),
            Event::KeysChanged => self.note_changed_keys(),
            Event::Refused { reason } => self.note_refusal(reason),
            Event::Revoked => self.note_revoked(),
            Event::EpochRaised(epoch) => {
                tracing::info!(%epoch, "epoch raised");
                self.persist(Persist::Epoch(epoch));
            }
            Event::Stalled(time) => tracing::warn!(
                seconds = time.as_secs_f64(),
                "this agent's process stood still, or its host was suspended: peers may have declared it down meanwhile"
            ),
            Event::DeclaredDown(verdict) => tracing::warn!(
                by = words::name_of(&self.node, verdict.accuser),
                cause = %verdict.cause,
                "declared down by a peer; refuting with a new epoch"
            ),
            Event::DatagramsBlocked => tracing::warn!(
                "UDP does not pass between this agent and the members that it watches, but QUIC does: it goes on by QUIC alone, \
                 and learns of changes a second or two later. Open UDP between the ports of --bind"
            ),
            Event::DatagramsPass => tracing::info!("UDP passes again"),
            Event::Welcomed { by } => self.joining.answered(by),
            Event::Left => {
                tracing::info!("left the cluster");
                self.left = true;
            }
            event => self.take_datacenter(&event),
        }
    }

    /// Shows a member that changed.
    pub(super) fn show_member(&self, member: &Member) {
        self.writer.apply_member(member.identity.node_id, self.known_member(member));
    }

    /// Shows all members, if it is time.
    pub(super) fn show_members_if_due(&mut self, now: Time) {
        if now >= self.members_due {
            self.members_due = now + RECONCILE_EVERY;
            self.show_members();
            let members = self.node.members().into_iter();
            self.sights.forget(members.map(|member| member.identity.node_id));
        }
    }

    /// Shows all members that are not gone.
    pub(super) fn show_members(&self) {
        let present = self.node.members().into_iter().filter(|member| !member.status.is_gone());
        let known = present.map(|member| (member.identity.node_id, self.known_member(&member)));
        self.writer.reconcile_members(known.collect());
        self.show_mass_losses();
    }

    fn known_member(&self, member: &Member) -> KnownMember {
        let member_id = member.identity.node_id;
        let down_since = self.node.down_since(member_id);
        let mut member = member.clone();
        // A suspicion is told to nobody: it ends within seconds, one way or the other.
        if member.status == MemberStatus::Suspect {
            member.status = MemberStatus::Alive;
        }
        let shown = translate::member(&self.node, &member, self.clock.now());
        // Times that go on change all the time, and are no news.
        let member = hobnob_api::Member { down_ago_ms: None, link_silent_ms: None, ..shown };
        let link_silent_since = self.link_silent_since(member_id);
        KnownMember { member, down_since, link_silent_since }
    }

    /// Shows whether this agent, which hears no other member, is cut off, and returns that. It is not when all others
    /// left on purpose or were forced to leave. Then nobody is expected at their addresses, after a restart either.
    fn review_isolation(&mut self) -> bool {
        let is_lost = |member: &Member| member.status == MemberStatus::Down;
        let is_cut_off = self.node.members().iter().any(is_lost);
        self.writer.set_isolated(is_cut_off);
        if !is_cut_off {
            self.forget_peers();
        }
        is_cut_off
    }

    /// Logs that an operator pruned members. An agent that remembers no lost member is not cut off from any.
    pub(super) fn note_pruned(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        tracing::info!(count, "an operator dropped members from the memory of this agent");
        self.show_members();
        if self.is_alone() {
            self.review_isolation();
        }
    }

    /// Ends the isolation of this agent if the last member that it had lost is gone for good.
    fn note_gone(&mut self, member: &Member) {
        let is_other = member.identity.node_id != self.node.identity().node_id;
        let has_met_others = self.node.last_contact().is_some();
        if member.status.is_gone() && is_other && has_met_others && self.is_alone() {
            self.review_isolation();
        }
    }

    /// Whether this agent hears no other member, and is not silent itself.
    fn is_alone(&self) -> bool {
        !self.node.is_connected() && !self.node.is_silent()
    }

    /// Logs a change of a member, unless it may be one of many that are lost together.
    fn note_member(&mut self, member: &Member) {
        let id = member.identity.node_id;
        if let Some(before) = self.losses.take_of(id) {
            self.log_loss(&before);
        }
        let reason = words::reason(&self.node, member, self.clock.now());
        let loss = HeldLoss { member: member.clone(), reason, at_ms: wall_clock_ms() };
        let is_here = !self.node.is_elsewhere(id);
        if member.status != MemberStatus::Down || !is_here {
            return self.log_loss(&loss);
        }
        let exited = self.has_exited(id);
        if let Some(loss) = self.losses.lost(loss, exited) {
            self.log_loss(&loss);
        }
    }

    /// Whether a member is down because its process exited.
    pub(super) fn has_exited(&self, node: NodeId) -> bool {
        self.node.belief(node).is_some_and(|belief| belief.verdict.exited)
    }

    /// Writes the losses that turned out to be no event of many.
    pub(super) fn log_held_losses(&mut self) {
        if !self.node.may_lose_more() {
            self.losses.take().iter().for_each(|loss| self.log_loss(loss));
        }
    }

    /// Logs a change of a member. A lost member is a warning, unless this agent may be the one that is cut off.
    fn log_loss(&mut self, loss: &HeldLoss) {
        self.record_member(loss);
        let HeldLoss { member, reason, .. } = loss;
        let Member { identity, node, status } = member;
        let (node_id, address, epoch) = (identity.node_id, identity.addr, identity.epoch);
        let Some(node) = node else {
            // The node record with the name has not arrived yet.
            return tracing::debug!(%node_id, %address, %status, "member");
        };
        let name = &node.name;
        match status {
            MemberStatus::Unreachable => {
                // One line tells of its datacenter.
                tracing::debug!(%node_id, %name, %address, %epoch, %status, "member");
            }
            MemberStatus::Alive if self.node.is_elsewhere(node_id) => {
                // So does one line tell that its datacenter was found.
                tracing::debug!(%node_id, %name, %address, %epoch, %status, "member");
            }
            MemberStatus::Alive | MemberStatus::Suspect => {
                tracing::info!(%node_id, %name, %address, %epoch, %status, "member");
            }
            // The agents of its own datacenter warn of it.
            MemberStatus::Down if self.node.is_connected() && !self.node.is_elsewhere(node_id) => {
                tracing::warn!(%node_id, %name, %address, %epoch, %status, reason, "member");
            }
            MemberStatus::Down
            | MemberStatus::Left
            | MemberStatus::ForceLeft
            | MemberStatus::Replaced
            | MemberStatus::Revoked => {
                tracing::info!(%node_id, %name, %address, %epoch, %status, reason, "member");
            }
        }
    }
}
