//! Tests of the driver's loop, on loopback sockets and with paused time.

mod links;
mod sealed;

use std::net::SocketAddr;

use hobnob_api::{ApiError, Check, ErrorCode, Probe};
use hobnob_membership::catalog::WriteError;
use hobnob_membership::record::{Health, Key, ServiceRecord, Value};

use hobnob_keys::Roles;
use hobnob_membership::ClusterId;
use hobnob_membership::testing::sealed::SealedCluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::commands::Refused;
use super::*;
use crate::checks::{CheckId, CheckReport};
use crate::testing::{PLACES, TestDriver};

fn service(port: u16) -> (Key, Option<Value>) {
    let record = ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "127.0.0.1".into(),
        port,
        tags: Default::default(),
        meta: Default::default(),
        weight: 1,
        checked: true,
        balancing: Default::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    };
    (Key::Service("web-1".into()), Some(Value::Service(record.into())))
}

fn own_check(number: u64) -> OwnCheck {
    let check = Check {
        name: "check".to_owned(),
        interval_ms: 1_000,
        timeout_ms: 500,
        success_before_passing: 1,
        failures_before_critical: 1,
        listener_watch: true,
        ..Check::new(Probe::Tcp { address: "127.0.0.1:1".to_owned() })
    };
    OwnCheck::new(check_id(number), check, Health::Unknown)
}

fn check_id(number: u64) -> CheckId {
    CheckId { instance: "web-1".into(), number }
}

fn report(number: u64, health: Health) -> CheckReport {
    CheckReport { id: check_id(number), health, output: format!("said by {number}"), signal: None }
}

#[tokio::test(start_paused = true)]
async fn a_written_record_is_visible_when_the_write_returns() {
    let driver = TestDriver::start(1).await;
    driver.handle.check_write(vec![service(80)]).await.expect("legal");
    driver.handle.write(vec![service(80)]).await.expect("written");
    assert_eq!(driver.health("web-1").await, Some(Health::Unknown));
    let services = driver.registry.services();
    assert_eq!(services.values().map(|service| service.instances().len()).sum::<usize>(), 1);
    driver.handle.write(vec![(Key::Service("web-1".into()), None)]).await.expect("written");
    assert_eq!(driver.health("web-1").await, None);
}

#[tokio::test(start_paused = true)]
async fn records_that_break_a_rule_are_refused_before_they_are_written() {
    let driver = TestDriver::start(1).await;
    let refused = driver.handle.check_write(vec![service(0)]).await;
    assert!(matches!(refused, Err(Refused::Records(_))), "{refused:?}");
}

/// Two registrations of one instance have a check each. Only the check that was set last decides its health.
#[tokio::test(start_paused = true)]
async fn a_verdict_on_an_earlier_registration_never_lands_on_the_next() {
    let driver = TestDriver::start(1).await;
    let (handle, reports) = (&driver.handle, driver.handle.reports());
    let set = |check: OwnCheck| {
        let own = OwnInstance::new(vec![check], false, false);
        let change = OwnChange::Checks(Some(own));
        handle.write_with_checks(vec![service(80)], "web-1".into(), change)
    };
    reports.send(report(1, Health::Passing)).await.expect("sent");
    set(own_check(1)).await.expect("written");
    assert_eq!(driver.health("web-1").await, Some(Health::Unknown), "it came too early");
    reports.send(report(1, Health::Passing)).await.expect("sent");
    driver.until_health("web-1", Health::Passing).await;
    let explained = handle.checks("web-1".to_owned()).await.expect("asked").remove(0);
    assert_eq!(explained.output.as_deref(), Some("said by 1"));
    assert_eq!((explained.kind.as_str(), explained.status.as_str()), ("tcp", "passing"));

    set(own_check(2)).await.expect("written");
    reports.send(report(1, Health::Failing)).await.expect("sent");
    reports.send(report(2, Health::Unknown)).await.expect("sent");
    let heard = async || handle.checks("web-1".to_owned()).await.expect("asked").remove(0);
    while heard().await.output.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(heard().await.output.as_deref(), Some("said by 2"));
    assert_eq!(driver.health("web-1").await, Some(Health::Unknown), "not failing");

    let gone = vec![(Key::Service("web-1".into()), None), (Key::Health("web-1".into()), None)];
    let written = handle.write_with_checks(gone, "web-1".into(), OwnChange::Checks(None)).await;
    written.expect("written");
    assert_eq!(handle.checks("web-1".to_owned()).await, Ok(Vec::new()));
}

