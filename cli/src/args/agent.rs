//! The arguments of `hobnob agent`.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use hobnob_agent::{
    AgentConfig, DnsConfig, DnsDomain, Gateway, HttpTls, SocketMode, StartedWith, TokenSource,
};
use hobnob_api::address::OwnAddress;

use super::protocol::ProtocolArgs;
use super::{choices, values};
use crate::config::{self, default_data_dir};
use crate::logging::LogFormat;

const AFTER_HELP: &str = "\
Examples:
  hobnob agent
  hobnob agent --name a2 --data-dir /tmp/a2 --bind 127.0.0.1:7947 \\
      --socket /tmp/a2.sock --join 127.0.0.1:7946
  hobnob agent --bind 10.0.0.9:7946 --token-file /etc/hobnob/token    # in a sealed cluster: `hobnob init`
  HOBNOB_JOIN=10.0.0.7:7946,10.0.0.8:7946 hobnob agent --bind eth0    # later, as a member
  hobnob agent --write-group deploy --query-socket /run/hobnob/query.sock
  hobnob agent --bind 0.0.0.0 --sync-bind 0.0.0.0:7947 --advertise 203.0.113.7:17946 \\
      --advertise-sync-port 17947    # ports that a NAT or a container maps
  hobnob agent --bind eth0 --http 127.0.0.1:9746    # metrics, and HTTP clients of this host
  hobnob agent --bind eth0 --dns 127.0.0.1:8600     # then: dig @127.0.0.1 -p 8600 web.service.consul SRV
  hobnob agent --bind eth0 --join node7.example --insecure    # in a clear cluster
  hobnob agent --bind eth0 --token-file /etc/hobnob/token --datacenter eu \\
      --join-wan 10.9.0.7:7946    # the first agent of a further datacenter
  hobnob agent --config /etc/hobnob/edge.toml --config-dir /etc/hobnob/edge.d

Each option may stand in the configuration file, under its name with `_` for `-`. A variable takes
precedence over the file, a flag over both. `hobnob config init` prints a file with all of them,
`hobnob validate` checks a file, `hobnob config show` tells which value is in use and why.

HOBNOB_TOKEN may hold the token itself, instead of --token-file. A token is needed at the first start
only. It may be another one later, for another name, datacenter, services or role.
SIGTERM and SIGINT make it leave the cluster and stop.
Another one, a second or more after the first, stops it at once, with exit code 1. SIGHUP makes it read
its configuration again, as `hobnob reload` does; it never ends it.
When a part of it fails, all of it ends, with exit code 1.";

/// The default log filter. It hides a warning that the transport repeats each minute while something cannot be sent:
/// the agent counts that, and reports members that do not answer.
const DEFAULT_LOG: &str = "info,quinn_udp=error";

/// Two tokens are given.
#[derive(Debug, thiserror::Error)]
#[error("{TOKEN_VARIABLE} and the token file {} are both given", file.display())]
pub(crate) struct TwoTokens {
    file: PathBuf,
}

/// The mode of a socket that is not there.
#[derive(Debug, thiserror::Error)]
#[error("a mode of the query socket is given, and no query socket")]
pub(crate) struct NoQuerySocket;

/// Servers for names of others, and nobody who would be asked for them.
#[derive(Debug, thiserror::Error)]
#[error("a DNS server to forward to is given, and no address that answers DNS")]
pub(crate) struct NoDns;

/// A certificate without its key, or a key without its certificate.
#[derive(Debug, thiserror::Error)]
#[error(
    "the certificate of the HTTP door and its private key are given together, by --http-cert and --http-key"
)]
pub(crate) struct HalfOfTls;

/// The bytes a second to each other datacenter by default: 10 Mbit/s.
const DEFAULT_WAN_BYTES_PER_SECOND: u64 = 1_250_000;
/// The fewest that can be asked for: what a pair of datacenters needs at rest, with room for changes.
const MIN_WAN_BYTES_PER_SECOND: u64 = 10_000;

/// The variable that may hold the token itself.
pub(crate) const TOKEN_VARIABLE: &str = "HOBNOB_TOKEN";

