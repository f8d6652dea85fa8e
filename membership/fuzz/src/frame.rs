//! A frame of a sync session.

use hobnob_membership::wire::Frame;

/// Reads the bytes as a frame. A frame that can be read can be written, and is read again as the same.
pub fn check(bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes) else { return };
    let written = frame.encode().expect("what came in a frame fits one");
    // An earlier version writes no datacenter.
    let later = if matches!(frame, Frame::Opening(_)) { 8 } else { 0 };
    assert!(written.len() <= bytes.len() + later, "a shorter form was read");
    let read = Frame::decode(&written).expect("our own frame");
    assert_eq!(read, frame);
    assert_eq!(read.encode().expect("as before"), written);
}
