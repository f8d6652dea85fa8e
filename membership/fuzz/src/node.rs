//! A whole node and a script of what happens to it.
//!
//! A script is a row of steps, each of an operation, a subject, the length of its body and the body: `operation: u8,
//! subject: u8, len: u16 little endian, body`. Bytes that a length promises beyond the end are missing. Any bytes are a
//! script, and a conversation of real nodes can be written as one (`tests/corpus.rs` does).

use std::time::Duration;

use hobnob_membership::record::{Health, Key, Value};
use hobnob_membership::{HoldEnd, HoldId, Input, ReachId, ReachOutcome, StreamId, TcpProbeId};

use super::sealed;
use super::subject::{Subject, identity};

/// A datagram of the messages in the body, from the node that is the subject.
pub const MESSAGES: u8 = 0;
/// The body as a datagram, from the node that is the subject.
pub const DATAGRAM: u8 = 1;
/// A stream is accepted. For streams the subject is a number, with the highest bit set if the peer opened it.
pub const ACCEPTED: u8 = 2;
/// A frame on a stream.
pub const FRAME: u8 = 3;
/// A frame was written to a stream.
pub const WRITTEN: u8 = 4;
/// A stream is closed.
pub const CLOSED: u8 = 5;
/// Time passes: so many microseconds, a `u32` in little endian in the body, up to [`MAX_MICROS`].
pub const TIME: u8 = 6;
/// A record of our own is written: the subject names it, and what is written.
pub const WRITE: u8 = 7;
/// Hello at the node that is the subject.
pub const JOIN: u8 = 8;
/// Leaving.
pub const LEAVE: u8 = 9;
/// A host answered for the node that is the subject: the body is a nonce.
pub const TCP_PROBE_ANSWERED: u8 = 10;
/// The connection with the number that is the subject is held, or ends: the first byte of the body says how.
pub const HOLD: u8 = 11;
/// An attempt to reach the node that is the subject is done: the body is a nonce, and a byte that says how.
pub const REACHED: u8 = 12;
const OPERATIONS: u8 = 13;
/// The ends of a connection, by the byte that says how; 0 is that it is held.
pub const ENDS: [HoldEnd; 4] = [HoldEnd::Closed, HoldEnd::Reset, HoldEnd::Goodbye, HoldEnd::Failed];
/// The outcomes of an attempt to reach a node, by the byte that says how.
pub const OUTCOMES: [ReachOutcome; 5] = [
    ReachOutcome::Refused,
    ReachOutcome::Open,
    ReachOutcome::Dropped,
    ReachOutcome::Silent,
    ReachOutcome::LocalError,
];
/// The longest time that passes in one step.
pub const MAX_MICROS: u32 = 8_000_000;

/// Steps of one script: enough for a story, and few enough for many a second.
const MAX_STEPS: usize = 400;

/// Tells a node the story of the script.
pub fn check(script: &[u8]) {
    let mut subject = Subject::new(1);
    let mut rest = script;
    for _ in 0..MAX_STEPS {
        let [operation, about, low, high, more @ ..] = rest else { break };
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(more.len());
        let (body, more) = more.split_at(len);
        rest = more;
        take(&mut subject, operation % OPERATIONS, *about, body);
    }
    subject.pass(Duration::from_secs(5));
}

fn take(subject: &mut Subject, operation: u8, about: u8, body: &[u8]) {
    let from = identity(about % 16).addr;
    let stream = stream(about);
    let input = match operation {
        MESSAGES => return subject.tell(Input::Datagram { from, bytes: &sealed(body) }),
        DATAGRAM => Input::Datagram { from, bytes: body },
        ACCEPTED => Input::StreamAccepted { stream: StreamId::accepted(stream.0) },
        FRAME => Input::StreamFrame { stream, bytes: body },
        WRITTEN => Input::StreamWritten { stream },
        CLOSED => Input::StreamClosed { stream },
        TIME => {
            let Some(micros) = body.first_chunk() else { return };
            let micros = u32::from_le_bytes(*micros) % (MAX_MICROS + 1);
            return subject.pass(Duration::from_micros(micros.into()));
        }
        WRITE => return subject.write(vec![record(about)]),
        JOIN => Input::Join(vec![from]),
        TCP_PROBE_ANSWERED => {
            let Some(nonce) = body.first_chunk() else { return };
            let tcp_probe = TcpProbeId { node: identity(about % 16).node_id, nonce: *nonce };
            Input::TcpProbeAnswered { tcp_probe }
        }
        HOLD => {
            let hold = HoldId(about.into());
            match body.first().map(|how| usize::from(*how)) {
                None | Some(0) => Input::Held { hold },
                Some(how) => Input::HoldEnded { hold, end: ENDS[(how - 1) % ENDS.len()] },
            }
        }
        REACHED => {
            let [a, b, c, d, how, ..] = *body else { return };
            let node = identity(about % 16).node_id;
            let reach = ReachId { node, nonce: [a, b, c, d] };
            Input::Reached { reach, outcome: OUTCOMES[usize::from(how) % OUTCOMES.len()] }
        }
        _ => Input::Leave,
    };
    subject.tell(input);
}

/// The stream that a byte names.
pub fn stream(about: u8) -> StreamId {
    let number = u64::from(about & 0x7f);
    if about & 0x80 == 0 { StreamId(number) } else { StreamId::accepted(number) }
}

/// The record that a byte names: some key, and a value or its end.
pub fn record(about: u8) -> (Key, Option<Value>) {
    let value = match about % 4 {
        0 => None,
        1 => Some(Health::Passing),
        2 => Some(Health::Failing),
        _ => Some(Health::Unknown),
    };
    (Key::Health(format!("i{}", about / 4).into()), value.map(Value::Health))
}
