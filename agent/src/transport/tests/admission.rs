//! Peers that open more connections than may be, or faster than may be.

use super::*;
use crate::transport::limits::{MAX_ACCEPTED_OF_STRANGERS, Rate};

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_counted() {
    let mut b = Peer::with_capacity(2 * MAX_ACCEPTED_OF_STRANGERS);
    let stranger = stranger();
    let mut held = Vec::new();
    for _ in 0..MAX_ACCEPTED_OF_STRANGERS {
        let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
        let connection = connecting.await.expect("connected");
        let (mut send, recv) = connection.open_bi().await.expect("a stream");
        send.write_all(&[0]).await.expect("written");
        assert!(matches!(b.next().await, StreamEvent::Accepted { .. }));
        held.push((connection, send, recv));
    }
    let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
    assert!(connecting.await.is_err());
    assert_eq!(b.count("quic_connections_refused"), 1);
    held.pop();
    assert!(matches!(b.next().await, StreamEvent::Closed { .. }));
    let mut a = Peer::start();
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"room again".to_vec());
    assert_eq!(a.next().await, StreamEvent::Written { stream: STREAM });
    assert!(matches!(b.next().await, StreamEvent::Accepted { .. }));
}

/// A flood of first packets from an address that the sender owns. While it goes on, members open streams.
#[tokio::test(start_paused = true)]
async fn a_flood_of_handshakes_is_ignored_beyond_a_pace_and_members_pass_it() {
    const FLOOD: u64 = 100;
    const STREAMS: u64 = 10;
    const PACE: Rate = Rate { per_second: 1, burst: 4 };
    let rates = Rates { handshakes_of_strangers: PACE, ..Rates::default() };
    let (mut a, b) = (Peer::start(), Peer::at_pace(rates));
    b.quic.set_members([a.quic.local_addr()]);
    let stranger = stranger();
    let mut flood = Vec::new();
    for n in 1..=FLOOD {
        let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
        flood.push(tokio::spawn(connecting));
        // One after the other, so that no packet is lost. Time does not pass meanwhile, so no token comes back.
        let ignored = n.saturating_sub(PACE.burst.into());
        let is_done = |b: &Peer| b.count("quic_attempts_ignored") >= ignored;
        for _ in 0..MAX_LOOKS {
            if is_done(&b) {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert!(is_done(&b), "{n}: {:?}", b.quic.counters().snapshot());
    }
    for n in 0..STREAMS {
        let stream = StreamId(n);
        a.quic.open(stream, b.quic.local_addr());
        a.quic.send(stream, b"repair".to_vec());
        assert_eq!(a.next().await, StreamEvent::Written { stream });
    }
    assert!(b.count("quic_attempts_ignored") >= FLOOD - u64::from(PACE.burst));
    assert!(b.count("quic_connections_accepted") >= STREAMS);
    assert_eq!(b.count("quic_connections_refused"), 0, "there was a place for each");
    assert!(b.count("quic_retries_sent") > 0);
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}
