//! Names of other domains, with a server that the tests play.

use std::net::SocketAddr;

use domain::base::Header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::super::forwarding::MAX_FORWARDS;
use super::sockets::{Served, framed, receive};
use super::*;

fn forwarding_to(servers: &[SocketAddr]) -> Door {
    Door::with(DnsConfig { forward: servers.to_vec(), ..config() }, false)
}

async fn server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let addr = socket.local_addr().expect("bound");
    (socket, addr)
}

/// The next question that reaches a server.
async fn asked(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 4_096];
    let (length, from) = socket.recv_from(&mut buffer).await.expect("a question");
    buffer.truncate(length);
    (buffer, from)
}

/// A question as its own answer.
fn answered(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    Header::for_message_slice_mut(&mut answer).set_qr(true);
    answer
}

fn id(message: &[u8]) -> u16 {
    Message::from_octets(message).expect("a message").header().id()
}

#[tokio::test]
async fn another_server_is_asked_under_another_id_and_its_answer_passed_on() {
    let (socket, addr) = server().await;
    let served = Served::start(forwarding_to(&[addr])).await;
    let query = query("Example.com", Rtype::A, Some(4_096));
    let serve = async {
        let (question, from) = asked(&socket).await;
        let message = Message::from_octets(&question[..]).expect("a message");
        let name = message.first_question().expect("one").qname().to_string();
        assert_eq!((name.as_str(), message.header().rd()), ("Example.com", true));
        assert_eq!(message.opt().expect("EDNS").udp_payload_size(), 1_232, "no more than we take");
        // Of somebody who guesses, and who answers something else.
        let mut guessed = answered(&question);
        Header::for_message_slice_mut(&mut guessed).set_id(id(&question).wrapping_add(1));
        socket.send_to(&guessed, from).await.expect("sent");
        let mut other = answered(&question);
        other[13] = b'x';
        socket.send_to(&other, from).await.expect("sent");
        socket.send_to(&answered(&question), from).await.expect("sent");
        id(&question)
    };
    let (told, first_id) = tokio::join!(served.datagram(&query), serve);
    assert_eq!(told.rcode, Rcode::NOERROR);
    let counters = served.door.counters();
    assert_eq!((counters["dns_forwarded"], counters["dns_forwards_mismatched"]), (1, 2));
    let again = async {
        let (question, from) = asked(&socket).await;
        socket.send_to(&answered(&question), from).await.expect("sent");
        (id(&question), from)
    };
    let (_, (second_id, _)) = tokio::join!(served.datagram(&query), again);
    assert!(first_id != 4_711 || second_id != 4_711, "not the id of the client");
}

#[tokio::test]
async fn over_tcp_the_other_server_is_asked_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let addr = listener.local_addr().expect("bound");
    let served = Served::start(forwarding_to(&[addr])).await;
    let mut stream = served.connect().await;
    let query = query("example.com", Rtype::TXT, None);
    stream.write_all(&framed(&query)).await.expect("taken");
    let serve = async {
        let (mut asked, _) = listener.accept().await.expect("a connection");
        let length = asked.read_u16().await.expect("a question");
        let mut question = vec![0; length.into()];
        asked.read_exact(&mut question).await.expect("a whole question");
        asked.write_all(&framed(&answered(&question))).await.expect("taken");
    };
    let (told, ()) = tokio::join!(receive(&mut stream), serve);
    assert_eq!(told.rcode, Rcode::NOERROR);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_gives_way_to_the_next() {
    let ((_silent, first), (second, addr)) = (server().await, server().await);
    let served = Served::start(forwarding_to(&[first, addr])).await;
    let query = query("example.com", Rtype::A, None);
    for _ in 0..2 {
        let serve = async {
            let (question, from) = asked(&second).await;
            second.send_to(&answered(&question), from).await.expect("sent");
        };
        let (told, ()) = tokio::join!(served.datagram(&query), serve);
        assert_eq!(told.rcode, Rcode::NOERROR);
    }
    let told = served.datagram(&query).await;
    assert_eq!(told.rcode, Rcode::SERVFAIL, "neither answers now");
    let counters = served.door.counters();
    assert_eq!((counters["dns_forwarded"], counters["dns_forwards_failed"]), (2, 1));
}

#[tokio::test]
async fn no_more_questions_are_under_way_than_allowed() {
    let (_silent, addr) = server().await;
    let served = Served::start(forwarding_to(&[addr])).await;
    let forwarder = served.door.taking.forwarder.clone().expect("there is one");
    let mut places: Vec<_> = (0..MAX_FORWARDS).map(|_| forwarder.place().expect("free")).collect();
    let query = query("example.com", Rtype::A, None);
    assert_eq!(served.datagram(&query).await.rcode, Rcode::SERVFAIL, "at once");
    assert_eq!(served.door.counters()["dns_forwards_dropped"], 1);
    places.clear();
    assert!(forwarder.place().is_some());
}
