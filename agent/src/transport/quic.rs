//! The QUIC endpoint: accepts streams of peers, opens streams to peers, and carries frames for the driver.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_keys::NodeKey;
use hobnob_membership::StreamId;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use super::admission::{Admission, MemberAddresses, Place, host};
use super::counters::QuicCounters;
use super::holds::{SyncPortError, ask_sync_port};
use super::limits::{FIRST_STREAM_TIMEOUT, HANDSHAKE_TIMEOUT, MAX_OPENED};
use super::outbox::{Abort, Outbox};
use super::pace::{Pace, Rates};
use super::session::{CloseCode, Link, Session, StreamEvent};
use super::tcp_source::TcpSource;
use super::tls::{Identity, NODE_NAME, Proven};

/// The endpoint could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuicError {
    /// The address cannot be listened on.
    #[error("cannot listen for sync streams on {addr} (UDP): {source}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
    /// TLS cannot be set up with the key of this node.
    #[error("the key of this node cannot be used for sync streams: {0}")]
    Key(#[from] rustls::Error),
}

/// The sync endpoint of an agent: one UDP socket that accepts and opens connections.
///
/// Only [`shutdown`](Self::shutdown) waits. The results of all other calls arrive as [`StreamEvent`]s on the channel
/// given to [`bind`](Self::bind). That channel is the only buffer for frames of peers: while it is full, nothing more
/// is read, and QUIC's flow control slows the peers down.
///
/// A peer learns of a stream that we open by our first frame, so the opener has to send first.
#[derive(Debug)]
pub struct Quic {
    endpoint: Endpoint,
    local_addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The outboxes of the streams that exist, for the driver's calls.
    streams: Mutex<HashMap<StreamId, Arc<Outbox>>>,
    events: mpsc::Sender<StreamEvent>,
    shutdown: CancellationToken,
    counters: Arc<QuicCounters>,
    /// One place for each connection that a peer opens. All places are free when no task of such a connection is left.
    accepting: Admission,
    /// The driver's members, whose connections come before those of strangers.
    members: ArcSwap<MemberAddresses>,
    /// One permit for each stream that we open. All permits are free when no task of such a stream is left.
    opening: Arc<Semaphore>,
    /// The number of streams accepted so far, which numbers them.
    accepted: AtomicU64,
}

impl Quic {
    /// Listens on `addr`; port 0 stands for any free port. The key is what this node proves to its peers.
    ///
    /// # Errors
    /// The address cannot be listened on, this is not called within a tokio runtime, or the key is unusable.
    pub fn bind(
        addr: SocketAddr,
        key: &NodeKey,
        events: mpsc::Sender<StreamEvent>,
    ) -> Result<Self, QuicError> {
        Self::bind_at_pace(addr, key, events, Rates::default())
    }

    /// [`bind`](Self::bind), with other rates at which connections are answered.
    pub(super) fn bind_at_pace(
        addr: SocketAddr,
        key: &NodeKey,
        events: mpsc::Sender<StreamEvent>,
        rates: Rates,
    ) -> Result<Self, QuicError> {
        let bind_error = |source| QuicError::Bind { addr, source };
        let identity = Identity::of(key)?;
        let mut endpoint = Endpoint::server(identity.server_config()?, addr).map_err(bind_error)?;
        endpoint.set_default_client_config(identity.client_config()?);
        let local_addr = endpoint.local_addr().map_err(bind_error)?;
        let shared = Arc::new(Shared {
            streams: Mutex::default(),
            events,
            shutdown: CancellationToken::new(),
            counters: Arc::default(),
            accepting: Admission::new(),
            members: ArcSwap::default(),
            opening: Arc::new(Semaphore::new(MAX_OPENED)),
            accepted: AtomicU64::new(0),
        });
        tokio::spawn(accept(endpoint.clone(), shared.clone(), rates));
        Ok(Self { endpoint, local_addr, shared })
    }

    /// The address that the endpoint listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The counters since the endpoint was bound.
    #[must_use]
    pub fn counters(&self) -> &QuicCounters {
        &self.shared.counters
    }

    /// Sets the addresses of the endpoints of all members. While peers connect too fast or have too many connections,
    /// strangers wait for members, and not the other way round.
    pub fn set_members(&self, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.shared.members.store(Arc::new(addresses.into_iter().collect()));
    }