/// Two checks, of which the worse one decides; and an operator, who has the last word.
#[tokio::test(start_paused = true)]
async fn the_worst_check_of_an_instance_decides_its_health() {
    let driver = TestDriver::start(1).await;
    let (handle, reports) = (&driver.handle, driver.handle.reports());
    let own = OwnInstance::new(vec![own_check(1), own_check(2)], false, false);
    let change = OwnChange::Checks(Some(own));
    let written = handle.write_with_checks(vec![service(80)], "web-1".into(), change).await;
    written.expect("written");
    for (number, said, health) in [
        (1, Health::Failing, Health::Failing),
        (1, Health::Passing, Health::Unknown),
        (2, Health::Warning, Health::Warning),
        (1, Health::Failing, Health::Failing),
        (1, Health::Passing, Health::Warning),
        (2, Health::Passing, Health::Passing),
    ] {
        reports.send(report(number, said)).await.expect("sent");
        driver.until_health("web-1", health).await;
    }
    let out = |is_out| {
        handle.write_with_checks(vec![service(80)], "web-1".into(), OwnChange::Out(is_out))
    };
    out(true).await.expect("written");
    assert_eq!(driver.health("web-1").await, Some(Health::Failing));
    reports.send(report(2, Health::Warning)).await.expect("sent");
    while handle.checks("web-1".to_owned()).await.expect("asked")[1].status != "warning" {
        tokio::task::yield_now().await;
    }
    assert_eq!(driver.health("web-1").await, Some(Health::Failing));
    out(false).await.expect("written");
    assert_eq!(driver.health("web-1").await, Some(Health::Warning));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_node_has_left() {
    let driver = TestDriver::start(1).await;
    driver.handle.leave().await.expect("told");
    assert_eq!(driver.task.await.expect("no panic"), Ended::Left);
    let refused = driver.handle.write(Vec::new()).await;
    assert!(matches!(refused, Err(Refused::Stopping(_))), "{refused:?}");
}

/// A connection that a node of this id holds to a driver.
async fn held(driver: &TestDriver, member: u64, node: u64) -> TcpStream {
    let [_, _, _, _, mark @ ..] = ClusterId::named("default").0.to_le_bytes();
    let preamble =
        [&b"hold\x01\x14"[..], &mark, &node.to_le_bytes(), &member.to_le_bytes()].concat();
    let mut stream = TcpStream::connect(driver.addr).await.expect("connected");
    stream.write_all(&preamble).await.expect("room");
    assert_eq!(stream.read_u8().await.expect("answered"), 1);
    stream
}

#[tokio::test(start_paused = true)]
async fn goodbye_is_said_before_a_planned_stop_and_not_before_a_crash() {
    let stopping = TestDriver::start(1).await;
    let mut stream = held(&stopping, 1, 1_000).await;
    stopping.handle.stop().await.expect("told");
    assert_eq!(stopping.task.await.expect("no panic"), Ended::Stopped);
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.expect("closed");
    assert_eq!(said, [2]);

    let leaving = TestDriver::start(1).await;
    let mut stream = held(&leaving, 1, 1_000).await;
    leaving.handle.leave().await.expect("told");
    said.clear();
    stream.read_to_end(&mut said).await.expect("closed");
    assert_eq!(said, [2]);

    let crashing = TestDriver::start(1).await;
    let mut stream = held(&crashing, 1, 1_000).await;
    crashing.task.abort();
    said.clear();
    stream.read_to_end(&mut said).await.expect("closed");
    assert!(said.is_empty(), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_monitor_is_held_although_strangers_took_all_places() {
    let (member, monitor) = (TestDriver::start(1).await, TestDriver::start(2).await);
    let mut strangers = Vec::new();
    for node in 0..PLACES as u64 {
        strangers.push(held(&member, 1, 1_000 + node).await);
    }
    monitor.handle.join(vec![member.addr], false).await.expect("answered");
    // Longer than a monitor waits before it connects.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let counters = member.handle.report().await.expect("asked").counters;
    assert_eq!((counters["holds_in"], counters["holds_displaced"]), (PLACES as u64, 1));
    assert_eq!(strangers[0].read_u8().await.expect("goodbye"), 2);
    let counters = monitor.handle.report().await.expect("asked").counters;
    assert_eq!((counters["holds_in"], counters["holds_out"]), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_can_ask_any_more() {
    let TestDriver { handle, task, .. } = TestDriver::start(1).await;
    drop(handle);
    assert_eq!(task.await.expect("no panic"), Ended::Abandoned);
}

#[tokio::test(start_paused = true)]
async fn a_join_is_answered_by_the_address_and_the_peer_is_kept() {
    let (mut a, b) = (TestDriver::start(1).await, TestDriver::start(2).await);
    assert_eq!(a.handle.join(vec![b.addr], false).await.expect("answered"), b.addr);
    let persisted = a.persisted.recv().await;
    assert!(
        matches!(&persisted, Some(Persist::Peers(peers)) if peers.members[..] == [b.addr]),
        "{persisted:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_to_the_disk_drops_and_counts() {
    let driver = TestDriver::start(1).await;
    let before = driver.handle.report().await.expect("asked").counters;
    assert_eq!(before["storage_persist_dropped"], 0);
    // Nobody reads `persisted`, which has room for one output: the first peer fills it, and the second is dropped.
    let peers = [TestDriver::start(2).await, TestDriver::start(3).await];
    for peer in &peers {
        driver.handle.join(vec![peer.addr], false).await.expect("answered");
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let after = driver.handle.report().await.expect("asked").counters;
    assert!(after["storage_persist_dropped"] >= 1, "{after:?}");
}

/// The longest age of an instance that this driver shows.
fn oldest(driver: &TestDriver) -> Duration {
    let services = driver.registry.services();
    let instances = services.values().flat_map(|service| service.instances());
    let ages = instances
        .map(|(_, entry)| hobnob_api::Instance::from(&driver.registry.show_picked(&entry)).age_ms);
    Duration::from_millis(ages.max().expect("an instance"))
}

/// No timer counts a suspend. The agent that dies during one must not be shown as if it had just been heard, and the
/// living must not be held dead.
#[tokio::test(start_paused = true)]
async fn a_suspend_counts_into_ages_and_is_noticed_within_a_second() {
    const SUSPEND: Duration = Duration::from_secs(20);
    let [sleeper, dies, lives] = [1, 2, 3].map(TestDriver::start);
    let (sleeper, dies, lives) = (sleeper.await, dies.await, lives.await);
    for joins in [&dies, &lives] {
        joins.handle.join(vec![sleeper.addr], false).await.expect("answered");
    }
    let passing = (Key::Health("web-1".into()), Some(Value::Health(Health::Passing)));
    dies.handle.write(vec![service(80), passing]).await.expect("written");
    sleeper.until_health("web-1", Health::Passing).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(oldest(&sleeper) < Duration::from_secs(2), "{:?}", oldest(&sleeper));
    let stalls =
        async |driver: &TestDriver| driver.handle.report().await.expect("asked").counters["stalls"];
    let before = stalls(&sleeper).await;

    dies.task.abort();
    drop(dies);
    sleeper.clock.suspend(SUSPEND);
    assert!(oldest(&sleeper) >= SUSPEND, "before the driver notices: {:?}", oldest(&sleeper));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(stalls(&sleeper).await > before, "noticed");
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(oldest(&sleeper) >= SUSPEND, "{:?}", oldest(&sleeper));
    }
    let members = |node: &Node, _| (node.active_members(), node.identity().epoch);
    assert_eq!(sleeper.handle.inspect(members).await, Ok((2, Epoch(1))), "it and the living one");
    assert_eq!(lives.handle.inspect(members).await, Ok((2, Epoch(1))), "nobody was called down");
}

#[tokio::test(start_paused = true)]
async fn silence_at_the_addresses_to_join_at_is_warned_of_again_and_again() {
    let mut joining = Joining::at(&["seed:7946".to_owned()], &[], "default");
    let first = joining.warn_at.expect("it expects company");
    joining.warn_if_due(first - Duration::from_millis(1), false, false);
    assert_eq!(joining.warn_at, Some(first), "not yet");
    joining.warn_if_due(first, false, false);
    let second = joining.warn_at.expect("and again");
    assert!(second > first);
    joining.connected();
    assert_eq!(joining.warn_at, None);

    let peers: Vec<SocketAddr> = vec!["127.0.0.1:1".parse().expect("an address")];
    assert!(Joining::at(&[], &peers, "default").expects_company(), "former peers");
    assert!(!Joining::at(&[], &[], "default").expects_company());
}

#[test]
fn a_service_that_the_token_does_not_allow_has_a_code_of_its_own() {
    let (service, allowed) = ("web".into(), "`api-*`".to_owned());
    let error = WriteError::NotAllowed { service, allowed, token: "0123".to_owned() };
    let error = ApiError::from(Refused::Records(error));
    assert_eq!(error.code, ErrorCode::ServiceNotAllowed);
    let words = "this agent may not serve `web`: its token 0123 allows `api-*`";
    assert_eq!(error.message, words);
}

/// A member that holds no generation any more, as after years away. It enters by streams alone, and then all else is sealed.
#[tokio::test(start_paused = true)]
async fn a_node_without_a_generation_enters_a_sealed_cluster_at_a_gossip_address() {
    let cluster = SealedCluster::default();
    let known = cluster.certificate(&cluster.token(2, Roles::NONE), 1);
    let founder = cluster.sealing(0).with_generation(cluster.generation(1, 7), true);
    let member = TestDriver::sealed(0, founder.with_members([known])).await;
    let newcomer = TestDriver::sealed(1, cluster.sealing(1)).await;
    newcomer.handle.begin_join(vec![member.addr], false).await.expect("it runs");
    // Longer than a monitor waits before it connects, a second time if the first came too early.
    tokio::time::sleep(Duration::from_secs(8)).await;
    for driver in [&member, &newcomer] {
        let known = |node: &Node, now| (node.generations(now).len(), node.members().len());
        assert_eq!(driver.handle.inspect(known).await.expect("it runs"), (1, 2));
        let counters = driver.handle.report().await.expect("it runs").counters;
        assert_eq!((counters["holds_in"], counters["holds_out"]), (1, 1), "{counters:?}");
    }
    let counters = member.handle.report().await.expect("it runs").counters;
    assert!(counters["sync_ports_told"] > 0);
}
