//! The arguments of `hobnob register`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};

use hobnob_api::{
    Check, DEFAULT_CHECK_INTERVAL, DEFAULT_CHECK_NAME, DEFAULT_CHECK_TIMEOUT,
    DEFAULT_FAILURES_BEFORE_CRITICAL, DEFAULT_NAMESPACE, DEFAULT_SUCCESS_BEFORE_PASSING,
    InstanceScope, Probe, Registration,
};

use super::ack::AckArgs;
use super::balancing::BalancingArgs;
use super::choices;
use super::values::{self, millis};

const AFTER_HELP: &str = "\
Examples:
  hobnob register web --port 8001
  hobnob register web --id web-1 --address 10.0.0.7 --port 8001 \\
      --tag v1 --meta version=1.4 --weight 2
  hobnob register web --port 8001 \\
      --check-http http://127.0.0.1:8001/health --interval 2s --timeout 500ms
  hobnob register db --port 5432 --check-tcp 127.0.0.1:5432
  hobnob register web --port 8001 --ack datacenter --ack-timeout 5s
  hobnob register api --port 8080 --strategy least-connections \\
      --failure-threshold 5 --recovery-timeout 10s
  hobnob register api --port 8080 --failover eu,us
  hobnob register cache --port 6379 --scope datacenter
  hobnob register web --id web-us-7 --dc eu --address 203.0.113.7 --port 8001
  hobnob register api --port 8080 --slow-start 30s --outlier-failures 5 --panic-threshold 50

Without a check an instance is healthy while its agent lives.
Registrations outlast a restart of the agent. One with the id of another replaces it.
With --dc, an agent of that datacenter has the instance: its checks run there, and it is gone
when that agent is. `hobnob deregister ID --dc NAME` removes it again.
With --scope datacenter, agents of other datacenters do not show the instance. --ack all and
--ack COUNT ask agents of its own datacenter alone then.";

/// A service instance to be registered.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct RegisterArgs {
    /// The name of the service
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    service: String,

    /// The id of the instance, unique on this agent [default: the name of the service]
    #[arg(long)]
    id: Option<String>,

    /// Its address: an IP address or a host name [default: the address of the agent]
    #[arg(long, value_name = "HOST", value_parser = values::host)]
    address: Option<String>,

    /// The port where it answers
    #[arg(long, value_parser = value_parser!(u16).range(1..))]
    port: u16,

    /// A label without a value; may be repeated, or separated by commas
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,

    /// A label with a value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    meta: Vec<(String, String)>,

    /// Its capacity relative to other instances', from 1 to 65535
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=65535))]
    weight: u32,

    /// The namespace of the service
    #[arg(long, default_value = DEFAULT_NAMESPACE)]
    namespace: String,

    /// Healthy while GET of this http:// URL answers with 2xx
    #[arg(long, value_name = "URL", group = "check", value_parser = values::http_url)]
    check_http: Option<String>,

    /// Healthy while this host:port accepts connections
    #[arg(long, value_name = "ADDRESS", group = "check", value_parser = values::host_port)]
    check_tcp: Option<String>,

    /// From the start of one check to the next [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = values::duration)]
    interval: Option<Duration>,

    /// The timeout of a check [default: 500ms]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Successes in a row before it is healthy [default: 1]
    #[arg(long, value_name = "COUNT", requires = "check", value_parser = value_parser!(u32).range(1..))]
    success_before_passing: Option<u32>,

    /// Failures in a row before it is unhealthy [default: 3]
    #[arg(long, alias = "failures-before-failing", value_name = "COUNT", requires = "check", value_parser = value_parser!(u32).range(1..))]
    failures_before_critical: Option<u32>,

    /// Let the thresholds alone decide, also when a service on the agent's own host dies
    #[arg(long, requires = "check")]
    no_listener_watch: bool,

    /// Register it with an agent of this datacenter, which is its origin from then on [default: with this agent]
    #[arg(long = "dc", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) datacenter: Option<String>,

    /// How far it is known
    #[arg(long, value_name = "SCOPE", default_value = "global", value_parser = choices::scope())]
    scope: InstanceScope,

    #[command(flatten)]
    pub(super) ack: AckArgs,

    #[command(flatten)]
    balancing: BalancingArgs,
}

impl From<RegisterArgs> for Registration {
    fn from(args: RegisterArgs) -> Self {
        let checks = Vec::from_iter(args.check());
        Self {
            service: args.service,
            id: args.id,
            namespace: args.namespace,
            address: args.address,
            port: args.port,
            tags: args.tags.into_iter().collect(),
            meta: args.meta.into_iter().collect(),
            weight: args.weight,
            checks,
            balancing: args.balancing.into(),
            ack: args.ack.to_ack(),
            datacenter: args.datacenter,
            scope: args.scope,
        }
    }
}

impl RegisterArgs {
    fn check(&self) -> Option<Check> {
        let http = self.check_http.clone().map(Probe::http);
        let tcp = self.check_tcp.clone().map(Probe::tcp);
        Some(Check {
            name: DEFAULT_CHECK_NAME.to_owned(),
            interval_ms: millis(self.interval.unwrap_or(DEFAULT_CHECK_INTERVAL)),
            timeout_ms: millis(self.timeout.unwrap_or(DEFAULT_CHECK_TIMEOUT)),
            success_before_passing: self
                .success_before_passing
                .unwrap_or(DEFAULT_SUCCESS_BEFORE_PASSING),
            failures_before_critical: self
                .failures_before_critical
                .unwrap_or(DEFAULT_FAILURES_BEFORE_CRITICAL),
            listener_watch: !self.no_listener_watch,
            ..Check::new(http.or(tcp)?)
        })
    }
}

