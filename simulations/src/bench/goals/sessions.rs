//! What two agents say to each other to become equal.

use std::time::Duration;

use hobnob_membership::record::{Balancing, Key, ServiceRecord, Tags, Value};
use hobnob_membership::{NodeId, wire};

use super::desk::{Agent, Exchange, exchange};
use super::{Report, Setting};

/// One way between two agents.
const LATENCY: Duration = Duration::from_micros(500);
/// The same while a catalog is gathered: its members must not have been silent for long when it is done.
const NO_LATENCY: Duration = Duration::from_micros(1);
/// Agents that one collector gathers: the root of the most, so that no agent hears much that it does not need.
const GROUP: usize = 100;
/// Origins that differ.
const DIFFERING: [usize; 4] = [1, 10, 100, 1_000];

fn service(port: u16) -> Value {
    let record = ServiceRecord {
        service: "bench".into(),
        namespace: "default".into(),
        address: "10.0.0.1".into(),
        port,
        tags: Tags::default(),
        meta: [("version", "1.2.3")].into(),
        weight: 1,
        checked: false,
        balancing: Balancing::default(),
    };
    Value::Service(record.into())
}

fn key(number: usize) -> Key {
    Key::Service(format!("i{number}").into())
}

/// Hands out agents.
struct Supply {
    next: usize,
    records: usize,
}

impl Supply {
    fn agent(&mut self, records: usize) -> Agent {
        self.next += 1;
        Agent::new(self.next, (0..records).map(|number| (key(number), service(1))).collect())
    }

    fn origin(&mut self) -> Agent {
        self.agent(self.records)
    }
}

/// An agent that holds all records of many others. `seen` is handed each of them when it has told what it has.
fn gather(
    root: &mut Agent,
    origins: usize,
    supply: &mut Supply,
    report: &mut Report<'_>,
    mut seen: impl FnMut(usize, Agent),
) -> Option<()> {
    let mut number = 0;
    while number < origins {
        let mut collector = supply.agent(0);
        for _ in 0..GROUP.min(origins - number) {
            let mut origin = supply.origin();
            exchange(&mut origin, &mut collector, NO_LATENCY)?;
            seen(number, origin);
            number += 1;
        }
        exchange(&mut collector, root, NO_LATENCY)?;
        report.progress(&format!("gathered {number} of {origins} agents"));
    }
    Some(())
}

/// What the first part of a measured session is called.
fn name(origins: usize, records: usize) -> String {
    format!("{} records of {origins} agents", origins * records)
}

pub(super) fn newcomer(setting: &Setting, report: &mut Report<'_>) {
    let mut supply = Supply { next: 0, records: 100 };
    let what = format!("a newcomer learns {}", name(setting.nodes, supply.records));
    let mut root = supply.agent(0);
    let gathered = gather(&mut root, setting.nodes, &mut supply, report, |_, _| {});
    let mut newcomer = supply.agent(0);
    let whole = gathered.and_then(|()| exchange(&mut newcomer, &mut root, LATENCY));
    let note = whole.map_or(String::new(), |whole| {
        format!("from one peer, links of 0.5 ms and 1 Gbit/s; {} B", whole.frame_bytes)
    });
    report.add(what, whole.map(|whole| whole.took.as_secs_f64()), "s").note(note);
}

pub(super) fn sessions(setting: &Setting, report: &mut Report<'_>) {
    let mut supply = Supply { next: 0, records: 10 };
    let origins = setting.nodes * 10;
    let records = name(origins, supply.records);
    let mut root = supply.agent(0);
    let mut peer = supply.agent(0);
    let differing: Vec<usize> = DIFFERING.into_iter().filter(|d| *d * 2 <= origins).collect();
    // For each number of origins that differ, collectors of their changes that the root knows from the start.
    let mut changed: Vec<Vec<Agent>> = differing
        .iter()
        .map(|differing| (0..differing.div_ceil(GROUP)).map(|_| supply.agent(0)).collect())
        .collect();
    for collector in changed.iter_mut().flatten() {
        exchange(collector, &mut root, NO_LATENCY);
    }
    let gathered = gather(&mut root, origins, &mut supply, report, |number, mut origin| {
        // The first one belongs to the first measurement, the next ten to the second, and so on.
        let mut first = 0;
        for (differing, collectors) in differing.iter().zip(&mut changed) {
            if (first..first + differing).contains(&number) {
                origin.write(key(0), service(2));
                let collector = &mut collectors[(number - first) / GROUP];
                exchange(&mut origin, collector, NO_LATENCY);
                return;
            }
            first += differing;
        }
    });
    let whole = gathered.and_then(|()| exchange(&mut peer, &mut root, LATENCY));
    let bytes = |whole: Exchange| whole.frame_bytes as f64;
    report.add(format!("session about {records}: all of them"), whole.map(bytes), "B");
    let same = whole.and_then(|_| exchange(&mut peer, &mut root, LATENCY));
    let what = format!("session about {records}: none differs");
    report.add(what, same.map(bytes), "B").goal(64.0);
    for (differing, collectors) in differing.iter().zip(changed) {
        report.progress(&format!("{differing} differ"));
        for mut collector in collectors {
            exchange(&mut collector, &mut root, NO_LATENCY);
        }
        let payload = payload(&root, &peer);
        let session = same.and_then(|_| exchange(&mut peer, &mut root, LATENCY));
        let goal = 1.3 * payload as f64 + 45.0 * *differing as f64 + 64.0;
        let note = session.map_or(String::new(), |session| {
            format!("payload {payload} B; equal after {:.1} ms", session.took.as_secs_f64() * 1e3)
        });
        let what = format!("session about {records}: {differing} origins differ");
        report.add(what, session.map(bytes), "B").goal(goal).note(note);
    }
}

/// Bytes of everything that one agent has and another lacks.
fn payload(from: &Agent, to: &Agent) -> usize {
    let lacks = |origin: NodeId| {
        let (want, head) = (to.node.catalog().want(origin), from.node.catalog().head(origin)?);
        ((want.epoch, want.after) < (head.epoch, head.known_to)).then_some(want)
    };
    let wants = from.node.catalog().origins().filter_map(|(origin, _)| lacks(origin));
    let deltas = wants.filter_map(|want| from.node.catalog().answer(&want, usize::MAX));
    deltas
        .filter_map(|delta| wire::to_bytes(&delta, usize::MAX).ok())
        .map(|bytes| bytes.len())
        .sum()
}
