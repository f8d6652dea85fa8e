//! Tests of endpoints with each other, and with peers that break the rules, over the loopback interface.
//!
//! While the clock is paused, time passes only when nothing else can happen. So a short wait lasts until everything is
//! idle, and a long timeout costs nothing.

mod admission;
mod gossip_address;
mod keys;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hobnob_keys::{NodeKey, PublicKey};
use hobnob_membership::StreamId;
use hobnob_membership::limits::{MAX_FRAME_BYTES, MAX_FRAMES_IN_FLIGHT};
use quinn::{ConnectionError, Endpoint, VarInt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::pace::Rates;
use super::session::CloseCode;
use super::tls::{Identity, NODE_NAME};
use super::*;

const STREAM: StreamId = StreamId(7);
const FIRST_ACCEPTED: StreamId = StreamId::accepted(0);
/// A timeout that only a hang exceeds.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Looks at the counters before a test gives up. Each look lets all other tasks run.
const MAX_LOOKS: usize = 100_000;
/// A wait that lasts until everything is idle, while the clock is paused.
const STILL: Duration = Duration::from_secs(1);

struct Peer {
    quic: Quic,
    key: PublicKey,
    events: mpsc::Receiver<StreamEvent>,
}

impl Peer {
    fn start() -> Self {
        Self::with_capacity(16)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self::with(capacity, Rates::default())
    }

    fn at_pace(rates: Rates) -> Self {
        Self::with(1_024, rates)
    }

    fn with(capacity: usize, rates: Rates) -> Self {
        let (tx, events) = mpsc::channel(capacity);
        let key = a_key();
        let quic = Quic::bind_at_pace(loopback(), &key, tx, rates).expect("bound");
        Self { quic, key: key.public_key(), events }
    }

    async fn next_of_all(&mut self) -> StreamEvent {
        timeout(TEST_TIMEOUT, self.events.recv())
            .await
            .expect("an event in time")
            .expect("the endpoint lives")
    }

    /// The next event that is not `Secured`.
    async fn next(&mut self) -> StreamEvent {
        loop {
            match self.next_of_all().await {
                StreamEvent::Secured { .. } => {}
                event => return event,
            }
        }
    }

    /// The next event that is not `Written`.
    async fn next_but_written(&mut self) -> StreamEvent {
        loop {
            match self.next().await {
                StreamEvent::Written { .. } => {}
                event => return event,
            }
        }
    }

    /// Asserts that nothing more happens, while the clock is paused.
    async fn assert_still(&mut self) {
        if let Ok(event) = timeout(STILL, self.events.recv()).await {
            panic!("unexpected: {event:?}");
        }
    }

    fn count(&self, name: &str) -> u64 {
        let counters: HashMap<_, _> = self.quic.counters().snapshot().into_iter().collect();
        counters[name]
    }
}

/// A key of random bytes.
fn a_key() -> NodeKey {
    NodeKey::from_seed(&rand::random())
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn frame(stream: StreamId, bytes: &[u8]) -> StreamEvent {
    StreamEvent::Frame { stream, bytes: Bytes::copy_from_slice(bytes) }
}

fn accepted(stream: StreamId) -> StreamEvent {
    StreamEvent::Accepted { stream }
}

fn closed(stream: StreamId) -> StreamEvent {
    StreamEvent::Closed { stream }
}

/// A client that speaks QUIC but not necessarily our protocol.
fn stranger() -> Endpoint {
    let mut endpoint = Endpoint::client(loopback()).expect("bound");
    let identity = Identity::of(&a_key()).expect("a key");
    endpoint.set_default_client_config(identity.client_config().expect("a configuration"));
    endpoint
}

fn closed_by_peer(error: &ConnectionError, code: CloseCode) -> bool {
    matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from(code))
}

#[tokio::test]
async fn frames_go_both_ways_and_both_sides_see_the_end() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    let largest = vec![9; MAX_FRAME_BYTES];
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"hello".to_vec());
    a.quic.send(STREAM, largest.clone());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"hello"));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, &largest));
    b.quic.send(FIRST_ACCEPTED, b"hello yourself".to_vec());
    assert_eq!(a.next().await, StreamEvent::Written { stream: STREAM });
    assert_eq!(a.next().await, StreamEvent::Written { stream: STREAM });
    assert_eq!(a.next().await, frame(STREAM, b"hello yourself"));
    a.quic.finish(STREAM);
    assert_eq!(b.next_but_written().await, closed(FIRST_ACCEPTED));
    b.quic.finish(FIRST_ACCEPTED);
    assert_eq!(a.next().await, closed(STREAM));
    assert_eq!((a.count("quic_streams_failed"), b.count("quic_streams_failed")), (0, 0));
    assert_eq!(b.count("quic_connections_accepted"), 1);
}

