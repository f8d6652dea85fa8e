//! TCP probes: TCP handshakes on the gossip port, which tell a stalled process from one that is gone.
//!
//! The kernel completes a handshake for a listener whose process stalls, and refuses it when the process is gone.
//! No byte is ever sent on these connections. [`holds`](super::holds) accepts them, since they go to the same port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hobnob_membership::TcpProbeId;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tracing::warn;

use super::counters::TcpCounters;
use super::limits::{MAX_TCP_PROBES, TCP_PROBE_TIMEOUT};
use super::tcp_source::TcpSource;

/// The number of attempts to find a port that is free for UDP and for TCP.
const TRIES: u32 = 16;
/// Binds the gossip socket, and a listener for TCP on the same address and port. Port 0 stands for any port that
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
                    "cannot listen on the gossip port by TCP, so peers cannot tell whether this agent stands still or crashed, \
                     and are not told at once when its process exits. While another program listens there, peers notice a crash \
                     after 5 s, otherwise after 2 s, and they take this agent for crashed when it stands still for 2 s. Free that \
                     port for TCP, or choose another with --bind"
                );
                return Ok((gossip, None));
            }
        }
    }
}

/// Sends TCP probes to peers.
#[derive(Debug)]
pub struct TcpProbes {
    /// One permit for each probe under way.
    admission: Arc<Semaphore>,
    answered: mpsc::Sender<TcpProbeId>,
    counters: Arc<TcpCounters>,
    source: TcpSource,
}

impl TcpProbes {
    /// Each probe comes from `source`, and one that is answered is sent to `answered`.
    #[must_use]
    pub(super) fn new(
        source: TcpSource,
        answered: mpsc::Sender<TcpProbeId>,
        counters: Arc<TcpCounters>,
    ) -> Self {
        Self { admission: Arc::new(Semaphore::new(MAX_TCP_PROBES)), answered, counters, source }
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
        let (source, answered) = (self.source, self.answered.clone());
        tokio::spawn(async move {
            if matches!(timeout(TCP_PROBE_TIMEOUT, is_answered(source, to)).await, Ok(Ok(true))) {
                // It fails only when the driver has ended.
                let _ = answered.send(tcp_probe).await;
            }
            drop(place);
        });
    }
}

/// Whether the host completes the handshake.
async fn is_answered(source: TcpSource, to: SocketAddr) -> io::Result<bool> {
    let stream = source.connect(to).await?;
    // Close by a reset, which leaves no state behind on either side.
    stream.set_zero_linger()?;
    // A connection to a free port of the own host may get that port as its source port, and connect to itself.
    Ok(stream.local_addr()? != to)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use hobnob_membership::NodeId;

    use super::*;

    const TEST_TIMEOUT: Duration = Duration::from_secs(60);

    fn tcp_probe(n: u8) -> TcpProbeId {
        TcpProbeId { node: NodeId(u64::from(n)), nonce: [n; 4] }
    }

    fn loopback() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    fn source() -> TcpSource {
        TcpSource::of(loopback())
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
        let tcp_probes = TcpProbes::new(source(), answered.clone(), Arc::default());
        tcp_probes.tcp_probe(addr, tcp_probe(1));
        assert_eq!(next(&mut answers).await, tcp_probe(1), "although nobody takes it");
        drop(listener);
        tcp_probes.tcp_probe(addr, tcp_probe(2));
        drop((tcp_probes, answered));
        assert_eq!(answers.recv().await, None, "it is refused");
    }

    #[tokio::test]
    async fn no_more_are_under_way_than_there_are_places() {
        let (answered, mut answers) = mpsc::channel(1);
        let (_gossip, listener) = bind_gossip(loopback()).await.expect("bound");
        let addr = listener.as_ref().expect("free").local_addr().expect("bound");
        let tcp_probes = TcpProbes::new(source(), answered, Arc::default());
        for _ in 0..=MAX_TCP_PROBES {
            tcp_probes.tcp_probe(addr, tcp_probe(1));
        }
        assert_eq!(tcp_probes.counters.dropped.get(), 1);
        for _ in 0..MAX_TCP_PROBES {
            next(&mut answers).await;
        }
    }
}
