//! Watches of a registry that the test writes.

use hobnob_membership::record::Health;
use hobnob_membership::view::Change;
use tokio::time::timeout;

use super::*;
use crate::budget::MAX_CONNECTION_BYTES;
use crate::services::testing::{OTHER, OWN, instance, key, of_service, placed, registry};

/// Longer than anything that a watch waits for by itself.
const LONG: Duration = Duration::from_secs(60);

fn watch(registry: &Arc<Registry>, since: Option<u64>) -> Watch {
    let query = WatchQuery { since, ..WatchQuery::new("web") };
    let allowance = Budget::new(MAX_CONNECTION_BYTES);
    Watch::new(registry.clone(), query, allowance).expect("room")
}

async fn event(watch: &mut Watch) -> Event {
    timeout(LONG, watch.next()).await.expect("an event").expect("room").event
}

fn ids(shown: &[Shown]) -> Vec<&str> {
    shown.iter().map(|shown| shown.entry().id.as_str()).collect()
}

async fn instances(watch: &mut Watch) -> hobnob_api::Instances<Shown> {
    match event(watch).await {
        Event::Instances(instances) => instances,
        event => panic!("{event:?}"),
    }
}

async fn changes(watch: &mut Watch) -> Changes<Shown> {
    match event(watch).await {
        Event::Changes(changes) => changes,
        event => panic!("{event:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_followed_from_before_it_exists_until_after_it_comes_back() {
    let (registry, mut writer) = registry();
    let mut watch = watch(&registry, None);
    assert_eq!(ids(&instances(&mut watch).await.instances), Vec::<&str>::new());
    for status in [InstanceStatus::Healthy, InstanceStatus::Gone, InstanceStatus::Healthy] {
        writer.apply(instance(OWN, "a", status));
        writer.publish();
        let changes = changes(&mut watch).await;
        assert_eq!(changes.revision, registry.revision());
        assert_eq!(changes.instances[0].entry().status, status);
    }
}

/// One thread, as a door with many clients has at worst.
#[tokio::test(start_paused = true)]
async fn requests_go_on_while_many_watches_make_their_first_answers() {
    const SERVICES: usize = 10_000;
    const WATCHES: usize = 20;
    let (registry, mut writer) = registry();
    for n in 0..SERVICES {
        writer.apply(of_service(&format!("service-{n:05}"), &format!("a-{n}")));
    }
    writer.publish();
    let firsts = (0..WATCHES).map(|_| {
        let registry = registry.clone();
        tokio::spawn(async move {
            let allowance = Budget::new(MAX_CONNECTION_BYTES);
            let all = WatchAllQuery::default();
            let mut watch = Watch::all(registry, all, allowance).expect("room");
            let told = instances(&mut watch).await.instances.len();
            assert!(told > 0);
        })
    });
    let firsts: Vec<_> = firsts.collect();
    let mut answered = 0;
    while firsts.iter().any(|first| !first.is_finished()) {
        tokio::task::yield_now().await;
        assert!(registry.service(&key("service-00007")).is_some());
        answered += 1;
    }
    for first in firsts {
        first.await.expect("no panic");
    }
    let slices = 2 * SERVICES / building::SLICE;
    assert!(answered >= slices, "{answered} requests before the last first answer");
}

#[tokio::test(start_paused = true)]
async fn changes_soon_after_one_another_are_told_together() {
    let (registry, mut writer) = registry();
    let mut watch = watch(&registry, None);
    instances(&mut watch).await;
    tokio::time::sleep(LONG).await;
    let writing = tokio::spawn(async move {
        for id in ["a", "b", "c"] {
            writer.apply(instance(OWN, id, InstanceStatus::Healthy));
            writer.publish();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        writer
    });
    let began = Instant::now();
    assert_eq!(ids(&changes(&mut watch).await.instances), ["a"]);
    assert_eq!(began.elapsed(), Duration::ZERO, "the first after a quiet time is told at once");
    assert_eq!(ids(&changes(&mut watch).await.instances), ["b", "c"]);
    assert_eq!(began.elapsed(), COALESCE);
    drop(writing.await.expect("no panic"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_after_a_revision() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let seen = registry.revision();
    writer.apply(instance(OTHER, "b", InstanceStatus::Healthy));
    writer.publish();
    let mut resumed = watch(&registry, Some(seen));
    assert_eq!(ids(&changes(&mut resumed).await.instances), ["b"]);
    let mut current = watch(&registry, Some(registry.revision()));
    assert_eq!(ids(&changes(&mut current).await.instances), Vec::<&str>::new());
    let mut unknown = watch(&registry, Some(seen + 1_000));
    assert_eq!(ids(&instances(&mut unknown).await.instances), ["a", "b"], "of another life");
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_changes_without_its_instance_is_told_also_to_a_resumed_watch() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OTHER, "failing", InstanceStatus::Unhealthy));
    writer.apply(instance(OTHER, "lost", InstanceStatus::Unknown));
    writer.publish();
    let mut watch_all = watch(&registry, None);
    let offers = |shown: &[Shown]| -> Vec<(String, bool)> {
        let offer = |shown: &Shown| (shown.entry().id.to_string(), shown.is_offered());
        shown.iter().map(offer).collect()
    };
    let told = |id: &str, offered| (id.to_owned(), offered);
    let first = instances(&mut watch_all).await.instances;
    assert_eq!(offers(&first), [told("failing", false), told("lost", true)]);
    for (status, is_offered) in
        [(InstanceStatus::Healthy, true), (InstanceStatus::Unhealthy, false)]
    {
        let seen = registry.revision();
        writer.apply(instance(OWN, "a", status));
        writer.publish();
        let expected = [told("a", is_offered), told("lost", !is_offered)];
        let changed = changes(&mut watch_all).await.instances;
        assert_eq!(offers(&changed), expected);
        let mut resumed = watch(&registry, Some(seen));
        assert_eq!(offers(&changes(&mut resumed).await.instances), expected);
    }
    writer.apply(instance(OWN, "b", InstanceStatus::Unhealthy));
    writer.publish();
    let changed = changes(&mut watch_all).await.instances;
    assert_eq!(offers(&changed), [told("b", false)], "and only what changed");
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_some_datacenters_tells_their_instances_and_the_best_of_them_is_offered() {
    let (registry, mut writer) = registry();
    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Healthy));
    writer.apply(placed("far", "dc2", "z1", InstanceStatus::Unknown));
    writer.apply(placed("farther", "dc3", "z1", InstanceStatus::Healthy));
    writer.publish();
    let follow = |since| {
        let datacenter = Datacenters::named(["dc2", "dc4"]).expect("two");
        let query = WatchQuery { since, datacenter, ..WatchQuery::new("web") };
        Watch::new(registry.clone(), query, Budget::new(MAX_CONNECTION_BYTES)).expect("room")
    };
    let told = |shown: &[Shown]| -> Vec<(String, bool, bool)> {
        let look = |shown: &Shown| {
            let is_gone = shown.entry().status == InstanceStatus::Gone;
            (shown.entry().id.to_string(), shown.is_offered(), is_gone)
        };
        shown.iter().map(look).collect()
    };
    let told_of = |id: &str, offered, gone| (id.to_owned(), offered, gone);
    let mut watch = follow(None);
    let first = instances(&mut watch).await.instances;
    assert_eq!(told(&first), [told_of("far", true, false)], "the best there");
    let seen = registry.revision();

    writer.apply(placed("near", "dc1", "z1", InstanceStatus::Unhealthy));
    writer.apply(placed("new", "dc4", "z1", InstanceStatus::Healthy));
    writer.publish();
    let expected = [told_of("new", true, false), told_of("far", false, false)];
    assert_eq!(told(&changes(&mut watch).await.instances), expected, "another grade");
    let resumed = changes(&mut follow(Some(seen))).await.instances;
    assert_eq!(
        told(&resumed),
        [told_of("near", false, true), expected[0].clone(), expected[1].clone()],
        "it forgot whether `near` was there before"
    );

    writer.apply(placed("new", "dc3", "z1", InstanceStatus::Healthy));
    writer.publish();
    let expected = [told_of("new", false, true), told_of("far", true, false)];
    assert_eq!(told(&changes(&mut watch).await.instances), expected, "its node moved away");
    writer.apply(placed("new", "dc3", "z2", InstanceStatus::Healthy));
    writer.publish();
    assert!(timeout(LONG, watch.next()).await.is_err(), "nothing of these datacenters");
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_falls_behind_starts_over() {
    let (registry, mut writer) = registry();
    let mut watch = watch(&registry, None);
    instances(&mut watch).await;
    for _ in 0..5_000 {
        writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    }
    writer.publish();
    assert_eq!(ids(&instances(&mut watch).await.instances), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_of_other_services_and_of_changes_that_no_answer_shows() {
    let (registry, mut writer) = registry();
    writer.apply(instance(OWN, "a", InstanceStatus::Healthy));
    writer.publish();
    let mut watch = watch(&registry, None);
    instances(&mut watch).await;
    writer.apply(of_service("api", "b"));
    let Change { instance } = instance(OWN, "a", InstanceStatus::Healthy);
    let unseen = Instance { health: Health::Failing, ..(*instance).clone() };
    writer.apply(Change { instance: Arc::new(unseen) });
    writer.publish();
    assert!(timeout(LONG, watch.next()).await.is_err());
}
/// Instances that take some two kilobytes each in an answer.
fn large(writer: &mut crate::services::Writer, count: usize, fill: &str) {
    for number in 0..count {
        let change = instance(OWN, &format!("i{number:05}"), InstanceStatus::Healthy);
        let mut large = (*change.instance).clone();
        let meta: Vec<_> = (0..4).map(|key| (format!("k{key}"), fill.repeat(500))).collect();
        let meta = meta.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Arc::make_mut(&mut large.service).meta = meta.collect();
        writer.apply(Change { instance: Arc::new(large) });
    }
    writer.publish();
}

/// The ids that a client knows after the parts of one event, and the revisions of the parts.
async fn all_parts(watch: &mut Watch) -> (Vec<String>, Vec<u64>) {
    let (mut known, mut revisions) = (Vec::new(), Vec::new());
    let now = watch.registry.revision();
    while revisions.last() != Some(&now) {
        let (revision, instances) = match event(watch).await {
            Event::Instances(hobnob_api::Instances { revision, instances, .. }) => {
                known.clear();
                (revision, instances)
            }
            Event::Changes(Changes { revision, instances, .. }) => (revision, instances),
            event => panic!("{event:?}"),
        };
        let bytes: usize = instances.iter().map(Shown::answer_bytes).sum();
        assert!(bytes <= MAX_PART_BYTES);
        known.extend(ids(&instances).into_iter().map(str::to_owned));
        revisions.push(revision);
    }
    (known, revisions)
}

#[tokio::test(start_paused = true)]
async fn more_than_fits_an_answer_is_told_in_parts() {
    const COUNT: usize = 10_000;
    let (registry, mut writer) = registry();
    large(&mut writer, COUNT, "x");
    let mut watch = watch(&registry, None);
    let (known, revisions) = all_parts(&mut watch).await;
    assert_eq!(known.len(), COUNT);
    let (last, before) = revisions.split_last().expect("parts");
    assert!(before.len() > 16 && before.iter().all(|at| *at == UNFINISHED), "{revisions:?}");
    assert_eq!(*last, registry.revision());
    let seen = registry.revision();
    large(&mut writer, 2_000, "y");
    let (changed, revisions) = all_parts(&mut watch).await;
    assert_eq!(changed.len(), 2_000);
    let (last, before) = revisions.split_last().expect("parts");
    assert!(!before.is_empty() && before.iter().all(|at| *at == seen), "{revisions:?}");
    assert_eq!(*last, registry.revision());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_may_hold_no_more_ends_and_gives_everything_back() {
    let (registry, mut writer) = registry();
    large(&mut writer, 100, "x");
    let allowance = Budget::new(WATCH_BYTES + 50 * TOLD_BYTES);
    let query = WatchQuery::new("web");
    let mut watch = Watch::new(registry.clone(), query, allowance.clone()).expect("room");
    assert!(watch.next().await.is_err());
    drop(watch);
    assert_eq!(allowance.held(), 0);
}

async fn told(watch: &mut Watch) -> Told {
    timeout(LONG, watch.next()).await.expect("an event").expect("room")
}

#[tokio::test(start_paused = true)]
async fn a_whole_picture_in_place_of_changes_says_why_and_is_counted() {
    let (registry, mut writer) = registry();
    registry.keep_changes(3);
    let resets = || registry.counters()[4];
    let watch = |since, run: Option<&str>| {
        let run = run.map(str::to_owned);
        let query = WatchAllQuery { since, run, ..WatchAllQuery::default() };
        let allowance = Budget::new(MAX_CONNECTION_BYTES);
        Watch::all(registry.clone(), query, allowance).expect("room")
    };
    let first = registry.revision();
    let mut slow = watch(None, None);
    assert_eq!(told(&mut slow).await.reset, None);
    for id in ["a", "b", "c", "d"] {
        writer.apply(instance(OWN, id, InstanceStatus::Healthy));
    }
    writer.publish();
    assert_eq!(told(&mut slow).await.reset, Some(Reset::FellBehind));
    assert_eq!(told(&mut watch(Some(first), None)).await.reset, Some(Reset::TooOld));
    assert_eq!(resets(), ("watch_resets", 2));
    let other = watch(Some(registry.revision()), Some("another run"));
    assert_eq!(told(&mut { other }).await.reset, Some(Reset::OtherRun));
    let kept = told(&mut watch(Some(first + 1), Some(registry.run()))).await;
    let Event::Changes(kept) = kept.event else { panic!("{kept:?}") };
    // With the first healthy ones, another grade came to be offered, so that all may look different.
    assert_eq!(ids(&kept.instances), ["b", "c", "d", "a"]);
    assert_eq!(resets(), ("watch_resets", 2));
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_all_services_tells_the_end_of_an_instance_that_moved_before_it_comes() {
    let (registry, mut writer) = registry();
    writer.apply(of_service("zoo", "a"));
    writer.publish();
    let allowance = Budget::new(MAX_CONNECTION_BYTES);
    let query = WatchAllQuery::default();
    let mut watch = Watch::all(registry.clone(), query, allowance).expect("room");
    instances(&mut watch).await;
    let before = of_service("zoo", "a").instance;
    let gone = Instance { status: InstanceStatus::Gone, ..(*before).clone() };
    writer.apply(Change { instance: Arc::new(gone) });
    writer.apply(of_service("api", "a"));
    writer.publish();
    let told = changes(&mut watch).await.instances;
    let services = told.iter().map(|shown| shown.entry().service.service.to_string());
    assert_eq!(Vec::from_iter(services), ["zoo", "api"]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_moves_away_and_back_is_told_after_its_end() {
    let (registry, mut writer) = registry();
    writer.apply(of_service("zoo", "a"));
    writer.publish();
    let allowance = Budget::new(MAX_CONNECTION_BYTES);
    let query = WatchAllQuery::default();
    let mut watch = Watch::all(registry.clone(), query, allowance).expect("room");
    instances(&mut watch).await;
    let end = |of: &str| {
        let before = of_service(of, "a").instance;
        let gone = Instance { status: InstanceStatus::Gone, ..(*before).clone() };
        Change { instance: Arc::new(gone) }
    };
    for change in [end("zoo"), of_service("api", "a"), end("api"), of_service("zoo", "a")] {
        writer.apply(change);
    }
    writer.publish();
    let told = changes(&mut watch).await.instances;
    let last = told.last().expect("it is told");
    assert_eq!(&*last.entry().service.service, "zoo");
    assert_eq!(last.entry().status, InstanceStatus::Healthy);
}

/// The instance that speaks for the service, and the threshold that it sets.
fn speaker(settings: Option<ServiceSettings>) -> Option<(Option<String>, Option<u32>)> {
    settings.map(|settings| (settings.instance, settings.balancing.failure_threshold))
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_a_service_are_told_first_and_when_they_change() {
    let (registry, mut writer) = registry();
    let setting = |id: &str, failures: Option<u32>| {
        let Change { instance } = instance(OWN, id, InstanceStatus::Healthy);
        let mut instance = (*instance).clone();
        Arc::make_mut(&mut instance.service).balancing.failure_threshold = failures;
        Change { instance: Arc::new(instance) }
    };
    let says = |id: &str, failures| Some((Some(id.to_owned()), Some(failures)));
    writer.apply(setting("b", Some(7)));
    writer.publish();
    let mut watching = watch(&registry, None);
    assert_eq!(speaker(instances(&mut watching).await.settings), says("b", 7));
    let seen = registry.revision();
    for (id, failures, is_new, told) in [
        ("0", None, true, None),
        ("c", Some(9), true, None),
        ("a", Some(3), true, says("a", 3)),
        ("a", Some(4), false, says("a", 4)),
        ("a", None, false, says("b", 7)),
    ] {
        writer.apply(setting(id, failures));
        writer.publish();
        let changes = changes(&mut watching).await;
        let shown: Vec<&str> = is_new.then_some(id).into_iter().collect();
        assert_eq!((ids(&changes.instances), speaker(changes.settings)), (shown, told));
    }
    // One that resumes is told them, since they may have changed meanwhile.
    let mut resumed = watch(&registry, Some(seen));
    assert_eq!(speaker(changes(&mut resumed).await.settings), says("b", 7));
    for id in ["b", "c"] {
        writer.apply(instance(OWN, id, InstanceStatus::Gone));
    }
    writer.publish();
    for watch in [&mut watching, &mut resumed] {
        assert_eq!(
            changes(watch).await.settings,
            Some(ServiceSettings::default()),
            "nobody speaks"
        );
    }
    let all = WatchAllQuery::default();
    let mut all = Watch::all(registry, all, Budget::new(MAX_CONNECTION_BYTES)).expect("room");
    assert_eq!(instances(&mut all).await.settings, None);
}
