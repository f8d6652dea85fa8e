//! The source of all answers: every service with its instances and its balancer, readable from any thread.
//!
//! The driver is the only writer. Readers load immutable snapshots and wait for nobody.

mod changes;
mod entry;
mod index;
mod ledger;
mod locality;
mod members;
mod scope;
mod service;
mod settings;
mod shown;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod told;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use hobnob_api::Grade;
use hobnob_balancer::{Observed, Pick, Strategy};
use hobnob_membership::record::Balancing;
use hobnob_membership::view::Instance;
use hobnob_membership::{DatacenterId, NodeId, Time};
use imbl::OrdMap;
use tokio::sync::{Notify, watch};

use crate::budget::{Budget, Exhausted, MAX_BALANCER_BYTES};
use crate::clock::{Clock, millis};

use changes::ChangeLog;
pub(crate) use changes::{AllSince, Since, Subscription};
pub(crate) use entry::{Entry, target_id};
use ledger::Ledger;
pub(crate) use locality::Locality;
use members::MemberLog;
pub(crate) use members::{
    KnownLoss, KnownLosses, KnownMember, KnownMembers, MemberNews, MembersSince, shown_losses,
};
pub(crate) use scope::{Scope, Scoped, ScopedPicker, Standing, matches};
pub(crate) use service::{Instances, Service, ServiceKey};
use service::{ScopeCounters, ScopeError};
pub(crate) use shown::Shown;
pub(crate) use told::{Taken, ToldCounters};
pub(crate) use writer::Writer;

/// Time between two moves of the clock of the balancers that need one.
const ADVANCE_PERIOD: Duration = Duration::from_millis(100);

/// The agent's view of all services.
pub(crate) struct Registry {
    own: NodeId,
    locality: Locality,
    clock: Clock,
    services: ArcSwap<OrdMap<ServiceKey, Arc<Service>>>,
    isolated: AtomicBool,
    /// The time of the last contact in microseconds on the agent's clock; `u64::MAX` before the first.
    last_contact: AtomicU64,
    /// When each origin last lived, in the order of their ids.
    last_alive: ArcSwap<Vec<(NodeId, Time)>>,
    /// Bytes a second to and from each other datacenter.
    traffic: ArcSwap<BTreeMap<DatacenterId, [u64; 2]>>,
    changes: Arc<ChangeLog>,
    /// Counts each begin and each end of showing changes of services: odd while they are half shown.
    publication: AtomicU64,
    members: MemberLog,
    /// The word for this run of the agent.
    run: String,
    /// Watches that started over, because their client read too slowly or named changes that are no longer kept.
    watch_resets: AtomicU64,
    told: ToldCounters,
    scopes: ScopeCounters,
    /// The budget of the balancers of scopes and of the tables of strategies.
    balancers: Arc<Budget>,
    /// The services whose balancers need a clock.
    timed: Mutex<Vec<Weak<Service>>>,
    some_timed: Notify,
    ledger: Ledger,
}

impl Registry {
    /// A view without services. `first_revision` must be higher than any that an earlier life of this agent reached.
    pub(crate) fn new(
        own: NodeId,
        locality: Locality,
        clock: Clock,
        first_revision: u64,
    ) -> (Arc<Self>, Writer) {
        let registry = Arc::new(Self {
            own,
            locality,
            clock,
            timed: Mutex::default(),
            some_timed: Notify::new(),
            ledger: Ledger::default(),
            services: ArcSwap::default(),
            isolated: AtomicBool::new(false),
            last_contact: AtomicU64::new(u64::MAX),
            last_alive: ArcSwap::default(),
            traffic: ArcSwap::default(),
            changes: ChangeLog::new(first_revision),
            publication: AtomicU64::new(0),
            members: MemberLog::new(first_revision),
            run: format!("{:016x}", rand::random::<u64>()),
            watch_resets: AtomicU64::new(0),
            told: ToldCounters::default(),
            scopes: ScopeCounters::default(),
            balancers: Budget::new(MAX_BALANCER_BYTES),
        });
        (registry.clone(), Writer::new(registry))
    }

