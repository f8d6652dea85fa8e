//! The memory that reading takes, whatever the bytes claim.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hobnob_membership::catalog::{Delta, Entry};
use hobnob_membership::record::Key;
use hobnob_membership::wire::{Frame, decode_datagram};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::fixtures::{ENVELOPE, ENVELOPE_BYTES, delta, deltas, enclose, encoded, v4};

/// Decoding may hold at most this many bytes for each byte of input ...
const MAX_GROWTH: usize = 256;
/// ... and this many more.
const MAX_BASE: usize = 16 * 1024;

/// Counts what the current thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: hands every call on to the system's allocator, unchanged. The thread locals are plain cells that need neither
// allocation nor destruction.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held at once during `work`, beyond what was held before.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    usize::try_from(PEAK.get() - before).unwrap_or(0)
}

#[test]
fn a_claimed_length_alone_allocates_nothing() {
    // A delta that claims 2^40 entries, a name of 2^40 bytes, and lists of 2^40 members and symbols.
    let huge = [253, 0, 0, 0, 0, 0, 1, 0, 0];
    let head = [&[0; 14][..], &[0, 1, 1, 0]].concat();
    let delta = [&[6, 1, 27][..], &head, &huge].concat();
    let name = [&[6, 1, 31][..], &head, &[1, 11, 1, 2], &huge].concat();
    let members = [&[2][..], &huge].concat();
    let symbols = [&[3, 1][..], &huge].concat();
    for bytes in [delta, name, members, symbols] {
        let peak = peak_of(|| assert!(Frame::decode(&bytes).is_err()));
        assert!(peak <= 8 * 1_024, "{peak} bytes for {bytes:?}");
    }
}

/// A message of a kind, whose length is that of its body.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).expect("short").to_le_bytes();
    [&[kind, 251], &len[..], body].concat()
}

fn read_all(bytes: &[u8]) {
    if let Ok(messages) = decode_datagram(bytes, &ENVELOPE) {
        messages.for_each(drop);
    }
}

fn check_growth(bytes: &[u8]) {
    let most = MAX_GROWTH * bytes.len() + MAX_BASE;
    let peak = peak_of(|| read_all(bytes));
    assert!(peak <= most, "{peak} bytes for a datagram of {}", bytes.len());
    let peak = peak_of(|| drop(Frame::decode(bytes)));
    assert!(peak <= most, "{peak} bytes for a frame of {}", bytes.len());
}

#[test]
fn random_bytes_never_panic_nor_take_more_memory_than_stated() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let goldens = encoded();
    let mut reached = 0;
    for round in 0..100_000 {
        let mut bytes = match round % 4 {
            0 => {
                let mut bytes = vec![0; rng.random_range(0..200)];
                rng.fill_bytes(&mut bytes);
                bytes
            }
            _ => {
                let mut bytes = goldens[rng.random_range(0..goldens.len())].1.clone();
                for _ in 0..rng.random_range(1..6) {
                    let at = rng.random_range(2..bytes.len().max(3));
                    match rng.random_range(0..3) {
                        0 => bytes.truncate(at),
                        1 if at < bytes.len() => bytes[at] = rng.random(),
                        _ => bytes.extend_from_slice(&[253, 255, 255, 255, 255, 255, 0, 0, 0]),
                    }
                }
                bytes
            }
        };
        if bytes.len() > ENVELOPE_BYTES && round % 2 == 0 {
            bytes = enclose(&message(rng.random_range(1..17), &bytes[ENVELOPE_BYTES..]));
            reached += usize::from(decode_datagram(&bytes, &ENVELOPE).is_ok());
        } else if let Some(kind) = bytes.first_mut() {
            *kind = rng.random_range(1..9);
        }
        check_growth(&bytes);
    }
    assert!(reached > 40_000, "the envelope let only {reached} through");
}

#[test]
fn the_densest_lists_take_no_more_memory_than_stated() {
    let tombstone = |version| Entry { version, key: Key::Node, value: None };
    for count in [1, 5, 17, 129, 1_025, 8_000] {
        let entries: Vec<Entry> = (1..=count).map(tombstone).collect();
        let delta = Delta { after: 0, to: count, head: count, gc_floor: 0, entries, ..delta() };
        check_growth(&deltas(vec![delta]).encode().expect("fits"));
        let empty =
            Delta { after: 0, to: 1, head: 1, gc_floor: 0, entries: vec![], ..self::delta() };
        let count = usize::try_from(count).expect("small").min(2_800);
        check_growth(&deltas(vec![empty; count]).encode().expect("fits"));
        check_growth(&Frame::Members(vec![v4(); count.min(2_500)]).encode().expect("fits"));
    }
}
