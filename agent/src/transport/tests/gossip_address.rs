//! Streams that are opened at a gossip address, where it takes a question for the sync port first.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;
use crate::transport::holds::{HoldSettings, Holds};
use crate::transport::tcp_source::TcpSource;

/// A peer that tells its sync port by TCP, and the gossip address at which it does.
async fn with_gossip(peer: &Peer) -> (Holds, SocketAddr) {
    let listener = TcpListener::bind(loopback()).await.expect("bound");
    let addr = listener.local_addr().expect("bound");
    let settings = HoldSettings {
        cluster: hobnob_membership::ClusterId::named("default"),
        node_id: hobnob_membership::NodeId(1),
        places: 4,
        is_sealed: false,
        sync_port: None,
    };
    let source = TcpSource::of(addr);
    let port = (source, peer.quic.local_addr().port());
    let events = mpsc::channel(1).0;
    (Holds::start(Some(listener), settings, port, events, std::sync::Arc::default()), addr)
}

#[tokio::test]
async fn a_stream_is_opened_to_the_member_at_a_gossip_address() {
    let (mut a, mut b) = (Peer::start(), Peer::start());
    let (_holds, gossip) = with_gossip(&b).await;
    a.quic.open_at(STREAM, gossip);
    a.quic.send(STREAM, b"let me in".to_vec());
    assert_eq!(b.next().await, accepted(FIRST_ACCEPTED));
    assert_eq!(b.next().await, frame(FIRST_ACCEPTED, b"let me in"));
    assert_eq!(a.next_of_all().await, StreamEvent::Answered { stream: STREAM });
    let StreamEvent::Secured { peer, .. } = a.next_of_all().await else { panic!("not secured") };
    assert_eq!(peer, b.key);
}

/// A listener that says something to each that connects, and closes or stays.
async fn listener_that_says(answer: &'static [u8], stays: bool) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.expect("bound");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut staying = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            // The asker may be gone.
            let _ = stream.write_all(answer).await;
            if stays {
                staying.push(stream);
            }
        }
    });
    addr
}

#[tokio::test(start_paused = true)]
async fn nobody_that_tells_a_sync_port_is_a_closed_stream() {
    let mut a = Peer::start();
    let gone = TcpListener::bind(loopback()).await.expect("bound").local_addr().expect("bound");
    let silent = UdpSocket::bind(loopback()).await.expect("a free port");
    let port = silent.local_addr().expect("bound").port().to_le_bytes();
    let no_quic: &'static [u8] = Vec::leak(port.to_vec());
    let other_protocol = b"\0\0SSH-2.0-OpenSSH\r\n";
    for (what, to, answers) in [
        ("refuses", gone, false),
        ("is silent", listener_that_says(b"", true).await, false),
        ("closes", listener_that_says(b"", false).await, false),
        ("says half of a port", listener_that_says(b"\x01", false).await, false),
        ("has no port", listener_that_says(&[0, 0], true).await, false),
        ("speaks another protocol", listener_that_says(other_protocol, true).await, false),
        ("names a port without QUIC", listener_that_says(no_quic, true).await, true),
    ] {
        a.quic.open_at(STREAM, to);
        a.quic.send(STREAM, b"anybody?".to_vec());
        if answers {
            assert_eq!(a.next_of_all().await, StreamEvent::Answered { stream: STREAM }, "{what}");
        }
        assert_eq!(a.next_of_all().await, closed(STREAM), "{what}");
        a.assert_still().await;
    }
    assert_eq!(a.count("quic_streams_failed"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_reset_while_a_port_is_asked_for_is_never_heard_of() {
    let mut a = Peer::start();
    a.quic.open_at(STREAM, listener_that_says(b"", true).await);
    a.quic.reset(STREAM);
    a.assert_still().await;
    assert_eq!(a.count("quic_streams_failed"), 0);
}
