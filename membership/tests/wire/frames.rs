//! Frames of a stream.

use hobnob_membership::limits::MAX_FRAME_BYTES;
use hobnob_membership::wire::{Frame, VERSION, WireError};
use hobnob_membership::{DatacenterId, DecodeError};

use crate::fixtures::{frames, heads, want};

#[test]
fn the_frame_that_begins_a_stream_tells_version_and_form() {
    for kind in [1, 10, 13] {
        let first = |byte| Frame::decode(&[kind, byte]);
        let other = 0x10 | (VERSION + 1);
        assert!(matches!(first(other), Err(WireError::Version(version)) if version == VERSION + 1));
        assert!(matches!(first(0x02), Err(WireError::Sealed)));
        assert!(matches!(first(0x72), Err(WireError::Form(7))));
        assert!(matches!(first(0x12), Err(WireError::Content(DecodeError::Truncated))));
    }
}

#[test]
fn an_unknown_kind_is_named() {
    let unknown = Frame::decode(&[99, 1]);
    assert!(matches!(unknown, Err(WireError::Content(DecodeError::Unknown(99)))));
}

#[test]
fn every_cut_is_refused() {
    for (name, frame) in frames() {
        let bytes = frame.encode().expect("fits");
        for len in 0..bytes.len() {
            let cut = Frame::decode(&bytes[..len]);
            // An earlier version ends before the last field.
            let tail = match &cut {
                Ok(Frame::Credentials(shown)) if shown.holds.is_none() => 2,
                // A list of one order of 18 bytes, with the number of orders and the length of each before it, and one of a
                // round trip of 24 bytes.
                Ok(Frame::Tables(tables)) if tables.isolations.is_empty() => 20 + 26,
                Ok(Frame::Tables(tables)) if tables.round_trips.is_empty() => 26,
                Ok(Frame::Opening(opening)) if opening.datacenter == DatacenterId::UNKNOWN => 9,
                Ok(Frame::Opening(opening)) if opening.scope.is_none() => 1,
                _ => 0,
            };
            assert!(cut.is_err() || len + tail == bytes.len(), "{name} cut to {len}");
        }
    }
}

#[test]
fn every_flipped_bit_is_read_without_harm() {
    for (_, frame) in frames() {
        let bytes = frame.encode().expect("fits");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            drop(Frame::decode(&flipped));
        }
    }
}

#[test]
fn flags_that_only_a_later_version_knows_are_left_out() {
    let list = Frame::Heads(heads(vec![want()]));
    let mut bytes = list.encode().expect("fits");
    bytes[1] |= 0x80;
    assert_eq!(Frame::decode(&bytes).expect("legal"), list);
    bytes[1] &= !1;
    assert!(Frame::decode(&bytes).is_err(), "flags before the last heads");
}

#[test]
fn limits_hold() {
    let many = Frame::Heads(heads(vec![want(); MAX_FRAME_BYTES / 16]));
    assert!(matches!(many.encode(), Err(WireError::TooLarge { .. })));
    let mut long = vec![0; MAX_FRAME_BYTES + 1];
    long[0] = 3;
    assert!(matches!(Frame::decode(&long), Err(WireError::TooLarge { .. })));
}