    /// Opens a stream to a peer. Frames can be sent at once. [`StreamEvent::Closed`] reports a failure, such as
    /// [`MAX_OPENED`] streams being open already.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open(&self, stream: StreamId, to: SocketAddr) {
        self.open_to(stream, Target::Sync(to));
    }

    /// Like [`open`](Self::open), to the member at a gossip address: it is asked for its sync port by TCP first.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn open_at(&self, stream: StreamId, gossip: SocketAddr) {
        self.open_to(stream, Target::Gossip(gossip));
    }

    fn open_to(&self, stream: StreamId, to: Target) {
        let link = self.shared.link(stream);
        let mut streams = self.shared.streams();
        if streams.contains_key(&stream) {
            error!(stream = stream.0, "a stream was opened twice; the second one is ignored");
            return;
        }
        match self.shared.opening.clone().try_acquire_owned() {
            Ok(slot) => {
                streams.insert(stream, link.outbox.clone());
                let from = (self.endpoint.clone(), TcpSource::of(self.local_addr));
                tokio::spawn(dial(from, self.shared.clone(), link, to, slot));
            }
            Err(_) => {
                tokio::spawn(async move { link.fail(&"too many streams are open", false).await });
            }
        }
    }

    /// Sends a frame of 1 to [`MAX_FRAME_BYTES`](hobnob_membership::limits::MAX_FRAME_BYTES) bytes.
    /// [`StreamEvent::Written`] follows when it is written. At most
    /// [`MAX_FRAMES_IN_FLIGHT`](hobnob_membership::limits::MAX_FRAMES_IN_FLIGHT) frames may wait to be written. One
    /// frame more, or a frame of another length, fails the stream and is counted. A frame for a stream that is over is
    /// dropped.
    pub fn send(&self, stream: StreamId, frame: Vec<u8>) {
        if let Some(outbox) = self.shared.streams().get(&stream) {
            outbox.push(frame);
        }
    }

    /// Finishes our side of a stream. Frames that were sent before are still delivered; no frame may follow.
    ///
    /// Call it on [`StreamEvent::Closed`] too, unless there is more to send. Until that call, or until
    /// [`LINGER`](super::limits::LINGER) has passed, the connection is kept for answers to the peer's last frames.
    pub fn finish(&self, stream: StreamId) {
        if let Some(outbox) = self.shared.streams().get(&stream) {
            outbox.finish();
        }
    }

    /// Drops a stream at once in both directions, with the frames that wait to be written. Earlier events of the stream
    /// may still be in the channel; no further event follows.
    pub fn reset(&self, stream: StreamId) {
        if let Some(outbox) = self.shared.streams().remove(&stream) {
            outbox.abort(Abort::Reset);
        }
    }

    /// Stops the endpoint: it accepts no new streams, reads nothing more, delivers the frames that were sent on each
    /// stream, and closes. Waits for that, at most `grace`. No event follows.
    pub async fn shutdown(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.shared.shutdown.cancel();
        let all_ended = async {
            self.shared.accepting.all_free().await;
            let _ = self.shared.opening.acquire_many(MAX_OPENED as u32).await;
        };
        let _ = timeout_at(deadline, all_ended).await;
        self.endpoint.close(CloseCode::Shutdown.into(), b"");
        let _ = timeout_at(deadline, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Quic {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
        self.endpoint.close(CloseCode::Shutdown.into(), b"");
    }
}

impl Shared {
    /// Locks the map, for a look-up only. It is valid between any two statements, so a panic that poisoned the lock
    /// does no harm.
    fn streams(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Outbox>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, stream: StreamId) -> Link {
        Link {
            stream,
            outbox: Arc::default(),
            events: self.events.clone(),
            shutdown: self.shutdown.clone(),
            counters: self.counters.clone(),
        }
    }
}

/// Accepts connections until the shutdown.
async fn accept(endpoint: Endpoint, shared: Arc<Shared>, rates: Rates) {
    let mut pace = Pace::new(&rates, Instant::now());
    loop {
        let incoming = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let (from, now) = (incoming.remote_address(), Instant::now());
        let kind = shared.members.load().kind_of(from);
        let is_proven = incoming.remote_address_validated() || !incoming.may_retry();
        let is_in_time = match is_proven {
            true => pace.take_handshake(kind, host(from.ip()), now),
            false => pace.take_retry(kind, now),
        };
        if !is_in_time {
            shared.counters.attempts_ignored.increment();
            incoming.ignore();
            continue;
        }
        if !is_proven {
            // A Retry needs no memory here: a peer that owns its address returns with the token that was sent there.
            if incoming.retry().is_ok() {
                shared.counters.retries_sent.increment();
            }
            continue;
        }
        match shared.accepting.take(from.ip(), kind) {
            Some(place) => {
                tokio::spawn(serve(shared.clone(), incoming, place));
            }
            None => {
                shared.counters.connections_refused.increment();
                incoming.refuse();
            }
        }
    }
}

/// Completes a connection that a peer opens, and runs its one stream.
async fn serve(shared: Arc<Shared>, incoming: Incoming, _place: Place) {
    let accepted = tokio::select! {
        () = shared.shutdown.cancelled() => return,
        accepted = accept_stream(&shared.counters, incoming) => accepted,
    };
    let Some((connection, proven, send, recv)) = accepted else { return };
    let stream = StreamId::accepted(shared.accepted.fetch_add(1, Ordering::Relaxed));
    let link = shared.link(stream);
    shared.streams().insert(stream, link.outbox.clone());
    match link.deliver(StreamEvent::Accepted { stream }).await {
        Ok(()) => Session::new(link, connection, proven, send, recv).run().await,
        // The driver does not know the stream yet, so it did not reset it: the transport shuts down, or the driver
        // ended.
        Err(_) => connection.close(CloseCode::Shutdown.into(), b""),
    }
    shared.streams().remove(&stream);
}

async fn accept_stream(
    counters: &QuicCounters,
    incoming: Incoming,
) -> Option<(Connection, Proven, SendStream, RecvStream)> {
    let from = incoming.remote_address();
    let handshake = async { proven(incoming.accept()?.await?) };
    let (connection, proven) = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => {
            debug!(%from, %error, "a handshake failed");
            counters.handshakes_failed.increment();
            return None;
        }
        Err(_) => {
            debug!(%from, "a handshake took too long");
            counters.handshakes_failed.increment();
            return None;
        }
    };
    counters.connections_accepted.increment();
    match timeout(FIRST_STREAM_TIMEOUT, connection.accept_bi()).await {
        Ok(Ok((send, recv))) => Some((connection, proven, send, recv)),
        Ok(Err(_)) | Err(_) => {
            debug!(%from, "a connection opened no stream");
            counters.connections_unused.increment();
            connection.close(CloseCode::Violation.into(), b"no stream was opened");
            None
        }
    }
}

