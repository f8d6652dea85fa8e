//! TCP probes: TCP handshakes on the gossip port, which tell a stalled process from one that is gone.
//!
//! The kernel completes a handshake for a listener whose process stalls, and refuses it when the process is gone.
//! No byte is ever sent on these connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::TcpProbeId;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::counters::TcpProbeCounters;
use super::limits::{MAX_TCP_PROBES, TCP_PROBE_TIMEOUT};

/// The number of attempts to find a port that is free for UDP and for TCP.
const TRIES: u32 = 16;
/// The pause after each accepted connection, so that no peer can keep the agent busy by connecting. Handshakes do not
/// wait for it, since the kernel completes them.
const GAP: Duration = Duration::from_millis(1);
/// The pause after a connection could not be accepted, for example without a free file descriptor.
const GAP_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Binds the gossip socket, and a listener for TCP probes on the same address and port. Port 0 stands for any port that
/// is free for both. If the listener cannot be bound, the function logs a warning and returns no listener.
///
/// # Errors
/// The gossip socket cannot be bound.
pub(super) async fn bind_gossip(addr: SocketAddr) -> io::Result<(UdpSocket, Option<TcpListener>)> {
    let mut tries = if addr.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let gossip = UdpSocket::bind(addr).await?;
        let at = gossip.local_addr()?;
        match TcpListener::bind(at).await {
            Ok(listener) => return Ok((gossip, Some(listener))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(error) => {
                warn!(
                    port = at.port(),
                    %error,
                    "cannot listen on the gossip port by TCP, so peers cannot tell whether this agent stands still or crashed. \
                     While another program listens there, peers notice a crash after 5 s, not 2 s; otherwise they take this \
                     agent for crashed when it stands still for 2 s. Free that port for TCP, or choose another with --bind"
                );
                return Ok((gossip, None));
            }
        }
    }
}

/// Answers the TCP probes of peers, and sends TCP probes to peers. Dropping it closes the listener.
#[derive(Debug)]
pub struct TcpProbes {
    listening: Option<JoinHandle<()>>,
    /// One permit for each probe under way.
    admission: Arc<Semaphore>,
    answered: mpsc::Sender<TcpProbeId>,
    counters: Arc<TcpProbeCounters>,
}

impl TcpProbes {
    /// Starts to accept connections, if there is a listener. Each probe of ours that is answered is sent to `answered`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(listener: Option<TcpListener>, answered: mpsc::Sender<TcpProbeId>) -> Self {
        let counters = Arc::<TcpProbeCounters>::default();
        let listening = listener.map(|listener| tokio::spawn(take(listener, counters.clone())));
        Self { listening, admission: Arc::new(Semaphore::new(MAX_TCP_PROBES)), answered, counters }
    }

    /// Whether peers can probe this host.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.listening.is_some()
    }

    /// The counters since the start.
    #[must_use]
    pub fn counters(&self) -> &TcpProbeCounters {
        &self.counters
    }

    /// Probes a host, unless [`MAX_TCP_PROBES`] probes are under way; does not wait. Only an answer within
    /// [`TCP_PROBE_TIMEOUT`] is reported. Refusals and timeouts are not: a firewall can cause either.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn tcp_probe(&self, to: SocketAddr, tcp_probe: TcpProbeId) {
        let Ok(place) = self.admission.clone().try_acquire_owned() else {
            return self.counters.dropped.increment();
        };
        let answered = self.answered.clone();
        tokio::spawn(async move {
            if matches!(timeout(TCP_PROBE_TIMEOUT, is_answered(to)).await, Ok(Ok(true))) {
                // It fails only when the driver has ended.
                let _ = answered.send(tcp_probe).await;
            }
            drop(place);
        });
    }
}

