//! A check that runs: the task that probes, judges and reports.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use hobnob_api::Check;
use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{self, Instant};

use super::listeners::{ListenerState, ListenerWatch, Look, Ruling, Signal, Watching};
use super::outcome::Outcome;
use super::probes::{Target, probe};
use super::schedule::{Beat, OVERDUE_AFTER, Schedule};
use super::verdict::{Thresholds, Verdict};

/// One check of one registration. A later registration of the same instance has checks with other ids, so that a verdict
/// on the earlier one is known to be stale.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckId {
    /// The id of the instance.
    pub instance: Arc<str>,
    /// Unique among all checks since the agent started.
    pub number: u64,
}

/// The verdict on an instance has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The check.
    pub id: CheckId,
    /// The verdict now.
    pub health: Health,
    /// The output of the latest probe, for people.
    pub output: String,
    /// The sign that decided; `None` when a number of equal outcomes in a row did.
    pub signal: Option<Signal>,
}

/// The knowledge of an instance when its check begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing. The first probe begins at once.
    New,
    /// The outcome of a probe that was made after a restart. The next one follows after about an interval.
    Probed(Outcome),
    /// The verdict before a restart, which stands until outcomes change it. The first probe begins within the interval.
    Kept(Health),
}

/// A running check. Dropping it stops the check; reports that were sent before may still be in the channel.
///
/// One probe begins every interval, at the same point of it, or as soon as the one before has ended when that took longer;
/// probes never overlap. A changed verdict is reported, and nothing else is. When the channel of the reports is full, probes
/// go on and the report waits; a later verdict takes its place, so that a slow reader gets the latest one, not all of them.
///
/// A void outcome changes nothing. The probe is made again at once, and if it is void again, at the next interval.
///
/// When no other outcome has come for interval, timeout and [`OVERDUE_AFTER`] together, there is time for one more probe,
/// since a process that stalled finds all its time over at once. Then the verdict becomes [`Health::Unknown`], the
/// probe under way is given up, and a new one begins.
///
/// The listener of a service on this host is watched: news of it are followed by a probe at once, and such a probe may
/// change the verdict whatever the thresholds. `listeners/state.rs` has the rules.
#[derive(Debug)]
pub struct Checker {
    task: AbortHandle,
}

