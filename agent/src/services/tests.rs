//! The registry, written as the driver does and read as a connection does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hobnob_balancer::Strategy;
use hobnob_membership::view::{Change, Instance, InstanceStatus};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::testing::{
    FIRST_REVISION, OTHER, OWN, instance, key, of_service, placed, registry, unchecked, web,
};
use super::{Registry, Scope, ServiceKey, Since, Writer};
use hobnob_api::{CallReport, Datacenters, Grade, Outcome, Prefer};

fn offered(registry: &Registry) -> BTreeSet<String> {
    let service = registry.service(&web()).expect("the service");
    let mut picker = service.whole().picker();
    (0..10)
        .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
        .map(|pick| pick.item().id.to_string())
        .collect()
}

fn ids(since: Since) -> Vec<(String, InstanceStatus)> {
    let Since::Changes { instances, .. } = since else { panic!("forgotten") };
    instances.iter().map(|instance| (instance.id.to_string(), instance.status)).collect()
}

#[tokio::test]
async fn nothing_is_seen_before_it_is_published_and_then_all_of_it() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
    assert!(registry.service(&web()).is_none());
    assert_eq!(registry.revision(), FIRST_REVISION);
    writer.publish();
    assert_eq!(registry.service(&web()).expect("the service").instances().len(), 2);
    assert_eq!(registry.revision(), FIRST_REVISION + 2);
}

#[tokio::test]
async fn a_service_without_instances_is_gone() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    writer.apply(instance(OWN, "a", InstanceStatus::Gone));
    writer.publish();
    assert!(registry.service(&web()).is_none());
    assert!(registry.services().is_empty());
}

#[tokio::test]
async fn the_best_grade_that_is_left_is_offered_whether_or_not_anybody_is_heard() {
    for isolated in [false, true] {
        let (registry, mut writer) = registry();
        writer.set_isolated(isolated);
        let mut after = |change| {
            writer.apply(change);
            writer.publish();
            offered(&registry)
        };
        assert_eq!(after(unchecked("new")), set(&["new"]));
        assert_eq!(after(instance(OTHER, "lost", InstanceStatus::Unknown)), set(&["lost"]));
        assert_eq!(after(instance(OWN, "a", InstanceStatus::Healthy)), set(&["a"]));
        assert_eq!(after(instance(OTHER, "b", InstanceStatus::Healthy)), set(&["a", "b"]));
        assert_eq!(after(instance(OWN, "a", InstanceStatus::Unhealthy)), set(&["b"]));
        assert_eq!(after(instance(OTHER, "b", InstanceStatus::Unknown)), set(&["b", "lost"]));
        assert_eq!(after(instance(OTHER, "b", InstanceStatus::Unhealthy)), set(&["lost"]));
        assert_eq!(after(instance(OTHER, "lost", InstanceStatus::Gone)), set(&["new"]));
        assert_eq!(after(instance(OTHER, "new", InstanceStatus::Unhealthy)), set(&[]));
    }
}

/// What the service says of its offer is what the instances say.
#[tokio::test]
async fn the_grade_of_a_service_is_that_of_its_instances_after_any_changes() {
    let statuses = [
        InstanceStatus::Healthy,
        InstanceStatus::Unknown,
        InstanceStatus::Unhealthy,
        InstanceStatus::Gone,
    ];
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (registry, mut writer) = registry();
        for step in 0..50 {
            let id = ["a", "b", "c"][rng.random_range(0..3)];
            let unanswered = rng.random_bool(0.5).then_some(OTHER);
            let _ = writer.set_unanswered(unanswered.into_iter().collect());
            match statuses.get(rng.random_range(0..=statuses.len())) {
                Some(status) => writer.apply(instance(OTHER, id, *status)),
                None => writer.apply(unchecked(id)),
            }
            writer.publish();
            let Some(service) = registry.service(&web()) else { continue };
            let (instances, offered) = service.offer();
            let grades = instances.values().map(|instance| instance.grade());
            let expected = Grade::offered(grades, false);
            assert_eq!(offered, expected, "seed {seed}, step {step}: {instances:?}");
        }
    }
}

