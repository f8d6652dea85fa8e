//! Laws of the ring, and the keeper on a disk that is full, hangs, or loses power.

use std::io::ErrorKind;
use std::sync::atomic::AtomicBool;

use hobnob_api::EventKind;

use super::ring::{KEPT_APART, MAX_BYTES, MAX_EVENTS, REPEATS_WITHIN_MS};
use super::*;
use crate::caller::Caller;
use crate::storage::fake_disk::{FakeDisk, Writes};

fn check(id: &str, at_ms: u64) -> StoredEvent {
    let event = Event::new(EventKind::CheckChanged, By::check()).instance(id).check("http");
    StoredEvent { at_ms, ..event.service(Some("web")).stored() }
}

fn registered(id: &str, at_ms: u64) -> StoredEvent {
    let caller = Caller { uid: 1, gid: None, pid: None, agent: None };
    let event = Event::new(EventKind::Registered, By::client(caller)).instance(id);
    StoredEvent { at_ms, ..event.service(Some("web")).stored() }
}

fn all(ring: &Ring, subject: Option<&str>) -> Vec<Arc<StoredEvent>> {
    let subject = subject.map(str::to_owned);
    ring.find(&Asked { subject, since_ms: 0, limit: usize::MAX }).events
}

#[test]
fn what_flaps_takes_little_room_and_counts() {
    let mut ring = Ring::default();
    for n in 0..1_000 {
        ring.record(check("web-1", n * 1_000));
    }
    let events = all(&ring, Some("web-1"));
    assert_eq!(events.len(), KEPT_APART);
    let last = events.last().expect("one");
    assert_eq!((last.repeats as usize, last.last_at_ms), (1_000 - KEPT_APART, 999_000));
    assert_eq!(ring.repeated as usize, 1_000 - KEPT_APART);
    ring.record(check("web-1", 999_000 + REPEATS_WITHIN_MS + 1));
    assert_eq!(all(&ring, Some("web-1")).len(), KEPT_APART + 1, "after a pause it is news again");
}

#[test]
fn a_loss_stands_before_what_followed_it_and_a_clock_that_is_set_moves_nothing() {
    let mut ring = Ring::default();
    let two_hours = 2 * 3_600 * 1_000;
    for at_ms in [two_hours, two_hours + 4_000, two_hours + 1_000, 5_000, 9_000] {
        ring.record(registered(&format!("web-{at_ms}"), at_ms));
    }
    let times: Vec<u64> = all(&ring, None).iter().map(|event| event.at_ms).collect();
    assert_eq!(times, [two_hours, two_hours + 1_000, two_hours + 4_000, 5_000, 9_000]);
}

#[test]
fn what_comes_now_and_then_is_kept_one_by_one() {
    let mut ring = Ring::default();
    for n in 0..100 {
        ring.record(check("web-1", n * REPEATS_WITHIN_MS / 4));
    }
    assert_eq!(all(&ring, None).len(), 100);
}

#[test]
fn mass_flapping_leaves_what_somebody_did() {
    let mut ring = Ring::default();
    ring.record(registered("web-1", 0));
    for n in 0..10 * MAX_EVENTS as u64 {
        ring.record(check(&format!("db-{n}"), n));
    }
    assert_eq!(all(&ring, Some("web-1")).len(), 1);
    assert_eq!(all(&ring, None).len(), MAX_EVENTS + 1);
    assert_eq!(ring.forgotten, 9 * MAX_EVENTS as u64);
}

#[test]
fn the_newest_are_found_by_service_instance_time_and_number() {
    let mut ring = Ring::default();
    for n in 0..10 {
        ring.record(registered(&format!("web-{n}"), n * 10));
        ring.record(check(&format!("web-{n}"), n * 10 + 1));
    }
    let ask = |subject: &str, since_ms, limit| {
        ring.find(&Asked { subject: Some(subject.to_owned()), since_ms, limit })
    };
    assert_eq!((ask("web", 0, 100).events.len(), ask("web-3", 0, 100).events.len()), (20, 2));
    let newest = ask("web", 0, 3);
    let numbers: Vec<_> = newest.events.iter().map(|event| event.number).collect();
    assert_eq!((numbers, newest.more), (vec![18, 19, 20], true));
    assert_eq!(ask("web", 91, 100).events.len(), 1);
    assert_eq!(ask("wbe-3", 0, 100).nearest.as_deref(), Some("web-3"));
    assert_eq!(ask("web-3", 1_000, 100).nearest, None, "it has events of another time");
}

