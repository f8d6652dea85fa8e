//! Host names of checks become addresses.
//!
//! A lookup occupies a thread of the runtime until the system's resolver gives up, some ten seconds for a name that no
//! resolver answers, even when the probe that wanted it has timed out long before. So that such names do not keep others
//! from being looked up, a name has one lookup at a time, which all probes share; and a lookup that takes long moves to
//! places of its own, where the next lookup of the same name begins.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::ProbeError;

/// Names that are looked up at once. Further ones wait; that is no news about their instances.
pub const MAX_RESOLUTIONS: usize = 32;
/// Names that are slow to be looked up, beside those. Together they leave threads of the runtime for the disk.
pub const MAX_SLOW_RESOLUTIONS: usize = 256;
/// A lookup that takes longer than this is slow.
const SLOW_AFTER: Duration = Duration::from_millis(200);
/// Slow names that are remembered. With more of them, any may be taken for a quick one.
const MAX_SLOW_NAMES: usize = 4_096;

static LOOKUPS: LazyLock<Arc<Lookups>> = LazyLock::new(Lookups::new);

/// The addresses of a host, looked up unless it is an address itself.
pub(super) async fn addresses(host: &str, deadline: Instant) -> Result<Vec<IpAddr>, ProbeError> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    LOOKUPS.lookup(host, system, deadline).await
}

