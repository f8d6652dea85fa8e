//! The configuration that an agent is started with.

mod dns;
mod file;
mod host_name;
mod http;
mod lookup;
mod nearest;
mod problem;
mod proxies;
mod settings;
mod socket_mode;
mod token;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hobnob_api::address::OwnAddress;
use hobnob_membership::{Gateway, Protocol};

use crate::log_filter::LogFilter;

pub use dns::{DnsConfig, DnsDomain, DnsDomainError};
pub use file::{ConfigFile, KnownKey, Leaf};
pub(crate) use file::{read_text, syntax_problem};
pub use http::HttpTls;
pub use lookup::{AddressUse, FoundAddress, LookupError};
pub(crate) use lookup::{Addresses, ThisHost};
pub use nearest::nearest;
pub(crate) use problem::LineStarts;
pub use problem::Problem;
pub use proxies::ProxyTable;
pub use settings::StartedWith;
pub use socket_mode::{SocketMode, SocketModeError};
pub use token::{TokenProblem, TokenSource, TokenText};
pub use validate::ConfigError;
pub(crate) use validate::ValidConfig;

/// Everything that an agent needs to know at its start.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Its name, for people. Defaults to the one in its certificate, else to that of the host.
    pub name: Option<String>,
    /// The name of the cluster that it belongs to. Agents of different clusters never mix, wherever they meet. Defaults to that
    /// of its token or its membership, else to `default`.
    pub cluster: Option<String>,
    /// The token that lets it join a sealed cluster. A member needs none.
    pub token: Option<TokenSource>,
    /// The directory of its identity and its registrations.
    pub data_dir: PathBuf,
    /// The address that takes gossip (UDP), on port 7946 if it names none. Port 0 takes a free one.
    pub bind: OwnAddress,
    /// The address that takes sync streams (QUIC, UDP), on a free port if it names none. Defaults to the address of `bind`.
    pub sync_bind: Option<OwnAddress>,
    /// The address that others reach it at, with the bound port if it names none. Needed when `bind` is unspecified
    /// (`0.0.0.0`, `::`).
    pub advertise: Option<OwnAddress>,
    /// The port of the advertised address at which others reach the sync streams. Defaults to the bound one.
    pub advertise_sync_port: Option<u16>,
    /// Its local API.
    pub socket: PathBuf,
    /// The group whose members may use that socket, by name or number. Defaults to the group of the process.
    pub write_group: Option<String>,
    /// A second socket, which answers questions and refuses changes.
    pub query_socket: Option<PathBuf>,
    /// The mode of its file.
    pub query_socket_mode: SocketMode,
    /// Gossip addresses (`host:port`) to join at.
    pub join: Vec<String>,
    /// Gossip addresses (`host:port`) of members of other datacenters.
    pub join_wan: Vec<String>,
    /// Whether it may be a gateway of its datacenter.
    pub gateway: Gateway,
    /// The most bytes a second from its datacenter to each other one.
    pub wan_bytes_per_second: u64,
    /// The parameters of the protocol, which all agents of a cluster should share.
    pub protocol: Protocol,
    /// Its datacenter. Defaults to the one in its certificate, else to the only one that its token allows, else to `dc1`.
    pub datacenter: Option<String>,
    /// Its zone; empty for none.
    pub zone: String,
    /// Keep the records in the cluster on exit, for a restart, instead of leaving.
    pub keep_on_exit: bool,
    /// Accept to listen on an address that is not loopback in a clear cluster, although peers are not authenticated and gossip is
    /// not encrypted.
    pub insecure: bool,
    /// Ask the kernel whether somebody listens at the checked addresses of this host, so that a service that dies is
    /// unhealthy at once.
    pub listener_watch: bool,
    /// The directory of service definitions.
    pub config_dir: Option<PathBuf>,
    /// What all of this was made of, to be shown and read again.
    pub started_with: StartedWith,
    /// Run the programs of checks that are scripts. Every process that may register then runs programs as the user of the agent.
    pub script_checks: bool,
    /// The address that answers HTTP: metrics, and whether the agent is well. Port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Accept that this address is not loopback, although nobody has to prove who they are there.
    pub insecure_http: bool,
    /// The certificate of the HTTP door; without one it speaks in clear.
    pub http_tls: Option<HttpTls>,
    /// Take changes over HTTP without an access key: every process of the host may make them then.
    pub http_open_writes: bool,
    /// The DNS door, if there is one.
    pub dns: Option<DnsConfig>,
    /// The log of the process, if its filter may be changed while the agent runs.
    pub log_filter: Option<Arc<dyn LogFilter>>,
}

#[cfg(test)]
impl AgentConfig {
    /// A legal configuration that listens at this address.
    fn at(bind: &str) -> Self {
        Self {
            name: Some("a".to_owned()),
            cluster: None,
            token: None,
            data_dir: PathBuf::from("/nowhere"),
            bind: bind.parse().expect("an address"),
            sync_bind: None,
            advertise: None,
            advertise_sync_port: None,
            socket: PathBuf::from("/nowhere.sock"),
            write_group: None,
            query_socket: None,
            query_socket_mode: SocketMode::default(),
            join: Vec::new(),
            join_wan: Vec::new(),
            gateway: Gateway::Yes,
            wan_bytes_per_second: 1_250_000,
            protocol: Protocol::default(),
            datacenter: None,
            zone: String::new(),
            keep_on_exit: false,
            insecure: true,
            listener_watch: true,
            config_dir: None,
            started_with: StartedWith::default(),
            script_checks: false,
            http: None,
            insecure_http: false,
            http_tls: None,
            http_open_writes: false,
            dns: None,
            log_filter: None,
        }
    }
}
