//! The arguments of `hobnob proxy`, and the keys of its tables in the configuration file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, value_parser};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use hobnob_api::balancer::Selector;
use hobnob_api::calls::http::HeaderName;
use hobnob_api::discovery::DiscoveryConfig;
use hobnob_api::{Balancing, DEFAULT_NAMESPACE, Datacenters, Prefer, Protocol, Strategy};
use hobnob_proxy::{HttpOptions, Limits, Mode, RouteConfig, TcpOptions};

use super::catalog::ScopeArgs;
use super::offer::{Listen, Offer};
use super::values::millis;
use super::{choices, values};

/// The time until an answer begins, when neither an option nor a registration says it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The HTTP/2 library warns of each connection that floods it. The proxy counts what matters of that.
const DEFAULT_LOG: &str = "info,h2=error";

const PROXY_HELP: &str = "\
Examples:
  hobnob proxy web=127.0.0.1:9001
  hobnob proxy web=127.0.0.1:9001 api=unix:/run/api.sock --admin 127.0.0.1:9090
  hobnob proxy db=tcp:127.0.0.1:5432 --proxy-protocol --prefer zone
  hobnob proxy cart=127.0.0.1:9002 --strategy consistent-hash --key-header x-user
  hobnob proxy web=[::1]:9001 --show-instance --access-log -
  hobnob proxy --config /etc/hobnob/hobnob.toml

Passes on what is sent to a local address to an instance of a service: HTTP/1.1,
HTTP/2 with prior knowledge and gRPC in clear, WebSocket and other upgrades, and
with tcp: any bytes. It follows the services through the agent of this host, and
goes on with the last known instances while that is away.
Without a service it offers those of the [[proxy]] tables in the configuration
file. Their keys are the options of this command with _ for -, and `service` and
`listen`; docs/PROXY.md has them all.
SIGTERM lets the calls that are there end: see --drain-timeout. A second signal, a
second or more later, ends the proxy at once.";

/// `hobnob proxy`.
#[derive(Debug, Args)]
#[command(after_help = PROXY_HELP)]
pub(crate) struct ProxyArgs {
    /// The services, and where each is offered [default: the `[[proxy]]` tables of the configuration file]
    #[arg(value_name = "SERVICE=ADDRESS", value_parser = Offer::from_str)]
    pub(crate) offers: Vec<Offer>,

    #[command(flatten)]
    pub(crate) route: RouteArgs,

    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    /// The configuration file with the `[[proxy]]` tables [env: HOBNOB_CONFIG, unless a service is named] [default: /etc/hobnob/hobnob.toml when it exists]
    #[arg(long, value_name = "FILE", conflicts_with = "offers")]
    pub(crate) config: Option<PathBuf>,

    /// Answer /health and /metrics there [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,

    /// Write a JSON object for each call to a file, or to stdout with `-` [default: no access log]
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,

    /// The time that calls have to end after SIGTERM; those that are left are cut off
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub(crate) drain_timeout: Duration,

    /// Number of threads, from 1 to 64
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u8).range(1..=64))]
    pub(crate) threads: u8,

    /// The log filter
    #[arg(long, value_name = "FILTER", default_value = DEFAULT_LOG, value_parser = values::log_filter)]
    #[arg(env = "HOBNOB_LOG", hide_env_values = true)]
    pub(crate) log: String,
}

/// The options of one service. A table of the configuration file has the same.
#[derive(Debug, Args)]
#[command(next_help_heading = "Calls")]
pub(crate) struct RouteArgs {
    /// The namespace of the services
    #[arg(long, default_value = DEFAULT_NAMESPACE)]
    namespace: String,

    #[command(flatten)]
    scope: ScopeArgs,

    /// The strategy [default: that of the registration, else peak-ewma]
    #[arg(long, value_parser = choices::strategy())]
    strategy: Option<Strategy>,

    /// The instances that come first; the others follow as far as these cannot take the calls
    #[arg(long, default_value_t = Prefer::default(), value_parser = choices::prefer())]
    prefer: Prefer,

    /// Call healthy instances only, also when none is left
    #[arg(long)]
    strict: bool,

    /// The header whose value keyed strategies hash
    #[arg(long, value_name = "NAME")]
    key_header: Option<HeaderName>,

    /// The protocol to the instances; gRPC is always passed on by HTTP/2, and upgrades by HTTP/1.1 [default: that of the registration, else http1]
    #[arg(long, value_parser = choices::protocol())]
    protocol: Option<Protocol>,

    /// The time until an answer begins, retries included, from the last piece of the request; gRPC has its own deadlines [default: that of the registration, else 30s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    timeout: Option<Duration>,

