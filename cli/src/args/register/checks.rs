//! The checks of `hobnob register`. Each option is for the check before it; one before the first check is for all of them.

use std::path::Path;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{ArgGroup, ArgMatches, Args, Command, FromArgMatches, value_parser};
use hobnob_api::{
    Alias, Check, CheckStatus, DEFAULT_CHECK_NAME, GrpcProbe, HttpProbe, Probe, ProbeTls,
    StatusRange, UdpProbe,
};

use super::super::values::{self, millis};

/// The options as clap knows them. [`CheckArgs`] puts them in the order of the command line.
#[derive(Debug, Args)]
#[command(next_help_heading = "Checks")]
struct Options {
    /// Passes while GET of this http:// or https:// URL answers with 2xx; 429 warns
    #[arg(long, value_name = "URL", group = "check", value_parser = values::http_url)]
    check_http: Vec<String>,

    /// Passes while this host:port accepts connections
    #[arg(long, value_name = "ADDRESS", group = "check", value_parser = values::host_port)]
    check_tcp: Vec<String>,

    /// Passes while anything answers a datagram to this host:port
    #[arg(long, value_name = "ADDRESS", group = "check", value_parser = values::host_port)]
    check_udp: Vec<String>,

    /// Passes while grpc.health.v1.Health at this host:port answers SERVING
    #[arg(long, value_name = "ADDRESS", group = "check", value_parser = values::host_port)]
    check_grpc: Vec<String>,

    /// Passes while this program, split at spaces, ends with 0; 1 warns. The agent needs --enable-script-checks
    #[arg(long, value_name = "COMMAND", group = "check")]
    check_script: Vec<String>,

    /// Passes while `hobnob check pass` is heard at least this often
    #[arg(long, value_name = "DURATION", group = "check", value_parser = values::duration)]
    check_ttl: Vec<Duration>,

    /// Has the status of another instance of this agent, or of a member: ID, or member:NAME
    #[arg(long, value_name = "ID", group = "check")]
    check_alias: Vec<String>,

    /// The name of the check [default: check; of several, their kind]
    #[arg(long, value_name = "NAME", requires = "check")]
    check_name: Vec<String>,

    /// From the start of one check to the next [default: 1s]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = values::duration)]
    interval: Vec<Duration>,

    /// The timeout of a check [default: 500ms]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = values::duration)]
    timeout: Vec<Duration>,

    /// Successes in a row before it is passing [default: 1]
    #[arg(long, value_name = "COUNT", requires = "check", value_parser = value_parser!(u32).range(1..))]
    success_before_passing: Vec<u32>,

    /// Failures in a row before it is warning [default: never]
    #[arg(long, value_name = "COUNT", requires = "check", value_parser = value_parser!(u32).range(1..))]
    failures_before_warning: Vec<u32>,

    /// Failures in a row before it is critical, and the instance unhealthy [default: 3]
    #[arg(
        long,
        alias = "failures-before-failing",
        value_name = "COUNT",
        requires = "check",
        value_parser = value_parser!(u32).range(1..)
    )]
    failures_before_critical: Vec<u32>,

    /// The status before the first result: passing, warning or critical [default: unknown]
    #[arg(long, value_name = "STATUS", requires = "check", value_parser = status)]
    initial: Vec<CheckStatus>,

    /// Deregister the instance when the check has been critical for so long [default: never]
    #[arg(long, value_name = "DURATION", requires = "check", value_parser = values::duration)]
    deregister_critical_after: Vec<Duration>,

    /// Let the thresholds alone decide, also when a service on the agent's own host dies
    #[arg(long, requires = "check", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    no_listener_watch: Vec<bool>,

    /// The method of the request [default: GET]
    #[arg(long, value_name = "METHOD", requires = "check_http")]
    http_method: Vec<String>,

    /// A field of its head; may be repeated
    #[arg(long, value_name = "NAME:VALUE", requires = "check_http", value_parser = header)]
    http_header: Vec<(String, String)>,

    /// Its body
    #[arg(long, value_name = "TEXT", requires = "check_http")]
    http_body: Vec<String>,

    /// A status that passes: 200, 200-299 or 2xx; may be repeated [default: 2xx]
    #[arg(long, value_name = "STATUS", requires = "check_http", value_delimiter = ',', value_parser = value_parser!(StatusRange))]
    http_expect: Vec<StatusRange>,

    /// Speak TLS with the gRPC server
    #[arg(long, requires = "check_grpc", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    tls: Vec<bool>,

    /// A file with the CAs to trust, on the host of the agent [default: those that the host trusts]
    #[arg(long, value_name = "FILE", requires = "check")]
    tls_ca: Vec<String>,

    /// The name that the server proves [default: the host of the check]
    #[arg(long, value_name = "NAME", requires = "check")]
    tls_server_name: Vec<String>,

    /// Take any certificate of the server
    #[arg(long, requires = "check", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    tls_skip_verify: Vec<bool>,

    /// The content of the datagram [default: none]
    #[arg(long, value_name = "TEXT", requires = "check_udp")]
    udp_payload: Vec<String>,

    /// Pass also when nothing answers, unless the port is reported closed
    #[arg(long, requires = "check_udp", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    udp_silence_passes: Vec<bool>,

    /// The service that the gRPC server is asked for [default: the server as a whole]
    #[arg(long, value_name = "NAME", requires = "check_grpc")]
    grpc_service: Vec<String>,

    /// One more argument of the script, as it is; may be repeated
    #[arg(long, value_name = "ARG", requires = "check_script", allow_hyphen_values = true)]
    script_arg: Vec<String>,
}

