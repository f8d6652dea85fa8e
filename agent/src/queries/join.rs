//! Joining a cluster through addresses that a client names.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hobnob_api::address::GossipAddress;
use hobnob_api::{ApiError, ErrorCode};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Node, Time};
use tokio::time::{Instant, interval, sleep_until, timeout_at};

use crate::driver::{DriverHandle, words};
use crate::info::AgentInfo;
use crate::seeding;

/// The longest wait of a request to join for an answer. The agent goes on trying after it.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
/// The time between two looks at what is known of the addresses.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The time that the names which are left have to resolve once an address has answered.
const RESOLVE_AFTER_ANSWER: Duration = Duration::from_secs(1);
/// The most addresses of one request.
const MAX_ADDRESSES: usize = 64;

/// The answer to a request to join.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The address that answered first.
    pub(crate) by: SocketAddr,
    /// The names that did not resolve, each with the reason.
    pub(crate) unresolved: Vec<String>,
}

/// Says hello at these addresses, and returns the first that answers. With `wan` they are of members of other datacenters. A name that does
/// not resolve in time does not keep the others from being joined.
///
/// # Errors
/// No address leads anywhere but to the agent itself, or nobody answers in time.
pub(crate) async fn join(
    agent: &AgentInfo,
    driver: &DriverHandle,
    addresses: &[String],
    wan: bool,
) -> Result<Joined, ApiError> {
    if addresses.is_empty() {
        return Err(ApiError::new(ErrorCode::AddressInvalid, "there is no address to join at"));
    }
    if addresses.len() > MAX_ADDRESSES {
        let message = format!("{} addresses in one call: at most {MAX_ADDRESSES}", addresses.len());
        return Err(ApiError::new(ErrorCode::OutOfRange, message));
    }
    let parse = |address: &String| address.parse::<GossipAddress>();
    let parsed = addresses.iter().map(parse).collect::<Result<Vec<_>, _>>();
    let parsed =
        parsed.map_err(|error| ApiError::new(ErrorCode::AddressInvalid, error.to_string()))?;
    let deadline = Instant::now() + JOIN_WITHIN;
    let mut pending: Vec<String> = parsed.iter().map(ToString::to_string).collect();
    let mut resolving: FuturesUnordered<_> =
        parsed.into_iter().map(|address| resolve(address, deadline)).collect();
    let mut joining = FuturesUnordered::new();
    let (mut unresolved, mut misplaced) = (Vec::new(), Vec::new());
    let (mut answered, mut nobody_answered) = (None, false);
    let mut until = deadline;
    loop {
        tokio::select! {
            Some((name, found)) = resolving.next() => {
                pending.retain(|pending| *pending != name);
                match found {
                    Ok(found) => {
                        let others: Vec<_> =
                            found.into_iter().filter(|found| !agent.is_own(*found)).collect();
                        if !others.is_empty() {
                            joining.push(timeout_at(deadline, join_at(driver, others, wan)));
                        }
                    }
                    Err(reason) => unresolved.push(reason),
                }
            }
            Some(joined) = joining.next(), if answered.is_none() => match joined {
                Ok(Err(error)) if error.code == ErrorCode::WrongDatacenter => {
                    misplaced.push(error.message);
                }
                Ok(joined) => {
                    answered = Some(joined?);
                    until = deadline.min(Instant::now() + RESOLVE_AFTER_ANSWER);
                }
                Err(_) => nobody_answered = true,
            },
            () = sleep_until(until), if answered.is_some() => break,
            else => break,
        }
        if answered.is_some() && resolving.is_empty() {
            break;
        }
    }
    if let Some(by) = answered {
        let late =
            pending.into_iter().map(|name| format!("the address `{name}` is not resolved yet"));
        unresolved.extend(late);
        return Ok(Joined { by, unresolved });
    }
    let is_misplaced = !misplaced.is_empty();
    let reasons: Vec<String> = misplaced.into_iter().chain(unresolved).collect();
    Err(if nobody_answered {
        let mut message = format!(
            "no agent of the cluster `{}` answered at {} within {} s",
            agent.cluster,
            addresses.join(", "),
            JOIN_WITHIN.as_secs(),
        );
        let isolated = if wan { driver.inspect(isolated).await? } else { Vec::new() };
        let isolated: Vec<_> = isolated.into_iter().filter(|it| !reasons.contains(it)).collect();
        for reason in reasons.into_iter().chain(isolated) {
            message.push_str("; ");
            message.push_str(&reason);
        }
        ApiError::new(ErrorCode::JoinUnanswered, message)
    } else if reasons.is_empty() {
        let message = format!("{} is this agent itself", addresses.join(", "));
        ApiError::new(ErrorCode::AddressIsOwn, message)
    } else if is_misplaced {
        ApiError::new(ErrorCode::WrongDatacenter, reasons.join("; "))
    } else {
        ApiError::new(ErrorCode::AddressUnresolvable, reasons.join("; "))
    })
}

