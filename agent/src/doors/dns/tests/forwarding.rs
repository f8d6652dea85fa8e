//! Names of other domains, with a server that the tests play.

use std::net::SocketAddr;

use domain::base::Header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::sockets::{Served, framed, receive};
use super::*;

pub(super) fn forwarding_to(servers: &[SocketAddr]) -> Door {
    Door::with(DnsConfig { forward: servers.to_vec(), ..config() }, false)
}

pub(super) async fn server() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let addr = socket.local_addr().expect("bound");
    (socket, addr)
}

/// The next question that reaches a server.
pub(super) async fn asked(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
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
    let forwarder = served.door.taking.forwarder.as_ref().expect("there is one");
    let mut places: Vec<_> = (0..MAX_FORWARDS).map(|_| forwarder.place().expect("free")).collect();
    let query = query("example.com", Rtype::A, None);
    assert_eq!(served.datagram(&query).await.rcode, Rcode::SERVFAIL, "at once");
    assert_eq!(served.door.counters()["dns_forwards_dropped"], 1);
    places.clear();
    assert!(forwarder.place().is_some());
}

#[tokio::test]
async fn a_server_that_cannot_help_gives_way_to_the_next() {
    let ((broken, first), (helpful, second)) = (server().await, server().await);
    let served = Served::start(forwarding_to(&[first, second])).await;
    let query = query("example.com", Rtype::A, None);
    let answer = |mut question: Vec<u8>, rcode| {
        let header = Header::for_message_slice_mut(&mut question);
        header.set_qr(true);
        header.set_rcode(rcode);
        question
    };
    for (theirs, others, expected) in [
        (Rcode::SERVFAIL, Rcode::NXDOMAIN, Rcode::NXDOMAIN),
        (Rcode::REFUSED, Rcode::NOERROR, Rcode::NOERROR),
    ] {
        let serve = async {
            // The one that helped is asked first from then on.
            if expected == Rcode::NXDOMAIN {
                let (question, from) = asked(&broken).await;
                broken.send_to(&answer(question, theirs), from).await.expect("sent");
            }
            let (question, from) = asked(&helpful).await;
            helpful.send_to(&answer(question, others), from).await.expect("sent");
        };
        let (told, ()) = tokio::join!(served.datagram(&query), serve);
        assert_eq!(told.rcode, expected);
    }
    let serve = async {
        for (socket, rcode) in [(&helpful, Rcode::SERVFAIL), (&broken, Rcode::REFUSED)] {
            let (question, from) = asked(socket).await;
            socket.send_to(&answer(question, rcode), from).await.expect("sent");
        }
    };
    let (told, ()) = tokio::join!(served.datagram(&query), serve);
    assert_eq!(told.rcode, Rcode::SERVFAIL, "none helps: the word of the first");
}

#[tokio::test]
async fn clients_that_ask_the_same_share_a_question_and_a_loop_ends() {
    let (socket, addr) = server().await;
    let served = Served::start(forwarding_to(&[addr])).await;
    let (lower, upper) =
        (query("example.com", Rtype::A, None), query("EXAMPLE.com", Rtype::A, None));
    let serve = async {
        let (question, from) = asked(&socket).await;
        // As a server does that is told to ask us: the same question comes back, and must not go out again.
        let back = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        back.send_to(&question, served.udp).await.expect("sent");
        let others = async {
            let second = served.datagram(&upper);
            let answer = async {
                let forwarder = served.door.taking.forwarder.as_ref().expect("there is one");
                // The question that came back and that of the other client wait with the first.
                until(|| forwarder.waiting() == 3).await;
                socket.send_to(&answered(&question), from).await.expect("sent");
            };
            tokio::join!(second, answer).0
        };
        others.await
    };
    let (first, second) = tokio::join!(served.datagram(&lower), serve);
    assert_eq!((first.rcode, second.rcode), (Rcode::NOERROR, Rcode::NOERROR));
    assert_eq!(first.question, "example.com");
    assert_eq!(second.question, "EXAMPLE.com", "each has the name as it was written");
    // The server answered one question, so that no other one went out.
    until(|| served.door.counters()["dns_forwarded"] == 3).await;
    let forwarder = served.door.taking.forwarder.as_ref().expect("there is one");
    until(|| forwarder.waiting() == 0).await;
}

#[tokio::test]
async fn an_answer_that_the_client_cannot_take_sends_it_to_tcp() {
    let (socket, addr) = server().await;
    let served = Served::start(forwarding_to(&[addr])).await;
    for size in [None, Some(600), Some(1_232)] {
        let query = query("example.com", Rtype::TXT, size);
        let serve = async {
            let (question, from) = asked(&socket).await;
            let mut long = answered(&question);
            long.resize(2_000, 0);
            socket.send_to(&long, from).await.expect("sent");
        };
        let (told, ()) = tokio::join!(served.datagram(&query), serve);
        assert_eq!((told.rcode, told.is_truncated), (Rcode::NOERROR, true), "{size:?}");
        assert_eq!((told.answers.len(), told.question.as_str()), (0, "example.com"));
    }
}

#[tokio::test]
async fn transfers_go_to_nobody() {
    let (_socket, addr) = server().await;
    let door = forwarding_to(&[addr]);
    for rtype in [Rtype::AXFR, Rtype::IXFR] {
        for came in [LOOPBACK, Came::Tcp] {
            let answer = door.send(&query("example.com", rtype, None), came);
            assert_eq!(Told::read(&answer.expect("at once")).rcode, Rcode::REFUSED);
        }
    }
}
