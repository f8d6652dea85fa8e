//! Scopes: what each of them offers, in which order, and what becomes of those that are too many.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

fn offered_in(registry: &Registry, scope: &Scope) -> BTreeSet<String> {
    let service = registry.service(&web()).expect("the service");
    let scoped = registry.scoped(&service, scope).expect("a selector");
    let mut picker = scoped.picker();
    (0..30)
        .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
        .map(|pick| pick.item().id.to_string())
        .collect()
}

#[tokio::test]
async fn scopes_narrow_and_follow_what_changes() {
    let (registry, mut writer) = registry();
    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
    let close = ["close-1", "close-2", "close-3"];
    for id in close {
        writer.apply(placed(id, "dc1", "z2", InstanceStatus::Healthy));
    }
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Healthy));
    writer.publish();
    let zone = Scope { prefer: Prefer::Zone, ..Scope::default() };
    let datacenter = Scope { prefer: Prefer::Datacenter, ..Scope::default() };
    let dc2 = Scope { datacenter: Datacenters::one("dc2"), ..Scope::default() };
    let tier = Scope { selector: Some("tier in (z2)".into()), ..Scope::default() };
    assert_eq!(offered_in(&registry, &zone), set(&["near"]));
    let whole = set(&["near", "close-1", "close-2", "close-3"]);
    assert_eq!(offered_in(&registry, &datacenter), whole);
    assert_eq!(offered_in(&registry, &dc2), set(&["far"]));
    assert_eq!(offered_in(&registry, &tier), set(&close));

    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Unhealthy));
    writer.publish();
    assert_eq!(offered_in(&registry, &zone), set(&close), "the next layer takes over");
    for id in close {
        writer.apply(placed(id, "dc1", "z2", InstanceStatus::Unhealthy));
    }
    writer.publish();
    assert_eq!(offered_in(&registry, &zone), set(&["far"]));
    assert_eq!(offered_in(&registry, &tier), set(&[]));
}

/// Lets the load move between datacenters, as it does in time.
fn pass_time(registry: &Registry) {
    let service = registry.service(&web()).expect("the service");
    for scope in [Prefer::Zone, Prefer::Datacenter] {
        // A pick brings the balancer up to date.
        offered_in(registry, &Scope { prefer: scope, ..Scope::default() });
    }
    let began = TIME.fetch_add(60, Ordering::Relaxed);
    for second in began..began + 60 {
        service.advance(Duration::from_secs(second));
    }
}

/// Seconds on the clock of balancers, for all tests.
static TIME: AtomicU64 = AtomicU64::new(1);

#[tokio::test(start_paused = true)]
async fn load_that_comes_home_does_so_in_time_and_the_clock_runs_while_it_does() {
    let (registry, mut writer) = registry();
    let ticking = tokio::spawn(registry.clone().advance());
    let mut shares = async |near, after: Duration| {
        writer.apply(placed("near", "dc1", "z1", near));
        writer.apply(placed("far", "dc2", "z1", InstanceStatus::Healthy));
        writer.publish();
        let service = registry.service(&web()).expect("the service");
        registry.refresh(&service, service.whole());
        tokio::time::sleep(after).await;
        let mut picker = service.whole().picker();
        let picks = (0..1_000).filter_map(|_| picker.pick(Strategy::Random, None));
        picks.filter(|pick| pick.item().id.as_str() == "near").count()
    };
    let soon = Duration::from_millis(10);
    assert_eq!(
        shares(InstanceStatus::Healthy, soon).await,
        1_000,
        "the own datacenter is preferred"
    );
    assert_eq!(
        shares(InstanceStatus::Unhealthy, soon).await,
        0,
        "what is not there takes no calls"
    );
    let back = shares(InstanceStatus::Healthy, soon).await;
    assert!((400..600).contains(&back), "its share by weight: {back}");
    assert_eq!(shares(InstanceStatus::Healthy, Duration::from_secs(31)).await, 1_000);
    ticking.abort();
}

