//! Rates: differences of the agent's own counters between two looks.

use std::collections::VecDeque;
use std::time::Instant;

use hobnob_api::Info;

/// The values of each rate that are kept for its curve.
const MAX_KEPT: usize = 300;

/// A rate that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    Picks,
    Changes,
    Calls,
    BytesIn,
    BytesOut,
}

impl Rate {
    pub(super) const ALL: [Self; 5] =
        [Self::Picks, Self::Changes, Self::Calls, Self::BytesIn, Self::BytesOut];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Picks => "picks",
            Self::Changes => "changes",
            Self::Calls => "calls",
            Self::BytesIn => "bytes in",
            Self::BytesOut => "bytes out",
        }
    }

    /// Its name in JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Picks => "picks_per_second",
            Self::Changes => "changes_per_second",
            Self::Calls => "calls_per_second",
            Self::BytesIn => "received_bytes_per_second",
            Self::BytesOut => "sent_bytes_per_second",
        }
    }

    /// The counter now. An older agent lacks some.
    fn counter(self, info: &Info) -> Option<u64> {
        let sum = |names: [&str; 2]| {
            let counters = names.map(|name| info.counters.get(name).copied());
            Some(counters[0]? + counters[1]?)
        };
        match self {
            Self::Picks => info.counters.get("picks").copied(),
            Self::Changes => Some(info.revision),
            Self::Calls => info.counters.get("api_calls").copied(),
            Self::BytesIn => sum(["datagram_bytes_received", "frame_bytes_received"]),
            Self::BytesOut => sum(["datagram_bytes_sent", "frame_bytes_sent"]),
        }
    }
}

/// The counters at one look.
#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    /// The process: another one has counters of its own.
    pid: u32,
    counters: [Option<u64>; Rate::ALL.len()],
    /// Times for which changes of other agents were known to be missing here.
    gaps: Times,
    /// Ages of changes of other agents when they came.
    convergence: Times,
}

/// How many times were measured, and their sum.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    count: u64,
    ms: u64,
}

impl Times {
    /// The counters of this name.
    fn of(info: &Info, count: &str, ms: &str) -> Self {
        let counter = |name: &str| info.counters.get(name).copied().unwrap_or(0);
        Self { count: counter(count), ms: counter(ms) }
    }

    /// What came since an earlier look.
    fn since(self, before: Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            ms: self.ms.saturating_sub(before.ms),
        }
    }

    fn mean_ms(all: &VecDeque<Self>) -> Option<f64> {
        let count: u64 = all.iter().map(|times| times.count).sum();
        let ms: u64 = all.iter().map(|times| times.ms).sum();
        (count > 0).then(|| ms as f64 / count as f64)
    }
}

/// The rates so far.
#[derive(Debug, Default)]
pub(super) struct Rates {
    last: Option<Look>,
    curves: [VecDeque<f64>; Rate::ALL.len()],
    /// The gaps that were closed between two looks, with their times.
    gaps: VecDeque<Times>,
    /// The changes that came between two looks, with their ages.
    convergence: VecDeque<Times>,
    open_gaps: Option<u64>,
}

/// How far this agent lags behind others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lag {
    /// The origins with changes that are known to be missing.
    pub(super) open: u64,
    /// The mean time for which changes were missing; none while no gap was closed since this command started.
    pub(super) gap_ms: Option<f64>,
    /// The mean age of changes when they came; none while none came since this command started.
    pub(super) convergence_ms: Option<f64>,
}

impl Rates {
    /// Takes the counters of a look.
    pub(super) fn add(&mut self, info: &Info, at: Instant) {
        let gaps = Times::of(info, "gaps_closed", "gaps_closed_ms");
        let convergence = Times::of(info, "convergence", "convergence_ms");
        self.open_gaps = info.counters.get("gaps_now").copied();
        let counters = Rate::ALL.map(|rate| rate.counter(info));
        let look = Look { at, pid: info.pid, counters, gaps, convergence };
        let before = self.last.replace(look).filter(|before| before.pid == look.pid);
        let Some(before) = before else { return };
        let seconds = look.at.duration_since(before.at).as_secs_f64().max(1e-3);
        for (n, curve) in self.curves.iter_mut().enumerate() {
            let (Some(now), Some(then)) = (look.counters[n], before.counters[n]) else { continue };
            keep(curve, now.saturating_sub(then) as f64 / seconds);
        }
        keep(&mut self.gaps, gaps.since(before.gaps));
        keep(&mut self.convergence, convergence.since(before.convergence));
    }

    /// The rate between the last two looks, in a second. None before the second look.
    pub(super) fn now(&self, rate: Rate) -> Option<f64> {
        self.curve(rate).back().copied()
    }

    /// The last values of a rate, the oldest first.
    pub(super) fn curve(&self, rate: Rate) -> &VecDeque<f64> {
        &self.curves[rate as usize]
    }

    /// The lag of this agent; `None` if it does not tell.
    pub(super) fn lag(&self) -> Option<Lag> {
        let open = self.open_gaps?;
        let (gap_ms, convergence_ms) =
            (Times::mean_ms(&self.gaps), Times::mean_ms(&self.convergence));
        Some(Lag { open, gap_ms, convergence_ms })
    }
}

fn keep<T>(values: &mut VecDeque<T>, value: T) {
    if values.len() == MAX_KEPT {
        values.pop_front();
    }
    values.push_back(value);
}
