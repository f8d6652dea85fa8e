//! Maintenance and drains.

use hobnob_membership::record::Drain;

use super::*;

impl TestRegistrar {
    /// The drain and the maintenance of an instance, as its record tells all agents.
    async fn told(&self, id: &str) -> (Option<Drain>, Option<String>) {
        let id = id.to_owned();
        let read = move |node: &hobnob_membership::Node, _| {
            let found = node.instances().find(|instance| *instance.id == *id);
            let upkeep = found.map(|instance| instance.service.upkeep.clone()).unwrap_or_default();
            (upkeep.drain(), upkeep.maintenance().map(ToString::to_string))
        };
        self.driver.handle.inspect(read).await.expect("it runs")
    }

    async fn maintain(&self, id: Option<&str>, reason: Option<&str>) -> Vec<String> {
        let (id, reason) = (id.map(str::to_owned), reason.map(str::to_owned));
        self.handle.maintain(id, reason, CALLER).await.expect("done").instances
    }
}

fn named(id: &str) -> Registration {
    Registration { id: Some(id.to_owned()), ..web(80) }
}

#[tokio::test(start_paused = true)]
async fn an_instance_in_maintenance_fails_for_a_reason_until_it_is_turned_off() {
    let server = FakeServer::start().await;
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(checked(web(80), &server), CALLER).await.expect("registered");
    this.handle.register(named("plain"), CALLER).await.expect("registered");
    this.driver.until_health("web-1", Health::Passing).await;
    assert_eq!(this.maintain(Some("web-1"), Some("new disk")).await, ["web-1"]);
    assert_eq!(this.driver.health("web-1").await, Some(Health::Failing));
    assert_eq!(this.told("web-1").await.1.as_deref(), Some("new disk"));
    assert_eq!(this.driver.health("plain").await, Some(Health::Passing));

    let this = this.restart().await;
    assert_eq!(this.driver.health("web-1").await, Some(Health::Failing), "it lasts");
    assert_eq!(this.told("web-1").await.1.as_deref(), Some("new disk"));
    let heavier = Registration { weight: 2, ..checked(web(80), &server) };
    this.handle.register(heavier, CALLER).await.expect("registered");
    assert_eq!(this.told("web-1").await.1.as_deref(), Some("new disk"), "it lasts");

    this.maintain(Some("web-1"), Some("")).await;
    assert_eq!(this.told("web-1").await.1.as_deref(), Some("new disk"), "it keeps its reason");
    let unchanged = |on: Option<&str>| {
        let asked = (Some("web-1".to_owned()), on.map(str::to_owned));
        let handle = this.handle.clone();
        async move { handle.maintain(asked.0, asked.1, CALLER).await.expect("done").unchanged }
    };
    assert!(unchanged(Some("new disk")).await && !unchanged(Some("other disk")).await);
    assert!(!unchanged(None).await && unchanged(None).await);
    this.driver.until_health("web-1", Health::Passing).await;
    assert_eq!(this.told("web-1").await, (None, None));
    let error = this.handle.maintain(Some("nobody".to_owned()), None, CALLER).await;
    assert_eq!(error.expect_err("not there").code, ErrorCode::InstanceNotFound);
}

