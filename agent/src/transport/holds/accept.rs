//! The side of the member: it takes the connections of monitors, holds them, and says nothing until it stops as planned.
//!
//! Most connections are no monitors': a TCP probe ends without a byte, and so does an attempt to reach this process. A
//! connection stays open for as long as it may still say its preamble. By that its other end knows that this process lives:
//! the kernel makes connections for a process that is dying, but does not keep them open.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hobnob_membership::NodeId;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::opening::{Opening, OpeningError};
use super::places::Places;
use super::preamble::{GOODBYE, HELD};
use super::{HoldSettings, keep_alive, sync_port};
use crate::transport::counters::TcpCounters;
use crate::transport::limits::PREAMBLE_TIMEOUT;

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
    places: Mutex<Places<Arc<TcpStream>>>,
    counters: Arc<TcpCounters>,
}

impl Acceptor {
    pub(super) fn start(
        listener: TcpListener,
        settings: HoldSettings,
        sync_port: u16,
        counters: Arc<TcpCounters>,
    ) -> Self {
        let places = Mutex::new(Places::new(settings.places));
        let door = Arc::new(Door { settings, sync_port, places, counters });
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

    /// Says goodbye on all connections, ends them, and holds no further one. Does not wait.
    pub(super) fn say_goodbye(&self) {
        self.door.places().close().for_each(|stream| say_goodbye(&stream));
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
    fn places(&self) -> MutexGuard<'_, Places<Arc<TcpStream>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections forever.
async fn accept(listener: TcpListener, door: Arc<Door>) {
    let waiting = Arc::new(Semaphore::new(door.settings.waiting()));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let gap = match accepted {
            Ok((stream, _)) => {
                match waiting.clone().try_acquire_owned() {
                    Ok(place) => drop(connections.spawn(take(stream, place, door.clone()))),
                    Err(_) => {
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

/// Reads what a peer wants with a connection. Tells the sync port, or holds the connection if there is a place for it.
async fn take(mut stream: TcpStream, waiting: OwnedSemaphorePermit, door: Arc<Door>) {
    let HoldSettings { cluster, node_id, .. } = door.settings;
    let read = timeout(PREAMBLE_TIMEOUT, Opening::read(&mut stream)).await;
    let preamble = match read {
        Ok(Ok(Opening::Hold(preamble))) if preamble.is_for(cluster, node_id) => preamble,
        Ok(Ok(Opening::SyncPort)) => {
            door.counters.sync_ports_told.increment();
            // The asker may be gone.
            let _ = sync_port::answer(&mut stream, door.sync_port).await;
            return end_by_reset(&stream);
        }
        Ok(Err(OpeningError::Nothing)) => return door.counters.taken.increment(),
        Ok(_) => {
            door.counters.holds_invalid.increment();
            return end_by_reset(&stream);
        }
        Err(_) => {
            door.counters.holds_silent.increment();
            return end_by_reset(&stream);
        }
    };
    let Some(held) = Held::take(stream, preamble.sender, door) else { return };
    drop(waiting);
    // However it ends, the monitor is gone, and the place is free.
    let _ = held.until_end().await;
}

/// A connection that has a place.
struct Held {
    stream: Arc<TcpStream>,
    node: NodeId,
    number: u64,
    door: Arc<Door>,
}

impl Held {
    fn take(stream: TcpStream, node: NodeId, door: Arc<Door>) -> Option<Self> {
        let stream = Arc::new(stream);
        let mut places = door.places();
        let Some(given) = places.take(node, stream.clone()) else {
            door.counters.holds_refused.increment();
            return None;
        };
        door.counters.holds_taken.increment();
        if let Some(earlier) = given.earlier {
            // Its other end is gone, or somebody else spoke in its name. A goodbye would keep that node from noticing our
            // death; without one it asks whether we live.
            door.counters.holds_displaced.increment();
            end(&earlier);
        }
        if let Some(displaced) = given.displaced {
            door.counters.holds_displaced.increment();
            say_goodbye(&displaced);
        }
        drop(places);
        Some(Self { stream, node, number: given.number, door })
    }

    /// Answers the monitor, and waits until the connection ends.
    async fn until_end(&self) -> io::Result<()> {
        keep_alive(&self.stream)?;
        loop {
            self.stream.writable().await?;
            match self.stream.try_write(&[HELD]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => break written.map(drop)?,
            }
        }
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut [0]) {
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

/// Says goodbye and ends a connection. Its task sees the end and drops it.
fn say_goodbye(stream: &TcpStream) {
    // The buffer of a connection on which one byte was ever sent has room. A monitor that is gone needs no goodbye.
    let _ = send(stream, &[GOODBYE], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    end(stream);
}

/// Ends a connection without a goodbye. Its task sees the end and drops it.
fn end(stream: &TcpStream) {
    // It may have ended before.
    let _ = shutdown(stream, Shutdown::Both);
}

/// Lets a connection end by a reset when it is dropped, which leaves no state behind on either side.
fn end_by_reset(stream: &TcpStream) {
    // Without it the connection is closed, and the kernel remembers that for a minute.
    let _ = stream.set_zero_linger();
}
