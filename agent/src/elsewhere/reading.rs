//! Strong reads of what the voters of another datacenter keep. An agent there asks them.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hobnob_api::{ApiError, ErrorCode};
use hobnob_membership::limits::MAX_REQUEST_BYTES;
use hobnob_membership::quorum::{Change as Kept, Entry, registered};
use hobnob_membership::record::InstanceScope;
use hobnob_membership::{Node, NodeId, RequestError, Time};

use super::asking::living;
use super::message::{Asked, Change, Outcome, Process};
use crate::caller::Caller;
use crate::consistency::{asked_wait, read_at_home};
use crate::driver::{DriverHandle, name_of};
use crate::queries::asked::service_key;
use crate::services::ServiceKey;

/// The most agents that are asked, one after the other.
const MAX_ASKED: usize = 3;
/// The time for the way there and back.
const WAY: Duration = Duration::from_secs(2);

/// Reads what the voters of another datacenter keep of a service.
///
/// # Errors
/// The datacenter is unknown or out of reach, the agent there has no answer, or does not answer.
pub(crate) async fn read_strongly(
    driver: &DriverHandle,
    datacenter: &str,
    service: &ServiceKey,
    within: Duration,
    caller: Caller,
) -> Result<Vec<Entry>, ApiError> {
    let (there, about) = (datacenter.to_owned(), service.service.clone());
    let find = move |node: &Node, now: Time| {
        let living = living(node, &there, &about, now)?.into_iter().take(MAX_ASKED);
        Ok::<_, ApiError>(living.map(|agent| (agent, name_of(node, agent))).collect::<Vec<_>>())
    };
    let agents = driver.inspect(find).await??;
    let change = Change::Read {
        namespace: service.namespace.clone(),
        service: service.service.clone(),
        timeout_ms: crate::clock::millis(within),
    };
    let bytes = Asked::new(Process { uid: caller.uid, pid: caller.pid }, change).write()?;
    let (until, mut failed) = (Instant::now() + within, None);
    for (agent, name) in agents {
        let left = until.saturating_duration_since(Instant::now());
        if failed.is_some() && left.is_zero() {
            break;
        }
        let error = match ask(driver, agent, bytes.clone(), left + WAY).await? {
            Ok(Outcome::Read { registers }) => {
                let read: Option<Vec<Entry>> =
                    registers.iter().map(|register| decode(register)).collect();
                let unread = || unanswered(datacenter, &name, "this agent cannot read the answer");
                return read.ok_or_else(unread);
            }
            // Others know no better.
            Ok(Outcome::Refused(error)) if is_of_voters(error.code) => {
                let message = format!("the agent `{name}` of `{datacenter}`: {}", error.message);
                return Err(ApiError { message, ..error });
            }
            Ok(Outcome::Refused(error)) => unanswered(datacenter, &name, &error.message),
            Ok(_) => unanswered(datacenter, &name, "it answered another question"),
            Err(error) => unanswered(datacenter, &name, &error.to_string()),
        };
        failed = Some(error);
    }
    Err(failed.unwrap_or_else(|| unanswered(datacenter, "", "nobody there is alive")))
}

/// Whether an answer comes from the voters of a datacenter, so that its other agents have no better one.
fn is_of_voters(code: ErrorCode) -> bool {
    use ErrorCode::{AnswerTooLarge, Contended, NoQuorum};
    matches!(code, AnswerTooLarge | Contended | NoQuorum)
}

/// The outcome, or why there is none.
async fn ask(
    driver: &DriverHandle,
    agent: NodeId,
    bytes: Vec<u8>,
    within: Duration,
) -> Result<Result<Outcome, RequestError>, ApiError> {
    let answer = driver.request(agent, bytes, within).await?;
    // One that is not to be read is of another version.
    Ok(answer.map(|answer| Outcome::read(&answer).unwrap_or(Outcome::RegisteredThere {})))
}

fn unanswered(datacenter: &str, agent: &str, reason: &str) -> ApiError {
    let message = format!("the agent `{agent}` of `{datacenter}` has no answer: {reason}");
    ApiError::new(ErrorCode::AgentUnavailable, message)
}

fn decode(register: &str) -> Option<Entry> {
    let bytes = URL_SAFE_NO_PAD.decode(register).ok()?;
    match Kept::decode(&bytes).ok()? {
        Kept::Entry(entry) => Some(entry),
        _ => None,
    }
}

/// Whether an instance is known in its own datacenter alone. One that cannot be read crosses, for a later version.
fn stays_home(entry: &Entry) -> bool {
    let service = registered(entry).ok().flatten();
    service.is_some_and(|service| service.scope == InstanceScope::Datacenter)
}

/// Answers an agent of another datacenter.
///
/// # Errors
/// The read has no answer, or one that is too long to send.
pub(super) async fn read(
    driver: &DriverHandle,
    namespace: String,
    service: String,
    timeout_ms: u64,
) -> Result<Outcome, ApiError> {
    let service = service_key(namespace, service)?;
    let within = asked_wait(hobnob_api::Consistency::Strong, Some(timeout_ms))?;
    let (_, kept) = read_at_home(driver, &service, within.unwrap_or_default()).await?;
    let crossing = kept.into_iter().filter(|entry| !stays_home(entry));
    let registers = crossing.map(|entry| URL_SAFE_NO_PAD.encode(Kept::Entry(entry).encode()));
    let outcome = Outcome::Read { registers: registers.collect() };
    if outcome.write().len() > MAX_REQUEST_BYTES {
        let message = format!(
            "all instances of `{}` take more than {MAX_REQUEST_BYTES} bytes, which is too long to send to another datacenter: ask an agent there",
            service.service
        );
        return Err(ApiError::new(ErrorCode::AnswerTooLarge, message));
    }
    Ok(outcome)
}
