//! Instances with several checks, with checks by reports, and with checks that end a registration.

use hobnob_api::{Alias, CheckStatus};

use super::*;
use crate::checks::SelfReport;

fn named(name: &str, probe: Probe) -> Check {
    Check {
        name: name.to_owned(),
        interval_ms: INTERVAL.as_millis() as u64,
        timeout_ms: 60_000,
        failures_before_critical: 1,
        ..Check::new(probe)
    }
}

fn with(id: &str, checks: Vec<Check>) -> Registration {
    Registration { id: Some(id.to_owned()), checks, ..web(80) }
}

fn report(status: CheckStatus) -> SelfReport {
    SelfReport { status, note: "says the service".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn reports_go_to_the_check_that_they_name() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let ttl = |name| named(name, Probe::Ttl { ttl_ms: 10_000 });
    let register = |id, checks| this.handle.register(with(id, checks), CALLER);
    register("web-1", vec![ttl("lease")]).await.expect("registered");
    register("web-2", vec![ttl("a"), ttl("b")]).await.expect("registered");
    register("web-3", Vec::new()).await.expect("registered");
    let send = async |id: &str, check: Option<&str>, status| {
        this.handle.report(id.to_owned(), check.map(str::to_owned), report(status)).await
    };
    use CheckStatus::{Critical, Passing, Warning};
    assert_eq!(send("web-1", None, Passing).await.as_deref(), Ok("lease"));
    this.driver.until_health("web-1", Health::Passing).await;
    assert_eq!(send("web-1", Some("lease"), Warning).await.as_deref(), Ok("lease"));
    this.driver.until_health("web-1", Health::Warning).await;
    let explained = this.driver.handle.checks("web-1".to_owned()).await.expect("asked").remove(0);
    assert_eq!(explained.output.as_deref(), Some("says the service"));
    tokio::time::sleep(Duration::from_secs(11)).await;
    this.driver.until_health("web-1", Health::Failing).await;

    assert_eq!(send("web-2", Some("b"), Critical).await.as_deref(), Ok("b"));
    this.driver.until_health("web-2", Health::Failing).await;
    for (id, check, says) in [
        ("web-1", Some("other"), "it has `lease`"),
        ("web-2", None, "name one of `a`, `b`"),
        ("web-3", None, "no check by reports"),
        ("web-4", None, "no instance `web-4`"),
    ] {
        let error = send(id, check, Passing).await.expect_err(id);
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(error.message.contains(says), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn verdicts_of_several_checks_are_kept_over_a_restart() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let checks = vec![
        named("page", Probe::http(server.url())),
        named("lease", Probe::Ttl { ttl_ms: 3_600_000 }),
    ];
    this.handle.register(with("web-1", checks), CALLER).await.expect("registered");
    this.handle
        .report("web-1".to_owned(), None, report(CheckStatus::Warning))
        .await
        .expect("heard");
    this.driver.until_health("web-1", Health::Warning).await;
    while !String::from_utf8_lossy(&this.disk.content(VERDICTS)).contains("web-1 lease") {
        tokio::time::sleep(INTERVAL).await;
    }
    server.behave(Behaviour::Hang);
    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Warning));
    let checks = this.driver.handle.checks("web-1".to_owned()).await.expect("asked");
    let statuses: Vec<_> = checks.iter().map(|check| check.status.as_str()).collect();
    assert_eq!(statuses, ["passing", "warning"]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_critical_for_too_long_is_deregistered() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let check = Check {
        initial: Some(CheckStatus::Passing),
        deregister_critical_after_ms: Some(60_000),
        ..named("lease", Probe::Ttl { ttl_ms: 10_000 })
    };
    this.handle.register(with("web-1", vec![check]), CALLER).await.expect("registered");
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing), "its initial status");
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Failing));
    // It recovers, so the time begins anew.
    let passing = report(CheckStatus::Passing);
    this.handle.report("web-1".to_owned(), None, passing).await.expect("heard");
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Failing));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(this.driver.health("web-1").await, None);
    assert!(this.handle.registrant("web-1").is_none());
    let this = this.restart().await;
    assert_eq!(this.driver.instances().await, 0, "the disk forgot it, too");
}

#[tokio::test(start_paused = true)]
async fn an_alias_follows_an_instance_and_a_member() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let lease = named("lease", Probe::Ttl { ttl_ms: 3_600_000 });
    this.handle.register(with("db", vec![lease]), CALLER).await.expect("registered");
    let follow = |alias| vec![named("alias", Probe::Alias(alias))];
    let of_db = follow(Alias::Instance("db".to_owned()));
    this.handle.register(with("web-1", of_db), CALLER).await.expect("registered");
    let of_member = follow(Alias::Member("node-1".to_owned()));
    this.handle.register(with("web-2", of_member), CALLER).await.expect("registered");
    let of_nothing = follow(Alias::Member("nobody".to_owned()));
    this.handle.register(with("web-3", of_nothing), CALLER).await.expect("registered");
    for (status, health) in
        [(CheckStatus::Passing, Health::Passing), (CheckStatus::Critical, Health::Failing)]
    {
        this.handle.report("db".to_owned(), None, report(status)).await.expect("heard");
        while this.driver.health("web-1").await != Some(health) {
            tokio::time::sleep(INTERVAL).await;
        }
    }
    this.driver.until_health("web-2", Health::Passing).await;
    this.driver.until_health("web-3", Health::Failing).await;
}

#[tokio::test(start_paused = true)]
async fn names_of_checks_are_unique_and_their_number_is_limited() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let ttl = |name: String| named(&name, Probe::Ttl { ttl_ms: 10_000 });
    let twice = vec![ttl("a".to_owned()), ttl("a".to_owned())];
    let error = this.handle.register(with("web-1", twice), CALLER).await.expect_err("twice");
    assert_eq!(error.code, ErrorCode::CheckInvalid, "{error}");
    let many = (0..17).map(|number| ttl(format!("c{number}"))).collect();
    let error = this.handle.register(with("web-1", many), CALLER).await.expect_err("too many");
    assert_eq!(error.code, ErrorCode::TooManyChecks, "{error}");
}

/// While the disk hangs no time passes by itself, so that nothing here can be explained by a timeout.
#[tokio::test(start_paused = true)]
async fn a_report_is_heard_while_the_disk_hangs() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let leased =
        Registration { checks: vec![named("lease", Probe::Ttl { ttl_ms: 10_000 })], ..web(80) };
    this.handle.register(leased, CALLER).await.expect("registered");
    this.disk.set_writes(Writes::Hang);
    let handle = this.handle.clone();
    let other = Registration { id: Some("other".to_owned()), ..web(81) };
    let registering = tokio::spawn(async move { handle.register(other, CALLER).await });
    this.disk.hung().await;
    let heard = this.handle.report("web-1".to_owned(), None, report(CheckStatus::Passing)).await;
    assert_eq!(heard.as_deref(), Ok("lease"));
    this.driver.until_health("web-1", Health::Passing).await;
    assert!(!registering.is_finished(), "the disk still hangs");
    this.disk.set_writes(Writes::Succeed);
    assert_eq!(registering.await.expect("no panic"), Ok((RegisterOutcome::Added, None)));
}
