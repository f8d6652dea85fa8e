//! Joining a cluster through addresses that a client names.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hobnob_api::address::GossipAddress;
use hobnob_api::{ApiError, ErrorCode};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::driver::DriverHandle;
use crate::info::AgentInfo;
use crate::seeding;

/// The longest wait of a request to join for an answer. The agent goes on trying after it.
const JOIN_WITHIN: Duration = Duration::from_secs(5);
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

/// Says hello at these addresses, of members of other datacenters if `wan` says so, and returns the first that answers. A name that does not resolve, or not soon, keeps
/// nobody from joining at the others.
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
    let (mut unresolved, mut answered, mut nobody_answered) = (Vec::new(), None, false);
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
                            joining.push(timeout_at(deadline, driver.join(others, wan)));
                        }
                    }
                    Err(reason) => unresolved.push(reason),
                }
            }
            Some(joined) = joining.next(), if answered.is_none() => match joined {
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
    let also = |unresolved: &[String]| match unresolved {
        [] => String::new(),
        unresolved => format!("; {}", unresolved.join("; ")),
    };
    Err(if nobody_answered {
        let message = format!(
            "no agent of the cluster `{}` answered at {} within {} s{}",
            agent.cluster,
            addresses.join(", "),
            JOIN_WITHIN.as_secs(),
            also(&unresolved),
        );
        ApiError::new(ErrorCode::JoinUnanswered, message)
    } else if unresolved.is_empty() {
        let message = format!("{} is this agent itself", addresses.join(", "));
        ApiError::new(ErrorCode::AddressIsOwn, message)
    } else {
        ApiError::new(ErrorCode::AddressUnresolvable, unresolved.join("; "))
    })
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