impl Drop for TcpProbes {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// Accepts connections forever, and drops each at once.
async fn take(listener: TcpListener, counters: Arc<TcpProbeCounters>) {
    loop {
        let gap = match listener.accept().await {
            Ok(_) => {
                counters.taken.increment();
                GAP
            }
            Err(_) => {
                counters.failed.increment();
                GAP_AFTER_FAILURE
            }
        };
        sleep(gap).await;
    }
}

/// Whether the host completes the handshake.
async fn is_answered(to: SocketAddr) -> io::Result<bool> {
    let stream = TcpStream::connect(to).await?;
    // Close by a reset, which leaves no state behind on either side.
    stream.set_zero_linger()?;
    // A connection to a free port of the own host may get that port as its source port, and connect to itself.
    Ok(stream.local_addr()? != to)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hobnob_membership::NodeId;

    use super::*;

    const TEST_TIMEOUT: Duration = Duration::from_secs(60);

    fn tcp_probe(n: u8) -> TcpProbeId {
        TcpProbeId { node: NodeId(u64::from(n)), nonce: [n; 4] }
    }

    fn loopback() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    async fn next(answers: &mut mpsc::Receiver<TcpProbeId>) -> TcpProbeId {
        timeout(TEST_TIMEOUT, answers.recv()).await.expect("in time").expect("an answer")
    }

    #[tokio::test]
    async fn one_port_is_free_for_both() {
        let (gossip, listener) = bind_gossip(loopback()).await.expect("bound");
        let listener = listener.expect("some port is free for both");
        assert_eq!(gossip.local_addr().expect("bound"), listener.local_addr().expect("bound"));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_for_tcp_will_do_without() {
        let taken = TcpListener::bind(loopback()).await.expect("bound");
        let addr = taken.local_addr().expect("bound");
        let (gossip, listener) = bind_gossip(addr).await.expect("free for UDP");
        assert_eq!(gossip.local_addr().expect("bound"), addr);
        assert!(listener.is_none());
    }

    #[tokio::test]
    async fn a_listener_answers_and_a_closed_port_does_not() {
        let (answered, mut answers) = mpsc::channel(1);
        let (_gossip, listener) = bind_gossip(loopback()).await.expect("bound");
        let listener = listener.expect("free");
        let addr = listener.local_addr().expect("bound");
        let tcp_probes = TcpProbes::start(None, answered.clone());
        tcp_probes.tcp_probe(addr, tcp_probe(1));
        assert_eq!(next(&mut answers).await, tcp_probe(1), "although nobody takes it");
        assert!(!tcp_probes.is_listening());
        drop(listener);
        tcp_probes.tcp_probe(addr, tcp_probe(2));
        drop((tcp_probes, answered));
        assert_eq!(answers.recv().await, None, "it is refused");
    }

    #[tokio::test]
    async fn an_accepted_connection_is_dropped_at_once() {
        let (_gossip, listener) = bind_gossip(loopback()).await.expect("bound");
        let listener = listener.expect("free");
        let addr = listener.local_addr().expect("bound");
        let tcp_probes = TcpProbes::start(Some(listener), mpsc::channel(1).0);
        assert!(tcp_probes.is_listening());
        for _ in 0..3 {
            let stream = TcpStream::connect(addr).await.expect("connected");
            timeout(TEST_TIMEOUT, stream.readable()).await.expect("in time").expect("readable");
            assert_eq!(stream.try_read(&mut [0; 1]).expect("its end"), 0);
        }
        assert_eq!(tcp_probes.counters().taken.get(), 3);
    }

    #[tokio::test]
    async fn no_more_are_under_way_than_there_are_places() {
        let (answered, mut answers) = mpsc::channel(1);
        let (_gossip, listener) = bind_gossip(loopback()).await.expect("bound");
        let addr = listener.as_ref().expect("free").local_addr().expect("bound");
        let tcp_probes = TcpProbes::start(listener, answered);
        for _ in 0..=MAX_TCP_PROBES {
            tcp_probes.tcp_probe(addr, tcp_probe(1));
        }
        assert_eq!(tcp_probes.counters().dropped.get(), 1);
        for _ in 0..MAX_TCP_PROBES {
            next(&mut answers).await;
        }
    }
}
