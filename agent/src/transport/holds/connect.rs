//! The side of the monitor: it connects to the members that it watches, and tells how each connection ends.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hobnob_keys::{HOLD_NONCE_BYTES, HOLD_WORD_BYTES, HeldConnection};
use hobnob_membership::{HoldEnd, HoldId, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::keys::{HoldTrust, Words};
use super::preamble::Preamble;
use super::reach::{is_local, is_to_itself};
use super::{HoldEvent, HoldSettings, keep_alive, key_id};
use crate::transport::counters::TcpCounters;
use crate::transport::limits::{HOLD_TIMEOUT, MAX_HOLDS};
use crate::transport::tcp_source::TcpSource;

/// The connections that this agent holds to the members that it watches.
#[derive(Debug)]
pub(super) struct Connector {
    settings: HoldSettings,
    source: TcpSource,
    trust: Arc<ArcSwap<HoldTrust>>,
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
        source: TcpSource,
        trust: Arc<ArcSwap<HoldTrust>>,
        events: mpsc::Sender<HoldEvent>,
        counters: Arc<TcpCounters>,
    ) -> Self {
        Self { settings, source, trust, holds: BTreeMap::new(), events, counters }
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
        let (settings, source, trust) = (self.settings, self.source, self.trust.load_full());
        let (events, counters) = (self.events.clone(), self.counters.clone());
        let task = tokio::spawn(async move {
            let connecting = connect((source, to), settings, peer, &trust);
            let end = match timeout(HOLD_TIMEOUT, connecting).await {
                Ok(Ok((stream, words))) => {
                    // It fails only when the driver has ended.
                    let _ = events.send(HoldEvent::Held { hold }).await;
                    until_end(stream, &words).await
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
async fn connect(
    (source, to): (TcpSource, SocketAddr),
    settings: HoldSettings,
    peer: NodeId,
    trust: &HoldTrust,
) -> io::Result<(TcpStream, Words)> {
    let HoldSettings { cluster, node_id, .. } = settings;
    let key = match trust {
        HoldTrust::Clear => None,
        // A node that holds no generation yet has nothing to prove.
        HoldTrust::Sealed(keys) => Some(keys.present().ok_or(io::ErrorKind::PermissionDenied)?),
    };
    let mut stream = source.connect(to).await?;
    if is_to_itself(&stream) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    keep_alive(&stream)?;
    let words = match key {
        None => {
            stream.write_all(&Preamble::clear(cluster, node_id, peer).bytes()).await?;
            Words::Clear
        }
        Some(key) => {
            let monitor_nonce = rand::random();
            let preamble = Preamble::sealed(cluster, node_id, peer, monitor_nonce);
            stream.write_all(&preamble.bytes()).await?;
            let mut member_nonce = [0; HOLD_NONCE_BYTES];
            stream.read_exact(&mut member_nonce).await?;
            let [monitor, member] = [node_id, peer].map(key_id);
            let connection = HeldConnection { monitor, member, monitor_nonce, member_nonce };
            let words = key.words(&connection);
            stream.write_all(&words.hello).await?;
            Words::Sealed(words)
        }
    };
    let (mut answer, len) = ([0; HOLD_WORD_BYTES], words.held().len());
    stream.read_exact(&mut answer[..len]).await?;
    match words.is_held(&answer[..len]) {
        true => Ok((stream, words)),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Waits until a held connection ends.
async fn until_end(mut stream: TcpStream, words: &Words) -> HoldEnd {
    let (mut word, mut read) = ([0; HOLD_WORD_BYTES], 0);
    let len = words.goodbye().len();
    while read < len {
        match stream.read(&mut word[read..len]).await {
            Ok(0) if read == 0 => return HoldEnd::Closed,
            Ok(0) => return HoldEnd::Failed,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return HoldEnd::Reset,
            // The keepalive found no way to the member.
            Err(_) => return HoldEnd::Failed,
        }
    }
    // Anything else was not said by the member.
    if words.is_goodbye(&word[..len]) { HoldEnd::Goodbye } else { HoldEnd::Failed }
}
