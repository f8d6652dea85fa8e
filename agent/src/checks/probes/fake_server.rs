//! A tiny HTTP server for tests, which can be told to misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// The server's treatment of a connection.
#[derive(Clone, Debug)]
pub(crate) enum Behaviour {
    /// Answer with this status and an empty body.
    Status(u16),
    /// Answer with these bytes, then close.
    Raw(Vec<u8>),
    /// Answer with these bytes, then keep the connection open.
    RawThenHang(Vec<u8>),
    /// Take the request and never answer.
    Hang,
    /// Answer with a byte of the head each so often, without an end.
    Drip(Duration),
    /// Answer with a gigabyte of body.
    Huge,
    /// Take the request and reset the connection.
    Reset,
    /// Close at once.
    Close,
}

/// The server, on a free port of the loopback interface.
pub(crate) struct FakeServer {
    addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    tls: Option<TlsAcceptor>,
    requests: Mutex<Vec<String>>,
}

impl FakeServer {
    /// Starts a server that answers 200.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same with TLS.
    pub(crate) async fn start_tls(tls: TlsAcceptor) -> Self {
        Self::start_with(Some(tls)).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Status(200)),
            tls,
            requests: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, shared.clone()));
        Self { addr, shared, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/health", self.addr)
    }

    /// From the next connection on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().expect("not poisoned") = behaviour;
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("not poisoned").clone()
    }

    /// Closes the port.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Opens the same port again.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.addr).await.expect("the port is still free");
        self.task = tokio::spawn(serve(listener, self.shared.clone()));
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(take(stream, shared.clone()));
    }
}

async fn take(stream: TcpStream, shared: Arc<Shared>) {
    let behaviour = shared.behaviour.lock().expect("not poisoned").clone();
    if matches!(behaviour, Behaviour::Close) {
        return;
    }
    if matches!(behaviour, Behaviour::Reset) {
        // Closed with bytes that were not read, a connection is reset.
        let _ = stream.peek(&mut [0]).await;
        return;
    }
    match &shared.tls {
        None => answer(stream, behaviour, &shared).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                answer(stream, behaviour, &shared).await;
            }
        }
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Behaviour,
    shared: &Shared,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    shared.requests.lock().expect("not poisoned").push(String::from_utf8_lossy(&head).into_owned());
    let (bytes, then_hang) = match behaviour {
        Behaviour::Status(status) => {
            (format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").into_bytes(), false)
        }
        Behaviour::Raw(bytes) => (bytes, false),
        Behaviour::RawThenHang(bytes) => (bytes, true),
        Behaviour::Drip(every) => {
            for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
                if stream.write_all(&[*byte]).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                sleep(every).await;
            }
            return;
        }
        Behaviour::Huge => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            let part = [b'x'; 10_000];
            let parts = std::iter::once(&head[..]).chain(std::iter::repeat_n(&part[..], 100_000));
            for part in parts {
                if stream.write_all(part).await.is_err() {
                    return;
                }
            }
            return;
        }
        Behaviour::Hang | Behaviour::Close | Behaviour::Reset => (Vec::new(), true),
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    if then_hang {
        // Until the client closes.
        let _ = stream.read_u8().await;
    }
}
