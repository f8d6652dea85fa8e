//! Measures the balance: shares, keys moved, and latency with a slow or a failing target, each next to its goal.
//!
//! `cargo run --release -p hobnob-balancer --example quality`

use hobnob_balancer::{
    Balancer, BreakerConfig, Config, Outcome, Pick, Roster, Strategy, Target, hash_key,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    sync::Arc,
    time::Duration,
};

fn main() {
    println!("{:58} {:>10}   goal", "", "measured");
    shares();
    keys_moved();
    slow_target();
    failing_target();
}

fn line(what: &str, measured: f64, goal: &str) {
    println!("{what:58} {measured:>10.4}   {goal}");
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("instance-{i:05}")).collect()
}

fn balancer(count: usize, config: Config, weight: impl Fn(usize) -> u32) -> Arc<Balancer<usize>> {
    let balancer = Arc::new(Balancer::new(config));
    let target =
        |(i, id): (usize, &String)| Target { id: id.as_str().into(), weight: weight(i), item: i };
    balancer.update(ids(count).iter().enumerate().map(target).collect());
    balancer
}

/// Picks `picks` times by a strategy, with a fresh key for each pick. Returns the picks of each target.
fn spread(balancer: &Arc<Balancer<usize>>, strategy: Strategy, picks: u64) -> Vec<f64> {
    let mut picker = balancer.picker();
    let mut counts = vec![0.0; balancer.snapshot().len()];
    for i in 0..picks {
        if let Some(instance) = picker.choose(strategy, Some(&i.to_le_bytes())) {
            counts[*instance.item()] += 1.0;
        }
    }
    counts
}

fn min_over_max(counts: &[f64]) -> f64 {
    counts.iter().copied().fold(f64::MAX, f64::min) / counts.iter().copied().fold(0.0, f64::max)
}

fn max_over_mean(counts: &[f64]) -> f64 {
    counts.iter().copied().fold(0.0, f64::max) * counts.len() as f64 / counts.iter().sum::<f64>()
}

fn slot_counts(slots: &[u16], count: usize) -> Vec<f64> {
    let mut counts = vec![0.0; count];
    slots.iter().for_each(|&index| counts[usize::from(index)] += 1.0);
    counts
}

/// The largest difference between a target's share and its weight, in percent.
fn worst_deviation(counts: &[f64], weight: impl Fn(usize) -> u32) -> f64 {
    let total: f64 = counts.iter().sum();
    let weights: f64 = (0..counts.len()).map(|i| f64::from(weight(i))).sum();
    let deviation =
        |(i, &count): (usize, &f64)| (count * weights / (total * f64::from(weight(i))) - 1.0).abs();
    counts.iter().enumerate().map(deviation).fold(0.0, f64::max) * 100.0
}

fn shares() {
    let even = |count| balancer(count, Config::default(), |_| 1);
    for (count, goal) in [(100, ">= 0.998"), (1_000, ">= 0.98")] {
        let counts = slot_counts(even(count).snapshot().maglev().slots(), count);
        line(&format!("min/max share, maglev, {count} targets"), min_over_max(&counts), goal);
    }
    let counts = slot_counts(even(100).snapshot().rendezvous().slots(), 100);
    line("max/mean share, rendezvous, 100 targets", max_over_mean(&counts), "<= 1.05");
    let counts = spread(&even(100), Strategy::Ring, 1_000_000);
    line("max/mean share, ring, 100 targets", max_over_mean(&counts), "");
    let counts = spread(&even(100), Strategy::RoundRobin, 1_000_000);
    line("min/max share, round robin, 10^6 picks", min_over_max(&counts), ">= 0.999");

    let weight = |i: usize| 1 + i as u32 % 8;
    let weighted = balancer(96, Config::default(), weight);
    let keyed = slot_counts(weighted.snapshot().maglev().slots(), 96);
    line("weights 1 to 8, worst share off by %, maglev", worst_deviation(&keyed, weight), "<= 3");
    let turns = spread(&weighted, Strategy::Weighted, 1_000_000);
    line(
        "weights 1 to 8, worst share off by %, weighted turns",
        worst_deviation(&turns, weight),
        "<= 1",
    );
    let random = spread(&weighted, Strategy::WeightedRandom, 10_000_000);
    line(
        "weights 1 to 8, worst share off by %, weighted random",
        worst_deviation(&random, weight),
        "",
    );

    for count in [10, 100, 1_000] {
        let balancer = even(count);
        let mut picker = balancer.picker();
        let balls: Vec<Pick<usize>> = (0..100 * count)
            .filter_map(|_| picker.pick(Strategy::LeastConnections, None))
            .collect();
        let fullest =
            balancer.snapshot().instances().iter().map(|instance| instance.in_flight()).max();
        let gap = f64::from(fullest.unwrap_or(0)) - 100.0;
        line(&format!("100 n balls into n = {count} bins, max minus mean"), gap, "<= 3");
        drop(balls);
    }
}

