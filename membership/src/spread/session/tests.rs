//! Tests of two sessions that are connected to each other.

use std::collections::VecDeque;

use super::sketch::next_symbols;
use super::*;
use crate::base::cluster::ClusterId;
use crate::base::limits::{MAX_FRAME_BYTES, MAX_SYMBOLS_PER_FRAME};
use crate::catalog::Standing;
use crate::catalog::record::{Health, Key, Value};
use crate::spread::sketch::Difference;
use crate::testing::record;
use crate::wire::{Heads, Lag};

const MS: fn(u64) -> Time = Time::from_millis;

fn identity(n: u64) -> Identity {
    let addr = std::net::SocketAddr::from(([10, 0, 0, 1], 7_946));
    Identity { node_id: NodeId(n), epoch: Epoch(1), addr, sync_port: 7_947 }
}

/// A catalog with an origin that has written this often.
fn origin(id: u64, writes: u64) -> Catalog {
    let mut catalog = Catalog::new(NodeId(id), Epoch(1_700_000_000_000));
    let node = record(id as usize);
    let health = |n: u64| if n.is_multiple_of(2) { Health::Passing } else { Health::Failing };
    let node = (Key::Node, Some(Value::Node(node.into())));
    catalog.write(vec![node]).expect("legal");
    for n in 1..writes {
        let key = Key::Health(format!("instance-{}", n % 5).into());
        catalog.write(vec![(key, Some(Value::Health(health(n / 5))))]).expect("legal");
    }
    catalog
}

/// The traffic between two sides.
#[derive(Debug, Default)]
struct Passed {
    bytes: usize,
    payload: usize,
    frames: usize,
}

fn passes(frame: &Frame, passed: &mut Passed) -> Frame {
    let bytes = frame.encode().expect("fits");
    passed.bytes += bytes.len() + 4;
    passed.frames += 1;
    if let Frame::Deltas { deltas, .. } = frame {
        passed.payload += deltas.iter().map(Delta::encoded_len).sum::<usize>();
    }
    Frame::decode(&bytes).expect("ours")
}

fn take(session: &mut Session, catalog: &mut Catalog, frame: Frame) {
    match session.handle(frame, 1, catalog, MS(0)).expect("by the rules") {
        SessionStep::Opened(opening) => session.answer(&opening, None, catalog),
        SessionStep::Members(_) => session.tell_members(&[]),
        SessionStep::Deltas(deltas) => {
            deltas.iter().for_each(|delta| drop(catalog.apply(delta, Standing::Active)));
        }
        SessionStep::Compare => session.compare(catalog, |_| None),
        SessionStep::Nothing => {}
    }
}

/// Runs a session to its end.
fn run(opener: &mut Catalog, server: &mut Catalog) -> Passed {
    let mut passed = Passed::default();
    let cluster = ClusterId::default().mark();
    let opening = Opening {
        cluster,
        identity: identity(1),
        members: 0,
        catalog: opener.digest(),
        datacenter: DatacenterId::UNKNOWN,
        scope: None,
    };
    let mut sessions = [Session::open(identity(2), opening, MS(0)), Session::serve(MS(0))];
    let catalogs = [opener, server];
    for turn in 0..200_000 {
        let (at, to) = (turn % 2, (turn + 1) % 2);
        let mut frames = VecDeque::new();
        while sessions[at].is_ready(catalogs[at], MAX_FRAME_BYTES)
            && let Some(frame) = sessions[at].next_frame()
        {
            sessions[at].written(MS(0));
            frames.push_back(passes(&frame, &mut passed));
        }
        for frame in frames {
            take(&mut sessions[to], catalogs[to], frame);
        }
        let idle = sessions.iter().all(Session::is_complete);
        if idle {
            return passed;
        }
    }
    panic!("never ends: {sessions:?}");
}

/// Two catalogs that both know `common` origins. Of these, each side is `behind` in some; and each knows some `alone`.
fn catalogs(common: u64, behind: [u64; 2], alone: [u64; 2]) -> [Catalog; 2] {
    let mut sides = [1, 2].map(|id| Catalog::new(NodeId(id), Epoch(1)));
    let mut learn = |side: usize, origin: &Catalog, id: u64, to: u64| {
        let want = sides[side].want(NodeId(id));
        let mut delta = origin.answer(&want, usize::MAX).expect("it wrote");
        delta.entries.retain(|entry| entry.version <= to);
        delta.to = delta.to.min(to);
        // A delta as if the origin had written nothing later.
        delta.head = delta.to;
        drop(sides[side].apply(&delta, Standing::Active));
    };
    let mut id = 1_000;
    let mut next = || {
        id = u64::from_le_bytes(xxhash_rust::xxh3::xxh3_64(&u64::to_le_bytes(id)).to_le_bytes());
        id
    };
    for n in 0..common {
        let id = next();
        let known = origin(id, 7);
        for side in 0..2 {
            let later = (n < behind[0] && side == 0)
                || (n >= behind[0] && n < behind[0] + behind[1] && side == 1);
            learn(side, &known, id, if later { 6 } else { 7 });
        }
    }
    for (side, count) in alone.into_iter().enumerate() {
        for _ in 0..count {
            let id = next();
            learn(side, &origin(id, 3), id, 3);
        }
    }
    sides
}