async fn system(name: String) -> io::Result<Vec<IpAddr>> {
    Ok(lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
}

/// The result of a lookup, for all that wait for it.
type Found = Result<Vec<IpAddr>, Arc<io::Error>>;

/// The lookups of this process.
struct Lookups {
    quick: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: BTreeMap<String, UnderWay>,
    slow_names: BTreeSet<String>,
}

/// A lookup that waits for a place, or has one.
#[derive(Clone)]
struct UnderWay {
    found: watch::Receiver<Option<Found>>,
    has_begun: Arc<AtomicBool>,
}

impl Lookups {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            quick: Arc::new(Semaphore::new(MAX_RESOLUTIONS)),
            slow: Arc::new(Semaphore::new(MAX_SLOW_RESOLUTIONS)),
            state: Mutex::default(),
        })
    }

    /// Looks a name up, or waits for the lookup that is under way.
    async fn lookup<R: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static>(
        self: &Arc<Self>,
        host: &str,
        resolver: impl FnOnce(String) -> R,
        deadline: Instant,
    ) -> Result<Vec<IpAddr>, ProbeError> {
        let UnderWay { mut found, has_begun } = self.under_way(host, resolver);
        let host = || host.to_owned();
        let found = match timeout_at(deadline, found.wait_for(Option::is_some)).await {
            Ok(Ok(found)) => found.clone(),
            // The task of the lookup is gone, as when the runtime ends.
            Ok(Err(_)) => None,
            Err(_) if has_begun.load(Ordering::Relaxed) => {
                return Err(ProbeError::Unresolved { host: host() });
            }
            Err(_) => None,
        };
        let found = found.ok_or_else(|| ProbeError::NoLookup { host: host() })?;
        found.map_err(|source| ProbeError::Lookup { host: host(), source })
    }

    fn under_way<R: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static>(
        self: &Arc<Self>,
        host: &str,
        resolver: impl FnOnce(String) -> R,
    ) -> UnderWay {
        let mut state = self.state();
        if let Some(under_way) = state.under_way.get(host) {
            return under_way.clone();
        }
        let (tell, found) = watch::channel(None);
        let under_way = UnderWay { found, has_begun: Arc::default() };
        state.under_way.insert(host.to_owned(), under_way.clone());
        let is_slow = state.slow_names.contains(host);
        let (this, name, resolving) = (self.clone(), host.to_owned(), resolver(host.to_owned()));
        let has_begun = under_way.has_begun.clone();
        tokio::spawn(async move {
            let found = this.run(&name, is_slow, resolving, &has_begun).await;
            this.state().under_way.remove(&name);
            tell.send_replace(Some(found.map_err(Arc::new)));
        });
        under_way
    }

    async fn run(
        &self,
        name: &str,
        is_slow: bool,
        resolving: impl Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
        has_begun: &AtomicBool,
    ) -> io::Result<Vec<IpAddr>> {
        let places = if is_slow { &self.slow } else { &self.quick };
        let mut place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        has_begun.store(true, Ordering::Relaxed);
        let began = Instant::now();
        let mut resolving = tokio::spawn(resolving);
        if !is_slow {
            tokio::select! {
                found = &mut resolving => return found?,
                () = sleep(SLOW_AFTER) => self.remember_slow(name),
            }
            // Without a free place there, it keeps the one that it has.
            if let Ok(slow) = self.slow.clone().try_acquire_owned() {
                place = slow;
            }
        }
        let found = resolving.await;
        drop(place);
        if began.elapsed() < SLOW_AFTER {
            self.state().slow_names.remove(name);
        }
        found?
    }

    fn remember_slow(&self, name: &str) {
        let mut state = self.state();
        if state.slow_names.len() >= MAX_SLOW_NAMES {
            state.slow_names.pop_first();
        }
        state.slow_names.insert(name.to_owned());
    }

    /// A thread that panicked while it held the lock left the state in order, since each change of it is one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);
    /// The time that the system's resolver takes to give up.
    const GIVE_UP: Duration = Duration::from_secs(10);

    /// Names that begin with `dead` are answered by no resolver.
    async fn resolve(name: String) -> io::Result<Vec<IpAddr>> {
        if name.starts_with("dead") {
            sleep(GIVE_UP).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }

    async fn lookup(lookups: &Arc<Lookups>, name: &str) -> Result<Vec<IpAddr>, ProbeError> {
        lookups.lookup(name, resolve, Instant::now() + WITHIN).await
    }

    async fn lookup_dead(lookups: &Arc<Lookups>, count: usize) {
        let probes = (0..count).map(|number| {
            let lookups = lookups.clone();
            tokio::spawn(async move { lookup(&lookups, &format!("dead-{number}")).await })
        });
        for probe in probes.collect::<Vec<_>>() {
            probe.await.expect("no panic").expect_err("nobody answers");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_nobody_answers_take_no_place_of_others() {
        let lookups = Lookups::new();
        for round in 0..5 {
            let dead = tokio::spawn({
                let lookups = lookups.clone();
                async move { lookup_dead(&lookups, MAX_RESOLUTIONS + 8).await }
            });
            let found = lookup(&lookups, "localhost").await;
            assert!(found.is_ok_and(|found| found.len() == 1), "round {round}");
            dead.await.expect("no panic");
        }
        assert!(lookups.state().slow_names.contains("dead-0"));
    }

    /// When even the places of slow names are taken, a name that is known to be slow waits there, and quick ones do not.
    #[tokio::test(start_paused = true)]
    async fn more_slow_names_than_places_wait_among_themselves() {
        let lookups = Lookups::new();
        // Each of the names that find no place there keeps one of the quick places, once.
        for _ in 0..60 {
            lookup_dead(&lookups, MAX_SLOW_RESOLUTIONS + 100).await;
        }
        assert!(lookup(&lookups, "localhost").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_at_a_time() {
        let lookups = Lookups::new();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = |name: String| {
            let count = count.clone();
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                resolve(name).await
            }
        };
        let deadline = Instant::now() + GIVE_UP / 2;
        let (a, b) = tokio::join!(
            lookups.lookup("dead-1", counted, deadline),
            lookups.lookup("dead-1", counted, deadline)
        );
        assert!(a.is_err() && b.is_err());
        assert_eq!(count.load(Ordering::Relaxed), 1);
        let after = lookups.lookup("dead-1", counted, deadline + GIVE_UP).await;
        assert!(matches!(after, Err(ProbeError::Lookup { .. })), "the resolver gave up");
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert!(lookups.state().under_way.is_empty());
    }
}
