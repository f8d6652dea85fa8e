//! Tests of links, losses and isolation: a driver with a node of a simulated network.

use hobnob_api::{EventKind, Grade};
use hobnob_membership::detector::LinkEnd;
use hobnob_membership::record::Key;
use hobnob_membership::testing::{Network, identity, instance};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Event, NodeId};

use super::super::losses::HeldLoss;
use super::super::*;
use crate::history::Asked;
use crate::services::{Instances, Registry};
use crate::storage::HistoryFiles;
use crate::storage::fake_disk::FakeDisk;
use crate::testing::IdleDriver;

const SECOND: Duration = Duration::from_secs(1);

/// A node of the network, in the hands of a driver when somebody looks.
struct Seen {
    net: Network,
    n: usize,
    driver: Driver,
    registry: Arc<Registry>,
}

impl Seen {
    async fn of(net: Network, n: usize) -> Self {
        let idle = IdleDriver::restored(n as u64, Vec::new(), OwnChecks::default()).await;
        Self { net, n, driver: idle.driver, registry: idle.registry }
    }

    /// Lets the driver show and tell what happens within this time.
    async fn show_after(&mut self, time: Duration) {
        let Self { net, n, driver, .. } = self;
        net.run_for(time);
        tokio::time::advance(net.now.since(driver.clock.now())).await;
        std::mem::swap(&mut driver.node, &mut net.nodes[*n]);
        net.events[*n].drain(..).for_each(|event| driver.take_event(event));
        driver.drain();
        std::mem::swap(&mut driver.node, &mut net.nodes[*n]);
    }

    /// The instances of the one service, and the grade that is offered.
    async fn look_after(&mut self, time: Duration) -> (Instances, Option<Grade>) {
        self.show_after(time).await;
        self.registry.services().values().next().expect("the service").offer()
    }
}

fn grades(instances: &Instances) -> Vec<(&str, Option<Grade>)> {
    instances.values().map(|one| (one.id.as_str(), one.grade())).collect()
}

#[tokio::test(start_paused = true)]
async fn an_instance_behind_a_broken_link_comes_last_until_its_agent_answers_again() {
    const HEALTHY: Option<Grade> = Some(Grade::Healthy);
    const UNANSWERED: Option<Grade> = Some(Grade::Unanswered);
    let mut net = Network::joined(7);
    for (n, id) in [(5, "b"), (6, "a")] {
        net.write(n, instance(id));
    }
    net.run_for(5 * SECOND);
    assert!(net.is_converged());
    let far = identity(6).node_id;
    let monitor = (0..5).find(|n| net.nodes[*n].last_answer(far).is_some()).expect("a monitor");
    let mut seen = Seen::of(net, monitor).await;
    let (before, offered) = seen.look_after(SECOND).await;
    assert_eq!((grades(&before), offered), (vec![("a", HEALTHY), ("b", HEALTHY)], HEALTHY));
    let revision = seen.registry.revision();

    seen.net.cut.insert((monitor, 6));
    seen.look_after(4 * SECOND).await;
    assert_eq!(seen.registry.revision(), revision, "these may be a few losses");
    let (cut, offered) = seen.look_after(3 * SECOND).await;
    assert_eq!((grades(&cut), offered), (vec![("a", UNANSWERED), ("b", HEALTHY)], HEALTHY));
    let b = ("b".into(), identity(5).node_id);
    assert!(Arc::ptr_eq(&before[&b], &cut[&b]), "nothing was learned of it");
    seen.look_after(20 * SECOND).await;
    // That its own link is broken is a change of the member, with a number of the same sequence.
    assert_eq!(seen.registry.revision(), revision + 2, "each is told once");

    seen.net.write(5, vec![(Key::Service("b".into()), None)]);
    let (left, offered) = seen.look_after(SECOND).await;
    assert_eq!((grades(&left), offered), (vec![("a", UNANSWERED)], UNANSWERED));
    seen.net.cut.clear();
    let (after, offered) = seen.look_after(3 * SECOND).await;
    assert_eq!((grades(&after), offered), (vec![("a", HEALTHY)], HEALTHY));
}

