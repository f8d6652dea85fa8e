//! The cost of a pick, beside the floor of `targets[counter.fetch_add(1) % n]` and the `hashring` crate, in one run.
//!
//! `cargo bench -p hobnob-balancer --bench pick` prints Criterion's report and then every cost as a multiple of the floor.

use criterion::{BenchmarkId, Criterion};
use hobnob_balancer::{Balancer, BreakerConfig, Config, Outcome, Picker, Strategy, Target};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    hint::black_box,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

const SIZES: [usize; 3] = [10, 100, 1000];
const KEYS: usize = 1024;

/// Samples with fewer operations are not counted: two threads would hardly overlap.
const ENOUGH: u64 = 100_000;

/// The times per operation of each benchmark, in nanoseconds.
#[derive(Default)]
struct Costs(RefCell<BTreeMap<(String, usize), Vec<f64>>>);

impl Costs {
    fn note(&self, name: &str, size: usize, elapsed: Duration, operations: u64) {
        if operations >= ENOUGH {
            let cost = elapsed.as_secs_f64() * 1e9 / operations as f64;
            self.0.borrow_mut().entry((name.into(), size)).or_default().push(cost);
        }
    }

    fn median(&self, name: &str, size: usize) -> Option<f64> {
        let mut costs = self.0.borrow().get(&(name.into(), size))?.clone();
        costs.sort_by(f64::total_cmp);
        Some(costs[costs.len() / 2])
    }

    fn print(&self) {
        let costs = self.0.borrow();
        println!(
            "\n{:34} {:>24} {:>24} {:>24}",
            "times the floor (ns)", "N = 10", "N = 100", "N = 1000"
        );
        let mut names: Vec<&String> = costs.keys().map(|(name, _)| name).collect();
        names.dedup();
        for name in names {
            print!("{name:34}");
            for size in SIZES {
                let floor = self.median("floor", size).unwrap_or(f64::NAN);
                match self.median(name, size) {
                    Some(cost) => print!(" {:>15.2} ({cost:>5.1})", cost / floor),
                    None => print!(" {:>24}", "-"),
                }
            }
            println!();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark measures time"
)]
fn timed(work: impl FnOnce()) -> Duration {
    let start = std::time::Instant::now();
    work();
    start.elapsed()
}

fn balancer(size: usize, config: Config, weight: impl Fn(usize) -> u32) -> Arc<Balancer<u64>> {
    let balancer = Arc::new(Balancer::new(config));
    let target = |i: usize| Target {
        id: format!("instance-{i:05}").into(),
        weight: weight(i),
        item: i as u64,
    };
    balancer.update((0..size).map(target).collect());
    balancer
}

fn keys() -> Vec<[u8; 16]> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..KEYS).map(|_| random.u128(..).to_le_bytes()).collect()
}

fn bench(
    criterion: &mut Criterion,
    costs: &Costs,
    name: &str,
    size: usize,
    mut operation: impl FnMut(),
) {
    criterion.bench_with_input(BenchmarkId::new(name, size), &size, |bencher, _| {
        bencher.iter_custom(|operations| {
            let elapsed = timed(|| (0..operations).for_each(|_| operation()));
            costs.note(name, size, elapsed, operations);
            elapsed
        });
    });
}

/// Runs all the operations on each of two threads at once, and notes the cost of one operation to one thread.
fn bench_two_threads<P: Send>(
    criterion: &mut Criterion,
    costs: &Costs,
    name: &str,
    size: usize,
    pickers: &mut [P; 2],
    operation: impl Fn(&mut P) + Sync,
) {
    let name = format!("{name}, 2 threads");
    criterion.bench_with_input(BenchmarkId::new(&name, size), &size, |bencher, _| {
        bencher.iter_custom(|operations| {
            let barrier = Barrier::new(2);
            let (barrier, operation) = (&barrier, &operation);
            let elapsed = std::thread::scope(|scope| {
                let threads = pickers.each_mut().map(|picker| {
                    scope.spawn(move || {
                        barrier.wait();
                        timed(|| (0..operations).for_each(|_| operation(picker)))
                    })
                });
                threads.map(|thread| thread.join().unwrap_or_default()).into_iter().max()
            });
            let elapsed = elapsed.unwrap_or_default();
            costs.note(&name, size, elapsed, operations);
            elapsed
        });
    });
}

