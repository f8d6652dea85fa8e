//! Instances whose weight falls to nothing.

use hobnob_membership::Time;
use hobnob_membership::record::{Drain, Upkeep};

use super::*;

fn draining(id: &str, elapsed_ms: u64, over_ms: u64) -> Change {
    let change = instance(OTHER, id, InstanceStatus::Healthy);
    let mut instance = (*change.instance).clone();
    let drain = Some(Drain { elapsed_ms, over_ms });
    Arc::make_mut(&mut instance.service).upkeep = Upkeep::new(None, drain);
    Change { instance: Arc::new(instance) }
}

/// Of a thousand picks, those of `a`.
fn picks_of_a(registry: &Registry, scope: &Scope) -> usize {
    let service = registry.service(&web()).expect("the service");
    let scoped = registry.scoped(&service, scope).expect("room");
    service.advance(registry.clock.now().since(Time::ZERO));
    let mut picker = scoped.picker();
    let picks = (0..1_000).filter_map(|_| picker.pick(Strategy::Random, None));
    picks.filter(|pick| *pick.item().id == *"a").count()
}

/// An agent that hears of the drain at its beginning, and one that starts when it is half over, agree.
#[tokio::test(start_paused = true)]
async fn the_share_of_a_draining_instance_falls_alike_on_every_agent() {
    let flat = Scope { prefer: Prefer::Any, ..Scope::default() };
    for scope in [Scope::default(), flat] {
        for elapsed_ms in [0, 5_000] {
            let (registry, mut writer) = registry();
            writer.apply(draining("a", elapsed_ms, 10_000));
            writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
            writer.publish();
            if elapsed_ms == 0 {
                assert!((400..600).contains(&picks_of_a(&registry, &scope)), "{scope:?}");
                tokio::time::sleep(Duration::from_secs(5)).await;
                // Something else changes meanwhile.
                writer.apply(instance(OTHER, "c", InstanceStatus::Unhealthy));
                writer.publish();
            }
            let half = picks_of_a(&registry, &scope);
            assert!((150..400).contains(&half), "{half} of {scope:?} from {elapsed_ms}");
            tokio::time::sleep(Duration::from_secs(4)).await;
            let little = picks_of_a(&registry, &scope);
            assert!((5..120).contains(&little), "{little} of {scope:?} from {elapsed_ms}");
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(picks_of_a(&registry, &scope), 0, "{scope:?} from {elapsed_ms}");

            writer.apply(instance(OTHER, "a", InstanceStatus::Healthy));
            writer.publish();
            let back = picks_of_a(&registry, &scope);
            assert!((400..600).contains(&back), "{back} of {scope:?}: it is back");
        }
    }
}

/// Calls go to it while there is nothing else: its share is one of those that are offered.
#[tokio::test(start_paused = true)]
async fn a_service_whose_clock_nobody_else_needs_gets_one() {
    let (registry, mut writer) = registry();
    let ticking = tokio::spawn(registry.clone().advance());
    writer.apply(draining("a", 0, 1_000));
    writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
    writer.publish();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let service = registry.service(&web()).expect("the service");
    let mut picker = service.whole().picker();
    let picks = (0..100).filter_map(|_| picker.pick(Strategy::Random, None));
    assert!(picks.into_iter().all(|pick| *pick.item().id == *"b"));
    ticking.abort();
}
