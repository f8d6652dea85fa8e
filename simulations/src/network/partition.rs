//! The shapes in which a network breaks.

use super::{Channel, Network};

/// A set of directed links that are cut and mended together: those from the first hosts of each pair to the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    links: Vec<(Vec<usize>, Vec<usize>)>,
    datagrams: bool,
    streams: bool,
}

impl Partition {
    fn new(mut links: Vec<(Vec<usize>, Vec<usize>)>) -> Self {
        let is_link = |from: &[usize], to: &[usize]| from.iter().any(|a| to.iter().any(|b| a != b));
        links.retain(|(from, to)| is_link(from, to));
        Self { links, datagrams: true, streams: true }
    }

    /// Nothing passes between two groups.
    #[must_use]
    pub fn full(left: &[usize], right: &[usize]) -> Self {
        let (left, right) = (left.to_vec(), right.to_vec());
        Self::new(vec![(left.clone(), right.clone()), (right, left)])
    }

    /// Nothing passes from the first group to the second. Datagrams pass the other way; streams need both ways, and do
    /// not.
    #[must_use]
    pub fn one_way(from: &[usize], to: &[usize]) -> Self {
        Self::new(vec![(from.to_vec(), to.to_vec())])
    }

    /// Two halves that do not see each other, and one host that sees both.
    #[must_use]
    pub fn bridge(hosts: &[usize], bridge: usize) -> Self {
        let rest: Vec<usize> = hosts.iter().copied().filter(|host| *host != bridge).collect();
        let (left, right) = rest.split_at(rest.len() / 2);
        Self::full(left, right)
    }

    /// Every host sees a majority, and each a different one: the hosts at most a quarter of the ring away.
    #[must_use]
    pub fn majority_ring(hosts: &[usize]) -> Self {
        let count = hosts.len();
        let reach = count.div_ceil(4).max(1);
        let is_far = |i: usize, j: usize| i.abs_diff(j).min(count - i.abs_diff(j)) > reach;
        let far = |i| hosts.iter().enumerate().filter(move |(j, _)| is_far(i, *j));
        let from = hosts.iter().enumerate();
        Self::new(from.map(|(i, a)| (vec![*a], far(i).map(|(_, b)| *b).collect())).collect())
    }

    /// Each host in `alone` sees no other.
    #[must_use]
    pub fn isolate(alone: &[usize], hosts: &[usize]) -> Self {
        Self::full(alone, hosts)
    }

    /// Restricts the cut to datagrams or to streams.
    #[must_use]
    pub fn only(mut self, channel: Channel) -> Self {
        self.datagrams = channel == Channel::Datagrams;
        self.streams = channel == Channel::Streams;
        self
    }

    /// The hosts at both ends of the cut links, with repetitions.
    pub fn hosts(&self) -> impl Iterator<Item = usize> + '_ {
        self.links.iter().flat_map(|(from, to)| from.iter().chain(to)).copied()
    }

    /// Whether no link is cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Cuts the links.
    pub fn begin(&self, network: &mut Network) {
        self.each(|from, to, channel| network.cut(from, to, channel));
    }

    /// Mends the links.
    pub fn end(&self, network: &mut Network) {
        self.each(|from, to, channel| network.mend(from, to, channel));
    }

    fn each(&self, mut change: impl FnMut(&[usize], &[usize], Channel)) {
        for (from, to) in &self.links {
            if self.datagrams {
                change(from, to, Channel::Datagrams);
            }
            if self.streams {
                change(from, to, Channel::Streams);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Conditions;

    fn sees(partition: &Partition, hosts: usize, from: usize) -> Vec<usize> {
        let mut network = Network::new(hosts, Conditions::default());
        partition.begin(&mut network);
        (0..hosts)
            .filter(|to| *to != from && !network.is_cut(from, *to, Channel::Datagrams))
            .collect()
    }

    #[test]
    fn a_bridge_sees_both_sides_and_nobody_else_does() {
        let partition = Partition::bridge(&[0, 1, 2, 3, 4], 2);
        assert_eq!(sees(&partition, 5, 2), [0, 1, 3, 4]);
        assert_eq!(sees(&partition, 5, 0), [1, 2]);
        assert_eq!(sees(&partition, 5, 4), [2, 3]);
    }

    #[test]
    fn in_a_ring_of_majorities_all_see_a_different_majority() {
        let hosts: Vec<usize> = (0..9).collect();
        let partition = Partition::majority_ring(&hosts);
        let views: Vec<_> = hosts.iter().map(|host| sees(&partition, 9, *host)).collect();
        assert!(views.iter().all(|view| view.len() + 1 > 9 / 2));
        assert!(views.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn one_way_leaves_the_way_back_and_ends_as_it_began() {
        let partition = Partition::one_way(&[0], &[1, 2]);
        assert_eq!(sees(&partition, 3, 0), [] as [usize; 0]);
        assert_eq!(sees(&partition, 3, 1), [0, 2]);
        let mut network = Network::new(3, Conditions::default());
        partition.begin(&mut network);
        partition.end(&mut network);
        assert!(!network.is_cut(0, 1, Channel::Datagrams));
    }

    #[test]
    fn a_lone_host_sees_nobody() {
        let partition = Partition::isolate(&[1], &[0, 1, 2]);
        assert_eq!(sees(&partition, 3, 1), [] as [usize; 0]);
        assert_eq!(sees(&partition, 3, 0), [2]);
    }
}
