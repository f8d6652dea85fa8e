//! A pick and its completion allocate nothing.

use hobnob_balancer::{Balancer, BreakerConfig, Config, Outcome, OutlierConfig, Strategy, Target};
use std::{sync::Arc, time::Duration};

fn balancer(strategy: Strategy) -> Arc<Balancer<u64>> {
    let config = Config {
        breaker: Some(BreakerConfig::default()),
        outlier: Some(OutlierConfig::default()),
        ..Config::default()
    };
    let balancer = Arc::new(Balancer::new(config));
    let target = |i| Target { id: format!("i-{i}").into(), weight: 1 + i as u32 % 5, item: i };
    balancer.update((0..100).map(target).collect());
    balancer.prepare(strategy);
    balancer
}

#[test]
fn picks_and_completions_allocate_nothing() {
    for failing in [false, true] {
        for &strategy in Strategy::ALL {
            let balancer = balancer(strategy);
            let mut picker = balancer.picker();
            let allocations = allocation_counter::measure(|| {
                for step in 0..2_000_u64 {
                    let key = step.to_le_bytes();
                    let latency = Duration::from_micros(step);
                    if let Some(pick) = picker.pick(strategy, Some(&key)) {
                        let failed = failing && *pick.item() == 7;
                        pick.complete(
                            if failed { Outcome::Failure } else { Outcome::Success },
                            latency,
                        );
                    }
                    drop(picker.pick(strategy, None));
                    if let Some(pick) = picker.pick_ref(strategy, Some(&key)) {
                        pick.complete(Outcome::Success, latency);
                    }
                    picker.choose(strategy, Some(&key));
                    drop(picker.pick_with(|all| (!all.is_empty()).then_some(0)));
                }
            });
            assert_eq!(allocations.count_total, 0, "{strategy}");
        }
    }
}
