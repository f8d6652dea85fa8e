//! The side that asks: which agent of the other datacenter, and what its answer means for the client.

use std::cmp::Reverse;
use std::time::Duration;

use futures_util::future::join_all;
use hobnob_api::{Ack, Acknowledged, ApiError, ErrorCode, RegisterOutcome, Registration};
use hobnob_membership::record::Key;
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{DatacenterId, Node, NodeId, RequestError, Time};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::message::{Asked, Change, Outcome, Process};
use crate::caller::Caller;
use crate::clock::millis;
use crate::consistency::asked_wait;
use crate::driver::{DriverHandle, name_of};
use crate::queries::datacenters::check_known;

/// The time that an agent may take for a change, without the time for its acknowledgement. The client waits a little longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The most agents that hold an instance with one id and are asked whether theirs came from elsewhere.
const MAX_HOLDERS_ASKED: usize = 4;

/// An agent that can be asked.
#[derive(Clone, Debug)]
struct Candidate {
    node: NodeId,
    name: String,
}

/// The agents of a datacenter, as far as a change of one instance is about them.
#[derive(Debug)]
struct Candidates {
    /// The living ones with an instance of that id, in the order in which they are asked.
    holders: Vec<Candidate>,
    /// The first of all living ones in that order. While the same agents live, it is the same for the same id.
    first: Candidate,
    /// The names of those with an instance of that id which are suspect, down or unreachable, and may return with it.
    away: Vec<String>,
}

/// A change that an agent of another datacenter made.
#[derive(Debug)]
pub(crate) struct Done<T> {
    pub(crate) outcome: T,
    pub(crate) ack: Option<Acknowledged>,
    /// The name of the agent.
    pub(crate) node: String,
    /// The names of the other agents there that have an instance of that id and did not remove it: they are down, refused, or did not answer.
    pub(crate) also_at: Vec<String>,
}