#[test]
fn whatever_differs_is_equal_after_one_session_or_two() {
    for (common, behind, alone) in [
        (0, [0, 0], [0, 0]),
        (0, [0, 0], [5, 0]),
        (0, [0, 0], [0, 700]),
        (0, [0, 0], [700, 0]),
        (50, [1, 0], [0, 0]),
        (50, [0, 1], [0, 0]),
        (50, [10, 10], [0, 3]),
        (50, [10, 10], [3, 0]),
        (50, [0, 0], [4, 4]),
        (400, [100, 30], [7, 9]),
        (2_000, [0, 0], [1, 1]),
        (3_000, [1_500, 1_500], [0, 0]),
    ] {
        let [mut left, mut right] = catalogs(common, behind, alone);
        let told = |catalog: &Catalog| catalog.origins().count();
        run(&mut left, &mut right);
        if left.digest() != right.digest() {
            run(&mut left, &mut right);
        }
        // Each side also holds its own origin, which has written nothing and which the other side does not know.
        assert_eq!(told(&left), told(&right));
        assert_eq!(left.digest(), right.digest(), "{common} {behind:?} {alone:?}");
    }
}

#[test]
fn catalogs_that_differ_in_nearly_all_agree_after_two_sessions() {
    for common in (1..150).step_by(4) {
        let [mut left, mut right] = catalogs(common, [common / 2, common / 2], [2, 1]);
        run(&mut left, &mut right);
        run(&mut left, &mut right);
        assert_eq!(left.digest(), right.digest(), "{common}");
    }
}

/// Two catalogs that know an origin. The left one knows `behind` versions less of it than the right one.
fn one_behind(behind: u64) -> [Catalog; 2] {
    let mut sides = catalogs(60, [0, 0], [0, 0]);
    let known = origin(77, 60);
    for (side, to) in sides.iter_mut().zip([60 - behind, 60]) {
        let mut delta = known.answer(&side.want(NodeId(77)), usize::MAX).expect("it wrote");
        delta.entries.retain(|entry| entry.version <= to);
        (delta.to, delta.head) = (to, to);
        drop(side.apply(&delta, Standing::Active));
    }
    sides
}

/// The numbers of heads and of lags that the opener tells, and whether it sends deltas unasked. `opener` is the side
/// that opens the session; side 0 is behind.
fn told(behind: u64, opener: usize) -> (usize, usize, bool) {
    let sides = one_behind(behind);
    let mut sessions = [opener, 1 - opener].map(|side| (Session::serve(MS(0)), &sides[side]));
    let hashes =
        |catalog: &Catalog| -> Vec<u64> { catalog.head_hashes(Scope::All).map(|h| h.0).collect() };
    let [(ours, catalog), (_, other)] = &mut sessions;
    ours.take_snapshot(catalog);
    let only = |these: Vec<u64>, those: &[u64]| {
        these.into_iter().filter(|hash| !those.contains(hash)).collect::<Vec<u64>>()
    };
    let difference = Difference {
        ours: only(hashes(catalog), &hashes(other)),
        theirs: only(hashes(other), &hashes(catalog)),
    };
    ours.tell(&difference, catalog);
    let Some(Frame::Heads(list)) = ours.ready.pop_back() else { panic!("{ours:?}") };
    assert!(list.unknown.is_empty());
    (list.heads.len(), list.lags.len(), list.is_beyond())
}

#[test]
fn a_head_close_to_ours_is_told_by_its_hash_or_not_at_all() {
    for behind in [1, 16] {
        assert_eq!(told(behind, 0), (0, 1, false));
        assert_eq!(told(behind, 1), (0, 0, true));
    }
    assert_eq!(told(17, 0), (1, 0, false));
    assert_eq!(told(17, 1), (1, 0, false));
    for opener in [0, 1] {
        let [mut left, mut right] = one_behind(9);
        let sides = if opener == 0 { (&mut left, &mut right) } else { (&mut right, &mut left) };
        run(sides.0, sides.1);
        assert_eq!(left.digest(), right.digest());
    }
}

#[test]
fn a_lag_behind_a_head_that_nobody_has_is_against_the_rules() {
    let [_, server] = one_behind(1);
    let cluster = ClusterId::default().mark();
    let opening = Opening {
        cluster,
        identity: identity(1),
        members: 0,
        catalog: 0,
        datacenter: DatacenterId::UNKNOWN,
        scope: None,
    };
    let told = |lag: Lag| {
        let mut session = Session::serve(MS(0));
        take(&mut session, &mut server.clone(), Frame::Opening(opening.clone()));
        let list = Heads::part(vec![], vec![lag], vec![]).last();
        session.handle(Frame::Heads(list), 1, &server, MS(0)).map(|_| session)
    };
    let head = server.head(NodeId(77)).expect("known");
    let lag = Lag { head: near::prefix(head.hash_over(0)), versions: 255, gc_floor: 0 };
    let session = told(lag).expect("by the rules");
    let meant: Vec<Want> = session.peer_heads.values().copied().collect();
    assert_eq!(meant, [Want { origin: NodeId(77), epoch: head.epoch, after: 0, gc_floor: 0 }]);
    for head in [[0; 4], [255; 4]] {
        assert_eq!(told(Lag { head, ..lag }).err(), Some(ProtocolViolation));
    }
}

