//! Strong reads and writes between nodes, over streams.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::quorum::{
    Deposit, Entry, Failure, Fence, Image, OpId, Outcome, Place, Provenance, Quorum, Stamp,
    Standing,
};
use hobnob_membership::testing::Network;
use hobnob_membership::{Epoch, Event, NodeId};

const WITHIN: Duration = Duration::from_secs(2);

/// Nodes that take part, with disks that answer at once.
struct Strong {
    net: Network,
    done: BTreeMap<(usize, OpId), Outcome>,
    stored: usize,
}

impl Strong {
    /// Nodes that have joined. The first `taking` of them take part.
    fn new(count: usize, taking: usize) -> Self {
        let mut net = Network::joined(count);
        for n in 0..taking {
            let now = net.now;
            net.nodes[n].begin_strong(Image::default(), Provenance::New, n as u64, now);
            net.flush(n);
        }
        Self { net, done: BTreeMap::new(), stored: 0 }
    }

    fn run(&mut self, time: Duration) {
        let end = self.net.now + time;
        while self.net.now < end {
            self.net.run_for(Duration::from_millis(1));
            for n in 0..self.net.nodes.len() {
                for event in std::mem::take(&mut self.net.events[n]) {
                    match event {
                        Event::StrongStore { ticket, changes } => {
                            self.stored += changes.len();
                            let now = self.net.now;
                            self.net.nodes[n].strong_stored(ticket, now);
                            self.net.flush(n);
                        }
                        Event::StrongDone { op, outcome } => {
                            self.done.insert((n, op), outcome);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn outcome(&mut self, n: usize, op: Result<OpId, Failure>) -> Outcome {
        let op = op.expect("it begins");
        self.net.flush(n);
        for _ in 0..5_000 {
            if let Some(outcome) = self.done.remove(&(n, op)) {
                return outcome;
            }
            self.run(Duration::from_millis(1));
        }
        panic!("an operation is never over");
    }

    fn set_voters(&mut self, n: usize, voters: &[usize]) -> Outcome {
        let voters = voters.iter().map(|voter| self.net.id(*voter)).collect();
        let now = self.net.now;
        let op = self.net.nodes[n].set_voters(voters, false, WITHIN, now);
        self.outcome(n, op)
    }

    fn write(&mut self, n: usize, id: &str) -> Outcome {
        let origin = self.net.id(n);
        let place = Place { service: "s".into(), origin, id: id.into() };
        let stamp = Stamp { epoch: Epoch(1), version: self.net.now.as_micros() };
        let entries = vec![Entry { place, stamp, value: Some(id.as_bytes().into()) }];
        let fence = Some(Fence { origin, epoch: Epoch(1), key: 0 });
        let deposit = Deposit { entries, ends: Vec::new(), fence };
        let now = self.net.now;
        let op = self.net.nodes[n].write_strongly(deposit, WITHIN, now);
        self.outcome(n, op)
    }

    fn read(&mut self, n: usize) -> Outcome {
        let now = self.net.now;
        let op = self.net.nodes[n].read_strongly(&"s".into(), WITHIN, now);
        self.outcome(n, op)
    }

    fn ids(&mut self, n: usize) -> Vec<String> {
        match self.read(n) {
            Outcome::Read(entries) => entries.iter().map(|it| it.place.id.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn cut_off(&mut self, n: usize) {
        for other in 0..self.net.nodes.len() {
            self.net.cut.insert((n.min(other), n.max(other)));
        }
    }
}

#[test]
fn members_read_what_others_wrote_and_all_learn_of_the_voters() {
    let mut strong = Strong::new(5, 5);
    let outcome = strong.set_voters(4, &[0, 1, 2]);
    assert!(matches!(&outcome, Outcome::Changed(it) if it.number == 1), "{outcome:?}");
    assert_eq!(strong.write(4, "a"), Outcome::Written);
    strong.run(Duration::from_secs(1));
    for n in 0..5 {
        let chain = strong.net.nodes[n].strong().and_then(Quorum::chain);
        assert_eq!(chain.map(|chain| chain.installed.number), Some(1), "node {n}");
        assert_eq!(strong.ids(n), ["a"]);
    }
    assert_eq!(strong.net.nodes[1].strong().map(Quorum::standing), Some(Standing::Votes));
    let counters = strong.net.nodes[0].counters();
    assert!(counters.voter_questions_received > 0 && counters.requests_received == 0);
    strong.run(Duration::from_secs(5));
    let sent = strong.net.nodes[0].counters().voter_questions_sent;
    strong.run(Duration::from_secs(30));
    assert_eq!(strong.net.nodes[0].counters().voter_questions_sent, sent, "nothing at rest");
    assert!(strong.stored > 0);
}

#[test]
fn a_cut_of_one_voter_costs_nothing_and_a_cut_of_two_is_no_quorum() {
    let mut strong = Strong::new(5, 5);
    assert!(matches!(strong.set_voters(4, &[0, 1, 2]), Outcome::Changed(_)));
    assert_eq!(strong.write(4, "a"), Outcome::Written);
    strong.cut_off(0);
    assert_eq!(strong.write(4, "b"), Outcome::Written);
    assert_eq!(strong.ids(3), ["a", "b"]);
    strong.cut_off(1);
    let ids = |of: &[usize], net: &Network| of.iter().map(|n| net.id(*n)).collect::<Vec<NodeId>>();
    match strong.read(3) {
        Outcome::Unread(Failure::NoQuorum { answered, silent }) => {
            assert_eq!(answered, ids(&[2], &strong.net));
            assert_eq!(silent, ids(&[0, 1], &strong.net));
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(strong.write(4, "c"), Outcome::Unknown(Failure::NoQuorum { .. })));
    strong.net.cut.clear();
    strong.run(Duration::from_secs(20));
    assert_eq!(strong.ids(0), ["a", "b", "c"]);
}

#[test]
fn a_member_that_takes_no_part_refuses_and_counts_that() {
    let mut strong = Strong::new(4, 3);
    let outcome = strong.set_voters(0, &[1, 2, 3]);
    assert!(matches!(outcome, Outcome::Unknown(Failure::NoQuorum { .. })), "{outcome:?}");
    assert!(strong.net.nodes[3].counters().voter_questions_refused > 0);
    let now = strong.net.now;
    let none = strong.net.nodes[3].read_strongly(&"s".into(), WITHIN, now);
    assert_eq!(none, Err(Failure::NoVoters));
    assert!(matches!(strong.set_voters(0, &[0, 1, 2]), Outcome::Changed(_)));
    strong.run(Duration::from_secs(2));
    assert!(strong.net.is_without_streams(), "a member that refuses is not told again");
}
