//! The rules for what an agent is started with.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hobnob_api::ALL_DATACENTERS;
use hobnob_api::address::{AddressError, GossipAddress, is_of_one_host};
use hobnob_api::names::{self, NameError};
use hobnob_membership::{Gateway, Protocol};

use super::host_name::host_name;
use super::lookup::{Addresses, FoundAddress, needs_scope};
use super::{AgentConfig, DnsConfig, HttpTls, SocketMode, StartedWith, TokenSource};
use crate::log_filter::LogFilter;

/// A part of the configuration can never work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The traffic would be open to everybody.
    #[error(
        "refusing to listen on {0}: without a token peers are not authenticated and gossip is not encrypted, so \
         anybody who reaches that address could read and forge the catalog"
    )]
    NotLoopback(FoundAddress),
    /// Anybody would be answered by HTTP.
    #[error(
        "refusing to answer HTTP on {0}: nobody has to prove who they are there, and /metrics tells the names of this member, its \
         cluster and its datacenter, and how many members, services and calls there are"
    )]
    HttpNotLoopback(SocketAddr),
    /// Anybody would make changes.
    #[error(
        "refusing to take changes over HTTP without an access key on {0}: everybody who reaches that address could make them"
    )]
    HttpOpenWritesBeyondHost(SocketAddr),
    /// Anybody would be answered by DNS.
    #[error(
        "refusing to answer DNS on {0}: nobody has to prove who they are there, and the answers tell the names and addresses of \
         members and services"
    )]
    DnsNotLoopback(SocketAddr),
    /// Anybody could have names of others looked up.
    #[error(
        "refusing to forward DNS queries from {0}: a server that looks up names for anybody is used to flood others with answers"
    )]
    DnsForwardsForAnybody(SocketAddr),
    /// It would ask itself.
    #[error("DNS queries cannot be forwarded to {0}: that is the address of this agent")]
    DnsForwardsToItself(SocketAddr),
    /// Others would not reach the sync streams.
    #[error("sync streams on {sync} cannot be reached at the advertised address {advertised}")]
    SyncElsewhere {
        /// The address that would take the streams.
        sync: FoundAddress,
        /// The address that others would look at.
        advertised: FoundAddress,
    },
    /// Others would send to an address that loopback does not answer for.
    #[error("{advertised} cannot reach an agent that listens on {bind}, which is loopback")]
    AdvertisedElsewhere {
        /// The address that would take gossip.
        bind: FoundAddress,
        /// The address that others would send to.
        advertised: FoundAddress,
    },
    /// Others would not know where to send.
    #[error("{0} is no address that others could send to")]
    NothingToAdvertise(FoundAddress),
    /// Others cannot send to port 0.
    #[error("port 0 cannot be advertised: it stands for any free port")]
    AdvertisedPortZero,
    /// There is no name for the agent.
    #[error("this host has no name to call the agent by")]
    NoName,
    /// An address means something else on every host.
    #[error("{0} is a link-local address, which means nothing on other hosts")]
    LinkLocal(FoundAddress),
    /// The name of the datacenter stands for all of them in questions.
    #[error(
        "a datacenter cannot be called `{ALL_DATACENTERS}`: it stands for all datacenters in questions"
    )]
    AllDatacenters,
    /// A name breaks the rule for names.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An address to join at is malformed.
    #[error(transparent)]
    Join(#[from] AddressError),
}

