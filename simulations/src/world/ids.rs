//! The node ids of all hosts, and what the hosts are called.

use std::collections::BTreeMap;

use hobnob_membership::NodeId;

/// Which host has or had each node id, and how often it had lost its disk then.
#[derive(Debug, Default)]
pub(super) struct Ids(BTreeMap<NodeId, (usize, u64)>);

impl Ids {
    pub(super) fn note(&mut self, id: NodeId, host: usize, generation: u64) {
        self.0.insert(id, (host, generation));
    }

    pub(super) fn host_of(&self, id: NodeId) -> Option<usize> {
        self.0.get(&id).map(|(host, _)| *host)
    }

    pub(super) fn name_of(&self, id: NodeId) -> String {
        match self.0.get(&id) {
            Some((host, 0)) => format!("n{host}"),
            Some((host, generation)) => format!("n{host}'{generation}"),
            None => format!("node {id}, which is no host's"),
        }
    }
}

/// The node id of a host in a clear cluster, by its number and by how often it lost its disk.
pub(super) fn clear_id(number: usize, generation: u64) -> NodeId {
    NodeId((generation << 32) | (0x1000 + number as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_hosts() {
        let mut ids = Ids::default();
        for (number, generation) in [(0, 0), (254, 0), (254, 2), (70_000, 0)] {
            ids.note(clear_id(number, generation), number, generation);
        }
        assert_eq!(ids.host_of(clear_id(70_000, 0)), Some(70_000));
        assert_eq!(ids.name_of(clear_id(254, 0)), "n254");
        assert_eq!(ids.name_of(clear_id(254, 2)), "n254'2");
        assert_eq!(ids.host_of(NodeId(7)), None);
    }
}