    /// A service, unless it has no instance.
    pub(crate) fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.services.load().get(key).cloned()
    }

    /// Every service that has an instance.
    pub(crate) fn services(&self) -> Arc<OrdMap<ServiceKey, Arc<Service>>> {
        self.services.load_full()
    }

    /// Whether this agent has lost touch with all other members.
    pub(crate) fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Relaxed)
    }

    /// Bytes a second to and from each other datacenter.
    pub(crate) fn traffic(&self) -> Arc<BTreeMap<DatacenterId, [u64; 2]>> {
        self.traffic.load_full()
    }

    /// Time since another member was heard.
    pub(crate) fn since_last_contact(&self) -> Option<Duration> {
        let micros = self.last_contact.load(Ordering::Relaxed);
        (micros != u64::MAX).then(|| self.clock.now().since(Time::from_micros(micros)))
    }

    /// Time left until a moment of the balancers' clock, in microseconds.
    pub(crate) fn until(&self, micros: u64) -> Duration {
        Time::from_micros(micros).since(self.clock.now())
    }

    /// The revision of the view now.
    pub(crate) fn revision(&self) -> u64 {
        self.changes.revision()
    }

    /// Wakes for each change of a service from now on.
    pub(crate) fn subscribe(&self, key: ServiceKey) -> Subscription {
        self.changes.subscribe(key)
    }

    /// The index of a service, whether or not it is there: the revision of its latest change.
    pub(crate) fn index_of(&self, key: &ServiceKey) -> u64 {
        self.changes.index_of(key)
    }

    /// The revision of the latest change of any service.
    pub(crate) fn index_of_services(&self) -> u64 {
        self.changes.index_of_services()
    }

    /// The state of showing changes of services, for [`Self::is_still`].
    pub(crate) fn publication(&self) -> u64 {
        self.publication.load(Ordering::SeqCst)
    }

    /// Whether no changes of services were half shown at any time since then: what was read of them meanwhile and their revisions
    /// belong together.
    pub(crate) fn is_still(&self, publication: u64) -> bool {
        publication.is_multiple_of(2) && self.publication() == publication
    }

    /// The changes of a service after a revision.
    pub(crate) fn changes_since(&self, key: &ServiceKey, revision: u64) -> Since {
        self.changes.since(key, revision)
    }

    /// Wakes for each change of any service from now on.
    pub(crate) fn subscribe_to_all(&self) -> Subscription {
        self.changes.subscribe_to_all()
    }

    /// The changes of all services after a revision.
    pub(crate) fn all_changes_since(&self, revision: u64) -> AllSince {
        self.changes.all_since(revision)
    }

    /// The word for this run of the agent. No other run of any agent has it.
    pub(crate) fn run(&self) -> &str {
        &self.run
    }

    /// Whether a revision can be of this run, which its asker may know by name.
    pub(crate) fn is_of_this_run(&self, revision: u64, run: Option<&str>) -> bool {
        run.is_none_or(|run| run == self.run) && self.changes.is_of_this_run(revision)
    }

    /// All members that are not gone, with the revision up to which they are known.
    pub(crate) fn members(&self) -> (KnownMembers, u64) {
        self.members.all()
    }

    /// The mass losses that are not over, the oldest first.
    pub(crate) fn mass_losses(&self) -> KnownLosses {
        self.members.mass_losses()
    }

    /// The changes of members after a revision, and the revision up to which they are known.
    pub(crate) fn members_since(&self, revision: u64) -> (MembersSince, u64) {
        self.members.since(revision)
    }

    /// Wakes for each change of the members from now on.
    pub(crate) fn subscribe_to_members(&self) -> watch::Receiver<()> {
        self.members.subscribe()
    }

    /// Keeps no more than so many changes from now on.
    #[cfg(test)]
    pub(crate) fn keep_changes(&self, limit: usize) {
        self.changes.keep(limit);
        self.members.keep_changes(limit);
    }

    /// The time on the agent's clock.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Counts a watch that starts over.
    pub(crate) fn count_watch_reset(&self) {
        self.watch_resets.fetch_add(1, Ordering::Relaxed);
    }

    /// The balancer of a scope of a service.
    pub(crate) fn scoped(
        &self,
        service: &Service,
        scope: &Scope,
    ) -> Result<Arc<Scoped>, ScopeError> {
        match service.scoped(scope, &self.scopes, &self.balancers) {
            Err(ScopeError::Exhausted(_)) => {
                self.drop_idle_scopes();
                service.scoped(scope, &self.scopes, &self.balancers)
            }
            scoped => scoped,
        }
    }

    /// Brings a balancer up to date. Each pick begins with it. While load moves between datacenters, the balancer needs the
    /// clock.
    pub(crate) fn refresh(&self, service: &Arc<Service>, scoped: &Scoped) {
        service.refresh(scoped);
        if scoped.is_moving() {
            self.need_clock(service);
        }
    }

    /// Moves the clock of a service's balancers from now on, if that does not happen already.
    fn need_clock(&self, service: &Arc<Service>) {
        if service.need_clock() {
            self.keep_time(service);
        }
    }

    /// Makes room for the table of a strategy, before the first pick that needs it.
    pub(crate) fn reserve(
        &self,
        service: &Service,
        scoped: &Scoped,
        strategy: Strategy,
    ) -> Result<(), Exhausted> {
        service.reserve(scoped, strategy, &self.balancers).or_else(|_| {
            self.drop_idle_scopes();
            service.reserve(scoped, strategy, &self.balancers)
        })
    }

    fn drop_idle_scopes(&self) {
        self.services().values().for_each(|service| service.drop_idle_scopes(&self.scopes));
    }

    /// The datacenters in the order in which calls to a service prefer them: the agent's own, those that the service fails over
    /// to, the others by round trip. One that is not measured yet is left out.
    pub(crate) fn datacenters_by_nearness(&self, service: &Service) -> Vec<String> {
        let own = std::iter::once(self.locality.datacenter.clone());
        let failover = service.balancing().failover.iter().map(ToString::to_string);
        own.chain(failover).chain(self.locality.nearest.load().iter().cloned()).collect()
    }

    /// Counters, by name.
    pub(crate) fn counters(&self) -> [(&'static str, u64); 9] {
        let [told, failed, doubted, unknown] = self.told.read();
        [
            ("balancer_bytes", self.balancers.held() as u64),
            ("balancer_bytes_refused", self.balancers.refused()),
            ("scopes_built", self.scopes.built.load(Ordering::Relaxed)),
            ("scopes_evicted", self.scopes.evicted.load(Ordering::Relaxed)),
            ("watch_resets", self.watch_resets.load(Ordering::Relaxed)),
            ("outcomes_told", told),
            ("outcomes_failed", failed),
            ("outcomes_doubted", doubted),
            ("outcomes_unknown", unknown),
        ]
    }

    /// Keeps a call that will be reported, and names it.
    pub(crate) fn open_call(&self, service: &Arc<Service>, pick: Pick<Arc<Entry>>) -> u64 {
        self.need_clock(service);
        self.ledger.open(pick, self.clock.now().since(Time::ZERO))
    }

    /// Ends calls, and says how many of them were open.
    pub(crate) fn close_calls(&self, reports: &[hobnob_api::CallReport]) -> usize {
        self.ledger.close(reports, self.clock.now().since(Time::ZERO))
    }

    /// Learns from calls of a client that picked for itself. Returns whether the instance is known, and offered.
    pub(crate) fn observe(&self, service: &Arc<Service>, id: &str, observed: &Observed) -> bool {
        self.need_clock(service);
        service.observe(id, observed)
    }

    /// Counts outcomes that clients told of calls for which they picked themselves.
    pub(crate) fn told(&self) -> &ToldCounters {
        &self.told
    }

    /// A service without instances yet.
    fn new_service(&self, balancing: Balancing) -> Arc<Service> {
        let service = Arc::new(Service::new(balancing, self.locality.clone()));
        if service.is_timed() {
            self.keep_time(&service);
        }
        service
    }

    /// Moves the clock of a service's balancers from now on. The clock is set first: a circuit that opens on a clock that
    /// stands at zero would close at once when the clock is set.
    fn keep_time(&self, service: &Arc<Service>) {
        service.advance(self.clock.now().since(Time::ZERO));
        let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        timed.push(Arc::downgrade(service));
        self.some_timed.notify_one();
    }

    /// Moves the clock of all balancers that need one; sleeps while there are none.
    pub(crate) async fn advance(self: Arc<Self>) {
        loop {
            let services: Vec<Arc<Service>> = {
                let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
                timed.retain(|service| service.strong_count() > 0);
                timed.iter().filter_map(Weak::upgrade).collect()
            };
            if services.is_empty() {
                self.some_timed.notified().await;
                continue;
            }
            let now = self.clock.now().since(Time::ZERO);
            services.iter().for_each(|service| service.advance(now));
            self.ledger.expire(now);
            drop(services);
            tokio::time::sleep(ADVANCE_PERIOD).await;
        }
    }

    /// An instance for an answer, with its age now, among others of which this grade is offered.
    pub(crate) fn show(&self, entry: &Arc<Entry>, offered: Option<Grade>) -> Shown {
        Shown::new(entry.clone(), entry.is_offered(offered), millis(self.age(entry)))
    }

    /// A picked instance for an answer, with its age now.
    pub(crate) fn show_picked(&self, entry: &Arc<Entry>) -> Shown {
        Shown::new(entry.clone(), true, millis(self.age(entry)))
    }

    /// Time since the instance's node was last known to be alive. For a node that is newer than the published ages, it
    /// is the time since any member was heard.
    pub(crate) fn age(&self, instance: &Instance) -> Duration {
        if instance.origin == self.own {
            return Duration::ZERO;
        }
        let known = self.last_alive.load();
        let found = known.binary_search_by_key(&instance.origin, |(origin, _)| *origin);
        match found.ok().and_then(|at| known.get(at)) {
            Some((_, alive)) => self.clock.now().since(*alive),
            None => self.since_last_contact().unwrap_or_default(),
        }
    }
}