#[tokio::test]
async fn a_service_fails_over_in_the_order_that_its_registration_says() {
    let (registry, mut writer) = registry();
    let apply = |writer: &mut Writer, failover: &[&str]| {
        writer.apply(placed("near", "dc1", "z1", InstanceStatus::Unhealthy));
        for datacenter in ["ap", "eu", "us"] {
            for number in 0..10 {
                let id = format!("{datacenter}-{number}");
                let change = placed(&id, datacenter, "", InstanceStatus::Healthy);
                let mut instance = (*change.instance).clone();
                let balancing = &mut Arc::make_mut(&mut instance.service).balancing;
                balancing.failover = failover.iter().map(|name| (*name).into()).collect();
                writer.apply(Change { instance: Arc::new(instance) });
            }
        }
        writer.publish();
        let service = registry.service(&web()).expect("the service");
        let mut picker = service.whole().picker();
        let picks = (0..300).filter_map(|_| picker.pick(Strategy::Random, None));
        let datacenters = picks.map(|pick| pick.item().node.datacenter.to_string());
        datacenters.collect::<BTreeSet<String>>()
    };
    // One of 31 instances is lost, for which any datacenter has room.
    assert_eq!(apply(&mut writer, &[]), set(&["ap", "eu", "us"]), "all are alike");
    assert_eq!(apply(&mut writer, &["us", "eu"]), set(&["us"]));
    assert_eq!(apply(&mut writer, &["eu"]), set(&["eu"]));
}

#[tokio::test]
async fn a_scope_too_many_takes_the_place_of_one_that_nobody_holds() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let scoped = |n| registry.scoped(&service, &in_datacenter(n)).expect("no selector");
    let first = scoped(0);
    let second = Arc::downgrade(&scoped(1));
    let held: Vec<_> = (2..64).map(scoped).collect();
    assert_eq!(registry.counters()[2..4], [("scopes_built", 64), ("scopes_evicted", 0)]);
    let held_too = scoped(64);
    assert!(second.upgrade().is_none(), "nobody held it");
    assert!(!first.is_retired());
    scoped(65);
    assert!(first.is_retired(), "all are held, and it is the oldest");
    assert!(!held_too.is_retired() && held.iter().all(|scoped| !scoped.is_retired()));
    assert_eq!(registry.counters()[2..4], [("scopes_built", 66), ("scopes_evicted", 2)]);
    assert!(Arc::ptr_eq(&held_too, &scoped(64)), "a scope that is known is not built again");
}

#[tokio::test]
async fn a_service_that_goes_retires_its_scopes_also_those_asked_for_later() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let early = registry.scoped(&service, &in_datacenter(1)).expect("no selector");
    writer.apply(instance(OWN, "a", InstanceStatus::Gone));
    writer.publish();
    let late = registry.scoped(&service, &in_datacenter(2)).expect("no selector");
    assert!(early.is_retired() && late.is_retired());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_scope_that_is_made_during_a_publication_misses_none_of_it() {
    for round in 0..200 {
        let (registry, mut writer) = registry();
        writer.apply(placed("first", "dc1", "z1", InstanceStatus::Healthy));
        writer.publish();
        let scope = Scope { datacenter: Datacenters::one("dc1"), ..Scope::default() };
        let asking = {
            let (registry, scope) = (registry.clone(), scope.clone());
            tokio::task::spawn_blocking(move || offered_in(&registry, &scope))
        };
        writer.apply(placed("second", "dc1", "z1", InstanceStatus::Healthy));
        writer.publish();
        asking.await.expect("no panic");
        assert_eq!(offered_in(&registry, &scope), set(&["first", "second"]), "round {round}");
    }
}