/// Registers an instance with an agent of another datacenter. It is durable there when this returns. The other agents there that have
/// one of that id from elsewhere remove theirs.
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
    let Candidates { mut holders, first, away } =
        find(driver, datacenter, &id, Some(service)).await?;
    let strong = asked_wait(registration.consistency, registration.consistency_timeout_ms)?;
    let waits = waits_ms(registration.ack.as_ref(), strong);
    let change = Change::Register(Box::new(registration));
    let unasked = holders.split_off(holders.len().min(MAX_HOLDERS_ASKED));
    if holders.is_empty() {
        holders.push(first);
    }
    let mut asked = holders.into_iter();
    while let Some(agent) = asked.next() {
        match ask(driver, datacenter, &agent, change.clone(), waits, caller).await? {
            Outcome::Registered { outcome, ack } => {
                let change = Change::Deregister { id, ack: None };
                let others = asked.collect();
                let removed = remove(driver, datacenter, others, &change, 0, caller).await;
                for (agent, error) in &removed.failed {
                    tracing::warn!(agent, %error, "another agent has that instance, too, and did not remove it");
                }
                let also_at = removed.failed.into_iter().map(|(name, _)| name);
                let also_at = also_at.chain(names(unasked)).chain(away).collect();
                return Ok(Done { outcome, ack, node: agent.name, also_at });
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

/// Removes an instance that was registered with agents of another datacenter in this way. That is durable there when this returns. All
/// that have it are asked, whatever one of them answers.
///
/// # Errors
/// As for [`register`], or there is no such instance. The message says which agents removed it all the same.
pub(crate) async fn deregister(
    driver: &DriverHandle,
    datacenter: &str,
    id: &str,
    ack: Option<Ack>,
    strong: Option<Duration>,
    caller: Caller,
) -> Result<Done<()>, ApiError> {
    let Candidates { mut holders, away, .. } = find(driver, datacenter, id, None).await?;
    if holders.is_empty() {
        let message =
            format!("no instance `{id}` is registered with a living agent of `{datacenter}`");
        return Err(ApiError::new(ErrorCode::InstanceNotFound, message + &offers_again(&away)));
    }
    let unasked = holders.split_off(holders.len().min(MAX_HOLDERS_ASKED));
    let waits = waits_ms(ack.as_ref(), strong);
    let id_there = id.to_owned();
    let change = match strong.map(millis) {
        None => Change::Deregister { id: id_there, ack },
        Some(timeout_ms) => Change::DeregisterStrongly { id: id_there, ack, timeout_ms },
    };
    let removed = remove(driver, datacenter, holders, &change, waits, caller).await;
    removed.judge(datacenter, id, names(unasked).chain(away).collect())
}

/// The time for which an agent waits for others, in milliseconds.
fn waits_ms(ack: Option<&Ack>, strong: Option<Duration>) -> u64 {
    ack.map_or(0, |ack| ack.timeout_ms).saturating_add(strong.map_or(0, millis))
}

/// What became of an instance at those of its agents that were asked to remove it.
#[derive(Debug, Default)]
struct Removed {
    /// The names of the agents that removed it, with what others acknowledged.
    by: Vec<(String, Option<Acknowledged>)>,
    /// Whether a process of its own host registered it with one of them.
    is_there: bool,
    /// The names of the agents that failed or did not answer, each with the reason.
    failed: Vec<(String, ApiError)>,
}

impl Removed {
    fn add(&mut self, datacenter: &str, agent: Candidate, answer: Result<Outcome, ApiError>) {
        match answer {
            Ok(Outcome::Deregistered { ack }) => self.by.push((agent.name, ack)),
            Ok(Outcome::RegisteredThere {}) => self.is_there = true,
            // The catalog of this agent is a little behind.
            Ok(Outcome::Refused(error)) if error.code == ErrorCode::InstanceNotFound => {}
            Ok(outcome) => {
                let error = refused(datacenter, &agent, outcome);
                self.failed.push((agent.name, error));
            }
            Err(error) => self.failed.push((agent.name, error)),
        }
    }

    /// The answer for the client. `also_at` has the names of agents that have the instance and were not asked.
    fn judge(self, datacenter: &str, id: &str, also_at: Vec<String>) -> Result<Done<()>, ApiError> {
        let Self { by, is_there, failed } = self;
        if !failed.is_empty() {
            let in_doubt = failed.iter().find(|(_, error)| error.code == ErrorCode::OutcomeUnknown);
            let code = in_doubt.unwrap_or(&failed[0]).1.code;
            let by: Vec<_> = by.iter().map(|(name, _)| format!("`{name}` removed it")).collect();
            let failed = failed.into_iter().map(|(_, error)| error.message);
            let told: Vec<_> = by.into_iter().chain(failed).collect();
            return Err(ApiError::new(code, told.join("; ") + &offers_again(&also_at)));
        }
        let (names, acks): (Vec<_>, Vec<_>) = by.into_iter().unzip();
        if let Some(node) = names.into_iter().next() {
            let acks = acks.into_iter().flatten();
            let ack = acks.reduce(|held, other| if held.complete { other } else { held });
            return Ok(Done { outcome: (), ack, node, also_at });
        }
        let (code, message) = if is_there {
            let message = format!(
                "a process of its own host registered `{id}` with an agent of `{datacenter}`: nothing was changed"
            );
            (ErrorCode::InstanceElsewhere, message)
        } else {
            let message =
                format!("no instance `{id}` is registered with a living agent of `{datacenter}`");
            (ErrorCode::InstanceNotFound, message)
        };
        Err(ApiError::new(code, message + &offers_again(&also_at)))
    }
}

/// Asks all these agents at once to remove an instance.
async fn remove(
    driver: &DriverHandle,
    datacenter: &str,
    agents: Vec<Candidate>,
    change: &Change,
    waits_ms: u64,
    caller: Caller,
) -> Removed {
    let asked = agents.into_iter().map(|agent| async move {
        let answer = ask(driver, datacenter, &agent, change.clone(), waits_ms, caller).await;
        (agent, answer)
    });
    let mut removed = Removed::default();
    for (agent, answer) in join_all(asked).await {
        removed.add(datacenter, agent, answer);
    }
    removed
}

fn names(agents: Vec<Candidate>) -> impl Iterator<Item = String> {
    agents.into_iter().map(|agent| agent.name)
}

/// The end of a message that names agents which were not asked and have the instance.
fn offers_again(also_at: &[String]) -> String {
    if also_at.is_empty() {
        return String::new();
    }
    let names: Vec<_> = also_at.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "; these have it, too, and were not asked, since they are down or too many: {}",
        names.join(", ")
    )
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
    let living = living(node, datacenter, id, now).map_err(unchanged)?;
    let candidate = |of: &NodeId| Candidate { node: *of, name: name_of(node, *of) };
    let Some(first) = living.first().map(candidate) else {
        return Err(unchanged(nobody(datacenter)));
    };
    let key = Key::Service(id.into());
    let holds = |of: NodeId| {
        let replica = node.catalog().origin(of).and_then(|origin| origin.current());
        // The record may be withheld from this datacenter.
        replica.and_then(|replica| replica.slot(&key)).is_some_and(|slot| !slot.is_tombstone())
    };
    // Of members that died before this agent started, only records are left.
    let may_return = |of: NodeId| {
        let status = node.member(of).map(|member| member.status);
        status.map_or(node.catalog().left(of).is_none(), |status| !status.is_gone())
    };
    let origins = node.catalog().origins().map(|(origin, _)| origin);
    let origins = origins.filter(|of| node.datacenter_of(*of) == Some(home));
    let away = origins.filter(|of| !living.contains(of) && holds(*of) && may_return(*of));
    let mut away: Vec<String> = away.map(|of| name_of(node, of)).collect();
    away.sort();
    let holders = living.iter().filter(|of| holds(**of)).map(candidate).collect();
    Ok(Candidates { holders, first, away })
}

/// The living agents of a datacenter, in the order in which they are asked about something of this name.
///
/// # Errors
/// The datacenter is unknown or out of reach, or none of its agents is alive.
pub(super) fn living(
    node: &Node,
    datacenter: &str,
    about: &str,
    now: Time,
) -> Result<Vec<NodeId>, ApiError> {
    let home = DatacenterId::named(datacenter);
    check_known(node, datacenter, now)?;
    let known = node.datacenters(now);
    let there = known.iter().find(|known| known.id == home);
    if there.is_some_and(|there| there.isolated_since.is_some()) {
        let message = format!(
            "the datacenter `{datacenter}` is isolated, which `hobnob datacenters rejoin {datacenter}` ends"
        );
        return Err(ApiError::new(ErrorCode::DatacenterUnreachable, message));
    }
    if there.is_some_and(|there| there.out_of_reach_since.is_some()) {
        let message = format!("the datacenter `{datacenter}` is out of reach");
        return Err(ApiError::new(ErrorCode::DatacenterUnreachable, message));
    }
    let members = node.members().into_iter();
    let living = members.filter(|member| member.status == MemberStatus::Alive);
    let living = living.map(|member| member.identity.node_id);
    let mut living: Vec<NodeId> =
        living.filter(|member| node.datacenter_of(*member) == Some(home)).collect();
    living.sort_by_key(|member| (Reverse(xxh3_64_with_seed(about.as_bytes(), member.0)), *member));
    if living.is_empty() { Err(nobody(datacenter)) } else { Ok(living) }
}

/// The refusal of a change for which nobody was asked.
fn unchanged(refused: ApiError) -> ApiError {
    match refused.code {
        ErrorCode::DatacenterUnreachable => {
            ApiError { message: refused.message + ": nothing was changed", ..refused }
        }
        _ => refused,
    }
}

fn nobody(datacenter: &str) -> ApiError {
    let message = format!("no agent of `{datacenter}` is alive");
    ApiError::new(ErrorCode::DatacenterUnreachable, message)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> Candidate {
        Candidate { node: NodeId(1), name: name.to_owned() }
    }

    fn judged(
        answers: Vec<Result<Outcome, ApiError>>,
        also_at: &[&str],
    ) -> Result<Done<()>, ApiError> {
        let mut removed = Removed::default();
        for (answer, name) in answers.into_iter().zip(["us1", "us2", "us3"]) {
            removed.add("us", agent(name), answer);
        }
        removed.judge("us", "dup", also_at.iter().map(|name| (*name).to_owned()).collect())
    }

    fn removed(complete: bool) -> Result<Outcome, ApiError> {
        let ack = Acknowledged { confirmed: 1, wanted: 2, complete, missing: Vec::new() };
        Ok(Outcome::Deregistered { ack: Some(ack) })
    }

    #[test]
    fn one_that_does_not_answer_hides_nothing_of_those_that_do() {
        let silent = Err(in_doubt("us", &agent("us2"), "no answer"));
        let error =
            judged(vec![removed(true), silent, removed(true)], &["us5"]).expect_err("in doubt");
        assert_eq!(error.code, ErrorCode::OutcomeUnknown);
        for part in ["`us1` removed it", "`us3` removed it", "`us2` of `us` did not say", "`us5`"] {
            assert!(error.message.contains(part), "{error}");
        }
        // What is in doubt counts more than what is refused.
        let full = Ok(Outcome::Refused(ApiError::new(ErrorCode::DiskFull, "full")));
        let silent = Err(in_doubt("us", &agent("us2"), "no answer"));
        let error = judged(vec![full, silent], &[]).expect_err("in doubt");
        assert_eq!(error.code, ErrorCode::OutcomeUnknown);
        assert!(error.message.contains("`us1` of `us`: full"), "{error}");
    }

    #[test]
    fn all_that_have_it_removed_it_or_the_answer_says_who_did_not() {
        let done = judged(vec![removed(false), removed(true)], &["us5"]).expect("removed");
        assert_eq!((&*done.node, done.also_at), ("us1", vec!["us5".to_owned()]));
        assert!(!done.ack.expect("asked for").complete, "one of them was not acknowledged");
        let gone = || Ok(Outcome::Refused(ApiError::new(ErrorCode::InstanceNotFound, "gone")));
        assert_eq!(judged(vec![gone(), removed(true)], &[]).expect("removed").node, "us2");
        let code = |answers| judged(answers, &[]).expect_err("nothing was changed").code;
        assert_eq!(code(vec![gone()]), ErrorCode::InstanceNotFound);
        assert_eq!(
            code(vec![gone(), Ok(Outcome::RegisteredThere {})]),
            ErrorCode::InstanceElsewhere
        );
    }
}
