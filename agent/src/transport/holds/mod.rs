//! Held connections: idle TCP connections from a member's monitors to the member, on its gossip port.
//!
//! The same port tells newcomers the sync port of the member ([`sync_port`]).
//!
//! A kernel closes the connections of a process when the process ends, however it ends. So a monitor that holds a connection
//! learns of that at once. It says one [preamble], the member answers with one byte, and then nothing is said, but
//! for one byte of goodbye before the member closes on purpose. In a sealed cluster the monitor also says a hello, and all
//! these words prove that their speaker holds a generation ([`keys`]).
//!
//! A member holds a limited number of connections, those of its monitors first ([`places`]). A connection that is open costs
//! a socket on either side and a keepalive a minute.

mod accept;
mod connect;
mod keys;
mod opening;
mod places;
mod preamble;
mod reach;
mod sync_port;
#[cfg(test)]
mod tests;
mod waiting;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hobnob_membership::{ClusterId, HoldEnd, HoldId, NodeId, ReachId, ReachOutcome};
use rustix::net::sockopt;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use super::counters::TcpCounters;
use super::limits::{KEEPALIVE, KEEPALIVE_PROBES, KEEPALIVE_PROBES_EVERY, MAX_REACHES};
use super::tcp_source::TcpSource;
use accept::Acceptor;
use connect::Connector;
pub(crate) use keys::HoldKeys;
use keys::HoldTrust;
use reach::reach;
pub(super) use sync_port::{SyncPortError, ask as ask_sync_port};

/// The identity of the agent that holds connections, and their number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldSettings {
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    /// Its node id.
    pub(crate) node_id: NodeId,
    /// The most connections of peers that it holds.
    pub(crate) places: usize,
    /// Whether peers have to prove that they are members.
    pub(crate) is_sealed: bool,
    /// The sync port that peers are told. `None` for the one that is bound.
    pub(crate) sync_port: Option<u16>,
}

impl HoldSettings {
    /// The most connections of peers that may still say their preamble and, in a sealed cluster, their hello.
    fn waiting(&self) -> usize {
        self.places.div_ceil(2)
    }
}

/// Something that happened to a connection of this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldEvent {
    /// The member holds it, too.
    Held { hold: HoldId },
    /// It is over, or was never held.
    Ended { hold: HoldId, end: HoldEnd },
    /// An attempt to reach a member is done.
    Reached { reach: ReachId, outcome: ReachOutcome },
}

/// Holds connections to members, and takes those that members hold to this agent. Dropping it closes all of them without a
/// goodbye.
#[derive(Debug)]
pub(crate) struct Holds {
    acceptor: Option<Acceptor>,
    trust: Arc<ArcSwap<HoldTrust>>,
    connector: Connector,
    source: TcpSource,
    /// One permit for each attempt to reach a member.
    reaches: Arc<Semaphore>,
    events: mpsc::Sender<HoldEvent>,
    counters: Arc<TcpCounters>,
}

impl Holds {
    /// Starts to accept connections, if there is a listener. Our own connections come from the source, and their ends are sent to
    /// `events`. The sync port is told to peers that ask for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(in crate::transport) fn start(
        listener: Option<TcpListener>,
        settings: HoldSettings,
        (source, sync_port): (TcpSource, u16),
        events: mpsc::Sender<HoldEvent>,
        counters: Arc<TcpCounters>,
    ) -> Self {
        let trust = match settings.is_sealed {
            true => HoldTrust::Sealed(HoldKeys::default()),
            false => HoldTrust::Clear,
        };
        let trust = Arc::new(ArcSwap::from_pointee(trust));
        let (shared, counted) = (trust.clone(), counters.clone());
        let accept = |listener| Acceptor::start(listener, settings, sync_port, shared, counted);
        Self {
            acceptor: listener.map(accept),
            connector: Connector::new(
                settings,
                source,
                trust.clone(),
                events.clone(),
                counters.clone(),
            ),
            source,
            trust,
            reaches: Arc::new(Semaphore::new(MAX_REACHES)),
            events,
            counters,
        }
    }

    /// Whether peers can connect to this agent.
    pub(crate) fn is_listening(&self) -> bool {
        self.acceptor.is_some()
    }

    /// The connections that peers hold to this agent, and those that it holds to members.
    pub(crate) fn held(&self) -> [(&'static str, u64); 2] {
        let held_in = self.acceptor.as_ref().map_or(0, Acceptor::held);
        [("holds_in", held_in as u64), ("holds_out", self.connector.held() as u64)]
    }

    /// The connections of these nodes come first from now on.
    pub(crate) fn set_monitors(&self, monitors: impl IntoIterator<Item = NodeId>) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.set_monitors(monitors);
        }
    }

    /// Ends the connections that these nodes hold, and takes none of theirs any more.
    pub(crate) fn set_revoked(&self, nodes: impl IntoIterator<Item = NodeId>) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.set_revoked(nodes);
        }
    }

    /// Members prove themselves by these keys from now on. Connections that are held already stay.
    pub(crate) fn set_keys(&self, keys: HoldKeys) {
        self.trust.store(Arc::new(HoldTrust::Sealed(keys)));
    }

    /// Connects to a member and holds the connection; does not wait.
    ///
    /// # Errors
    /// This agent has too many connections already. The event tells what is to be told.
    pub(crate) fn hold(
        &mut self,
        hold: HoldId,
        to: SocketAddr,
        peer: NodeId,
    ) -> Result<(), HoldEvent> {
        self.connector.hold(hold, to, peer)
    }

    /// Drops a connection. No event of it is wanted any more.
    pub(crate) fn release(&mut self, hold: HoldId) {
        self.connector.release(hold);
    }

    /// Tries to reach a member's process; does not wait.
    ///
    /// # Errors
    /// [`MAX_REACHES`] attempts are under way. The event tells what is to be told.
    pub(crate) fn reach(&self, to: SocketAddr, id: ReachId) -> Result<(), HoldEvent> {
        let reached = move |outcome| HoldEvent::Reached { reach: id, outcome };
        let Ok(place) = self.reaches.clone().try_acquire_owned() else {
            self.counters.reaches_dropped.increment();
            return Err(reached(ReachOutcome::LocalError));
        };
        let (source, events, counters) = (self.source, self.events.clone(), self.counters.clone());
        tokio::spawn(async move {
            let outcome = reach(source, to).await;
            drop(place);
            if outcome == ReachOutcome::LocalError {
                counters.local_errors.increment();
            }
            // It fails only when the driver has ended.
            let _ = events.send(reached(outcome)).await;
        });
        Ok(())
    }

    /// Notes an event before it is told. Returns false for an event of a connection that was released meanwhile.
    pub(crate) fn note(&mut self, event: &HoldEvent) -> bool {
        match event {
            HoldEvent::Held { hold } => self.connector.note_held(*hold),
            HoldEvent::Ended { hold, .. } => self.connector.note_ended(*hold),
            HoldEvent::Reached { .. } => true,
        }
    }

    /// Says goodbye to all peers that hold a connection to this agent, and holds no further ones. Does not wait.
    pub(crate) fn say_goodbye(&self) {
        if let Some(acceptor) = &self.acceptor {
            acceptor.say_goodbye();
        }
    }
}

/// A node id as the keys know it.
fn key_id(node: NodeId) -> hobnob_keys::NodeId {
    hobnob_keys::NodeId(node.0)
}

/// Lets the kernel find out when the other end of a connection is gone without a word.
fn keep_alive(stream: impl AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_PROBES_EVERY)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_PROBES)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    Ok(())
}
