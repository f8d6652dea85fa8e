//! The addresses of peers, which are kept for the next start.

use std::time::Duration;

use tokio::time::Instant;

use super::{Driver, Persist};
use crate::storage::Peers;

/// The time from the first change of the peers to saving them for the next start. It is short, because an agent that
/// crashes finds the cluster again through them.
const SAVE_FIRST_AFTER: Duration = Duration::from_millis(50);
/// The time from a later change of the peers to saving them.
const SAVE_AFTER: Duration = Duration::from_secs(5);

/// The peers that are kept, and when they are to be kept anew.
#[derive(Debug, Default)]
pub(super) struct KeptPeers {
    kept: Peers,
    has_kept: bool,
    pub(super) due: Option<Instant>,
}

impl KeptPeers {
    /// Notes that a member changed.
    pub(super) fn changed(&mut self) {
        let wait = if self.has_kept { SAVE_AFTER } else { SAVE_FIRST_AFTER };
        self.due.get_or_insert(Instant::now() + wait);
    }
}

impl Driver {
    /// The same driver for an agent that had these peers before its restart.
    pub(crate) fn remembering(mut self, peers: Peers) -> Self {
        self.peers.kept = peers;
        self
    }

    /// Keeps the peers of now, if it is time. An agent that is alone keeps the peers that it had: it finds the cluster again
    /// through them. The same holds for other datacenters.
    pub(super) fn keep_peers_if_due(&mut self, now: Instant) {
        if self.peers.due.is_none_or(|at| at > now) {
            return;
        }
        self.peers.due = None;
        let mut peers = self.peers.kept.clone();
        let members: Vec<_> = self.node.peer_addresses().collect();
        let elsewhere: Vec<_> = self.node.remote_addresses().collect();
        if !members.is_empty() {
            peers.members = members;
        }
        if !elsewhere.is_empty() {
            peers.elsewhere = elsewhere;
        }
        if peers != self.peers.kept {
            self.keep_peers(peers);
        }
    }

    /// Forgets the members, since nobody is expected at their addresses any more.
    pub(super) fn forget_peers(&mut self) {
        if !self.peers.kept.members.is_empty() {
            let elsewhere = self.peers.kept.elsewhere.clone();
            self.keep_peers(Peers { members: Vec::new(), elsewhere });
        }
    }

    fn keep_peers(&mut self, peers: Peers) {
        self.peers.has_kept = true;
        self.peers.kept.clone_from(&peers);
        self.persist(Persist::Peers(peers));
    }
}
