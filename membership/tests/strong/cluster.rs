//! Nodes that take part in strong reads and writes, over streams, with disks that answer at once.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::quorum::{
    Deposit, Entry, Failure, Fence, Image, OpId, Outcome, Place, Provenance, Stamp, service_key,
};
use hobnob_membership::record::{Key, ServiceRecord, Value};
use hobnob_membership::testing::{Link, Network, config, identity, web};
use hobnob_membership::{Config, Epoch, Event, Input, Node, Protocol, Time, registering};

pub(crate) const WITHIN: Duration = Duration::from_secs(2);

/// Nodes that take part, with disks that answer at once.
pub(crate) struct Strong {
    pub(crate) net: Network,
    /// What the disk of each node holds.
    pub(crate) disks: Vec<Image>,
    done: BTreeMap<(usize, OpId), Outcome>,
    /// Changes and writes to the disks.
    pub(crate) stored: (usize, usize),
}

impl Strong {
    /// Nodes that have joined. The first `taking` of them take part.
    pub(crate) fn new(count: usize, taking: usize) -> Self {
        Self::of(Network::joined(count), taking)
    }

    /// The same with records of dead origins that are kept for so long.
    pub(crate) fn with_retention(count: usize, retention: Duration) -> Self {
        let node = |n| {
            let protocol = Protocol { retention, ..Protocol::default() };
            Node::new(Config { protocol, ..config(n) }, Time::ZERO).expect("legal records")
        };
        let mut net = Network::new((0..count).map(node).collect(), Link::default(), Time::ZERO);
        for n in 1..count {
            net.handle(n, Input::Join(vec![identity(0).addr]));
        }
        net.run_for(Duration::from_secs(5));
        Self::of(net, count)
    }

    fn of(mut net: Network, taking: usize) -> Self {
        for n in 0..taking {
            let now = net.now;
            net.nodes[n].begin_strong(Image::default(), Provenance::New, n as u64, now);
            net.flush(n);
        }
        let disks = vec![Image::default(); net.nodes.len()];
        Self { net, disks, done: BTreeMap::new(), stored: (0, 0) }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.net.now + time;
        while self.net.now < end {
            self.net.run_for(Duration::from_millis(1));
            for n in 0..self.net.nodes.len() {
                for event in std::mem::take(&mut self.net.events[n]) {
                    match event {
                        Event::StrongStore { ticket, changes } => {
                            self.stored.0 += changes.len();
                            self.stored.1 += 1;
                            for change in &changes {
                                self.disks[n].apply(change);
                            }
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

    pub(crate) fn outcome(&mut self, n: usize, op: Result<OpId, Failure>) -> Outcome {
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

    pub(crate) fn set_voters(&mut self, n: usize, voters: &[usize]) -> Outcome {
        let voters = voters.iter().map(|voter| self.net.id(*voter)).collect();
        let now = self.net.now;
        let op = self.net.nodes[n].set_voters(voters, false, WITHIN, now);
        self.outcome(n, op)
    }

    /// Makes a strong registration of the service `s`.
    pub(crate) fn write(&mut self, n: usize, id: &str) -> Outcome {
        self.register_strongly(n, id, "s")
    }

    /// Writes a register as an early life of a node.
    pub(crate) fn write_long_ago(&mut self, n: usize, id: &str) -> Outcome {
        let origin = self.net.id(n);
        let place = Place { service: "s".into(), origin, id: id.into() };
        let stamp = Stamp { epoch: Epoch(1), version: self.net.now.as_micros() };
        let entries =
            vec![Entry { place, stamp, value: Some(id.as_bytes().into()), elsewhere: None }];
        let fence = Some(Fence { origin, epoch: Epoch(1), key: 0 });
        let deposit = Deposit { entries, ends: Vec::new(), fence };
        let now = self.net.now;
        let op = self.net.nodes[n].write_strongly(deposit, WITHIN, now);
        self.outcome(n, op)
    }

    pub(crate) fn read(&mut self, n: usize, service: &str) -> Outcome {
        let now = self.net.now;
        let service = service_key("default", service);
        let op = self.net.nodes[n].read_strongly(&service, WITHIN, now);
        self.outcome(n, op)
    }

    /// The instances that a node reads.
    pub(crate) fn ids(&mut self, n: usize, service: &str) -> Vec<String> {
        match self.read(n, service) {
            Outcome::Read(entries) => entries.iter().map(|it| it.place.id.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// Registers an instance in the own catalog alone.
    pub(crate) fn register(&mut self, n: usize, id: &str, service: &str) {
        let record = ServiceRecord { service: service.into(), ..web() };
        let (key, value) = registering::definition(&id.into(), record);
        self.net.write(n, vec![(key, Some(value))]);
    }

    pub(crate) fn deregister(&mut self, n: usize, id: &str) {
        self.net.write(n, registering::deregister(&id.into()));
    }

    /// What the own catalog of a node says of an instance.
    pub(crate) fn registered(&self, n: usize, id: &str) -> Option<ServiceRecord> {
        let own = self.net.nodes[n].catalog().origin(self.net.id(n)).and_then(|it| it.current());
        match own?.get(&Key::Service(id.into())) {
            Some(Value::Service(record)) => Some((**record).clone()),
            _ => None,
        }
    }

    /// Asks the voters to keep what the own catalog says of an instance.
    pub(crate) fn keep(&mut self, n: usize, id: &str, formerly: Option<ServiceRecord>) -> Outcome {
        let now = self.net.now;
        let instances = [(id.into(), formerly)];
        let op = self.net.nodes[n].register_strongly(&instances, WITHIN, now);
        self.outcome(n, op)
    }

    /// Makes a strong registration, as an agent does.
    pub(crate) fn register_strongly(&mut self, n: usize, id: &str, service: &str) -> Outcome {
        let formerly = self.registered(n, id);
        self.register(n, id, service);
        self.keep(n, id, formerly)
    }

    pub(crate) fn deregister_strongly(&mut self, n: usize, id: &str) -> Outcome {
        let formerly = self.registered(n, id);
        self.deregister(n, id);
        self.keep(n, id, formerly)
    }

    /// Starts a node again in a later epoch with these instances, each with its service, and with what its disk holds as a voter.
    pub(crate) fn restart(&mut self, n: usize, instances: &[(&str, &str)]) {
        let mut config = config(n);
        config.identity.epoch = self.net.nodes[n].identity().epoch.next();
        config.records = instances
            .iter()
            .map(|(id, service)| {
                let record = ServiceRecord { service: (*service).into(), ..web() };
                registering::definition(&(*id).into(), record)
            })
            .collect();
        let now = self.net.now;
        self.net.nodes[n] = Node::new(config, now).expect("legal records");
        let image = self.disks[n].clone();
        self.net.nodes[n].begin_strong(image, Provenance::Proven, n as u64, now);
        let seeds = (0..self.net.nodes.len()).filter(|other| *other != n);
        let seeds = seeds.map(|other| self.net.nodes[other].identity().addr).collect();
        self.net.handle(n, Input::Join(seeds));
    }

    pub(crate) fn cut_off(&mut self, n: usize) {
        for other in 0..self.net.nodes.len() {
            self.net.cut.insert((n.min(other), n.max(other)));
        }
    }
}