#[test]
fn the_cost_of_a_session_follows_the_difference() {
    for differ in [0_u64, 1, 2, 10, 100, 1_000] {
        for behind in [[differ, 0], [0, differ]] {
            let [mut left, mut right] = catalogs(4_000, behind, [0, 0]);
            let passed = run(&mut left, &mut right);
            assert_eq!(left.digest(), right.digest());
            let (bytes, payload) = (passed.bytes as f64, passed.payload as f64);
            // The opener asks by hash for the versions that it lacks, and sends unasked those that the server lacks.
            let each = if behind[0] > 0 { 46.0 } else { 40.0 };
            let most = 1.1 * payload + each * differ as f64 + 170.0;
            assert!(bytes <= most, "{differ} {behind:?}: {passed:?}");
        }
    }
}

#[test]
fn a_state_larger_than_a_frame_arrives_whole() {
    let mut large = Catalog::new(NodeId(9), Epoch(1));
    let node = origin(9, 1);
    let node = node.origin(NodeId(9)).and_then(|o| o.node()).cloned().expect("written");
    let mut records = vec![(Key::Node, Some(Value::Node(node)))];
    records.extend(
        (0..7_000).map(|n| {
            (Key::Health(format!("{n:0100}").into()), Some(Value::Health(Health::Passing)))
        }),
    );
    large.write(records).expect("within the limits");
    let mut small = Catalog::new(NodeId(1), Epoch(1));
    let passed = run(&mut small, &mut large);
    assert!(passed.bytes > 10 * MAX_FRAME_BYTES);
    assert_eq!(small.digest(), large.digest());
}

#[test]
fn survivors_of_an_origin_that_died_in_mid_write_agree_on_what_lies_beyond_the_gap() {
    for whole in [false, true] {
        let common = if whole { 0 } else { 60 };
        let [mut left, mut right] = catalogs(common, [0, 0], [0, 0]);
        let dead = origin(77, 9);
        let part = |after: u64, to: u64| {
            let want = Want { origin: NodeId(77), epoch: dead.epoch(), after, gc_floor: 0 };
            let mut delta = dead.answer(&want, usize::MAX).expect("it wrote");
            delta.to = to;
            delta.head = to;
            delta.entries.retain(|entry| entry.version <= to);
            delta
        };
        for (catalog, ranges) in
            [(&mut left, [(0, 2), (3, 4), (6, 8)]), (&mut right, [(0, 2), (4, 5), (8, 9)])]
        {
            ranges
                .into_iter()
                .for_each(|(after, to)| drop(catalog.apply(&part(after, to), Standing::Active)));
        }
        assert_eq!(left.head(NodeId(77)), right.head(NodeId(77)));
        assert_ne!(left.digest(), right.digest());
        run(&mut left, &mut right);
        assert_eq!(left.digest(), right.digest());
        let slots = |catalog: &Catalog| {
            let replica = catalog.origin(NodeId(77)).and_then(|origin| origin.current().cloned());
            replica.map(|replica| replica.slots().cloned().collect::<Vec<_>>())
        };
        assert_eq!(slots(&left), slots(&right));
    }
}

#[test]
fn recent_moves_go_first_then_the_largest_lacks() {
    let mut server = Catalog::new(NodeId(1), Epoch(1));
    for (id, writes) in [(10, 3), (11, 9), (12, 5), (13, 2)] {
        let known = origin(id, writes);
        let all = known.answer(&server.want(NodeId(id)), usize::MAX).expect("it wrote");
        drop(server.apply(&all, Standing::Active));
    }
    let mut session = Session::serve(MS(0));
    session.peer_is_whole = true;
    session.heads_complete = true;
    session.compare(&server, |origin| {
        [(NodeId(13), MS(5)), (NodeId(10), MS(4))]
            .into_iter()
            .find(|(moved, _)| *moved == origin)
            .map(|(_, at)| at)
    });
    let order: Vec<u64> = session.lacking.iter().rev().map(|want| want.origin.0).collect();
    assert_eq!(order, [13, 10, 11, 12]);
}

#[test]
fn steps_toward_the_difference_are_large_at_first_and_small_at_last() {
    assert_eq!(next_symbols(3, 0), 5);
    assert_eq!(next_symbols(16, 1_000), 128);
    assert_eq!(next_symbols(1_000, 1_000), 250);
    assert_eq!(next_symbols(1_250, 1_000), 156);
    assert_eq!(next_symbols(16, 3), 5);
    assert!(next_symbols(1_000_000, usize::MAX / 2) <= MAX_SYMBOLS_PER_FRAME);
}
