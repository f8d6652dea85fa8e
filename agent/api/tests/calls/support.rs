//! Servers whose behaviour a test chooses, and an agent that tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hobnob_api::calls::http::{Request, Response, StatusCode};
use hobnob_api::calls::{Answer, CallConfig};
use hobnob_api::codec::BinaryCodec;
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use hobnob_api::{
    Basis, Call, Instance, InstanceScope, InstanceStatus, Instances, NodeId, Prefer, Reply,
    Response as Told,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};
use tokio_util::codec::Framed;

/// What a server does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers with this status and the body of the request.
    Answer(u16),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
    /// Answers 200 after this time.
    Slow(Duration),
}

/// A server of HTTP/1.1, or of HTTP/2.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    behaviour: Mutex<Behaviour>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    /// The host and the target of the last request.
    last: Mutex<(String, String)>,
}

impl Server {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::start_with(behaviour, false).await
    }

    pub(crate) async fn start_with(behaviour: Behaviour, http2: bool) -> Self {
        Self::start_as(behaviour, http2.then_some(200)).await
    }

    /// A server of HTTP/2 that takes so many calls at a time over a connection.
    pub(crate) async fn start_http2(behaviour: Behaviour, max_calls: u32) -> Self {
        Self::start_as(behaviour, Some(max_calls)).await
    }

    async fn start_as(behaviour: Behaviour, http2: Option<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            behaviour: Mutex::new(behaviour),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            last: Mutex::default(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.connections.fetch_add(1, SeqCst);
                let state = shared.clone();
                let service = service_fn(move |request| answer(state.clone(), request));
                let io = TokioIo::new(stream);
                tokio::spawn(async move {
                    let _ = match http2 {
                        Some(max_calls) => {
                            let mut server =
                                hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                            server.max_concurrent_streams(max_calls);
                            server.serve_connection(io, service).await
                        }
                        None => {
                            let server = hyper::server::conn::http1::Builder::new();
                            server.serve_connection(io, service).await
                        }
                    };
                });
            }
        });
        Self { address, state }
    }

    pub(crate) fn becomes(&self, behaviour: Behaviour) {
        *self.state.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(SeqCst)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    pub(crate) fn last(&self) -> (String, String) {
        self.state.last.lock().unwrap().clone()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("it closes")]
struct Closes;

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Closes> {
    state.requests.fetch_add(1, SeqCst);
    let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
    let authority = request.uri().authority().map(ToString::to_string);
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    *state.last.lock().unwrap() = (host.or(authority).unwrap_or_default(), target);
    let behaviour = *state.behaviour.lock().unwrap();
    match behaviour {
        Behaviour::Close => Err(Closes),
        Behaviour::Hang => pending().await,
        Behaviour::Slow(time) => {
            sleep(time).await;
            Ok(Response::new(Full::default()))
        }
        Behaviour::Answer(status) => {
            let Ok(body) = request.into_body().collect().await else { return Err(Closes) };
            let mut response = Response::new(Full::new(body.to_bytes()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok(response)
        }
    }
}

/// Waits until something has come to pass.
pub(crate) async fn until(has_happened: impl Fn() -> bool) {
    let happens = async {
        while !has_happened() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), happens).await.unwrap();
}

/// An address where nobody listens.
pub(crate) async fn refused() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
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

/// A discovery whose agent tells these instances, and stays for as long as the folder does.
pub(crate) struct Web {
    discovery: Arc<Discovery>,
    _folder: TempDir,
}

impl std::ops::Deref for Web {
    type Target = Arc<Discovery>;

    fn deref(&self) -> &Arc<Discovery> {
        &self.discovery
    }
}

/// Follows `web`, which has these instances. Each waits between its tries for no time.
pub(crate) async fn web(
    instances: Vec<Instance>,
    change: impl FnOnce(&mut DiscoveryConfig),
) -> Web {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(tell(listener, instances));
    let mut config =
        DiscoveryConfig { socket, prefer: Prefer::Any, ..DiscoveryConfig::for_calls("web") };
    config.calls = CallConfig::default();
    change(&mut config);
    Web { discovery: Arc::new(Discovery::start(config).unwrap()), _folder: folder }
}

async fn tell(listener: UnixListener, instances: Vec<Instance>) -> Infallible {
    let (stream, _) = listener.accept().await.unwrap();
    let mut framed = Framed::new(stream, BinaryCodec::<Call, Reply>::server());
    let call = framed.next().await.unwrap().unwrap().unwrap();
    let now = Instances {
        revision: 1,
        isolated: false,
        consistency: Default::default(),
        settings: None,
        instances,
    };
    let told =
        Reply { api: Some(hobnob_api::API_VERSION), ..Reply::new(call.id, Told::Instances(now)) };
    framed.send(&told).await.unwrap();
    pending().await
}

/// The whole answer, as text.
pub(crate) async fn text(answer: Answer) -> String {
    String::from_utf8(answer.bytes(1 << 20).await.unwrap().to_vec()).unwrap()
}

pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}
