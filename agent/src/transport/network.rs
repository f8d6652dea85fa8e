//! The sockets by which the driver reaches other agents.

use std::io;
use std::net::SocketAddr;

use hobnob_membership::TcpProbeId;
use tokio::sync::mpsc;

use super::gossip_udp::GossipUdp;
use super::quic::{Quic, QuicError};
use super::session::StreamEvent;
use super::tcp_probe::{TcpProbes, bind_gossip};
use super::tls::{CertificateError, NodeCertificate};

/// The most stream events, and the most answered TCP probes, that wait for the driver. When a queue is full, streams or
/// probes wait.
const MAX_WAITING_EVENTS: usize = 256;

/// The bound sockets of one agent.
pub(crate) struct Network {
    pub(crate) udp: GossipUdp,
    pub(crate) quic: Quic,
    pub(crate) stream_events: mpsc::Receiver<StreamEvent>,
    pub(crate) tcp_probes: TcpProbes,
    pub(crate) tcp_probe_answered: mpsc::Receiver<TcpProbeId>,
    gossip_addr: SocketAddr,
}

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The gossip socket cannot be opened.
    #[error("cannot listen for gossip on {addr} (UDP): {source}")]
    Gossip {
        /// The address.
        addr: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// The sync endpoint cannot be opened.
    #[error(transparent)]
    Sync(#[from] QuicError),
    /// The certificate of the sync endpoint cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Network {
    /// Binds the gossip socket, with the listener for TCP probes on the same port, and the sync endpoint.
    ///
    /// # Errors
    /// One of them cannot be bound.
    pub(crate) async fn bind(gossip: SocketAddr, sync: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError::Gossip { addr: gossip, source };
        let (udp, listener) = bind_gossip(gossip).await.map_err(failed)?;
        let gossip_addr = udp.local_addr().map_err(failed)?;
        let (answered, tcp_probe_answered) = mpsc::channel(MAX_WAITING_EVENTS);
        let tcp_probes = TcpProbes::start(listener, answered);
        let (events, stream_events) = mpsc::channel(MAX_WAITING_EVENTS);
        let quic = Quic::bind(sync, &NodeCertificate::self_signed()?, events)?;
        let udp = GossipUdp::new(udp);
        Ok(Self { udp, quic, stream_events, tcp_probes, tcp_probe_answered, gossip_addr })
    }

    /// The address of the gossip socket.
    pub(crate) fn gossip_addr(&self) -> SocketAddr {
        self.gossip_addr
    }

    /// The address of the sync endpoint.
    pub(crate) fn sync_addr(&self) -> SocketAddr {
        self.quic.local_addr()
    }
}
