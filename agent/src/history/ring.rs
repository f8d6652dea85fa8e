//! The events in memory: two shelves of bounded size, and repetitions that count instead of taking room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hobnob_api::EventKind;

use crate::config::nearest;
use crate::storage::{ReadEvents, Shelf, StoredEvent};

/// The most events of a shelf.
pub(super) const MAX_EVENTS: usize = 4_096;
/// The most bytes of a shelf.
pub(super) const MAX_BYTES: usize = 2 * 1024 * 1024;
/// Events of one kind about one subject that follow each other within [`REPEATS_WITHIN_MS`] and are kept one by one. Further
/// ones count in the last of them, until there is a pause of that time.
pub(super) const KEPT_APART: usize = 8;
/// See [`KEPT_APART`].
pub(super) const REPEATS_WITHIN_MS: u64 = 10 * 60 * 1_000;

/// What is asked of the history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Only events of this service, instance, member or datacenter.
    pub(crate) subject: Option<String>,
    /// Only events since then, in milliseconds since 1970.
    pub(crate) since_ms: u64,
    /// At most so many, the newest.
    pub(crate) limit: usize,
}

/// What was found of it, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) events: Vec<Arc<StoredEvent>>,
    /// Older ones match, too.
    pub(crate) more: bool,
    /// The name that is most like the subject, if none has that.
    pub(crate) nearest: Option<String>,
}

/// A subject, and the kind of events that repeat.
type Subject = (&'static str, String);

/// Events of one subject that follow each other.
#[derive(Debug, Default)]
struct Repeating {
    /// The times of those that were kept apart lately.
    apart: Vec<u64>,
    /// The number of the last that was kept.
    last: u64,
    /// The time of the last of all.
    last_at_ms: u64,
}

/// The events of a shelf, by their numbers.
#[derive(Debug, Default)]
struct Events {
    by_number: BTreeMap<u64, Arc<StoredEvent>>,
    bytes: usize,
}

impl Events {
    fn insert(&mut self, event: StoredEvent) {
        self.bytes += event.bytes();
        if let Some(before) = self.by_number.insert(event.number, Arc::new(event)) {
            self.bytes -= before.bytes();
        }
    }

    /// Drops the oldest events that are too many. Returns their number.
    fn shrink(&mut self) -> u64 {
        let mut dropped = 0;
        while self.by_number.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some((_, event)) = self.by_number.pop_first() else { break };
            self.bytes -= event.bytes();
            dropped += 1;
        }
        dropped
    }
}

/// The events in memory. It has no clock: the time of an event is in it.
#[derive(Debug, Default)]
pub(super) struct Ring {
    shelves: [Events; 2],
    last_number: u64,
    repeating: BTreeMap<Subject, Repeating>,
    /// The events that the files do not have as they are now.
    unwritten: BTreeSet<u64>,
    pub(super) repeated: u64,
    pub(super) forgotten: u64,
}

impl Ring {
    /// A ring with what an earlier life left.
    pub(super) fn of(read: ReadEvents) -> Self {
        let mut ring = Self::default();
        for (events, read) in ring.shelves.iter_mut().zip(read) {
            for event in read.into_values() {
                ring.last_number = ring.last_number.max(event.number);
                events.insert(event);
                events.shrink();
            }
        }
        ring
    }

    pub(super) fn len(&self) -> usize {
        self.shelves.iter().map(|events| events.by_number.len()).sum()
    }

    /// Takes an event, and gives it a number.
    pub(super) fn record(&mut self, event: StoredEvent) {
        let subject = subject_of(&event);
        if let Some(subject) = &subject
            && self.repeats(subject, &event)
        {
            self.repeated += 1;
            return;
        }
        self.last_number += 1;
        let (number, shelf) = (self.last_number, shelf_of(&event));
        if let Some(subject) = subject {
            let repeating = self.repeating.entry(subject).or_default();
            repeating.apart.push(event.at_ms);
            (repeating.last, repeating.last_at_ms) = (number, event.at_ms);
        }
        self.unwritten.insert(number);
        let events = &mut self.shelves[shelf.place()];
        events.insert(StoredEvent { number, ..event });
        self.forgotten += events.shrink();
        self.tidy();
    }