#[tokio::test]
async fn each_scope_offers_the_best_that_it_has_and_follows_only_what_concerns_it() {
    let (registry, mut writer) = registry();
    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Unknown));
    writer.publish();
    let near = Scope { datacenter: Datacenters::one("dc1"), ..Scope::default() };
    let far = Scope { datacenter: Datacenters::one("dc2"), ..Scope::default() };
    assert_eq!(offered(&registry), set(&["near"]));
    assert_eq!(offered_in(&registry, &near), set(&["near"]));
    assert_eq!(offered_in(&registry, &far), set(&["far"]), "the last known is all there is");
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Unhealthy));
    writer.publish();
    assert_eq!(offered_in(&registry, &near), set(&["near"]));
    assert_eq!(offered_in(&registry, &far), set(&[]));
    writer.apply(placed("far", "dc1", "z1", InstanceStatus::Healthy));
    writer.publish();
    assert_eq!(offered_in(&registry, &near), set(&["near", "far"]), "it moved into the scope");
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Healthy));
    writer.publish();
    assert_eq!(offered_in(&registry, &near), set(&["near"]), "it moved out of the scope");
}

#[tokio::test]
async fn an_instance_of_a_node_that_does_not_answer_comes_last_of_the_healthy_ones_of_a_scope() {
    let (registry, mut writer) = registry();
    let zone = Scope { prefer: Prefer::Zone, ..Scope::default() };
    let dc1 = Scope { datacenter: Datacenters::one("dc1"), ..Scope::default() };
    writer.apply(placed("lost", "dc3", "z1", InstanceStatus::Unknown));
    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
    for (unanswered, both) in
        [(true, set(&["far"])), (false, set(&["near"])), (true, set(&["far"]))]
    {
        let origins: BTreeSet<_> = unanswered.then_some(OTHER).into_iter().collect();
        assert_eq!(writer.set_unanswered(origins.clone()), [OTHER]);
        assert_eq!(writer.set_unanswered(origins), [], "nothing changed");
        writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
        writer.apply(far(InstanceStatus::Healthy));
        writer.publish();
        pass_time(&registry);
        assert_eq!(offered_in(&registry, &zone), both);
        assert_eq!(offered_in(&registry, &dc1), set(&["near"]), "it is the best there");
        writer.apply(far(InstanceStatus::Gone));
        writer.publish();
        pass_time(&registry);
        assert_eq!(offered_in(&registry, &zone), set(&["near"]), "nothing better is left");
    }
}

/// An instance of this node that is far from it.
fn far(status: InstanceStatus) -> Change {
    let change = placed("far", "dc2", "z1", status);
    Change { instance: Arc::new(Instance { origin: OWN, ..(*change.instance).clone() }) }
}

#[tokio::test]
async fn a_healthy_instance_far_away_comes_before_one_nearby_that_was_healthy_once() {
    let (registry, mut writer) = registry();
    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Unknown));
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Healthy));
    writer.publish();
    let zone = Scope { prefer: Prefer::Zone, ..Scope::default() };
    assert_eq!(offered_in(&registry, &zone), set(&["far"]));
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Unknown));
    writer.publish();
    pass_time(&registry);
    assert_eq!(offered_in(&registry, &zone), set(&["near"]), "of the same grade, the near one");
}

#[tokio::test]
async fn the_tables_of_more_layers_take_the_place_of_those_of_fewer() {
    let (registry, mut writer) = registry();
    let scope = Scope { prefer: Prefer::Zone, ..Scope::default() };
    let bytes = || registry.counters()[0].1;
    let (mut bare, mut reserved) = (0, Vec::new());
    for id in ["a", "b", "c"] {
        writer.apply(placed(id, &format!("dc-{id}"), "z1", InstanceStatus::Healthy));
        writer.publish();
        let service = registry.service(&web()).expect("the service");
        let scoped = registry.scoped(&service, &scope).expect("room");
        if reserved.is_empty() {
            bare = bytes();
        }
        registry.reserve(&service, &scoped, Strategy::ConsistentHash).expect("room");
        reserved.push(bytes() - bare);
    }
    let [one, two, three] = reserved[..] else { panic!("{reserved:?}") };
    assert!(one > 0);
    assert_eq!((two, three), (2 * one, 3 * one));
}
