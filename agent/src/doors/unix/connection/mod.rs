//! One connection: its dialect, its calls one after the other, and the watches that go on beside them.

mod conversation;
mod stream;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use hobnob_api::codec::{BinaryCodec, CodecError, Dialect, JsonCodec, Malformed};
use hobnob_api::{ApiError, Call, ErrorCode, Query, Reply, Request, Response};
use tokio::sync::mpsc;

use super::answer::{Answer, Body};
use super::door::Accepted;
use super::handler::Handler;
use crate::budget::MAX_CONNECTION_BYTES;
use crate::services::Shown;
use conversation::{Conversation, Outgoing};
use stream::{Buffered, Output, Peer};

/// Replies of watches that wait to be written, one for each watch that a connection may have. A watch waits when they are full,
/// and catches up afterwards.
const MAX_WAITING_REPLIES: usize = 64;
/// Calls are answered for this long before other connections have a turn.
const TURN: Duration = Duration::from_millis(1);

/// Serves a connection until the client closes it, or until it was idle for too long.
pub(super) async fn serve<S>(
    stream: S,
    handler: Arc<Handler>,
    accepted: Accepted,
) -> Result<(), CodecError>
where
    S: Peer,
{
    let allowance = accepted.door.budget.part(MAX_CONNECTION_BYTES);
    // Holding 0 bytes cannot fail.
    let (Ok(reading), Ok(writing)) = (allowance.hold(0), allowance.hold(0)) else { return Ok(()) };
    let mut buffered = Buffered::new(stream, reading);
    tokio::select! {
        read = buffered.read() => { read?; }
        () = accepted.place.idle_since(tokio::time::Instant::now()) => {
            accepted.door.counters.count_idle();
            return Ok(());
        }
    }
    let Some(first) = buffered.received.first() else { return Ok(()) };
    let output = Output::new(writing, handler.registry().run());
    let conversation = |replies| Conversation::new(handler, accepted, allowance, replies);
    match Dialect::of_first_byte(*first) {
        Dialect::Json => {
            let codec = JsonCodec::server().writing::<Reply<Shown>>();
            converse(buffered, codec, output, conversation).await
        }
        Dialect::Binary => {
            let codec = BinaryCodec::server().writing::<Reply<Shown>>();
            converse(buffered, codec, output, conversation).await
        }
    }
}

/// Whether the answer to a call waits for a change. It is of no use to a client that is gone, and changes nothing.
fn is_wait(call: &Result<Call, Malformed>) -> bool {
    let Ok(call) = call else { return false };
    matches!(call.request, Request::Resolve(Query { wait: Some(_), .. }))
}

/// Answers calls. All calls of a read are answered before anything is written, so that pipelined calls share a write. An
/// answer that takes time delays neither those before it nor the watches.
async fn converse<S, C>(
    mut buffered: Buffered<S>,
    mut codec: C,
    mut output: Output,
    conversation: impl FnOnce(mpsc::Sender<Outgoing>) -> Conversation,
) -> Result<(), CodecError>
where
    S: Peer,
    C: tokio_util::codec::Decoder<Item = Result<Call, Malformed>, Error = CodecError>
        + for<'a> tokio_util::codec::Encoder<&'a Reply<Shown>, Error = CodecError>,
{
    let (replies, mut waiting) = mpsc::channel::<Outgoing>(MAX_WAITING_REPLIES);
    let mut conversation = conversation(replies);
    let mut at_end = false;
    let mut turn_began = Instant::now();
    let mut active_at = tokio::time::Instant::now();
    loop {
        let decoded = match at_end {
            false => codec.decode(&mut buffered.received),
            true => codec.decode_eof(&mut buffered.received),
        };
        match decoded {
            Ok(Some(call)) => {
                let mut has_ended = false;
                let waits = is_wait(&call);
                let answered = {
                    let mut answer = pin!(conversation.answer(call));
                    let mut answered = answer.as_mut().now_or_never();
                    while answered.is_none() {
                        buffered.write(&mut output).await?;
                        tokio::select! {
                            reply = &mut answer => answered = Some(reply),
                            Some(event) = waiting.recv(), if !has_ended => {
                                has_ended = add_event(&mut output, &mut codec, event)?;
                                if has_ended && waits {
                                    break;
                                }
                            }
                            () = buffered.gone(), if waits => return Ok(()),
                        }
                    }
                    answered.flatten()
                };
                if let Some((id, Answer { body, unchanged })) = answered {
                    match body {
                        Body::Whole(response) => {
                            let is_farewell = matches!(response, Response::Leaving {});
                            let reply = Reply { unchanged, ..Reply::new(id, response) };
                            output.add(&mut codec, reply)?;
                            if is_farewell {
                                // The agent closes its connections when it stops, so it stops once the answer is written.
                                let written = buffered.write(&mut output).await;
                                conversation.leave();
                                written?;
                            }
                        }
                        Body::Pages(mut pages) => loop {
                            let (response, more) = pages.next();
                            let reply = Reply { unchanged, more, ..Reply::new(id, response) };
                            // An error ends the answer for its client.
                            if !output.add(&mut codec, reply)? || !more {
                                break;
                            }
                            buffered.write(&mut output).await?;
                        },
                    }
                }
                if has_ended {
                    return buffered.write(&mut output).await;
                }
                if output.is_long() {
                    buffered.write(&mut output).await?;
                }
                if turn_began.elapsed() >= TURN {
                    tokio::task::yield_now().await;
                    turn_began = Instant::now();
                }
                active_at = tokio::time::Instant::now();
                continue;
            }
            Ok(None) => buffered.write(&mut output).await?,
            Err(error) => {
                conversation.count_malformed();
                let refusal = ApiError::new(ErrorCode::RequestTooLarge, error.to_string());
                output.add(&mut codec, about_the_connection(refusal))?;
                // The connection is lost either way; the client may still read why.
                let _ = buffered.write(&mut output).await;
                return Err(error);
            }
        }
        if at_end {
            return Ok(());
        }
        if let Err(exhausted) = buffered.count_received() {
            output.add(&mut codec, about_the_connection(exhausted.into()))?;
            return buffered.write(&mut output).await;
        }
        let may_end = !conversation.watches();
        tokio::select! {
            read = buffered.read() => {
                at_end = read? == 0;
                active_at = tokio::time::Instant::now();
            }
            Some(event) = waiting.recv() => {
                let mut has_ended = add_event(&mut output, &mut codec, event)?;
                // A change of a service concerns all watches of it: their events share a write.
                while !has_ended
                    && !output.is_long()
                    && let Ok(event) = waiting.try_recv()
                {
                    has_ended = add_event(&mut output, &mut codec, event)?;
                }
                if has_ended {
                    return buffered.write(&mut output).await;
                }
            }
            () = conversation.place().idle_since(active_at), if may_end => {
                conversation.count_idle();
                return Ok(());
            }
        }
        turn_began = Instant::now();
    }
}

/// Adds an event of a watch. Returns whether the connection ends with it: its client may know half a picture, and must not go on
/// with that.
fn add_event<C>(output: &mut Output, codec: &mut C, event: Outgoing) -> Result<bool, CodecError>
where
    C: for<'a> tokio_util::codec::Encoder<&'a Reply<Shown>, Error = CodecError>,
{
    let ends = event.ends;
    let is_whole = output.add(codec, event.reply)?;
    Ok(ends || !is_whole)
}

/// A reply that answers no single call.
fn about_the_connection(refusal: ApiError) -> Reply<Shown> {
    Reply::new(0, Response::Error(refusal))
}