/// The address of a peer that a stream is opened to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Sync(SocketAddr),
    Gossip(SocketAddr),
}

impl Target {
    /// The sync address of the peer.
    async fn resolve(self, source: TcpSource) -> Result<SocketAddr, SyncPortError> {
        match self {
            Self::Sync(to) => Ok(to),
            Self::Gossip(to) => ask_sync_port(source, to).await,
        }
    }
}

/// Connects to a peer, and runs the one stream of that connection.
async fn dial(
    (endpoint, source): (Endpoint, TcpSource),
    shared: Arc<Shared>,
    link: Link,
    to: Target,
    _slot: OwnedSemaphorePermit,
) {
    let stream = link.stream;
    let connected = tokio::select! {
        interrupt = link.interrupted() => Err(interrupt),
        connected = open_stream((&endpoint, source), &link, to) => Ok(connected),
    };
    match connected {
        Ok(Ok((connection, proven, send, recv))) => {
            Session::new(link, connection, proven, send, recv).run().await;
        }
        Ok(Err(error)) => link.fail(&error, false).await,
        Err(interrupt) => link.conclude(&interrupt, false).await,
    }
    shared.streams().remove(&stream);
}

/// A connection was not made.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error(transparent)]
    Address(#[from] quinn::ConnectError),
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    #[error("the peer proved no key")]
    Unproven,
    #[error("no answer")]
    Silent,
}

/// A stream was not opened.
#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error(transparent)]
    SyncPort(#[from] SyncPortError),
    #[error("cannot connect to {to}: {source}")]
    Connect { to: SocketAddr, source: ConnectError },
}

/// A connection after its handshake, and what TLS proved of its peer.
fn proven(connection: Connection) -> Result<(Connection, Proven), ConnectError> {
    match Proven::of(&connection) {
        Some(proven) => Ok((connection, proven)),
        None => {
            connection.close(CloseCode::Violation.into(), b"no key was proved");
            Err(ConnectError::Unproven)
        }
    }
}

async fn open_stream(
    (endpoint, source): (&Endpoint, TcpSource),
    link: &Link,
    target: Target,
) -> Result<(Connection, Proven, SendStream, RecvStream), DialError> {
    let to = target.resolve(source).await?;
    if let Target::Gossip(_) = target {
        // An interrupt ends this, too.
        let _ = link.deliver(StreamEvent::Answered { stream: link.stream }).await;
    }
    let connect = async {
        let (connection, proven) = proven(endpoint.connect(to, NODE_NAME)?.await?)?;
        let (send, recv) = connection.open_bi().await?;
        Ok((connection, proven, send, recv))
    };
    let connected = timeout(HANDSHAKE_TIMEOUT, connect).await;
    let connected = connected.unwrap_or(Err(ConnectError::Silent));
    connected.map_err(|source| DialError::Connect { to, source })
}