fn keys_moved() {
    let all = ids(100);
    for (name, strategy, goal) in [
        ("maglev", Strategy::ConsistentHash, "<= 1.6"),
        ("rendezvous, bounded", Strategy::Rendezvous, "<= 1.05"),
        ("ring", Strategy::Ring, ""),
    ] {
        let before = map(&all, strategy);
        let (mut moved, mut least) = (0, 0);
        for gone in (0..100).step_by(5) {
            let mut rest = all.clone();
            let gone = rest.remove(gone);
            let after = map(&rest, strategy);
            moved += before.iter().zip(&after).filter(|(old, new)| old != new).count();
            least += before.iter().filter(|owner| **owner == gone).count();
        }
        let ratio = moved as f64 / least as f64;
        line(&format!("keys moved when 1 of 100 leaves / least, {name}"), ratio, goal);
    }

    let config = Config { breaker: Some(BreakerConfig::default()), ..Config::default() };
    let balancer = balancer(100, config, |_| 1);
    let mut picker = balancer.picker();
    let mut map = || -> Vec<Option<usize>> {
        let choose = |key: u64| {
            picker.choose(Strategy::ConsistentHash, Some(&key.to_le_bytes())).map(|i| *i.item())
        };
        (0..100_000).map(choose).collect()
    };
    let before = map();
    for _ in 0..5 {
        if let Some(pick) = balancer.picker().pick_with(|_| Some(42)) {
            pick.complete(Outcome::Failure, Duration::from_millis(1));
        }
    }
    let after = map();
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    let least = before.iter().filter(|owner| **owner == Some(42)).count();
    line("keys moved when 1 of 100 circuits opens / least", moved as f64 / least as f64, "1.00");
}

