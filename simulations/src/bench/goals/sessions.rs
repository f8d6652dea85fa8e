//! Sessions: what two agents exchange to become equal.

use std::time::Duration;

use hobnob_membership::NodeId;
use hobnob_membership::record::Key;

use super::pair::{Exchange, PairAgent, exchange};
use super::{SectionReport, Setting};
use crate::bench::service;

/// One-way latency.
const LATENCY: Duration = Duration::from_micros(500);
/// The same while a catalog is gathered. It is short, so that no member is silent for long.
const NO_LATENCY: Duration = Duration::from_micros(1);
/// Origins that one collector gathers: about the square root of the largest catalog, so that no agent receives much
/// that it does not need.
const GROUP: usize = 100;
/// The numbers of differing origins, and of sessions for each. Results for few origins vary most.
const DIFFERING: [(usize, usize); 4] = [(1, 20), (10, 10), (100, 3), (1_000, 1)];

fn key(number: usize) -> Key {
    Key::Service(format!("i{number}").into())
}

/// Creates agents with consecutive numbers.
struct Supply {
    next: usize,
    records: usize,
}

impl Supply {
    fn agent(&mut self, records: usize) -> PairAgent {
        self.next += 1;
        PairAgent::new(self.next, (0..records).map(|number| (key(number), service(1))).collect())
    }

    fn origin(&mut self) -> PairAgent {
        self.agent(self.records)
    }
}

/// Gathers the records of many origins in `root`. `seen` receives each origin afterwards.
fn gather(
    root: &mut PairAgent,
    origins: usize,
    supply: &mut Supply,
    report: &mut SectionReport<'_>,
    mut seen: impl FnMut(usize, PairAgent),
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

/// The name of a catalog in measurements.
fn name(origins: usize, records: usize) -> String {
    format!("{} records of {origins} agents", origins * records)
}

pub(super) fn newcomer(setting: &Setting, report: &mut SectionReport<'_>) {
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

pub(super) fn sessions(setting: &Setting, report: &mut SectionReport<'_>) {
    let mut supply = Supply { next: 0, records: 10 };
    let origins = setting.nodes * 10;
    let records = name(origins, supply.records);
    let mut root = supply.agent(0);
    let mut peer = supply.agent(0);
    // Collectors of the changes before each session. The root knows them from the start.
    let mut left = origins / 2;
    let mut batches = DIFFERING.map(|(differing, sessions)| {
        let sessions = sessions.min(left / differing);
        left -= sessions * differing;
        let collectors = || (0..differing.div_ceil(GROUP)).map(|_| supply.agent(0)).collect();
        (
            differing,
            std::iter::repeat_with(collectors).take(sessions).collect::<Vec<Vec<PairAgent>>>(),
        )
    });
    for collector in batches.iter_mut().flat_map(|(_, sessions)| sessions).flatten() {
        exchange(collector, &mut root, NO_LATENCY);
    }
    let gathered = gather(&mut root, origins, &mut supply, report, |number, mut origin| {
        let mut first = 0;
        let sessions = batches.iter_mut().flat_map(|(differing, sessions)| {
            sessions.iter_mut().map(|collectors| (*differing, collectors))
        });
        for (differing, collectors) in sessions {
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
    // Members that are silent for long are declared down, which is chance here. So frames about members are not
    // counted.
    let bytes = |whole: Exchange| (whole.frame_bytes - whole.member_bytes) as f64;
    report.add(format!("session about {records}: all of them"), whole.map(bytes), "B");
    let same = whole.and_then(|_| exchange(&mut peer, &mut root, LATENCY));
    let what = format!("session about {records}: none differs");
    report.add(what, same.map(bytes), "B").goal(64.0);
    for (differing, sessions) in batches.into_iter().filter(|(_, sessions)| !sessions.is_empty()) {
        report.progress(&format!("{differing} differ"));
        let number = sessions.len() as f64;
        let mut costs = Vec::new();
        let (mut goals, mut took) = (0.0, Duration::ZERO);
        for collectors in sessions {
            for mut collector in collectors {
                exchange(&mut collector, &mut root, NO_LATENCY);
            }
            goals += 1.3 * payload(&root, &peer) as f64 + 45.0 * differing as f64 + 64.0;
            let session = same.and_then(|_| exchange(&mut peer, &mut root, LATENCY));
            costs.extend(session.map(bytes));
            took = took.max(session.map_or(Duration::MAX, |session| session.took));
        }
        let note = format!(
            "{number} sessions, of {:.0} to {:.0} B; equal after {:.1} ms at the latest",
            costs.iter().copied().fold(f64::INFINITY, f64::min),
            costs.iter().copied().fold(0.0, f64::max),
            took.as_secs_f64() * 1e3
        );
        let what = format!("session about {records}: {differing} origins differ, on average");
        let mean = (costs.len() as f64 >= number).then(|| costs.iter().sum::<f64>() / number);
        report.add(what, mean, "B").goal(goals / number).note(note);
    }
}

/// Bytes of everything that one agent has and another lacks.
fn payload(from: &PairAgent, to: &PairAgent) -> usize {
    let lacks = |origin: NodeId| {
        let (want, head) = (to.node.catalog().want(origin), from.node.catalog().head(origin)?);
        ((want.epoch, want.after) < (head.epoch, head.known_to)).then_some(want)
    };
    let wants = from.node.catalog().origins().filter_map(|(origin, _)| lacks(origin));
    let deltas = wants.filter_map(|want| from.node.catalog().answer(&want, usize::MAX));
    deltas.map(|delta| delta.encoded_len()).sum()
}
