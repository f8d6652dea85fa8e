//! The registrar with a driver on loopback and a disk in memory. Time is paused.

mod checks;
mod full;
mod several;
mod upkeep;

use std::io::ErrorKind as IoErrorKind;
use std::time::Duration;

use hobnob_api::{Check, ErrorCode, ErrorKind, Probe, RegisterOutcome, Registration};
use hobnob_membership::record::Health;
use hobnob_membership::testing::sealed::SealedCluster;
use hobnob_membership::{Epoch, Sealing};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::xxh3_64;

use super::*;
use crate::caller::Caller;
use crate::checks::fake_server::{Behaviour, FakeServer};
use crate::checks::{ListenerWatch, Prober};
use crate::driver::Persist;
use crate::storage::DataDir;
use crate::storage::fake_disk::{FakeDisk, Writes};
use crate::testing::TestDriver;

pub(super) const LOG: &str = "registrations.log";
const VERDICTS: &str = "verdicts.json";
const INTERVAL: Duration = Duration::from_secs(1);

/// The process that registers and deregisters.
pub(super) const CALLER: Caller = Caller { uid: 1_000, gid: None, pid: Some(4_242), agent: None };

/// The probes of a process share their permits, and a registrar that starts waits for its first probes only so long. So one
/// test with a registrar runs at a time: some have very many checks.
static PROBING: Mutex<()> = Mutex::const_new(());

pub(super) struct TestRegistrar {
    pub(super) disk: FakeDisk,
    pub(super) driver: TestDriver,
    pub(super) handle: RegistrationsHandle,
    persist: mpsc::Sender<Persist>,
    task: JoinHandle<()>,
    probing: MutexGuard<'static, ()>,
}

impl TestRegistrar {
    pub(super) async fn start(disk: FakeDisk) -> Self {
        Self::start_in_turn(disk, PROBING.lock().await).await
    }

    /// A registrar with one passing instance, whose verdict is on the disk.
    async fn with_kept_verdict(server: &FakeServer) -> Self {
        let this = Self::start(FakeDisk::new()).await;
        this.handle.register(checked(web(80), server), CALLER).await.expect("registered");
        this.driver.until_health("web-1", Health::Passing).await;
        this.until_verdicts_are_kept().await;
        this
    }

    async fn start_in_turn(disk: FakeDisk, probing: MutexGuard<'static, ()>) -> Self {
        let data_dir = open(&disk);
        let prober = Prober { neighbours: None, script_checks: true };
        let restored = restore(&data_dir, "127.0.0.1", None, &prober).await;
        let own_checks = restored.own_checks();
        let mut driver = TestDriver::restored(1, restored.records.clone(), own_checks).await;
        let (registrar, handle) = Registrar::new(
            data_dir,
            "127.0.0.1".to_owned(),
            driver.registry.clone(),
            driver.handle.clone(),
            restored,
            ListenerWatch::new(false),
            prober,
        );
        let (persist, persisted) = mpsc::channel(1);
        let task = tokio::spawn(registrar.run(persisted));
        let mut of_driver = std::mem::replace(&mut driver.persisted, mpsc::channel(1).1);
        let to_registrar = persist.clone();
        tokio::spawn(async move {
            while let Some(persist) = of_driver.recv().await {
                if to_registrar.send(persist).await.is_err() {
                    break;
                }
            }
        });
        Self { disk, driver, handle, persist, task, probing }
    }

    /// Waits until the checks have failed for as often as they must.
    async fn until_failing(&self) {
        while self.driver.health("web-1").await != Some(Health::Failing) {
            tokio::time::sleep(INTERVAL / 10).await;
        }
    }

