//! Queries in streams (RFC 7766). A connection has one query under way; what follows waits in the buffers of the system.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::counters::{DnsCounters, count};
use super::taking::{Came, Taken, Taking};

/// Connections at the same time. A further one is closed and counted.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// The longest wait for the next query, for the rest of one, and for the client to take an answer.
pub(super) const STEP_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a query. A longer one ends its connection.
pub(super) const MAX_QUERY_BYTES: usize = 4_096;
/// The pause after a connection could not be accepted, most likely for want of a file descriptor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Serves connections until dropped; then they end with it.
pub(super) async fn serve(taking: Arc<Taking>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut is_failing = false;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => {
                is_failing = false;
                stream
            }
            Err(error) => {
                if !std::mem::replace(&mut is_failing, true) {
                    tracing::warn!(%error, "DNS connections cannot be accepted for now");
                }
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().try_acquire_owned() else {
            count(&taking.counters.connections_refused);
            continue;
        };
        count(&taking.counters.accepted);
        let open = Open::new(taking.counters.clone());
        let taking = taking.clone();
        connections.spawn(async move {
            let _place = place;
            if converse(&taking, stream).await.is_err() {
                count(&open.0.connections_failed);
            }
        });
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

/// Answers the queries of a connection, until the client ends it or is idle for too long.
async fn converse(taking: &Taking, mut stream: TcpStream) -> io::Result<()> {
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
        let Some(answer) = answer(taking, query).await else { continue };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        within(stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())).await?;
    }
}

async fn answer(taking: &Taking, query: &[u8]) -> Option<Vec<u8>> {
    match taking.take(query, Came::Tcp) {
        Taken::Ignore => None,
        Taken::Send(answer) => Some(answer),
        Taken::Forward(question) => {
            let forwarder = taking.forwarder.as_ref()?;
            let place = forwarder.place();
            let answer = match &place {
                Some(_) => forwarder.ask(&question).await,
                None => None,
            };
            answer.or_else(|| taking.failure(query, Came::Tcp))
        }
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
