//! The whole picture that a watch of members begins with, made in slices, as that of [services](super::building) is.

use std::collections::BTreeMap;
use std::ops::Bound;

use hobnob_api::{Member, Reset};
use hobnob_membership::NodeId;

use super::UNFINISHED;
use super::building::SLICE;
use super::members::{MembersWatch, News, member_bytes};
use crate::budget::{Exhausted, Held};
use crate::queries::members::NameConflicts;
use crate::services::KnownMembers;

/// A whole picture that is not finished.
pub(super) struct BuildingMembers {
    /// The members when it began.
    known: KnownMembers,
    /// The last of them that is done, of this step.
    done: Option<NodeId>,
    step: Step,
    conflicts: NameConflicts,
    /// The members to be told, by name and node id.
    present: BTreeMap<(String, hobnob_api::NodeId), Member>,
    bytes: usize,
    /// The room of `present`.
    held: Held,
    revision: u64,
    reset: Option<Reset>,
}

/// What is done with the members, one step after the other.
enum Step {
    /// Names that several of them have are looked for.
    Compare,
    /// They are shown.
    Show,
}

impl MembersWatch {
    /// Begins the whole picture.
    pub(super) fn begin_whole(
        &mut self,
        reset: Option<Reset>,
    ) -> Result<BuildingMembers, Exhausted> {
        let held = self.allowance.hold(0)?;
        let (known, revision) = self.registry.members();
        self.seen = Some(revision);
        Ok(BuildingMembers {
            known,
            done: None,
            step: Step::Compare,
            conflicts: NameConflicts::default(),
            present: BTreeMap::new(),
            bytes: 0,
            held,
            revision,
            reset,
        })
    }

    /// Makes one slice of the whole picture. The last one prepares the event.
    pub(super) fn build(&mut self, mut building: BuildingMembers) -> Result<(), Exhausted> {
        let now = self.registry.now();
        for _ in 0..SLICE {
            let left = building.done.map_or(Bound::Unbounded, Bound::Excluded);
            let next = building.known.range((left, Bound::Unbounded)).next();
            let Some((node, known)) = next else {
                building.done = None;
                match building.step {
                    Step::Compare => building.step = Step::Show,
                    Step::Show => return self.finish(building),
                }
                continue;
            };
            building.done = Some(*node);
            match building.step {
                Step::Compare => {
                    building.bytes += member_bytes(&known.member);
                    building.conflicts.add(&known.member);
                }
                Step::Show if self.datacenters.contains(&known.member.datacenter) => {
                    let mut member = known.shown(now);
                    building.conflicts.mark(&mut member);
                    building.bytes += member_bytes(&member) + member.name.len();
                    building.present.insert((member.name.clone(), member.node_id), member);
                }
                Step::Show => {}
            }
        }
        building.held.resize(building.bytes)?;
        self.building = Some(building);
        Ok(())
    }

    fn finish(&mut self, building: BuildingMembers) -> Result<(), Exhausted> {
        let BuildingMembers { present, held, revision, reset, .. } = building;
        let present = present.into_values().map(News::Present).collect();
        self.prepare(present, held, (revision, UNFINISHED), Some(reset))
    }
}
