//! The network between the nodes: what a link does to a datagram, and which links are cut.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

/// What every link does.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The least time that a packet takes.
    pub min_latency: Duration,
    /// The most time that a packet takes.
    pub max_latency: Duration,
    /// The share of datagrams that are lost, from 0 to 1. Streams repeat what is lost, and are only slowed.
    pub loss: f64,
}

impl Default for Link {
    /// A local network without loss.
    fn default() -> Self {
        Self {
            min_latency: Duration::from_micros(250),
            max_latency: Duration::from_micros(1_500),
            loss: 0.0,
        }
    }
}

/// The network between nodes, which are named by number.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// What every link does.
    pub link: Link,
    cut: BTreeSet<(usize, usize)>,
}

impl Network {
    /// A network in which every link is alike.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self { link, cut: BTreeSet::new() }
    }

    /// Cuts everything between the two groups, in both directions.
    pub fn cut(&mut self, left: &[usize], right: &[usize]) {
        for a in left {
            for b in right {
                self.cut.extend([(*a, *b), (*b, *a)]);
            }
        }
    }

    /// Mends every cut.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Whether nothing passes from one node to another.
    #[must_use]
    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// How long a datagram takes; `None` when it is lost.
    pub(crate) fn datagram(
        &self,
        from: usize,
        to: usize,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Option<Duration> {
        let latency = self.latency(rng);
        let lost = rng.random::<f64>() < self.link.loss;
        (!lost && !self.is_cut(from, to)).then_some(latency)
    }

    pub(crate) fn latency(&self, rng: &mut Xoshiro256PlusPlus) -> Duration {
        let span = self.link.max_latency.saturating_sub(self.link.min_latency);
        self.link.min_latency + span.mul_f64(rng.random())
    }
}