/// `hobnob deregister`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob deregister web-1\n  hobnob deregister web-1 --ack all\n  hobnob deregister web-us-7 --dc eu\n\nExits with 3 when this agent has no such instance."
)]
pub(crate) struct DeregisterArgs {
    /// The id of the instance
    pub(crate) id: String,

    /// The datacenter that it was registered in with --dc
    #[arg(long = "dc", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) datacenter: Option<String>,

    #[command(flatten)]
    pub(crate) ack: AckArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::{CommandFactory, Parser};
    use hobnob_api::{Ack, Ackers};

    fn parse(line: &str) -> Result<Registration, clap::Error> {
        let words = ["hobnob", "register"].into_iter().chain(line.split(' '));
        match Cli::try_parse_from(words)?.command {
            Command::Register(args) => Ok(args.into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn little_is_needed() {
        let registration = parse("web --port 80").unwrap();
        assert_eq!(registration.instance_id(), "web");
        assert_eq!((&registration.address, registration.checks.len()), (&None, 0));
        assert_eq!((registration.weight, registration.namespace.as_str()), (1, "default"));
    }

    #[test]
    fn labels_add_up() {
        let registration =
            parse("web --port 80 --tag v1 --tag canary,eu --meta a=1,2 --meta b=x=y").unwrap();
        assert_eq!(Vec::from_iter(registration.tags), ["canary", "eu", "v1"]);
        let meta: Vec<_> =
            registration.meta.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(meta, [("a", "1,2"), ("b", "x=y")]);
    }

    #[test]
    fn an_acknowledgement_is_asked_for_by_a_number_or_a_word() {
        assert_eq!(parse("web --port 80").unwrap().ack, None);
        let ack = parse("web --port 80 --ack datacenter:eu --ack-timeout 5s").unwrap().ack;
        let by = Ackers::Datacenter("eu".to_owned());
        assert_eq!(ack, Some(Ack { by, timeout_ms: 5_000 }));
        let ack = parse("web --port 80 --ack 3").unwrap().ack;
        assert_eq!(ack, Some(Ack { by: Ackers::Any(3), timeout_ms: 2_000 }));
    }

    #[test]
    fn a_datacenter_is_named_for_an_instance_elsewhere() {
        assert_eq!(parse("web --port 80").unwrap().datacenter, None);
        assert_eq!(parse("web --port 80 --dc eu").unwrap().datacenter.as_deref(), Some("eu"));
    }

    #[test]
    fn an_instance_is_known_everywhere_unless_its_scope_says_otherwise() {
        assert_eq!(parse("web --port 80").unwrap().scope, InstanceScope::Global);
        let scope = parse("web --port 80 --scope datacenter").unwrap().scope;
        assert_eq!(scope, InstanceScope::Datacenter);
    }

    #[test]
    fn a_check_has_the_defaults_that_the_help_names() {
        let check = parse("web --port 80 --check-tcp h:80").unwrap().checks.remove(0);
        let help =
            Cli::command().find_subcommand_mut("register").unwrap().render_help().to_string();
        let interval = humantime::format_duration(Duration::from_millis(check.interval_ms));
        let timeout = humantime::format_duration(Duration::from_millis(check.timeout_ms));
        for default in [
            format!("the next [default: {interval}]"),
            format!("timeout of a check [default: {timeout}]"),
            format!("is healthy [default: {}]", check.success_before_passing),
            format!("is unhealthy [default: {}]", check.failures_before_critical),
        ] {
            assert!(help.contains(&default), "{default}: {help}");
        }
    }

    #[test]
    fn a_check_is_tuned() {
        let line = "web --port 80 --check-http http://h/ --interval 2s --timeout 100ms \
                    --success-before-passing 2 --failures-before-critical 5 --no-listener-watch";
        let check = parse(line).unwrap().checks.remove(0);
        assert_eq!(check.probe, Probe::http("http://h/"));
        assert_eq!((check.interval_ms, check.timeout_ms), (2000, 100));
        assert_eq!((check.success_before_passing, check.failures_before_critical), (2, 5));
        assert!(!check.listener_watch);
    }

    #[test]
    fn arguments_that_cannot_work_are_refused_by_name() {
        for (line, named) in [
            ("web", "--port"),
            ("web --port 0", "--port"),
            ("web --port 80 --address 999.1.1.1", "--address"),
            ("web --port 80 --meta version", "key=value"),
            ("web --port 80 --weight 0", "--weight"),
            ("web --port 80 --interval 1s", "--check-http"),
            ("web --port 80 --check-tcp h:1 --check-http http://h/", "--check-tcp"),
            ("web --port 80 --ack 0", "datacenter:NAME"),
            ("web --port 80 --ack-timeout 1s", "--ack"),
            ("web --port 80 --scope zone", "datacenter"),
            ("web --port 80 --ack all --ack-timeout 2m", "1m"),
            ("web --port 80 --check-tcp h", "host:port"),
            ("web --port 80 --check-tcp h:1 --timeout soon", "500ms"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(named), "{line}: {error}");
        }
    }
}
