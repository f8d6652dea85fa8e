//! From single outcomes to a verdict that does not flap: it changes after some equal outcomes in a row.

use std::collections::VecDeque;

use hobnob_api::{Check, Probe};
use hobnob_membership::record::Health;

use super::outcome::Outcome;

/// Outcomes that a verdict remembers.
pub const MAX_HISTORY: usize = 10;

/// The numbers of equal outcomes in a row that change a verdict. They are at least 1; a 0 counts as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes in a row before the verdict is [`Health::Passing`], or [`Health::Warning`] if the latest one warns.
    pub success_before_passing: u32,
    /// Failures in a row before a verdict that was passing is [`Health::Warning`].
    pub failures_before_warning: Option<u32>,
    /// Failures in a row before the verdict is [`Health::Failing`].
    pub failures_before_critical: u32,
}

impl Thresholds {
    /// Each outcome decides.
    pub(super) const AT_ONCE: Self = Self {
        success_before_passing: 1,
        failures_before_warning: None,
        failures_before_critical: 1,
    };
}

impl From<&Check> for Thresholds {
    /// What an alias follows has thresholds of its own.
    fn from(check: &Check) -> Self {
        if matches!(check.probe, Probe::Alias(_)) {
            return Self::AT_ONCE;
        }
        Self {
            success_before_passing: check.success_before_passing,
            failures_before_warning: check.failures_before_warning,
            failures_before_critical: check.failures_before_critical,
        }
    }
}

/// The health of an instance by the outcomes of a check.
///
/// It begins as [`Health::Unknown`]. From whatever it is, `success_before_passing` successes in a row make it
/// [`Health::Passing`], or [`Health::Warning`] if the latest one warns; `failures_before_critical` failures in a row make it
/// [`Health::Failing`], and `failures_before_warning` of them [`Health::Warning`] if it was passing. A check that is overdue
/// makes it [`Health::Unknown`] with nothing in a row. A void outcome changes nothing.
#[derive(Clone, Debug)]
pub struct Verdict {
    thresholds: Thresholds,
    health: Health,
    /// The number of outcomes in a row that were like the latest; 0 when there is none that counts.
    streak: u32,
    /// The latest outcomes, oldest first.
    history: VecDeque<Outcome>,
}

