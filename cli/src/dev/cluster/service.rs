//! The small HTTP services of the demonstration, and how they are registered.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hobnob_api::{Check, Probe, Registration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

/// The most connections that one service answers at once.
const MAX_CONNECTIONS: usize = 64;
/// The most bytes of the head of a request.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// The time that a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A service of the demonstration.
#[derive(Clone, Copy, Debug)]
pub(in crate::dev) struct Spec {
    pub(in crate::dev) service: &'static str,
    pub(in crate::dev) id: &'static str,
    weight: u32,
    tag: &'static str,
    version: &'static str,
}

/// The services, in the order in which they are dealt out to the agents.
pub(in crate::dev) const SPECS: [Spec; 6] = [
    Spec { service: "web", id: "web-1", weight: 3, tag: "stable", version: "1.4" },
    Spec { service: "web", id: "web-2", weight: 1, tag: "stable", version: "1.4" },
    Spec { service: "web", id: "web-3", weight: 1, tag: "canary", version: "1.5" },
    Spec { service: "api", id: "api-1", weight: 1, tag: "stable", version: "2.0" },
    Spec { service: "api", id: "api-2", weight: 1, tag: "stable", version: "2.0" },
    Spec { service: "db", id: "db-1", weight: 1, tag: "primary", version: "17" },
];

/// The service that a key stops and starts.
pub(in crate::dev) const TOGGLED: &str = "web-2";

/// An HTTP service on loopback that answers every request with its id.
#[derive(Debug)]
pub(in crate::dev) struct Service {
    pub(in crate::dev) spec: Spec,
    pub(in crate::dev) addr: SocketAddr,
    server: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts it on a free port.
    pub(in crate::dev) async fn start(spec: Spec) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let server = Some(tokio::spawn(serve(listener, spec.id)));
        Ok(Self { spec, addr, server })
    }

    /// Whether the service runs.
    pub(in crate::dev) fn is_running(&self) -> bool {
        self.server.is_some()
    }

    /// Stops the service, or starts it again on its old port.
    pub(in crate::dev) async fn toggle(&mut self) -> io::Result<()> {
        match self.server.take() {
            Some(server) => {
                server.abort();
                // Ignore the error of the cancelled task. Its port is closed now.
                let _ = server.await;
            }
            None => {
                let listener = TcpListener::bind(self.addr).await?;
                self.server = Some(tokio::spawn(serve(listener, self.spec.id)));
            }
        }
        Ok(())
    }

    /// The registration of the service.
    pub(in crate::dev) fn registration(&self) -> Registration {
        let Spec { service, id, weight, tag, version } = self.spec;
        Registration {
            id: Some(id.to_owned()),
            address: Some(self.addr.ip().to_string()),
            tags: BTreeSet::from([tag.to_owned()]),
            meta: BTreeMap::from([("version".to_owned(), version.to_owned())]),
            weight,
            checks: vec![Check {
                interval_ms: 500,
                failures_before_failing: 2,
                listener_watch: true,
                ..Check::new(Probe::Http { url: format!("http://{}/health", self.addr) })
            }],
            ..Registration::new(service, self.addr.port())
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

async fn serve(listener: TcpListener, id: &'static str) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(timeout(REQUEST_TIMEOUT, answer(stream, id)));
        }
        while connections.try_join_next().is_some() {}
        if connections.len() >= MAX_CONNECTIONS {
            connections.join_next().await;
        }
    }
}

/// Answers one request and closes the connection.
async fn answer(mut stream: TcpStream, id: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if head.len() > MAX_HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let body = format!("hello from {id}\n");
    let response = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(addr: SocketAddr) -> io::Result<String> {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        Ok(response)
    }

    #[tokio::test]
    async fn a_service_answers_until_it_is_stopped_and_again_once_it_is_started() {
        let mut service = Service::start(SPECS[0]).await.unwrap();
        let response = get(service.addr).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nhello from web-1\n"), "{response}");

        service.toggle().await.unwrap();
        assert!(!service.is_running() && get(service.addr).await.is_err());
        service.toggle().await.unwrap();
        assert!(service.is_running() && get(service.addr).await.is_ok());
    }

    #[test]
    fn the_toggled_service_exists_and_ids_are_unique() {
        let ids = BTreeSet::from_iter(SPECS.map(|spec| spec.id));
        assert_eq!(ids.len(), SPECS.len());
        assert!(ids.contains(TOGGLED));
    }
}
