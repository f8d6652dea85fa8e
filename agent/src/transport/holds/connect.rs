//! The side of the monitor: it connects to the members that it watches, and tells how each connection ends.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hobnob_membership::{HoldEnd, HoldId, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::preamble::{GOODBYE, HELD, Preamble};
use super::reach::{is_local, is_to_itself};
use super::{HoldEvent, HoldSettings, keep_alive};
use crate::transport::counters::TcpCounters;
use crate::transport::limits::{HOLD_TIMEOUT, MAX_HOLDS};

/// The connections that this agent holds to the members that it watches.
#[derive(Debug)]
pub(super) struct Connector {
    settings: HoldSettings,
    holds: BTreeMap<HoldId, Hold>,
    events: mpsc::Sender<HoldEvent>,
    counters: Arc<TcpCounters>,
}

/// A connection, from the attempt to make it on. Dropping it closes it.
#[derive(Debug)]
struct Hold {
    task: JoinHandle<()>,
    is_held: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connector {
    pub(super) fn new(
        settings: HoldSettings,
        events: mpsc::Sender<HoldEvent>,
        counters: Arc<TcpCounters>,
    ) -> Self {
        Self { settings, holds: BTreeMap::new(), events, counters }
    }

    /// The number of connections that both sides hold.
    pub(super) fn held(&self) -> usize {
        self.holds.values().filter(|hold| hold.is_held).count()
    }

    /// Connects to a member, and does not wait.
    ///
    /// # Errors
    /// So many connections are made or held already. The event tells the owner of the end.
    pub(super) fn hold(
        &mut self,
        hold: HoldId,
        to: SocketAddr,
        peer: NodeId,
    ) -> Result<(), HoldEvent> {
        if self.holds.len() >= MAX_HOLDS {
            self.counters.holds_dropped.increment();
            return Err(HoldEvent::Ended { hold, end: HoldEnd::Failed });
        }
        let HoldSettings { cluster, node_id, .. } = self.settings;
        let preamble = Preamble::new(cluster, node_id, peer);
        let (events, counters) = (self.events.clone(), self.counters.clone());
        let task = tokio::spawn(async move {
            let end = match timeout(HOLD_TIMEOUT, connect(to, preamble)).await {
                Ok(Ok(stream)) => {
                    // It fails only when the driver has ended.
                    let _ = events.send(HoldEvent::Held { hold }).await;
                    until_end(stream).await
                }
                Ok(Err(error)) => {
                    if is_local(&error) {
                        counters.local_errors.increment();
                    }
                    HoldEnd::Failed
                }
                Err(_) => HoldEnd::Failed,
            };
            let _ = events.send(HoldEvent::Ended { hold, end }).await;
        });
        self.holds.insert(hold, Hold { task, is_held: false });
        Ok(())
    }

    /// Drops a connection.
    pub(super) fn release(&mut self, hold: HoldId) {
        self.holds.remove(&hold);
    }

    /// Notes that both sides hold a connection. Returns whether it is still wanted.
    pub(super) fn note_held(&mut self, hold: HoldId) -> bool {
        self.holds.get_mut(&hold).is_some_and(|hold| {
            hold.is_held = true;
            true
        })
    }

    /// Forgets a connection that ended. Returns whether it was still wanted.
    pub(super) fn note_ended(&mut self, hold: HoldId) -> bool {
        self.holds.remove(&hold).is_some()
    }
}

/// Connects, and returns when the member says that it holds the connection, too.
async fn connect(to: SocketAddr, preamble: Preamble) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    if is_to_itself(&stream) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    keep_alive(&stream)?;
    stream.write_all(&preamble.bytes()).await?;
    match stream.read_u8().await? {
        HELD => Ok(stream),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Waits until a held connection ends.
async fn until_end(mut stream: TcpStream) -> HoldEnd {
    let mut byte = [0];
    match stream.read(&mut byte).await {
        Ok(0) => HoldEnd::Closed,
        Ok(_) if byte == [GOODBYE] => HoldEnd::Goodbye,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => HoldEnd::Reset,
        // The keepalive found no way to the member, or something else than a member is there.
        Ok(_) | Err(_) => HoldEnd::Failed,
    }
}