    /// The time of one try of a call that may be made twice [default: that of the registration, else that of the call]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    try_timeout: Option<Duration>,

    /// The time until a connection to an instance stands [default: that of the registration, else 1s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    connect_timeout: Option<Duration>,

    /// Number of retries of a call that may be made twice, or was not sent, from 0 to 10 [default: that of the registration, else 2]
    #[arg(long, value_parser = value_parser!(u32).range(0..=10))]
    retries: Option<u32>,

    /// Append the client to the header `forwarded` (RFC 7239)
    #[arg(long)]
    forwarded: bool,

    /// Make no `x-request-id` for requests without one
    #[arg(long)]
    no_request_id: bool,

    /// Name the instance in the header `x-hobnob-instance` of answers
    #[arg(long)]
    show_instance: bool,

    /// Tell the instance the client's address by the PROXY protocol, version 2; with tcp: only
    #[arg(long)]
    proxy_protocol: bool,
}

/// The limits of a proxy.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Connections of clients at a time; further ones wait [default: 20000, less when few files may be open]
    #[arg(long, value_name = "COUNT", value_parser = value_parser!(u32).range(1..=1_000_000))]
    max_connections: Option<u32>,

    /// The longest head of a request, in bytes, from 1024 to 1048576
    #[arg(long, value_name = "BYTES", default_value_t = 32_768, value_parser = value_parser!(u32).range(1_024..=1_048_576))]
    max_head_bytes: u32,

    /// Calls at a time on one connection of HTTP/2, from 1 to 10000
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    max_streams: u32,

    /// The time for the head of a request
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    head_timeout: Duration,

    /// A connection of HTTP without a call is closed after this time
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = values::duration)]
    idle_timeout: Duration,

    /// A connection of HTTP with calls is closed when no byte moves for this time
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    stream_idle_timeout: Duration,

    /// A tunnel (tcp:, or after an upgrade) is closed when no byte moves for this time [default: never]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    tunnel_idle_timeout: Option<Duration>,
}

/// A table of the configuration file, as a command line.
#[derive(Debug, Parser)]
#[command(name = "proxy", no_binary_name = true, disable_help_flag = true)]
pub(crate) struct ProxyLine {
    /// The service
    #[arg(long, required = true)]
    service: String,

    /// Where it is offered
    #[arg(long, required = true, value_parser = Listen::from_str)]
    listen: Listen,

    #[command(flatten)]
    route: RouteArgs,
}

impl ProxyLine {
    /// The route, followed through the agent behind a socket.
    pub(crate) fn route(&self, socket: &Path) -> Result<RouteConfig, String> {
        hobnob_api::names::check("service", &self.service).map_err(|error| error.to_string())?;
        let offer = Offer { service: self.service.clone(), listen: self.listen.clone() };
        Ok(self.route.routes(&[offer], socket)?.remove(0))
    }
}

impl RouteArgs {
    /// The routes of offers, followed through the agent behind a socket.
    ///
    /// # Errors
    /// An option means nothing for any of them, or the selector cannot be read.
    pub(crate) fn routes(
        &self,
        offers: &[Offer],
        socket: &Path,
    ) -> Result<Vec<RouteConfig>, String> {
        let has = |is_tcp| offers.iter().any(|offer| offer.listen.is_tcp == is_tcp);
        if self.proxy_protocol && !has(true) {
            return Err(
                "--proxy-protocol is for tcp: alone; over HTTP there is --forwarded".to_owned()
            );
        }
        if let Some(option) = self.http_alone().filter(|_| !has(false)) {
            return Err(format!("--{option} is for HTTP alone, and means nothing over tcp:"));
        }
        offers.iter().map(|offer| self.route(offer, socket.to_owned())).collect()
    }

    /// The route of an offer.
    fn route(&self, offer: &Offer, socket: PathBuf) -> Result<RouteConfig, String> {
        let Listen { is_tcp, endpoint } = offer.listen.clone();
        self.scope.selector.as_deref().unwrap_or_default().parse::<Selector>().map_err(
            |error| format!("the selector of `{}` cannot be read: {error}", offer.service),
        )?;
        let mode = match is_tcp {
            true => Mode::Tcp(TcpOptions { proxy_protocol: self.proxy_protocol }),
            false => Mode::Http(HttpOptions {
                request_id: !self.no_request_id,
                forwarded: self.forwarded,
                show_instance: self.show_instance,
            }),
        };
        let mut discovery = DiscoveryConfig::for_calls(offer.service.clone());
        discovery.namespace.clone_from(&self.namespace);
        discovery.socket = socket;
        discovery.prefer = self.prefer;
        discovery.selector.clone_from(&self.scope.selector);
        discovery.datacenter = (&self.scope.datacenters).into();
        discovery.strict = self.strict;
        discovery.overrides = Balancing {
            strategy: self.strategy,
            call_timeout_ms: self.timeout.map(millis),
            try_timeout_ms: self.try_timeout.map(millis),
            connect_timeout_ms: self.connect_timeout.map(millis),
            max_retries: self.retries,
            protocol: self.protocol,
            ..Balancing::default()
        };
        let calls = &mut discovery.calls;
        calls.timeout = DEFAULT_TIMEOUT;
        calls.try_timeout = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        calls.key_header.clone_from(&self.key_header);
        Ok(RouteConfig { discovery, listen: endpoint, mode })
    }

