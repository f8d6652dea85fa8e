//! The parameters of questions in Consul's form.

use std::time::Duration;

use hobnob_api::DEFAULT_NAMESPACE;
use serde::Serialize;

use super::super::answer::{Refused, text_of};
use super::super::parameters::Parameters;
use super::filter::{Filter, Selectors};
use crate::definitions::duration;

/// The wait for a change unless a question says otherwise. One of 0 stands for it, too.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);
/// The longest wait. A longer one is cut to it, as Consul does.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// One part in so many of the wait is added at most, at random, so that clients do not come back in step.
const JITTER: u32 = 16;

/// Parameters that every question may have, and that change nothing here.
const IGNORED: [&str; 5] = ["stale", "cached", "token", "merge-central-config", "hash"];
const KNOWN: [&str; 11] = [
    "dc",
    "ns",
    "near",
    "filter",
    "index",
    "wait",
    "consistent",
    "pretty",
    "stale",
    "cached",
    "token",
];

/// The parameters that questions have in common.
#[derive(Debug)]
pub(super) struct Options {
    /// The datacenter, if one is named.
    pub(super) datacenter: Option<String>,
    pub(super) namespace: String,
    /// The node from which instances are sorted, nearest first.
    pub(super) near: Option<String>,
    pub(super) filter: Option<Filter>,
    /// The index that the asker knows; it waits for a higher one. `None` does not wait.
    pub(super) index: Option<u64>,
    pub(super) wait: Duration,
    pub(super) is_consistent: bool,
    pub(super) is_pretty: bool,
}

impl Options {
    /// Takes the common parameters. `selectors` are what a filter may name here.
    pub(super) fn take(parameters: &mut Parameters, selectors: Selectors) -> Result<Self, Refused> {
        for name in IGNORED {
            parameters.all(name);
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let filter = given(parameters.text("filter")?);
        let filter = filter.map(|text| Filter::parse(&text, selectors)).transpose();
        let filter = filter.map_err(|error| Refused::bad(format!("`filter`: {error}")))?;
        let wait = match given(parameters.text("wait")?) {
            None => DEFAULT_WAIT,
            Some(text) => wait(&text)?,
        };
        Ok(Self {
            datacenter: given(parameters.text("dc")?),
            namespace: given(parameters.text("ns")?)
                .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()),
            near: given(parameters.text("near")?),
            filter,
            index: parameters.number("index")?.filter(|index| *index > 0),
            wait,
            is_consistent: parameters.flag("consistent")?,
            is_pretty: parameters.flag("pretty")?,
        })
    }

    /// Reads a question that has no other parameters than the common ones, and that voters do not answer.
    pub(super) fn read(query: Option<&str>, selectors: Selectors) -> Result<Self, Refused> {
        let mut parameters = Parameters::parse(query)?;
        let options = Self::take(&mut parameters, selectors)?;
        finish(parameters, &[])?;
        options.refuse_consistent()?;
        Ok(options)
    }

    /// Refuses `consistent`, for a question that voters do not answer.
    pub(super) fn refuse_consistent(&self) -> Result<(), Refused> {
        if !self.is_consistent {
            return Ok(());
        }
        let message = "`consistent` is for `/v1/health/service/NAME` and `/v1/catalog/service/NAME`: voters keep the \
                       instances of services, and nothing else. Ask without it";
        Err(Refused::bad(message))
    }

    /// The text of an answer.
    ///
    /// # Errors
    /// It is longer than an answer may be.
    pub(super) fn text(&self, shown: &impl Serialize) -> Result<Vec<u8>, Refused> {
        text_of(shown, self.is_pretty)
    }

    /// Whether a filter leaves a value in.
    pub(super) fn leaves(&self, value: &impl Serialize) -> bool {
        let Some(filter) = &self.filter else { return true };
        // Texts and numbers can always be written.
        serde_json::to_value(value).is_ok_and(|value| filter.matches(&value))
    }
}

/// Refuses what was not taken.
pub(super) fn finish(parameters: Parameters, own: &[&str]) -> Result<(), Refused> {
    let known: Vec<&str> = own.iter().chain(&KNOWN).copied().collect();
    Ok(parameters.finish(&known)?)
}

/// The wait that a text asks for.
fn wait(text: &str) -> Result<Duration, Refused> {
    let Some(wait) = duration::parse(text) else {
        return Err(Refused::bad("`wait` takes a duration with a unit, such as 10s or 5m"));
    };
    Ok(if wait.is_zero() { DEFAULT_WAIT } else { wait.min(MAX_WAIT) })
}

/// The time for which a question waits, with its share of jitter.
pub(super) fn with_jitter(wait: Duration) -> Duration {
    wait + (wait / JITTER).mul_f64(rand::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Selectors = &[];

    fn read(query: &str) -> Result<Options, Refused> {
        Options::read(Some(query), NONE)
    }

    #[test]
    fn defaults_and_limits_are_those_of_consul() {
        let plain = read("").expect("read");
        assert_eq!((plain.index, plain.wait), (None, Duration::from_secs(300)));
        assert_eq!(read("index=0").expect("read").index, None, "0 never waits");
        let long = read("index=7&wait=1h").expect("read");
        assert_eq!((long.index, long.wait), (Some(7), MAX_WAIT));
        assert_eq!(read("wait=1m30s").expect("read").wait, Duration::from_secs(90));
        assert_eq!(read("wait=0s").expect("read").wait, DEFAULT_WAIT);
        let jittered = with_jitter(Duration::from_secs(16));
        assert!((Duration::from_secs(16)..=Duration::from_secs(17)).contains(&jittered));
    }

    #[test]
    fn what_has_no_effect_is_taken_and_what_is_not_known_is_refused() {
        assert!(read("stale&cached&token=x&pretty&ns=&dc=").is_ok());
        for wrong in ["wait=10", "index=x", "node-meta=a:b", "partition=x", "filter=a"] {
            let refused = read(wrong).expect_err(wrong);
            assert_eq!(refused.status, axum::http::StatusCode::BAD_REQUEST, "{wrong}");
        }
        assert!(read("consistent").is_err(), "voters keep the instances of services alone");
    }
}