/// Random events never break the limits, and what is read again is what was kept.
#[test]
fn the_ring_keeps_its_limits_and_is_read_again_as_it_was() {
    let mut random = 7_u64;
    let mut next = move |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for _ in 0..20 {
        let disk = FakeDisk::new();
        let (mut files, read) = HistoryFiles::open(Box::new(disk.clone()));
        let mut ring = Ring::of(read);
        let (mut at_ms, subjects) = (0, 1 + next(200));
        for _ in 0..2_000 {
            at_ms += next(20_000);
            let id = format!("web-{}", next(subjects));
            let mut event = if next(3) == 0 { registered(&id, at_ms) } else { check(&id, at_ms) };
            event.why = Some("x".repeat(next(512) as usize));
            ring.record(event);
            if next(4) == 0
                && let Some((shelf, events)) = ring.take_unwritten(1 + next(10_000) as usize)
            {
                let lines = events.iter().map(|event| &**event);
                files.append(shelf, lines).expect("appended");
            }
        }
        let events = all(&ring, None);
        assert!(events.iter().map(|event| event.bytes()).sum::<usize>() <= 2 * MAX_BYTES);
        assert!(events.len() <= 2 * MAX_EVENTS);
        assert!(events.is_sorted_by(|one, other| one.number < other.number));
        ring.write_counts();
        while let Some((shelf, events)) = ring.take_unwritten(MAX_BYTES) {
            let lines = events.iter().map(|event| &**event);
            files.append(shelf, lines).expect("appended");
        }
        let again = Ring::of(HistoryFiles::open(Box::new(disk)).1);
        // Lines of counts may have driven out the oldest events of the files.
        let read = all(&again, None);
        assert_eq!(read, events[events.len() - read.len()..]);
        assert!(read.len() * 2 > events.len());
    }
}

/// A history on a disk, and its task.
fn kept(disk: &FakeDisk) -> History {
    let (history, keeper) = History::open(HistoryFiles::open(Box::new(disk.clone())));
    tokio::spawn(keeper.run());
    history
}

async fn ids(history: &History) -> Vec<String> {
    let asked = Asked { limit: usize::MAX, ..Asked::default() };
    let found = history.find(asked).await.expect("it runs").events;
    found.iter().filter_map(|event| event.instance.clone()).collect()
}

fn order(id: &str) -> Event {
    Event::new(EventKind::MaintenanceOn, By::agent()).instance(id)
}

fn count(history: &History, name: &str) -> u64 {
    history.report().iter().find(|(known, _)| known == name).expect("a counter").1
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_delays_neither_events_nor_answers() {
    let disk = FakeDisk::new();
    let history = kept(&disk);
    disk.set_writes(Writes::Hang);
    history.record(order("a"));
    disk.hung().await;
    history.record(order("b"));
    assert_eq!(ids(&history).await, ["a", "b"]);
    disk.set_writes(Writes::Succeed);
    history.rest().await.expect("it runs");
    assert_eq!(ids(&kept(&disk)).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_gets_the_events_when_it_has_room() {
    let disk = FakeDisk::new();
    let history = kept(&disk);
    disk.set_writes(Writes::Fail(ErrorKind::StorageFull));
    history.record(order("a"));
    history.rest().await.expect("it runs");
    history.record(order("b"));
    assert_eq!(ids(&history).await, ["a", "b"]);
    assert!(count(&history, "history_unwritten") >= 1);
    disk.set_writes(Writes::Succeed);
    history.rest().await.expect("it runs");
    assert_eq!(ids(&kept(&disk)).await, ["a", "b"]);
    assert_eq!((count(&history, "history_events"), count(&history, "history_dropped")), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn events_that_come_too_fast_are_counted_and_nobody_waits() {
    let history = kept(&FakeDisk::new());
    // The keeper does not run meanwhile.
    for _ in 0..MAX_WAITING_EVENTS + 5 {
        history.record(order("a"));
    }
    assert_eq!(count(&history, "history_dropped"), 5);
    assert_eq!(ids(&history).await.len(), MAX_EVENTS);
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_panics_costs_the_files_and_nothing_else() {
    let disk = FakeDisk::new();
    let history = kept(&disk);
    disk.set_writes(Writes::Panic);
    history.record(order("a"));
    history.rest().await.expect("it runs");
    history.record(order("b"));
    assert_eq!(ids(&history).await, ["a", "b"]);
}

/// Another thread records without a pause. Whoever asks, and whoever waits for the disk, gets an answer all the same.
#[tokio::test]
async fn a_flood_of_events_keeps_no_question_and_no_write_waiting() {
    let (history, is_over) = (kept(&FakeDisk::new()), Arc::new(AtomicBool::new(false)));
    let flood = std::thread::spawn({
        let (history, is_over) = (history.clone(), is_over.clone());
        move || {
            while !is_over.load(Ordering::Relaxed) {
                history.record(order("a"));
            }
        }
    });
    for _ in 0..20 {
        assert!(ids(&history).await.len() <= MAX_EVENTS);
    }
    is_over.store(true, Ordering::Relaxed);
    flood.join().expect("it ended");
    history.rest().await.expect("it runs");
}
