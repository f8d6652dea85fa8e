//! The time from the death of a process until no pick goes to what was lost with it.

use std::time::{Duration, Instant};

use super::cluster::Part;
use super::load::Tally;

/// The time without a pick after which the last one counts as the last.
const QUIET: Duration = Duration::from_secs(1);

/// The deaths whose end of picks is waited for. At most one for each process.
#[derive(Debug, Default)]
pub(super) struct Avoidance {
    pending: Vec<Pending>,
}

#[derive(Debug)]
struct Pending {
    part: Part,
    /// What happened to it, as in `killed`.
    verb: &'static str,
    began: Instant,
    /// The instances that were lost, with their picks before.
    lost: Vec<(String, u64)>,
}

impl Avoidance {
    /// Notes that a process died at `began`, and these instances with it.
    pub(super) fn begin(
        &mut self,
        part: &Part,
        verb: &'static str,
        began: Instant,
        lost: Vec<String>,
        tally: &Tally,
    ) {
        self.forget(part);
        let count = |id: &str| tally.picked(id).map_or(0, |picked| picked.count);
        let with_count = |id: String| {
            let before = count(&id);
            (id, before)
        };
        let lost: Vec<_> = lost.into_iter().map(with_count).collect();
        if !lost.is_empty() {
            self.pending.push(Pending { part: part.clone(), verb, began, lost });
        }
    }

    /// Forgets a death: the process is back.
    pub(super) fn forget(&mut self, part: &Part) {
        self.pending.retain(|pending| pending.part != *part);
    }

    /// The texts about deaths whose instances get no more picks.
    pub(super) fn done(&mut self, tally: &Tally, now: Instant) -> Vec<String> {
        let is_over = |pending: &mut Pending| {
            let last = pending.last(tally).unwrap_or(pending.began);
            now.duration_since(last.max(pending.began)) >= QUIET
        };
        self.pending.extract_if(.., is_over).map(|pending| pending.text(tally)).collect()
    }
}

impl Pending {
    /// The last pick of any of the instances after the death.
    fn last(&self, tally: &Tally) -> Option<Instant> {
        let picked = self.lost.iter().filter_map(|(id, _)| tally.picked(id));
        picked.map(|picked| picked.last).filter(|last| *last > self.began).max()
    }

    fn text(&self, tally: &Tally) -> String {
        let ids: Vec<&str> = self.lost.iter().map(|(id, _)| id.as_str()).collect();
        let ids = ids.join(", ");
        let Pending { part, verb, .. } = self;
        let Some(last) = self.last(tally) else {
            return format!("{part} {verb}: no pick went to {ids} after that");
        };
        let after = last.duration_since(self.began).as_secs_f64() * 1_000.0;
        let wasted = self.lost.iter().map(|(id, before)| {
            tally.picked(id).map_or(0, |picked| picked.count).saturating_sub(*before)
        });
        let wasted: u64 = wasted.sum();
        format!("{part} {verb}: picks avoid {ids} after {after:.0} ms ({wasted} went there)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pick_is_timed_when_no_other_has_followed() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut tally = Tally::new(began);
        tally.note("web-1", at(0));
        let part = Part::Server("web-1".to_owned());
        let mut avoidance = Avoidance::default();
        avoidance.begin(&part, "killed", at(1), vec!["web-1".to_owned()], &tally);
        tally.note("web-1", at(40));
        tally.note("web-1", at(63));
        assert_eq!(avoidance.done(&tally, at(1_050)), Vec::<String>::new());
        let expected = "server web-1 killed: picks avoid web-1 after 62 ms (2 went there)";
        assert_eq!(avoidance.done(&tally, at(1_063)), [expected]);
        assert_eq!(avoidance.done(&tally, at(9_000)), Vec::<String>::new(), "told once");
    }

    #[test]
    fn what_gets_no_pick_and_what_is_back_is_told_so() {
        let began = Instant::now();
        let tally = Tally::new(began);
        let part = Part::Agent("a3".to_owned());
        let mut avoidance = Avoidance::default();
        avoidance.begin(&part, "killed", began, vec!["web-3".to_owned()], &tally);
        let told = avoidance.done(&tally, began + QUIET);
        assert_eq!(told, ["agent a3 killed: no pick went to web-3 after that"]);
        avoidance.begin(&part, "killed", began, vec!["web-3".to_owned()], &tally);
        avoidance.forget(&part);
        assert_eq!(avoidance.done(&tally, began + QUIET), Vec::<String>::new());
        avoidance.begin(&part, "killed", began, vec![], &tally);
        assert!(avoidance.pending.is_empty(), "nothing else serves what was lost");
    }
}