/// The arguments of `hobnob agent`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AgentArgs {
    /// The configuration file, in TOML [default: /etc/hobnob/hobnob.toml when it exists]
    #[arg(long, value_name = "FILE", env = "HOBNOB_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// The directory of service definitions, *.toml and *.json [default: /etc/hobnob/services.d when it exists]
    #[arg(long, value_name = "DIR", env = "HOBNOB_CONFIG_DIR", hide_env_values = true)]
    config_dir: Option<PathBuf>,

    /// Read no configuration file and no service definitions, whatever variables and defaults say; with --config or --config-dir an error
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_NO_CONFIG", hide_env_values = true)]
    no_config: bool,

    /// Its name, for people [default: the one in its certificate, else the name of the host]
    #[arg(long, env = "HOBNOB_NAME", hide_env_values = true)]
    name: Option<String>,

    /// The cluster that it belongs to; agents of different clusters never mix [default: that of the token, else
    /// `default`]
    #[arg(long, env = "HOBNOB_CLUSTER", hide_env_values = true)]
    cluster: Option<String>,

    /// A file with the token that lets it join a sealed cluster; a member needs none
    #[arg(long, value_name = "FILE", env = "HOBNOB_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,

    /// The directory of its identity and its registrations [default: /var/lib/hobnob for root, else
    /// hobnob in $XDG_STATE_HOME, else ~/.local/state/hobnob]
    #[arg(long, value_name = "DIR", env = "HOBNOB_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,

    /// The address for gossip (UDP; also TCP, to notice at once when an agent exits): an IP address, an interface or a
    /// host name, on port 7946 if it names none; port 0 stands for any free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7946")]
    #[arg(env = "HOBNOB_BIND", hide_env_values = true, value_parser = values::own_address)]
    bind: OwnAddress,

    /// The address for sync streams (QUIC, UDP), like --bind, on a free port if it names none [default: a free port on
    /// the address of --bind]
    #[arg(long, value_name = "ADDRESS", env = "HOBNOB_SYNC_BIND", hide_env_values = true)]
    #[arg(value_parser = values::own_address)]
    sync_bind: Option<OwnAddress>,

    /// The address that others reach it at, like --bind, on the bound port if it names none; needed when --bind is
    /// 0.0.0.0 or `[::]`
    #[arg(long, value_name = "ADDRESS", env = "HOBNOB_ADVERTISE", hide_env_values = true)]
    #[arg(value_parser = values::own_address)]
    advertise: Option<OwnAddress>,

    /// The port of that address at which others reach its sync streams [default: the bound port]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    #[arg(env = "HOBNOB_ADVERTISE_SYNC_PORT", hide_env_values = true)]
    advertise_sync_port: Option<u16>,

    /// The group whose members may use --socket: a name or a number [default: the group of this process]
    #[arg(long, value_name = "NAME|GID", env = "HOBNOB_WRITE_GROUP", hide_env_values = true)]
    write_group: Option<String>,

    /// A second unix socket, which answers questions and refuses changes
    #[arg(long, value_name = "PATH", env = "HOBNOB_QUERY_SOCKET", hide_env_values = true)]
    query_socket: Option<PathBuf>,

    /// The octal mode of that socket; with 0666, every user of this host may ask
    #[arg(long, value_name = "MODE", default_value_t = SocketMode::default())]
    #[arg(env = "HOBNOB_QUERY_SOCKET_MODE", hide_env_values = true, value_parser = values::socket_mode)]
    query_socket_mode: SocketMode,

    /// A member to join at: its gossip address, on port 7946 if it names none; may be repeated, or separated by commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = values::gossip_address)]
    #[arg(env = "HOBNOB_JOIN", hide_env_values = true)]
    join: Vec<String>,

    /// A member of another datacenter, from which this datacenter learns of all others: its gossip address, like --join; one
    /// agent of a datacenter is enough
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = values::gossip_address)]
    #[arg(env = "HOBNOB_JOIN_WAN", hide_env_values = true)]
    join_wan: Vec<String>,

    /// Whether it may carry changes between its datacenter and the others, which must reach it at its advertised address
    #[arg(long, value_name = "WHEN", default_value = "yes", value_parser = choices::gateway())]
    #[arg(env = "HOBNOB_GATEWAY", hide_env_values = true)]
    gateway: Gateway,

    /// The most bytes a second that its datacenter sends to each other one, at least 10000; changes beyond that wait, the newest go first
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_WAN_BYTES_PER_SECOND)]
    #[arg(value_parser = clap::value_parser!(u64).range(MIN_WAN_BYTES_PER_SECOND..))]
    #[arg(env = "HOBNOB_WAN_BYTES_PER_SECOND", hide_env_values = true)]
    wan_bytes_per_second: u64,

    /// Its datacenter [default: the one in its certificate, else the only one of its token, else `dc1`]
    #[arg(long, env = "HOBNOB_DATACENTER", hide_env_values = true)]
    datacenter: Option<String>,

    /// Its failure domain within the datacenter, such as a rack
    #[arg(long, default_value = "", hide_default_value = true)]
    #[arg(env = "HOBNOB_ZONE", hide_env_values = true)]
    zone: String,

    /// The form of its log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    #[arg(env = "HOBNOB_LOG_FORMAT", hide_env_values = true)]
    pub(crate) log_format: LogFormat,

    /// The log filter: a level, or directives such as info,hobnob_agent=debug
    #[arg(long, value_name = "FILTER", default_value = DEFAULT_LOG, value_parser = values::log_filter)]
    #[arg(env = "HOBNOB_LOG", hide_env_values = true)]
    pub(crate) log: String,

    /// Stop without leaving, for a restart: the other agents serve its records until they find it down, some two
    /// seconds later
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_KEEP_ON_EXIT", hide_env_values = true)]
    keep_on_exit: bool,

    /// Stop when the standard input ends: a program that holds a pipe to it never leaves the agent behind, even when it is
    /// killed
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_STOP_WITH_STDIN", hide_env_values = true)]
    pub(crate) stop_with_stdin: bool,

    /// Do not ask the kernel whether local services still listen: only their checks tell, by their thresholds
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_NO_LISTENER_WATCH", hide_env_values = true)]
    no_listener_watch: bool,

    /// Run the programs of checks that are scripts: every process that may register then runs programs as the user of the agent
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_ENABLE_SCRIPT_CHECKS", hide_env_values = true)]
    enable_script_checks: bool,

    /// The address that answers HTTP: /metrics, questions, and what clients of Consul ask; port 0 stands for any free port
    #[arg(long, value_name = "IP:PORT", env = "HOBNOB_HTTP", hide_env_values = true)]
    http: Option<SocketAddr>,

    /// Answer /metrics, /healthz and /readyz beyond this host, although nobody has to prove who they are for these
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_INSECURE_HTTP", hide_env_values = true)]
    insecure_http: bool,

    /// The certificate of the HTTP door, in PEM: it speaks TLS then, and beyond this host it answers those who bring an access key
    #[arg(long, value_name = "FILE", env = "HOBNOB_HTTP_CERT", hide_env_values = true)]
    http_cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", env = "HOBNOB_HTTP_KEY", hide_env_values = true)]
    http_key: Option<PathBuf>,

    /// Take changes over HTTP without an access key: every process of this host may make them then
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_HTTP_OPEN_WRITES", hide_env_values = true)]
    http_open_writes: bool,

    /// The address that answers DNS, over UDP and TCP: web.service.consul, n1.node.consul; port 0 stands for any free port
    #[arg(long, value_name = "IP:PORT", env = "HOBNOB_DNS", hide_env_values = true)]
    dns: Option<SocketAddr>,

    /// A domain that DNS answers from the catalog; may be repeated, or separated by commas; the first one is in names of addresses
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',', default_values = ["consul", "hobnob"])]
    #[arg(env = "HOBNOB_DNS_DOMAIN", hide_env_values = true)]
    dns_domain: Vec<DnsDomain>,

    /// How long others may keep an answer of DNS, in whole seconds; with 0s they ask each time and miss no change
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = values::ttl)]
    #[arg(env = "HOBNOB_DNS_TTL", hide_env_values = true)]
    dns_ttl: u32,

    /// A DNS server for names of other domains, on port 53 if it names none; may be repeated, or separated by commas; without
    /// one they are refused
    #[arg(long, value_name = "IP[:PORT]", value_delimiter = ',', value_parser = values::dns_server)]
    #[arg(env = "HOBNOB_DNS_FORWARD", hide_env_values = true)]
    dns_forward: Vec<SocketAddr>,

    /// Answer DNS beyond this host, although nobody has to prove who they are there
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_INSECURE_DNS", hide_env_values = true)]
    insecure_dns: bool,

    /// Listen beyond this host without a token, although peers are not authenticated and gossip is not encrypted
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new(), action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    #[arg(env = "HOBNOB_INSECURE", hide_env_values = true)]
    insecure: bool,

    #[command(flatten)]
    protocol: Box<ProtocolArgs>,

    /// The settings with their origins.
    #[arg(skip)]
    pub(crate) started_with: Box<StartedWith>,
}

