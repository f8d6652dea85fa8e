//! Listeners: they accept connections while there are descriptors, and serve them while there is room.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::config::{Endpoint, Mode};
use crate::phase::Phase;
use crate::route::{Client, Route};
use crate::stream::{Ends, Stream};
use crate::{connection, tcp};

/// The pause after a connection could not be accepted, mostly for want of a descriptor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A bound socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a unix socket. It goes with the listener.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file.
    identity: (u64, u64),
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The file may be that of another process by now.
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // One that cannot be removed is found by the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = std::fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

impl Listener {
    /// Listens there. A socket of a process that is gone is replaced.
    pub(crate) async fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Endpoint::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                Ok(Self::Unix(listener, SocketFile::new(path)?))
            }
        }
    }

    /// The address that it listens on, with the port that the system chose.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        Ok(match self {
            Self::Tcp(listener) => Endpoint::Tcp(listener.local_addr()?),
            Self::Unix(_, file) => Endpoint::Unix(file.path.clone()),
        })
    }

    async fn accept(&self) -> io::Result<(Stream, Option<Ends>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, client) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let local = stream.local_addr()?;
                Ok((Stream::Tcp(stream), Some(Ends { client, local })))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Stream::Unix(stream), None))
            }
        }
    }
}

/// Removes the socket of a process that listens no more.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// Accepts connections of a route until the proxy drains.
pub(crate) async fn listen(listener: Listener, route: Arc<Route>, places: Arc<Semaphore>) {
    let common = route.common.clone();
    let accepting = async {
        let mut is_failing = false;
        loop {
            match listener.accept().await {
                Ok((stream, ends)) => {
                    is_failing = false;
                    // A place is taken for a client that is there: routes do not take it from each other while they wait.
                    let place = take_place(&route, &places).await;
                    serve(&route, stream, ends, place);
                }
                // The client was gone before it was accepted.
                Err(error) if is_of_client(&error) => {}
                Err(error) => {
                    common.counters.accepts_failed.add(1);
                    if !std::mem::replace(&mut is_failing, true) {
                        tracing::warn!(%error, service = &*route.service, "connections cannot be accepted for now");
                    }
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = common.phases.reached(Phase::Drains) => {}
    }
}

/// Waits until there may be one more connection.
async fn take_place(route: &Route, places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    if let Ok(place) = places.clone().try_acquire_owned() {
        return place;
    }
    let common = &route.common;
    if common.counters.accepts_paused.get() == 0 {
        tracing::warn!(
            max_connections = common.limits.max_connections,
            "there are as many connections as there may be: further ones wait until one ends (told once)"
        );
    }
    common.counters.accepts_paused.add(1);
    match places.clone().acquire_owned().await {
        Ok(place) => place,
        // The semaphore is never closed.
        Err(_) => std::future::pending().await,
    }
}

fn serve(route: &Arc<Route>, stream: Stream, ends: Option<Ends>, place: OwnedSemaphorePermit) {
    let client = Arc::new(Client::new(route.clone(), ends, place));
    match &route.mode {
        Mode::Http(_) => tokio::spawn(connection::serve(client, stream)),
        Mode::Tcp(options) => tokio::spawn(tcp::serve(client, stream, *options)),
    };
}

fn is_of_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput | NotConnected)
}
