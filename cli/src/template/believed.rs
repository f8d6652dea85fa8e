//! What templates are shown while an agent that has just started knows less than it soon will.

use std::collections::BTreeSet;
use std::time::Duration;

use hobnob_api::{
    Instance, Member, MemberPicture, MembersEvent, NodeId, Picture, Reset, WatchEvent,
};
use tokio::time::Instant;

use super::topic::Known;

/// The longest time for which an agent that has just started is not believed when it knows less than the one before.
pub(super) const HELD_FOR: Duration = Duration::from_secs(10);

/// Names something that a watch tells of.
pub(super) type Key = (NodeId, String);

/// What the events of a watch add up to.
pub(super) trait Pictured: Clone + Default {
    /// An event of the watch.
    type Event;

    /// Takes an event. Returns what vanished without being told of.
    fn apply(&mut self, event: &Self::Event) -> Vec<Key>;

    /// All that is there.
    fn keys(&self) -> BTreeSet<Key>;

    /// As templates see it.
    fn known(&self) -> Known;

    /// Whether the agent hears no other member, although it should.
    fn is_isolated(event: &Self::Event) -> bool;
}

impl Pictured for Picture {
    type Event = WatchEvent;

    fn apply(&mut self, event: &WatchEvent) -> Vec<Key> {
        let key = |instance: Instance| (instance.node_id, instance.id);
        self.take(event).into_iter().map(key).collect()
    }

    fn keys(&self) -> BTreeSet<Key> {
        self.instances().map(|instance| (instance.node_id, instance.id.clone())).collect()
    }

    fn known(&self) -> Known {
        Known::instances(self.instances().cloned())
    }

    fn is_isolated(event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Instances(now) => now.isolated,
            WatchEvent::Changes(changes) => changes.isolated,
        }
    }
}

impl Pictured for MemberPicture {
    type Event = MembersEvent;

    fn apply(&mut self, event: &MembersEvent) -> Vec<Key> {
        let key = |member: Member| (member.node_id, String::new());
        self.take(event).into_iter().map(key).collect()
    }

    fn keys(&self) -> BTreeSet<Key> {
        self.members().map(|member| (member.node_id, String::new())).collect()
    }

    fn known(&self) -> Known {
        Known::members(self.members().cloned())
    }

    fn is_isolated(event: &MembersEvent) -> bool {
        match event {
            MembersEvent::Members(now) => now.isolated,
            MembersEvent::MemberChanges(changes) => changes.isolated,
        }
    }
}

/// A picture, and what is shown of it. An agent that has restarted hears of the instances of others within moments, and a file
/// without them would be an outage. So what vanished with a restart is shown for [`HELD_FOR`] more, and the first answer of an
/// agent that hears no other member yet waits as long. It ends early when nothing is missing and the agent hears others.
#[derive(Debug, Default)]
pub(super) struct Believed<P> {
    picture: P,
    /// Whether the agent has told anything.
    is_told: bool,
    held: Option<Held<P>>,
}

#[derive(Debug)]
struct Held<P> {
    until: Instant,
    missing: BTreeSet<Key>,
    /// What is shown meanwhile; `None` when nothing was known before.
    shown: Option<P>,
}

impl<P: Pictured> Believed<P> {
    /// Takes an event of the watch. Returns whether what is shown may differ.
    pub(super) fn take(&mut self, event: &P::Event, reset: Option<Reset>, now: Instant) -> bool {
        let is_first = !std::mem::replace(&mut self.is_told, true);
        let is_other_run = matches!(reset, Some(Reset::OtherRun | Reset::Unknown));
        let before = is_other_run.then(|| self.shown().cloned()).flatten();
        let vanished = self.picture.apply(event);
        let is_isolated = P::is_isolated(event);
        let until = now + HELD_FOR;
        match &mut self.held {
            // A second restart: what the first one made vanish is still shown.
            Some(held) if !vanished.is_empty() => held.missing.extend(vanished),
            None if is_first && is_isolated => {
                self.held = Some(Held { until, missing: BTreeSet::new(), shown: None });
            }
            None if is_other_run && !vanished.is_empty() => {
                let missing = vanished.into_iter().collect();
                self.held = Some(Held { until, missing, shown: before });
            }
            _ => {}
        }
        let Some(held) = &mut self.held else { return true };
        let there = self.picture.keys();
        held.missing.retain(|key| !there.contains(key));
        let is_over = !is_isolated && held.missing.is_empty();
        if is_over {
            self.held = None;
        }
        is_over
    }

    /// When to call [`release`](Self::release).
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.until)
    }

    /// Believes the agent from now on.
    pub(super) fn release(&mut self) {
        self.held = None;
    }

    /// What is known; `None` while nothing is.
    pub(super) fn known(&self) -> Option<Known> {
        self.shown().map(P::known)
    }

    fn shown(&self) -> Option<&P> {
        match &self.held {
            Some(held) => held.shown.as_ref(),
            None => self.is_told.then_some(&self.picture),
        }
    }
}
