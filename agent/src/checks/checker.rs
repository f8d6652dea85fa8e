//! A check that runs: the task that probes, judges and reports.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::{Check, CheckStatus, Probe};
use hobnob_membership::record::Health;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{self, Instant};

use super::expiry::Expiry;
use super::latest::{LatestOutcomes, OutcomeNotes};
use super::listener::Listener;
use super::listeners::{ListenerWatch, Look, Ruling, Signal};
use super::outcome::Outcome;
use super::probes::LATE_AFTER;
use super::probes::{Prober, Subject};
use super::schedule::{Beat, Schedule};
use super::ttl::{self, SelfReport};
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

/// The verdict of a check has changed.
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

/// What all checks of an agent share.
#[derive(Clone, Debug)]
pub struct CheckContext {
    /// Makes the probes.
    pub prober: Prober,
    /// Watches the listeners of services on this host.
    pub listeners: ListenerWatch,
    /// Takes the changed verdicts.
    pub reports: mpsc::Sender<CheckReport>,
    /// Takes the checks that were critical for too long.
    pub expired: mpsc::Sender<CheckId>,
    /// Shows the latest outcome of each.
    pub latest: Arc<LatestOutcomes>,
}

/// The knowledge of an instance when its check begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing but the initial status that the check names. The first probe begins at once.
    New,
    /// The outcome of a probe that was made after a restart. The next one follows after about an interval.
    Probed(Outcome),
    /// The verdict before a restart, with its age, which stands until outcomes change it. The first probe begins within the
    /// interval.
    Kept(Health, Duration),
}

/// A running check. Dropping it stops the check; reports that were sent before may still be in the channel.
///
/// One probe begins every interval, at the same point of it, or as soon as the one before has ended when that took longer;
/// probes never overlap. A changed verdict is reported, and nothing else is. When the channel of the reports is full, probes
/// go on and the report waits; a later verdict takes its place, so that a slow reader gets the latest one, not all of them.
///
/// A void outcome changes nothing. The probe is made again at once, and if it is void again, at the next interval.
///
/// When no other outcome has come for interval and timeout together, the verdict becomes [`Health::Unknown`], the probe under
/// way is given up, and a new one begins. A process that stalled finds all its time over at once, so it makes one more probe
/// before that.
///
/// The listener of a service on this host is watched: news of it are followed by a probe at once, and such a probe may
/// change the verdict whatever the thresholds. `listeners/state.rs` has the rules.
#[derive(Debug)]
pub struct Checker {
    id: CheckId,
    name: String,
    task: AbortHandle,
    /// Takes the reports of the service; absent for a check that probes.
    hear: Option<mpsc::Sender<SelfReport>>,
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
        subject: Subject,
        context: &CheckContext,
    ) -> Self {
        let CheckContext { prober, listeners, reports, expired, latest } = context.clone();
        let notes = OutcomeNotes::new(latest, id.instance.clone(), &check.name);
        let after_ms = check.deregister_critical_after_ms;
        let critical_for = match &start {
            Start::Kept(Health::Failing, age) => *age,
            _ => Duration::ZERO,
        };
        let expiry = Expiry::new(id.clone(), after_ms, expired).critical_for(critical_for);
        let name = check.name.clone();
        if let Probe::Ttl { ttl_ms } = check.probe {
            let (hear, heard) = mpsc::channel(ttl::MAX_WAITING);
            let (health, reported) = match start {
                Start::Kept(health, _) => (health, health),
                Start::New | Start::Probed(_) => (initial(&check), Health::Unknown),
            };
            let run =
                ttl::Run::new(id.clone(), Duration::from_millis(ttl_ms), health, reported, expiry);
            let task = tokio::spawn(run.noting(notes).run(heard, reports)).abort_handle();
            return Self { id, name, task, hear: Some(hear) };
        }
        let schedule = Schedule::from(&check);
        let (now, draw) = (Instant::now(), rand::random::<f64>);
        let beat = match &start {
            Start::New => schedule.begin_now(now, draw),
            Start::Probed(_) => schedule.begin_later(now, draw),
            Start::Kept(..) => schedule.resume(now, draw),
        };
        // A first outcome says more than what the check begins with.
        let initial = if start == Start::New { initial(&check) } else { Health::Unknown };
        let listener = Listener::of(&check, &listeners);
        let thresholds = Thresholds::from(&check);
        let run = Run::new(id.clone(), thresholds, schedule, beat, start, listener);
        let run = run.beginning_as(initial).expiring(expiry).noting(notes);
        let probing = Arc::new((prober, subject, check.probe));
        let attempt = move || {
            let probing = probing.clone();
            async move {
                let (prober, subject, probe) = &*probing;
                prober.probe(subject, probe, schedule.timeout).await
            }
        };
        Self { id, name, task: tokio::spawn(run.run(attempt, reports)).abort_handle(), hear: None }
    }

    /// The id of the check.
    #[must_use]
    pub fn id(&self) -> &CheckId {
        &self.id
    }

    /// The name of the check.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The queue for what the service reports on itself; `None` for a check that probes.
    #[must_use]
    pub fn hearing(&self) -> Option<&mpsc::Sender<SelfReport>> {
        self.hear.as_ref()
    }
}

