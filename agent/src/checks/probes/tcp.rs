//! Connections to the host of a probe; opening one is all of a TCP probe.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;

use super::ProbeError;
use super::target::Target;

/// Host names that are looked up at once. A lookup occupies a thread of the runtime until the system's resolver gives
/// up, even when the probe that wanted it has timed out long before; further ones wait, within the timeouts of their
/// probes.
pub const MAX_RESOLUTIONS: usize = 32;

static RESOLUTIONS: Semaphore = Semaphore::const_new(MAX_RESOLUTIONS);

/// Connects to the target.
pub(super) async fn connect(target: &Target) -> Result<TcpStream, ProbeError> {
    let Target { host, port, .. } = target;
    let addresses = resolve(host, *port).await?;
    let connected = TcpStream::connect(addresses.as_slice()).await;
    connected.map_err(|source| ProbeError::Connect { host: host.clone(), port: *port, source })
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |source| ProbeError::Lookup { host: host.to_owned(), source };
    let permit = RESOLUTIONS.acquire().await.map_err(|error| failed(io::Error::other(error)))?;
    let name = host.to_owned();
    // A task of its own: it holds the permit until the resolver's thread is free, also when the probe has timed out.
    let lookup = tokio::spawn(async move {
        let _permit = permit;
        lookup_host((name, port)).await.map(Iterator::collect)
    });
    lookup.await.map_err(|error| failed(error.into()))?.map_err(failed)
}