impl AgentArgs {
    /// The configuration that these arguments stand for, for an agent that serves `socket`.
    ///
    /// # Errors
    /// A default is needed and this host offers none, there are two tokens, a mode without its socket, or a DNS server to forward
    /// to without an address that answers DNS.
    pub(crate) fn into_config(self, socket: PathBuf) -> anyhow::Result<AgentConfig> {
        // No flag, and clap knows nothing of it, so that neither the list of processes nor an error shows it.
        let token = env::var_os(TOKEN_VARIABLE).filter(|token| !token.is_empty());
        let is_mode_given = self.query_socket_mode != SocketMode::default();
        if is_mode_given && self.query_socket.is_none() {
            return Err(NoQuerySocket.into());
        }
        if self.dns.is_none() && !self.dns_forward.is_empty() {
            return Err(NoDns.into());
        }
        let http_tls = match (self.http_cert, self.http_key) {
            (Some(certificate), Some(key)) => Some(HttpTls { certificate, key }),
            (None, None) => None,
            _ => return Err(HalfOfTls.into()),
        };
        let dns = self.dns.map(|addr| DnsConfig {
            addr,
            domains: self.dns_domain,
            ttl_s: self.dns_ttl,
            forward: self.dns_forward,
            insecure: self.insecure_dns,
        });
        let config_dir = match self.no_config {
            true => None,
            false => self.config_dir.or_else(config::default_dir),
        };
        Ok(AgentConfig {
            name: self.name,
            cluster: self.cluster,
            token: token_source(token, self.token_file)?,
            data_dir: self.data_dir.map_or_else(default_data_dir, Ok)?,
            bind: self.bind,
            sync_bind: self.sync_bind,
            advertise: self.advertise,
            advertise_sync_port: self.advertise_sync_port,
            socket,
            write_group: self.write_group,
            query_socket: self.query_socket,
            query_socket_mode: self.query_socket_mode,
            join: self.join,
            join_wan: self.join_wan,
            gateway: self.gateway,
            wan_bytes_per_second: self.wan_bytes_per_second,
            datacenter: self.datacenter,
            zone: self.zone,
            keep_on_exit: self.keep_on_exit,
            insecure: self.insecure,
            listener_watch: !self.no_listener_watch,
            protocol: (*self.protocol).into(),
            config_dir,
            started_with: *self.started_with,
            script_checks: self.enable_script_checks,
            http: self.http,
            insecure_http: self.insecure_http,
            http_tls,
            http_open_writes: self.http_open_writes,
            dns,
            log_filter: None,
        })
    }
}