impl Checker {
    /// Starts to run a check. The interval and the timeout of a check that is not [valid](super::validate) are moved to
    /// the nearest valid ones.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn spawn(
        id: CheckId,
        check: Check,
        start: Start,
        listeners: &ListenerWatch,
        tx: mpsc::Sender<CheckReport>,
    ) -> Self {
        let schedule = Schedule::from(&check);
        let (now, draw) = (Instant::now(), rand::random::<f64>);
        let beat = match &start {
            Start::New => schedule.begin_now(now, draw),
            Start::Probed(_) => schedule.begin_later(now, draw),
            Start::Kept(_) => schedule.resume(now, draw),
        };
        let listener = Listener::of(&check, listeners);
        let run = Run::new(id, Thresholds::from(&check), schedule, beat, start, listener);
        let attempt = move || {
            let target = check.probe.clone();
            async move { probe(&target, schedule.timeout).await }
        };
        Self { task: tokio::spawn(run.run(attempt, tx)).abort_handle() }
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The listener of a check, with what was last seen of it.
pub(super) struct Listener {
    watching: Option<Watching>,
    address: String,
    state: ListenerState,
    look: Option<Look>,
}

impl Listener {
    fn of(check: &Check, listeners: &ListenerWatch) -> Self {
        // A check with a malformed target fails at each probe.
        let target = Target::parse(&check.probe).ok().filter(|_| check.listener_watch);
        let watching = target.as_ref().and_then(|at| listeners.watch(&at.host, at.port));
        Self { watching, ..Self::at(target.map_or(String::new(), |at| at.to_string())) }
    }

    /// A listener that nobody watches.
    pub(super) fn at(address: String) -> Self {
        Self { watching: None, address, state: ListenerState::default(), look: None }
    }

    async fn changed(&mut self) -> Look {
        match &mut self.watching {
            Some(watching) => watching.changed().await,
            None => std::future::pending().await,
        }
    }

    /// The words for a verdict by this sign, of which `output` tells the outcome.
    fn words(&self, signal: Signal, output: &str) -> String {
        let address = &self.address;
        let since = self.look.map_or_else(SystemTime::now, |look| look.since);
        match signal {
            Signal::ListenerGone => {
                format!("nobody listens on {address} since {}", time_of_day(since))
            }
            Signal::Refused => format!("{output}; all probes of the last 100 ms were refused"),
            Signal::ListenerBack if self.look.is_some_and(|look| look.listening == Some(true)) => {
                format!("{output}; there is a listener on {address} since {}", time_of_day(since))
            }
            Signal::ListenerBack => output.to_owned(),
        }
    }
}

/// Text such as `14:03:07.120 UTC`.
fn time_of_day(at: SystemTime) -> String {
    let at = ::time::OffsetDateTime::from(at);
    let (hour, minute, second, milli) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{hour:02}:{minute:02}:{second:02}.{milli:03} UTC")
}

/// The state of a running check.
pub(super) struct Run {
    id: CheckId,
    schedule: Schedule,
    beat: Beat,
    verdict: Verdict,
    reported: Health,
    listener: Listener,
    /// The sign by which the verdict last changed.
    signal: Option<Signal>,
    due: Instant,
    overdue_at: Instant,
    has_last_chance: bool,
    void: Option<Outcome>,
}

/// A probe under way.
struct Probing<A> {
    attempt: Pin<Box<A>>,
    is_extra: bool,
}

impl Run {
    pub(super) fn new(
        id: CheckId,
        thresholds: Thresholds,
        schedule: Schedule,
        beat: Beat,
        start: Start,
        listener: Listener,
    ) -> Self {
        let (verdict, reported) = match start {
            Start::New => (Verdict::new(thresholds), Health::Unknown),
            Start::Probed(outcome) => (Verdict::restored(thresholds, outcome), Health::Unknown),
            Start::Kept(health) => (Verdict::kept(thresholds, health), health),
        };
        Self {
            id,
            schedule,
            beat,
            verdict,
            reported,
            listener,
            signal: None,
            due: beat.begins,
            overdue_at: schedule.overdue_after(beat.begins),
            has_last_chance: false,
            void: None,
        }
    }

    /// Probes, judges and reports until the receiver of the reports is gone.
    pub(super) async fn run<A: Future<Output = Outcome>>(
        mut self,
        attempt: impl Fn() -> A,
        tx: mpsc::Sender<CheckReport>,
    ) {
        // On the heap, so that a check that waits for its next probe takes up little.
        let mut probing: Option<Probing<A>> = None;
        loop {
            let extra = self.listener.state.extra_probe_at();
            let begins = extra.map_or(self.due, |extra| extra.min(self.due));
            tokio::select! {
                biased;
                () = time::sleep_until(self.overdue_at) => {
                    if self.is_overdue() {
                        probing = None;
                    }
                }
                permit = tx.reserve(), if self.verdict.health() != self.reported => match permit {
                    Ok(permit) => permit.send(self.report()),
                    Err(_) => return,
                },
                look = self.listener.changed() => {
                    if self.looked(look) {
                        probing = None;
                    }
                }
                (outcome, is_extra) = finished(&mut probing), if probing.is_some() => {
                    probing = None;
                    self.take(outcome, is_extra);
                }
                () = time::sleep_until(begins), if probing.is_none() => {
                    let now = Instant::now();
                    let is_extra = self.listener.state.probe_begins(now);
                    if self.due <= now {
                        self.due = self.beat.after(now);
                    }
                    probing = Some(Probing { attempt: Box::pin(attempt()), is_extra });
                }
            }
        }
    }

    /// Gives a verdict up that is too old, unless there is time for one more probe. Returns whether it was given up.
    fn is_overdue(&mut self) -> bool {
        let now = Instant::now();
        if !std::mem::replace(&mut self.has_last_chance, true) {
            self.overdue_at = self.schedule.last_chance(now);
            return false;
        }
        self.due = now;
        if self.verdict.overdue().is_some() {
            self.signal = None;
        }
        self.listener.state.judged(self.verdict.health(), now);
        self.expect_another(now);
        true
    }

    /// Takes in what was seen of the listener. Returns whether the probe under way is to be given up.
    fn looked(&mut self, look: Look) -> bool {
        self.listener.look = Some(look);
        let health = self.verdict.health();
        self.listener.state.looked(look.is_local, look.listening, health, Instant::now())
    }

    fn take(&mut self, outcome: Outcome, is_extra: bool) {
        let (now, before) = (Instant::now(), self.verdict.health());
        let meaning = outcome.meaning();
        let ruling = self.listener.state.probed(meaning, is_extra, before, now);
        if outcome.is_void() {
            if !is_extra && self.void.is_none() {
                self.due = now;
            }
            self.void = Some(outcome);
            return;
        }
        self.void = None;
        match ruling {
            Ruling::Ordinary => {
                if self.verdict.record(outcome).is_some() {
                    self.signal = None;
                }
            }
            Ruling::Failing(signal) => self.decide(Health::Failing, signal, &outcome),
            Ruling::Passing(signal) => self.decide(Health::Passing, signal, &outcome),
            Ruling::Ignored => {}
        }
        self.listener.state.judged(self.verdict.health(), now);
        self.expect_another(now);
    }

    fn decide(&mut self, health: Health, signal: Signal, outcome: &Outcome) {
        let output = self.listener.words(signal, outcome.output());
        if self.verdict.decide(health, outcome.with_output(output)).is_some() {
            self.signal = Some(signal);
        }
    }

    fn expect_another(&mut self, now: Instant) {
        self.has_last_chance = false;
        self.overdue_at = self.schedule.overdue_after(now);
    }

    fn report(&mut self) -> CheckReport {
        let health = self.verdict.health();
        self.reported = health;
        let output = match health {
            Health::Unknown => {
                let cause = "this agent stalled, or has too many checks";
                let reason = self.void.as_ref().map_or(cause, Outcome::output);
                format!("no result for {} s: {reason}", OVERDUE_AFTER.as_secs())
            }
            Health::Passing | Health::Failing => {
                self.verdict.history().next_back().map_or("", Outcome::output).to_owned()
            }
        };
        CheckReport { id: self.id.clone(), health, output, signal: self.signal }
    }
}

/// The end of the probe under way.
async fn finished<A: Future<Output = Outcome>>(
    probing: &mut Option<Probing<A>>,
) -> (Outcome, bool) {
    match probing {
        Some(Probing { attempt, is_extra }) => (attempt.await, *is_extra),
        None => std::future::pending().await,
    }
}
