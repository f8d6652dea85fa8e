//! The arguments of `hobnob call`.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, value_parser};

use hobnob_api::calls::CallOptions;
use hobnob_api::calls::http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};
use hobnob_api::discovery::DiscoveryConfig;
use hobnob_api::{Balancing, Prefer, Protocol, Query, Strategy};

use super::catalog::{ScopeArgs, ServiceArgs};
use super::values::millis;
use super::{TableArgs, choices, values};

const CALL_HELP: &str = "\
Examples:
  hobnob call web /
  hobnob call web /orders --data '{\"id\": 7}' --header 'content-type: application/json'
  hobnob call web /cart --strategy consistent-hash --key user-42
  hobnob call web / -n 1000 --concurrency 10 --timeout 1s
  hobnob call web / -n 100 --json
  hobnob call web /health --strict --dc eu

Calls the service over HTTP/1.1 or HTTP/2 in clear, as a program does that calls it
by the library. Picks are made here, and calls that fail are tried at another
instance if they may be made twice: GET, HEAD, PUT, DELETE and OPTIONS, others with
--idempotent. The service's registrations may set the strategy, circuits, times,
retries and protocol; what is given here comes before them. One call prints the body
of its answer; more print how they went, with the settings that are not the defaults,
and the state of each instance's circuit as this command saw it. The agent is told how
the calls ended, for the picks that others make through it.
When no healthy instance is left, those are called that were healthy when their
agents were lost, with a warning; --strict refuses them.
Exits with 1 when a call failed: it got no answer, or one of status 500 or above other
than 501 and 505. Exits with 3 when no instance can be offered.";

/// `hobnob call`.
#[derive(Debug, Args)]
#[command(after_help = CALL_HELP)]
pub(crate) struct CallArgs {
    #[command(flatten)]
    service: ServiceArgs,

    /// The path to call, with its query
    #[arg(default_value = "/", value_parser = path)]
    pub(crate) path: PathAndQuery,

    /// The method [default: GET, with --data POST]
    #[arg(long, value_parser = method)]
    method: Option<Method>,

    /// A header of the request; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,

    /// The body of the request
    #[arg(long)]
    data: Option<String>,

    /// The key that keyed strategies hash; it sticks to an instance while that is there
    #[arg(long)]
    key: Option<String>,

    /// Number of calls, from 1 to 1000000
    #[arg(short = 'n', long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,

    /// Number of calls at one time, from 1 to 1000
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000))]
    pub(crate) concurrency: u32,

    /// The time of a call, retries included, until its answer begins [default: that of the registration, else 10s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// Number of retries of a call, from 0 to 10 [default: that of the registration, else 2]
    #[arg(long, value_parser = value_parser!(u32).range(0..=10))]
    retries: Option<u32>,

    /// The call may be made twice, whatever its method
    #[arg(long)]
    idempotent: bool,

    /// The protocol [default: that of the registration, else http1]
    #[arg(long, value_parser = choices::protocol())]
    protocol: Option<Protocol>,

    /// The strategy [default: that of the registration, else peak-ewma]
    #[arg(long, value_parser = choices::strategy())]
    strategy: Option<Strategy>,

    #[command(flatten)]
    scope: ScopeArgs,

    /// The instances that come first; the others follow as far as these cannot take the calls
    #[arg(long, default_value_t = Prefer::default(), value_parser = choices::prefer())]
    prefer: Prefer,

    /// Call healthy instances only, also when none is left
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    pub(crate) table: TableArgs,

    /// Print how the calls went as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl CallArgs {
    /// The query for the instances that are called.
    pub(crate) fn query(&self) -> Query {
        Query {
            namespace: self.service.namespace.clone(),
            strict: self.strict,
            selector: self.scope.selector.clone(),
            datacenter: (&self.scope.datacenters).into(),
            ..Query::new(self.service.service.clone())
        }
    }

    /// What is followed, through the agent behind a socket.
    pub(crate) fn discovery(&self, socket: PathBuf) -> DiscoveryConfig {
        let mut config = DiscoveryConfig::for_calls(self.service.service.clone());
        config.namespace.clone_from(&self.service.namespace);
        config.socket = socket;
        config.prefer = self.prefer;
        config.selector.clone_from(&self.scope.selector);
        config.datacenter = (&self.scope.datacenters).into();
        config.strict = self.strict;
        config.overrides = Balancing {
            strategy: self.strategy,
            call_timeout_ms: self.timeout.map(millis),
            max_retries: self.retries,
            protocol: self.protocol,
            ..Balancing::default()
        };
        config
    }

    pub(crate) fn method(&self) -> Method {
        let default = if self.data.is_some() { Method::POST } else { Method::GET };
        self.method.clone().unwrap_or(default)
    }

    pub(crate) fn body(&self) -> Bytes {
        self.data.clone().map(Bytes::from).unwrap_or_default()
    }

    pub(crate) fn options(&self) -> CallOptions {
        CallOptions {
            key: self.key.clone().map(Bytes::from),
            idempotent: self.idempotent.then_some(true),
            ..CallOptions::default()
        }
    }
}