/// The end of the peer's side may arrive before the driver has seen its last frame.
#[tokio::test(start_paused = true)]
async fn an_answer_to_the_last_frame_arrives() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"question".to_vec());
    a.quic.finish(STREAM);
    tokio::time::sleep(STILL).await;
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"question"));
    b.quic.send(FIRST_ACCEPTED, b"answer".to_vec());
    assert_eq!(b.next().await, closed(FIRST_ACCEPTED));
    b.quic.finish(FIRST_ACCEPTED);
    assert_eq!(a.next_but_written().await, frame(STREAM, b"answer"));
    assert_eq!(a.next().await, closed(STREAM));
    a.assert_still().await;
    b.assert_still().await;
    assert_eq!((a.count("quic_streams_failed"), b.count("quic_streams_failed")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_forgets_to_finish_is_helped_out() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"bye".to_vec());
    a.quic.finish(STREAM);
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"bye"));
    assert_eq!(b.next().await, closed(FIRST_ACCEPTED));
    assert_eq!(a.next_but_written().await, closed(STREAM));
    assert_eq!((a.count("quic_streams_failed"), b.count("quic_streams_failed")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_sender_back_and_loses_nothing() {
    const FRAMES: u32 = 100;
    let payload = |n: u32| [n.to_be_bytes().to_vec(), vec![0; MAX_FRAME_BYTES - 4]].concat();
    let (mut a, mut b) = (Peer::start(), Peer::with_capacity(2));
    a.quic.open(STREAM, b.quic.local_addr());
    let mut sent = 0;
    while sent < MAX_FRAMES_IN_FLIGHT as u32 {
        a.quic.send(STREAM, payload(sent));
        sent += 1;
    }
    let mut on_written = |event| {
        if matches!(event, StreamEvent::Secured { .. }) {
            return sent;
        }
        assert_eq!(event, StreamEvent::Written { stream: STREAM });
        if sent < FRAMES {
            a.quic.send(STREAM, payload(sent));
        } else {
            a.quic.finish(STREAM);
        }
        sent += 1;
        sent
    };
    let mut written = 0;
    while let Ok(Some(event)) = timeout(STILL, a.events.recv()).await {
        written = on_written(event) - MAX_FRAMES_IN_FLIGHT as u32;
    }
    // 256 KiB are unread at the receiver, 256 KiB unacknowledged at the sender, and there is one more frame on either
    // side of both windows.
    assert!(
        (4..=10).contains(&written),
        "{written} frames were taken off a sender whose reader is away"
    );
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    for n in 0..FRAMES {
        loop {
            tokio::select! {
                biased;
                Some(event) = a.events.recv() => { on_written(event); }
                event = b.next() => {
                    assert_eq!(event, frame(FIRST_ACCEPTED, &payload(n)), "frame {n}");
                    break;
                }
            }
        }
    }
    assert_eq!(b.next().await, closed(FIRST_ACCEPTED));
    assert_eq!(b.count("quic_streams_failed"), 0);
}

/// Both sides have finished and the sender has closed the connection, long before the driver reads the frames.
#[tokio::test(start_paused = true)]
async fn frames_sent_before_the_connection_closed_are_still_read() {
    let (mut a, mut b) = (Peer::start(), Peer::with_capacity(2));
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"first".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    b.quic.finish(FIRST_ACCEPTED);
    assert_eq!(a.next_but_written().await, closed(STREAM));
    for _ in 1..MAX_FRAMES_IN_FLIGHT {
        a.quic.send(STREAM, vec![1; 50_000]);
    }
    a.quic.finish(STREAM);
    tokio::time::sleep(TEST_TIMEOUT).await;
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"first"));
    for _ in 1..MAX_FRAMES_IN_FLIGHT {
        assert_eq!(b.next().await, frame(FIRST_ACCEPTED, &[1; 50_000]));
    }
    assert_eq!(b.next().await, closed(FIRST_ACCEPTED));
    assert_eq!((a.count("quic_streams_failed"), b.count("quic_streams_failed")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn nobody_at_the_other_end_is_a_closed_stream() {
    let silent = UdpSocket::bind(loopback()).await.expect("a free port");
    let gone =
        UdpSocket::bind(loopback()).await.expect("a free port").local_addr().expect("an address");
    let mut a = Peer::start();
    let unusable = "127.0.0.1:0".parse().expect("an address");
    for to in [silent.local_addr().expect("an address"), gone, unusable] {
        a.quic.open(STREAM, to);
        a.quic.send(STREAM, b"anybody?".to_vec());
        assert_eq!(a.next().await, closed(STREAM), "{to}");
        a.assert_still().await;
    }
    assert_eq!(a.count("quic_streams_failed"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_dies_is_a_closed_stream() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"hello".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    drop(b);
    assert_eq!(a.next_but_written().await, closed(STREAM));
    a.assert_still().await;
    assert_eq!(a.count("quic_streams_failed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_told_to_the_peer_and_not_to_us() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"hello".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"hello"));
    b.quic.reset(FIRST_ACCEPTED);
    b.quic.send(FIRST_ACCEPTED, b"too late".to_vec());
    assert_eq!(a.next_but_written().await, closed(STREAM));
    a.assert_still().await;
    b.assert_still().await;
    assert_eq!((a.count("quic_streams_failed"), b.count("quic_streams_failed")), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reset_while_it_is_dialled_is_never_heard_of() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"hello".to_vec());
    a.quic.reset(STREAM);
    a.assert_still().await;
    b.assert_still().await;
}

#[tokio::test]
async fn more_frames_than_may_be_in_flight_fail_the_stream() {
    let mut a = Peer::start();
    let silent = UdpSocket::bind(loopback()).await.expect("a free port");
    a.quic.open(STREAM, silent.local_addr().expect("an address"));
    for _ in 0..=MAX_FRAMES_IN_FLIGHT {
        a.quic.send(STREAM, b"frame".to_vec());
    }
    assert_eq!(a.next().await, closed(STREAM));
    assert_eq!((a.count("quic_sends_overflowed"), a.count("quic_streams_failed")), (1, 1));
}

#[tokio::test]
async fn a_frame_that_no_peer_takes_fails_the_stream_here() {
    let (mut a, b) = (Peer::start(), Peer::start());
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, vec![0; MAX_FRAME_BYTES + 1]);
    assert_eq!(a.next().await, closed(STREAM));
    assert_eq!(a.count("quic_frames_invalid"), 1);
}

#[tokio::test]
async fn a_length_outside_the_limits_ends_the_stream_and_is_counted() {
    let mut b = Peer::start();
    let stranger = stranger();
    for (n, len) in [0, MAX_FRAME_BYTES as u32 + 1, u32::MAX].into_iter().enumerate() {
        let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
        let connection = connecting.await.expect("connected");
        let (mut send, _recv) = connection.open_bi().await.expect("a stream");
        send.write_all(&len.to_be_bytes()).await.expect("written");
        let stream = StreamId::accepted(n as u64);
        assert_eq!(b.next().await, accepted(stream));
        assert_eq!(b.next().await, closed(stream));
        assert!(closed_by_peer(&connection.closed().await, CloseCode::Violation));
    }
    assert_eq!(b.count("quic_frames_invalid"), 3);
}

#[tokio::test]
async fn an_end_in_the_middle_of_a_frame_is_a_failure() {
    let mut b = Peer::start();
    let stranger = stranger();
    let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
    let connection = connecting.await.expect("connected");
    let (mut send, _recv) = connection.open_bi().await.expect("a stream");
    send.write_all(&[0, 0, 0, 9, 1, 2, 3]).await.expect("written");
    send.finish().expect("not yet finished");
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, closed(FIRST_ACCEPTED));
    assert_eq!(b.count("quic_streams_failed"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_stream_is_closed() {
    let mut b = Peer::start();
    let stranger = stranger();
    let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
    let connection = connecting.await.expect("connected");
    assert!(closed_by_peer(&connection.closed().await, CloseCode::Violation));
    assert_eq!(b.count("quic_connections_unused"), 1);
    b.assert_still().await;
}

/// The keep-alives of a peer do not keep its stream open for ever.
#[tokio::test(start_paused = true)]
async fn a_stream_on_which_nothing_happens_is_closed() {
    let mut b = Peer::start();
    let stranger = stranger();
    let connecting = stranger.connect(b.quic.local_addr(), NODE_NAME).expect("a valid address");
    let connection = connecting.await.expect("connected");
    let (mut send, _recv) = connection.open_bi().await.expect("a stream");
    send.write_all(&[0, 0, 0, 9, 1]).await.expect("written");
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, closed(FIRST_ACCEPTED));
    assert!(closed_by_peer(&connection.closed().await, CloseCode::Reset));
}

#[tokio::test]
async fn garbage_datagrams_do_no_harm() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    let noise = UdpSocket::bind(loopback()).await.expect("a free port");
    let mut rng = StdRng::seed_from_u64(1);
    for n in 0..10_000_u32 {
        let mut packet = vec![0; rng.random_range(0..1_500)];
        rng.fill(&mut packet[..]);
        if let Some(head) = packet.first_chunk_mut::<6>()
            && n % 2 == 0
        {
            // These bytes look like the first packet of a connection.
            *head = [0xc0 | head[0], 0, 0, 0, 1, head[5] % 21];
        }
        noise.send_to(&packet, b.quic.local_addr()).await.expect("sent");
    }
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"hello".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"hello"));
    assert_eq!(a.next().await, StreamEvent::Written { stream: STREAM });
}

#[tokio::test]
async fn a_shutdown_delivers_what_was_sent() {
    let (a, mut b) = (Peer::start(), Peer::with_capacity(1));
    a.quic.open(STREAM, b.quic.local_addr());
    a.quic.send(STREAM, b"1".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    a.quic.send(STREAM, vec![2; MAX_FRAME_BYTES]);
    a.quic.send(STREAM, b"3".to_vec());
    let (events, ()) = tokio::join!(
        async {
            let mut events = Vec::new();
            while events.last() != Some(&closed(FIRST_ACCEPTED)) {
                events.push(b.next().await);
            }
            events
        },
        a.quic.shutdown(TEST_TIMEOUT)
    );
    let expected: [&[u8]; 3] = [b"1", &[2; MAX_FRAME_BYTES], b"3"];
    assert_eq!(events[..3], expected.map(|bytes| frame(FIRST_ACCEPTED, bytes)));
    assert_eq!(events.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_no_longer_than_its_grace() {
    let (a, mut b) = (Peer::start(), Peer::with_capacity(1));
    a.quic.open(STREAM, b.quic.local_addr());
    for _ in 0..MAX_FRAMES_IN_FLIGHT {
        a.quic.send(STREAM, vec![1; MAX_FRAME_BYTES]);
    }
    let silent = UdpSocket::bind(loopback()).await.expect("a free port");
    a.quic.open(StreamId(8), silent.local_addr().expect("an address"));
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    let began = tokio::time::Instant::now();
    a.quic.shutdown(Duration::from_millis(500)).await;
    assert!(began.elapsed() <= Duration::from_millis(510), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let a = Peer::start();
    let (tx, _rx) = mpsc::channel(1);
    let error = Quic::bind(a.quic.local_addr(), &a_key(), tx).expect_err("in use").to_string();
    assert!(error.contains(&a.quic.local_addr().to_string()), "{error}");
}
