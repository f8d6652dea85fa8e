//! The side of the member: it takes the connections of monitors, holds them, and says nothing until it stops as planned. In a
//! sealed cluster it holds those that prove by their hello to be of members, and gives no place to any other.
//!
//! Most connections are no monitors': a TCP probe ends without a byte, and so does an attempt to reach this process. A
//! connection stays open for as long as it may still say its preamble. By that its other end knows that this process lives:
//! the kernel makes connections for a process that is dying, but does not keep them open.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_keys::{HOLD_NONCE_BYTES, HOLD_WORD_BYTES, HeldConnection, HoldWords};
use hobnob_membership::NodeId;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::keys::{HoldKeys, HoldTrust, Words};
use super::opening::{Opening, OpeningError};
use super::places::Places;
use super::preamble::Preamble;
use super::waiting::{Waiting, WaitingPlace};
use super::{HoldSettings, keep_alive, key_id, sync_port};
use crate::transport::counters::TcpCounters;
use crate::transport::limits::{MAX_UNPROVEN_PER_HOST, PREAMBLE_TIMEOUT};

/// The pause after each accepted connection, so that no peer can keep the agent busy by connecting. Handshakes do not
/// wait for it, since the kernel completes them.
const GAP: Duration = Duration::from_millis(1);
/// The pause after a connection could not be accepted, for example without a free file descriptor.
const GAP_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Takes connections on the gossip port. Dropping it closes the listener and all connections without a goodbye, as the
/// end of the process does.
#[derive(Debug)]
pub(super) struct Acceptor {
    accepting: JoinHandle<()>,
    door: Arc<Door>,
}

/// The state that all connections share.
#[derive(Debug)]
struct Door {
    settings: HoldSettings,
    sync_port: u16,
    trust: Arc<ArcSwap<HoldTrust>>,
    places: Mutex<Places<Arc<Connection>>>,
    counters: Arc<TcpCounters>,
}

/// A connection with a monitor at its other end.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    words: Words,
}

impl Acceptor {
    pub(super) fn start(
        listener: TcpListener,
        settings: HoldSettings,
        sync_port: u16,
        trust: Arc<ArcSwap<HoldTrust>>,
        counters: Arc<TcpCounters>,
    ) -> Self {
        let places = Mutex::new(Places::new(settings.places));
        let door = Arc::new(Door { settings, sync_port, trust, places, counters });
        let accepting = tokio::spawn(accept(listener, door.clone()));
        Self { accepting, door }
    }

    /// The number of connections that are held.
    pub(super) fn held(&self) -> usize {
        self.door.places().len()
    }

    /// The connections of these nodes come first from now on.
    pub(super) fn set_monitors(&self, monitors: impl IntoIterator<Item = NodeId>) {
        self.door.places().set_monitors(monitors);
    }

    /// Ends the connections of these nodes, and takes none of theirs any more.
    pub(super) fn set_revoked(&self, nodes: impl IntoIterator<Item = NodeId>) {
        for connection in self.door.places().set_revoked(nodes) {
            self.door.counters.holds_displaced.increment();
            connection.end();
        }
    }

    /// Says goodbye on all connections, ends them, and holds no further one. Does not wait.
    pub(super) fn say_goodbye(&self) {
        self.door.places().close().for_each(|connection| connection.say_goodbye());
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        // Its connections end with it.
        self.accepting.abort();
    }
}

impl Door {
    /// Locks the places, for a look-up or a byte that is sent without waiting. They are valid between any two
    /// statements, so a panic that poisoned the lock does no harm.
    fn places(&self) -> MutexGuard<'_, Places<Arc<Connection>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections forever.
async fn accept(listener: TcpListener, door: Arc<Door>) {
    let per_host = if door.settings.is_sealed { MAX_UNPROVEN_PER_HOST } else { usize::MAX };
    let waiting = Waiting::new(door.settings.waiting(), per_host);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let gap = match accepted {
            Ok((stream, from)) => {
                match waiting.take(from.ip()) {
                    Some(place) => drop(connections.spawn(take(stream, place, door.clone()))),
                    None => {
                        door.counters.holds_crowded.increment();
                        end_by_reset(&stream);
                    }
                }
                GAP
            }
            Err(_) => {
                door.counters.failed.increment();
                GAP_AFTER_FAILURE
            }
        };
        sleep(gap).await;
    }
}

/// The words of a peer on a connection.
enum Heard {
    Nothing,
    /// It asks for our sync port.
    SyncPort,
    /// It wants to hold the connection, and may.
    Monitor(NodeId, Words),
    /// Its hello proves no generation that we hold.
    Unproven,
    Invalid,
    /// It said too little in time.
    Silent,
}

