//! Held connections of a sealed cluster, and strangers that have seen all that was ever said on others.

use hobnob_keys::{HeldConnection, HoldKey};
use hobnob_membership::testing::sealed::SealedCluster;

use super::*;
use crate::transport::holds::preamble::Preamble;

const MONITOR: NodeId = NodeId(1);
const NONCE: [u8; 8] = [9; 8];

fn sealed(node_id: NodeId, places: usize) -> HoldSettings {
    HoldSettings { is_sealed: true, ..settings(node_id, places) }
}

/// The generations with these numbers. The last one is in use.
fn keys(numbers: &[u64]) -> HoldKeys {
    let cluster = SealedCluster::default();
    let generations: Vec<_> =
        numbers.iter().map(|number| cluster.generation(*number, *number as u8)).collect();
    let last = generations.len() - 1;
    HoldKeys::of(generations.iter().enumerate().map(|(n, generation)| (generation, n == last)))
}

async fn member(places: usize, generations: &[u64]) -> Member {
    let member = Member::with(sealed(MEMBER, places)).await;
    member.holds.set_keys(keys(generations));
    member
}

fn monitor(node: NodeId, generations: &[u64]) -> Monitor {
    let monitor = Monitor::with(sealed(node, 1));
    monitor.holds.set_keys(keys(generations));
    monitor
}

/// The words of a connection of the monitor to the member.
fn words(member_nonce: [u8; 8]) -> hobnob_keys::HoldWords {
    let [monitor, member] = [MONITOR, MEMBER].map(key_id);
    let connection = HeldConnection { monitor, member, monitor_nonce: NONCE, member_nonce };
    HoldKey::of(&SealedCluster::default().generation(1, 1)).words(&connection)
}

/// A connection on which a preamble was said, and the nonce of the member.
async fn asked(addr: SocketAddr) -> (TcpStream, [u8; 8]) {
    let mut stream = TcpStream::connect(addr).await.expect("connected");
    let cluster = ClusterId::named(DEFAULT_CLUSTER);
    let preamble = Preamble::sealed(cluster, MONITOR, MEMBER, NONCE).bytes();
    stream.write_all(&preamble).await.expect("room");
    let mut nonce = [0; 8];
    stream.read_exact(&mut nonce).await.expect("the member tells its nonce");
    assert!(nonce.len() < preamble.len(), "no answer is larger than its question");
    (stream, nonce)
}

async fn ended(stream: &mut TcpStream) {
    timeout(TEST_TIMEOUT, stream.read_u8()).await.expect("in time").expect_err("it ended");
}

#[tokio::test]
async fn members_hold_connections_and_see_both_ends() {
    let watched = member(4, &[1]).await;
    let (mut first, mut second) = (monitor(MONITOR, &[1]), monitor(NodeId(2), &[1]));
    assert_eq!(first.hold(watched.addr).await, None);
    assert_eq!(second.hold(watched.addr).await, None);
    assert_eq!((watched.count("holds_in"), watched.count("holds_unproven")), (2, 0));
    watched.holds.say_goodbye();
    assert_eq!(first.end().await, HoldEnd::Goodbye);
    assert_eq!(second.end().await, HoldEnd::Goodbye);

    let watched = member(4, &[1]).await;
    assert_eq!(first.hold(watched.addr).await, None);
    drop(watched);
    assert_eq!(first.end().await, HoldEnd::Closed, "a FIN, for nothing is left unread");
}

#[tokio::test]
async fn a_revoked_node_loses_its_connection_at_once_and_gets_no_other() {
    let watched = member(4, &[1]).await;
    let (mut revoked, mut other) = (monitor(MONITOR, &[1]), monitor(NodeId(2), &[1]));
    assert_eq!(revoked.hold(watched.addr).await, None);
    assert_eq!(other.hold(watched.addr).await, None);
    watched.holds.set_revoked([MONITOR]);
    assert_eq!(revoked.end().await, HoldEnd::Closed, "without a goodbye");
    assert_eq!(revoked.hold(watched.addr).await, Some(HoldEnd::Failed));
    assert_eq!((watched.count("holds_in"), watched.count("holds_refused")), (1, 1));
}

#[tokio::test]
async fn a_connection_stays_when_its_generation_is_replaced() {
    let watched = member(4, &[1]).await;
    let mut earlier = monitor(MONITOR, &[1]);
    assert_eq!(earlier.hold(watched.addr).await, None);
    // The monitor goes over to the next generation first, as it may.
    earlier.holds.set_keys(keys(&[1, 2]));
    watched.holds.set_keys(keys(&[2, 1]));
    let mut later = monitor(NodeId(2), &[1, 2]);
    assert_eq!(later.hold(watched.addr).await, None, "it opens what it does not use yet");
    watched.holds.set_keys(keys(&[2]));
    let mut missed = monitor(NodeId(3), &[1]);
    assert_eq!(missed.hold(watched.addr).await, Some(HoldEnd::Failed), "nobody uses it any more");
    assert_eq!((watched.count("holds_in"), watched.count("holds_unproven")), (2, 1));
    watched.holds.say_goodbye();
    assert_eq!(earlier.end().await, HoldEnd::Goodbye);
    assert_eq!(later.end().await, HoldEnd::Goodbye);
}

