//! The arguments of `hobnob maintenance` and `hobnob drain`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use hobnob_api::{DEFAULT_DRAIN_ACK_TIMEOUT_MS, DEFAULT_DRAIN_MS, DrainRequest};

use super::super::values::{self, millis};

const MAINTENANCE_HELP: &str = "\
Examples:
  hobnob maintenance on web-1 --reason 'new disk'
  hobnob maintenance off web-1
  hobnob maintenance on --reason 'kernel update'      all instances of this agent

An instance in maintenance is unhealthy and never offered, at once and on every agent, and
`explain` says why. It lasts over restarts, until it is turned off. Turning it off for an instance
also ends its drain.";

/// `hobnob maintenance`.
#[derive(Debug, Args)]
#[command(after_help = MAINTENANCE_HELP)]
pub(crate) struct MaintenanceArgs {
    /// Whether it begins or ends
    switch: Switch,

    /// The id of the instance [default: all instances of this agent, also those that come later]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: Option<String>,

    /// Why, for those who ask
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl MaintenanceArgs {
    /// Whether it begins.
    pub(crate) fn is_on(&self) -> bool {
        self.switch == Switch::On
    }
}

const DRAIN_HELP: &str = "\
Examples:
  hobnob drain web-1
  hobnob drain web-1 --for 10s --wait-acked 99%
  hobnob drain web-1 --stop

The share of the calls that the instance gets falls to nothing over --for, alike on every agent;
then it is not offered. Its registered weight stays. With --wait-acked, the command returns when
that share of the other living agents has applied the end, and it is safe to stop the instance;
it exits with 4 when they have not within --ack-timeout after the end. A drain lasts over restarts,
until `drain --stop`, `maintenance off ID` or `deregister`.";

/// `hobnob drain`.
#[derive(Debug, Args)]
#[command(after_help = DRAIN_HELP)]
pub(crate) struct DrainArgs {
    /// The id of the instance
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) id: String,

    /// The time in which its share of the calls falls to nothing [default: 30s]
    #[arg(long = "for", value_name = "DURATION", value_parser = values::duration, conflicts_with = "stop")]
    over: Option<Duration>,

    /// Wait for the end, and until this share of the other living agents has applied it
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    wait_acked: Option<u32>,

    /// The longest wait for them after the end, at most a minute [default: 10s]
    #[arg(long, value_name = "DURATION", requires = "wait_acked", value_parser = values::ack_timeout)]
    ack_timeout: Option<Duration>,

    /// Stop the drain, and give the instance its share back
    #[arg(long)]
    stop: bool,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl DrainArgs {
    /// The question to the agent.
    pub(crate) fn to_request(&self) -> DrainRequest {
        DrainRequest {
            id: self.id.clone(),
            for_ms: self.over.map_or(DEFAULT_DRAIN_MS, millis),
            stop: self.stop,
            acked_percent: self.wait_acked,
            ack_timeout_ms: self.ack_timeout.map_or(DEFAULT_DRAIN_ACK_TIMEOUT_MS, millis),
        }
    }

    /// How long the agent may wait before it answers.
    pub(crate) fn waits(&self) -> Duration {
        let request = self.to_request();
        match request.acked_percent {
            None => Duration::ZERO,
            Some(_) if self.stop => Duration::from_millis(request.ack_timeout_ms),
            Some(_) => Duration::from_millis(request.for_ms + request.ack_timeout_ms),
        }
    }
}

fn percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    let legal = number.filter(|number| (1..=100).contains(number));
    legal.ok_or_else(|| "expected a percentage from 1% to 100%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn parse(line: &str) -> Result<(DrainRequest, Duration), clap::Error> {
        match Cli::try_parse_from(line.split(' '))?.command {
            Command::Drain(args) => Ok((args.to_request(), args.waits())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_drain_waits_for_its_end_and_for_the_agents_when_it_is_asked_to() {
        let (request, waits) = parse("hobnob drain web-1").unwrap();
        assert_eq!((request, waits), (DrainRequest::new("web-1"), Duration::ZERO));
        let line = "hobnob drain web-1 --for 5s --wait-acked 99% --ack-timeout 3s";
        let (request, waits) = parse(line).unwrap();
        assert_eq!((request.for_ms, request.acked_percent), (5_000, Some(99)));
        assert_eq!(waits, Duration::from_secs(8));
        let (request, _) = parse("hobnob drain web-1 --stop").unwrap();
        assert!(request.stop);
    }

    #[test]
    fn arguments_that_cannot_work_are_refused_by_name() {
        for (line, named) in [
            ("hobnob drain web-1 --wait-acked 101%", "from 1% to 100%"),
            ("hobnob drain web-1 --wait-acked most", "from 1% to 100%"),
            ("hobnob drain web-1 --for 5s --stop", "--stop"),
            ("hobnob drain web-1 --ack-timeout 1s", "--wait-acked"),
            ("hobnob maintenance web-1", "on, off"),
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(named), "{line}: {error}");
        }
    }
}
