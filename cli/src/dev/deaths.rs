//! The time from the death of a process until the others have noticed it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::cluster::Part;
use super::sights::{Offer, Sighting};

/// What each agent offers, and the deaths that not all agents have noticed yet.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// For each instance and agent, whether the agent offers the instance.
    offers: BTreeMap<String, BTreeMap<String, Offer>>,
    /// At most one for each process.
    unnoticed: Vec<Death>,
}

/// A death that not all agents have noticed yet.
#[derive(Debug)]
struct Death {
    part: Part,
    /// What happened to it, as in `killed`.
    verb: &'static str,
    began: Instant,
    waiting: BTreeSet<String>,
    /// The times after which agents noticed, in order.
    noticed: Vec<Duration>,
}

impl Deaths {
    /// Notes that a process died at `began`. These agents are expected to notice. Returns a text if nobody is, or if all have.
    pub(super) fn note_death(
        &mut self,
        part: &Part,
        verb: &'static str,
        began: Instant,
        agents: impl IntoIterator<Item = String>,
    ) -> Option<String> {
        self.unnoticed.retain(|death| death.part != *part);
        let (mut waiting, mut noticed) = (BTreeSet::new(), Vec::new());
        // An agent that is just back has not told what it offers, and is no witness.
        for agent in agents.into_iter().filter(|agent| self.has_told(agent)) {
            if self.offer(&agent, part) != Offer::Nothing {
                waiting.insert(agent);
            } else {
                noticed.push(Duration::ZERO);
            }
        }
        self.unnoticed.push(Death { part: part.clone(), verb, began, waiting, noticed });
        self.take_noticed().pop()
    }

    /// Takes a sighting. Returns a text if with it all agents have noticed a death.
    pub(super) fn see(&mut self, sighting: Sighting) -> Option<String> {
        let Sighting { agent, at, id, offer } = sighting;
        if offer == Offer::Nothing {
            let mut deaths = self.unnoticed.iter_mut();
            if let Some(death) = deaths.find(|death| death.part.id() == id && death.began <= at)
                && death.waiting.remove(&agent)
            {
                death.noticed.push(at - death.began);
            }
        }
        self.offers.entry(id).or_default().insert(agent, offer);
        self.take_noticed().pop()
    }

    /// An agent died, and notices nothing more. Returns texts about deaths that all others have noticed.
    pub(super) fn lose_witness(&mut self, agent: &str) -> Vec<String> {
        for offers in self.offers.values_mut() {
            offers.remove(agent);
        }
        self.excuse_witness(agent)
    }

    /// An agent cannot notice the deaths so far, and lives on. Returns texts about deaths that all others have noticed.
    pub(super) fn excuse_witness(&mut self, agent: &str) -> Vec<String> {
        for death in &mut self.unnoticed {
            death.waiting.remove(agent);
        }
        self.take_noticed()
    }

    /// A process is back. Returns a text if not all agents had noticed its death.
    pub(super) fn note_return(&mut self, part: &Part) -> Option<String> {
        let index = self.unnoticed.iter().position(|death| death.part == *part)?;
        let death = self.unnoticed.remove(index);
        let all = death.noticed.len() + death.waiting.len();
        let (what, noticed) = (death.what(), death.noticed.len());
        Some(format!("{what}: {noticed} of {all} agents noticed before it was back"))
    }

    fn has_told(&self, agent: &str) -> bool {
        self.offers.values().any(|by| by.contains_key(agent))
    }

    fn offer(&self, agent: &str, part: &Part) -> Offer {
        self.offers.get(part.id()).and_then(|by| by.get(agent)).copied().unwrap_or(Offer::Nothing)
    }

    fn take_noticed(&mut self) -> Vec<String> {
        let done = self.unnoticed.extract_if(.., |death| death.waiting.is_empty());
        done.map(|death| death.result()).collect()
    }
}

impl Death {
    fn what(&self) -> String {
        format!("{} {}", self.part, self.verb)
    }

    /// The text about a death that all agents have noticed.
    fn result(&self) -> String {
        let what = self.what();
        let (Some(first), Some(last)) = (self.noticed.first(), self.noticed.last()) else {
            return format!("{what}: no other agent is there to notice");
        };
        let (first, last) = (millis(*first), millis(*last));
        match (&self.part, self.noticed.len()) {
            (Part::Server(_), _) => format!("{what}: no agent offers it after {last}"),
            (Part::Agent(_), 1) => format!("{what}: the other one knows after {last}"),
            (Part::Agent(_), others) => {
                format!("{what}: all {others} others know after {last} (first {first})")
            }
        }
    }
}

