//! The parameters of the protocol that an operator may set. All agents of a cluster should have the same ones.

use std::time::Duration;

use clap::Args;
use hobnob_agent::Protocol;

/// Declares the parameters: flag, variable and key of each have its name.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:literal, $range:expr, $unit:literal, $variable:literal;)+) => {
        /// The parameters of the protocol.
        #[derive(Debug, Args)]
        #[command(next_help_heading = "Protocol: the same for all agents of a cluster")]
        pub(crate) struct ProtocolArgs {
            $(
                $(#[doc = $doc])+
                #[arg(long, value_name = $unit, default_value_t = $default, hide_short_help = true)]
                #[arg(value_parser = clap::value_parser!($type).range($range))]
                #[arg(env = $variable, hide_env_values = true)]
                $field: $type,
            )+
        }
    };
}

parameters! {
    /// An agent that has heard no other for this long calls itself isolated, from 3000 to 60000; a crash is detected within 2000 to 3200
    protocol_isolated_after_ms: u64 = 5_000, 3_000..=60_000, "MS", "HOBNOB_PROTOCOL_ISOLATED_AFTER_MS";
    /// The bytes that changes, comparisons and repair of an agent may take in a second, from 50000 to 1000000000
    protocol_bytes_per_second: u64 = 1_250_000, 50_000..=1_000_000_000, "BYTES", "HOBNOB_PROTOCOL_BYTES_PER_SECOND";
    /// The random members that a change is passed on to, besides the two neighbours, from 1 to 8
    protocol_rumor_fanout: u64 = 2, 1..=8, "COUNT", "HOBNOB_PROTOCOL_RUMOR_FANOUT";
    /// The random members that its origin sends a change to, besides the two neighbours, from 1 to 16
    protocol_origin_fanout: u64 = 4, 1..=16, "COUNT", "HOBNOB_PROTOCOL_ORIGIN_FANOUT";
    /// The members that a digest goes to after a change, from 1 to 8
    protocol_digest_fanout: u64 = 2, 1..=8, "COUNT", "HOBNOB_PROTOCOL_DIGEST_FANOUT";
    /// The time between two digests while nothing changes, from 100 to 5000
    protocol_digest_period_ms: u64 = 500, 100..=5_000, "MS", "HOBNOB_PROTOCOL_DIGEST_PERIOD_MS";
    /// The time between two full comparisons with a random member, from 5000 to 600000
    protocol_sync_period_ms: u64 = 30_000, 5_000..=600_000, "MS", "HOBNOB_PROTOCOL_SYNC_PERIOD_MS";
    /// The longest time between two tries to join, from 1000 to 600000
    protocol_join_retry_max_ms: u64 = 10_000, 1_000..=600_000, "MS", "HOBNOB_PROTOCOL_JOIN_RETRY_MAX_MS";
    /// The time for which the records of a lost agent are kept, from 600000 (10 minutes) to 604800000 (a week)
    protocol_retention_ms: u64 = 86_400_000, 600_000..=604_800_000, "MS", "HOBNOB_PROTOCOL_RETENTION_MS";
    /// The changes of one agent that cross to another datacenter in a second, after a burst, from 1 to 100000
    protocol_wan_changes_per_second_of_origin: u64 = 100, 1..=100_000, "COUNT", "HOBNOB_PROTOCOL_WAN_CHANGES_PER_SECOND_OF_ORIGIN";
    /// The changes of all agents of a datacenter that cross to another one in a second, after a burst, from 1 to 1000000
    protocol_wan_changes_per_second: u64 = 2_000, 1..=1_000_000, "COUNT", "HOBNOB_PROTOCOL_WAN_CHANGES_PER_SECOND";
}

impl From<ProtocolArgs> for Protocol {
    fn from(args: ProtocolArgs) -> Self {
        let ms = Duration::from_millis;
        // The ranges above fit every platform.
        let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            isolated_after: ms(args.protocol_isolated_after_ms),
            bytes_per_second: args.protocol_bytes_per_second,
            rumor_fanout: count(args.protocol_rumor_fanout),
            origin_fanout: count(args.protocol_origin_fanout),
            digest_fanout: count(args.protocol_digest_fanout),
            digest_period: ms(args.protocol_digest_period_ms),
            sync_period: ms(args.protocol_sync_period_ms),
            join_retry_max: ms(args.protocol_join_retry_max_ms),
            retention: ms(args.protocol_retention_ms),
            wan_changes_per_second_of_origin: args.protocol_wan_changes_per_second_of_origin,
            wan_changes_per_second: args.protocol_wan_changes_per_second,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        protocol: ProtocolArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        let defaults = Protocol::from(Alone::try_parse_from(["x"]).unwrap().protocol);
        assert_eq!(format!("{defaults:?}"), format!("{:?}", Protocol::default()));
    }

    #[test]
    fn a_parameter_has_bounds() {
        let parse = |value| {
            let args = ["x", "--protocol-digest-period-ms", value];
            Alone::try_parse_from(args).map(|args| Protocol::from(args.protocol).digest_period)
        };
        assert_eq!(parse("100").unwrap(), Duration::from_millis(100));
        assert!(parse("99").is_err_and(|error| error.to_string().contains("100..=5000")));
    }
}
