//! The memory that reading takes, whatever the bytes claim, and the secrets that it leaves behind.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use hobnob_keys::seal::DatagramKeys;
use hobnob_keys::{
    CaKey, Certificate, Generation, HoldKey, NodeKey, Revocations, SignedCommand, Token,
};

use crate::fixtures::{ca, certificate, generation, limits, name, operator, revocations, token};

/// Reading may hold at most this many bytes for each byte of input ...
const MAX_GROWTH: usize = 32;
/// ... and this many more.
const MAX_BASE: usize = 16 * 1_024;

/// Counts what the current thread holds, and the freed blocks that still have a secret in them.
struct Watching;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// A byte that the secrets of this thread consist of, 0 for none; and how many freed blocks had 16 of them in a row.
    static SECRET: Cell<u8> = const { Cell::new(0) };
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: hands every call on to the system's allocator, unchanged. The thread locals are plain cells that need neither
// allocation nor destruction.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`. Zeroed, so that all of a freed block may be read.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        let secret = SECRET.get();
        if secret != 0 {
            // SAFETY: the block has this size, is still allocated, and was initialised when it was allocated.
            let block = unsafe { std::slice::from_raw_parts(pointer, layout.size()) };
            let mut run = 0;
            let found = block.iter().any(|byte| {
                run = if *byte == secret { run + 1 } else { 0 };
                run == 16
            });
            LEFT.set(LEFT.get() + usize::from(found));
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// The most that was held at once during `work`, beyond what was held before.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    usize::try_from(PEAK.get() - before).unwrap_or(0)
}

/// The number of blocks that were freed during `work` with a secret of these bytes in them.
fn left_by(secret: u8, work: impl FnOnce()) -> usize {
    SECRET.set(secret);
    LEFT.set(0);
    work();
    SECRET.set(0);
    LEFT.get()
}

#[test]
fn reading_holds_no_more_than_the_bytes_allow() {
    let many = [&[1][..], &revocations().encode()[1..].repeat(100)].concat();
    let claims = [&[1][..], &[0xff; 64]].concat();
    for bytes in [
        certificate().as_bytes(),
        operator().sign(&hobnob_keys::Command::Rotate(generation().id())).unwrap().as_bytes(),
        &generation().encode(),
        &many,
        &claims,
        token().to_text().as_bytes(),
    ] {
        let peak = peak_of(|| {
            let _ = Certificate::decode(bytes);
            let _ = SignedCommand::decode(bytes);
            let _ = Generation::decode(bytes);
            let _ = Revocations::decode(bytes);
            let _ = Token::parse(&String::from_utf8_lossy(bytes));
        });
        assert!(peak <= MAX_BASE + MAX_GROWTH * bytes.len(), "{peak} for {}", bytes.len());
    }
}

#[test]
fn a_secret_that_is_freed_is_found() {
    assert_eq!(left_by(0xa5, || drop(vec![0xa5_u8; 32])), 1);
}

#[test]
fn no_secret_is_left_in_freed_memory() {
    let text = ca().token(&[0xa5; 32], limits(), vec![]).unwrap().to_text();
    let file = CaKey::found(name("prod"), &[0xa5; 32]).to_file(None).unwrap();
    let secret = Generation::order(9, [0xa5; 32], &operator()).unwrap();
    let encoded = secret.encode();
    let left = left_by(0xa5, || {
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.to_text(), text);
        let key = Box::new(NodeKey::from_seed(&[0xa5; 32]));
        token.certificate(key.public_key(), &name("web-1"), &name("eu")).unwrap();
        let read = Box::new(CaKey::from_file(&file, None).unwrap());
        assert_eq!(read.key.to_file(None).unwrap(), file);
        let generation = Box::new(Generation::decode(&encoded).unwrap());
        drop(generation.encode());
        drop(Box::new(DatagramKeys::of(&generation)));
        drop(Box::new(HoldKey::of(&generation)));
    });
    assert_eq!(left, 0);
}