fn map(ids: &[String], strategy: Strategy) -> Vec<String> {
    let roster = Roster::new(ids.iter().map(|id| (id.as_str(), 1)));
    let lookup: Box<dyn Fn(u64) -> Option<usize>> = match strategy {
        Strategy::Rendezvous => {
            let table = hobnob_balancer::Rendezvous::new(&roster);
            Box::new(move |hash| table.get(hash))
        }
        Strategy::Ring => {
            let ring = hobnob_balancer::Ring::new(&roster);
            Box::new(move |hash| ring.get(hash))
        }
        _ => {
            let table = hobnob_balancer::Maglev::new(&roster);
            Box::new(move |hash| table.get(hash))
        }
    };
    let owner = |key: u64| lookup(hash_key(&key.to_le_bytes())).map(|index| ids[index].clone());
    (0..200_000).filter_map(owner).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Odd {
    TenTimesSlow,
    FailsFast,
}

/// The results of one run.
struct Run {
    p99_ms: f64,
    odd_load: f64,
}

/// A request from its arrival to its end.
struct Call {
    arrived_us: u64,
    pick: Pick<usize>,
}

/// A target with some workers and a queue in front of them.
#[derive(Default)]
struct Server {
    busy: usize,
    queue: VecDeque<Call>,
}

/// Targets under load, the first of which is odd.
struct Fleet {
    balancer: Arc<Balancer<usize>>,
    odd: Odd,
    random: fastrand::Rng,
    servers: Vec<Server>,
    /// When calls end, with their numbers.
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    calls: BTreeMap<u64, Call>,
    latencies_us: Vec<u64>,
}

const TARGETS: usize = 100;
const WORKERS: usize = 8;
const SERVICE_US: f64 = 10_000.0;
const LOAD: f64 = 0.6;
const REQUESTS: usize = 400_000;

impl Fleet {
    /// Runs with Poisson arrivals and service times uniform within half of their mean. Latencies include the time in the
    /// queue. The first quarter of the requests warms up and is not counted.
    fn run(strategy: Strategy, odd: Odd) -> Run {
        let balancer = balancer(TARGETS, Config::default(), |_| 1);
        let mut picker = balancer.picker();
        let mut fleet = Self {
            balancer,
            odd,
            random: fastrand::Rng::with_seed(7),
            servers: (0..TARGETS).map(|_| Server::default()).collect(),
            ends: BinaryHeap::new(),
            calls: BTreeMap::new(),
            latencies_us: Vec::new(),
        };
        let gap_us = SERVICE_US / (WORKERS as f64 * TARGETS as f64 * LOAD);
        let (mut arrival_us, mut at_odd) = (0.0, 0.0);
        for request in 0..REQUESTS {
            arrival_us -= gap_us * (1.0 - fleet.random.f64()).ln();
            fleet.advance(arrival_us as u64);
            if request == REQUESTS / 4 {
                fleet.latencies_us.clear();
                at_odd = 0.0;
            }
            if let Some(pick) = picker.pick(strategy, None) {
                at_odd += f64::from(u8::from(*pick.item() == 0));
                fleet.arrive(Call { arrived_us: arrival_us as u64, pick });
            }
        }
        fleet.advance(u64::MAX);
        let latencies_us = &mut fleet.latencies_us;
        latencies_us.sort_unstable();
        Run {
            p99_ms: latencies_us[latencies_us.len() * 99 / 100] as f64 / 1_000.0,
            odd_load: at_odd * TARGETS as f64 / (REQUESTS * 3 / 4) as f64,
        }
    }

    fn arrive(&mut self, call: Call) {
        let target = *call.pick.item();
        if self.servers[target].busy < WORKERS {
            self.servers[target].busy += 1;
            self.serve(call.arrived_us, call);
        } else {
            self.servers[target].queue.push_back(call);
        }
    }

    fn serve(&mut self, now_us: u64, call: Call) {
        let mean_us = match self.odd {
            Odd::TenTimesSlow if *call.pick.item() == 0 => 10.0 * SERVICE_US,
            Odd::FailsFast if *call.pick.item() == 0 => SERVICE_US / 100.0,
            _ => SERVICE_US,
        };
        let end_us = now_us + (mean_us * (0.5 + self.random.f64())) as u64;
        let number = self.calls.last_key_value().map_or(0, |(last, _)| last + 1);
        self.ends.push(Reverse((end_us, number)));
        self.calls.insert(number, call);
    }

    /// Ends every call that is due by a time.
    fn advance(&mut self, now_us: u64) {
        while let Some(&Reverse((end_us, number))) = self.ends.peek()
            && end_us <= now_us
        {
            self.ends.pop();
            self.balancer.advance(Duration::from_micros(end_us));
            if let Some(call) = self.calls.remove(&number) {
                self.end(end_us, call);
            }
        }
        if now_us < u64::MAX {
            self.balancer.advance(Duration::from_micros(now_us));
        }
    }

    fn end(&mut self, now_us: u64, call: Call) {
        let (target, latency_us) = (*call.pick.item(), now_us - call.arrived_us);
        let failed = target == 0 && self.odd == Odd::FailsFast;
        let outcome = if failed { Outcome::Failure } else { Outcome::Success };
        call.pick.complete(outcome, Duration::from_micros(latency_us));
        self.latencies_us.push(latency_us);
        match self.servers[target].queue.pop_front() {
            Some(next) => self.serve(now_us, next),
            None => self.servers[target].busy -= 1,
        }
    }
}

const LOAD_AWARE: [Strategy; 3] =
    [Strategy::LeastConnections, Strategy::PeakEwma, Strategy::HotCold];

fn slow_target() {
    let reference = Fleet::run(Strategy::RoundRobin, Odd::TenTimesSlow).p99_ms;
    line("one of 100 is 10x slow: p99 of round robin in ms", reference, "");
    for strategy in LOAD_AWARE {
        let run = Fleet::run(strategy, Odd::TenTimesSlow);
        let goal = if strategy == Strategy::LeastConnections { "" } else { "<= 0.50" };
        line(
            &format!("one of 100 is 10x slow: p99 / round robin, {strategy}"),
            run.p99_ms / reference,
            goal,
        );
        line(
            &format!("one of 100 is 10x slow: its load / fair share, {strategy}"),
            run.odd_load,
            "",
        );
    }
}

fn failing_target() {
    for strategy in LOAD_AWARE {
        let run = Fleet::run(strategy, Odd::FailsFast);
        line(
            &format!("one of 100 fails fast: its load / fair share, {strategy}"),
            run.odd_load,
            "<= 1.5",
        );
    }
}