    /// Forgets what belongs to events that are forgotten.
    fn tidy(&mut self) {
        let shelves = &self.shelves;
        let is_kept = |number: &u64| shelves.iter().any(|of| of.by_number.contains_key(number));
        if self.repeating.len() > 4 * MAX_EVENTS {
            self.repeating.retain(|_, repeating| is_kept(&repeating.last));
        }
        if self.unwritten.len() > 4 * MAX_EVENTS {
            self.unwritten.retain(is_kept);
        }
    }

    /// Whether an event repeats what its subject did lately, so that it only counts.
    fn repeats(&mut self, subject: &Subject, event: &StoredEvent) -> bool {
        let Some(repeating) = self.repeating.get_mut(subject) else { return false };
        let is_recent = |at: u64| event.at_ms.saturating_sub(at) <= REPEATS_WITHIN_MS;
        if !is_recent(repeating.last_at_ms) {
            repeating.apart.clear();
        }
        if repeating.apart.len() < KEPT_APART {
            repeating.apart.retain(|at| is_recent(*at));
            return false;
        }
        let events = &mut self.shelves[shelf_of(event).place()];
        let Some(last) = events.by_number.get(&repeating.last) else {
            repeating.apart.clear();
            return false;
        };
        repeating.last_at_ms = event.at_ms;
        let repeats = last.repeats.saturating_add(1);
        let changed = StoredEvent {
            number: last.number,
            at_ms: last.at_ms,
            repeats,
            last_at_ms: event.at_ms,
            ..event.clone()
        };
        events.insert(changed);
        // A line for each doubling is enough; the rest is written at the stop.
        if (repeats + 1).is_power_of_two() {
            self.unwritten.insert(repeating.last);
        }
        self.forgotten += self.shelves[shelf_of(event).place()].shrink();
        true
    }

    /// Takes some events of a shelf that are to be written, oldest first, of so many bytes.
    pub(super) fn take_unwritten(
        &mut self,
        max_bytes: usize,
    ) -> Option<(Shelf, Vec<Arc<StoredEvent>>)> {
        let mut taken: Option<(Shelf, Vec<Arc<StoredEvent>>)> = None;
        let (mut bytes, mut from) = (0, 0);
        while let Some(number) = self.unwritten.range(from..).next().copied() {
            from = number.saturating_add(1);
            let found = Shelf::ALL.into_iter().find_map(|shelf| {
                Some((shelf, self.shelves[shelf.place()].by_number.get(&number)?.clone()))
            });
            // One that is forgotten is not written any more.
            let Some((shelf, event)) = found else {
                self.unwritten.remove(&number);
                continue;
            };
            let (of, events) = taken.get_or_insert((shelf, Vec::new()));
            if *of != shelf {
                continue;
            }
            bytes += event.bytes();
            if bytes > max_bytes && !events.is_empty() {
                break;
            }
            self.unwritten.remove(&number);
            events.push(event);
        }
        taken
    }

    /// Has events written again that the disk did not take.
    pub(super) fn not_written(&mut self, events: &[Arc<StoredEvent>]) {
        self.unwritten.extend(events.iter().map(|event| event.number));
    }

    /// Has every count written.
    pub(super) fn write_counts(&mut self) {
        let of_shelf = |events: &Events| -> Vec<u64> {
            let repeated = events.by_number.values().filter(|event| event.repeats > 0);
            repeated.map(|event| event.number).collect()
        };
        let numbers = self.shelves.iter().flat_map(of_shelf);
        self.unwritten.extend(numbers);
    }

    /// The newest event of all.
    pub(super) fn newest(&self) -> Option<&StoredEvent> {
        let newest = |events: &'_ Events| events.by_number.last_key_value().map(|(at, _)| *at);
        let number = self.shelves.iter().filter_map(newest).max()?;
        self.shelves.iter().find_map(|events| events.by_number.get(&number)).map(|event| &**event)
    }