/// Says hello at these addresses, and returns the first that answers. A member of another datacenter has answered when it is known.
///
/// # Errors
/// They are of agents that are not to be joined in this way.
async fn join_at(
    driver: &DriverHandle,
    addresses: Vec<SocketAddr>,
    wan: bool,
) -> Result<SocketAddr, ApiError> {
    let joining = driver.join(addresses.clone(), wan);
    tokio::pin!(joining);
    let mut looks = interval(LOOK_EVERY);
    loop {
        tokio::select! {
            joined = &mut joining => return Ok(joined?),
            _ = looks.tick() => {
                let addresses = addresses.clone();
                let look = move |node: &Node, _| look(node, &addresses, wan);
                if let Some(found) = driver.inspect(look).await? {
                    return found.map_err(|reason| ApiError::new(ErrorCode::WrongDatacenter, reason));
                }
            }
        }
    }
}

/// What this agent knows of the members at these addresses: with `wan` the first that lives in another datacenter, else why they are not
/// to be joined in this way.
fn look(node: &Node, addresses: &[SocketAddr], wan: bool) -> Option<Result<SocketAddr, String>> {
    let own = node.description(node.identity().node_id);
    let own = own.map(|record| record.datacenter.to_string()).unwrap_or_default();
    let mut refused = Vec::new();
    for member in node.members() {
        let address = member.identity.addr;
        let id = member.identity.node_id;
        let is_alive = member.status == MemberStatus::Alive;
        let Some(home) = node.datacenter_of(id).filter(|_| addresses.contains(&address)) else {
            continue;
        };
        let name = node.datacenter_name_of(id).unwrap_or_default();
        let is_own = home == node.own_datacenter();
        if node.is_isolated(home) {
            refused.push((address, words::of_isolated_datacenter(name)));
        } else if wan && is_own && is_alive {
            refused.push((address, words::of_own_datacenter(address, &own, true)));
        } else if wan && is_alive {
            return Some(Ok(address));
        } else if !wan && !is_own && is_alive {
            refused.push((address, words::of_other_datacenter(address, name, &own)));
        }
    }
    let is_refused = |address| refused.iter().any(|(refused, _)| refused == address);
    let is_over = addresses.iter().all(is_refused);
    is_over.then(|| refused.into_iter().next()).flatten().map(|(_, reason)| Err(reason))
}

/// The datacenters that are isolated, each as a sentence.
fn isolated(node: &Node, now: Time) -> Vec<String> {
    let isolated = node.datacenters(now).into_iter().filter(|one| one.isolated_since.is_some());
    isolated.map(|one| words::of_isolated_datacenter(&one.name)).collect()
}

/// The socket addresses behind an address, or why there are none; with the address as text.
async fn resolve(
    address: GossipAddress,
    deadline: Instant,
) -> (String, Result<Vec<SocketAddr>, String>) {
    let name = address.to_string();
    let found = match timeout_at(deadline, seeding::resolve(address)).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => {
            let within = JOIN_WITHIN.as_secs();
            Err(format!("the address `{name}` was not resolved within {within} s"))
        }
    };
    (name, found)
}
