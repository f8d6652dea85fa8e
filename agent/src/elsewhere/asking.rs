//! The side that asks: which agent of the other datacenter, and what its answer means for the client.

use std::cmp::Reverse;
use std::time::Duration;

use hobnob_api::{Ack, Acknowledged, ApiError, ErrorCode, RegisterOutcome, Registration};
use hobnob_membership::record::Key;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{DatacenterId, Node, NodeId, RequestError, Time};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::message::{Asked, Change, Outcome, Process};
use crate::caller::Caller;
use crate::driver::{DriverHandle, name_of};

/// The time that an agent may take for a change, without the time for its acknowledgement. The client waits a little longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The most agents that hold an instance with one id and are asked whether theirs came from elsewhere.
const MAX_HOLDERS_ASKED: usize = 4;

/// A change that an agent of another datacenter made.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) outcome: T,
    pub(crate) ack: Option<Acknowledged>,
    /// The name of the agent.
    pub(crate) node: String,
}

/// An agent that can be asked.
#[derive(Clone, Debug)]
struct Candidate {
    node: NodeId,
    name: String,
}

/// The living agents of a datacenter, in the order in which they are asked about one instance.
#[derive(Debug)]
struct Candidates {
    /// Those with an instance of that id.
    holders: Vec<Candidate>,
    /// The first of all. While the same agents live, it is the same for the same id.
    first: Candidate,
}

/// Registers an instance with an agent of another datacenter. It is durable there when this returns.
///
/// # Errors
/// The datacenter is unknown or out of reach, or the agent refuses or does not answer. The message says when the change may have been
/// made all the same.
pub(crate) async fn register(
    driver: &DriverHandle,
    datacenter: &str,
    registration: Registration,
    caller: Caller,
) -> Result<Done<RegisterOutcome>, ApiError> {
    let id = registration.instance_id().to_owned();
    let service = registration.service.clone();
    let candidates = find(driver, datacenter, &id, Some(service)).await?;
    let waits = registration.ack.as_ref().map_or(0, |ack| ack.timeout_ms);
    let change = Change::Register(Box::new(registration));
    let taken = !candidates.holders.is_empty();
    let mut asked = candidates.holders;
    asked.truncate(MAX_HOLDERS_ASKED);
    if !taken {
        asked.push(candidates.first);
    }
    for agent in asked {
        match ask(driver, datacenter, &agent, change.clone(), waits, caller).await? {
            Outcome::Registered { outcome, ack } => {
                return Ok(Done { outcome, ack, node: agent.name });
            }
            Outcome::RegisteredThere {} => {}
            outcome => return Err(refused(datacenter, &agent, outcome)),
        }
    }
    let message = format!(
        "an agent of `{datacenter}` has an instance `{id}` that a process of its own host registered: nothing was changed"
    );
    Err(ApiError::new(ErrorCode::InstanceIdTaken, message))
}

/// Removes an instance that was registered with an agent of another datacenter in this way. That is durable there when this returns.
///
/// # Errors
/// As for [`register`], or there is no such instance.
pub(crate) async fn deregister(
    driver: &DriverHandle,
    datacenter: &str,
    id: &str,
    ack: Option<Ack>,
    caller: Caller,
) -> Result<Done<()>, ApiError> {
    let mut holders = find(driver, datacenter, id, None).await?.holders;
    if holders.is_empty() {
        let message =
            format!("no instance `{id}` is registered with a living agent of `{datacenter}`");
        return Err(ApiError::new(ErrorCode::InstanceNotFound, message));
    }
    holders.truncate(MAX_HOLDERS_ASKED);
    let waits = ack.as_ref().map_or(0, |ack| ack.timeout_ms);
    let change = Change::Deregister { id: id.to_owned(), ack };
    let mut done = None;
    for agent in holders {
        match ask(driver, datacenter, &agent, change.clone(), waits, caller).await? {
            Outcome::Deregistered { ack } => {
                done = Some(Done { outcome: (), ack, node: agent.name });
            }
            Outcome::RegisteredThere {} => {}
            outcome => return Err(refused(datacenter, &agent, outcome)),
        }
    }
    done.ok_or_else(|| {
        let message = format!(
            "a process of its own host registered `{id}` with an agent of `{datacenter}`: nothing was changed"
        );
        ApiError::new(ErrorCode::InstanceElsewhere, message)
    })
}

