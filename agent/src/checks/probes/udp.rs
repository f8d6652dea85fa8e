//! A UDP probe: a datagram, and whatever answers it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hobnob_api::UdpProbe;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::target::Target;
use super::tcp::MAX_ADDRESSES;
use super::{ProbeError, is_local, lookup};
use crate::checks::outcome::Outcome;

/// Bytes that are read of an answer.
const MAX_ANSWER_BYTES: usize = 512;

/// Sends to every address of the target at once. The first answer passes.
pub(super) async fn ask(
    target: &Target,
    probe: &UdpProbe,
    deadline: Instant,
) -> Result<Outcome, ProbeError> {
    let payload = probe.payload.clone().unwrap_or_default().into_bytes();
    let addresses = lookup::addresses(&target.host, deadline).await?;
    let mut attempts = JoinSet::new();
    for ip in addresses.into_iter().take(MAX_ADDRESSES) {
        attempts.spawn(exchange(SocketAddr::new(ip, target.port), payload.clone()));
    }
    let mut failed: Option<io::Error> = None;
    loop {
        match timeout_at(deadline, attempts.join_next()).await {
            Ok(Some(attempt)) => match attempt.unwrap_or_else(|ended| Err(io::Error::other(ended)))
            {
                Ok(len) => return Ok(Outcome::success(format!("answered with {len} bytes"))),
                Err(error) => {
                    if failed.as_ref().is_none_or(|failed| !is_local(failed)) {
                        failed = Some(error);
                    }
                }
            },
            Ok(None) => {
                let error = failed.unwrap_or_else(|| io::Error::other("the name has no address"));
                return Err(ProbeError::connect(target, error));
            }
            Err(_) if probe.silence_passes => {
                return Ok(Outcome::success("no answer, and no sign that the port is closed"));
            }
            Err(_) => return Err(ProbeError::NoAnswer),
        }
    }
}

/// Returns the length of the answer. The kernel tells of a closed port by an error of the socket.
async fn exchange(to: SocketAddr, payload: Vec<u8>) -> io::Result<usize> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    socket.send(&payload).await?;
    socket.recv(&mut [0; MAX_ANSWER_BYTES]).await
}
