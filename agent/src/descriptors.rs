//! File descriptors: the soft limit is raised to the hard one, and the agent shares out what that leaves, so that no part
//! of it can take the descriptors of another.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::transport::limits::MAX_HELD;

/// The descriptors for sockets to other agents, files, and the runtime, as far as the limit allows.
const MAX_OWN: u64 = 64;
/// The most probes of checks at a time, and the most connections of clients.
const MAX_OF_A_KIND: u64 = 1_024;
/// The most connections of the HTTP door. Most of them may wait for a change.
const MAX_HTTP: u64 = 2_560;
/// Connections of the DNS door, and queries that it forwards.
const MAX_DNS: u64 = 320;
/// The fewest of each, however low the limit is.
const MIN_OF_A_KIND: u64 = 4;
/// Below this limit, a warning tells what the agent makes do with.
const FEW: u64 = 1_024;

/// The share of each part that opens descriptors on behalf of others. The rest is for the agent's own sockets and files,
/// for TCP probes of peers and connections to them, and for probes that try several addresses at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Probes of checks at a time.
    pub(crate) probes: usize,
    /// Connections of clients, when the agent has one socket for them.
    pub(crate) connections: usize,
    /// The same of each socket, when it has two.
    pub(crate) connections_of_each: usize,
    /// Connections of the HTTP door.
    pub(crate) http: usize,
    /// Connections that peers hold. Half as many others may be open until they have said what they are.
    pub(crate) held: usize,
}

/// The shares of this process. The first call raises the limit.
pub(crate) fn shares() -> Shares {
    static SHARES: OnceLock<Shares> = OnceLock::new();
    *SHARES.get_or_init(|| {
        let limit = raise();
        let shares = share_out(limit);
        if let Some(limit) = limit.filter(|limit| *limit < FEW) {
            tracing::warn!(
                limit,
                probes = shares.probes,
                connections = shares.connections,
                "few files may be open at a time: so many checks are probed at once, and so many clients connect. Raise the \
                 hard limit (`ulimit -Hn`, or LimitNOFILE= of systemd)"
            );
        }
        shares
    })
}

/// Raises the soft limit to the hard one. Returns the soft limit afterwards; `None` when there is none.
fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            current
        }
    }
}

fn share_out(limit: Option<u64>) -> Shares {
    let limit = limit.unwrap_or(u64::MAX);
    let left = limit - MAX_OWN.min(limit / 4);
    let share = |of: u64| of.clamp(MIN_OF_A_KIND, MAX_OF_A_KIND) as usize;
    let held = (left / 15).clamp(MIN_OF_A_KIND, MAX_HELD as u64) as usize;
    let (quarter, half) = (share(left / 4), share(left / 2));
    let others = (quarter + half + held + held / 2) as u64 + MAX_DNS;
    let spare = left.saturating_sub(others) / 2;
    let http = spare.max(left / 16).clamp(MIN_OF_A_KIND, MAX_HTTP) as usize;
    Shares { probes: quarter, connections: half, connections_of_each: quarter, http, held }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_leave_some_for_the_agent_itself() {
        for (limit, probes, connections, held, http) in [
            (Some(16), 4, 6, 4, 4),
            (Some(128), 24, 48, 6, 6),
            (Some(1_024), 240, 480, 64, 60),
            (Some(4_160), 1_024, 1_024, 64, 816),
            (Some(8_192), 1_024, 1_024, 64, 2_560),
            (Some(1 << 20), 1_024, 1_024, 64, 2_560),
            (None, 1_024, 1_024, 64, 2_560),
        ] {
            let shares = share_out(limit);
            assert_eq!(
                (shares.probes, shares.connections, shares.held, shares.http),
                (probes, connections, held, http)
            );
            assert_eq!(
                shares.connections_of_each, probes,
                "two sockets take no more than one, or 1,024 each"
            );
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        shares();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
