//! The sockets by which the driver reaches other agents.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hobnob_keys::NodeKey;
use hobnob_membership::TcpProbeId;
use tokio::sync::mpsc;

use super::counters::TcpCounters;
use super::gossip_udp::GossipUdp;
use super::holds::{HoldEvent, HoldSettings, Holds};
use super::quic::{Quic, QuicError};
use super::session::StreamEvent;
use super::tcp_probe::{TcpProbes, bind_gossip};
use super::tcp_source::TcpSource;

/// The most stream events, answered TCP probes, and events of held connections that wait for the driver. When a queue is
/// full, the streams, probes or connections wait.
const MAX_WAITING_EVENTS: usize = 256;

/// The bound sockets of one agent.
pub(crate) struct Network {
    pub(crate) udp: GossipUdp,
    pub(crate) quic: Quic,
    pub(crate) stream_events: mpsc::Receiver<StreamEvent>,
    pub(crate) tcp_probes: TcpProbes,
    pub(crate) tcp_probe_answered: mpsc::Receiver<TcpProbeId>,
    pub(crate) holds: Holds,
    pub(crate) hold_events: mpsc::Receiver<HoldEvent>,
    pub(crate) tcp_counters: Arc<TcpCounters>,
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
}

impl Network {
    /// Binds the gossip socket, with the listener for TCP on the same port, and the sync endpoint. The key is what this node proves to
    /// the peers of its streams.
    ///
    /// # Errors
    /// One of them cannot be bound.
    pub(crate) async fn bind(
        gossip: SocketAddr,
        sync: SocketAddr,
        settings: HoldSettings,
        key: &NodeKey,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Gossip { addr: gossip, source };
        let (udp, listener) = bind_gossip(gossip).await.map_err(failed)?;
        let gossip_addr = udp.local_addr().map_err(failed)?;
        let source = TcpSource::of(gossip_addr);
        let (answered, tcp_probe_answered) = mpsc::channel(MAX_WAITING_EVENTS);
        let tcp_counters = Arc::<TcpCounters>::default();
        let tcp_probes = TcpProbes::new(source, answered, tcp_counters.clone());
        let (hold_events_tx, hold_events) = mpsc::channel(MAX_WAITING_EVENTS);
        let (events, stream_events) = mpsc::channel(MAX_WAITING_EVENTS);
        let quic = Quic::bind(sync, key, events)?;
        let sync_port = settings.sync_port.unwrap_or(quic.local_addr().port());
        let counters = tcp_counters.clone();
        let holds = Holds::start(listener, settings, (source, sync_port), hold_events_tx, counters);
        let udp = GossipUdp::new(udp);
        Ok(Self {
            udp,
            quic,
            stream_events,
            tcp_probes,
            tcp_probe_answered,
            holds,
            hold_events,
            tcp_counters,
            gossip_addr,
        })
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