/// The health of an instance before the first verdict of a check.
pub(crate) fn initial(check: &Check) -> Health {
    match check.initial {
        Some(CheckStatus::Passing) => Health::Passing,
        Some(CheckStatus::Warning) => Health::Warning,
        Some(CheckStatus::Critical) => Health::Failing,
        None => Health::Unknown,
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.task.abort();
    }
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
    expiry: Option<Expiry>,
    notes: Option<OutcomeNotes>,
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
            Start::Kept(health, _) => (Verdict::kept(thresholds, health), health),
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
            expiry: None,
            notes: None,
        }
    }

    /// The verdict before the first one of a new check. It is reported at once.
    fn beginning_as(mut self, initial: Health) -> Self {
        if self.verdict.health() == Health::Unknown && initial != Health::Unknown {
            self.verdict.begin_as(initial);
        }
        self
    }

    fn expiring(self, mut expiry: Expiry) -> Self {
        expiry.judged(self.verdict.health(), Instant::now());
        Self { expiry: Some(expiry), ..self }
    }

    /// Lets others see the latest outcome.
    fn noting(self, notes: OutcomeNotes) -> Self {
        Self { notes: Some(notes), ..self }
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
                () = passed(&mut self.expiry), if self.expiry.is_some() => {}
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

    /// Gives a verdict up that is too old, unless this process stalled. Returns whether it was given up.
    fn is_overdue(&mut self) -> bool {
        let now = Instant::now();
        let stalled = now.duration_since(self.overdue_at) > LATE_AFTER;
        if stalled && !std::mem::replace(&mut self.has_last_chance, true) {
            self.overdue_at = self.schedule.overdue_after(now);
            return false;
        }
        self.due = now;
        if self.verdict.overdue().is_some() {
            self.signal = None;
        }
        self.judged(now);
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
        if let Some(notes) = &self.notes {
            notes.note(outcome.output());
        }
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
        self.judged(now);
        self.expect_another(now);
    }

    fn decide(&mut self, health: Health, signal: Signal, outcome: &Outcome) {
        let output = self.listener.words(signal, outcome.output());
        if self.verdict.decide(health, outcome.with_output(output)).is_some() {
            self.signal = Some(signal);
        }
    }

    fn judged(&mut self, now: Instant) {
        let health = self.verdict.health();
        self.listener.state.judged(health, now);
        if let Some(expiry) = &mut self.expiry {
            expiry.judged(health, now);
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
                format!("no result in time: {reason}")
            }
            Health::Passing | Health::Warning | Health::Failing => {
                let latest = self.verdict.history().next_back();
                latest.map_or("its initial status", Outcome::output).to_owned()
            }
        };
        CheckReport { id: self.id.clone(), health, output, signal: self.signal }
    }
}

/// The end of the time for which the check may be critical.
async fn passed(expiry: &mut Option<Expiry>) {
    match expiry {
        Some(expiry) => expiry.pass().await,
        None => std::future::pending().await,
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