    /// An option that is given, and means nothing over TCP.
    fn http_alone(&self) -> Option<&'static str> {
        let options = [
            ("key-header", self.key_header.is_some()),
            ("protocol", self.protocol.is_some()),
            ("try-timeout", self.try_timeout.is_some()),
            ("forwarded", self.forwarded),
            ("no-request-id", self.no_request_id),
            ("show-instance", self.show_instance),
        ];
        first_given(options)
    }

    /// An option that is given, with another value than its default.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let options = [
            ("namespace", self.namespace != DEFAULT_NAMESPACE),
            ("selector", self.scope.selector.is_some()),
            ("dc", Datacenters::from(&self.scope.datacenters) != Datacenters::default()),
            ("strategy", self.strategy.is_some()),
            ("prefer", self.prefer != Prefer::default()),
            ("strict", self.strict),
            ("timeout", self.timeout.is_some()),
            ("connect-timeout", self.connect_timeout.is_some()),
            ("retries", self.retries.is_some()),
            ("proxy-protocol", self.proxy_protocol),
        ];
        first_given(options).or_else(|| self.http_alone())
    }
}

fn first_given<const COUNT: usize>(options: [(&'static str, bool); COUNT]) -> Option<&'static str> {
    options.into_iter().find_map(|(option, is_given)| is_given.then_some(option))
}

impl LimitArgs {
    /// The limits, when so many files may be open.
    pub(crate) fn limits(&self, open_files: u64) -> Limits {
        /// The files of the process itself.
        const OWN_FILES: u64 = 64;
        let default = Limits::default().max_connections;
        // A connection to an instance stands behind each.
        let room = usize::try_from(open_files.saturating_sub(OWN_FILES) / 2).unwrap_or(default);
        Limits {
            max_connections: match self.max_connections {
                Some(count) => count as usize,
                None => room.clamp(1, default),
            },
            max_head_bytes: self.max_head_bytes as usize,
            head_timeout: self.head_timeout,
            idle_timeout: self.idle_timeout,
            stream_idle_timeout: self.stream_idle_timeout,
            tunnel_idle_timeout: self.tunnel_idle_timeout,
            max_streams: self.max_streams,
        }
    }
}

impl ProxyArgs {
    /// The sink of the access log.
    ///
    /// # Errors
    /// The file cannot be opened, or is a pipe without a reader.
    pub(crate) fn access_log(&self) -> anyhow::Result<Option<Box<dyn Write + Send>>> {
        let Some(path) = &self.access_log else { return Ok(None) };
        if path.as_os_str() == "-" {
            // Without the buffer of the standard library, the bytes that were written are known.
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            return Ok(Some(Box::new(File::from(stdout.context("stdout cannot be used")?))));
        }
        let file = open_log(path).map_err(|error| {
            let is_unread = error.raw_os_error() == Some(Errno::NXIO.raw_os_error());
            let advice = if is_unread {
                ": it is a pipe that nobody reads; start its reader first"
            } else {
                ""
            };
            anyhow::Error::new(error)
                .context(format!("the access log {} cannot be opened{advice}", path.display()))
        })?;
        Ok(Some(Box::new(file)))
    }
}

/// Opens a file to append to. A pipe without a reader is an error, since the wait for one has no end.
fn open_log(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().create(true).append(true).custom_flags(flags).open(path)?;
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};

    fn proxy(line: &str) -> Result<ProxyArgs, String> {
        let words = ["hobnob", "proxy"].into_iter().chain(line.split_whitespace());
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Proxy(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    fn routes(line: &str) -> Result<Vec<RouteConfig>, String> {
        let args = proxy(line)?;
        args.route.routes(&args.offers, Path::new("/s"))
    }

    #[test]
    fn an_offer_is_a_service_and_an_address() {
        let routes =
            routes("web=127.0.0.1:9001 api=unix:/run/a.sock db=tcp:[::1]:5432 --strict").unwrap();
        let told: Vec<_> = routes
            .iter()
            .map(|route| {
                let is_tcp = matches!(route.mode, Mode::Tcp(_));
                format!("{} {} {is_tcp}", route.discovery.service, route.listen)
            })
            .collect();
        assert_eq!(
            told,
            ["web 127.0.0.1:9001 false", "api unix:/run/a.sock false", "db [::1]:5432 true"]
        );
        assert!(routes.iter().all(|route| route.discovery.strict));
        for wrong in ["web", "=127.0.0.1:1", "web=9001", "web=unix:", "web=tcp:"] {
            assert!(proxy(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_try_has_the_time_of_the_call_unless_it_has_its_own() {
        let discovery = |line: &str| routes(line).unwrap().remove(0).discovery;
        let plain = discovery("web=127.0.0.1:1");
        assert_eq!(plain.overrides, Balancing::default(), "registrations decide");
        assert_eq!(
            (plain.calls.timeout, plain.calls.try_timeout),
            (DEFAULT_TIMEOUT, DEFAULT_TIMEOUT)
        );
        let timed = discovery("web=127.0.0.1:1 --timeout 7s");
        assert_eq!(timed.overrides.call_timeout_ms, Some(7_000));
        assert_eq!(timed.calls.try_timeout, Duration::from_secs(7));
        let own = discovery("web=127.0.0.1:1 --try-timeout 2s --protocol http2").overrides;
        assert_eq!((own.try_timeout_ms, own.protocol), (Some(2_000), Some(Protocol::Http2)));
    }

    #[test]
    fn the_proxy_protocol_is_for_tcp() {
        assert!(routes("web=127.0.0.1:1 --proxy-protocol").is_err());
        assert_eq!(routes("web=127.0.0.1:1 db=tcp:127.0.0.1:2 --proxy-protocol").unwrap().len(), 2);
        let route = routes("web=tcp:127.0.0.1:1 --proxy-protocol").unwrap().remove(0);
        assert!(matches!(route.mode, Mode::Tcp(TcpOptions { proxy_protocol: true })));
    }

    #[test]
    fn an_option_that_means_nothing_is_refused_by_name() {
        for option in [
            "--key-header x",
            "--protocol http2",
            "--try-timeout 1s",
            "--forwarded",
            "--no-request-id",
            "--show-instance",
        ] {
            let wrong = routes(&format!("db=tcp:127.0.0.1:1 {option}")).unwrap_err();
            let name = option.split(' ').next().unwrap();
            assert!(wrong.starts_with(&format!("{name} is for HTTP alone")), "{wrong}");
            assert!(routes(&format!("db=127.0.0.1:1 {option}")).is_ok(), "{option}");
            let both = format!("db=tcp:127.0.0.1:1 web=127.0.0.1:2 {option}");
            assert!(routes(&both).is_ok(), "{option}");
        }
        assert!(routes("db=tcp:127.0.0.1:1 --timeout 1s").is_ok());
        assert!(routes("db=tcp:127.0.0.1:1 --selector a=").is_ok());
        let wrong = routes("web=127.0.0.1:1 --selector (").unwrap_err();
        assert!(wrong.starts_with("the selector of `web` cannot be read"), "{wrong}");
        assert_eq!(proxy("").unwrap().route.given(), None);
        for option in ["--dc x", "--namespace x", "--retries 1", "--strict", "--forwarded"] {
            let name = option[2..].split(' ').next();
            assert_eq!(proxy(option).unwrap().route.given(), name, "{option}");
        }
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_no_access_log() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("log");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let open = |path: &Path| {
            proxy(&format!("web=127.0.0.1:1 --access-log {}", path.display())).unwrap().access_log()
        };
        let wrong = open(&pipe).err().unwrap().to_string();
        assert!(
            wrong.contains(&*pipe.to_string_lossy()) && wrong.contains("nobody reads"),
            "{wrong}"
        );
        let reader = OFlags::RDONLY | OFlags::NONBLOCK;
        let reader = rustix::fs::open(&pipe, reader, rustix::fs::Mode::empty()).unwrap();
        assert!(open(&pipe).unwrap().is_some());
        drop(reader);
        let flags = fcntl_getfl(open_log(&folder.path().join("file")).unwrap()).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK), "its writer waits");
    }

    #[test]
    fn connections_fit_the_files_that_may_be_open() {
        let limits = |line: &str, files| proxy(line).unwrap().limits.limits(files).max_connections;
        assert_eq!(limits("web=127.0.0.1:1", 1_064), 500);
        assert_eq!(limits("web=127.0.0.1:1", 16), 1);
        assert_eq!(limits("web=127.0.0.1:1", u64::MAX), 20_000);
        assert_eq!(limits("web=127.0.0.1:1 --max-connections 7", 16), 7);
    }
}