#[tokio::test]
async fn a_reader_is_told_when_other_instances_are_offered_since() {
    let (registry, mut writer) = registry();
    let mut after = |change| {
        let seen = registry.revision();
        writer.apply(change);
        writer.publish();
        (seen, is_regraded(&registry, seen))
    };
    let (first, regraded) = after(instance(OTHER, "lost", InstanceStatus::Unknown));
    assert!(regraded, "something is offered");
    assert!(!after(instance(OTHER, "b", InstanceStatus::Unhealthy)).1);
    let (before, regraded) = after(instance(OWN, "a", InstanceStatus::Healthy));
    assert!(regraded);
    assert!(!after(instance(OTHER, "b", InstanceStatus::Healthy)).1);
    assert!(!after(instance(OWN, "a", InstanceStatus::Unknown)).1, "another one is healthy");
    assert!(is_regraded(&registry, first) && is_regraded(&registry, before));
    assert!(!is_regraded(&registry, before + 1), "it was seen");
}

fn is_regraded(registry: &Registry, since: u64) -> bool {
    let Since::Changes { regraded, .. } = registry.changes_since(&web(), since) else {
        panic!("forgotten")
    };
    regraded
}

#[tokio::test]
async fn changes_since_a_revision_are_the_latest_of_each_instance() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let seen = registry.revision();
    writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
    writer.apply(instance(OWN, "a", InstanceStatus::Unhealthy));
    writer.apply(instance(OTHER, "b", InstanceStatus::Gone));
    writer.publish();
    let expected =
        [("a".to_owned(), InstanceStatus::Unhealthy), ("b".to_owned(), InstanceStatus::Gone)];
    assert_eq!(ids(registry.changes_since(&web(), seen)), expected);
    assert_eq!(ids(registry.changes_since(&web(), registry.revision())), []);
    let other = ServiceKey { service: "api".into(), ..web() };
    assert_eq!(ids(registry.changes_since(&other, seen)), []);
}

#[tokio::test]
async fn revisions_of_another_life_and_forgotten_ones_start_over() {
    let (registry, mut writer) = registry();
    let forgotten = |revision| matches!(registry.changes_since(&web(), revision), Since::Forgotten);
    assert!(forgotten(FIRST_REVISION - 1));
    assert!(forgotten(FIRST_REVISION + 1));
    for _ in 0..5_000 {
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    }
    writer.publish();
    assert!(forgotten(FIRST_REVISION));
    assert!(!forgotten(FIRST_REVISION + 4_999));
}