/// The token of the agent: the variable holds it, or a file.
fn token_source(
    text: Option<OsString>,
    file: Option<PathBuf>,
) -> Result<Option<TokenSource>, TwoTokens> {
    match (text, file) {
        (Some(_), Some(file)) => Err(TwoTokens { file }),
        // A token has no other characters, so the text is refused as one anyway.
        (Some(text), None) => {
            Ok(Some(TokenSource::Text(text.to_string_lossy().into_owned().into())))
        }
        (None, file) => Ok(file.map(TokenSource::File)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn config(line: &[&str]) -> AgentConfig {
        let words = ["hobnob", "agent"].iter().chain(line);
        let cli = Cli::try_parse_from(words).unwrap();
        let socket = cli.socket();
        match cli.command {
            Command::Agent(args) => args.into_config(socket).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everything_has_a_default() {
        let config = config(&["--data-dir", "/d"]);
        assert_eq!((config.name, config.datacenter), (None, None), "the agent finds them");
        assert_eq!(config.bind.to_string(), "127.0.0.1:7946");
        assert_eq!((config.cluster, config.zone.as_str()), (None, ""));
        assert!(config.join.is_empty() && !config.keep_on_exit && !config.insecure);
        assert!(config.listener_watch && !config.script_checks);
    }

    #[test]
    fn a_token_comes_from_the_variable_or_from_a_file_and_is_never_shown() {
        let (text, file) = (|| Some("hobnob1_secret".into()), || Some(PathBuf::from("/t")));
        assert_eq!(token_source(None, None).unwrap(), None);
        assert_eq!(token_source(None, file()).unwrap(), Some(TokenSource::File("/t".into())));
        let of_text = token_source(text(), None).unwrap();
        assert!(matches!(of_text, Some(TokenSource::Text(_))));
        assert!(!format!("{of_text:?}").contains("secret"));
        let both = token_source(text(), file()).unwrap_err().to_string();
        assert!(both.contains("HOBNOB_TOKEN and the token file /t"), "{both}");
        assert!(!both.contains("secret"), "{both}");
        let config = config(&["--data-dir", "/d", "--token-file", "/t"]);
        assert_eq!(config.token, Some(TokenSource::File("/t".into())));
    }

    #[test]
    fn a_query_socket_is_open_to_all_unless_its_mode_says_otherwise() {
        assert_eq!(config(&["--data-dir", "/d"]).query_socket, None);
        let open = config(&["--data-dir", "/d", "--query-socket", "/q"]);
        assert_eq!(open.query_socket_mode.to_string(), "0666");
        let words = ["--data-dir", "/d", "--query-socket", "/q", "--query-socket-mode", "660"];
        assert_eq!(config(&words).query_socket_mode.to_string(), "0660");
        let alone = ["hobnob", "agent", "--query-socket-mode", "660"];
        let Command::Agent(alone) = Cli::try_parse_from(alone).unwrap().command else {
            panic!("another command")
        };
        let refused = alone.into_config("/s".into()).unwrap_err();
        assert!(refused.is::<NoQuerySocket>(), "{refused}");
    }

    #[test]
    fn the_default_log_leaves_out_the_warnings_of_the_transport() {
        use tracing_subscriber::{EnvFilter, prelude::*};
        let shown = |filter: &str| {
            let filter = EnvFilter::try_new(filter).unwrap();
            let subscriber = tracing_subscriber::registry().with(filter);
            tracing::subscriber::with_default(subscriber, || {
                (
                    tracing::enabled!(target: "quinn_udp", tracing::Level::WARN),
                    tracing::enabled!(target: "hobnob_agent::driver", tracing::Level::INFO),
                )
            })
        };
        assert_eq!(shown(DEFAULT_LOG), (false, true));
        assert_eq!(shown("info"), (true, true), "who asks for it gets it");
    }

    #[test]
    fn a_switch_may_be_turned_off() {
        let config = config(&["--data-dir", "/d", "--insecure=false", "--keep-on-exit"]);
        assert!(!config.insecure && config.keep_on_exit);
    }

    #[test]
    fn http_is_answered_where_it_is_asked_for() {
        assert_eq!(config(&["--data-dir", "/d"]).http, None);
        let here = config(&["--data-dir", "/d", "--http", "127.0.0.1:9746"]);
        assert_eq!(here.http, Some("127.0.0.1:9746".parse().unwrap()));
        assert!(!here.insecure_http);
        assert!(config(&["--data-dir", "/d", "--insecure-http"]).insecure_http);
        assert!(!here.http_open_writes);
        let tls = config(&["--data-dir", "/d", "--http-cert", "/c", "--http-key", "/k"])
            .http_tls
            .unwrap();
        assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("/c"), Some("/k")));
        assert!(config(&["--data-dir", "/d", "--http-open-writes"]).http_open_writes);
    }

    #[test]
    fn seeds_add_up() {
        let config = config(&[
            "--join",
            "a:1",
            "--join",
            "b:2,[::1]:3",
            "--keep-on-exit",
            "--no-listener-watch",
            "--enable-script-checks",
        ]);
        assert_eq!(config.join, ["a:1", "b:2", "[::1]:3"]);
        assert!(config.keep_on_exit && !config.listener_watch && config.script_checks);
    }
}
