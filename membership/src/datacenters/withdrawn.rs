//! Verdicts that their home has withdrawn, and that others still hold.
//!
//! A member can tell others that another one is down, and find at home that it lives: after a cut of one node, or of half a
//! datacenter. At home the verdict is gone with the first sign of life. Elsewhere it is final for that life of the member. So a
//! datacenter that hears from the home that such a member is alive says which verdict it holds, and the home has the member begin a new life.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Wan;
use super::facts::Fact;
use crate::base::datacenter::DatacenterId;
use crate::base::identity::{Identity, NodeId};
use crate::base::limits::MAX_WITHDRAWN;
use crate::base::time::Time;
use crate::wire::{HomeVerdict, RemoteMember};

/// Members are asked to begin a new life at most [`MAX_WITHDRAWN`] times in this time.
const ASKED_WITHIN: Duration = Duration::from_secs(2);

/// What we hold is told for this time after a home told otherwise. Its parts may differ, so it is told to whichever we meet.
const TOLD_FOR: Duration = Duration::from_secs(10);

/// Verdicts that were withdrawn, and what we had our own members do about those on them.
#[derive(Debug, Default)]
pub(super) struct Withdrawn {
    /// Members of other datacenters that we hold down, and when their home told us last that they live.
    elsewhere: BTreeMap<NodeId, Time>,
    /// Members of ours that we asked since `asked_since`.
    asked: usize,
    asked_since: Time,
}

impl Wan {
    /// Notes that the home of a member tells that it lives, if we hold it down in the same life.
    pub(super) fn note_withdrawn(&mut self, member: &RemoteMember, now: Time) {
        let node = member.identity.node_id;
        let Some(entry) = self.table.get(node) else { return };
        if member.verdict == HomeVerdict::Alive
            && entry.verdict == HomeVerdict::Down
            && entry.identity.epoch == member.identity.epoch
            && (self.withdrawn.elsewhere.len() < MAX_WITHDRAWN
                || self.withdrawn.elsewhere.contains_key(&node))
        {
            self.withdrawn.elsewhere.insert(node, now);
        }
    }

    /// The members of a datacenter that it withdrew its verdicts on, as we hold them.
    pub(super) fn withdrawn_of(&mut self, home: DatacenterId, now: Time) -> Vec<RemoteMember> {
        let table = &self.table;
        let is_down = |node| table.get(node).is_some_and(|it| it.verdict == HomeVerdict::Down);
        let elsewhere = &mut self.withdrawn.elsewhere;
        elsewhere.retain(|node, at| is_down(*node) && now.since(*at) < TOLD_FOR);
        let held = elsewhere.keys().filter_map(|node| table.get(*node));
        held.filter(|entry| entry.home == home).map(|entry| table.told(entry)).collect()
    }

    /// Notes that another datacenter holds a member of ours down. If it is alive here in the same life, it is to begin a new one.
    pub(super) fn note_accused(&mut self, member: &RemoteMember, now: Time) {
        let Identity { node_id, epoch, .. } = member.identity;
        let here = self.table.get(node_id).filter(|entry| entry.home == self.own);
        if member.verdict != HomeVerdict::Down
            || !here.is_some_and(|here| here.is_alive() && here.identity.epoch == epoch)
        {
            return;
        }
        let withdrawn = &mut self.withdrawn;
        if now.since(withdrawn.asked_since) >= ASKED_WITHIN {
            (withdrawn.asked, withdrawn.asked_since) = (0, now);
        }
        if withdrawn.asked < MAX_WITHDRAWN {
            withdrawn.asked += 1;
            self.out.tell(Fact::Accused { node: node_id, epoch, accuser: member.accuser });
        }
    }
}