/// The checks of an instance.
#[derive(Debug, Default)]
pub(super) struct CheckArgs(pub(super) Vec<Check>);

impl Args for CheckArgs {
    fn augment_args(command: Command) -> Command {
        Options::augment_args(command.group(several()))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Options::augment_args_for_update(command.group(several()))
    }
}

impl FromArgMatches for CheckArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut checks = placed_checks(matches);
        checks.sort_by_key(|(place, _)| *place);
        let options = Placed { checks };
        options.apply(matches)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The options that make a check. clap allows one of a group unless it is told otherwise.
fn several() -> ArgGroup {
    ArgGroup::new("check").multiple(true)
}

/// The values of an option, each with its place on the command line.
fn placed<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> Vec<(usize, T)> {
    let places = matches.indices_of(id).into_iter().flatten();
    let values = matches.get_many::<T>(id).into_iter().flatten().cloned();
    places.zip(values).collect()
}

fn placed_checks(matches: &ArgMatches) -> Vec<(usize, Check)> {
    let mut checks = Vec::new();
    let mut add = |place, probe| checks.push((place, Check::new(probe)));
    for (place, url) in placed::<String>(matches, "check_http") {
        add(place, Probe::http(url));
    }
    for (place, address) in placed::<String>(matches, "check_tcp") {
        add(place, Probe::tcp(address));
    }
    for (place, address) in placed::<String>(matches, "check_udp") {
        add(place, Probe::Udp(UdpProbe { address, ..UdpProbe::default() }));
    }
    for (place, address) in placed::<String>(matches, "check_grpc") {
        add(place, Probe::Grpc(Box::new(GrpcProbe { address, ..GrpcProbe::default() })));
    }
    for (place, command) in placed::<String>(matches, "check_script") {
        let args = command.split_whitespace().map(str::to_owned).collect();
        add(place, Probe::Script { args });
    }
    for (place, ttl) in placed::<Duration>(matches, "check_ttl") {
        add(place, Probe::Ttl { ttl_ms: millis(ttl) });
    }
    for (place, followed) in placed::<String>(matches, "check_alias") {
        let alias = match followed.strip_prefix("member:") {
            Some(name) => Alias::Member(name.to_owned()),
            None => Alias::Instance(followed),
        };
        add(place, Probe::Alias(alias));
    }
    checks
}

/// The checks with their places on the command line, in their order.
struct Placed {
    checks: Vec<(usize, Check)>,
}

impl Placed {
    fn apply(mut self, matches: &ArgMatches) -> Result<CheckArgs, clap::Error> {
        self.every(matches, "check_name", |check, name: String| check.name = name)?;
        self.every(matches, "interval", |check, at| check.interval_ms = millis(at))?;
        self.every(matches, "timeout", |check, within| check.timeout_ms = millis(within))?;
        self.every(matches, "success_before_passing", |check, count| {
            check.success_before_passing = count;
        })?;
        self.every(matches, "failures_before_warning", |check, count| {
            check.failures_before_warning = Some(count);
        })?;
        self.every(matches, "failures_before_critical", |check, count| {
            check.failures_before_critical = count;
        })?;
        self.every(matches, "initial", |check, status| check.initial = Some(status))?;
        self.every(matches, "deregister_critical_after", |check, after| {
            check.deregister_critical_after_ms = Some(millis(after));
        })?;
        self.every(matches, "no_listener_watch", |check, is_off: bool| {
            check.listener_watch = !is_off;
        })?;
        self.http(matches, "http_method", |http, method| http.method = Some(method))?;
        self.http(matches, "http_header", |http, (name, value)| {
            http.headers.insert(name, value);
        })?;
        self.http(matches, "http_body", |http, body| http.body = Some(body))?;
        self.http(matches, "http_expect", |http, range| http.expect.push(range))?;
        self.each(matches, "tls", "--check-grpc", |check, is_on: bool| {
            grpc(check).map(|grpc| grpc.tls = is_on.then(ProbeTls::default))
        })?;
        let of_tls = "--check-http or --check-grpc";
        self.each(matches, "tls_ca", of_tls, |check, file: String| {
            let file = std::path::absolute(Path::new(&file))
                .map_or(file, |path| path.display().to_string());
            tls(check).map(|tls| tls.ca_file = Some(file))
        })?;
        self.each(matches, "tls_server_name", of_tls, |check, name| {
            tls(check).map(|tls| tls.server_name = Some(name))
        })?;
        self.each(matches, "tls_skip_verify", of_tls, |check, skip| {
            tls(check).map(|tls| tls.skip_verify = skip)
        })?;
        self.each(matches, "udp_payload", "--check-udp", |check, payload| {
            udp(check).map(|udp| udp.payload = Some(payload))
        })?;
        self.each(matches, "udp_silence_passes", "--check-udp", |check, passes| {
            udp(check).map(|udp| udp.silence_passes = passes)
        })?;
        self.each(matches, "grpc_service", "--check-grpc", |check, service| {
            grpc(check).map(|grpc| grpc.service = Some(service))
        })?;
        self.each(matches, "script_arg", "--check-script", |check, arg| match &mut check.probe {
            Probe::Script { args } => {
                args.push(arg);
                Some(())
            }
            _ => None,
        })?;
        let is_named = !placed::<String>(matches, "check_name").is_empty();
        let mut checks: Vec<Check> = self.checks.into_iter().map(|(_, check)| check).collect();
        if checks.len() > 1 {
            name_apart(&mut checks, is_named);
        }
        Ok(CheckArgs(checks))
    }

