//! Names of other domains: another server is asked, and its answer passed on.
//!
//! Each question goes out from a socket of its own, on a port that the system chooses at random, under a random id, so that
//! nobody can guess what an answer has to look like (RFC 5452). Clients that ask the same at the same time share one question:
//! where the other server asks us in turn, the question that comes back waits for the first, and both fail in time.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rcode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::counters::{DnsCounters, count};
use super::message::MAX_UDP_BYTES;
use super::outgoing::{Key, Outgoing};
use crate::checks::is_local;

/// The longest wait for the answer of one server. Then the next one is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks other servers.
pub(super) struct Forwarder {
    servers: Vec<SocketAddr>,
    /// The server that answered last. It is asked first.
    last: AtomicUsize,
    places: Arc<Semaphore>,
    under_way: Mutex<HashMap<Key, Shared>>,
    counters: Arc<DnsCounters>,
}

/// An answer that one client waits for, and others with it.
type Shared = Arc<OnceCell<Result<Vec<u8>, Unanswered>>>;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unanswered {
    /// No server answered in time.
    Silence,
    /// The system gave no socket, which is no news about a server.
    Shortage,
}

impl Forwarder {
    /// Asks these servers, with so many questions under way at most.
    pub(super) fn new(servers: Vec<SocketAddr>, counters: Arc<DnsCounters>, most: usize) -> Self {
        let places = Arc::new(Semaphore::new(most));
        Self { servers, last: AtomicUsize::new(0), places, under_way: Mutex::default(), counters }
    }

    /// A place among the questions under way; `None` if there are too many.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().ok();
        if place.is_none() {
            count(&self.counters.forwards_dropped);
        }
        place
    }

    /// The answer to a question, from the first server that has one.
    pub(super) async fn ask(&self, question: &Outgoing) -> Option<Vec<u8>> {
        let joined = Joined::new(self, question.key());
        let answer = joined.shared.get_or_init(|| self.ask_all(question)).await;
        count(match answer {
            Ok(_) => &self.counters.forwarded,
            Err(Unanswered::Silence) => &self.counters.forwards_failed,
            Err(Unanswered::Shortage) => &self.counters.forwards_dropped,
        });
        answer.as_ref().ok().map(|answer| question.for_client(answer.clone()))
    }

    /// Asks the servers in turn. A server that cannot help gives way to the next; its answer is passed on if none can.
    async fn ask_all(&self, question: &Outgoing) -> Result<Vec<u8>, Unanswered> {
        let (first, all) = (self.last.load(Ordering::Relaxed), self.servers.len());
        let mut helpless = None;
        for at in (first..first + all).map(|at| at % all) {
            let Some(server) = self.servers.get(at) else { continue };
            match timeout(ANSWER_WITHIN, self.ask_one(*server, question)).await {
                Ok(Ok(answer)) if is_helpful(&answer) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Ok(answer)) => helpless = helpless.or(Some(answer)),
                Ok(Err(error)) if is_local(&error) => return Err(Unanswered::Shortage),
                Ok(Err(error)) => {
                    tracing::debug!(%server, %error, "a DNS query could not be forwarded");
                }
                Err(_) => {}
            }
        }
        helpless.ok_or(Unanswered::Silence)
    }

    async fn ask_one(&self, server: SocketAddr, question: &Outgoing) -> io::Result<Vec<u8>> {
        if question.over_tcp() {
            return self.ask_by_tcp(server, question).await;
        }
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        // From now on the system drops what others send.
        socket.connect(server).await?;
        socket.send(question.bytes()).await?;
        // One byte more, so that an answer that is too long is noticed.
        let mut buffer = vec![0; usize::from(MAX_UDP_BYTES) + 1];
        loop {
            let length = socket.recv(&mut buffer).await?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if question.is_answered_by(bytes) {
                return Ok(question.within_limit(bytes));
            }
            count(&self.counters.forwards_mismatched);
        }
    }

    async fn ask_by_tcp(&self, server: SocketAddr, question: &Outgoing) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(question.bytes().len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], question.bytes()].concat()).await?;
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).await?;
        if question.is_answered_by(&bytes) {
            return Ok(bytes);
        }
        count(&self.counters.forwards_mismatched);
        Err(io::ErrorKind::InvalidData.into())
    }

    /// The clients that wait for another server.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.under_way().values().map(|shared| Arc::strong_count(shared) - 1).sum()
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, Shared>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an answer says something of the name, and not only of its server.
fn is_helpful(answer: &[u8]) -> bool {
    let rcode = Message::from_octets(answer).map(|answer| answer.header().rcode());
    !matches!(rcode, Ok(Rcode::SERVFAIL | Rcode::REFUSED | Rcode::NOTIMP))
}

/// The part of one client in a question that is under way. The question is forgotten with the last of them.
struct Joined<'a> {
    forwarder: &'a Forwarder,
    key: Key,
    shared: Shared,
}

impl<'a> Joined<'a> {
    fn new(forwarder: &'a Forwarder, key: Key) -> Self {
        let shared = forwarder.under_way().entry(key.clone()).or_default().clone();
        Self { forwarder, key, shared }
    }
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        let mut all = self.forwarder.under_way();
        // The table has one, and this client another.
        let is_last = Arc::strong_count(&self.shared) <= 2;
        let is_ours = all.get(&self.key).is_some_and(|other| Arc::ptr_eq(other, &self.shared));
        // An answer is shared with those who wait for it, and with nobody later.
        if is_ours && (is_last || self.shared.initialized()) {
            all.remove(&self.key);
        }
    }
}
