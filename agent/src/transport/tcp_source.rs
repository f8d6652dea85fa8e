//! The source address of TCP connections to peers.

use std::io;
use std::net::SocketAddr;

use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use tokio::net::{TcpSocket, TcpStream};

/// The source address of TCP connections to peers: the address that this agent is bound to, as for its datagrams. If it is bound to
/// all addresses, the kernel chooses.
///
/// A network that drops the datagrams from an address then drops the connections from it, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpSource(SocketAddr);

impl TcpSource {
    /// The source address of an agent with a socket that is bound to this address.
    pub(super) fn of(bound: SocketAddr) -> Self {
        let mut source = bound;
        source.set_port(0);
        Self(source)
    }

    /// Connects to a peer.
    pub(super) async fn connect(self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let Self(source) = self;
        if !source.ip().is_unspecified() && source.is_ipv4() == to.is_ipv4() {
            // Ignore the error: without this the connection takes a port that no other connection can use.
            let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
            socket.bind(source)?;
        }
        socket.connect(to).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_come_from_the_address_that_the_agent_is_bound_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let to = listener.local_addr().expect("bound");
        for (bound, from) in [
            ("127.0.1.7:7946", "127.0.1.7"),
            ("0.0.0.0:7946", "127.0.0.1"),
            ("[::1]:7946", "127.0.0.1"),
        ] {
            let source = TcpSource::of(bound.parse().expect("an address"));
            let stream = source.connect(to).await.expect("connected");
            let local = stream.local_addr().expect("connected");
            assert_eq!(local.ip().to_string(), from, "bound to {bound}");
            assert_ne!(local.port(), 7_946);
        }
    }
}