/// A configuration that keeps the rules, with its defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct ValidConfig {
    /// The name, the cluster and the datacenter that were given.
    pub(crate) name: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) datacenter: Option<String>,
    /// The name of this host, for an agent that was given none and has no certificate.
    pub(crate) host_name: String,
    pub(crate) zone: String,
    pub(crate) token: Option<TokenSource>,
    pub(crate) data_dir: PathBuf,
    pub(crate) bind: SocketAddr,
    pub(crate) sync_bind: SocketAddr,
    /// The address that others send to.
    pub(crate) advertise: IpAddr,
    /// The gossip port that others send to, if it is not the bound one.
    pub(crate) advertise_port: Option<u16>,
    /// The sync port that others send to, if it is not the bound one.
    pub(crate) advertise_sync_port: Option<u16>,
    pub(crate) socket: PathBuf,
    pub(crate) write_group: Option<String>,
    pub(crate) query_socket: Option<PathBuf>,
    pub(crate) query_socket_mode: SocketMode,
    pub(crate) join: Vec<String>,
    pub(crate) join_wan: Vec<String>,
    pub(crate) gateway: Gateway,
    pub(crate) protocol: Protocol,
    pub(crate) keep_on_exit: bool,
    /// Whether the traffic of a clear cluster was allowed to leave this host.
    pub(crate) insecure: bool,
    pub(crate) listener_watch: bool,
    pub(crate) config_dir: Option<PathBuf>,
    pub(crate) started_with: StartedWith,
    pub(crate) script_checks: bool,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) insecure_http: bool,
    pub(crate) http_tls: Option<HttpTls>,
    pub(crate) http_open_writes: bool,
    pub(crate) dns: Option<DnsConfig>,
    pub(crate) log_filter: Option<Arc<dyn LogFilter>>,
}

impl ValidConfig {
    /// Whether others than this host reach the agent.
    pub(crate) fn is_open(&self) -> bool {
        !(self.bind.ip().is_loopback() && self.sync_bind.ip().is_loopback())
    }
}

impl AgentConfig {
    /// Checks everything that can be checked without touching the system.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check_names(&self) -> Result<(), ConfigError> {
        let mut addresses = self.join.iter().chain(&self.join_wan);
        addresses.try_for_each(|address| address.parse::<GossipAddress>().map(drop))?;
        for (what, given) in [
            ("name of the agent", &self.name),
            ("cluster", &self.cluster),
            ("datacenter", &self.datacenter),
        ] {
            given.iter().try_for_each(|name| names::check(what, name))?;
        }
        if self.datacenter.as_deref() == Some(ALL_DATACENTERS) {
            return Err(ConfigError::AllDatacenters);
        }
        if let Some(http) = self.http.filter(|http| !http.ip().is_loopback()) {
            if self.http_open_writes {
                return Err(ConfigError::HttpOpenWritesBeyondHost(http));
            }
            if !(self.insecure_http || self.http_tls.is_some()) {
                return Err(ConfigError::HttpNotLoopback(http));
            }
        }
        self.dns.iter().try_for_each(check_dns)?;
        if !self.zone.is_empty() {
            names::check("zone", &self.zone)?;
        }
        Ok(())
    }

    /// Checks all rules, with the addresses that were found for this configuration. `is_member` says that the data directory is
    /// that of a member of a sealed cluster.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn validate(
        self,
        found: &Addresses,
        is_member: bool,
    ) -> Result<ValidConfig, ConfigError> {
        self.check_names()?;
        let Addresses { bind, sync_bind, advertise } = found;
        let listening = [bind, sync_bind];
        if let Some(local) =
            listening.into_iter().chain(advertise).find(|at| needs_scope(at.addr.ip()))
        {
            return Err(ConfigError::LinkLocal(local.clone()));
        }
        if let Some(open) = listening.into_iter().find(|at| !at.addr.ip().is_loopback())
            && !(self.insecure || is_member || self.token.is_some())
        {
            return Err(ConfigError::NotLoopback(open.clone()));
        }
        let advertise_port = self.advertise.as_ref().and_then(|advertise| advertise.port);
        if advertise_port == Some(0) || self.advertise_sync_port == Some(0) {
            return Err(ConfigError::AdvertisedPortZero);
        }
        let advertise = reachable_at(found)?;
        let host_name = host_name();
        if self.name.is_none() && host_name.is_none() && !is_member {
            return Err(ConfigError::NoName);
        }
        Ok(ValidConfig {
            host_name: host_name.unwrap_or_default(),
            token: self.token,
            insecure: self.insecure,
            bind: bind.addr,
            sync_bind: sync_bind.addr,
            advertise,
            advertise_port,
            advertise_sync_port: self.advertise_sync_port,
            name: self.name,
            cluster: self.cluster,
            datacenter: self.datacenter,
            zone: self.zone,
            data_dir: self.data_dir,
            socket: self.socket,
            write_group: self.write_group,
            query_socket: self.query_socket,
            query_socket_mode: self.query_socket_mode,
            join: self.join,
            join_wan: self.join_wan,
            gateway: self.gateway,
            protocol: Protocol { wan_bytes_per_second: self.wan_bytes_per_second, ..self.protocol },
            keep_on_exit: self.keep_on_exit,
            listener_watch: self.listener_watch,
            config_dir: self.config_dir,
            started_with: self.started_with,
            script_checks: self.script_checks,
            http: self.http,
            insecure_http: self.insecure_http,
            http_tls: self.http_tls,
            http_open_writes: self.http_open_writes,
            dns: self.dns,
            log_filter: self.log_filter,
        })
    }
}

