//! Groups of hosts whose links are alike.
//!
//! A table for each pair of hosts has a hundred million entries for ten thousand hosts. Hosts between which nothing ever
//! differed share a group, and the table is kept for pairs of groups. A change that concerns a part of a group only splits
//! it first, so that every table entry stays exact for all of its links.

use std::collections::BTreeMap;

/// A table with an entry for each directed pair of hosts, kept by groups.
#[derive(Clone, Debug)]
pub(super) struct Groups<T> {
    /// The group of each host.
    group_of: Vec<u16>,
    /// The hosts of each group.
    members: Vec<Vec<u32>>,
    /// The entries of the groups' pairs, by sender and receiver. A row has `stride` places.
    table: Vec<T>,
    stride: usize,
}

impl<T: Copy> Groups<T> {
    /// One group of all hosts.
    pub(super) fn new(hosts: usize, entry: T) -> Self {
        let members = vec![(0..hosts as u32).collect()];
        Self { group_of: vec![0; hosts], members, table: vec![entry], stride: 1 }
    }

    /// The number of hosts.
    pub(super) fn hosts(&self) -> usize {
        self.group_of.len()
    }

    /// The number of groups.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The number of hosts in a group.
    pub(super) fn size(&self, group: usize) -> usize {
        self.members[group].len()
    }

    /// Lists the hosts of a group.
    pub(super) fn members(&self, group: usize) -> impl Iterator<Item = usize> + '_ {
        self.members[group].iter().map(|host| *host as usize)
    }

    /// The group of a host.
    pub(super) fn group_of(&self, host: usize) -> usize {
        usize::from(self.group_of[host])
    }

    /// The entry of the link between two hosts.
    pub(super) fn of(&self, from: usize, to: usize) -> &T {
        self.at(self.group_of(from), self.group_of(to))
    }

    /// The entry of the links between two groups.
    pub(super) fn at(&self, from: usize, to: usize) -> &T {
        &self.table[from * self.stride + to]
    }

    /// Lists the entries of all pairs of groups.
    pub(super) fn entries(&self) -> impl Iterator<Item = &T> {
        let groups = self.len();
        self.table.chunks(self.stride).take(groups).flat_map(move |row| &row[..groups])
    }

    /// Makes all links alike again, in one group.
    pub(super) fn merge(&mut self, entry: T) {
        *self = Self::new(self.hosts(), entry);
    }

    /// Changes all entries.
    pub(super) fn change_all(&mut self, change: impl FnMut(&mut T)) {
        self.table.iter_mut().for_each(change);
    }

    /// Changes the entries of all links from some hosts to others. Links of a host to itself do not count. Each entry
    /// comes with the ends of one of its links.
    pub(super) fn change(
        &mut self,
        from: &[usize],
        to: &[usize],
        mut change: impl FnMut(&mut T, [usize; 2]),
    ) {
        self.split(from);
        let to = self.split(to);
        // The second split may have split senders, too.
        let from = self.split(from);
        for a in &from {
            for b in &to {
                let (sender, other) = (self.members[*a][0], usize::from(a == b));
                if let Some(receiver) = self.members[*b].get(other) {
                    let ends = [sender as usize, *receiver as usize];
                    change(&mut self.table[a * self.stride + b], ends);
                }
            }
        }
    }

    /// Splits groups until none is in and outside of a set, and returns those inside.
    pub(super) fn split(&mut self, set: &[usize]) -> Vec<usize> {
        let mut touched: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for host in set {
            touched.entry(self.group_of(*host)).or_default().push(*host as u32);
        }
        let mut inside = Vec::new();
        for (group, mut hosts) in touched {
            hosts.sort_unstable();
            hosts.dedup();
            if hosts.len() == self.members[group].len() {
                inside.push(group);
            } else {
                inside.push(self.part(group, hosts));
            }
        }
        inside
    }

    /// Takes hosts out of a group, into a new one with the same entries.
    fn part(&mut self, group: usize, hosts: Vec<u32>) -> usize {
        let new = self.members.len();
        if new == self.stride {
            self.widen();
        }
        for other in 0..new {
            self.table[new * self.stride + other] = self.table[group * self.stride + other];
            self.table[other * self.stride + new] = self.table[other * self.stride + group];
        }
        self.table[new * self.stride + new] = self.table[group * self.stride + group];
        for host in &hosts {
            self.group_of[*host as usize] = u16::try_from(new).expect("at most 65,536 groups");
        }
        self.members[group].retain(|host| hosts.binary_search(host).is_err());
        self.members.push(hosts);
        new
    }

    /// Doubles the room of the table.
    fn widen(&mut self) {
        let stride = self.stride * 2;
        let mut table = vec![self.table[0]; stride * stride];
        for (row, old) in self.table.chunks(self.stride).enumerate() {
            table[row * stride..][..self.stride].copy_from_slice(old);
        }
        (self.table, self.stride) = (table, stride);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn entries_by_groups_are_those_by_pairs() {
        let hosts = 12;
        let mut groups = Groups::new(hosts, 0_u32);
        let mut pairs = vec![0_u32; hosts * hosts];
        let sets: [&[usize]; 6] = [&[0, 1, 2, 3], &[3, 4, 5], &[7], &[7, 7], &[0, 11, 5], &[2, 9]];
        for (n, (from, to)) in sets.iter().zip(sets.iter().skip(1).chain([&sets[0]])).enumerate() {
            groups.change(from, to, |entry, _| *entry = *entry * 3 + n as u32 + 1);
            for a in from.iter().collect::<BTreeSet<_>>() {
                for b in to.iter().collect::<BTreeSet<_>>() {
                    let entry = &mut pairs[a * hosts + b];
                    *entry = *entry * 3 + n as u32 + 1;
                }
            }
        }
        for (a, b) in (0..hosts).flat_map(|a| (0..hosts).map(move |b| (a, b))) {
            assert!(a == b || *groups.of(a, b) == pairs[a * hosts + b], "{a} to {b}");
        }
        let listed: usize = (0..groups.len()).map(|group| groups.size(group)).sum();
        assert_eq!(listed, hosts);
    }

    #[test]
    fn a_cut_between_two_halves_needs_two_groups() {
        let (left, right): (Vec<usize>, Vec<usize>) = (0..10_000).partition(|host| host % 2 == 0);
        let mut groups = Groups::new(10_000, false);
        groups.change(&left, &right, |cut, _| *cut = true);
        assert_eq!(groups.len(), 2);
        assert!(*groups.of(0, 1) && !*groups.of(1, 0) && !*groups.of(0, 2));
    }
}
