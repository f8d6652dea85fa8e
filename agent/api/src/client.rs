//! A client of the local API, over the binary codec.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::codec::Framed;

use crate::ApiError;
use crate::ErrorCode;
use crate::codec::{BinaryCodec, CodecError};
use crate::types::{API_VERSION, Call, Query, Reply, Request, Response};

/// The time limit for the answer to a call, unless [`Client::answer_within`] says otherwise. Answers come from
/// memory; only a registration waits for a disk.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The socket of a client that is given none: that of an agent of the same user, else that of root's agent.
#[must_use]
pub fn default_client_socket_path() -> PathBuf {
    let own = default_socket_path();
    let host = socket_path(0, None);
    if !own.exists() && host.exists() { host } else { own }
}

/// The socket of an agent that is given none: `/run/hobnob/hobnob.sock` for root, else
/// `hobnob/hobnob.sock` in `$XDG_RUNTIME_DIR`, else `/tmp/hobnob-UID/hobnob.sock`.
#[must_use]
pub fn default_socket_path() -> PathBuf {
    socket_path(
        rustix::process::geteuid().as_raw(),
        env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
    )
}

fn socket_path(uid: u32, runtime_dir: Option<PathBuf>) -> PathBuf {
    let folder = match runtime_dir {
        _ if uid == 0 => PathBuf::from("/run/hobnob"),
        Some(dir) if dir.is_absolute() => dir.join("hobnob"),
        _ => PathBuf::from(format!("/tmp/hobnob-{uid}")),
    };
    folder.join("hobnob.sock")
}

/// An agent could not be asked, or refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No agent listens at the socket.
    #[error(
        "no agent answers at {}",
        path.display()
    )]
    NoAgent {
        /// The socket.
        path: PathBuf,
    },
    /// The socket belongs to another user.
    #[error(
        "not allowed to connect to the agent at {}",
        path.display()
    )]
    NotAllowed {
        /// The socket.
        path: PathBuf,
    },
    /// The socket could not be opened for another reason.
    #[error("cannot connect to {}: {cause}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The connection failed, or the request cannot be sent.
    #[error("the connection to the agent at {} failed: {cause}", path.display())]
    Connection {
        /// The socket.
        path: PathBuf,
        /// The cause.
        cause: CodecError,
    },
    /// The agent closed the connection before it answered.
    #[error("the agent at {} closed the connection", path.display())]
    Closed {
        /// The socket.
        path: PathBuf,
    },
    /// The agent did not answer in time.
    #[error("the agent at {} did not answer within {within:?}", path.display())]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// The time limit.
        within: Duration,
    },
    /// The answer is not one that this client can read.
    #[error("the agent at {} gave an answer that this client cannot read: {reason}", path.display())]
    Unreadable {
        /// The socket.
        path: PathBuf,
        /// The reason why the answer is unexpected.
        reason: String,
    },
    /// The agent refused or failed to do it.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// A connection to an agent, for one call after the other. An agent closes a connection without a watch after five minutes
/// without a call, and sooner while it has many: the next call then fails with [`ClientError::Closed`].
#[derive(Debug)]
pub struct Client {
    framed: Framed<UnixStream, BinaryCodec<Reply, Call>>,
    path: PathBuf,
    last_id: u64,
    within: Duration,
    run: Option<String>,
    was_unchanged: bool,
}

impl Client {
    /// Limits the wait for each answer, for the first one of a watch, and for a sign of life during a watch. The answer to a
    /// question with a [wait](crate::Query::wait) may take that long in addition.
    #[must_use]
    pub fn answer_within(self, within: Duration) -> Self {
        Self { within, ..self }
    }

