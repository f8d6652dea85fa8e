//! What calls taught this process, told to the agent: at most once a second, in sums, and never in the way of a call.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hobnob_balancer::{Instance as Balanced, Layered};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::stats::Counters;
use crate::discovery::DiscoveryConfig;
use crate::types::{Instance, InstanceCalls, Request, ServiceCalls};

/// Time from one report to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// The most instances of a report, which is what agents take. Those with the most failures come first.
const MAX_INSTANCES: usize = 256;
/// Programs that wait for a report.
const MAX_ASKED: usize = 16;

/// Makes the reports of one discovery.
pub(crate) struct Reporting {
    service: String,
    namespace: String,
    counters: Arc<Counters>,
    /// Absent when nothing is to be told.
    ticks: Option<Interval>,
    asked: mpsc::Receiver<oneshot::Sender<bool>>,
    /// Waits for the report that is due.
    waiting: Option<oneshot::Sender<bool>>,
    /// What was told of each target, or came to pass without being told.
    told: BTreeMap<Arc<str>, Sums>,
    /// The agent takes no reports: it is of an earlier version.
    is_refused: bool,
}

/// Asks for a report before it is due.
#[derive(Debug)]
pub(crate) struct Flush(Option<mpsc::Sender<oneshot::Sender<bool>>>);

/// The outcomes of one target since its balancer began.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    completed: u64,
    failures: u64,
}

impl Flush {
    /// Waits until the agent was told of what calls came to so far. Returns whether that happened in time.
    pub(crate) async fn ask(&self, within: Duration) -> bool {
        let Some(asking) = &self.0 else { return false };
        let (done, told) = oneshot::channel();
        let asked = async { asking.send(done).await.is_ok() && told.await.unwrap_or(false) };
        timeout(within, asked).await.unwrap_or(false)
    }
}

impl Reporting {
    pub(crate) fn new(config: &DiscoveryConfig, counters: Arc<Counters>) -> (Self, Flush) {
        let (asking, asked) = mpsc::channel(MAX_ASKED);
        let ticks = config.calls.report.then(|| {
            let mut ticks = interval_at(Instant::now() + PERIOD, PERIOD);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let flush = Flush(ticks.is_some().then_some(asking));
        let (service, namespace) = (config.service.clone(), config.namespace.clone());
        let (told, waiting) = (BTreeMap::new(), None);
        let is_refused = false;
        let reporting =
            Self { service, namespace, counters, ticks, asked, waiting, told, is_refused };
        (reporting, flush)
    }

    /// The agent is there, after it was away. What came to pass meanwhile says little about now, and is not told.
    pub(crate) fn begin(&mut self, balancer: &Layered<Arc<Instance>>) {
        self.is_refused = false;
        self.leave_out(balancer);
    }

    /// Waits until a report is due.
    pub(crate) async fn due(&mut self) {
        let Some(ticks) = &mut self.ticks else { return pending().await };
        self.waiting = match select(pin!(ticks.tick()), pin!(self.asked.recv())).await {
            Either::Left(_) => None,
            Either::Right((Some(waiting), _)) => Some(waiting),
            // Its discovery is being dropped, and this task with it.
            Either::Right((None, _)) => pending().await,
        };
    }

    /// The report that is due; `None` when there is nothing to tell. A program that only picks tells nothing.
    pub(crate) fn report(&mut self, balancer: &Layered<Arc<Instance>>) -> Option<Request> {
        if self.counters.calls.get() == 0 {
            return None;
        }
        if self.is_refused {
            self.leave_out(balancer);
            return None;
        }
        let mut instances = self.news(balancer);
        instances.sort_by_key(|one| std::cmp::Reverse((one.failures, one.successes)));
        let left_out = instances.split_off(instances.len().min(MAX_INSTANCES));
        self.count_left_out(&left_out);
        let (service, namespace) = (self.service.clone(), self.namespace.clone());
        let calls = vec![ServiceCalls { service, namespace, instances }];
        (!calls[0].instances.is_empty()).then(|| Request::Report { reports: Vec::new(), calls })
    }

    /// The report was sent, or there was nothing to tell.
    pub(crate) fn done(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            // The program may have given up.
            let _ = waiting.send(!self.is_refused);
        }
    }

    /// The agent refused a report, and is told no more.
    pub(crate) fn refused(&mut self) {
        self.is_refused = true;
    }

    /// Counts as told what was not.
    fn leave_out(&mut self, balancer: &Layered<Arc<Instance>>) {
        let left_out = self.news(balancer);
        if self.ticks.is_some() && self.counters.calls.get() > 0 {
            self.count_left_out(&left_out);
        }
    }

    fn count_left_out(&self, left_out: &[InstanceCalls]) {
        let sum = |one: &InstanceCalls| u64::from(one.successes) + u64::from(one.failures);
        self.counters.untold.add_many(left_out.iter().map(sum).sum());
    }

    /// What came to pass since the last time, of each target to which anything did.
    fn news(&mut self, balancer: &Layered<Arc<Instance>>) -> Vec<InstanceCalls> {
        let before = std::mem::take(&mut self.told);
        let mut news = Vec::new();
        for layer in balancer.layers() {
            for target in layer.snapshot().instances() {
                let now = Sums { completed: target.completed(), failures: target.failures() };
                let before = before.get(target.id()).copied().unwrap_or_default();
                self.told.insert(target.id().clone(), now);
                news.extend(since(target, before, now));
            }
        }
        news
    }
}

/// The calls of a target from one moment to another. A target that came back counts from zero again.
fn since(target: &Balanced<Arc<Instance>>, before: Sums, now: Sums) -> Option<InstanceCalls> {
    let is_same = before.completed <= now.completed && before.failures <= now.failures;
    let before = if is_same { before } else { Sums::default() };
    let failures = now.failures - before.failures;
    let successes = (now.completed - before.completed).saturating_sub(failures);
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let latency = target.latency().filter(|_| successes > 0).unwrap_or_default();
    let calls = InstanceCalls {
        node_id: target.item().node_id,
        id: target.item().id.clone(),
        successes: count(successes),
        failures: count(failures),
        latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
    };
    (successes + failures > 0).then_some(calls)
}

#[cfg(test)]
mod tests {
    use hobnob_balancer::{Config, Layer, OVERPROVISIONING, Outcome, Strategy, Target};