async fn find(
    driver: &DriverHandle,
    datacenter: &str,
    id: &str,
    service: Option<String>,
) -> Result<Candidates, ApiError> {
    let (datacenter, id) = (datacenter.to_owned(), id.to_owned());
    let find = move |node: &Node, now| candidates(node, &datacenter, &id, service.as_deref(), now);
    driver.inspect(find).await?
}

fn candidates(
    node: &Node,
    datacenter: &str,
    id: &str,
    service: Option<&str>,
    now: Time,
) -> Result<Candidates, ApiError> {
    let own = node.identity().node_id;
    if let Some(hidden) = service.and_then(|service| node.hides(own, service)) {
        let message = format!("this agent may not have it registered elsewhere: {hidden}");
        return Err(ApiError::new(ErrorCode::ServiceNotAllowed, message));
    }
    let home = DatacenterId::named(datacenter);
    let known = node.datacenters(now);
    let Some(there) = known.iter().find(|known| known.id == home) else {
        let names: Vec<_> = known.iter().map(|known| format!("`{}`", known.name)).collect();
        let message =
            format!("this agent knows no datacenter `{datacenter}`; it knows {}", names.join(", "));
        return Err(ApiError::new(ErrorCode::DatacenterNotFound, message));
    };
    if there.out_of_reach_since.is_some() {
        let message = format!("the datacenter `{datacenter}` is out of reach: nothing was changed");
        return Err(ApiError::new(ErrorCode::DatacenterUnreachable, message));
    }
    let members = node.members().into_iter();
    let living = members.filter(|member| member.status == MemberStatus::Alive);
    let living = living.map(|member| member.identity.node_id);
    let mut living: Vec<NodeId> =
        living.filter(|member| node.datacenter_of(*member) == Some(home)).collect();
    living.sort_by_key(|member| (Reverse(xxh3_64_with_seed(id.as_bytes(), member.0)), *member));
    let candidate = |of: &NodeId| Candidate { node: *of, name: name_of(node, *of) };
    let Some(first) = living.first().map(candidate) else {
        let message = format!("no agent of `{datacenter}` is alive: nothing was changed");
        return Err(ApiError::new(ErrorCode::DatacenterUnreachable, message));
    };
    let key = Key::Service(id.into());
    let holds = |of: &&NodeId| {
        let replica = node.catalog().origin(**of).and_then(|origin| origin.current());
        // The record may be withheld from this datacenter.
        replica.and_then(|replica| replica.slot(&key)).is_some_and(|slot| !slot.is_tombstone())
    };
    Ok(Candidates { holders: living.iter().filter(holds).map(candidate).collect(), first })
}

async fn ask(
    driver: &DriverHandle,
    datacenter: &str,
    agent: &Candidate,
    change: Change,
    waits_ms: u64,
    caller: Caller,
) -> Result<Outcome, ApiError> {
    let by = Process { uid: caller.uid, pid: caller.pid };
    let bytes = Asked::new(by, change).write()?;
    let within = ANSWER_WITHIN + Duration::from_millis(waits_ms);
    match driver.request(agent.node, bytes, within).await? {
        Ok(answer) => Outcome::read(&answer).ok_or_else(|| {
            in_doubt(
                datacenter,
                agent,
                "this agent cannot read the answer: it is of another version",
            )
        }),
        Err(error) if error.is_in_doubt() => Err(in_doubt(datacenter, agent, &error.to_string())),
        Err(RequestError::TooLarge) => {
            Err(ApiError::new(ErrorCode::RegistrationInvalid, RequestError::TooLarge.to_string()))
        }
        Err(error) => {
            let name = &agent.name;
            let message = format!("the agent `{name}` of `{datacenter}` did nothing: {error}");
            Err(ApiError::new(ErrorCode::AgentUnavailable, message))
        }
    }
}

fn in_doubt(datacenter: &str, agent: &Candidate, reason: &str) -> ApiError {
    let name = &agent.name;
    let message = format!(
        "the agent `{name}` of `{datacenter}` did not say whether the change is made: {reason}"
    );
    ApiError::new(ErrorCode::OutcomeUnknown, message)
}

fn refused(datacenter: &str, agent: &Candidate, outcome: Outcome) -> ApiError {
    match outcome {
        Outcome::Refused(error) => {
            let message = format!("the agent `{}` of `{datacenter}`: {error}", agent.name);
            ApiError { message, ..error }
        }
        _ => in_doubt(datacenter, agent, "it answered another question"),
    }
}
