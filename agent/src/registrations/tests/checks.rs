//! Checks that come to an instance which is there, and go.

use hobnob_api::CheckStatus;

use super::*;
use crate::checks::SelfReport;

fn ttl(name: &str, initial: CheckStatus) -> Check {
    let probe = Probe::Ttl { ttl_ms: 3_600_000 };
    Check { name: name.to_owned(), initial: Some(initial), ..Check::new(probe) }
}

fn leased(id: &str) -> Registration {
    let checks = vec![ttl("lease", CheckStatus::Critical)];
    Registration { id: Some(id.to_owned()), checks, ..web(80) }
}

impl TestRegistrar {
    async fn report(&self, check: &str, status: CheckStatus) {
        let report = SelfReport { status, note: format!("{check} says so") };
        let heard = self.handle.report("web-1".to_owned(), Some(check.to_owned()), report).await;
        assert_eq!(heard.as_deref(), Ok(check));
    }

    async fn put_check(&self, check: Check) -> Result<RegisterOutcome, ErrorCode> {
        let put = self.handle.put_check("web-1".to_owned(), check, CALLER).await;
        put.map_err(|error| error.code)
    }

    async fn remove_check(&self, id: &str) -> Result<(), ErrorCode> {
        let removed = self.handle.remove_check("default".to_owned(), id.to_owned(), CALLER).await;
        removed.map_err(|error| error.code)
    }

    /// The checks with their statuses and outputs.
    async fn shown(&self) -> Vec<(String, String, Option<String>)> {
        let checks = self.driver.handle.checks("web-1".to_owned()).await.expect("asked");
        checks.into_iter().map(|check| (check.name, check.status, check.output)).collect()
    }
}

fn says(check: &str, status: &str) -> (String, String, Option<String>) {
    (check.to_owned(), status.to_owned(), Some(format!("{check} says so")))
}

#[tokio::test(start_paused = true)]
async fn a_check_comes_and_goes_while_the_others_keep_their_verdicts() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    this.handle.register(leased("web-1"), CALLER).await.expect("registered");
    this.report("lease", CheckStatus::Passing).await;
    this.driver.until_health("web-1", Health::Passing).await;

    let disk = ttl("disk", CheckStatus::Critical);
    assert_eq!(this.put_check(disk.clone()).await, Ok(RegisterOutcome::Replaced));
    assert_eq!(this.driver.health("web-1").await, Some(Health::Failing), "the worst decides");
    let shown = this.shown().await;
    assert_eq!((shown.len(), &shown[0], &*shown[1].1), (2, &says("lease", "passing"), "critical"));
    this.report("disk", CheckStatus::Passing).await;
    this.driver.until_health("web-1", Health::Passing).await;
    let on_disk = this.disk.content(LOG);
    assert_eq!(this.put_check(disk.clone()).await, Ok(RegisterOutcome::Unchanged));
    assert_eq!(this.disk.content(LOG), on_disk);

    // Both hear reports after a restart, and one that is registered in another way begins anew.
    let this = this.restart().await;
    this.report("lease", CheckStatus::Passing).await;
    this.report("disk", CheckStatus::Warning).await;
    this.driver.until_health("web-1", Health::Warning).await;
    let other = Check { initial: Some(CheckStatus::Passing), ..disk };
    assert_eq!(this.put_check(other).await, Ok(RegisterOutcome::Replaced));
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing));
    assert_eq!(this.shown().await[0], says("lease", "passing"));

    // The first one goes, and then the last one.
    this.report("disk", CheckStatus::Warning).await;
    this.driver.until_health("web-1", Health::Warning).await;
    assert_eq!(this.remove_check("lease").await, Ok(()));
    assert_eq!(this.shown().await, [says("disk", "warning")]);
    assert_eq!(this.remove_check("lease").await, Err(ErrorCode::CheckNotFound));
    let this = this.restart().await;
    assert_eq!(this.shown().await.len(), 1);
    assert_eq!(this.remove_check("disk").await, Ok(()));
    assert_eq!(this.driver.health("web-1").await, Some(Health::Passing), "its agent lives");
    assert_eq!(this.restart().await.driver.health("web-1").await, Some(Health::Passing));
}

#[tokio::test(start_paused = true)]
async fn an_id_of_a_check_stays_over_later_registrations_and_a_restart() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    // The later one comes first by id.
    for id in ["web-1", "a"] {
        this.handle.register(leased(id), CALLER).await.expect("registered");
    }
    let holders = |this: &TestRegistrar| {
        let known = this.handle.check_ids();
        let of = |id: &str| known.find("default", id).map(|of| of.instance.to_string());
        ["lease", "service:web-1", "service:a"].map(of)
    };
    let expected = ["web-1", "web-1", "a"].map(|id| Some(id.to_owned()));
    assert_eq!(holders(&this), expected);
    let this = this.restart().await;
    assert_eq!(holders(&this), expected);
    assert_eq!(
        this.put_check(ttl("disk", CheckStatus::Passing)).await,
        Ok(RegisterOutcome::Replaced)
    );
    assert_eq!(holders(&this), expected);
    this.handle.deregister("web-1".to_owned(), CALLER).await.expect("deregistered");
    let left = [None, None, Some("a".to_owned())];
    assert_eq!(holders(&this), left);
    assert_eq!(holders(&this.restart().await), left);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_cannot_be_is_refused_and_leaves_no_trace() {
    let this = TestRegistrar::start(FakeDisk::new()).await;
    let passing = |name: &str| ttl(name, CheckStatus::Passing);
    assert_eq!(this.put_check(passing("disk")).await, Err(ErrorCode::InstanceNotFound));
    this.handle.register(leased("other"), CALLER).await.expect("registered");
    let checks = (0..16).map(|number| passing(&format!("c{number}"))).collect();
    let full = Registration { checks, ..leased("web-1") };
    this.handle.register(full, CALLER).await.expect("registered");
    let on_disk = this.disk.content(LOG);
    assert_eq!(this.put_check(passing("lease")).await, Err(ErrorCode::CheckInvalid), "of `other`");
    assert_eq!(this.put_check(passing("one more")).await, Err(ErrorCode::NameInvalid));
    assert_eq!(this.put_check(passing("more")).await, Err(ErrorCode::TooManyChecks));
    let never = Check { interval_ms: 0, ..passing("c1") };
    assert_eq!(this.put_check(never).await, Err(ErrorCode::CheckInvalid));
    assert_eq!(this.disk.content(LOG), on_disk);
    this.disk.set_writes(Writes::Fail(IoErrorKind::StorageFull));
    let changed = ttl("c1", CheckStatus::Critical);
    assert_eq!(this.put_check(changed).await, Err(ErrorCode::DiskFull));
    assert_eq!(this.remove_check("c1").await, Err(ErrorCode::DiskFull));
    assert_eq!(
        (this.shown().await.len(), this.driver.health("web-1").await),
        (16, Some(Health::Passing))
    );
}