/// Checks who is answered by DNS, and who is asked.
fn check_dns(dns: &DnsConfig) -> Result<(), ConfigError> {
    let is_open = !dns.addr.ip().is_loopback();
    if is_open && !dns.insecure {
        return Err(ConfigError::DnsNotLoopback(dns.addr));
    }
    if is_open && !dns.forward.is_empty() {
        return Err(ConfigError::DnsForwardsForAnybody(dns.addr));
    }
    match dns.forward.iter().find(|server| **server == dns.addr) {
        Some(own) => Err(ConfigError::DnsForwardsToItself(*own)),
        None => Ok(()),
    }
}

/// The IP address that others send to, which reaches both sockets.
fn reachable_at(found: &Addresses) -> Result<IpAddr, ConfigError> {
    let Addresses { bind, sync_bind, advertise } = found;
    let advertised = advertise.as_ref().unwrap_or(bind);
    let (bound, sync) = (bind.addr.ip(), sync_bind.addr.ip());
    let ip = advertised.addr.ip().to_canonical();
    if !is_of_one_host(ip) {
        return Err(ConfigError::NothingToAdvertise(advertised.clone()));
    }
    // A socket on `::` takes IPv4 too.
    let takes_family = sync.is_ipv4() == ip.is_ipv4() || sync == Ipv6Addr::UNSPECIFIED;
    if !takes_family || !(sync.is_unspecified() || sync == bound || sync == ip) {
        let (sync, advertised) = (sync_bind.clone(), advertised.clone());
        return Err(ConfigError::SyncElsewhere { sync, advertised });
    }
    if ip != bound && bound.is_loopback() {
        let (bind, advertised) = (bind.clone(), advertised.clone());
        return Err(ConfigError::AdvertisedElsewhere { bind, advertised });
    }
    Ok(ip)
}

#[cfg(test)]
mod tests {
    use hobnob_api::address::OwnAddress;

    use super::*;

    /// The addresses of a configuration without interfaces and host names.
    fn found(config: &AgentConfig) -> Addresses {
        let found = |given: &OwnAddress, port: u16| FoundAddress {
            name: None,
            addr: (given.host.as_str().parse::<IpAddr>().expect("an IP address"), port).into(),
        };
        let sync_bind = config.sync_bind.as_ref().unwrap_or(&config.bind);
        Addresses {
            bind: found(&config.bind, config.bind.port.unwrap_or(7_946)),
            sync_bind: found(sync_bind, 0),
            advertise: config.advertise.as_ref().map(|given| found(given, 7_946)),
        }
    }

    fn valid(config: AgentConfig) -> Result<ValidConfig, ConfigError> {
        let found = found(&config);
        config.validate(&found, false)
    }

    fn advertised(config: AgentConfig) -> Result<String, ConfigError> {
        valid(config).map(|valid| valid.advertise.to_string())
    }

