//! An agent, servers and clients.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hobnob_api::codec::BinaryCodec;
use hobnob_api::discovery::DiscoveryConfig;
use hobnob_api::{
    API_VERSION, Basis, Call, Instance, InstanceScope, InstanceStatus, Instances, NodeId, Prefer,
    Reply, Request as Asked, Response as Told,
};
use hobnob_proxy::{Endpoint, HttpOptions, Limits, Mode, Proxy, ProxyConfig, RouteConfig};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::codec::Framed;

/// Nothing on loopback takes as long.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The body of an answer.
pub(crate) type Answer = UnsyncBoxBody<Bytes, Infallible>;

pub(crate) fn full(text: impl Into<Bytes>) -> Answer {
    Full::new(text.into()).boxed_unsync()
}

/// Waits for what must happen.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(LONG, future).await.expect("it happens")
}

/// Waits until a condition holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "it happens");
        tokio::task::yield_now().await;
    }
}

/// Lets a time pass without waiting for it. The clock moves while no task of this runtime has anything to do, so that it overtakes
/// nothing that is under way.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::sleep(time).await;
    tokio::time::resume();
}

/// Waits until no task of this runtime has anything to do.
pub(crate) async fn at_rest() {
    pass(Duration::from_millis(1)).await;
}

/// A healthy instance at this address.
pub(crate) fn instance(id: &str, address: SocketAddr) -> Instance {
    Instance {
        service: "web".to_owned(),
        id: id.to_owned(),
        node: "a1".to_owned(),
        node_id: NodeId(0xab),
        datacenter: "dc1".to_owned(),
        zone: String::new(),
        address: address.ip().to_string(),
        port: address.port(),
        tags: BTreeSet::new(),
        meta: BTreeMap::new(),
        weight: 1,
        namespace: "default".to_owned(),
        status: InstanceStatus::Healthy,
        offered: true,
        basis: Basis::Current,
        age_ms: 0,
        scope: InstanceScope::Global,
        check: None,
        draining: false,
    }
}

/// An address where nobody listens.
pub(crate) async fn refused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// An agent that tells instances.
pub(crate) struct Agent {
    pub(crate) instances: watch::Sender<Vec<Instance>>,
    folder: TempDir,
}

impl Agent {
    fn start(instances: Vec<Instance>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        let (publish, told) = watch::channel(instances);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(tell(stream, told.clone()));
            }
        });
        Self { instances: publish, folder }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// Tells the instances, and each change of them. It ends with the connection.
async fn tell(stream: UnixStream, mut told: watch::Receiver<Vec<Instance>>) -> Option<Infallible> {
    let mut framed = Framed::new(stream, BinaryCodec::<Call, Reply>::server());
    let call = framed.next().await?.ok()?.ok()?;
    let Asked::Watch(_) = call.request else { return None };
    for revision in 1.. {
        let instances = told.borrow_and_update().clone();
        let now = Instances {
            revision,
            isolated: false,
            consistency: Default::default(),
            settings: None,
            instances,
        };
        let reply = Reply { api: Some(API_VERSION), ..Reply::new(call.id, Told::Instances(now)) };
        framed.send(&reply).await.ok()?;
        told.changed().await.ok()?;
    }
    None
}

/// Keeps all that is written.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A proxy that offers `web` at an address of its own, and the agent beside it.
pub(crate) struct Web {
    pub(crate) proxy: Proxy,
    pub(crate) agent: Agent,
    pub(crate) address: SocketAddr,
}

/// The setting of a test.
pub(crate) struct Setting {
    pub(crate) mode: Mode,
    pub(crate) limits: Limits,
    pub(crate) discovery: DiscoveryConfig,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) access_log: Option<Box<dyn std::io::Write + Send>>,
}

pub(crate) async fn web(instances: Vec<Instance>) -> Web {
    web_with(instances, |_| {}).await
}

