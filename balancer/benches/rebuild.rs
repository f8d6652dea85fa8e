//! The cost of rebuilding a table when a service changes.
//!
//! `cargo bench -p hobnob-balancer --bench rebuild`

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hobnob_balancer::{
    Alias, Balancer, Config, Maglev, Rendezvous, Ring, Roster, Schedule, Strategy, Target,
};
use std::{hint::black_box, sync::Arc, time::Duration};

const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn targets(size: usize, weight: impl Fn(usize) -> u32) -> Vec<Target<usize>> {
    (0..size)
        .map(|i| Target { id: format!("instance-{i:05}").into(), weight: weight(i), item: i })
        .collect()
}

fn rebuild(criterion: &mut Criterion) {
    for size in SIZES {
        let targets = targets(size, |i| 1 + i as u32 % 8);
        let equal = Roster::new(targets.iter().map(|target| (target.id.as_ref(), 1)));
        let weighted =
            Roster::new(targets.iter().map(|target| (target.id.as_ref(), target.weight)));
        let mut bench = |name: &str, roster: &Roster, build: &dyn Fn(&Roster)| {
            let id = BenchmarkId::new(name, size);
            criterion
                .bench_with_input(id, roster, |bencher, roster| bencher.iter(|| build(roster)));
        };
        bench("maglev, equal weights", &equal, &|roster| drop(black_box(Maglev::new(roster))));
        bench("maglev, weights 1 to 8", &weighted, &|roster| drop(black_box(Maglev::new(roster))));
        bench("alias", &weighted, &|roster| drop(black_box(Alias::new(roster))));
        bench("schedule", &weighted, &|roster| drop(black_box(Schedule::new(roster))));
        bench("rendezvous, equal weights", &equal, &|roster| {
            drop(black_box(Rendezvous::new(roster)));
        });
        bench("rendezvous, weights 1 to 8", &weighted, &|roster| {
            drop(black_box(Rendezvous::new(roster)));
        });
        bench("ring", &weighted, &|roster| drop(black_box(Ring::new(roster))));
        let mut ring = hashring_of(&targets);
        criterion.bench_with_input(
            BenchmarkId::new("hashring crate, one more node", size),
            &size,
            |bencher, _| {
                bencher.iter(|| {
                    ring.add("one-more");
                    ring.remove(&"one-more");
                });
            },
        );
        criterion.bench_with_input(
            BenchmarkId::new("update, round robin only", size),
            &targets,
            |bencher, targets| {
                let balancer = Arc::new(Balancer::new(Config::default()));
                bencher.iter(|| balancer.update(targets.clone()));
            },
        );
        criterion.bench_with_input(
            BenchmarkId::new("update, maglev, one leaves", size),
            &targets,
            |bencher, targets| {
                let balancer = Arc::new(Balancer::new(Config::default()));
                balancer.prepare(Strategy::ConsistentHash);
                let mut one_less = false;
                bencher.iter(|| {
                    one_less = !one_less;
                    balancer.update(targets[usize::from(one_less)..].to_vec())
                });
            },
        );
    }
}

fn hashring_of(targets: &[Target<usize>]) -> hashring::HashRing<&str> {
    let mut ring = hashring::HashRing::new();
    targets.iter().for_each(|target| ring.add(target.id.as_ref()));
    ring
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(10);
    targets = rebuild
}
criterion_main!(benches);
