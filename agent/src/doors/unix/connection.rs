//! One connection: its dialect, its calls one after the other, and the watches that go on beside them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::codec::{Decoder, Encoder, Framed};

use super::handler::Handler;
use crate::queries::pickers::Pickers;
use crate::services::{ServiceKey, Since};
use hobnob_api::codec::{BinaryCodec, CodecError, Dialect, JsonCodec, Malformed};
use hobnob_api::{
    API_VERSION, ApiError, Call, Changes, ErrorCode, Instance, InstanceStatus, Instances, NodeId,
    Reply, Request, Response, WatchQuery,
};

/// Replies of watches that wait to be written; a watch waits when they are full, and catches up afterwards.
const MAX_WAITING_REPLIES: usize = 16;
/// Watches of one connection.
const MAX_WATCHES: usize = 64;
/// After a change was told, the next ones are collected for this long; the first after a quiet time is told at once.
const COALESCE: Duration = Duration::from_millis(5);

/// Serves a connection until the client closes it.
pub(super) async fn serve(stream: UnixStream, handler: Arc<Handler>) -> Result<(), CodecError> {
    let mut stream = BufReader::new(stream);
    match stream.fill_buf().await? {
        [] => Ok(()),
        [first, ..] => match Dialect::of_first_byte(*first) {
            Dialect::Json => converse(Framed::new(stream, JsonCodec::server()), handler).await,
            Dialect::Binary => converse(Framed::new(stream, BinaryCodec::server()), handler).await,
        },
    }
}

async fn converse<C>(
    mut framed: Framed<BufReader<UnixStream>, C>,
    handler: Arc<Handler>,
) -> Result<(), CodecError>
where
    C: Decoder<Item = Result<Call, Malformed>, Error = CodecError>
        + for<'a> Encoder<&'a Reply, Error = CodecError>,
{
    let (replies, mut waiting) = mpsc::channel(MAX_WAITING_REPLIES);
    let mut watches = JoinSet::new();
    let mut pickers = Pickers::default();
    let mut first = true;
    loop {
        tokio::select! {
            call = framed.next() => {
                let reply = match call {
                    None => return Ok(()),
                    Some(Err(error)) => {
                        handler.counters.malformed.fetch_add(1, Ordering::Relaxed);
                        let response = refusal(ErrorCode::RequestTooLarge, &error.to_string());
                        // The connection is lost either way; the client may still read why.
                        let _ = send(&mut framed, &mut first, Reply { id: 0, api: None, response }).await;
                        return Err(error);
                    }
                    Some(Ok(Err(malformed))) => {
                        handler.counters.malformed.fetch_add(1, Ordering::Relaxed);
                        let response = refusal(ErrorCode::RequestMalformed, &malformed.to_string());
                        Some(Reply { id: malformed.id, api: None, response })
                    }
                    Some(Ok(Ok(Call { id, api: Some(asked), .. }))) if asked != API_VERSION => {
                        let message = format!("the agent speaks version {API_VERSION} of the API, not version {asked}");
                        let response = refusal(ErrorCode::ApiVersionUnsupported, &message);
                        Some(Reply { id, api: None, response })
                    }
                    Some(Ok(Ok(Call { id, request: Request::Watch(query), .. }))) => {
                        handler.counters.calls.fetch_add(1, Ordering::Relaxed);
                        while watches.try_join_next().is_some() {}
                        if watches.len() < MAX_WATCHES {
                            watches.spawn(watch(handler.clone(), id, query, replies.clone()));
                            None
                        } else {
                            let message = format!("this connection watches {MAX_WATCHES} services, and more are not allowed");
                            Some(Reply { id, api: None, response: refusal(ErrorCode::TooManyWatches, &message) })
                        }
                    }
                    Some(Ok(Ok(Call { id, request, .. }))) => {
                        handler.counters.calls.fetch_add(1, Ordering::Relaxed);
                        Some(Reply { id, api: None, response: handler.answer(request, &mut pickers).await })
                    }
                };
                if let Some(reply) = reply {
                    send(&mut framed, &mut first, reply).await?;
                }
            }
            Some(reply) = waiting.recv() => send(&mut framed, &mut first, reply).await?,
        }
    }
}

/// Sends a reply, the first of a connection with the version of the API. One that is too large for the codec becomes an
/// error of the same call.
async fn send<C>(
    framed: &mut Framed<BufReader<UnixStream>, C>,
    first: &mut bool,
    mut reply: Reply,
) -> Result<(), CodecError>
where
    C: for<'a> Encoder<&'a Reply, Error = CodecError>,
{
    if std::mem::take(first) {
        reply.api = Some(API_VERSION);
    }
    match framed.send(&reply).await {
        Err(error @ CodecError::Unencodable { .. }) => {
            let response = refusal(ErrorCode::AnswerTooLarge, &error.to_string());
            framed.send(&Reply { response, ..reply }).await
        }
        sent => sent,
    }
}

fn refusal(code: ErrorCode, message: &str) -> Response {
    Response::Error(ApiError::new(code, message))
}

/// Follows a service until the connection ends.
async fn watch(handler: Arc<Handler>, id: u64, query: WatchQuery, replies: mpsc::Sender<Reply>) {
    let key = ServiceKey { namespace: query.namespace, service: query.service };
    let registry = handler.registry();
    let mut subscription = registry.subscribe(key.clone());
    let mut seen = query.since;
    let mut told = Told::default();
    let mut first = true;
    loop {
        subscription.mark_seen();
        let known = seen.map(|revision| registry.changes_since(&key, revision));
        let response = match known {
            Some(Since::Changes { revision, instances }) => {
                seen = Some(revision);
                let isolated = registry.is_isolated();
                let instances = instances.iter().map(|instance| registry.describe(instance));
                let instances: Vec<_> = instances.filter(|one| told.is_news(one)).collect();
                // A resumed watch is answered at once, so that its client knows that it is up to date.
                (first || !instances.is_empty()).then_some(Response::Changes(Changes {
                    revision,
                    isolated,
                    instances,
                }))
            }
            Some(Since::Forgotten) | None => {
                // Read before the instances: what comes between is told again, which does no harm.
                let revision = registry.revision();
                seen = Some(revision);
                let service = registry.service(&key);
                let instances =
                    service.into_iter().flat_map(|service| service.instances().to_vec());
                let instances: Vec<_> =
                    instances.map(|instance| registry.describe(&instance)).collect();
                told.start_over(&instances);
                Some(Response::Instances(Instances {
                    revision,
                    isolated: registry.is_isolated(),
                    instances,
                }))
            }
        };
        if let Some(response) = response
            && replies.send(Reply { id, api: None, response }).await.is_err()
        {
            return;
        }
        first = false;
        tokio::time::sleep(COALESCE).await;
        subscription.changed().await;
    }
}

/// What a watcher was told last of each instance: that an instance changed in what nobody sees is no news.
#[derive(Default)]
struct Told(BTreeMap<(NodeId, String), Instance>);

impl Told {
    fn start_over(&mut self, instances: &[Instance]) {
        self.0.clear();
        for instance in instances {
            self.is_news(instance);
        }
    }

    fn is_news(&mut self, instance: &Instance) -> bool {
        let key = (instance.node_id, instance.id.clone());
        if instance.status == InstanceStatus::Gone {
            self.0.remove(&key);
            return true;
        }
        // An age is different every time.
        let now = Instance { age_ms: 0, ..instance.clone() };
        self.0.insert(key, now.clone()) != Some(now)
    }
}