fn path(text: &str) -> Result<PathAndQuery, String> {
    let expected = || "expected a path that begins with /, such as /orders?page=2".to_owned();
    if !text.starts_with('/') {
        return Err(expected());
    }
    text.parse().map_err(|_| expected())
}

fn method(text: &str) -> Result<Method, String> {
    match text.to_ascii_uppercase().parse() {
        Ok(method) if method != Method::CONNECT => Ok(method),
        _ => Err("expected a method, such as GET or POST".to_owned()),
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = text
        .split_once(':')
        .and_then(|(name, value)| Some((name.trim().parse().ok()?, value.trim().parse().ok()?)));
    parsed.ok_or_else(|| "expected NAME: VALUE, such as 'accept: text/plain'".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn call(words: &[&str]) -> Result<CallArgs, clap::Error> {
        match Cli::try_parse_from(["hobnob", "call"].iter().chain(words))?.command {
            Command::Call(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_call_gets_the_root_unless_asked_otherwise() {
        let args = call(&["web"]).unwrap();
        assert_eq!((args.path.as_str(), args.method(), args.count), ("/", Method::GET, 1));
        assert_eq!(args.options().idempotent, None);
        let args = call(&["web", "/x?y=1", "--data", "z", "--header", "A: b:c"]).unwrap();
        assert_eq!((args.method(), args.body()), (Method::POST, Bytes::from("z")));
        assert_eq!(args.headers[0].1, "b:c");
        let args = call(&["web", "/", "--method", "delete", "--key", "k"]).unwrap();
        assert_eq!((args.method(), args.options().key), (Method::DELETE, Some("k".into())));
    }

    #[test]
    fn only_what_is_given_comes_before_the_registration() {
        let overrides = |words: &[&str]| {
            let args = call(&[&["web"], words].concat()).unwrap();
            args.discovery("a.sock".into()).overrides.given()
        };
        assert!(overrides(&[]).is_empty());
        let all = "--timeout 10s --retries 0 --protocol http1 --strategy peak-ewma";
        let all: Vec<_> = all.split(' ').collect();
        let expected = [
            ("call_timeout_ms", "10000"),
            ("max_retries", "0"),
            ("protocol", "http1"),
            ("strategy", "peak-ewma"),
        ];
        assert_eq!(overrides(&all), expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn what_cannot_be_called_is_refused() {
        for wrong in [
            &["web", "path"][..],
            &["web", "/", "--method", "connect"],
            &["web", "/", "--header", "nothing"],
            &["web", "/", "-n", "0"],
            &["web", "/", "--concurrency", "1001"],
            &["web", "/", "--timeout", "5"],
            &["web", "/", "--protocol", "http3"],
        ] {
            assert!(call(wrong).is_err(), "{wrong:?}");
        }
    }
}
