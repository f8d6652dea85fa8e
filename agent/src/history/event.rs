//! An event as it is recorded.

use std::fs;
use std::path::PathBuf;

use hobnob_api::EventKind;

use crate::caller::Caller;
use crate::clock::wall_clock_ms;
use crate::storage::{StoredBy, StoredEvent};
use crate::translate::api_node_id;

/// The most bytes of a reason or an output that are kept.
const MAX_WHY_BYTES: usize = 512;
/// The most bytes of a name or a state that are kept.
const MAX_NAME_BYTES: usize = 256;

/// The actor of an event: a client, a file, a check, a peer or this agent.
#[derive(Clone, Debug)]
pub(crate) struct By(StoredBy);

impl By {
    /// This agent itself.
    pub(crate) fn agent() -> Self {
        Self(StoredBy::default())
    }

    /// A health check.
    pub(crate) fn check() -> Self {
        Self::of_kind("check")
    }

    /// Another member.
    pub(crate) fn peer(name: &str) -> Self {
        let member = Some(clipped(name, MAX_NAME_BYTES));
        Self(StoredBy { member, ..Self::of_kind("peer").0 })
    }

    /// A file of definitions.
    pub(crate) fn file(name: &str) -> Self {
        let file = Some(clipped(name, MAX_NAME_BYTES));
        Self(StoredBy { file, ..Self::of_kind("file").0 })
    }

    /// A process that asked over a unix socket.
    pub(crate) fn client(caller: Caller) -> Self {
        let Caller { uid, gid, pid, agent } = caller;
        let is_here = agent.is_none();
        Self(StoredBy {
            uid: Some(uid),
            gid,
            pid,
            program: pid.filter(|_| is_here).and_then(program),
            agent: agent.map(api_node_id),
            ..Self::of_kind("client").0
        })
    }

    fn of_kind(kind: &str) -> Self {
        Self(StoredBy { kind: kind.to_owned(), ..StoredBy::default() })
    }
}

/// The name of the program that a process runs, if the system tells. The kernel answers from memory.
fn program(pid: u32) -> Option<String> {
    let path: PathBuf = ["/proc", &pid.to_string(), "comm"].iter().collect();
    let name = clipped(fs::read_to_string(path).ok()?.trim(), MAX_NAME_BYTES);
    (!name.is_empty()).then_some(name)
}

/// An event, with everything that is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Event(StoredEvent);

impl Event {
    pub(crate) fn new(what: EventKind, by: By) -> Self {
        Self(StoredEvent { what: what.word().to_owned(), by: by.0, ..StoredEvent::default() })
    }

    /// The instance that it concerns.
    pub(crate) fn instance(self, id: &str) -> Self {
        Self(StoredEvent { instance: Some(clipped(id, MAX_NAME_BYTES)), ..self.0 })
    }

    /// The service of that instance, if it is known.
    pub(crate) fn service(self, name: Option<&str>) -> Self {
        Self(StoredEvent { service: name.map(|name| clipped(name, MAX_NAME_BYTES)), ..self.0 })
    }

    pub(crate) fn check(self, name: &str) -> Self {
        Self(StoredEvent { check: Some(clipped(name, MAX_NAME_BYTES)), ..self.0 })
    }

    pub(crate) fn member(self, name: &str) -> Self {
        Self(StoredEvent { member: Some(clipped(name, MAX_NAME_BYTES)), ..self.0 })
    }

    pub(crate) fn datacenter(self, name: &str) -> Self {
        Self(StoredEvent { datacenter: Some(clipped(name, MAX_NAME_BYTES)), ..self.0 })
    }

    /// The state before.
    pub(crate) fn from(self, state: &str) -> Self {
        Self(StoredEvent { from: Some(clipped(state, MAX_NAME_BYTES)), ..self.0 })
    }

    /// The state after.
    pub(crate) fn to(self, state: &str) -> Self {
        Self(StoredEvent { to: Some(clipped(state, MAX_NAME_BYTES)), ..self.0 })
    }

    /// Why, or what was seen: the first line that is not empty.
    pub(crate) fn why(self, text: &str) -> Self {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        Self(StoredEvent { why: line.map(|line| clipped(line, MAX_WHY_BYTES)), ..self.0 })
    }

    /// The event of a moment before, in milliseconds since 1970.
    pub(crate) fn at(self, at_ms: u64) -> Self {
        Self(StoredEvent { at_ms, ..self.0 })
    }

    /// The event: of this moment, unless [`Event::at`] named another.
    pub(super) fn stored(self) -> StoredEvent {
        let at_ms = if self.0.at_ms == 0 { wall_clock_ms() } else { self.0.at_ms };
        StoredEvent { at_ms, ..self.0 }
    }
}

/// A text of at most this length, in one line.
fn clipped(text: &str, max: usize) -> String {
    let text = &text[..text.floor_char_boundary(max)];
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_in_one_line_of_bounded_length() {
        let event = Event::new(EventKind::CheckChanged, By::check()).why("\n 503\u{7}!\nmore");
        assert_eq!(event.0.why.as_deref(), Some("503 !"));
        let long = event.why(&"é".repeat(1_000)).instance(&"é".repeat(1_000));
        assert_eq!(long.0.why.map(|why| why.len()), Some(512));
        assert_eq!(long.0.instance.map(|id| id.len()), Some(256));
    }

    #[test]
    fn the_program_of_a_living_process_is_named() {
        let caller = Caller { uid: 7, gid: Some(8), pid: Some(std::process::id()), agent: None };
        let By(by) = By::client(caller);
        assert!(by.program.is_some_and(|name| !name.is_empty()));
        let elsewhere = Caller { agent: Some(hobnob_membership::NodeId(3)), ..caller };
        assert_eq!(By::client(elsewhere).0.program, None, "that is a process of another host");
    }
}
