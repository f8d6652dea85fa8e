//! A cut of the network between the agents: two sides, between which no packet passes.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::{Cluster, DevAgent};

/// The time after which the sockets that agents have opened meanwhile get the filter, too.
const RENEW_EVERY: Duration = Duration::from_millis(200);

/// The cut.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The agents of one side. Nothing is cut while there are none.
    away: BTreeSet<String>,
    renewed: Option<Instant>,
}

/// The change of a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dev) enum CutChange {
    /// There is one agent.
    Alone,
    /// Nothing is cut any more.
    Healed,
    /// The agents of the two sides: first that to which the agent now belongs.
    Sides([Vec<String>; 2]),
}

impl Cut {
    /// Brings an agent to the other side.
    fn change(&mut self, name: &str, all: &BTreeSet<String>) -> CutChange {
        if all.len() < 2 {
            return CutChange::Alone;
        }
        if !self.away.remove(name) {
            self.away.insert(name.to_owned());
        }
        if self.away == *all {
            self.away.clear();
        }
        if self.away.is_empty() {
            return CutChange::Healed;
        }
        let beyond = self.beyond(name, all);
        let own = all.iter().filter(|other| !beyond.contains(other)).cloned();
        CutChange::Sides([own.collect(), beyond])
    }

    /// The agents on the other side.
    fn beyond(&self, name: &str, all: &BTreeSet<String>) -> Vec<String> {
        if self.away.is_empty() {
            return Vec::new();
        }
        let is_away = self.away.contains(name);
        all.iter().filter(|other| self.away.contains(*other) != is_away).cloned().collect()
    }
}

impl Cluster<'_> {
    /// Cuts an agent off from the others, or brings it back to them. Agents that are cut off reach each other.
    ///
    /// # Errors
    /// The kernel does not let this process filter the packets of the agents. Then nothing is cut.
    pub(in crate::dev) fn cut_or_heal(&mut self, name: &str) -> anyhow::Result<CutChange> {
        let all = self.agents.iter().map(|agent| agent.name.clone()).collect();
        let change = self.cut.change(name, &all);
        let filtered = self.filter().context(
            "the kernel does not let this process filter the packets of the agents, as in a container without CAP_SYS_PTRACE",
        );
        if let Err(error) = filtered {
            self.cut.away.clear();
            // The first error was told already.
            let _ = self.filter();
            return Err(error);
        }
        Ok(change)
    }

    /// Lets the cut hold for sockets that agents have opened meanwhile, such as those of one that was started again. The sockets of its
    /// peers drop its packets all the time.
    pub(in crate::dev) fn renew_cut(&mut self) {
        let is_due = self.cut.renewed.is_none_or(|renewed| renewed.elapsed() >= RENEW_EVERY);
        if is_due && !self.cut.away.is_empty() {
            // Ignore errors: the filter was taken before, and is set again soon.
            let _ = self.filter();
        }
    }

    /// Whether an agent is one of those that keys have cut off from the others.
    pub(in crate::dev) fn is_cut_off(&self, name: &str) -> bool {
        self.cut.away.contains(name)
    }

    /// Lets each agent drop the packets from the other side. Goes on with the others when one of them cannot, and returns the first error.
    fn filter(&mut self) -> io::Result<()> {
        self.cut.renewed = Some(Instant::now());
        let all = self.agents.iter().map(|agent| agent.name.clone()).collect();
        let mut done = Ok(());
        for agent in &self.agents {
            let beyond = self.cut.beyond(&agent.name, &all);
            let of = |name: &String| self.agents.iter().find(|agent| agent.name == *name);
            let addresses: Vec<Ipv4Addr> =
                beyond.iter().filter_map(of).map(DevAgent::address).collect();
            let filtered = match agent.process.sockets() {
                Some(sockets) => sockets.drop_packets_from(&addresses),
                None if !agent.is_running() => Ok(()),
                None => Err(io::ErrorKind::Unsupported.into()),
            };
            done = done.and(filtered);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
        names.map(str::to_owned).to_vec()
    }

    #[test]
    fn an_agent_changes_the_side_and_those_that_are_cut_off_stay_together() {
        let all = BTreeSet::from_iter(names(["a1", "a2", "a3"]));
        let mut cut = Cut::default();
        assert_eq!(cut.beyond("a1", &all), names([]));
        let sides = |own: Vec<String>, beyond| CutChange::Sides([own, beyond]);
        assert_eq!(cut.change("a3", &all), sides(names(["a3"]), names(["a1", "a2"])));
        assert_eq!(cut.change("a2", &all), sides(names(["a2", "a3"]), names(["a1"])));
        assert_eq!(cut.beyond("a3", &all), names(["a1"]));
        assert_eq!(cut.change("a3", &all), sides(names(["a1", "a3"]), names(["a2"])));
        assert_eq!(cut.change("a2", &all), CutChange::Healed);
        assert_eq!(cut.beyond("a1", &all), names([]));
    }

    #[test]
    fn there_is_no_cut_with_all_agents_on_one_side() {
        let all = BTreeSet::from_iter(names(["a1", "a2"]));
        let mut cut = Cut::default();
        cut.change("a1", &all);
        assert_eq!(cut.change("a2", &all), CutChange::Healed);
        assert_eq!(cut.change("a2", &all), CutChange::Sides([names(["a2"]), names(["a1"])]));
        let alone = BTreeSet::from_iter(names(["a1"]));
        assert_eq!(Cut::default().change("a1", &alone), CutChange::Alone);
    }
}
