//! The sockets of a door, and their limits.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

use super::super::tcp::MAX_QUERY_BYTES;
use super::super::{tcp, udp};
use super::*;

/// Connections that are open at the same time.
const MAX_CONNECTIONS: usize = 8;

pub(super) struct Served {
    pub(super) door: Door,
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
    serving: [JoinHandle<()>; 2],
}

impl Served {
    pub(super) async fn start(door: Door) -> Self {
        let any = "127.0.0.1:0";
        let socket = UdpSocket::bind(any).await.expect("bound");
        let listener = TcpListener::bind(any).await.expect("bound");
        let udp = socket.local_addr().expect("bound");
        let tcp = listener.local_addr().expect("bound");
        let serving = [
            tokio::spawn(udp::serve(door.taking.clone(), socket)),
            tokio::spawn(tcp::serve(door.taking.clone(), listener, MAX_CONNECTIONS)),
        ];
        Self { door, udp, tcp, serving }
    }

    /// The answer to a datagram.
    pub(super) async fn datagram(&self, query: &[u8]) -> Told {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        socket.send_to(query, self.udp).await.expect("sent");
        let mut buffer = vec![0; 4_096];
        let (length, from) = socket.recv_from(&mut buffer).await.expect("an answer");
        assert_eq!(from, self.udp);
        Told::read(&buffer[..length])
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.tcp).await.expect("connected")
    }

    fn count(&self, name: &str) -> u64 {
        self.door.counters()[&format!("dns_{name}")]
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

pub(super) fn framed(query: &[u8]) -> Vec<u8> {
    let length = u16::try_from(query.len()).expect("a query");
    [&length.to_be_bytes()[..], query].concat()
}

pub(super) async fn receive(stream: &mut TcpStream) -> Told {
    let length = stream.read_u16().await.expect("an answer");
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await.expect("a whole answer");
    Told::read(&answer)
}

#[tokio::test]
async fn datagrams_and_streams_are_answered_alike() {
    let served = Served::start(Door::filled()).await;
    let asked = query("v1.web.service.consul", Rtype::A, None);
    let told = served.datagram(&asked).await;
    assert_eq!(told.answers, ["v1.web.service.consul A 10.0.0.1"]);
    let mut stream = served.connect().await;
    // Three at once, in pieces.
    let all = [framed(&asked), framed(&asked), framed(&asked)].concat();
    for piece in all.chunks(7) {
        stream.write_all(piece).await.expect("taken");
    }
    for _ in 0..3 {
        assert_eq!(receive(&mut stream).await.answers, told.answers);
    }
    assert_eq!(served.count("queries"), 4);
    assert_eq!((served.count("connections"), served.count("connections_accepted")), (1, 1));
}

#[tokio::test]
async fn a_query_that_is_too_long_ends_its_connection() {
    let served = Served::start(Door::filled()).await;
    let mut stream = served.connect().await;
    stream.write_u16(u16::try_from(MAX_QUERY_BYTES + 1).expect("a length")).await.expect("taken");
    assert_eq!(stream.read_u8().await.map_err(|error| error.kind()).ok(), None, "closed");
    assert_eq!((served.count("malformed"), served.count("connections_failed")), (1, 1));
}

#[tokio::test]
async fn a_connection_too_many_takes_the_place_of_the_one_that_is_idle_longest() {
    let served = Served::start(Door::filled()).await;
    let asked = framed(&query("v1.web.service.consul", Rtype::A, None));
    let mut crowd = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = served.connect().await;
        stream.write_all(&asked).await.expect("taken");
        receive(&mut stream).await;
        crowd.push(stream);
    }
    // The first one asks again, so that the second is idle longest.
    crowd[0].write_all(&asked).await.expect("taken");
    receive(&mut crowd[0]).await;
    let mut one_more = served.connect().await;
    one_more.write_all(&asked).await.expect("taken");
    assert_eq!(receive(&mut one_more).await.answers.len(), 1);
    assert_eq!(crowd[1].read(&mut [0]).await.unwrap_or(0), 0, "closed");
    for open in [0, 2, MAX_CONNECTIONS - 1] {
        crowd[open].write_all(&asked).await.expect("taken");
        assert_eq!(receive(&mut crowd[open]).await.answers.len(), 1, "{open} is still open");
    }
    assert_eq!(
        (served.count("connections_displaced"), served.count("connections_refused")),
        (1, 0)
    );
    assert_eq!((served.count("connections"), served.count("connections_failed")), (8, 0));
}

#[tokio::test]
async fn a_connection_whose_query_is_under_way_is_not_closed_for_another() {
    // A server that takes connections and answers nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let addr = silent.local_addr().expect("bound");
    let served = Served::start(forwarding::forwarding_to(&[addr])).await;
    let mut crowd = Vec::new();
    for n in 0..MAX_CONNECTIONS {
        let mut stream = served.connect().await;
        let name = format!("n{n}.example.com");
        stream.write_all(&framed(&query(&name, Rtype::A, None))).await.expect("taken");
        crowd.push(stream);
    }
    let forwarder = served.door.taking.forwarder.as_ref().expect("there is one");
    until(|| forwarder.waiting() == MAX_CONNECTIONS).await;
    let mut one_more = served.connect().await;
    assert_eq!(one_more.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    assert_eq!(
        (served.count("connections_displaced"), served.count("connections_refused")),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_query_is_closed_in_time() {
    let served = Served::start(Door::filled()).await;
    for begun in [&b""[..], b"\x00", b"\x00\x20abc"] {
        let mut stream = served.connect().await;
        stream.write_all(begun).await.expect("taken");
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    }
    assert_eq!((served.count("connections_failed"), served.count("connections")), (3, 0));
}
