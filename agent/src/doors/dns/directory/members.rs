//! Members by their names in lower case, and the datacenters that have any.

use std::sync::Arc;

use hobnob_api::MemberStatus;
use hobnob_membership::NodeId;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::{backwards, below};
use crate::services::{KnownMember, KnownMembers};

/// The members by their names. A copy shares them.
#[derive(Clone, Default)]
pub(in super::super) struct Members {
    /// The revision of the members that it was made from; `None` before the first.
    revision: Option<u64>,
    followed: KnownMembers,
    /// By the name in lower case and backwards.
    by_name: OrdMap<(String, NodeId), Arc<KnownMember>>,
    /// The members of each datacenter, by its name in lower case.
    datacenters: OrdMap<String, usize>,
}

impl Members {
    pub(super) fn is_of(&self, revision: u64) -> bool {
        self.revision == Some(revision)
    }

    /// Takes in what changed.
    pub(super) fn follow(&mut self, members: &KnownMembers, revision: u64) {
        let before = std::mem::replace(&mut self.followed, members.clone());
        for change in before.diff(members) {
            match change {
                DiffItem::Add(node, known) => self.add(*node, known),
                DiffItem::Remove(node, known) => self.remove(*node, known),
                DiffItem::Update { old: (node, old), new: (_, new) } => {
                    self.remove(*node, old);
                    self.add(*node, new);
                }
            }
        }
        self.revision = Some(revision);
    }

    fn add(&mut self, node: NodeId, known: &Arc<KnownMember>) {
        let name = backwards(&known.member.name.to_ascii_lowercase());
        self.by_name.insert((name, node), known.clone());
        *self.datacenters.entry(known.member.datacenter.to_ascii_lowercase()).or_default() += 1;
    }

    fn remove(&mut self, node: NodeId, known: &Arc<KnownMember>) {
        self.by_name.remove(&(backwards(&known.member.name.to_ascii_lowercase()), node));
        let datacenter = known.member.datacenter.to_ascii_lowercase();
        let left = self.datacenters.get(&datacenter).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(self.datacenters.remove(&datacenter)),
            left => drop(self.datacenters.insert(datacenter, left)),
        }
    }

    /// The members of this name in lower case, in one datacenter or in any: those that live, else all.
    pub(in super::super) fn named(
        &self,
        name: &str,
        datacenter: Option<&str>,
    ) -> Vec<&Arc<KnownMember>> {
        let name = backwards(name);
        let all = self.by_name.range((name.clone(), NodeId(0))..=(name, NodeId(u64::MAX)));
        let mut named: Vec<_> = all
            .map(|(_, known)| known)
            .filter(|known| datacenter.is_none_or(|datacenter| is_in(known, datacenter)))
            .collect();
        if named.iter().any(|known| is_living(known)) {
            named.retain(|known| is_living(known));
        }
        named
    }

    /// Whether names of members end with this one and have more labels.
    pub(in super::super) fn has_below(&self, name: &str, datacenter: Option<&str>) -> bool {
        let start = below(name);
        self.by_name
            .range((start.clone(), NodeId(0))..)
            .take_while(|((name, _), _)| name.starts_with(&start))
            .any(|(_, known)| datacenter.is_none_or(|datacenter| is_in(known, datacenter)))
    }

    /// Whether a datacenter has a member. Its name is in lower case.
    pub(in super::super) fn has_datacenter(&self, name: &str) -> bool {
        self.datacenters.contains_key(name)
    }
}

fn is_in(known: &KnownMember, datacenter: &str) -> bool {
    known.member.datacenter.eq_ignore_ascii_case(datacenter)
}

fn is_living(known: &KnownMember) -> bool {
    matches!(known.member.status, MemberStatus::Alive | MemberStatus::Suspect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing;

    fn known(name: &str, node: u64, status: MemberStatus, datacenter: &str) -> Arc<KnownMember> {
        let mut member = testing::member(name, node, status);
        member.datacenter = datacenter.to_owned();
        Arc::new(KnownMember { member, down_since: None, link_silent_since: None })
    }

    /// Members that come, change and go, one after the other.
    #[test]
    fn the_index_follows_what_changes() {
        use MemberStatus::{Alive, Down};
        let (mut members, mut index) = (KnownMembers::new(), Members::default());
        let ids = |index: &Members, name: &str, datacenter: Option<&str>| -> Vec<u64> {
            let named = index.named(name, datacenter);
            named.into_iter().map(|known| known.member.node_id.0).collect()
        };
        members.insert(NodeId(1), known("N1.example.com", 1, Alive, "dc1"));
        members.insert(NodeId(2), known("n1.example.com", 2, Down, "EU"));
        index.follow(&members, 1);
        assert!(index.is_of(1) && !index.is_of(2));
        assert_eq!(ids(&index, "n1.example.com", None), [1], "the living one");
        assert_eq!(ids(&index, "n1.example.com", Some("eu")), [2], "the only one there");
        assert!(index.has_below("com", None) && index.has_below("example.com", Some("eu")));
        assert!(!index.has_below("n1.example.com", None) && !index.has_below("co", None));
        members.insert(NodeId(1), known("other", 1, Alive, "dc1"));
        members.remove(&NodeId(2));
        index.follow(&members, 2);
        assert_eq!(ids(&index, "n1.example.com", None), [0; 0]);
        assert_eq!(ids(&index, "other", None), [1]);
        assert!(index.has_datacenter("dc1") && !index.has_datacenter("eu"));
        assert!(!index.has_below("com", None));
    }
}