fn millis(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENTS: [&str; 3] = ["a1", "a2", "a3"];

    struct Seen {
        deaths: Deaths,
        began: Instant,
    }

    impl Seen {
        /// All agents offer `a2` and `web-1`.
        fn all() -> Self {
            let mut seen = Self { deaths: Deaths::default(), began: Instant::now() };
            for agent in AGENTS {
                for id in ["a2", "web-1"] {
                    assert_eq!(seen.see(agent, id, Offer::Healthy, 0), None);
                }
            }
            seen
        }

        fn see(&mut self, agent: &str, id: &str, offer: Offer, at_ms: u64) -> Option<String> {
            let at = self.began + Duration::from_millis(at_ms);
            self.deaths.see(Sighting { agent: agent.to_owned(), at, id: id.to_owned(), offer })
        }

        fn kill(&mut self, part: &Part, agents: &[&str]) -> Option<String> {
            self.deaths.note_death(
                part,
                "killed",
                self.began,
                agents.iter().map(ToString::to_string),
            )
        }
    }

    fn a2() -> Part {
        Part::Agent("a2".to_owned())
    }

    fn web() -> Part {
        Part::Server("web-1".to_owned())
    }

    #[test]
    fn the_first_and_the_last_agent_that_know_are_timed() {
        let mut seen = Seen::all();
        assert_eq!(seen.kill(&a2(), &["a1", "a3"]), None);
        assert_eq!(seen.see("a3", "a2", Offer::Nothing, 48), None);
        assert_eq!(seen.see("a3", "a2", Offer::Nothing, 50), None, "told again");
        let told = seen.see("a1", "a2", Offer::Nothing, 61);
        assert_eq!(
            told.as_deref(),
            Some("agent a2 killed: all 2 others know after 61 ms (first 48 ms)")
        );
        assert_eq!(seen.deaths.note_return(&a2()), None);
    }

    #[test]
    fn a_server_is_gone_when_no_agent_offers_it() {
        let mut seen = Seen::all();
        assert_eq!(seen.kill(&web(), &AGENTS), None);
        for agent in ["a1", "a2"] {
            assert_eq!(seen.see(agent, "web-1", Offer::Nothing, 40), None);
        }
        let told = seen.see("a3", "web-1", Offer::Nothing, 43);
        assert_eq!(told.as_deref(), Some("server web-1 killed: no agent offers it after 43 ms"));
    }

    #[test]
    fn an_agent_that_dies_meanwhile_is_not_waited_for() {
        let mut seen = Seen::all();
        seen.kill(&web(), &AGENTS);
        seen.kill(&a2(), &["a1", "a3"]);
        assert_eq!(seen.deaths.lose_witness("a2"), Vec::<String>::new());
        assert_eq!(seen.see("a1", "web-1", Offer::Nothing, 43), None);
        let told = seen.deaths.lose_witness("a3");
        assert_eq!(told, ["server web-1 killed: no agent offers it after 43 ms"]);
        let told = seen.see("a1", "a2", Offer::Nothing, 60);
        assert_eq!(told.as_deref(), Some("agent a2 killed: the other one knows after 60 ms"));
    }

    #[test]
    fn a_return_before_all_have_noticed_is_told() {
        let mut seen = Seen::all();
        seen.kill(&a2(), &["a1", "a3"]);
        seen.see("a1", "a2", Offer::Nothing, 60);
        assert_eq!(
            seen.deaths.note_return(&a2()).as_deref(),
            Some("agent a2 killed: 1 of 2 agents noticed before it was back")
        );
    }

    #[test]
    fn what_was_known_before_the_end_was_seen_counts_as_at_once() {
        let mut seen = Seen::all();
        for agent in ["a1", "a3"] {
            seen.see(agent, "a2", Offer::Nothing, 0);
        }
        let others = ["a1", "a3"].map(str::to_owned);
        let told = seen.deaths.note_death(&a2(), "ended", seen.began, others);
        assert_eq!(
            told.as_deref(),
            Some("agent a2 ended: all 2 others know after 0 ms (first 0 ms)")
        );
    }

    #[test]
    fn an_agent_alone_has_nobody_to_notice() {
        let mut seen = Seen::all();
        let told = seen.kill(&a2(), &[]);
        assert_eq!(told.as_deref(), Some("agent a2 killed: no other agent is there to notice"));
    }

    #[test]
    fn an_instance_that_is_offered_as_a_last_resort_is_not_healthy() {
        let mut seen = Seen::all();
        seen.see("a1", "web-1", Offer::LastResort, 0);
        assert_eq!(seen.kill(&web(), &["a1"]), None, "its death is yet to be noticed");
    }
}