    /// Waits until a verdict is on the disk.
    async fn until_verdicts_are_kept(&self) {
        while !self.disk.content(VERDICTS).ends_with(b"}}}\n") {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Stops the registrar and starts another one on the same disk.
    pub(super) async fn restart(self) -> Self {
        let Self { disk, handle, task, probing, .. } = self;
        drop(handle);
        task.await.expect("no panic");
        // Paused, the clock would jump to the end of the first probes' time while their answers are under way.
        tokio::time::resume();
        let this = Self::start_in_turn(disk, probing).await;
        tokio::time::pause();
        this
    }
}

fn open(disk: &FakeDisk) -> DataDir {
    DataDir::open_on(Box::new(disk.clone()), "default").expect("opened")
}

/// The content of a log that a later version wrote.
pub(super) fn log(entries: impl IntoIterator<Item = String>) -> String {
    let head = r#"{"format":2,"written_by":"0.9.0"}"#.to_owned();
    let lines = std::iter::once(head).chain(entries);
    lines.map(|text| format!("{:016x} {text}\n", xxh3_64(text.as_bytes()))).collect()
}

fn web(port: u16) -> Registration {
    let json = format!(r#"{{"service":"web","id":"web-1","port":{port}}}"#);
    serde_json::from_str(&json).expect("a registration")
}

fn checked(registration: Registration, server: &FakeServer) -> Registration {
    let check = Check {
        name: "check".to_owned(),
        interval_ms: INTERVAL.as_millis() as u64,
        timeout_ms: 60_000,
        success_before_passing: 1,
        failures_before_critical: 1,
        listener_watch: true,
        ..Check::new(Probe::http(server.url()))
    };
    Registration { checks: vec![check], ..registration }
}

#[tokio::test(start_paused = true)]
async fn the_process_that_registered_an_instance_is_known_and_outlasts_a_restart() {
    let other = Caller { uid: 0, gid: None, pid: None, agent: None };
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let registrant = |this: &TestRegistrar| {
        this.handle.registrant("web-1").map(|by| Caller {
            uid: by.uid,
            gid: None,
            pid: by.pid,
            agent: None,
        })
    };
    assert_eq!(registrant(&this), None);
    this.handle.register(web(80), CALLER).await.expect("registered");
    assert_eq!(registrant(&this), Some(CALLER));
    this.handle.register(web(80), other).await.expect("unchanged");
    assert_eq!(registrant(&this), Some(CALLER), "the other one changed nothing");

    let this = this.restart().await;
    assert_eq!(registrant(&this), Some(CALLER));
    this.handle.register(web(81), other).await.expect("replaced");
    assert_eq!(registrant(&this), Some(other));
    let this = this.restart().await;
    assert_eq!(registrant(&this), Some(other));
    this.handle.deregister("web-1".to_owned(), CALLER).await.expect("deregistered");
    assert_eq!(registrant(&this), None);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_the_disk_refuses_keeps_the_process_of_the_former_one() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(web(80), CALLER).await.expect("registered");
    this.disk.set_writes(Writes::Fail(IoErrorKind::StorageFull));
    let other = Caller { uid: 0, gid: None, pid: None, agent: None };
    this.handle.register(web(81), other).await.expect_err("full");
    assert_eq!(this.handle.registrant("web-1").map(|by| by.uid), Some(CALLER.uid));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_registration_is_on_the_disk_and_in_the_catalog() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    assert_eq!(this.handle.register(web(80), CALLER).await, Ok((RegisterOutcome::Added, None)));
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing));
    let on_disk = this.disk.content(LOG);
    assert_eq!(this.handle.register(web(80), CALLER).await, Ok((RegisterOutcome::Unchanged, None)));
    assert_eq!(this.disk.content(LOG), on_disk);
    assert_eq!(this.handle.register(web(81), CALLER).await, Ok((RegisterOutcome::Replaced, None)));

    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing));
    assert_eq!(this.handle.register(web(81), CALLER).await, Ok((RegisterOutcome::Unchanged, None)));
    assert_eq!(this.handle.deregister("web-1".to_owned(), CALLER).await, Ok(()));
    assert_eq!(this.driver.health("web-1").await, None);
    let error = this.handle.deregister("web-1".to_owned(), CALLER).await.expect_err("gone");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(this.restart().await.driver.health("web-1").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_and_leaves_no_trace() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.disk.set_writes(Writes::Fail(IoErrorKind::StorageFull));
    let error = this.handle.register(web(80), CALLER).await.expect_err("full");
    assert_eq!(error.code, ErrorCode::DiskFull);
    assert_eq!(this.driver.health("web-1").await, None);
    this.disk.set_writes(Writes::Succeed);
    assert_eq!(this.handle.register(web(80), CALLER).await, Ok((RegisterOutcome::Added, None)));
    this.disk.set_writes(Writes::Fail(IoErrorKind::StorageFull));
    this.handle.deregister("web-1".to_owned(), CALLER).await.expect_err("full");
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing));
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_breaks_a_rule_does_not_reach_the_disk() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let before = this.disk.content(LOG);
    let spaced = Registration { id: Some("a b".to_owned()), ..web(80) };
    let mistyped = Registration { address: Some("10.0.0.256".to_owned()), ..web(80) };
    for wrong in [web(0), spaced, mistyped] {
        let error = this.handle.register(wrong, CALLER).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
    assert_eq!(this.disk.content(LOG), before);
}

