//! The watch over listeners: one thread, which runs only while there is something to watch.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::kernel::{HostKernel, Kernel};

/// The time from one look to the next.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A look at so many listeners that it takes much processor time is followed by a pause of this many times as long, so
/// that looks take at most a twentieth of a core. Time for which others had the core does not count.
const PAUSE_TIMES: u32 = 19;
/// Looks after which the kernel is asked again which addresses are its own, since they come and go.
const LOOKS_PER_LOCALITY: u32 = 20;
/// Bytes of the thread's stack, which holds one batch of answers.
const STACK_BYTES: usize = 256 * 1024;

/// The knowledge of the listener of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::checks) struct Look {
    /// Whether the address is one of this network namespace.
    pub(in crate::checks) is_local: bool,
    /// Whether somebody listens there; `None` where the kernel does not say.
    pub(in crate::checks) listening: Option<bool>,
    /// When this was first seen.
    pub(in crate::checks) since: SystemTime,
}

/// Watches the listeners of this agent's checks. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ListenerWatch {
    /// Absent when an operator turned it off.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Listeners that are watched.
    watched: usize,
    next_id: u64,
    /// Each listener that came or went since the thread looked here last. One that went has no [`Watched`].
    changed: BTreeMap<u64, Option<Watched>>,
    is_running: bool,
}

/// The listener of one check: the addresses at which it may be found.
#[derive(Debug)]
struct Watched {
    addresses: Vec<SocketAddr>,
    tx: watch::Sender<Look>,
    /// The latest news that was sent.
    told: (bool, Option<bool>),
    /// The number of its addresses that are of this network namespace.
    own: usize,
}

/// A listener that is watched until this is dropped.
#[derive(Debug)]
pub(in crate::checks) struct Watching {
    id: u64,
    shared: Arc<Shared>,
    looks: watch::Receiver<Look>,
}

impl ListenerWatch {
    /// A watch that looks, or none.
    #[must_use]
    pub fn new(is_on: bool) -> Self {
        Self { shared: is_on.then(Arc::default) }
    }

