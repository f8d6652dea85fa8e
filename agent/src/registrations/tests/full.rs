//! An agent with as many registrations as it may have, all of them checked. Time is paused.

use std::time::Duration;

use hobnob_api::{Check, ErrorCode, Probe, RegisterOutcome, Registration};
use hobnob_membership::limits::MAX_REGISTRATIONS;
use hobnob_membership::record::Health;

use super::{CALLER, LOG, TestRegistrar, log};
use crate::checks::fake_server::{Behaviour, FakeServer};
use crate::checks::{CheckId, CheckReport};
use crate::storage::fake_disk::FakeDisk;

/// Behind the ids of all others.
const LAST: &str = "last";

fn id_of(number: usize) -> String {
    format!("i{number:05}")
}

/// A log of so many registrations. Nothing listens where their checks look, and they look once a day.
fn log_of(registrations: usize) -> String {
    let puts = (0..registrations).map(|n| {
        format!(
            r#"{{"put":{{"service":"web","id":"{}","port":80,"checks":[{{"name":"c","kind":"tcp","target":"127.0.0.1:1","interval_ms":86400000,"timeout_ms":1000,"success_before_passing":1,"failures_before_failing":1}}]}}}}"#,
            id_of(n)
        )
    });
    log(puts)
}

fn last(server: &FakeServer) -> Registration {
    let json = format!(r#"{{"service":"web","id":"{LAST}","port":80}}"#);
    let check = Check {
        name: "check".to_owned(),
        interval_ms: 1_000,
        timeout_ms: 60_000,
        success_before_passing: 1,
        failures_before_critical: 1,
        listener_watch: true,
        ..Check::new(Probe::http(server.url()))
    };
    let registration: Registration = serde_json::from_str(&json).expect("a registration");
    Registration { checks: vec![check], ..registration }
}

/// Waits until every task that was spawned before has run, so that the intervals of its check have begun.
async fn until_checks_run() {
    tokio::spawn(async {}).await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn every_registration_has_room_for_its_health_and_is_back_after_a_restart() {
    let server = FakeServer::start().await;
    let disk = FakeDisk::new();
    disk.set_content(LOG, log_of(MAX_REGISTRATIONS - 1));
    let this = TestRegistrar::start(disk).await;
    // Each check reports once, so that each instance has a record of its health.
    let reports = this.driver.handle.reports();
    for number in 0..MAX_REGISTRATIONS - 1 {
        let id = CheckId { instance: id_of(number).into(), number: number as u64 };
        let (health, output) = (Health::Passing, String::new());
        reports.send(CheckReport { id, health, output, signal: None }).await.expect("it runs");
    }
    assert_eq!(
        this.handle.register(last(&server), CALLER).await,
        Ok((RegisterOutcome::Added, None))
    );
    until_checks_run().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    this.driver.until_health(LAST, Health::Passing).await;

    let before = this.disk.content(LOG);
    let further = Registration { id: Some("one-more".to_owned()), ..last(&server) };
    let error = this.handle.register(further, CALLER).await.expect_err("no room");
    assert_eq!(error.code, ErrorCode::TooManyRegistrations, "{error}");
    assert!(error.message.contains(&MAX_REGISTRATIONS.to_string()), "{error}");
    assert!(error.message.contains("another agent"), "{error}");
    assert!(this.disk.content(LOG) == before, "nothing of it reached the disk");
    let heavier = Registration { weight: 2, ..last(&server) };
    assert_eq!(this.handle.register(heavier, CALLER).await, Ok((RegisterOutcome::Replaced, None)));

    let this = this.restart().await;
    assert_eq!(this.driver.instances().await, MAX_REGISTRATIONS);
    until_checks_run().await;
    server.behave(Behaviour::Status(503));
    tokio::time::advance(Duration::from_secs(2)).await;
    this.driver.until_health(LAST, Health::Failing).await;
    assert_eq!(this.handle.deregister(id_of(0), CALLER).await, Ok(()));
    let other = Registration { id: Some("one-more".to_owned()), ..last(&server) };
    assert_eq!(this.handle.register(other, CALLER).await, Ok((RegisterOutcome::Added, None)));
}