    #[test]
    fn the_advertised_address_is_the_bound_one_unless_another_is_given() {
        let advertise = Some("10.0.0.9".parse().expect("an address"));
        assert_eq!(advertised(AgentConfig::at("10.0.0.1:0")).ok().as_deref(), Some("10.0.0.1"));
        assert_eq!(
            advertised(AgentConfig { advertise, ..AgentConfig::at("0.0.0.0:0") }).ok().as_deref(),
            Some("10.0.0.9")
        );
        for advertise in ["10.0.0.9", "::ffff:10.0.0.9"] {
            let advertise = Some(advertise.parse().expect("an address"));
            let dual = advertised(AgentConfig { advertise, ..AgentConfig::at("[::]:0") });
            assert_eq!(dual.ok().as_deref(), Some("10.0.0.9"));
        }
        assert_eq!(valid(AgentConfig::at("10.0.0.1:5")).expect("valid").advertise_port, None);
    }

    #[test]
    fn other_ports_than_the_bound_ones_may_be_advertised() {
        let behind_nat = |advertise: &str, sync_port| AgentConfig {
            advertise: Some(advertise.parse().expect("an address")),
            advertise_sync_port: Some(sync_port),
            ..AgentConfig::at("0.0.0.0:7946")
        };
        let mapped = valid(behind_nat("203.0.113.7:17946", 17_947)).expect("valid");
        let ports = (mapped.advertise_port, mapped.advertise_sync_port);
        assert_eq!(
            (mapped.advertise.to_string().as_str(), ports),
            ("203.0.113.7", (Some(17_946), Some(17_947)))
        );
        for wrong in [behind_nat("203.0.113.7:0", 1), behind_nat("203.0.113.7:1", 0)] {
            assert!(matches!(valid(wrong), Err(ConfigError::AdvertisedPortZero)));
        }
    }

    #[test]
    fn a_link_local_address_is_refused_wherever_it_stands() {
        let local = || Some("[fe80::1]:1".parse().expect("an address"));
        for wrong in [
            AgentConfig::at("[fe80::1]:1"),
            AgentConfig { sync_bind: local(), ..AgentConfig::at("[::]:1") },
            AgentConfig { advertise: local(), ..AgentConfig::at("[::]:1") },
        ] {
            let error = valid(wrong).expect_err("link-local");
            assert!(matches!(error, ConfigError::LinkLocal(_)), "{error}");
        }
        let ipv4 = AgentConfig { insecure: true, ..AgentConfig::at("169.254.1.2:1") };
        assert!(valid(ipv4).is_ok());
    }

    #[test]
    fn addresses_that_nobody_could_reach_are_refused() {
        let nowhere = advertised(AgentConfig::at("0.0.0.0:7946"));
        assert!(matches!(nowhere, Err(ConfigError::NothingToAdvertise(_))));
        for many in ["255.255.255.255", "224.0.0.1", "::", "::ffff:0.0.0.0"] {
            let advertise = Some(many.parse().expect("an address"));
            let many = advertised(AgentConfig { advertise, ..AgentConfig::at("[::]:7946") });
            assert!(matches!(many, Err(ConfigError::NothingToAdvertise(_))), "{many:?}");
        }
        let elsewhere = AgentConfig {
            advertise: Some("10.0.0.9".parse().expect("an address")),
            ..AgentConfig::at("127.0.0.1:0")
        };
        assert!(matches!(advertised(elsewhere), Err(ConfigError::AdvertisedElsewhere { .. })));
        for (bind, sync) in [("10.0.0.1:0", "10.0.0.2:0"), ("[fd00::1]:0", "0.0.0.0:0")] {
            let config = AgentConfig {
                sync_bind: Some(sync.parse().expect("an address")),
                ..AgentConfig::at(bind)
            };
            let refused = advertised(config);
            assert!(matches!(refused, Err(ConfigError::SyncElsewhere { .. })), "{sync}");
        }
    }

    #[test]
    fn open_traffic_has_to_be_asked_for() {
        for bind in ["10.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let closed = AgentConfig { insecure: false, ..AgentConfig::at(bind) };
            assert!(matches!(advertised(closed), Err(ConfigError::NotLoopback(_))), "{bind}");
        }
        assert!(
            advertised(AgentConfig { insecure: false, ..AgentConfig::at("127.0.0.1:0") }).is_ok()
        );
    }

