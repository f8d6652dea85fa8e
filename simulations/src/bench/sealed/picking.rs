//! A client that picks again and again, as a proxy does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::bench::goals::quantile;
use crate::processes::{Api, Fleet, ProcessError};

/// The pause after a pick.
const PAUSE: Duration = Duration::from_micros(500);

/// The outcome of the picks.
#[derive(Debug, Default)]
pub(super) struct Picks {
    /// Microseconds of each pick that found an instance.
    latencies: Vec<f64>,
    /// Picks that found none.
    pub(super) failed: usize,
}

impl Picks {
    pub(super) fn count(&self) -> usize {
        self.latencies.len() + self.failed
    }

    /// In microseconds; not a number when no pick found an instance.
    pub(super) fn quantile_us(&self, share: f64) -> f64 {
        quantile(&self.latencies, share).unwrap_or(f64::NAN)
    }
}

/// Clients that pick until they are stopped, one for each agent.
pub(super) struct Picking {
    ends: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Picks>>,
}

impl Picking {
    /// Picks from these agents from now on.
    pub(super) fn start(
        fleet: &Fleet,
        agents: impl Iterator<Item = usize>,
    ) -> Result<Self, ProcessError> {
        let ends = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for agent in agents {
            let (mut api, ends) = (fleet.connect(agent)?, Arc::clone(&ends));
            clients.push(thread::spawn(move || pick_until(&mut api, &ends)));
        }
        Ok(Self { ends, clients })
    }

    /// Stops, and returns all picks.
    pub(super) fn stop(self) -> Picks {
        self.ends.store(true, Ordering::Relaxed);
        let mut all = Picks::default();
        for client in self.clients {
            let picks = client.join().expect("a client does not panic");
            all.latencies.extend(picks.latencies);
            all.failed += picks.failed;
        }
        all
    }
}

fn pick_until(api: &mut Api, ends: &AtomicBool) -> Picks {
    let mut picks = Picks::default();
    while !ends.load(Ordering::Relaxed) {
        let began = Instant::now();
        match api.pick() {
            Ok(()) => picks.latencies.push(began.elapsed().as_secs_f64() * 1e6),
            Err(_) => picks.failed += 1,
        }
        thread::sleep(PAUSE);
    }
    picks
}
