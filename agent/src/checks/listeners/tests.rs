//! The transitions of a check by its listener, under a clock that the test moves.

use std::time::Duration;

use hobnob_membership::record::Health;
use tokio::time::Instant;

use super::state::{ListenerState, Ruling, Signal};
use crate::checks::outcome::Meaning;

const MS: Duration = Duration::from_millis(1);
const GONE: Ruling = Ruling::Failing(Signal::ListenerGone);
const BACK: Ruling = Ruling::Passing(Signal::ListenerBack);

/// A check with thresholds of 1 and 3, its verdict, and the time.
struct Bench {
    state: ListenerState,
    health: Health,
    failures: u32,
    now: Instant,
    is_extra: bool,
}

impl Bench {
    fn new(health: Health) -> Self {
        let state = ListenerState::default();
        Self { state, health, failures: 0, now: Instant::now(), is_extra: false }
    }

    /// A passing check whose listener is there.
    fn armed() -> Self {
        let mut bench = Self::new(Health::Passing);
        assert!(!bench.look(Some(true)));
        assert_eq!(bench.due(), None);
        bench
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn look(&mut self, listening: Option<bool>) -> bool {
        self.state.looked(true, listening, self.health, self.now)
    }

    /// Milliseconds until the extra probe.
    fn due(&self) -> Option<u128> {
        self.state.extra_probe_at().map(|at| at.duration_since(self.now).as_millis())
    }

    /// Moves to the extra probe and begins it.
    fn begin_extra(&mut self) -> &mut Self {
        self.now = self.state.extra_probe_at().expect("an extra probe is due");
        self.is_extra = self.state.probe_begins(self.now);
        assert!(self.is_extra);
        self
    }

    fn probed(&mut self, outcome: Meaning) -> Ruling {
        let is_extra = std::mem::take(&mut self.is_extra);
        let ruling = self.state.probed(outcome, is_extra, self.health, self.now);
        match ruling {
            Ruling::Failing(_) => self.health = Health::Failing,
            Ruling::Passing(_) => self.health = Health::Passing,
            Ruling::Ignored => {}
            Ruling::Ordinary if outcome == Meaning::Success => {
                self.failures = 0;
                self.health = Health::Passing;
            }
            Ruling::Ordinary => {
                self.failures += 1;
                if self.failures >= 3 {
                    self.health = Health::Failing;
                }
            }
        }
        self.state.judged(self.health, self.now);
        ruling
    }

    /// Goes out and comes back, as often as that is free of a hold-down.
    fn use_up_free_returns(&mut self) {
        for _ in 0..2 {
            assert!(self.after(500 * MS).look(Some(false)));
            assert_eq!(self.begin_extra().probed(Meaning::Refusal), GONE);
            self.after(500 * MS).look(Some(true));
            assert_eq!(self.due(), Some(0));
            assert_eq!(self.begin_extra().probed(Meaning::Success), BACK);
        }
    }
}

#[test]
fn a_listener_that_is_gone_and_a_refusal_are_a_failure_at_once() {
    let mut bench = Bench::armed();
    assert!(bench.look(Some(false)), "the probe under way is given up");
    assert_eq!(bench.due(), Some(0));
    assert!(!bench.look(Some(false)), "no news");
    assert_eq!(bench.begin_extra().probed(Meaning::Refusal), GONE);
    assert_eq!((bench.health, bench.due()), (Health::Failing, None));
}

#[test]
fn anything_but_a_refusal_leaves_it_to_the_thresholds() {
    for outcome in [Meaning::Success, Meaning::Failure] {
        let mut bench = Bench::armed();
        bench.look(Some(false));
        assert_eq!(bench.begin_extra().probed(outcome), Ruling::Ordinary, "{outcome:?}");
        assert_eq!((bench.health, bench.due()), (Health::Passing, None));
    }
}

#[test]
fn a_shortage_of_this_agent_is_no_news() {
    let mut bench = Bench::armed();
    bench.look(Some(false));
    for _ in 0..2 {
        assert_eq!(bench.begin_extra().probed(Meaning::Void), Ruling::Ignored);
        assert_eq!(bench.due(), Some(50));
    }
    assert_eq!(bench.begin_extra().probed(Meaning::Void), Ruling::Ignored);
    assert_eq!((bench.health, bench.due()), (Health::Passing, None), "ordinary probes go on");
    let mut bench = Bench::armed();
    bench.look(Some(false));
    bench.begin_extra().probed(Meaning::Void);
    assert_eq!(bench.begin_extra().probed(Meaning::Refusal), GONE);
}

#[test]
fn a_refused_probe_is_made_again_after_20_50_and_100_ms() {
    let mut bench = Bench::armed();
    let began = bench.now;
    assert_eq!(bench.probed(Meaning::Refusal), Ruling::Ordinary, "it counts as ever");
    for at in [20, 50] {
        bench.begin_extra();
        assert_eq!(bench.now, began + at * MS);
        assert_eq!(bench.probed(Meaning::Refusal), Ruling::Ignored);
    }
    bench.begin_extra();
    assert_eq!(bench.now, began + 100 * MS);
    assert_eq!(bench.probed(Meaning::Refusal), Ruling::Failing(Signal::Refused));
    assert_eq!(bench.due(), Some(0), "the kernel says that somebody listens");
    assert_eq!(bench.begin_extra().probed(Meaning::Success), BACK);
}

#[test]
fn one_success_among_refusals_ends_the_suspicion() {
    let mut bench = Bench::armed();
    bench.probed(Meaning::Refusal);
    bench.begin_extra().probed(Meaning::Refusal);
    assert_eq!(bench.begin_extra().probed(Meaning::Success), Ruling::Ordinary);
    assert_eq!((bench.health, bench.due(), bench.failures), (Health::Passing, None, 0));
    assert_eq!(bench.probed(Meaning::Refusal), Ruling::Ordinary, "the first of another row");
    assert_eq!(bench.due(), Some(20));
}

/// Probes are so frequent that the threshold is reached first.
#[test]
fn signs_never_delay_the_thresholds() {
    let mut bench = Bench::armed();
    for _ in 0..3 {
        assert_eq!(bench.probed(Meaning::Refusal), Ruling::Ordinary);
        bench.after(5 * MS);
    }
    assert_eq!(bench.health, Health::Failing);
    assert_eq!(bench.begin_extra().probed(Meaning::Success), BACK);
}

#[test]
fn without_the_kernel_refusals_alone_decide() {
    let mut bench = Bench::new(Health::Passing);
    bench.look(None);
    bench.probed(Meaning::Refusal);
    bench.begin_extra().probed(Meaning::Refusal);
    bench.begin_extra().probed(Meaning::Refusal);
    assert_eq!(bench.begin_extra().probed(Meaning::Refusal), Ruling::Failing(Signal::Refused));
    assert_eq!(bench.due(), None);
    assert_eq!(bench.after(1000 * MS).probed(Meaning::Refusal), Ruling::Ordinary);
    assert_eq!(bench.after(1000 * MS).probed(Meaning::Success), BACK);
}

#[test]
fn a_refusal_tells_nothing_fast_of_another_host_or_of_an_instance_that_never_passed() {
    let mut bench = Bench::new(Health::Passing);
    bench.state.looked(false, Some(true), bench.health, bench.now);
    assert!(!bench.state.looked(false, Some(false), bench.health, bench.now));
    assert_eq!(bench.probed(Meaning::Refusal), Ruling::Ordinary);
    assert_eq!(bench.due(), None);
    let mut bench = Bench::new(Health::Unknown);
    bench.look(Some(false));
    assert_eq!(bench.probed(Meaning::Refusal), Ruling::Ordinary);
    assert_eq!((bench.health, bench.due()), (Health::Unknown, None));
}

#[test]
fn an_instance_that_did_not_pass_is_probed_when_its_listener_appears() {
    for health in [Health::Unknown, Health::Failing] {
        let mut bench = Bench::new(health);
        bench.look(Some(true));
        assert_eq!(bench.due(), None, "the first probe is due anyway");
        bench.look(Some(false));
        bench.after(300 * MS).look(Some(true));
        assert_eq!(bench.begin_extra().probed(Meaning::Success), Ruling::Ordinary, "{health:?}");
    }
}

/// Socket activation and port forwarders: the check passes although nobody listens.
#[test]
fn a_listener_that_is_not_needed_is_no_sign() {
    let mut bench = Bench::new(Health::Passing);
    assert!(bench.look(Some(false)), "a restored verdict is looked at");
    assert_eq!(bench.begin_extra().probed(Meaning::Success), Ruling::Ordinary);
    assert!(!bench.after(50 * MS).look(None) && !bench.after(50 * MS).look(Some(false)));
    assert_eq!(bench.due(), None);
    bench.look(Some(true));
    assert!(bench.look(Some(false)), "one that was there is a sign again");
}

#[test]
fn returns_are_held_down_after_two_and_going_out_is_not() {
    let mut bench = Bench::armed();
    bench.use_up_free_returns();
    for hold_ms in [1_000, 2_000, 4_000, 8_000, 10_000] {
        assert!(bench.after(500 * MS).look(Some(false)));
        assert_eq!(bench.due(), Some(0));
        assert_eq!(bench.begin_extra().probed(Meaning::Refusal), GONE);
        bench.after(500 * MS).look(Some(true));
        assert_eq!(bench.due(), Some(hold_ms));
        assert_eq!(bench.after(999 * MS).probed(Meaning::Success), Ruling::Ignored);
        assert_eq!(bench.begin_extra().probed(Meaning::Success), Ruling::Ordinary);
        assert_eq!(bench.health, Health::Passing);
    }
    bench.after(60_000 * MS).use_up_free_returns();
}

#[test]
fn a_hold_down_begins_anew_when_the_listener_goes_meanwhile() {
    let mut bench = Bench::armed();
    bench.use_up_free_returns();
    bench.look(Some(false));
    bench.begin_extra().probed(Meaning::Refusal);
    bench.look(Some(true));
    bench.after(900 * MS).look(Some(false));
    assert_eq!(bench.due(), None);
    bench.after(900 * MS).look(Some(true));
    assert_eq!(bench.due(), Some(1_000));
    let mut bench = Bench::armed();
    bench.use_up_free_returns();
    bench.look(Some(false));
    bench.begin_extra().probed(Meaning::Refusal);
    assert_eq!(bench.probed(Meaning::Success), Ruling::Ignored, "before the kernel says so");
    assert_eq!(bench.due(), Some(1_000));
    bench.probed(Meaning::Refusal);
    assert_eq!(bench.due(), None);
}

#[test]
fn an_overdue_verdict_ends_a_suspicion() {
    let mut bench = Bench::armed();
    bench.probed(Meaning::Refusal);
    bench.state.judged(Health::Unknown, bench.now);
    assert_eq!(bench.due(), None);
}
