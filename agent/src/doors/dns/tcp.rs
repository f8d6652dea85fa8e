//! Queries in streams (RFC 7766). A connection has one query under way; what follows waits in the buffers of the system.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use super::counters::{DnsCounters, count};
use super::taking::{Came, Taken, Taking};

/// The longest wait for the next query, for the rest of one, and for the client to take an answer.
pub(super) const STEP_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a query. A longer one ends its connection.
pub(super) const MAX_QUERY_BYTES: usize = 4_096;
/// The pause after a connection could not be accepted, most likely for want of a file descriptor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves connections, so many at the same time, until dropped; then they end with it.
pub(super) async fn serve(taking: Arc<Taking>, listener: TcpListener, most: usize) {
    let counters = &taking.counters;
    let mut connections = Connections { tasks: JoinSet::new(), open: HashMap::new(), most };
    let mut is_failing = false;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => {
                is_failing = false;
                stream
            }
            Err(error) => {
                count(&counters.accepts_failed);
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "DNS connections cannot be accepted for now");
                }
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        if connections.make_room(counters).await {
            count(&counters.accepted);
            connections.spawn(&taking, stream);
        } else {
            count(&counters.connections_refused);
        }
    }
}

/// The open connections.
struct Connections {
    tasks: JoinSet<()>,
    open: HashMap<Id, (AbortHandle, Arc<Idle>)>,
    most: usize,
}

impl Connections {
    /// Sees to it that there is room for one more: the one that is idle longest gives way (RFC 7766, section 6.2.3). Returns
    /// whether there is, which fails while all wait for other servers.
    async fn make_room(&mut self, counters: &DnsCounters) -> bool {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
        if self.open.len() < self.most {
            return true;
        }
        let idle = self.open.values().filter_map(|(task, idle)| Some((idle.since()?, task)));
        let Some((_, idle_longest)) = idle.min_by_key(|(since, _)| *since) else { return false };
        idle_longest.abort();
        count(&counters.connections_displaced);
        while self.open.len() >= self.most {
            let Some(ended) = self.tasks.join_next_with_id().await else { return false };
            self.forget(ended);
        }
        true
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
        self.open.remove(&id);
    }

    fn spawn(&mut self, taking: &Arc<Taking>, stream: TcpStream) {
        let (open, idle) = (Open::new(taking.counters.clone()), Arc::new(Idle::new()));
        let (taking, shown) = (taking.clone(), idle.clone());
        let task = self.tasks.spawn(async move {
            if converse(&taking, stream, &shown).await.is_err() {
                count(&open.0.connections_failed);
            }
        });
        self.open.insert(task.id(), (task, idle));
    }
}

/// An open connection, counted until it is dropped.
struct Open(Arc<DnsCounters>);

impl Open {
    fn new(counters: Arc<DnsCounters>) -> Self {
        count(&counters.connections);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a connection waits for its client: since its last whole query. `None` while its client waits for another server.
struct Idle(Mutex<Option<Instant>>);

impl Idle {
    fn new() -> Self {
        Self(Mutex::new(Some(Instant::now())))
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// Answers the queries of a connection, until the client ends it or is idle for too long.
async fn converse(taking: &Taking, mut stream: TcpStream, idle: &Idle) -> io::Result<()> {
    // An answer is one write.
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; MAX_QUERY_BYTES];
    loop {
        let Some(length) = within(next_length(&mut stream)).await? else { return Ok(()) };
        let Some(query) = buffer.get_mut(..length) else {
            count(&taking.counters.malformed);
            return Err(io::ErrorKind::InvalidData.into());
        };
        within(stream.read_exact(query)).await?;
        idle.set(None);
        let answer = answer(taking, query).await;
        idle.set(Some(Instant::now()));
        let Some(answer) = answer else { continue };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        within(stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())).await?;
    }
}

async fn answer(taking: &Taking, query: &[u8]) -> Option<Vec<u8>> {
    match taking.take(query, Came::Tcp) {
        Taken::Ignore => None,
        Taken::Send(answer) => Some(answer),
        Taken::Wait(pending) => taking.finish(query, Came::Tcp, pending).await,
    }
}

/// The length of the next query; `None` at the end of the stream.
async fn next_length(stream: &mut TcpStream) -> io::Result<Option<usize>> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    Ok(Some(u16::from_be_bytes(length).into()))
}

async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(STEP_WITHIN, step).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
