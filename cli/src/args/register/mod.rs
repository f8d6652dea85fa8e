//! The arguments of `hobnob register`.

mod checks;
mod report;
mod upkeep;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};

use hobnob_api::{DEFAULT_NAMESPACE, InstanceScope, Registration};

use super::ack::AckArgs;
use super::balancing::BalancingArgs;
use super::choices;
use super::consistency::ConsistencyArgs;
use super::values;
use checks::CheckArgs;

pub(crate) use report::CheckReportArgs;
pub(crate) use upkeep::{DrainArgs, MaintenanceArgs};

const AFTER_HELP: &str = "\
Examples:
  hobnob register web --port 8001
  hobnob register web --id web-1 --address 10.0.0.7 --port 8001 \\
      --tag v1 --meta version=1.4 --weight 2
  hobnob register web --port 8001 \\
      --check-http http://127.0.0.1:8001/health --interval 2s --timeout 500ms
  hobnob register db --port 5432 --check-tcp 127.0.0.1:5432
  hobnob register shop --port 8443 \\
      --check-http https://127.0.0.1:8443/health --tls-ca /etc/shop/ca.pem --http-expect 2xx,301 \\
      --check-grpc 127.0.0.1:9000 --grpc-service shop.Cart --interval 5s \\
      --check-ttl 30s --deregister-critical-after 1h
  hobnob register web --port 8001 --ack datacenter --ack-timeout 5s --json
  hobnob register api --port 8080 --strategy least-connections \\
      --failure-threshold 5 --recovery-timeout 10s
  hobnob register api --port 8080 --failover eu,us
  hobnob register cache --port 6379 --scope datacenter
  hobnob register web --port 8001 --consistency strong
  hobnob register web --id web-us-7 --dc eu --address 203.0.113.7 --port 8001
  hobnob register api --port 8080 --slow-start 30s --outlier-failures 5 --panic-threshold 50

Without a check an instance is healthy while its agent lives. Of several checks, the worst decides.
An option is for the check before it; before the first check, it is for all of them.
Registrations outlast a restart of the agent. One with the id of another replaces it.
With --dc, an agent of that datacenter has the instance: its checks run there, and it is gone
when that agent is. `hobnob deregister ID --dc NAME` removes it again.
With --scope datacenter, agents of other datacenters do not show the instance. --ack all and
--ack COUNT ask agents of its own datacenter alone then.
With --consistency strong it is done when a majority of the voters has it on disk. Exits with 4 when that was not
confirmed in time: the registration stands, and strong reads may show it or not. `hobnob voters` names them.";

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

    #[command(flatten)]
    checks: CheckArgs,

    /// Register it with an agent of this datacenter, which is its origin from then on [default: with this agent]
    #[arg(long = "dc", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) datacenter: Option<String>,

    /// How far it is known
    #[arg(long, value_name = "SCOPE", default_value = "global", value_parser = choices::scope())]
    scope: InstanceScope,

    #[command(flatten)]
    pub(super) ack: AckArgs,

    #[command(flatten)]
    pub(super) consistency: ConsistencyArgs,

    #[command(flatten)]
    balancing: BalancingArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<RegisterArgs> for Registration {
    fn from(args: RegisterArgs) -> Self {
        Self {
            service: args.service,
            id: args.id,
            namespace: args.namespace,
            address: args.address,
            port: args.port,
            tags: args.tags.into_iter().collect(),
            meta: args.meta.into_iter().collect(),
            weight: args.weight,
            checks: args.checks.0,
            balancing: args.balancing.into(),
            ack: args.ack.to_ack(),
            datacenter: args.datacenter,
            scope: args.scope,
            consistency: args.consistency.consistency,
            consistency_timeout_ms: args.consistency.timeout_ms(),
        }
    }
}

/// `hobnob deregister`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  hobnob deregister web-1\n  hobnob deregister web-1 --ack all\n  hobnob deregister web-1 --consistency strong\n  hobnob deregister web-us-7 --dc eu\n\nExits with 3 when this agent has no such instance."
)]
pub(crate) struct DeregisterArgs {
    /// The id of the instance
    pub(crate) id: String,

    /// The datacenter that it was registered in with --dc
    #[arg(long = "dc", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) datacenter: Option<String>,

    #[command(flatten)]
    pub(crate) ack: AckArgs,

    #[command(flatten)]
    pub(crate) consistency: ConsistencyArgs,

    /// Print the answer of the agent as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::args::{Cli, Command};
    use clap::{CommandFactory, Parser};
    use hobnob_api::{Ack, Ackers, Alias, Check, CheckStatus, Probe};

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
            format!("is passing [default: {}]", check.success_before_passing),
            format!("unhealthy [default: {}]", check.failures_before_critical),
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
    fn an_option_is_for_the_check_before_it_and_one_before_the_first_is_for_all() {
        let line = "web --port 80 --interval 5s --check-http https://h/ --http-method HEAD --tls-ca /ca.pem \
                    --http-expect 2xx,301 --check-tcp h:1 --interval 9s --check-grpc h:2 --grpc-service a.B \
                    --check-udp h:3 --udp-payload ping --check-script /bin/x --script-arg -w --check-ttl 30s \
                    --initial passing --check-alias db --check-alias member:m --check-name host \
                    --failures-before-warning 1 --deregister-critical-after 1h --check-tcp h:9";
        let checks = parse(line).unwrap().checks;
        let names: Vec<_> = checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(
            names,
            ["http", "tcp", "grpc", "udp", "script", "ttl", "alias", "host", "tcp-2"]
        );
        let intervals: Vec<_> = checks.iter().map(|check| check.interval_ms / 1_000).collect();
        assert_eq!(intervals, [5, 9, 5, 5, 5, 5, 5, 5, 5]);
        let Probe::Http(http) = &checks[0].probe else { panic!("{checks:?}") };
        assert_eq!(
            (http.method.as_deref(), http.tls.ca_file.as_deref()),
            (Some("HEAD"), Some("/ca.pem"))
        );
        assert_eq!(http.expect.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2xx", "301"]);
        let Probe::Grpc(grpc) = &checks[2].probe else { panic!("{checks:?}") };
        assert_eq!((grpc.service.as_deref(), &grpc.tls), (Some("a.B"), &None));
        let args = ["/bin/x", "-w"].map(str::to_owned).to_vec();
        assert_eq!(checks[4].probe, Probe::Script { args });
        assert_eq!(
            (&checks[5].probe, checks[5].initial),
            (&Probe::Ttl { ttl_ms: 30_000 }, Some(CheckStatus::Passing))
        );
        assert_eq!(checks[6].probe, Probe::Alias(Alias::Instance("db".to_owned())));
        assert_eq!(checks[7].probe, Probe::Alias(Alias::Member("m".to_owned())));
        let of_host = (checks[7].failures_before_warning, checks[7].deregister_critical_after_ms);
        assert_eq!(of_host, (Some(1), Some(3_600_000)));
        assert_eq!(
            checks[8],
            Check { name: "tcp-2".to_owned(), interval_ms: 5_000, ..Check::new(Probe::tcp("h:9")) }
        );
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
            ("web --port 80 --check-tcp h:1 --http-method POST", "--check-http"),
            (
                "web --port 80 --check-http http://h/ --check-tcp h:1 --http-method POST",
                "behind the check",
            ),
            ("web --port 80 --check-tcp h:1 --initial up", "passing, warning or critical"),
            ("web --port 80 --check-http http://h/ --http-expect 20", "200-299"),
            ("web --port 80 --check-http http://h/ --http-header x", "NAME:VALUE"),
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