fn offered_in(registry: &Registry, scope: &Scope) -> BTreeSet<String> {
    let service = registry.service(&web()).expect("the service");
    let scoped = registry.scoped(&service, scope).expect("a selector");
    let mut picker = scoped.picker();
    (0..30)
        .filter_map(|_| picker.pick(Strategy::RoundRobin, None))
        .map(|pick| pick.item().id.to_string())
        .collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
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

fn in_datacenter(n: usize) -> Scope {
    Scope { datacenter: Datacenters::one(format!("dc{n}")), ..Scope::default() }
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
    assert_eq!(registry.counters()[2..], [("scopes_built", 64), ("scopes_evicted", 0)]);
    let held_too = scoped(64);
    assert!(second.upgrade().is_none(), "nobody held it");
    assert!(!first.is_retired());
    scoped(65);
    assert!(first.is_retired(), "all are held, and it is the oldest");
    assert!(!held_too.is_retired() && held.iter().all(|scoped| !scoped.is_retired()));
    assert_eq!(registry.counters()[2..], [("scopes_built", 66), ("scopes_evicted", 2)]);
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

#[tokio::test(start_paused = true)]
async fn a_change_wakes_the_watchers_of_its_service_and_no_others() {
    let (registry, mut writer) = registry();
    let mut of_web = registry.subscribe(web());
    let mut of_api = registry.subscribe(key("api"));
    writer.apply(of_service("web", "a"));
    writer.publish();
    of_web.changed().await;
    let quiet = tokio::time::timeout(Duration::from_secs(60), of_api.changed()).await;
    assert!(quiet.is_err(), "nothing of its service changed");
    let web_again = tokio::time::timeout(Duration::from_secs(60), of_web.changed()).await;
    assert!(web_again.is_err(), "one change wakes once");
    writer.apply(of_service("api", "b"));
    writer.publish();
    of_api.changed().await;
}

#[tokio::test]
async fn a_watched_service_is_not_forgotten_for_the_changes_of_others() {
    let (registry, mut writer) = registry();
    let watching = registry.subscribe(key("api"));
    for _ in 0..5_000 {
        writer.apply(of_service("web", "a"));
    }
    writer.publish();
    assert_eq!(ids(registry.changes_since(&key("api"), FIRST_REVISION)), []);
    drop(watching);
    let unwatched = registry.changes_since(&key("api"), FIRST_REVISION);
    assert!(matches!(unwatched, Since::Forgotten), "it might have changed, for all that is kept");
    let kept = registry.changes_since(&key("api"), FIRST_REVISION + 4_999);
    assert_eq!(ids(kept), []);
}

#[tokio::test]
async fn a_call_counts_as_in_flight_until_it_is_reported_and_a_token_is_used_once() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let pick = service.whole().picker().pick(Strategy::RoundRobin, None).expect("one");
    let token = registry.open_call(&service, pick);
    let in_flight = || service.whole().report().targets[0].in_flight;
    assert_eq!(in_flight(), 1);
    let report = CallReport { token, outcome: Outcome::Failure, latency_us: 5 };
    assert_eq!(registry.close_calls(std::slice::from_ref(&report)), 1);
    assert_eq!((in_flight(), service.whole().report().targets[0].failures), (0, 1));
    assert_eq!(registry.close_calls(&[report]), 0);
}

#[tokio::test]
async fn agents_begin_their_turns_with_different_instances() {
    let mut first = BTreeSet::new();
    for _ in 0..100 {
        let (registry, mut writer) = registry();
        for id in ["a", "b", "c", "d"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
        }
        writer.publish();
        let service = registry.service(&web()).expect("the service");
        let pick = service.whole().picker().pick(Strategy::RoundRobin, None).expect("one");
        first.insert(pick.item().id.to_string());
    }
    assert_eq!(first, set(&["a", "b", "c", "d"]));
}

#[tokio::test]
async fn no_pick_misses_what_a_client_waits_for_however_large_the_service() {
    let (registry, mut writer) = registry();
    for id in 0..1_000 {
        writer.apply(instance(OWN, &format!("i{id}"), InstanceStatus::Healthy));
    }
    writer.publish();
    let service = registry.service(&web()).expect("the service");
    let offered = || service.whole().report().targets.len();
    assert_eq!(offered(), 1_000);
    for more in 1..=20 {
        writer.apply(instance(OWN, &format!("new{more}"), InstanceStatus::Healthy));
        writer.hurry();
        writer.publish();
        assert_eq!(offered(), 1_000 + more);
    }
}

#[tokio::test]
async fn balancers_that_clients_ask_for_count_until_they_are_gone() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let bytes = || registry.counters()[0].1;
    let service = registry.service(&web()).expect("the service");
    assert_eq!(bytes(), 0);
    let scoped = registry.scoped(&service, &in_datacenter(1)).expect("room");
    let bare = bytes();
    assert!(bare > 0);
    for _ in 0..2 {
        registry.reserve(&service, &scoped, Strategy::ConsistentHash).expect("room");
        registry.reserve(&service, &scoped, Strategy::Random).expect("room");
    }
    assert!((100 << 10..300 << 10).contains(&(bytes() - bare)), "{}", bytes());
    service.drop_idle_scopes(&super::ScopeCounters::default());
    assert!(!scoped.is_retired(), "it is held");
    drop(scoped);
    service.drop_idle_scopes(&super::ScopeCounters::default());
    assert_eq!(bytes(), 0);
}
