//! The arguments of `hobnob register` for how calls to the service are balanced and made.

use std::time::Duration;

use clap::{Args, value_parser};
use hobnob_api::{Balancing, Protocol, Strategy};

use super::choices;
use super::values::{self, millis};

/// How calls to the service are balanced and made, by every agent and every program.
#[derive(Debug, Args)]
#[command(next_help_heading = "Balancing and calls")]
pub(super) struct BalancingArgs {
    /// The strategy of picks of this service, unless they name one themselves
    #[arg(long, value_parser = choices::strategy())]
    strategy: Option<Strategy>,

    /// Reported failures in a row that open an instance's circuit: it then gets no calls [default: no breaker]
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=1_000))]
    failure_threshold: Option<u32>,

    /// A circuit stays open for this long, and up to a tenth longer at random, before one call is let through [default: 5s]
    #[arg(long, value_name = "DURATION", requires = "failure_threshold", value_parser = values::duration)]
    recovery_timeout: Option<Duration>,

    /// Reported failures in a row that eject an instance for a while, as does a success rate far below that of the
    /// other instances [default: no ejection]
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=1_000))]
    outlier_failures: Option<u32>,

    /// From one comparison of the instances' success rates to the next [default: 10s]
    #[arg(long, value_name = "DURATION", requires = "outlier_failures", value_parser = values::duration)]
    outlier_interval: Option<Duration>,

    /// The duration of an instance's first ejection; the n-th is n times as long [default: 30s]
    #[arg(long, value_name = "DURATION", requires = "outlier_failures", value_parser = values::duration)]
    ejection_time: Option<Duration>,

    /// The most instances ejected at one time, in percent; one may always be [default: 10]
    #[arg(long, value_name = "PERCENT", requires = "outlier_failures", value_parser = value_parser!(u32).range(1..=100))]
    max_ejection: Option<u32>,

    /// Ignore circuits and ejections while less than this percentage of the instances takes calls [default: 0]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u32).range(0..=100))]
    panic_threshold: Option<u32>,

    /// The weight of a new instance ramps up over this time [default: no ramp]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    slow_start: Option<Duration>,

    /// For keyed strategies: the most calls in flight of an instance, in percent of its fair share [default: no bound,
    /// 125 for bounded-hash]
    #[arg(long, value_name = "PERCENT", value_parser = value_parser!(u32).range(100..=1_000))]
    load_bound: Option<u32>,

    /// The datacenters that the service fails over to, in this order, separated by commas; the others follow after them, nearest
    /// first [default: the nearest first]
    #[arg(long, value_name = "DATACENTERS", value_delimiter = ',')]
    failover: Vec<String>,

    /// The time of a call by a program, retries included, until its answer begins [default: that of the program, 10s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    call_timeout: Option<Duration>,

    /// The time of one try of a call that may be made twice [default: that of the program, 3s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    try_timeout: Option<Duration>,

    /// The time in which a connection must stand [default: that of the program, 1s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    connect_timeout: Option<Duration>,

    /// Further tries of one call, from 0 to 10 [default: those of the program, 2]
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(0..=10))]
    max_retries: Option<u32>,

    /// The protocol of calls [default: that of the program, http1]
    #[arg(long, value_parser = choices::protocol())]
    protocol: Option<Protocol>,
}

impl From<BalancingArgs> for Balancing {
    fn from(args: BalancingArgs) -> Self {
        Self {
            strategy: args.strategy,
            failure_threshold: args.failure_threshold,
            recovery_timeout_ms: args.recovery_timeout.map(millis),
            outlier_failures: args.outlier_failures,
            outlier_interval_ms: args.outlier_interval.map(millis),
            ejection_time_ms: args.ejection_time.map(millis),
            max_ejection_percent: args.max_ejection,
            panic_threshold_percent: args.panic_threshold,
            slow_start_ms: args.slow_start.map(millis),
            load_bound_percent: args.load_bound,
            failover: args.failover,
            call_timeout_ms: args.call_timeout.map(millis),
            try_timeout_ms: args.try_timeout.map(millis),
            connect_timeout_ms: args.connect_timeout.map(millis),
            max_retries: args.max_retries,
            protocol: args.protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use hobnob_api::Registration;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(options: &str) -> Result<Balancing, clap::Error> {
        let line = format!("hobnob register web --port 80 {options}");
        match Cli::try_parse_from(line.split_whitespace())?.command {
            Command::Register(args) => Ok(Registration::from(args).balancing),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_setting_has_an_option() {
        let options = "--strategy peak-ewma --failure-threshold 5 --recovery-timeout 10s --outlier-failures 7 \
                       --outlier-interval 20s --ejection-time 1m --max-ejection 25 --panic-threshold 50 \
                       --slow-start 30s --load-bound 150 --failover us,eu --call-timeout 2s --try-timeout 1s \
                       --connect-timeout 300ms --max-retries 1 --protocol http2";
        let expected = Balancing {
            strategy: Some(Strategy::PeakEwma),
            failure_threshold: Some(5),
            recovery_timeout_ms: Some(10_000),
            outlier_failures: Some(7),
            outlier_interval_ms: Some(20_000),
            ejection_time_ms: Some(60_000),
            max_ejection_percent: Some(25),
            panic_threshold_percent: Some(50),
            slow_start_ms: Some(30_000),
            load_bound_percent: Some(150),
            failover: vec!["us".to_owned(), "eu".to_owned()],
            call_timeout_ms: Some(2_000),
            try_timeout_ms: Some(1_000),
            connect_timeout_ms: Some(300),
            max_retries: Some(1),
            protocol: Some(Protocol::Http2),
        };
        assert_eq!(parse(options).unwrap(), expected);
        assert_eq!(parse("").unwrap(), Balancing::default());
    }

    #[test]
    fn a_setting_needs_its_switch_and_stays_within_bounds() {
        for (options, named) in [
            ("--recovery-timeout 10s", "--failure-threshold"),
            ("--ejection-time 1m", "--outlier-failures"),
            ("--outlier-failures 5 --max-ejection 0", "--max-ejection"),
            ("--panic-threshold 101", "--panic-threshold"),
            ("--load-bound 99", "--load-bound"),
            ("--slow-start 25h", "--slow-start"),
            ("--call-timeout 0s", "--call-timeout"),
            ("--max-retries 11", "--max-retries"),
            ("--protocol http3", "--protocol"),
        ] {
            let error = parse(options).unwrap_err();
            assert!(error.to_string().contains(named), "{options}: {error}");
        }
    }
}
