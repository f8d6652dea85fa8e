//! A few nodes, messages that arrive in order after a millisecond, and disks that answer at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hobnob_membership::quorum::{
    Change, Deposit, Entry, Failure, Fence, Image, Message, OpId, Outcome, Output, Place,
    Provenance, Quorum, Stamp,
};
use hobnob_membership::{Epoch, NodeId, Time};

pub(crate) const WITHIN: Duration = Duration::from_secs(2);

pub(crate) struct Network {
    pub(crate) nodes: BTreeMap<NodeId, Quorum>,
    pub(crate) disks: BTreeMap<NodeId, Vec<Change>>,
    /// Nodes that nothing reaches.
    pub(crate) cut: BTreeSet<NodeId>,
    /// Nodes whose disks do not answer.
    pub(crate) stuck: BTreeSet<NodeId>,
    wire: Vec<(NodeId, NodeId, Message)>,
    pub(crate) outcomes: BTreeMap<(NodeId, OpId), Outcome>,
    pub(crate) now: Time,
    pub(crate) messages: usize,
}

pub(crate) fn n(number: u64) -> NodeId {
    NodeId(number)
}

impl Network {
    /// Nodes 1 to `count`, without voters.
    pub(crate) fn new(count: u64) -> Self {
        let mut this = Self {
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            cut: BTreeSet::new(),
            stuck: BTreeSet::new(),
            wire: Vec::new(),
            outcomes: BTreeMap::new(),
            now: Time::from_millis(1),
            messages: 0,
        };
        (1..=count).for_each(|node| this.start(n(node), false));
        this
    }

    /// Nodes with the first three as voters, which all of them know.
    pub(crate) fn with_voters(count: u64) -> Self {
        let mut this = Self::new(count);
        assert!(matches!(this.set_voters(1, &[1, 2, 3]), Outcome::Changed(_)));
        let chain = this.nodes[&n(1)].chain().cloned().expect("there are voters");
        for node in 1..=count {
            this.node(node).learn(&chain, Time::from_millis(1));
        }
        this.run(Duration::from_millis(50));
        this
    }

    /// Starts a node with what is on its disk.
    pub(crate) fn start(&mut self, node: NodeId, is_proven: bool) {
        let unproven = if is_proven { Provenance::Proven } else { Provenance::Unproven };
        let is_new = self.now == Time::from_millis(1);
        self.start_as(node, if is_new { Provenance::New } else { unproven });
    }

    pub(crate) fn start_as(&mut self, node: NodeId, provenance: Provenance) {
        let mut image = Image::default();
        for change in self.disks.entry(node).or_default() {
            image.apply(change);
        }
        let quorum = Quorum::new(node, image, provenance, node.0 + self.now.as_micros(), self.now);
        self.nodes.insert(node, quorum);
    }

    pub(crate) fn node(&mut self, node: u64) -> &mut Quorum {
        self.nodes.get_mut(&n(node)).expect("it runs")
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + Duration::from_millis(1);
            let now = self.now;
            for (from, to, message) in std::mem::take(&mut self.wire) {
                if self.cut.contains(&from) || self.cut.contains(&to) {
                    continue;
                }
                self.messages += 1;
                let message = Message::decode(&message.encode()).expect("it is read as written");
                if let Some(quorum) = self.nodes.get_mut(&to) {
                    quorum.handle(from, message, now);
                }
            }
            for (node, quorum) in &mut self.nodes {
                if quorum.next_deadline().is_some_and(|due| due <= now) {
                    quorum.handle_deadline(now);
                }
                while let Some(output) = quorum.poll_output() {
                    match output {
                        Output::Send { to, message } => self.wire.push((*node, to, message)),
                        Output::Store { ticket, changes } => {
                            if !self.stuck.contains(node) {
                                self.disks.entry(*node).or_default().extend(changes);
                                quorum.stored(ticket, now);
                            }
                        }
                        Output::Done { op, outcome } => {
                            self.outcomes.insert((*node, op), outcome);
                        }
                        Output::Learned(_) => {}
                    }
                }
            }
        }
    }

    /// Runs until an operation is over.
    pub(crate) fn outcome(&mut self, node: u64, op: OpId) -> Outcome {
        for _ in 0..10_000 {
            if let Some(outcome) = self.outcomes.remove(&(n(node), op)) {
                return outcome;
            }
            self.run(Duration::from_millis(1));
        }
        panic!("an operation is never over");
    }

    pub(crate) fn set_voters(&mut self, node: u64, voters: &[u64]) -> Outcome {
        let voters = voters.iter().copied().map(n).collect();
        let now = self.now;
        let op = self.node(node).set_voters(voters, false, WITHIN, now).expect("it begins");
        self.outcome(node, op)
    }

    pub(crate) fn read(&mut self, node: u64, service: &str) -> Outcome {
        let now = self.now;
        let op = self.node(node).read(&service.into(), WITHIN, now).expect("it begins");
        self.outcome(node, op)
    }

    /// The ids that a read tells.
    pub(crate) fn ids(&mut self, node: u64, service: &str) -> Vec<String> {
        match self.read(node, service) {
            Outcome::Read(entries) => entries.iter().map(|it| it.place.id.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn write(&mut self, node: u64, deposit: Deposit) -> Outcome {
        let now = self.now;
        let op = self.node(node).write(deposit, WITHIN, now).expect("it begins");
        self.outcome(node, op)
    }
}

/// A write of one register of the service `s`.
pub(crate) fn deposit(origin: u64, epoch: u64, version: u64, id: &str, lives: bool) -> Deposit {
    let place = Place { service: "s".into(), origin: n(origin), id: id.into() };
    let stamp = Stamp { epoch: Epoch(epoch), version };
    let value = lives.then(|| format!("{id} {version}").into_bytes().into());
    let fence = Some(Fence { origin: n(origin), epoch: Epoch(epoch), key: 7 });
    Deposit {
        entries: vec![Entry { place, stamp, value, elsewhere: None }],
        ends: Vec::new(),
        fence,
    }
}

pub(crate) fn is_no_quorum(failure: &Failure, heard: &[u64], unheard: &[u64]) -> bool {
    let nodes = |nodes: &[u64]| nodes.iter().copied().map(n).collect::<Vec<_>>();
    let (answered, silent) = (nodes(heard), nodes(unheard));
    *failure == Failure::NoQuorum { answered, silent }
}