fn peers(criterion: &mut Criterion, costs: &Costs, size: usize) {
    let items: Vec<u64> = (0..size as u64).collect();
    let counter = AtomicUsize::new(0);
    let floor = || {
        black_box(items[counter.fetch_add(1, Relaxed) % black_box(items.len())]);
    };
    bench(criterion, costs, "floor", size, floor);
    bench_two_threads(criterion, costs, "floor", size, &mut [(), ()], |()| floor());

    let mut ring = hashring::HashRing::new();
    (0..size as u64).for_each(|node| ring.add(node));
    let keys = keys();
    let mut next = 0;
    bench(criterion, costs, "hashring crate", size, || {
        next = (next + 1) % KEYS;
        black_box(ring.get(&keys[next]));
    });
}

/// The choice alone: snapshot access, strategy and item.
fn choices(criterion: &mut Criterion, costs: &Costs, size: usize) {
    let equal = balancer(size, Config::default(), |_| 1);
    let mut picker = equal.picker();
    bench(criterion, costs, "least-connections, equal weights", size, || {
        black_box(picker.choose(Strategy::LeastConnections, None).map(|instance| *instance.item()));
    });
    let balancer = balancer(size, Config::default(), |i| 1 + i as u32 % 8);
    let keys = keys();
    for &strategy in Strategy::ALL {
        let keyed = strategy.is_keyed();
        let choose = |(picker, next): &mut (Picker<u64>, usize)| {
            let key = keyed.then(|| {
                *next = (*next + 1) % KEYS;
                &keys[*next][..]
            });
            black_box(picker.choose(strategy, key).map(|instance| *instance.item()));
        };
        let mut pickers = [(balancer.picker(), 0), (balancer.picker(), 0)];
        bench(criterion, costs, strategy.name(), size, || choose(&mut pickers[0]));
        let by_threads =
            [Strategy::RoundRobin, Strategy::Random, Strategy::Weighted, Strategy::ConsistentHash];
        if by_threads.contains(&strategy) {
            bench_two_threads(criterion, costs, strategy.name(), size, &mut pickers, choose);
        }
    }
}

/// The whole pick: in-flight guard, breaker, outcome and latency.
fn picks(criterion: &mut Criterion, costs: &Costs, size: usize) {
    let config = Config { breaker: Some(BreakerConfig::default()), ..Config::default() };
    let balancer = balancer(size, config, |_| 1);
    for strategy in
        [Strategy::RoundRobin, Strategy::LeastConnections, Strategy::PeakEwma, Strategy::HotCold]
    {
        let mut picker = balancer.picker();
        let mut now_us = 0;
        bench(criterion, costs, &format!("{strategy}, borrowed, feedback"), size, || {
            now_us += 1;
            if now_us % 16 == 0 {
                balancer.advance(Duration::from_micros(now_us));
            }
            if let Some(pick) = picker.pick_ref(strategy, None) {
                black_box(pick.item());
                pick.complete(Outcome::Success, Duration::from_micros(1000 + now_us % 16));
            }
        });
        bench(criterion, costs, &format!("{strategy}, owned, feedback"), size, || {
            now_us += 1;
            if now_us % 16 == 0 {
                balancer.advance(Duration::from_micros(now_us));
            }
            if let Some(pick) = picker.pick(strategy, None) {
                black_box(pick.item());
                pick.complete(Outcome::Success, Duration::from_micros(1000 + now_us % 16));
            }
        });
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .sample_size(20)
        .configure_from_args();
    let costs = Costs::default();
    for size in SIZES {
        peers(&mut criterion, &costs, size);
        choices(&mut criterion, &costs, size);
        picks(&mut criterion, &costs, size);
    }
    costs.print();
    criterion.final_summary();
}
