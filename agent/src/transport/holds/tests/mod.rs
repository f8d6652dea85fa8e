//! Tests of both sides with each other, and with peers that break the rules, over the loopback interface.
//!
//! While the clock is paused, time passes only when nothing else can happen, so a timeout costs nothing.

mod sealed;
mod sync_port;

use std::net::Ipv4Addr;
use std::time::Duration;

use hobnob_membership::DEFAULT_CLUSTER;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::opening::Opening;
use super::preamble::{GOODBYE, HELD, Preamble};
use super::*;
use crate::transport::limits::MAX_HOLDS;

/// A timeout that only a hang exceeds.
const TEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Looks at a value before a test gives up. Each look lets all other tasks run.
const MAX_LOOKS: usize = 100_000;
const MEMBER: NodeId = NodeId(100);
const SYNC_PORT: u16 = 0x1234;

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn settings(node_id: NodeId, places: usize) -> HoldSettings {
    HoldSettings {
        cluster: ClusterId::named(DEFAULT_CLUSTER),
        node_id,
        places,
        is_sealed: false,
        sync_port: None,
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(loopback()).await.expect("bound");
    let addr = listener.local_addr().expect("bound");
    (listener, addr)
}

/// An agent that takes connections.
struct Member {
    holds: Holds,
    addr: SocketAddr,
}

impl Member {
    async fn start(places: usize) -> Self {
        Self::with(settings(MEMBER, places)).await
    }

    async fn with(settings: HoldSettings) -> Self {
        let (listener, addr) = listener().await;
        let events = mpsc::channel(1).0;
        let holds =
            Holds::start(Some(listener), settings, (source(), SYNC_PORT), events, Arc::default());
        Self { holds, addr }
    }

    fn count(&self, name: &str) -> u64 {
        let counters = self.holds.counters.snapshot().into_iter().chain(self.holds.held());
        counters.into_iter().find(|(other, _)| *other == name).expect("a counter").1
    }

    async fn until_count(&self, name: &str, count: u64) {
        for _ in 0..MAX_LOOKS {
            if self.count(name) == count {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{name} did not become {count}: {}", self.count(name));
    }
}

/// Any address of this host.
fn source() -> TcpSource {
    TcpSource::of(SocketAddr::from(([0; 4], 0)))
}

/// An agent that holds connections.
struct Monitor {
    holds: Holds,
    events: mpsc::Receiver<HoldEvent>,
    next: u64,
}

impl Monitor {
    fn start(node: u64) -> Self {
        Self::with(settings(NodeId(node), 1))
    }

    fn with(settings: HoldSettings) -> Self {
        let (tx, events) = mpsc::channel(64);
        let holds = Holds::start(None, settings, (source(), 0), tx, Arc::default());
        Self { holds, events, next: 0 }
    }

    fn begin(&mut self, to: SocketAddr) -> HoldId {
        self.next += 1;
        let hold = HoldId(self.next);
        self.holds.hold(hold, to, MEMBER).expect("there is room");
        hold
    }

    async fn next(&mut self) -> HoldEvent {
        let event = timeout(TEST_TIMEOUT, self.events.recv()).await.expect("in time");
        let event = event.expect("it lives");
        assert!(self.holds.note(&event), "{event:?} is of a connection that is wanted");
        event
    }

    /// How a new connection ends: `None` once it is held.
    async fn hold(&mut self, to: SocketAddr) -> Option<HoldEnd> {
        let hold = self.begin(to);
        match self.next().await {
            HoldEvent::Held { hold: held } if held == hold => None,
            HoldEvent::Ended { hold: ended, end } if ended == hold => Some(end),
            other => panic!("{other:?}"),
        }
    }

    async fn end(&mut self) -> HoldEnd {
        match self.next().await {
            HoldEvent::Ended { end, .. } => end,
            other => panic!("{other:?}"),
        }
    }

    async fn reach(&mut self, to: SocketAddr) -> ReachOutcome {
        let id = ReachId { node: MEMBER, nonce: [7; 4] };
        self.holds.reach(to, id).expect("there is room");
        match self.next().await {
            HoldEvent::Reached { reach, outcome } if reach == id => outcome,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_end_of_the_member_closes_a_held_connection() {
    let member = Member::start(2).await;
    let mut monitor = Monitor::start(1);
    assert_eq!(monitor.hold(member.addr).await, None);
    assert_eq!((member.count("holds_in"), member.count("holds_taken")), (1, 1));
    assert_eq!(monitor.holds.held()[1], ("holds_out", 1));
    drop(member);
    assert_eq!(monitor.end().await, HoldEnd::Closed, "a FIN, for nothing is left unread");
    assert_eq!(monitor.holds.held()[1], ("holds_out", 0));
}

#[tokio::test]
async fn a_planned_stop_says_goodbye_and_holds_nothing_more() {
    let member = Member::start(2).await;
    let (mut first, mut second) = (Monitor::start(1), Monitor::start(2));
    assert_eq!((first.hold(member.addr).await, second.hold(member.addr).await), (None, None));
    member.holds.say_goodbye();
    assert_eq!(first.end().await, HoldEnd::Goodbye);
    assert_eq!(second.end().await, HoldEnd::Goodbye);
    assert_eq!(first.hold(member.addr).await, Some(HoldEnd::Failed));
    assert_eq!(first.reach(member.addr).await, ReachOutcome::Open, "the process lives still");
    drop(member);
}

#[tokio::test]
async fn a_released_connection_frees_its_place_and_is_told_of_no_more() {
    let member = Member::start(1).await;
    let mut monitor = Monitor::start(1);
    let hold = monitor.begin(member.addr);
    monitor.next().await;
    monitor.holds.release(hold);
    member.until_count("holds_in", 0).await;
    assert!(!monitor.holds.note(&HoldEvent::Ended { hold, end: HoldEnd::Closed }));
    assert_eq!(Monitor::start(2).hold(member.addr).await, None, "another may have it");
    assert_eq!(member.count("holds_refused"), 0);
    assert!(monitor.events.is_empty());
}

/// A member in the hands of the test: it takes one connection and reads the preamble.
async fn accepted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let Ok(Opening::Hold(preamble)) = Opening::read(&mut stream).await else {
        panic!("no preamble");
    };
    assert!(preamble.is_for(ClusterId::named(DEFAULT_CLUSTER), MEMBER));
    assert_eq!(preamble.sender, NodeId(1));
    stream
}

#[tokio::test]
async fn each_end_is_told_apart() {
    let (listener, addr) = listener().await;
    for (answer, end) in [
        (&[GOODBYE][..], HoldEnd::Failed),
        (&[7], HoldEnd::Failed),
        (&[], HoldEnd::Failed),
        (&[HELD], HoldEnd::Closed),
        (&[HELD, GOODBYE], HoldEnd::Goodbye),
        (&[HELD, HELD], HoldEnd::Failed),
    ] {
        let mut monitor = Monitor::start(1);
        monitor.begin(addr);
        let mut stream = accepted(&listener).await;
        stream.write_all(answer).await.expect("room");
        drop(stream);
        if answer.first() == Some(&HELD) {
            assert!(matches!(monitor.next().await, HoldEvent::Held { .. }), "{answer:?}");
        }
        assert_eq!(monitor.end().await, end, "{answer:?}");
    }
    let mut monitor = Monitor::start(1);
    monitor.begin(addr);
    let mut stream = accepted(&listener).await;
    stream.write_all(&[HELD]).await.expect("room");
    monitor.next().await;
    stream.set_zero_linger().expect("a socket");
    drop(stream);
    assert_eq!(monitor.end().await, HoldEnd::Reset);
    drop(listener);
    assert_eq!(monitor.hold(addr).await, Some(HoldEnd::Failed), "refused");
}

#[tokio::test]
async fn an_agent_of_an_earlier_version_that_drops_what_it_accepts_holds_nothing() {
    let (listener, addr) = listener().await;
    let earlier = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.expect("a connection"));
        }
    });
    let mut monitor = Monitor::start(1);
    assert_eq!(monitor.hold(addr).await, Some(HoldEnd::Failed));
    assert_eq!(monitor.reach(addr).await, ReachOutcome::Dropped);
    earlier.abort();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_never_answers_holds_nothing() {
    let (_listener, addr) = listener().await;
    assert_eq!(Monitor::start(1).hold(addr).await, Some(HoldEnd::Failed));
}

#[tokio::test]
async fn monitors_come_first_when_all_places_are_taken() {
    let member = Member::start(2).await;
    let mut others = [1, 2, 3].map(Monitor::start);
    assert_eq!(others[0].hold(member.addr).await, None);
    assert_eq!(others[1].hold(member.addr).await, None);
    assert_eq!(others[2].hold(member.addr).await, Some(HoldEnd::Failed));
    assert_eq!(member.count("holds_refused"), 1);
    member.holds.set_monitors([NodeId(8)]);
    let mut monitor = Monitor::start(8);
    assert_eq!(monitor.hold(member.addr).await, None);
    assert_eq!(others[0].end().await, HoldEnd::Goodbye, "it has held its place for longest");
    assert_eq!((member.count("holds_in"), member.count("holds_displaced")), (2, 1));
    assert!(others[1].events.is_empty() && monitor.events.is_empty());
}

#[tokio::test]
async fn a_later_connection_of_a_node_replaces_the_earlier_one() {
    let member = Member::start(4).await;
    let (mut before, mut after) = (Monitor::start(1), Monitor::start(1));
    assert_eq!(before.hold(member.addr).await, None);
    assert_eq!(after.hold(member.addr).await, None);
    assert_eq!(before.end().await, HoldEnd::Closed, "a goodbye in its name would blind it");
    assert_eq!((member.count("holds_in"), member.count("holds_displaced")), (1, 1));
    drop(after);
    member.until_count("holds_in", 0).await;
}

#[tokio::test]
async fn a_preamble_for_another_is_refused() {
    let member = Member::start(2).await;
    let cluster = ClusterId::named("another");
    let mut stranger = Monitor::with(HoldSettings { cluster, ..settings(NodeId(1), 1) });
    assert_eq!(stranger.hold(member.addr).await, Some(HoldEnd::Failed));
    let mut lost = Monitor::start(1);
    lost.holds.hold(HoldId(9), member.addr, NodeId(101)).expect("there is room");
    assert_eq!(lost.end().await, HoldEnd::Failed);
    assert_eq!((member.count("holds_invalid"), member.count("holds_in")), (2, 0));
}

#[tokio::test]
async fn garbage_is_dropped_before_and_after_the_preamble() {
    let member = Member::start(2).await;
    let mut stream = TcpStream::connect(member.addr).await.expect("connected");
    stream.write_all(&[b'x'; 64]).await.expect("room");
    // It ends by a reset, for the rest was not read.
    timeout(TEST_TIMEOUT, stream.read_u8()).await.expect("in time").expect_err("it ended");
    member.until_count("holds_invalid", 1).await;

    let mut stream = TcpStream::connect(member.addr).await.expect("connected");
    let preamble = Preamble::clear(ClusterId::named(DEFAULT_CLUSTER), NodeId(1), MEMBER);
    stream.write_all(&preamble.bytes()).await.expect("room");
    assert_eq!(stream.read_u8().await.expect("answered"), HELD);
    stream.write_all(b"more").await.expect("room");
    timeout(TEST_TIMEOUT, stream.read_u8()).await.expect("in time").expect_err("it ended");
    member.until_count("holds_invalid", 2).await;
    member.until_count("holds_in", 0).await;
}

#[tokio::test]
async fn probes_that_say_nothing_are_taken() {
    let member = Member::start(2).await;
    for is_reset in [true, false] {
        let stream = TcpStream::connect(member.addr).await.expect("connected");
        if is_reset {
            stream.set_zero_linger().expect("a socket");
        }
    }
    member.until_count("tcp_probes_taken", 2).await;
    assert_eq!(member.count("holds_silent") + member.count("holds_invalid"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_silent_connections_is_dropped_and_members_are_held_again() {
    const FLOOD: u64 = 50;
    let member = Member::start(2).await;
    let mut flood = Vec::new();
    for _ in 0..FLOOD {
        flood.push(TcpStream::connect(member.addr).await.expect("connected"));
    }
    for stream in &mut flood {
        // One waits for its time to say something, and all others are dropped at once.
        timeout(TEST_TIMEOUT, stream.read_u8()).await.expect("in time").expect_err("it ended");
    }
    let dropped = (member.count("holds_silent"), member.count("holds_crowded"));
    assert_eq!(dropped, (1, FLOOD - 1));
    assert_eq!(Monitor::start(1).hold(member.addr).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_process_is_reached_refused_dropped_or_silent() {
    let mut monitor = Monitor::start(1);
    let member = Member::start(2).await;
    assert_eq!(monitor.reach(member.addr).await, ReachOutcome::Open);
    member.until_count("tcp_probes_taken", 1).await;

    let (stalled, addr) = listener().await;
    assert_eq!(monitor.reach(addr).await, ReachOutcome::Open, "nobody accepts it, nor drops it");
    drop(stalled);
    assert_eq!(monitor.reach(addr).await, ReachOutcome::Refused);

    for is_reset in [false, true] {
        let (dying, addr) = listener().await;
        let drops = async {
            let (stream, _) = dying.accept().await.expect("a connection");
            if is_reset {
                stream.set_zero_linger().expect("a socket");
            }
        };
        let (outcome, ()) = tokio::join!(monitor.reach(addr), drops);
        assert_eq!(outcome, ReachOutcome::Dropped, "reset: {is_reset}");
    }

    let (talker, addr) = listener().await;
    let talks = async {
        let (mut stream, _) = talker.accept().await.expect("a connection");
        stream.write_all(b"SSH-2.0-").await.expect("room");
        stream
    };
    let (outcome, _stream) = tokio::join!(monitor.reach(addr), talks);
    assert_eq!(outcome, ReachOutcome::Open);

    let nowhere = (Ipv4Addr::BROADCAST, 1).into();
    assert_eq!(monitor.reach(nowhere).await, ReachOutcome::LocalError);
    assert_eq!(monitor.hold(nowhere).await, Some(HoldEnd::Failed));
    assert_eq!(monitor.holds.counters.local_errors.get(), 2);
}

/// A queue of connections that is full takes no further one, and says nothing.
#[tokio::test(start_paused = true)]
async fn a_host_that_says_nothing_is_silent() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(loopback()).expect("bound");
    let full = socket.listen(1).expect("listening");
    let addr = full.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_secs(1), TcpStream::connect(addr)).await {
        waiting.push(stream);
    }
    assert_eq!(Monitor::start(1).reach(addr).await, ReachOutcome::Silent);
}

#[tokio::test]
async fn no_more_are_under_way_than_there_is_room_for() {
    let (_listener, addr) = listener().await;
    let mut monitor = Monitor::start(1);
    for _ in 0..MAX_HOLDS {
        monitor.begin(addr);
    }
    let refused = monitor.holds.hold(HoldId(99), addr, MEMBER).expect_err("no room");
    assert_eq!(refused, HoldEvent::Ended { hold: HoldId(99), end: HoldEnd::Failed });
    let reach = ReachId { node: MEMBER, nonce: [0; 4] };
    for _ in 0..MAX_REACHES {
        monitor.holds.reach(addr, reach).expect("there is room");
    }
    let refused = monitor.holds.reach(addr, reach).expect_err("no room");
    assert_eq!(refused, HoldEvent::Reached { reach, outcome: ReachOutcome::LocalError });
    let dropped = (&monitor.holds.counters.holds_dropped, &monitor.holds.counters.reaches_dropped);
    assert_eq!((dropped.0.get(), dropped.1.get()), (1, 1));
    monitor.holds.release(HoldId(1));
    monitor.holds.hold(HoldId(99), addr, MEMBER).expect("there is room again");
}

#[tokio::test]
async fn a_connection_to_itself_is_no_member() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(loopback()).expect("bound");
    let addr = socket.local_addr().expect("bound");
    let to_itself = socket.connect(addr).await.expect("connected to itself");
    assert!(reach::is_to_itself(&to_itself));
    let (_listener, addr) = listener().await;
    assert!(!reach::is_to_itself(&TcpStream::connect(addr).await.expect("connected")));
}