    /// Applies an option: to the check before it, or to all that take it when it stands before the first.
    /// `kinds` are those that take it.
    fn each<T: Clone + Send + Sync + 'static>(
        &mut self,
        matches: &ArgMatches,
        id: &str,
        kinds: &str,
        apply: impl Fn(&mut Check, T) -> Option<()>,
    ) -> Result<(), clap::Error> {
        for (place, value) in placed::<T>(matches, id) {
            let taken = match self.checks.iter_mut().rev().find(|(check, _)| *check < place) {
                Some((_, check)) => apply(check, value).is_some(),
                None => {
                    let checks = self.checks.iter_mut();
                    checks.filter_map(|(_, check)| apply(check, value.clone())).count() > 0
                }
            };
            if !taken {
                let option = id.replace('_', "-");
                let message = format!(
                    "--{option} is for {kinds}, and the check before it is of another kind: put it behind the check that it is for\n"
                );
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, message));
            }
        }
        Ok(())
    }

    /// The same for an option that every check takes.
    fn every<T: Clone + Send + Sync + 'static>(
        &mut self,
        matches: &ArgMatches,
        id: &str,
        apply: impl Fn(&mut Check, T),
    ) -> Result<(), clap::Error> {
        self.each(matches, id, "every check", |check, value| {
            apply(check, value);
            Some(())
        })
    }

    fn http<T: Clone + Send + Sync + 'static>(
        &mut self,
        matches: &ArgMatches,
        id: &str,
        apply: impl Fn(&mut HttpProbe, T),
    ) -> Result<(), clap::Error> {
        self.each(matches, id, "--check-http", |check, value| match &mut check.probe {
            Probe::Http(http) => {
                apply(http, value);
                Some(())
            }
            _ => None,
        })
    }
}

fn tls(check: &mut Check) -> Option<&mut ProbeTls> {
    match &mut check.probe {
        Probe::Http(http) => Some(&mut http.tls),
        Probe::Grpc(grpc) => Some(grpc.tls.get_or_insert_default()),
        _ => None,
    }
}

fn udp(check: &mut Check) -> Option<&mut UdpProbe> {
    match &mut check.probe {
        Probe::Udp(udp) => Some(udp),
        _ => None,
    }
}

fn grpc(check: &mut Check) -> Option<&mut GrpcProbe> {
    match &mut check.probe {
        Probe::Grpc(grpc) => Some(grpc),
        _ => None,
    }
}

/// Names checks without a name by their kind, with a number where that is not enough.
fn name_apart(checks: &mut [Check], some_are_named: bool) {
    let mut taken: Vec<String> = match some_are_named {
        true => checks.iter().map(|check| check.name.clone()).collect(),
        false => Vec::new(),
    };
    for check in checks.iter_mut().filter(|check| check.name == DEFAULT_CHECK_NAME) {
        let kind = check.probe.kind();
        let mut name = kind.to_owned();
        let mut number = 1;
        while taken.contains(&name) {
            number += 1;
            name = format!("{kind}-{number}");
        }
        taken.push(name.clone());
        check.name = name;
    }
}

fn status(text: &str) -> Result<CheckStatus, String> {
    CheckStatus::of(text).ok_or_else(|| "expected passing, warning or critical".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("expected NAME:VALUE, such as x-token:secret")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
