//! Other datacenters: what is logged of them, and what is shown of the way to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::{Datacenter, DatacenterId, Event, Time};

use super::{Driver, words};

/// The time between two looks at the datacenters.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The time over which the bytes a second to and from a datacenter are counted.
const MEASURED_OVER: Duration = Duration::from_secs(5);

/// Bytes sent to a datacenter, and received from it.
pub(super) type Bytes = [u64; 2];

/// The other datacenters so far, and the traffic to them.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The bytes until the last count, and its time.
    counted: Option<(Time, BTreeMap<DatacenterId, Bytes>)>,
    /// The time of the next look at the datacenters.
    due: Time,
    /// The datacenters that were found so far.
    found: BTreeSet<DatacenterId>,
}

impl Traffic {
    /// Counts, if it is time. Returns the bytes a second since the last count.
    fn count(
        &mut self,
        datacenters: &[Datacenter],
        now: Time,
    ) -> Option<BTreeMap<DatacenterId, Bytes>> {
        if self.counted.as_ref().is_some_and(|(at, _)| now.since(*at) < MEASURED_OVER) {
            return None;
        }
        let others = datacenters.iter().filter(|datacenter| !datacenter.is_own);
        let sums: BTreeMap<_, _> =
            others.map(|one| (one.id, [one.bytes_sent, one.bytes_received])).collect();
        let (at, last) = self.counted.replace((now, sums.clone()))?;
        let seconds = now.since(at).as_secs_f64();
        let rate = |(id, sums): (DatacenterId, Bytes)| {
            let last = last.get(&id).copied().unwrap_or_default();
            let since = |n: usize| (sums[n].saturating_sub(last[n]) as f64 / seconds) as u64;
            (id, [since(0), since(1)])
        };
        Some(sums.into_iter().map(rate).collect())
    }
}

impl Driver {
    /// Shows the traffic with other datacenters and the order in which they follow ours.
    pub(super) fn show_datacenters(&mut self, now: Time) {
        if now < self.traffic.due {
            return;
        }
        self.traffic.due = now + LOOK_EVERY;
        let datacenters = self.node.datacenters(now);
        self.log_found(&datacenters);
        if let Some(rates) = self.traffic.count(&datacenters, now) {
            let round_trips = datacenters.iter().filter_map(|datacenter| {
                Some((datacenter.name.to_string(), datacenter.round_trip?))
            });
            self.writer.set_round_trips(round_trips.collect());
            self.writer.set_traffic(rates);
        }
    }

    /// Logs the datacenters that were found since the last look.
    fn log_found(&mut self, datacenters: &[Datacenter]) {
        for one in datacenters.iter().filter(|one| !one.is_own) {
            if self.traffic.found.insert(one.id) {
                tracing::info!(datacenter = %one.name, alive = one.alive, "another datacenter is known");
            }
        }
    }

    fn own_datacenter(&self) -> String {
        let own = self.node.description(self.node.identity().node_id);
        own.map(|record| record.datacenter.to_string()).unwrap_or_default()
    }

    /// Takes note of an event about another datacenter, and logs it.
    pub(super) fn take_datacenter(&mut self, event: &Event) {
        match event {
            Event::SameDatacenter { address } => {
                let own = self.own_datacenter();
                let reason = words::of_own_datacenter(*address, &own, false);
                self.joining.met_other(*address, true, &reason);
                tracing::error!(
                    %address,
                    datacenter = own,
                    "an agent that is named as one of another datacenter has the datacenter of this one, and the two stay apart: give \
                     one of the two another --datacenter, or name it with --join if they are of one network"
                );
            }
            Event::FarPool { round_trip } => tracing::warn!(
                datacenter = self.own_datacenter(),
                round_trip_ms = round_trip.as_millis() as u64,
                "the agents of this datacenter are far apart for one network, and living ones may be called down: if they are at different \
                 sites, start this agent with another --datacenter NAME and with --join-wan in place of --join"
            ),
            Event::OtherDatacenter { address, name } => {
                self.expect_elsewhere(*address);
                let reason = words::of_other_datacenter(*address, name, &self.own_datacenter());
                self.joining.met_other(*address, false, &reason);
                tracing::info!(
                    %address,
                    datacenter = %name,
                    "the agent at an address to join at is of another datacenter, which is known from now on"
                );
            }
            Event::DatacenterUnreachable { name, .. } => tracing::warn!(
                datacenter = %name,
                "a datacenter is out of reach: its instances stay known as they were, and are used where nothing healthy is left"
            ),
            Event::DatacenterReachable { name, .. } => {
                tracing::info!(datacenter = %name, "a datacenter is back in reach");
            }
            Event::DatacenterIsolated { name, by, .. } => tracing::warn!(
                datacenter = %name,
                by = words::name_of(&self.node, *by),
                "an operator isolated a datacenter from this one: nothing is sent there and nothing of it is taken until `hobnob datacenters \
                 rejoin`"
            ),
            Event::DatacenterRejoined { name, by, .. } => tracing::warn!(
                datacenter = %name,
                by = words::name_of(&self.node, *by),
                "an operator ended the isolation of a datacenter"
            ),
            Event::CutOff { lost, of } => tracing::warn!(
                lost = lost.join(", "),
                "{} of {of} datacenters are out of reach at once: this one is probably cut off",
                lost.len()
            ),
            event => tracing::debug!(?event, "event"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hobnob_membership::HeldBack;

    use super::*;

    fn datacenter(name: &str, is_own: bool, bytes: Bytes) -> Datacenter {
        Datacenter {
            id: DatacenterId::named(name),
            name: name.into(),
            is_own,
            alive: 1,
            down: 0,
            gateways: Vec::new(),
            round_trip: None,
            lag: None,
            isolated_since: None,
            out_of_reach_since: None,
            held_back: HeldBack::default(),
            bytes_sent: bytes[0],
            bytes_received: bytes[1],
        }
    }

    #[test]
    fn traffic_is_what_was_added_in_the_last_seconds() {
        let mut traffic = Traffic::default();
        let at = |bytes| [datacenter("eu", true, [9, 9]), datacenter("us", false, bytes)];
        let us = DatacenterId::named("us");
        assert_eq!(traffic.count(&at([1_000, 50]), Time::ZERO), None, "no time has passed");
        assert_eq!(traffic.count(&at([2_000, 60]), Time::from_millis(4_000)), None);
        let rates = traffic.count(&at([6_000, 60]), Time::from_millis(10_000));
        assert_eq!(rates, Some(BTreeMap::from([(us, [500, 1])])));
        let rates = traffic.count(&at([0, 120]), Time::from_millis(20_000));
        assert_eq!(rates, Some(BTreeMap::from([(us, [0, 6])])), "the count began anew");
    }
}