#[tokio::test]
async fn a_hello_is_of_no_use_on_another_connection_nor_without_the_key() {
    let watched = member(4, &[1]).await;
    let (mut first, nonce) = asked(watched.addr).await;
    let recorded = words(nonce);
    first.write_all(&recorded.hello).await.expect("room");
    let mut answer = [0; 17];
    first.read_exact(&mut answer).await.expect("it is held");
    assert!(recorded.is_held(&answer));

    let forged = HoldKey::derive(hobnob_keys::ClusterId([1; 32]), 1, &[1; 32]);
    let [monitor, member] = [MONITOR, MEMBER].map(key_id);
    let forged = |member_nonce| {
        let connection = HeldConnection { monitor, member, monitor_nonce: NONCE, member_nonce };
        forged.words(&connection).hello
    };
    let mut nonces = vec![nonce];
    for n in 0..3 {
        let (mut stream, nonce) = asked(watched.addr).await;
        let hello = match n {
            0 => recorded.hello,
            1 => forged(nonce),
            // The words of the member are no hello, either.
            _ => words(nonce).held,
        };
        assert!(!nonces.contains(&nonce), "each connection has its own");
        nonces.push(nonce);
        stream.write_all(&hello).await.expect("room");
        ended(&mut stream).await;
    }
    assert_eq!(watched.count("holds_unproven"), 3);
    // The connection of the monitor was not replaced in its name.
    assert_eq!((watched.count("holds_in"), watched.count("holds_displaced")), (1, 0));
}

#[tokio::test]
async fn a_clear_preamble_is_refused_in_a_sealed_cluster_and_a_sealed_one_in_a_clear_cluster() {
    let (watched, clear) = (member(4, &[1]).await, Member::start(4).await);
    assert_eq!(Monitor::start(1).hold(watched.addr).await, Some(HoldEnd::Failed));
    assert_eq!(monitor(MONITOR, &[1]).hold(clear.addr).await, Some(HoldEnd::Failed));
    for refused in [&watched, &clear] {
        assert_eq!((refused.count("holds_in"), refused.count("holds_invalid")), (0, 1));
    }
    let mut without = Monitor::with(sealed(MONITOR, 1));
    assert_eq!(without.hold(watched.addr).await, Some(HoldEnd::Failed), "it holds no generation");
    let waits = Member::with(sealed(MEMBER, 4)).await;
    assert_eq!(monitor(MONITOR, &[1]).hold(waits.addr).await, Some(HoldEnd::Failed));
    assert_eq!(waits.count("holds_unproven"), 1);
}

/// Somebody on the path says something in the name of the member.
#[tokio::test]
async fn a_forged_answer_holds_nothing_and_a_forged_goodbye_is_none() {
    let (listener, addr) = listener().await;
    let old_goodbye = words([0; 8]).goodbye;
    for (is_held, said, end) in [
        (false, vec![HELD], HoldEnd::Failed),
        (false, words([0; 8]).held.to_vec(), HoldEnd::Failed),
        (true, vec![], HoldEnd::Closed),
        (true, vec![GOODBYE], HoldEnd::Failed),
        (true, vec![GOODBYE; 17], HoldEnd::Failed),
        (true, old_goodbye.to_vec(), HoldEnd::Failed),
    ] {
        let mut watching = monitor(MONITOR, &[1]);
        watching.begin(addr);
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let opening = Opening::read(&mut stream).await.expect("a preamble");
        let Opening::Hold(Preamble { nonce: Some(monitor_nonce), .. }) = opening else {
            panic!("{opening:?}");
        };
        stream.write_all(&NONCE).await.expect("room");
        let mut hello = [0; 17];
        stream.read_exact(&mut hello).await.expect("a hello");
        if is_held {
            let [monitor, member] = [MONITOR, MEMBER].map(key_id);
            let connection = HeldConnection { monitor, member, monitor_nonce, member_nonce: NONCE };
            let words = HoldKey::of(&SealedCluster::default().generation(1, 1)).words(&connection);
            assert!(words.is_hello(&hello));
            stream.write_all(&words.held).await.expect("room");
            assert!(matches!(watching.next().await, HoldEvent::Held { .. }));
        }
        stream.write_all(&said).await.expect("room");
        drop(stream);
        assert_eq!(watching.end().await, end, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_that_prove_nothing_are_dropped_and_take_no_place() {
    const FLOOD: u64 = 50;
    let watched = member(2, &[1]).await;
    let mut held = monitor(MONITOR, &[1]);
    assert_eq!(held.hold(watched.addr).await, None);
    let (mut stays, _) = asked(watched.addr).await;
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        flood.push(TcpStream::connect(watched.addr).await.expect("connected"));
    }
    for stream in &mut flood {
        ended(stream).await;
    }
    ended(&mut stays).await;
    assert_eq!((watched.count("holds_silent"), watched.count("holds_crowded")), (1, FLOOD));
    assert_eq!(watched.count("holds_in"), 1, "the monitor kept its place");
    assert_eq!(monitor(NodeId(2), &[1]).hold(watched.addr).await, None);
    assert!(held.events.is_empty());
}
