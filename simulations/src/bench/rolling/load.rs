//! Clients that pick in process, one for each agent, and call what they picked.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hobnob_api::Outcome;
use hobnob_api::discovery::{Discovery, DiscoveryConfig, DiscoveryPicker};
use tokio::runtime::Runtime;

use super::{RollingEffort, SERVICE};
use crate::processes::Fleet;

/// A call that takes longer has failed.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Kinds of failures that are kept.
const MAX_KINDS: usize = 20;

/// Calls so far.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    pub(super) made: u64,
    pub(super) failed: u64,
}

impl Calls {
    pub(super) fn since(self, before: Self) -> Self {
        Self { made: self.made - before.made, failed: self.failed - before.failed }
    }
}

#[derive(Default)]
struct Shared {
    made: AtomicU64,
    failed: AtomicU64,
    ends: AtomicBool,
    /// How often a call failed in this way.
    failures: Mutex<BTreeMap<String, u64>>,
}

/// The clients. They end with this.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    _runtime: Runtime,
}

impl Load {
    /// Starts one client for each agent. Each has heard of the service when this returns.
    pub(super) fn start(fleet: &Fleet, effort: RollingEffort) -> io::Result<Self> {
        let runtime = Runtime::new()?;
        let shared = Arc::new(Shared::default());
        let between = Duration::from_secs(effort.agents as u64) / effort.calls_per_second;
        let mut threads = Vec::new();
        for agent in 0..effort.agents {
            let mut config = DiscoveryConfig::new(SERVICE);
            config.socket = fleet.socket(agent);
            let discovery = runtime.block_on(async {
                let discovery = Discovery::start(config).expect("no selector");
                discovery.ready().await;
                discovery
            });
            let shared = shared.clone();
            threads
                .push(thread::Builder::new().spawn(move || client(&discovery, between, &shared))?);
        }
        Ok(Self { shared, threads, _runtime: runtime })
    }

    pub(super) fn calls(&self) -> Calls {
        // Failures first: a call is counted before its failure.
        let failed = self.shared.failed.load(Ordering::Acquire);
        Calls { made: self.shared.made.load(Ordering::Acquire), failed }
    }

    /// Ends the clients, and returns how calls failed.
    pub(super) fn end(mut self) -> Vec<String> {
        self.shared.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client does not panic");
        }
        let failures = self.shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().map(|(how, count)| format!("{count} times {how}")).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
    }
}

/// Calls at a steady rate until the end. The rate holds over time: a slow call is followed by faster ones.
fn client(discovery: &Discovery, between: Duration, shared: &Shared) {
    let mut picker = discovery.picker();
    let (since, mut calls) = (Instant::now(), 0);
    while !shared.ends.load(Ordering::Relaxed) {
        let called = call(&mut picker);
        shared.made.fetch_add(1, Ordering::Release);
        if let Err(how) = called {
            shared.failed.fetch_add(1, Ordering::Release);
            let mut failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if failures.len() < MAX_KINDS || failures.contains_key(&how) {
                *failures.entry(how).or_default() += 1;
            }
        }
        calls += 1;
        thread::sleep((between * calls).saturating_sub(since.elapsed()));
    }
}

fn call(picker: &mut DiscoveryPicker) -> Result<(), String> {
    let pick = picker.pick(None).ok_or("nothing to pick")?;
    let instance = pick.item();
    let ip: IpAddr = instance.address.parse().map_err(|_| "no address")?;
    let (address, since) = (SocketAddr::new(ip, instance.port), Instant::now());
    let answered = TcpStream::connect_timeout(&address, CALL_TIMEOUT).and_then(|mut stream| {
        stream.set_read_timeout(Some(CALL_TIMEOUT))?;
        stream.read_exact(&mut [0; 1])
    });
    let (id, status) = (instance.id.clone(), instance.status);
    let outcome = if answered.is_ok() { Outcome::Success } else { Outcome::Failure };
    pick.complete(outcome, since.elapsed());
    answered.map_err(|error| format!("{id} ({status:?}): {error}"))
}