    /// Connects to the agent that serves this socket.
    ///
    /// # Errors
    /// [`ClientError::NoAgent`], [`ClientError::NotAllowed`] or [`ClientError::Connect`].
    pub async fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref().to_owned();
        match UnixStream::connect(&path).await {
            Ok(stream) => {
                let framed = Framed::new(stream, BinaryCodec::client());
                let within = RESPONSE_TIMEOUT;
                Ok(Self { framed, path, last_id: 0, within, run: None, was_unchanged: false })
            }
            Err(cause) => Err(match cause.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    ClientError::NoAgent { path }
                }
                io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path },
                _ => ClientError::Connect { path, cause },
            }),
        }
    }

    /// Asks, and waits for the answer. An answer that is too long for one reply comes in pages, of one moment, and is put
    /// together here. Use [`Client::watch`] to follow a service.
    ///
    /// # Errors
    /// [`ClientError::Api`] when the agent refuses; the connection can go on. After any other it cannot.
    pub async fn call(&mut self, request: Request) -> Result<Response, ClientError> {
        let wait = match &request {
            Request::Resolve(Query { wait: Some(wait), .. }) => wait.longest(),
            _ => Duration::ZERO,
        };
        let again = in_pages(&request);
        let id = self.send(request).await?;
        let within = self.within.saturating_add(wait);
        let refusal = match (self.receive_in_time(id, within).await, &again) {
            (Err(ClientError::Api(refusal)), Some(_))
                if refusal.code == ErrorCode::AnswerTooLarge =>
            {
                refusal
            }
            (answer, _) => return answer,
        };
        let Some(request) = again else { return Err(ClientError::Api(refusal)) };
        let id = self.send_paged(request, true).await?;
        match self.receive_in_time(id, self.within).await {
            // It knows no pages. The refusal to report is that of the question.
            Err(ClientError::Api(unknown)) if unknown.code == ErrorCode::RequestMalformed => {
                Err(ClientError::Api(refusal))
            }
            answer => answer,
        }
    }

    /// The run of the agent that answers on this connection, once it has answered. An agent of an earlier version tells none.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// Whether the last answer came at the time limit of its [wait](crate::Query::wait), without a change.
    #[must_use]
    pub fn was_unchanged(&self) -> bool {
        self.was_unchanged
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn within(&self) -> Duration {
        self.within
    }

    pub(crate) async fn send(&mut self, request: Request) -> Result<u64, ClientError> {
        self.send_paged(request, false).await
    }

    async fn send_paged(&mut self, request: Request, pages: bool) -> Result<u64, ClientError> {
        self.last_id += 1;
        let api = (self.last_id == 1).then_some(API_VERSION);
        let call = Call { api, pages, ..Call::new(self.last_id, request) };
        match self.framed.send(&call).await {
            Ok(()) => Ok(call.id),
            Err(CodecError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(ClientError::Closed { path: self.path.clone() })
            }
            Err(cause) => Err(ClientError::Connection { path: self.path.clone(), cause }),
        }
    }

    async fn receive_in_time(
        &mut self,
        id: u64,
        within: Duration,
    ) -> Result<Response, ClientError> {
        let path = self.path.clone();
        let received = timeout(within, self.receive(id)).await;
        received.unwrap_or(Err(ClientError::Timeout { path, within }))
    }

    /// The response to call `id`, put together of its pages. An error that carries the id 0 is about the connection, so about
    /// this call.
    async fn receive(&mut self, id: u64) -> Result<Response, ClientError> {
        let mut pages: Option<Response> = None;
        loop {
            let reply = self.receive_any().await?;
            if reply.id == id || (reply.id == 0 && matches!(reply.response, Response::Error(_))) {
                let (more, unchanged) = (reply.more, reply.unchanged);
                let next = answer(reply)?;
                let whole = match pages.take() {
                    None => next,
                    Some(mut first) => {
                        first.append(next).map_err(|reason| self.unreadable(reason))?;
                        first
                    }
                };
                if !more {
                    self.was_unchanged = unchanged;
                    return Ok(whole);
                }
                pages = Some(whole);
            }
        }
    }

    pub(crate) fn unreadable(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Unreadable { path: self.path.clone(), reason: reason.into() }
    }

    /// The next reply, to whichever call.
    pub(crate) async fn receive_any(&mut self) -> Result<Reply, ClientError> {
        match self.framed.next().await {
            Some(Ok(Ok(reply))) => {
                if reply.run.is_some() {
                    self.run.clone_from(&reply.run);
                }
                Ok(reply)
            }
            Some(Ok(Err(malformed))) => {
                Err(ClientError::Unreadable { path: self.path.clone(), reason: malformed.reason })
            }
            Some(Err(CodecError::Io(error))) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(ClientError::Closed { path: self.path.clone() })
            }
            Some(Err(cause)) => Err(ClientError::Connection { path: self.path.clone(), cause }),
            None => Err(ClientError::Closed { path: self.path.clone() }),
        }
    }
}

/// The request to ask once more, in pages, when its answer is too long; `None` if it has no pages. An agent of an earlier version
/// knows none, so they are asked for only when they are needed. A wait is over by then.
fn in_pages(request: &Request) -> Option<Request> {
    match request {
        Request::Resolve(query) => Some(Request::Resolve(Query { wait: None, ..query.clone() })),
        Request::Services { .. } | Request::Members { .. } => Some(request.clone()),
        _ => None,
    }
}

