//! The journal: what changed between two looks, in words.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::SystemTime;

use hobnob_api::{Info, Member, MemberStatus, NodeId, ServiceSummary};

use crate::output;

/// The most entries that are kept. The oldest give way.
const MAX_ENTRIES: usize = 500;
/// The most changes of one look that are told one by one. The rest is one entry.
const MAX_AT_ONCE: usize = 20;

/// How much an entry matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Plain,
    Warn,
    Bad,
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: SystemTime,
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// The entries, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: VecDeque<Entry>,
}

impl Journal {
    pub(super) fn add(&mut self, at: SystemTime, tone: Tone, text: impl Into<String>) {
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { at, tone, text: text.into() });
    }

    /// The last entries, the newest first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds the changes between two looks at members.
    pub(super) fn compare_members(&mut self, before: &[Member], now: &[Member], at: SystemTime) {
        let old: BTreeMap<NodeId, &Member> =
            before.iter().map(|member| (member.node_id, member)).collect();
        let mut changes = Vec::new();
        for member in now {
            let name = &member.name;
            match old.get(&member.node_id) {
                None => changes.push((tone_of(member.status), format!("{name} joined"))),
                Some(then) if then.status != member.status => {
                    let word = output::member_status(member.status).0;
                    let was = output::member_status(then.status).0;
                    changes.push((tone_of(member.status), format!("{name} is {word}, was {was}")));
                }
                Some(then) if then.epoch != member.epoch => {
                    changes.push((Tone::Plain, format!("{name} began a new life")));
                }
                Some(_) => {}
            }
        }
        let known: BTreeSet<NodeId> = now.iter().map(|member| member.node_id).collect();
        for member in before.iter().filter(|member| !known.contains(&member.node_id)) {
            changes.push((Tone::Plain, format!("{} is no longer remembered", member.name)));
        }
        self.add_all(changes, at, "members");
    }

    /// Adds the changes between two looks at services.
    pub(super) fn compare_services(
        &mut self,
        before: &[ServiceSummary],
        now: &[ServiceSummary],
        at: SystemTime,
    ) {
        fn key(one: &ServiceSummary) -> (&str, &str) {
            (&one.service, &one.namespace)
        }
        let old: BTreeMap<_, &ServiceSummary> = before.iter().map(|one| (key(one), one)).collect();
        let mut changes = Vec::new();
        for one in now {
            let ServiceSummary { service, healthy, instances, .. } = one;
            match old.get(&key(one)) {
                None => {
                    let text =
                        format!("service {service} is new: {healthy} of {instances} healthy");
                    changes.push((Tone::Good, text));
                }
                Some(then) if (then.healthy, then.instances) != (*healthy, *instances) => {
                    let tone = match healthy {
                        0 => Tone::Bad,
                        healthy if *healthy < then.healthy => Tone::Warn,
                        _ => Tone::Good,
                    };
                    let text = format!(
                        "service {service}: {healthy} of {instances} healthy, was {} of {}",
                        then.healthy, then.instances
                    );
                    changes.push((tone, text));
                }
                Some(_) => {}
            }
        }
        let known: BTreeSet<_> = now.iter().map(key).collect();
        for one in before.iter().filter(|one| !known.contains(&key(one))) {
            changes.push((Tone::Warn, format!("service {} is gone", one.service)));
        }
        self.add_all(changes, at, "services");
    }

    /// Adds the changes of the agent itself.
    pub(super) fn compare_agent(&mut self, before: &Info, now: &Info, at: SystemTime) {
        if before.pid != now.pid {
            self.add(at, Tone::Warn, format!("agent {} restarted (pid {})", now.name, now.pid));
        }
        match (before.isolated, now.isolated) {
            (false, true) => self.add(at, Tone::Bad, "this agent hears no other member"),
            (true, false) => self.add(at, Tone::Good, "this agent hears other members again"),
            _ => {}
        }
        match (before.udp_blocked, now.udp_blocked) {
            (false, true) => {
                self.add(at, Tone::Bad, "UDP is blocked: members answer by QUIC alone");
            }
            (true, false) => self.add(at, Tone::Good, "UDP is no longer blocked"),
            _ => {}
        }
        if before.duplicate.is_none() && now.duplicate.is_some() {
            self.add(at, Tone::Bad, "another agent runs under the node id of this one");
        }
    }

    fn add_all(&mut self, changes: Vec<(Tone, String)>, at: SystemTime, noun: &str) {
        let more = changes.len().saturating_sub(MAX_AT_ONCE);
        for (tone, text) in changes.into_iter().take(MAX_AT_ONCE) {
            self.add(at, tone, text);
        }
        if more > 0 {
            self.add(at, Tone::Plain, format!("{more} more {noun} changed"));
        }
    }
}

/// How much a member with this status matters.
fn tone_of(status: MemberStatus) -> Tone {
    match status {
        MemberStatus::Alive => Tone::Good,
        MemberStatus::Suspect | MemberStatus::Unreachable => Tone::Warn,
        MemberStatus::Down => Tone::Bad,
        MemberStatus::Left
        | MemberStatus::ForceLeft
        | MemberStatus::Replaced
        | MemberStatus::Unknown => Tone::Plain,
    }
}