    /// Watches the listener at this host and port. `None` for a name whose addresses may change, and when the watch is off.
    pub(in crate::checks) fn watch(&self, host: &str, port: u16) -> Option<Watching> {
        let shared = self.shared.clone()?;
        let addresses = addresses(host, port)?;
        let unknown = Look { is_local: false, listening: None, since: SystemTime::now() };
        let (tx, looks) = watch::channel(unknown);
        let mut state = shared.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.watched += 1;
        let told = (unknown.is_local, unknown.listening);
        state.changed.insert(id, Some(Watched { addresses, tx, told, own: 0 }));
        if !state.is_running {
            state.is_running = spawn(shared.clone());
        }
        drop(state);
        Some(Watching { id, shared, looks })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watching {
    /// Waits for news of the listener.
    pub(in crate::checks) async fn changed(&mut self) -> Look {
        match self.looks.changed().await {
            Ok(()) => *self.looks.borrow_and_update(),
            // The sender lives as long as this.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.watched -= 1;
        // One that the thread has not taken over is forgotten here.
        if state.changed.remove(&self.id).is_none() {
            state.changed.insert(self.id, None);
        }
    }
}

/// The addresses of a host that is not looked up. `localhost` is both of loopback, and an unspecified address means this
/// host, as in `connect`.
fn addresses(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let ips = match host.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => vec![loopback[0]],
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => vec![loopback[1]],
        Ok(ip) => vec![ip],
        Err(_) if host.eq_ignore_ascii_case("localhost") => loopback.to_vec(),
        Err(_) => return None,
    };
    Some(ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

/// Starts the thread. Returns whether it runs.
fn spawn(shared: Arc<Shared>) -> bool {
    let thread = thread::Builder::new().name("listeners".to_owned()).stack_size(STACK_BYTES);
    let spawned = thread.spawn(move || run(&shared));
    if let Err(error) = &spawned {
        tracing::warn!(%error, "the listeners of local services are not watched: the thread cannot be started");
    }
    spawned.is_ok()
}

fn run(shared: &Shared) {
    let mut kernel = HostKernel::default();
    let mut round = Round::default();
    let mut before = processor_time();
    while round.update(shared) {
        round.look(&mut kernel);
        let now = processor_time();
        thread::sleep(pause_after(now.saturating_sub(before)));
        before = now;
    }
}

/// The processor time that this thread has taken.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// The pause after a look that took this much processor time.
fn pause_after(took: Duration) -> Duration {
    LOOK_EVERY.max(took * PAUSE_TIMES)
}

/// The looks of one thread.
#[derive(Default)]
struct Round {
    watched: BTreeMap<u64, Watched>,
    /// Their addresses of this network namespace, in the same order.
    own: Vec<SocketAddr>,
    /// Each of their IP addresses, and whether it is of this network namespace.
    local: BTreeMap<IpAddr, bool>,
    looks_to_locality: u32,
}

impl Round {
    /// Takes over what is to be watched. Returns false, and lets another thread start later, when that is nothing.
    fn update(&mut self, shared: &Shared) -> bool {
        let changed = {
            let mut state = shared.lock();
            if state.watched == 0 {
                state.changed.clear();
                state.is_running = false;
                return false;
            }
            std::mem::take(&mut state.changed)
        };
        if !changed.is_empty() {
            self.looks_to_locality = 0;
        }
        for (id, watched) in changed {
            match watched {
                Some(watched) => self.watched.insert(id, watched),
                None => self.watched.remove(&id),
            };
        }
        true
    }

    /// Asks the kernel once for everything, and tells what is new.
    fn look(&mut self, kernel: &mut impl Kernel) {
        if self.looks_to_locality == 0 {
            self.looks_to_locality = LOOKS_PER_LOCALITY;
            self.locate(kernel);
        }
        self.looks_to_locality -= 1;
        let listening = kernel.listening(&self.own);
        let mut answers = listening.iter();
        for watched in self.watched.values_mut() {
            let is_local = watched.own > 0;
            let listening = any(answers.by_ref().take(watched.own));
            if watched.told != (is_local, listening) {
                watched.told = (is_local, listening);
                watched.tx.send_replace(Look { is_local, listening, since: SystemTime::now() });
            }
        }
    }

    /// Keeps the addresses of this network namespace. An answer that does not come changes nothing.
    fn locate(&mut self, kernel: &mut impl Kernel) {
        let addresses = self.watched.values().flat_map(|watched| &watched.addresses);
        let before = std::mem::take(&mut self.local);
        self.local.extend(addresses.map(|address| (address.ip(), false)));
        let ips: Vec<_> = self.local.keys().copied().collect();
        let answers = kernel.are_local(&ips);
        for ((ip, is_local), answer) in self.local.iter_mut().zip(answers) {
            *is_local = answer.or_else(|| before.get(ip).copied()).unwrap_or(false);
        }
        self.own.clear();
        for watched in self.watched.values_mut() {
            let is_own = |address: &&SocketAddr| self.local.get(&address.ip()) == Some(&true);
            let len = self.own.len();
            self.own.extend(watched.addresses.iter().filter(is_own));
            watched.own = self.own.len() - len;
        }
    }
}

/// Whether one of them is true; `None` when none is, and one is unknown, and of none at all.
fn any<'a>(answers: impl Iterator<Item = &'a Option<bool>>) -> Option<bool> {
    answers.copied().reduce(|one, other| match (one, other) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    })?
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A kernel of which the test knows everything.
    #[derive(Default)]
    struct FakeKernel {
        listening: Vec<SocketAddr>,
        local: Vec<IpAddr>,
        is_silent: bool,
        /// The largest number of IP addresses of one question.
        asked: usize,
    }

    impl Kernel for FakeKernel {
        fn listening(&mut self, addresses: &[SocketAddr]) -> Vec<Option<bool>> {
            let answer = |address| (!self.is_silent).then(|| self.listening.contains(address));
            addresses.iter().map(answer).collect()
        }

        fn are_local(&mut self, ips: &[IpAddr]) -> Vec<Option<bool>> {
            self.asked = self.asked.max(ips.len());
            let answer = |ip| (!self.is_silent).then(|| self.local.contains(ip));
            ips.iter().map(answer).collect()
        }
    }

    /// A watch whose thread is the test.
    fn watch_of_test(host: &str) -> (Arc<Shared>, Watching) {
        let shared = Arc::<Shared>::default();
        shared.lock().is_running = true;
        let watch = ListenerWatch { shared: Some(shared.clone()) };
        let watching = watch.watch(host, 80).expect("watched");
        (shared, watching)
    }

    fn seen(watching: &Watching) -> (bool, Option<bool>) {
        let look = *watching.looks.borrow();
        (look.is_local, look.listening)
    }

    #[test]
    fn hosts_that_are_watched() {
        let of = |host| {
            addresses(host, 80).map(|found| found.iter().map(SocketAddr::to_string).collect())
        };
        let some =
            |texts: &[&str]| Some(Vec::from_iter(texts.iter().map(|text| (*text).to_owned())));
        assert_eq!(of("127.0.0.1"), some(&["127.0.0.1:80"]));
        assert_eq!(of("0.0.0.0"), some(&["127.0.0.1:80"]));
        assert_eq!(of("::"), some(&["[::1]:80"]));
        assert_eq!(of("::ffff:10.0.0.1"), some(&["10.0.0.1:80"]));
        assert_eq!(of("localhost"), some(&["127.0.0.1:80", "[::1]:80"]));
        assert_eq!(of("db.example"), None);
        assert!(ListenerWatch::new(false).watch("127.0.0.1", 80).is_none());
    }

    #[test]
    fn a_change_is_told_once_and_only_of_an_own_address() {
        let (shared, mut watching) = watch_of_test("10.0.0.1");
        let address: SocketAddr = "10.0.0.1:80".parse().expect("an address");
        let mut kernel = FakeKernel { listening: vec![address], ..FakeKernel::default() };
        let mut round = Round::default();
        assert!(round.update(&shared));
        round.look(&mut kernel);
        assert_eq!(seen(&watching), (false, None), "another host, whoever listens here");

        kernel.local.push(address.ip());
        for _ in 0..LOOKS_PER_LOCALITY {
            round.look(&mut kernel);
        }
        assert_eq!(seen(&watching), (true, Some(true)), "the host got the address");
        assert!(watching.looks.has_changed().expect("sent"));
        watching.looks.mark_unchanged();
        round.look(&mut kernel);
        assert!(!watching.looks.has_changed().expect("sent"), "no news");

        kernel.listening.clear();
        round.look(&mut kernel);
        assert_eq!(seen(&watching), (true, Some(false)));
        kernel.is_silent = true;
        for _ in 0..=LOOKS_PER_LOCALITY {
            round.look(&mut kernel);
        }
        assert_eq!(seen(&watching), (true, None));
    }

    #[test]
    fn localhost_is_there_while_one_family_is() {
        let (shared, watching) = watch_of_test("localhost");
        let four: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let mut kernel = FakeKernel { local: vec![four.ip()], ..FakeKernel::default() };
        let mut round = Round::default();
        round.update(&shared);
        round.look(&mut kernel);
        assert_eq!(seen(&watching), (true, Some(false)), "a host without IPv6");
        kernel.listening.push(four);
        round.look(&mut kernel);
        assert_eq!(seen(&watching), (true, Some(true)));
        for (answers, found) in [
            ([Some(false), Some(true)], Some(true)),
            ([None, Some(true)], Some(true)),
            ([None, Some(false)], None),
            ([Some(false), Some(false)], Some(false)),
        ] {
            assert_eq!(any(answers.iter()), found, "{answers:?}");
        }
    }

    #[test]
    fn many_listeners_of_one_host_are_told_apart_and_located_once() {
        let shared = Arc::<Shared>::default();
        shared.lock().is_running = true;
        let watch = ListenerWatch { shared: Some(shared.clone()) };
        let mut watching: Vec<_> =
            (0..100).map(|port| watch.watch("127.0.0.1", port).expect("watched")).collect();
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listening = (0..100).filter(|port| port % 3 == 0).map(address).collect();
        let local = vec![Ipv4Addr::LOCALHOST.into()];
        let mut kernel = FakeKernel { listening, local, ..FakeKernel::default() };
        let mut round = Round::default();
        let mut check = |watching: &[Watching], kernel: &mut FakeKernel| {
            assert!(round.update(&shared));
            round.look(kernel);
            for watching in watching {
                assert_eq!(seen(watching), (true, Some(watching.id % 3 == 0)), "{}", watching.id);
            }
        };
        check(&watching, &mut kernel);
        watching.retain(|watching| watching.id % 7 != 0);
        check(&watching, &mut kernel);
        assert_eq!(kernel.asked, 1);
    }

    #[test]
    fn listeners_that_come_and_go_between_two_looks_leave_nothing_behind() {
        let (shared, taken_over) = watch_of_test("127.0.0.1");
        let watch = ListenerWatch { shared: Some(shared.clone()) };
        let mut round = Round::default();
        assert!(round.update(&shared));
        assert!(shared.lock().changed.is_empty());
        let _kept = watch.watch("127.0.0.1", 81).expect("watched");
        for port in 100..200 {
            drop(watch.watch("127.0.0.1", port).expect("watched"));
        }
        drop(taken_over);
        assert_eq!(shared.lock().changed.len(), 2, "the one that came and the one that went");
        assert!(round.update(&shared));
        assert_eq!(round.watched.len(), 1);
    }

    #[test]
    fn looks_take_a_twentieth_of_a_core_at_most() {
        assert_eq!(pause_after(Duration::from_micros(20)), LOOK_EVERY);
        let long = Duration::from_millis(10);
        assert_eq!(pause_after(long) + long, 20 * long);
    }

    /// A busy host takes the core away in the middle of a look.
    #[test]
    fn a_thread_that_waits_takes_no_processor_time() {
        let began = processor_time();
        thread::sleep(Duration::from_millis(50));
        let took = processor_time() - began;
        assert!(took < Duration::from_millis(10), "{took:?}");
    }

    #[test]
    fn the_thread_ends_when_nothing_is_left() {
        let (shared, watching) = watch_of_test("127.0.0.1");
        let mut round = Round::default();
        assert!(round.update(&shared));
        drop(watching);
        assert!(!round.update(&shared));
        assert!(!shared.lock().is_running, "the next one starts another");
    }

    #[tokio::test]
    async fn a_real_listener_is_seen_to_come_and_go() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let watch = ListenerWatch::new(true);
        let mut watching = watch.watch("127.0.0.1", address.port()).expect("watched");
        let look = watching.changed().await;
        assert_eq!((look.is_local, look.listening), (true, Some(true)));
        drop(listener);
        assert_eq!(watching.changed().await.listening, Some(false));
        let _listener = TcpListener::bind(address).expect("free again");
        assert_eq!(watching.changed().await.listening, Some(true));
    }
}
