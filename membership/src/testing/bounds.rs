//! Limits that a node must keep, whatever its input.

use crate::limits::{
    MAX_ANSWERS_WAITING, MAX_CATALOG_BYTES, MAX_CONFIRMATIONS, MAX_CONFIRMS_WAITING,
    MAX_DATACENTERS, MAX_DATAGRAM_BYTES, MAX_FAR_SESSIONS_OPENED, MAX_FRAME_BYTES, MAX_ORIGINS,
    MAX_PENDING_PULLS, MAX_RUMOR_QUEUE, MAX_SESSIONS_OPENED, MAX_SESSIONS_SERVED,
    MAX_TELLS_UNANSWERED,
};
use crate::wire::{Envelope, Frame, decode_datagram};
use crate::{ClusterId, Node, Output};

/// Outputs that a single input may cause.
const MAX_OUTPUTS: usize = 2_000;

/// Checks a node of the default cluster, and its outputs after one input, against the limits of the protocol.
///
/// # Panics
/// When a limit is exceeded, or when the node sends something that does not decode.
pub fn check(node: &Node, outputs: &[Output]) {
    assert!(outputs.len() <= MAX_OUTPUTS, "{} outputs", outputs.len());
    outputs.iter().for_each(check_output);
    let load = node.load();
    assert!(load.members <= MAX_ORIGINS, "{load:?}");
    assert!(load.rumors <= MAX_RUMOR_QUEUE, "{load:?}");
    assert!(load.answers <= MAX_ANSWERS_WAITING, "{load:?}");
    assert!(load.confirms <= MAX_CONFIRMATIONS + MAX_CONFIRMS_WAITING, "{load:?}");
    assert!(load.gaps <= MAX_PENDING_PULLS, "{load:?}");
    assert!(load.record_bytes <= MAX_CATALOG_BYTES, "{load:?}");
    let opened = MAX_SESSIONS_OPENED + MAX_FAR_SESSIONS_OPENED;
    assert!(load.sessions <= opened + MAX_SESSIONS_SERVED, "{load:?}");
    let links = 2 * MAX_DATACENTERS * MAX_ORIGINS;
    assert!(load.far_news <= MAX_TELLS_UNANSWERED + links, "{load:?}");
    assert_eq!(node.counters().encoding_errors, 0);
    for (id, origin) in node.catalog().origins() {
        if let Some(replica) = origin.current() {
            assert!(replica.gc_floor() <= replica.known_to(), "{id}: {replica:?}");
        }
    }
}

fn check_output(output: &Output) {
    match output {
        Output::Datagram { bytes, .. } => {
            assert!(bytes.len() <= MAX_DATAGRAM_BYTES, "{} bytes", bytes.len());
            let messages = decode_datagram(bytes, &Envelope::clear(ClusterId::default()));
            let broken = messages.map(|mut messages| messages.find_map(Result::err));
            assert!(matches!(broken, Ok(None)), "not a datagram of ours: {broken:?}");
        }
        Output::StreamFrame { bytes, .. } => {
            assert!(bytes.len() <= MAX_FRAME_BYTES, "{} bytes", bytes.len());
            let broken = Frame::decode(bytes).err();
            assert!(broken.is_none(), "not a frame of ours: {broken:?}");
        }
        _ => {}
    }
}