    use super::*;
    use crate::testing::instance;

    fn balancer(ids: &[String]) -> Arc<Layered<Arc<Instance>>> {
        let balancer = Arc::new(Layered::new(&Config::default(), OVERPROVISIONING));
        let target = |id: &String| Target {
            id: id.as_str().into(),
            weight: 1,
            item: Arc::new(instance(id)),
        };
        balancer.update(vec![Layer {
            region: "dc1".into(),
            distance: 0,
            own_zone: false,
            targets: ids.iter().map(target).collect(),
            total: ids.len() as u64,
        }]);
        balancer
    }

    fn call(balancer: &Arc<Layered<Arc<Instance>>>, failing: &str) {
        let mut picker = balancer.picker();
        let pick = picker.pick(Strategy::RoundRobin, None).expect("one");
        let outcome = match pick.item().id == failing {
            true => Outcome::Failure,
            false => Outcome::Success,
        };
        pick.complete(outcome, Duration::from_millis(3));
    }

    fn told(report: Option<Request>) -> Vec<(String, u32, u32, u64)> {
        let Some(Request::Report { mut calls, .. }) = report else { return Vec::new() };
        let instances = calls.remove(0).instances.into_iter();
        instances.map(|one| (one.id, one.successes, one.failures, one.latency_us)).collect()
    }

    fn reporting() -> (Reporting, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let (reporting, _) = Reporting::new(&DiscoveryConfig::for_calls("web"), counters.clone());
        (reporting, counters)
    }

    #[tokio::test]
    async fn each_outcome_is_told_once_and_failures_come_first() {
        let (mut reporting, counters) = reporting();
        let balancer = balancer(&["a".to_owned(), "b".to_owned()]);
        (0..4).for_each(|_| call(&balancer, "b"));
        assert!(reporting.report(&balancer).is_none(), "these were picks");
        counters.calls.add();
        let report = told(reporting.report(&balancer));
        assert_eq!(report, [("b".to_owned(), 0, 2, 0), ("a".to_owned(), 2, 0, 3_000)]);
        assert!(reporting.report(&balancer).is_none(), "nothing new");
        (0..2).for_each(|_| call(&balancer, "b"));
        assert_eq!(told(reporting.report(&balancer)).len(), 2);
        assert_eq!(counters.stats().untold, 0);
    }

    #[tokio::test]
    async fn what_is_not_told_is_counted() {
        let (mut reporting, counters) = reporting();
        counters.calls.add();
        let ids: Vec<_> = (0..MAX_INSTANCES + 2).map(|number| format!("i{number:03}")).collect();
        let balancer = balancer(&ids);
        let rounds = 3 * ids.len();
        (0..rounds).for_each(|_| call(&balancer, &ids[0]));
        let report = told(reporting.report(&balancer));
        assert_eq!((report.len(), report[0].2), (MAX_INSTANCES, 3), "the one that fails is told");
        assert_eq!(counters.stats().untold, 6, "two instances, three calls each");
        (0..rounds).for_each(|_| call(&balancer, &ids[0]));
        reporting.begin(&balancer);
        assert_eq!(counters.stats().untold, 6 + rounds as u64, "the agent was away");
        assert!(reporting.report(&balancer).is_none());
        reporting.refused();
        call(&balancer, "");
        assert!(reporting.report(&balancer).is_none(), "an agent of an earlier version");
        assert_eq!(counters.stats().untold, 7 + rounds as u64);
    }
}