/// While the disk hangs no time passes by itself, so that nothing here can be explained by a timeout.
#[tokio::test(start_paused = true)]
async fn a_verdict_reaches_the_catalog_while_the_disk_hangs() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(checked(web(80), &server), CALLER).await.expect("registered");
    tokio::time::advance(INTERVAL).await;
    this.driver.until_health("web-1", Health::Passing).await;

    this.disk.set_writes(Writes::Hang);
    let handle = this.handle.clone();
    let other = Registration { id: Some("other".to_owned()), ..web(81) };
    let registering = tokio::spawn(async move { handle.register(other, CALLER).await });
    this.disk.hung().await;
    server.behave(Behaviour::Status(503));
    tokio::time::advance(INTERVAL).await;
    this.driver.until_health("web-1", Health::Failing).await;
    assert!(!registering.is_finished(), "the disk still hangs");

    this.disk.set_writes(Writes::Succeed);
    assert_eq!(registering.await.expect("no panic"), Ok((RegisterOutcome::Added, None)));
}

/// Each stall of the disk is counted once, however long it is.
#[tokio::test(start_paused = true)]
async fn a_disk_that_does_not_answer_is_counted() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let stalls =
        async || this.driver.handle.report().await.expect("asked").counters["storage_stalls"];
    for round in 1..=2 {
        this.disk.set_writes(Writes::Hang);
        let handle = this.handle.clone();
        let registering =
            tokio::spawn(async move { handle.register(web(80 + round), CALLER).await });
        this.disk.hung().await;
        assert_eq!(stalls().await, u64::from(round) - 1, "not yet");
        for _ in 0..30 {
            tokio::time::advance(INTERVAL).await;
        }
        assert_eq!(stalls().await, u64::from(round));
        this.disk.set_writes(Writes::Succeed);
        registering.await.expect("no panic").expect("registered");
    }
    this.handle.register(web(90), CALLER).await.expect("registered");
    assert_eq!(stalls().await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_disk_thread_that_panics_ends_the_registrar() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.disk.set_writes(Writes::Panic);
    let error = this.handle.register(web(80), CALLER).await.expect_err("lost");
    assert_eq!(error.code, ErrorCode::StorageFailed);
    this.task.await.expect("it ends by itself");
}

#[tokio::test(start_paused = true)]
async fn a_check_goes_on_unless_what_it_is_about_changes() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(checked(web(80), &server), CALLER).await.expect("registered");
    tokio::time::advance(INTERVAL).await;
    this.driver.until_health("web-1", Health::Passing).await;
    let heavier = Registration { weight: 2, ..checked(web(80), &server) };
    assert_eq!(this.handle.register(heavier, CALLER).await, Ok((RegisterOutcome::Replaced, None)));
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing), "the same check");
    server.behave(Behaviour::Hang);
    assert_eq!(
        this.handle.register(checked(web(81), &server), CALLER).await,
        Ok((RegisterOutcome::Replaced, None))
    );
    assert_eq!(this.driver.health("web-1").await, Some(Health::Unknown), "another port");
}

#[tokio::test(start_paused = true)]
async fn a_restored_instance_begins_with_the_outcome_of_its_first_probe() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(checked(web(80), &server), CALLER).await.expect("registered");
    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing));
    server.behave(Behaviour::Status(503));
    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Unknown));
}