impl Door {
    /// Hears what a peer wants, and lets it prove that it may.
    async fn hear(&self, stream: &mut TcpStream) -> Heard {
        let HoldSettings { cluster, node_id, .. } = self.settings;
        let preamble = match timeout(PREAMBLE_TIMEOUT, Opening::read(stream)).await {
            Ok(Ok(Opening::Hold(preamble))) if preamble.is_for(cluster, node_id) => preamble,
            Ok(Ok(Opening::SyncPort)) => return Heard::SyncPort,
            Ok(Err(OpeningError::Nothing)) => return Heard::Nothing,
            Ok(_) => return Heard::Invalid,
            Err(_) => return Heard::Silent,
        };
        match (&*self.trust.load_full(), preamble.nonce) {
            (HoldTrust::Clear, None) => Heard::Monitor(preamble.sender, Words::Clear),
            (HoldTrust::Sealed(keys), Some(nonce)) => {
                let connection = self.connection_with(&preamble, nonce);
                match timeout(PREAMBLE_TIMEOUT, hear_hello(stream, &connection, keys)).await {
                    Ok(Ok(Some(words))) => Heard::Monitor(preamble.sender, Words::Sealed(words)),
                    Ok(Ok(None)) => Heard::Unproven,
                    Ok(Err(_)) => Heard::Invalid,
                    Err(_) => Heard::Silent,
                }
            }
            _ => Heard::Invalid,
        }
    }

    fn connection_with(
        &self,
        preamble: &Preamble,
        monitor_nonce: [u8; HOLD_NONCE_BYTES],
    ) -> HeldConnection {
        let [monitor, member] = [preamble.sender, self.settings.node_id].map(key_id);
        HeldConnection { monitor, member, monitor_nonce, member_nonce: rand::random() }
    }
}

/// Tells our nonce and reads the hello. The words of the connection, if the hello proves a generation.
async fn hear_hello(
    stream: &mut TcpStream,
    connection: &HeldConnection,
    keys: &HoldKeys,
) -> io::Result<Option<HoldWords>> {
    stream.write_all(&connection.member_nonce).await?;
    let mut hello = [0; HOLD_WORD_BYTES];
    stream.read_exact(&mut hello).await?;
    let [byte, ..] = hello;
    let mut words = keys.with_byte(byte).map(|key| key.words(connection));
    Ok(words.find(|words| words.is_hello(&hello)))
}

/// Hears what a peer wants with a connection. Tells the sync port, or holds the connection if there is a place for it.
async fn take(mut stream: TcpStream, waiting: WaitingPlace, door: Arc<Door>) {
    let counters = &door.counters;
    let (monitor, words) = match door.hear(&mut stream).await {
        Heard::Monitor(monitor, words) => (monitor, words),
        Heard::Nothing => return counters.taken.increment(),
        Heard::SyncPort => {
            counters.sync_ports_told.increment();
            // The asker may be gone.
            let _ = sync_port::answer(&mut stream, door.sync_port).await;
            return end_by_reset(&stream);
        }
        Heard::Unproven => {
            counters.holds_unproven.increment();
            return end_by_reset(&stream);
        }
        Heard::Invalid => {
            counters.holds_invalid.increment();
            return end_by_reset(&stream);
        }
        Heard::Silent => {
            counters.holds_silent.increment();
            return end_by_reset(&stream);
        }
    };
    let connection = Connection { stream, words };
    let Some(held) = Held::take(connection, monitor, door) else { return };
    drop(waiting);
    // However it ends, the monitor is gone, and the place is free.
    let _ = held.until_end().await;
}

/// A connection that has a place.
struct Held {
    connection: Arc<Connection>,
    node: NodeId,
    number: u64,
    door: Arc<Door>,
}

impl Held {
    fn take(connection: Connection, node: NodeId, door: Arc<Door>) -> Option<Self> {
        let connection = Arc::new(connection);
        let mut places = door.places();
        let Some(given) = places.take(node, connection.clone()) else {
            door.counters.holds_refused.increment();
            return None;
        };
        door.counters.holds_taken.increment();
        if let Some(earlier) = given.earlier {
            // Its other end is gone, or somebody else spoke in its name. A goodbye would keep that node from noticing our
            // death; without one it asks whether we live.
            door.counters.holds_displaced.increment();
            earlier.end();
        }
        if let Some(displaced) = given.displaced {
            door.counters.holds_displaced.increment();
            displaced.say_goodbye();
        }
        drop(places);
        Some(Self { connection, node, number: given.number, door })
    }

    /// Answers the monitor, and waits until the connection ends.
    async fn until_end(&self) -> io::Result<()> {
        let Connection { stream, words } = &*self.connection;
        keep_alive(stream)?;
        let mut answer = words.held();
        while !answer.is_empty() {
            stream.writable().await?;
            match stream.try_write(answer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => answer = answer.get(written?..).unwrap_or_default(),
            }
        }
        loop {
            stream.readable().await?;
            match stream.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(1..) => {
                    self.door.counters.holds_invalid.increment();
                    return Ok(());
                }
                ended => return ended.map(drop),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.door.places().free(self.node, self.number);
    }
}

impl Connection {
    /// Says goodbye and ends it. Its task sees the end and drops it.
    fn say_goodbye(&self) {
        // The buffer of a connection on which one word was ever sent has room. A monitor that is gone needs no goodbye.
        let _ = send(&self.stream, self.words.goodbye(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        self.end();
    }

    /// Ends it without a goodbye. Its task sees the end and drops it.
    fn end(&self) {
        // It may have ended before.
        let _ = shutdown(&self.stream, Shutdown::Both);
    }
}

/// Lets a connection end by a reset when it is dropped, which leaves no state behind on either side.
fn end_by_reset(stream: &TcpStream) {
    // Without it the connection is closed, and the kernel remembers that for a minute.
    let _ = stream.set_zero_linger();
}
