//! The process behind a call, as the kernel names it.

use hobnob_membership::NodeId;
use tokio::net::unix::UCred;

/// The process that opened a connection (`SO_PEERCRED`). What another process writes to that connection counts as its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The id of its user.
    pub(crate) uid: u32,
    /// The id of its group, if it is known.
    pub(crate) gid: Option<u32>,
    /// Its process id, if it has one where the agent runs.
    pub(crate) pid: Option<u32>,
    /// The agent of another datacenter on whose host the process runs; `None` for one of this host.
    pub(crate) agent: Option<NodeId>,
}

impl From<UCred> for Caller {
    fn from(credentials: UCred) -> Self {
        // The kernel gives 0 for a process of a namespace that the agent does not see.
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
        Self { uid: credentials.uid(), gid: Some(credentials.gid()), pid, agent: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_names_the_other_side() {
        let (here, _there) = tokio::net::UnixStream::pair().expect("a pair");
        let caller = Caller::from(here.peer_cred().expect("credentials"));
        let uid = rustix::process::geteuid().as_raw();
        let gid = Some(rustix::process::getegid().as_raw());
        assert_eq!(caller, Caller { uid, gid, pid: Some(std::process::id()), agent: None });
    }
}