pub(crate) fn answer(reply: Reply) -> Result<Response, ClientError> {
    match reply.response {
        Response::Error(error) => Err(ClientError::Api(error)),
        response => Ok(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DEFAULT_WAIT, Datacenters, Instances, Members, Wait};
    use crate::{ErrorCode, ErrorKind};
    use tokio::net::UnixListener;
    use tokio::time::sleep;

    type Server = Framed<UnixStream, BinaryCodec<Call, Reply>>;

    async fn pair() -> (tempfile::TempDir, Client, Server) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(&path).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (folder, client, Framed::new(stream, BinaryCodec::server()))
    }

    async fn answer(server: &mut Server, id: u64, response: Response) {
        server.send(&Reply::new(id, response)).await.unwrap();
    }

    fn nobody() -> Response {
        Response::Members(Members {
            revision: 1,
            isolated: false,
            members: vec![],
            mass_losses: vec![],
        })
    }

    #[test]
    fn the_socket_lies_where_its_user_may_write() {
        let runtime_dir = || Some(PathBuf::from("/run/user/7"));
        assert_eq!(socket_path(0, runtime_dir()), Path::new("/run/hobnob/hobnob.sock"));
        assert_eq!(socket_path(7, runtime_dir()), Path::new("/run/user/7/hobnob/hobnob.sock"));
        assert_eq!(socket_path(7, None), Path::new("/tmp/hobnob-7/hobnob.sock"));
        assert_eq!(socket_path(7, Some("".into())), Path::new("/tmp/hobnob-7/hobnob.sock"));
    }

    #[tokio::test]
    async fn a_socket_without_an_agent_is_named() {
        let error = Client::connect("/nowhere/a.sock").await.unwrap_err().to_string();
        assert_eq!(error, "no agent answers at /nowhere/a.sock");

        let folder = tempfile::tempdir().unwrap();
        let stale = folder.path().join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        assert!(matches!(Client::connect(stale).await, Err(ClientError::NoAgent { .. })));
    }

    #[tokio::test]
    async fn a_call_takes_its_own_answer_and_an_error_does_not_end_the_connection() {
        let (_folder, mut client, mut server) = pair().await;
        let agent = async {
            let call = server.next().await.unwrap().unwrap().unwrap();
            assert_eq!(
                (call.api, &call.request),
                (Some(API_VERSION), &Request::Members { all: false, datacenter: Datacenters::All })
            );
            answer(&mut server, 99, Response::Leaving {}).await;
            answer(&mut server, call.id, nobody()).await;
            let call = server.next().await.unwrap().unwrap().unwrap();
            let error = ApiError::new(ErrorCode::InstanceNotFound, "no `x`");
            answer(&mut server, call.id, Response::Error(error)).await;
            drop(server);
        };
        let calls = async {
            assert_eq!(
                client
                    .call(Request::Members { all: false, datacenter: Datacenters::All })
                    .await
                    .unwrap(),
                nobody()
            );
            let error = client.call(Request::Info {}).await.unwrap_err();
            assert!(matches!(error, ClientError::Api(ApiError { kind: ErrorKind::NotFound, .. })));
            assert_eq!(error.to_string(), "no `x`");
        };
        tokio::join!(agent, calls);
        let error = client.call(Request::Info {}).await.unwrap_err();
        assert!(matches!(error, ClientError::Closed { .. }), "{error}");
    }

    fn waiting() -> Query {
        let wait = Wait { since: 4, run: None, timeout_ms: None };
        Query { wait: Some(wait), ..Query::new("web") }
    }

    fn all() -> Response {
        Response::Instances(Instances {
            revision: 4,
            isolated: false,
            consistency: Default::default(),
            settings: None,
            instances: vec![],
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_as_long_as_its_question_waits_and_no_longer() {
        let (_folder, mut client, mut server) = pair().await;
        let agent = async {
            let call = server.next().await.unwrap().unwrap().unwrap();
            sleep(DEFAULT_WAIT).await;
            answer(&mut server, call.id, all()).await;
        };
        let ((), answered) = tokio::join!(agent, client.call(Request::Resolve(waiting())));
        assert_eq!(answered.unwrap(), all());
        let error = client.call(Request::Resolve(waiting())).await.unwrap_err();
        let longest = DEFAULT_WAIT + RESPONSE_TIMEOUT;
        assert!(matches!(error, ClientError::Timeout { within, .. } if within == longest));
    }

    #[tokio::test]
    async fn an_agent_without_pages_is_reported_with_the_refusal_of_the_question() {
        let (_folder, mut client, mut server) = pair().await;
        let agent = async {
            let first = server.next().await.unwrap().unwrap().unwrap();
            let too_large = ApiError::new(ErrorCode::AnswerTooLarge, "too long");
            answer(&mut server, first.id, Response::Error(too_large)).await;
            let second = server.next().await.unwrap().unwrap().unwrap();
            let malformed = ApiError::new(ErrorCode::RequestMalformed, "unknown field `pages`");
            answer(&mut server, second.id, Response::Error(malformed)).await;
            second
        };
        let (second, answered) = tokio::join!(agent, client.call(Request::Resolve(waiting())));
        assert_eq!(second.request, Request::Resolve(Query::new("web")), "the wait is over");
        assert_eq!(answered.unwrap_err().to_string(), "too long");
    }
}