/// A health page that takes longer than a start waits withdrew a healthy instance on every agent.
#[tokio::test(start_paused = true)]
async fn a_restored_instance_keeps_its_verdict_until_outcomes_change_it() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::with_kept_verdict(&server).await;
    server.behave(Behaviour::Hang);
    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing), "it takes its time");
    let explained = this.driver.handle.checks("web-1".to_owned()).await.expect("asked").remove(0);
    assert!(explained.output.expect("told").contains("before this agent"), "its age is told");
    assert!(explained.changed_ago_ms.is_some());
    server.behave(Behaviour::Status(503));
    this.until_failing().await;
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_a_full_disk_refuses_is_kept_when_there_is_room_again() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::with_kept_verdict(&server).await;
    this.disk.set_writes(Writes::FailToReplace(IoErrorKind::StorageFull));
    server.behave(Behaviour::Status(503));
    this.until_failing().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let has_failing = |content: Vec<u8>| String::from_utf8_lossy(&content).contains("failing");
    assert!(!has_failing(this.disk.content(VERDICTS)), "there is no room");
    this.disk.set_writes(Writes::Succeed);
    while !has_failing(this.disk.content(VERDICTS)) {
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A verdict belongs to the registration that it was found for.
#[tokio::test(start_paused = true)]
async fn a_registration_that_is_replaced_or_removed_leaves_no_verdict_behind() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::with_kept_verdict(&server).await;
    server.behave(Behaviour::Hang);
    this.handle.register(checked(web(81), &server), CALLER).await.expect("registered");
    while this.disk.content(VERDICTS).ends_with(b"}}}\n") {
        tokio::time::sleep(INTERVAL).await;
    }
    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Unknown));
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_check_only_a_later_version_can_run_is_unknown() {
    let disk = FakeDisk::new();
    let put = r#"{"put":{"service":"web","id":"web-1","port":80,"checks":[{"name":"deep","kind":"quic","interval_ms":1,"timeout_ms":1,"success_before_passing":1,"failures_before_failing":1}]}}"#;
    disk.set_content(LOG, log([put.to_owned()]));
    let this = TestRegistrar::start(disk).await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Unknown));
    assert_eq!(
        this.handle.register(web(80), CALLER).await.map(|(outcome, _)| outcome),
        Ok(RegisterOutcome::Replaced),
        "without a check"
    );
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing));
}

#[tokio::test(start_paused = true)]
async fn the_last_epoch_is_kept_when_it_ends() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.persist.send(Persist::Epoch(Epoch(7))).await.expect("sent");
    let disk = this.disk.clone();
    drop(this.handle);
    this.task.await.expect("no panic");
    let mut next = open(&disk);
    assert_eq!(next.mint_epoch(0, 0).expect("minted"), Epoch(8));
}

#[tokio::test(start_paused = true)]
async fn keys_that_the_disk_refuses_are_counted_and_offered_to_it_again() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.disk.set_writes(Writes::FailToReplace(IoErrorKind::StorageFull));
    this.persist.send(Persist::Keys(Box::default(), 1)).await.expect("sent");
    let unkept = async || {
        let report = this.driver.handle.report().await.expect("it runs");
        report.counters["storage_keys_unkept"]
    };
    while unkept().await < 3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    this.disk.set_writes(Writes::Succeed);
    while this.disk.content("keys.json").is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let count = unkept().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(unkept().await, count, "it rests");
}

/// A crash before the file is written again leaves the verdict of an earlier registration in it.
#[tokio::test(start_paused = true)]
async fn a_kept_verdict_on_another_address_is_not_taken_over() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::with_kept_verdict(&server).await;
    server.behave(Behaviour::Hang);
    let kept = String::from_utf8(this.disk.content(VERDICTS)).expect("text");
    this.disk.set_content(VERDICTS, kept.replace("\"target\":\"", "\"target\":\"http://10.0.0.9/"));
    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Unknown));
}

#[tokio::test(start_paused = true)]
async fn a_kept_registration_that_the_token_does_not_allow_is_not_offered_and_stays_on_the_disk() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(web(80), CALLER).await.expect("registered");
    let (disk, kept) = (this.disk.clone(), this.disk.content(LOG));
    let cluster = SealedCluster::default();
    for (service, is_offered) in [("api-*", false), ("web", true)] {
        let certificate = cluster.certificate(&cluster.token_for(5, &[service]), 1);
        let sealing = Sealing::new(cluster.trust(), certificate).expect("it counts");
        let restored = restore(&open(&disk), "127.0.0.1", Some(&sealing), &Prober::default()).await;
        assert_eq!(restored.records.len(), usize::from(is_offered), "{service}");
        assert!(disk.content(LOG) == kept, "{service}");
    }
}