    /// The newest events that match.
    pub(super) fn find(&self, asked: &Asked) -> Found {
        let newest_first = |events: &'_ Events| -> Vec<Arc<StoredEvent>> {
            let all = events.by_number.values().rev();
            let matching = all.filter(|event| matches(event, asked));
            matching.take(asked.limit.saturating_add(1)).cloned().collect()
        };
        let mut events: Vec<_> = self.shelves.iter().flat_map(newest_first).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.number));
        let more = events.len() > asked.limit;
        events.truncate(asked.limit);
        // A loss is recorded when it is known to be no part of a larger one, with the time at which it happened.
        events.sort_by_key(|event| (event.at_ms, event.number));
        let nearest = match &asked.subject {
            Some(subject) if events.is_empty() => self.nearest(subject),
            _ => None,
        };
        Found { events, more, nearest }
    }

    /// The name that is most like this one, unless an event has that.
    fn nearest(&self, subject: &str) -> Option<String> {
        let all = self.shelves.iter().flat_map(|events| events.by_number.values());
        let names: BTreeSet<&str> = all.flat_map(|event| names_of(event)).collect();
        if names.contains(subject) {
            return None;
        }
        nearest(subject, names).map(str::to_owned)
    }
}

/// The shelf of an event. One of a later version is nothing that this one records.
fn shelf_of(event: &StoredEvent) -> Shelf {
    use EventKind as Kind;
    match EventKind::of_word(&event.what) {
        Kind::CheckChanged
        | Kind::MemberJoined
        | Kind::MemberBack
        | Kind::MembersCame
        | Kind::MemberDown
        | Kind::MembersLost
        | Kind::MembersBack
        | Kind::MemberLeft
        | Kind::MemberReplaced
        | Kind::DatacenterUnreachable
        | Kind::DatacenterReachable
        | Kind::CutOff
        | Kind::LinkBroken
        | Kind::LinkMended
        | Kind::Isolated
        | Kind::Connected
        | Kind::Stalled
        | Kind::DeclaredDown
        | Kind::Duplicate
        | Kind::GaveWay
        | Kind::Resumed => Shelf::Sights,
        _ => Shelf::Acts,
    }
}

/// The subject of an event that may repeat. Orders of operators never count as repetitions.
fn subject_of(event: &StoredEvent) -> Option<Subject> {
    use EventKind as Kind;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (member, datacenter) = (&event.member, &event.datacenter);
    Some(match EventKind::of_word(&event.what) {
        // Another process or file that does the same is another story.
        Kind::Registered | Kind::Changed | Kind::Deregistered => {
            let by = &event.by;
            let by = format!("{} {:?} {:?}", by.kind, by.uid, by.file);
            ("registration", format!("{}\n{by}", text(&event.instance)))
        }
        Kind::CheckChanged => {
            ("check", format!("{}\n{}", text(&event.instance), text(&event.check)))
        }
        Kind::MemberJoined
        | Kind::MemberBack
        | Kind::MemberDown
        | Kind::MemberLeft
        | Kind::MemberReplaced => ("member", text(member)),
        Kind::DatacenterUnreachable | Kind::DatacenterReachable => ("datacenter", text(datacenter)),
        Kind::LinkBroken | Kind::LinkMended => ("link", text(member)),
        Kind::Reloaded | Kind::ReloadFailed => ("reload", text(&event.why)),
        Kind::MembersLost | Kind::MembersBack | Kind::MembersCame => ("members", String::new()),
        Kind::Isolated | Kind::Connected | Kind::CutOff => ("isolation", String::new()),
        Kind::Stalled | Kind::DeclaredDown => ("stall", String::new()),
        Kind::Duplicate | Kind::GaveWay | Kind::Resumed => ("duplicate", String::new()),
        _ => return None,
    })
}

/// The names by which an event is found.
fn names_of(event: &StoredEvent) -> impl Iterator<Item = &str> {
    let names = [&event.service, &event.instance, &event.member, &event.datacenter];
    names.into_iter().flatten().map(String::as_str)
}

fn matches(event: &StoredEvent, asked: &Asked) -> bool {
    let is_meant = |subject: &String| names_of(event).any(|name| name == subject);
    event.at_ms.max(event.last_at_ms) >= asked.since_ms
        && asked.subject.as_ref().is_none_or(is_meant)
}