impl Verdict {
    /// The verdict on an instance that was just registered.
    #[must_use]
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            health: Health::Unknown,
            streak: 0,
            history: VecDeque::with_capacity(MAX_HISTORY),
        }
    }

    /// The verdict on an instance that was registered before this agent started, after the first probe since. A
    /// success counts as a sign that the instance passed all the while, and makes the verdict passing at once, whatever
    /// the threshold. A failure leaves the verdict unknown, and is the first in a row. A void outcome leaves it unknown.
    #[must_use]
    pub fn restored(thresholds: Thresholds, first: Outcome) -> Self {
        let mut verdict = Self::new(thresholds);
        let health = if first.is_success() { first.health() } else { Health::Unknown };
        verdict.record(first);
        verdict.health = health;
        verdict
    }

    /// The verdict on an instance that had this one before this agent started. Nothing is in a row.
    #[must_use]
    pub fn kept(thresholds: Thresholds, health: Health) -> Self {
        Self { health, ..Self::new(thresholds) }
    }

    /// Makes this the verdict that stands until outcomes change it.
    pub(super) fn begin_as(&mut self, health: Health) {
        self.health = health;
    }

    /// Takes an outcome in. Returns the verdict if this has changed it.
    pub fn record(&mut self, outcome: Outcome) -> Option<Health> {
        if outcome.is_void() {
            return None;
        }
        let (success, reached) = (outcome.is_success(), outcome.health());
        self.note(outcome);
        let Thresholds {
            success_before_passing,
            failures_before_warning,
            failures_before_critical,
        } = self.thresholds;
        let needed = if success { success_before_passing } else { failures_before_critical };
        if self.streak >= needed {
            self.change(reached)
        } else if !success
            && self.health == Health::Passing
            && failures_before_warning.is_some_and(|needed| self.streak >= needed)
        {
            self.change(Health::Warning)
        } else {
            None
        }
    }

    /// Takes an outcome in that decides, whatever the thresholds. Returns the verdict if this has changed it.
    pub fn decide(&mut self, health: Health, outcome: Outcome) -> Option<Health> {
        self.note(outcome);
        self.change(health)
    }

    /// Counts an outcome in its row, and remembers it.
    fn note(&mut self, outcome: Outcome) {
        let success = outcome.is_success();
        let continues = self.history.back().is_some_and(|latest| latest.is_success() == success);
        self.streak = if continues { self.streak.saturating_add(1) } else { 1 };
        if self.history.len() == MAX_HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(outcome);
    }

    /// Notes that an outcome is overdue: what was known is too old to be trusted. Returns the verdict if this has
    /// changed it.
    pub fn overdue(&mut self) -> Option<Health> {
        self.streak = 0;
        self.change(Health::Unknown)
    }

    /// The verdict now.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// The latest outcomes, at most [`MAX_HISTORY`], oldest first.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &Outcome> {
        self.history.iter()
    }

    fn change(&mut self, health: Health) -> Option<Health> {
        let changed = self.health != health;
        self.health = health;
        changed.then_some(health)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(success_before_passing: u32, failures_before_critical: u32) -> Thresholds {
        Thresholds {
            success_before_passing,
            failures_before_warning: None,
            failures_before_critical,
        }
    }

    /// Feeds `+` (success), `w` (success with a warning), `-` (failure), `.` (void) and `o` (overdue) and writes down the verdict after each.
    fn trace(verdict: &mut Verdict, steps: &str) -> String {
        let mut trace = String::new();
        for step in steps.chars() {
            let before = verdict.health();
            let changed = match step {
                '+' => verdict.record(Outcome::success("")),
                'w' => verdict.record(Outcome::warning("")),
                '-' => verdict.record(Outcome::failure("")),
                '.' => verdict.record(Outcome::void("")),
                _ => verdict.overdue(),
            };
            assert_eq!(
                changed,
                (verdict.health() != before).then_some(verdict.health()),
                "{steps} at {trace}"
            );
            trace.push(letter(verdict.health()));
        }
        trace
    }

    fn letter(health: Health) -> char {
        match health {
            Health::Unknown => 'u',
            Health::Passing => 'P',
            Health::Warning => 'W',
            Health::Failing => 'F',
        }
    }

    #[test]
    fn transitions() {
        for (passing, critical, steps, expected) in [
            (1, 1, "+-+-", "PFPF"),
            (1, 3, "+---+", "PPPFP"),
            (1, 3, "+--+--+", "PPPPPPP"),
            (3, 1, "++-+++", "uuFFFP"),
            (2, 2, "+-+-+-", "uuuuuu"),
            (2, 2, "--++--", "uFFPPF"),
            (3, 3, "++o+++", "uuuuuP"),
            (1, 2, "+o-+", "PuuP"),
            (1, 2, "--o-", "uFuu"),
            (1, 2, "--o--", "uFuuF"),
            (1, 1, "oo+", "uuP"),
            (1, 2, "..+.-.-.+.", "uuPPPPFFPP"),
            (0, 0, "+-", "PF"),
        ] {
            let mut verdict = Verdict::new(thresholds(passing, critical));
            assert_eq!(verdict.health(), Health::Unknown);
            assert_eq!(trace(&mut verdict, steps), expected, "{passing} {critical} {steps}");
        }
    }

    #[test]
    fn transitions_with_warnings() {
        for (passing, warning, critical, steps, expected) in [
            (1, None, 2, "w+w-w--w", "WPWWWWFW"),
            (2, None, 2, "w+ww", "uPWW"),
            (3, None, 1, "+w+-++w", "uuPFFFW"),
            (1, Some(1), 3, "+---+", "PWWFP"),
            (1, Some(2), 4, "+--+----", "PPWPPWWF"),
            (1, Some(1), 3, "--+", "uuP"),
            (1, Some(1), 2, "w-+", "WWP"),
            (3, Some(1), 2, "+++-+++", "uuPWWWP"),
            (1, Some(1), 3, "--o-", "uuuu"),
        ] {
            let thresholds = Thresholds {
                success_before_passing: passing,
                failures_before_warning: warning,
                failures_before_critical: critical,
            };
            let mut verdict = Verdict::new(thresholds);
            assert_eq!(
                trace(&mut verdict, steps),
                expected,
                "{passing} {warning:?} {critical} {steps}"
            );
        }
    }

    #[test]
    fn transitions_after_a_restart() {
        let (success, failure) = (Outcome::success("up"), Outcome::failure("down"));
        for (passing, critical, first, steps, expected) in [
            (5, 3, &success, "", "P"),
            (5, 3, &success, "---", "PPPF"),
            (5, 3, &success, "-+-", "PPPP"),
            (2, 1, &failure, "", "u"),
            (2, 1, &failure, "-", "uF"),
            (2, 3, &failure, "--", "uuF"),
            (2, 3, &failure, "++", "uuP"),
        ] {
            let mut verdict = Verdict::restored(thresholds(passing, critical), first.clone());
            let after_first = letter(verdict.health());
            let rest = trace(&mut verdict, steps);
            assert_eq!(
                format!("{after_first}{rest}"),
                expected,
                "{passing} {critical} {first:?} {steps}"
            );
        }
    }

    #[test]
    fn a_kept_verdict_stands_until_the_thresholds_are_reached() {
        for (health, steps, expected) in [
            (Health::Passing, "--+---", "PPPPPF"),
            (Health::Passing, "o", "u"),
            (Health::Failing, "-+-++", "FFFFP"),
        ] {
            let mut verdict = Verdict::kept(thresholds(2, 3), health);
            assert_eq!(trace(&mut verdict, steps), expected, "{health:?} {steps}");
        }
    }

    #[test]
    fn a_decision_needs_no_row() {
        let mut verdict = Verdict::kept(thresholds(3, 3), Health::Passing);
        let failing = verdict.decide(Health::Failing, Outcome::refusal("refused"));
        assert_eq!(failing, Some(Health::Failing));
        assert_eq!(verdict.decide(Health::Failing, Outcome::refusal("refused")), None);
        assert_eq!(trace(&mut verdict, "++"), "FF");
        assert_eq!(verdict.decide(Health::Passing, Outcome::success("up")), Some(Health::Passing));
        assert_eq!(trace(&mut verdict, "--+"), "PPP");
    }

    #[test]
    fn the_history_is_bounded_and_in_order() {
        let mut verdict = Verdict::new(thresholds(1, 1));
        for n in 0..25 {
            verdict.record(Outcome::success(n.to_string()));
        }
        let outputs: Vec<&str> = verdict.history().map(Outcome::output).collect();
        assert_eq!(outputs, ["15", "16", "17", "18", "19", "20", "21", "22", "23", "24"]);
    }
}