pub(crate) async fn web_with(instances: Vec<Instance>, change: impl FnOnce(&mut Setting)) -> Web {
    let agent = Agent::start(instances);
    let socket = agent.path("a.sock");
    let mut setting = Setting {
        mode: Mode::Http(HttpOptions::default()),
        limits: Limits::default(),
        discovery: DiscoveryConfig {
            socket,
            prefer: Prefer::Any,
            ..DiscoveryConfig::for_calls("web")
        },
        admin: None,
        access_log: None,
    };
    setting.discovery.calls.retries.base_backoff = Duration::ZERO;
    change(&mut setting);
    let Setting { mode, limits, discovery, admin, access_log } = setting;
    let listen = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
    let routes = vec![RouteConfig { discovery, listen, mode }];
    let proxy = Proxy::start(ProxyConfig { routes, limits, admin, access_log }).await.unwrap();
    let Endpoint::Tcp(address) = proxy.endpoints()[0].1 else { panic!("an address") };
    Web { proxy, agent, address }
}

/// A server of HTTP whose answers a test makes.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

/// What a server has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    /// The heads of the requests.
    pub(crate) heads: Mutex<Vec<http::request::Parts>>,
}

impl Seen {
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub(crate) fn last(&self) -> http::request::Parts {
        self.heads.lock().unwrap().last().unwrap().clone()
    }
}

impl Server {
    pub(crate) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Answer>> + Send + 'static,
    {
        Self::speaking(false, answer).await
    }

    /// A server of HTTP/1.1, or of HTTP/2.
    pub(crate) async fn speaking<F, R>(http2: bool, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Answer>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, SeqCst);
                let (seen, answer) = (shared.clone(), answer.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.requests.fetch_add(1, SeqCst);
                    let (head, body) = request.into_parts();
                    let mut kept = head.clone();
                    kept.extensions.clear();
                    seen.heads.lock().unwrap().push(kept);
                    let answered = answer(Request::from_parts(head, body));
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(async move {
                    // A client that breaks off is part of some tests.
                    drop(match http2 {
                        true => {
                            let server =
                                hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                            server.serve_connection(io, service).await
                        }
                        false => {
                            let server = hyper::server::conn::http1::Builder::new();
                            server.serve_connection(io, service).with_upgrades().await
                        }
                    });
                });
            }
        });
        Self { address, seen }
    }

    /// Answers with the body of the request.
    pub(crate) async fn echo() -> Self {
        Self::start(echo).await
    }

    pub(crate) fn instance(&self, id: &str) -> Instance {
        instance(id, self.address)
    }
}

pub(crate) async fn echo(request: Request<Incoming>) -> Response<Answer> {
    match request.into_body().collect().await {
        Ok(body) => Response::new(full(body.to_bytes())),
        Err(_) => Response::builder().status(400).body(full("")).unwrap(),
    }
}

/// A server that gets the raw bytes of each connection.
pub(crate) async fn raw<F, R>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Reads the head of a message.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Sends bytes over a new connection, and returns what comes until it ends.
pub(crate) async fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The proxy may have closed before all of it was sent.
    let _ = stream.write_all(bytes.as_ref()).await;
    rest(&mut stream).await
}

/// What comes until the connection ends.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is reset has ended, too.
    let _ = soon(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A client of HTTP/1.1 with one connection.
pub(crate) async fn client1(address: SocketAddr) -> http1::SendRequest<Answer> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// A client of HTTP/2 with one connection.
pub(crate) async fn client2(address: SocketAddr) -> http2::SendRequest<Answer> {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get(path: &str) -> Request<Answer> {
    Request::get(path).header("host", "web").body(full("")).unwrap()
}

/// The length of a body, of which nothing is kept.
pub(crate) async fn length(mut body: Incoming) -> u64 {
    let mut length = 0;
    while let Some(frame) = soon(body.frame()).await {
        length += frame.unwrap().data_ref().map_or(0, |data| data.len() as u64);
    }
    length
}

/// The status and the whole body.
pub(crate) async fn whole(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

impl Web {
    /// Asks for the health endpoint's counterpart without one: whether the proxy has no instance to offer.
    pub(crate) fn proxy_knows_nobody(&self) -> bool {
        self.instances() == Some(0)
    }

    /// The instances that the proxy knows.
    pub(crate) fn instances(&self) -> Option<usize> {
        self.proxy.instances(&self.proxy.endpoints()[0].1)
    }
}