    #[test]
    fn dns_off_loopback_has_to_be_asked_for_and_forwards_for_nobody() {
        let dns = |addr: &str, insecure: bool, forward: &[&str]| {
            let forward = forward.iter().map(|text| text.parse().expect("an address"));
            let addr = addr.parse().expect("an address");
            let dns = DnsConfig {
                addr,
                domains: Vec::new(),
                ttl_s: 0,
                forward: forward.collect(),
                insecure,
            };
            valid(AgentConfig { dns: Some(dns), ..AgentConfig::at("127.0.0.1:0") })
        };
        for right in [
            dns("127.0.0.1:53", false, &["1.1.1.1:53"]),
            dns("[::1]:0", false, &[]),
            dns("10.0.0.1:53", true, &[]),
        ] {
            assert!(right.is_ok(), "{right:?}");
        }
        let open = dns("0.0.0.0:53", false, &[]);
        assert!(matches!(open, Err(ConfigError::DnsNotLoopback(_))));
        let forwarding = dns("10.0.0.1:53", true, &["1.1.1.1:53"]);
        assert!(matches!(forwarding, Err(ConfigError::DnsForwardsForAnybody(_))));
        let itself = dns("127.0.0.1:53", false, &["1.1.1.1:53", "127.0.0.1:53"]);
        assert!(matches!(itself, Err(ConfigError::DnsForwardsToItself(_))));
    }

    #[test]
    fn http_off_loopback_has_to_be_asked_for() {
        let http = |at: &str, insecure_http| AgentConfig {
            http: Some(at.parse().expect("an address")),
            insecure_http,
            ..AgentConfig::at("127.0.0.1:0")
        };
        for open in ["0.0.0.0:9746", "10.0.0.9:9746", "[::]:9746"] {
            assert!(matches!(valid(http(open, false)), Err(ConfigError::HttpNotLoopback(_))));
            assert!(valid(http(open, true)).is_ok(), "{open}");
        }
        for local in ["127.0.0.1:9746", "[::1]:9746"] {
            assert!(valid(http(local, false)).is_ok(), "{local}");
            let open_writes = AgentConfig { http_open_writes: true, ..http(local, false) };
            assert!(valid(open_writes).is_ok(), "{local}");
        }
        let tls = HttpTls { certificate: "cert.pem".into(), key: "key.pem".into() };
        let encrypted = AgentConfig { http_tls: Some(tls), ..http("0.0.0.0:9746", false) };
        assert!(valid(encrypted.clone()).is_ok());
        let open_writes = AgentConfig { http_open_writes: true, ..encrypted };
        let refused = valid(open_writes);
        assert!(matches!(refused, Err(ConfigError::HttpOpenWritesBeyondHost(_))));
    }

    #[test]
    fn names_and_addresses_to_join_at_keep_their_rules() {
        let spaced = || Some("a b".to_owned());
        for wrong in [
            AgentConfig { name: spaced(), ..AgentConfig::at("10.0.0.1:0") },
            AgentConfig { cluster: spaced(), ..AgentConfig::at("10.0.0.1:0") },
            AgentConfig { datacenter: spaced(), ..AgentConfig::at("10.0.0.1:0") },
            AgentConfig { zone: "a b".to_owned(), ..AgentConfig::at("10.0.0.1:0") },
        ] {
            assert!(matches!(advertised(wrong), Err(ConfigError::Name(_))));
        }
        let all = Some("*".to_owned());
        let wrong = AgentConfig { datacenter: all, ..AgentConfig::at("10.0.0.1:0") };
        assert!(matches!(advertised(wrong), Err(ConfigError::AllDatacenters)));
        let wrong = AgentConfig { join: vec!["host:".to_owned()], ..AgentConfig::at("10.0.0.1:0") };
        assert!(matches!(advertised(wrong), Err(ConfigError::Join(_))));
    }
}
