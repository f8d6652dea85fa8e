//! A tiny HTTP server for tests, which can be told to misbehave.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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
    requests: Mutex<Vec<String>>,
}

impl FakeServer {
    /// Starts a server that answers 200.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Status(200)),
            requests: Mutex::default(),
        });
        let task = tokio::spawn(serve(listener, shared.clone()));
        Self { addr, shared, task }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/health", self.addr)
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
        tokio::spawn(answer(stream, shared.clone()));
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let behaviour = shared.behaviour.lock().expect("not poisoned").clone();
    if matches!(behaviour, Behaviour::Close) {
        return;
    }
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
        Behaviour::Hang | Behaviour::Close => (Vec::new(), true),
    };
    let _ = stream.write_all(&bytes).await;
    if then_hang {
        // Until the client closes.
        let _ = stream.read_u8().await;
    }
}