/// A history in memory.
fn history() -> History {
    let (history, keeper) = History::open(HistoryFiles::open(Box::new(FakeDisk::new())));
    tokio::spawn(keeper.run());
    history
}

/// What the history tells of members, and why.
async fn told(history: &History) -> Vec<(EventKind, Option<String>)> {
    let asked = Asked { limit: usize::MAX, ..Asked::default() };
    let events = history.find(asked).await.expect("it runs").events;
    events.iter().map(|event| (EventKind::of_word(&event.what), event.why.clone())).collect()
}

async fn count(history: &History, kind: EventKind) -> usize {
    told(history).await.iter().filter(|(told, _)| *told == kind).count()
}

#[tokio::test(start_paused = true)]
async fn the_history_tells_once_of_members_that_are_lost_together() {
    let mut net = Network::joined(8);
    net.run_for(5 * SECOND);
    let mut seen = Seen::of(net, 0).await;
    let history = history();
    seen.driver.history = history.clone();
    seen.show_after(SECOND).await;
    let away = |lost: usize| (0..8).flat_map(move |n| [(n, lost), (lost, n)]);
    seen.net.cut.extend((5..8).flat_map(away));
    for _ in 0..100 {
        seen.show_after(SECOND / 10).await;
    }
    assert_eq!(count(&history, EventKind::MembersLost).await, 1);
    assert_eq!(count(&history, EventKind::MemberDown).await, 0);
    seen.net.cut.extend(away(4));
    for _ in 0..100 {
        seen.show_after(SECOND / 10).await;
    }
    assert_eq!(count(&history, EventKind::MembersLost).await, 1);
    assert_eq!(count(&history, EventKind::MemberDown).await, 1, "one alone");
    assert_eq!(seen.registry.mass_losses().len(), 1);
    assert_eq!(count(&history, EventKind::MembersBack).await, 0);
    seen.net.cut.clear();
    for _ in 0..200 {
        seen.show_after(SECOND / 10).await;
    }
    assert_eq!(count(&history, EventKind::MembersBack).await, 1);
    let told = told(&history).await;
    let back = told.iter().find(|(kind, _)| *kind == EventKind::MembersBack).expect("told");
    let why = back.1.as_deref().expect("a reason");
    assert!(why.starts_with("3 of 3 that were lost at once are back after "), "{why}");
    assert_eq!(seen.registry.mass_losses().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_is_shown_to_watches_from_its_begin_to_its_end() {
    let mut net = Network::joined(7);
    net.run_for(5 * SECOND);
    let far = identity(6).node_id;
    let monitor = (0..5).find(|n| net.nodes[*n].last_answer(far).is_some()).expect("a monitor");
    let mut seen = Seen::of(net, monitor).await;
    seen.show_after(SECOND).await;
    let silent = |seen: &Seen| {
        let (members, _) = seen.registry.members();
        members[&far].shown(seen.registry.now()).link_silent_ms
    };
    assert_eq!(silent(&seen), None);
    seen.net.cut.insert((monitor, 6));
    for _ in 0..20 {
        seen.show_after(SECOND).await;
    }
    let before = silent(&seen).expect("the link is broken");
    assert!((5_000..=21_000).contains(&before), "{before} ms");
    seen.show_after(SECOND).await;
    assert!(silent(&seen).expect("it still is") > before);
    seen.net.cut.clear();
    for _ in 0..5 {
        seen.show_after(SECOND).await;
    }
    assert_eq!(silent(&seen), None);
}

#[tokio::test(start_paused = true)]
async fn a_lost_member_went_down_when_it_did_and_not_when_that_was_told() {
    let mut net = Network::joined(2);
    net.run_for(5 * SECOND);
    let mut seen = Seen::of(net, 0).await;
    let history = history();
    seen.driver.history = history.clone();
    seen.show_after(SECOND).await;
    let member = seen.net.nodes[0].members().into_iter().nth(1).expect("two members");
    let node = member.identity.node_id;
    seen.driver.sights.note(node, MemberStatus::Alive, false, Time::ZERO);
    let member = hobnob_membership::view::Member { status: MemberStatus::Down, ..member };
    let loss = HeldLoss { member, reason: "it does not answer".to_owned(), at_ms: 1_000 };
    seen.driver.record_member(&loss);
    let asked = Asked { limit: usize::MAX, ..Asked::default() };
    let events = history.find(asked).await.expect("it runs").events;
    let down = events.iter().find(|event| event.what == "member_down").expect("recorded");
    assert_eq!(down.at_ms, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_broken_link_that_nobody_watches_any_more_has_an_end_in_the_history() {
    let mut seen = Seen::of(Network::joined(2), 0).await;
    let history = history();
    seen.driver.history = history.clone();
    let node = identity(1).node_id;
    for end in [LinkEnd::Unwatched, LinkEnd::Answered(SECOND)] {
        seen.driver.take_event(Event::LinkBroken { node });
        seen.driver.take_event(Event::LinkEnded { node, end });
    }
    let broken = || (EventKind::LinkBroken, Some(words::broken_link(Duration::ZERO)));
    let unwatched = "watched no longer: the member is gone, or others watch it now";
    let ended = |why: Option<&str>| (EventKind::LinkMended, why.map(str::to_owned));
    assert_eq!(told(&history).await, [broken(), ended(Some(unwatched)), broken(), ended(None)]);
}

#[tokio::test(start_paused = true)]
async fn members_that_the_node_does_not_remember_are_forgotten_in_time() {
    let mut seen = Seen::of(Network::joined(2), 0).await;
    let sights = &mut seen.driver.sights;
    for n in 0..1_000 {
        sights.note(NodeId(1_000 + n), MemberStatus::Alive, false, Time::ZERO);
    }
    seen.show_after(6 * SECOND).await;
    let down = seen.driver.sights.note(NodeId(1_500), MemberStatus::Down, false, Time::ZERO);
    assert_eq!(down, None, "as one that was lost before the start");
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_isolated_until_the_last_lost_member_is_gone_for_good() {
    let mut net = Network::joined(2);
    net.run_for(5 * SECOND);
    let mut seen = Seen::of(net, 0).await;
    seen.show_after(SECOND).await;
    assert!(!seen.registry.is_isolated());
    seen.net.cut.extend([(0, 1), (1, 0)]);
    seen.show_after(20 * SECOND).await;
    assert!(seen.registry.is_isolated());
    let node = identity(1).node_id;
    seen.net.handle(0, Input::ForceLeave { node, order: None });
    seen.show_after(SECOND).await;
    assert!(!seen.registry.is_isolated(), "nobody is missing");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_gave_way_is_isolated_until_the_duplicate_is_gone() {
    let mut seen = Seen::of(Network::joined(2), 0).await;
    let to = ([127, 0, 0, 1], 7_946).into();
    seen.driver.take_event(Event::GaveWay { to });
    seen.driver.drain();
    assert!(seen.registry.is_isolated());
    seen.driver.take_event(Event::Resumed);
    seen.driver.drain();
    assert!(!seen.registry.is_isolated(), "it has met no other");
}

#[test]
fn the_reason_of_a_suspicion_comes_before_a_broken_link() {
    let mut net = Network::joined(7);
    net.run_for(5 * SECOND);
    let far = identity(6).node_id;
    let monitor = (0..6).find(|n| net.nodes[*n].last_answer(far).is_some()).expect("a monitor");
    net.cut.insert((monitor, 6));
    net.run_for(20 * SECOND);
    let node = &net.nodes[monitor];
    let mut member = node.members().into_iter().find(|it| it.identity.node_id == far).expect("it");
    member.status = MemberStatus::Alive;
    let alive = words::reason(node, &member, net.now);
    assert!(alive.starts_with("link broken: no answer to this agent for "), "{alive}");
    member.status = MemberStatus::Suspect;
    let suspect = words::reason(node, &member, net.now);
    assert!(suspect.starts_with("it did not answer a probe"), "{suspect}");
}
