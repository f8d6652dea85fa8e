//! File descriptors: the soft limit is raised to the hard one, and the agent shares out what that leaves, so that no part
//! of it can take the descriptors of another.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptors for sockets to other agents, files, and the runtime, as far as the limit allows.
const MAX_OWN: u64 = 64;
/// The most probes of checks at a time, and the most connections of clients.
const MAX_OF_A_KIND: u64 = 1_024;
/// The fewest of each, however low the limit is.
const MIN_OF_A_KIND: u64 = 4;
/// Below this limit, a warning tells what the agent makes do with.
const FEW: u64 = 1_024;

/// The share of each part that opens descriptors on behalf of others. The rest is for the agent's own sockets and files,
/// for TCP probes of peers, and for probes that try several addresses at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Probes of checks at a time.
    pub(crate) probes: usize,
    /// Connections of clients.
    pub(crate) connections: usize,
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
    Shares { probes: share(left / 4), connections: share(left / 2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_leave_some_for_the_agent_itself() {
        for (limit, probes, connections) in [
            (Some(16), 4, 6),
            (Some(128), 24, 48),
            (Some(1_024), 240, 480),
            (Some(4_160), 1_024, 1_024),
            (Some(1 << 20), 1_024, 1_024),
            (None, 1_024, 1_024),
        ] {
            assert_eq!(share_out(limit), Shares { probes, connections }, "{limit:?}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        shares();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
