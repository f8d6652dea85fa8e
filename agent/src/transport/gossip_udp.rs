//! The gossip socket: it sends and receives datagrams without waiting.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

/// The receive buffer. It is longer than any valid datagram, so that a datagram that is too long is noticed.
const BUFFER_BYTES: usize = 2_048;
/// The most errors in a row that one call of [`GossipUdp::receive`] skips, so that errors do not keep the driver busy.
const MAX_ERRORS_PASSED: usize = 64;

/// A bound gossip socket. An IPv6 socket that takes IPv4 too has addresses of both families outside, and writes IPv4 ones in
/// their IPv6 form to the system. A datagram that cannot be sent at once is dropped and counted, as UDP may.
#[derive(Debug)]
pub(crate) struct GossipUdp {
    socket: UdpSocket,
    buffer: Box<[u8]>,
    is_ipv6: bool,
    send_blocked: u64,
    send_failed: u64,
    receive_failed: u64,
}

impl GossipUdp {
    pub(crate) fn new(socket: UdpSocket) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into();
        let is_ipv6 = socket.local_addr().is_ok_and(|addr| addr.is_ipv6());
        Self { socket, buffer, is_ipv6, send_blocked: 0, send_failed: 0, receive_failed: 0 }
    }

    /// Waits until [`GossipUdp::receive`] may return a datagram. Cancel-safe.
    pub(crate) async fn readable(&self) {
        // Reading the socket reports the error again.
        let _ = self.socket.readable().await;
    }

    /// The next datagram that has arrived, and its sender. Errors of the socket, such as a closed port of a peer, are
    /// counted and skipped.
    pub(crate) fn receive(&mut self) -> Option<(SocketAddr, &[u8])> {
        for _ in 0..MAX_ERRORS_PASSED {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((len, from)) => {
                    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                    return Some((from, self.buffer.get(..len)?));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(_) => self.receive_failed += 1,
            }
        }
        None
    }

    /// Sends a datagram, or drops it.
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        match self.socket.try_send_to(bytes, self.outside(to)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.send_blocked += 1,
            Err(error) => {
                self.send_failed += 1;
                tracing::debug!(%to, %error, "a datagram could not be sent");
            }
        }
    }

    /// An address as the system takes it for this socket.
    fn outside(&self, to: SocketAddr) -> SocketAddr {
        match to.ip() {
            IpAddr::V4(ip) if self.is_ipv6 => (ip.to_ipv6_mapped(), to.port()).into(),
            _ => to,
        }
    }

    /// All counters now, by name.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 3] {
        [
            ("udp_send_blocked", self.send_blocked),
            ("udp_send_failed", self.send_failed),
            ("udp_receive_failed", self.receive_failed),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    async fn bound() -> (GossipUdp, SocketAddr) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let addr = socket.local_addr().expect("bound");
        (GossipUdp::new(socket), addr)
    }

    #[tokio::test]
    async fn datagrams_arrive_whole_with_their_sender() {
        let ((mut a, a_addr), (mut b, b_addr)) = (bound().await, bound().await);
        assert_eq!(b.receive(), None);
        a.socket.writable().await.expect("it becomes writable");
        a.send(b_addr, b"hello");
        b.readable().await;
        assert_eq!(b.receive(), Some((a_addr, &b"hello"[..])));
        assert_eq!(b.receive(), None);
    }

    #[tokio::test]
    async fn a_datagram_that_cannot_be_sent_is_counted() {
        let ((mut a, _), (_b, b_addr)) = (bound().await, bound().await);
        a.socket.writable().await.expect("it becomes writable");
        a.send(b_addr, &vec![0; 100_000]);
        assert_eq!(a.counters()[1], ("udp_send_failed", 1));
    }
    #[tokio::test]
    async fn a_socket_of_both_families_knows_its_ipv4_peers_by_their_ipv4_addresses() {
        let (mut old, old_addr) = bound().await;
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.expect("bound");
        let port = socket.local_addr().expect("bound").port();
        let (mut both, both_addr) = (GossipUdp::new(socket), (Ipv4Addr::LOCALHOST, port).into());
        both.socket.writable().await.expect("it becomes writable");
        both.send(old_addr, b"ping");
        old.readable().await;
        assert_eq!(old.receive(), Some((both_addr, &b"ping"[..])));
        old.send(both_addr, b"pong");
        both.readable().await;
        assert_eq!(both.receive(), Some((old_addr, &b"pong"[..])));
    }
}