#[tokio::test(start_paused = true)]
async fn the_maintenance_of_an_agent_is_that_of_all_its_instances_also_of_later_ones() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(named("a"), CALLER).await.expect("registered");
    this.handle.register(named("b"), CALLER).await.expect("registered");
    this.maintain(Some("b"), Some("its own")).await;
    assert_eq!(this.maintain(None, Some("")).await, ["a", "b"]);
    this.handle.register(named("c"), CALLER).await.expect("registered");
    let this = this.restart().await;
    for (id, reason) in [("a", "no reason given"), ("b", "its own"), ("c", "no reason given")] {
        assert_eq!(this.driver.health(id).await, Some(Health::Failing), "{id}");
        assert_eq!(this.told(id).await.1.as_deref(), Some(reason), "{id}");
    }
    let ended = this.handle.maintain(None, None, CALLER).await.expect("done");
    assert_eq!(
        (&*ended.instances, &*ended.still_out),
        (&["a", "b", "c"].map(String::from)[..], &["b".to_owned()][..])
    );
    for (id, health) in [("a", Health::Passing), ("b", Health::Failing), ("c", Health::Passing)] {
        assert_eq!(this.driver.health(id).await, Some(health), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_told_again_as_it_goes_on_and_ends_with_an_instance_that_nobody_offers() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(named("a"), CALLER).await.expect("registered");
    let over = Duration::from_secs(40);
    this.handle.drain("a".to_owned(), Some(over), CALLER).await.expect("begun");
    assert_eq!(this.told("a").await.0, Some(Drain { elapsed_ms: 0, over_ms: 40_000 }));
    assert_eq!(this.driver.health("a").await, Some(Health::Passing));
    let drained = tokio::spawn({
        let handle = this.handle.clone();
        async move { handle.drained("a".to_owned()).await }
    });
    tokio::time::sleep(Duration::from_secs(21)).await;
    let half = this.told("a").await.0.expect("it drains");
    assert!((20_000..=21_000).contains(&half.elapsed_ms), "{half:?}");
    assert!(!drained.is_finished());
    assert_eq!(this.driver.health("a").await, Some(Health::Passing));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(drained.await.expect("no panic"), Ok(()));
    assert_eq!(this.driver.health("a").await, Some(Health::Failing));
    assert!(this.told("a").await.0.expect("drained").is_over());
    assert_eq!(this.handle.drained("a".to_owned()).await, Ok(()), "at once");

    // The clock of the host did not go on as that of the test, so after a restart the drain is at its beginning again.
    let this = this.restart().await;
    assert!(this.told("a").await.0.is_some(), "it lasts");
    this.handle.drain("a".to_owned(), None, CALLER).await.expect("stopped");
    assert_eq!(this.told("a").await, (None, None));
    assert_eq!(this.driver.health("a").await, Some(Health::Passing));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_asked_for_again_ends_no_later() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(named("a"), CALLER).await.expect("registered");
    let over = Some(Duration::from_secs(40));
    this.handle.drain("a".to_owned(), over, CALLER).await.expect("begun");
    let drained = tokio::spawn({
        let handle = this.handle.clone();
        async move { handle.drained("a".to_owned()).await }
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    // The time of the host is part of a drain, and stands still in this test.
    let longer = Some(Duration::from_secs(41));
    this.handle.drain("a".to_owned(), longer, CALLER).await.expect("it goes on");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(!drained.is_finished(), "it has a fortieth of its share");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(drained.await.expect("no panic"), Ok(()));
    assert_eq!(this.driver.health("a").await, Some(Health::Failing));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_stopped_answers_who_waits_for_its_end() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(named("a"), CALLER).await.expect("registered");
    for stop in ["drain", "maintenance", "deregister"] {
        this.handle.register(named("a"), CALLER).await.expect("registered");
        let over = Some(Duration::from_secs(60));
        this.handle.drain("a".to_owned(), over, CALLER).await.expect("begun");
        let waiting = tokio::spawn({
            let handle = this.handle.clone();
            async move { handle.drained("a".to_owned()).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        match stop {
            "drain" => this.handle.drain("a".to_owned(), None, CALLER).await.expect("stopped"),
            "maintenance" => drop(this.maintain(Some("a"), None).await),
            _ => this.handle.deregister("a".to_owned(), CALLER).await.expect("gone"),
        }
        let error = waiting.await.expect("no panic").expect_err(stop);
        assert_eq!(error.code, ErrorCode::DrainStopped, "{stop}");
    }
    this.handle.register(named("a"), CALLER).await.expect("registered");
    assert_eq!(this.told("a").await, (None, None), "a new one has nothing of it");
}

#[tokio::test(start_paused = true)]
async fn what_the_disk_refuses_is_not_done() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(named("a"), CALLER).await.expect("registered");
    this.disk.set_writes(Writes::FailToReplace(IoErrorKind::StorageFull));
    let refused = this.handle.maintain(Some("a".to_owned()), Some(String::new()), CALLER).await;
    assert_eq!(refused.expect_err("full").code, ErrorCode::DiskFull);
    assert_eq!(this.driver.health("a").await, Some(Health::Passing));
}
