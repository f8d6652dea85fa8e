//! The rules for what an agent is started with.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use hobnob_api::address::{AddressError, GossipAddress, is_of_one_host};
use hobnob_api::names::{self, NameError};

use super::AgentConfig;

/// A part of the configuration can never work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The traffic would be open to everybody.
    #[error(
        "refusing to listen on {0}: peers are not authenticated and gossip is not encrypted yet, so anybody who \
         reaches that address could read and forge the catalog"
    )]
    NotLoopback(SocketAddr),
    /// Others would not reach the sync streams.
    #[error("sync streams on {sync} cannot be reached at the advertised address {advertised}")]
    SyncElsewhere {
        /// The address that would take the streams.
        sync: SocketAddr,
        /// The address that others would look at.
        advertised: IpAddr,
    },
    /// Others would send to an address that loopback does not answer for.
    #[error("{advertised} cannot reach an agent that listens on {bind}, which is loopback")]
    AdvertisedElsewhere {
        /// The address that would take gossip.
        bind: SocketAddr,
        /// The address that others would send to.
        advertised: IpAddr,
    },
    /// Others would not know where to send.
    #[error("{0} is no address that others could send to")]
    NothingToAdvertise(SocketAddr),
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
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) datacenter: String,
    pub(crate) zone: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) bind: SocketAddr,
    pub(crate) sync_bind: SocketAddr,
    /// The address that others send to.
    pub(crate) advertise: IpAddr,
    pub(crate) socket: PathBuf,
    pub(crate) join: Vec<String>,
    pub(crate) keep_on_exit: bool,
    pub(crate) listener_watch: bool,
}

impl AgentConfig {
    /// Checks everything that can be checked without touching the system.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn validate(self) -> Result<ValidConfig, ConfigError> {
        let sync_bind = self.sync_bind.unwrap_or(SocketAddr::new(self.bind.ip(), 0));
        for addr in [self.bind, sync_bind] {
            if !addr.ip().is_loopback() && !self.insecure {
                return Err(ConfigError::NotLoopback(addr));
            }
        }
        let advertise = self.reachable_at(sync_bind)?;
        self.join.iter().try_for_each(|address| address.parse::<GossipAddress>().map(drop))?;
        names::check("name of the agent", &self.name)?;
        names::check("cluster", &self.cluster)?;
        names::check("datacenter", &self.datacenter)?;
        if !self.zone.is_empty() {
            names::check("zone", &self.zone)?;
        }
        let Self { name, cluster, datacenter, zone, data_dir, bind, socket, join, .. } = self;
        let (keep_on_exit, listener_watch) = (self.keep_on_exit, self.listener_watch);
        Ok(ValidConfig {
            name,
            cluster,
            datacenter,
            zone,
            data_dir,
            bind,
            sync_bind,
            advertise,
            socket,
            join,
            keep_on_exit,
            listener_watch,
        })
    }

    /// The address that others send to, which reaches both sockets.
    fn reachable_at(&self, sync_bind: SocketAddr) -> Result<IpAddr, ConfigError> {
        let bind = self.bind;
        let advertise = self.advertise.unwrap_or(bind.ip()).to_canonical();
        if !is_of_one_host(advertise) {
            let nowhere = SocketAddr::new(advertise, bind.port());
            return Err(ConfigError::NothingToAdvertise(nowhere));
        }
        let sync = sync_bind.ip();
        // A socket on `::` takes IPv4 too.
        let takes_family = sync.is_ipv4() == advertise.is_ipv4() || sync == Ipv6Addr::UNSPECIFIED;
        if !takes_family || !(sync.is_unspecified() || sync == bind.ip() || sync == advertise) {
            return Err(ConfigError::SyncElsewhere { sync: sync_bind, advertised: advertise });
        }
        if advertise != bind.ip() && bind.ip().is_loopback() {
            return Err(ConfigError::AdvertisedElsewhere { bind, advertised: advertise });
        }
        Ok(advertise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(bind: &str) -> AgentConfig {
        AgentConfig {
            name: "a".to_owned(),
            cluster: "default".to_owned(),
            data_dir: PathBuf::from("/nowhere"),
            bind: bind.parse().expect("an address"),
            sync_bind: None,
            advertise: None,
            socket: PathBuf::from("/nowhere.sock"),
            join: Vec::new(),
            datacenter: "dc1".to_owned(),
            zone: String::new(),
            keep_on_exit: false,
            insecure: true,
            listener_watch: true,
        }
    }

    fn advertised(config: AgentConfig) -> Result<String, ConfigError> {
        config.validate().map(|valid| valid.advertise.to_string())
    }

    #[test]
    fn the_advertised_address_is_the_bound_one_unless_another_is_given() {
        let advertise = Some("10.0.0.9".parse().expect("an address"));
        assert_eq!(advertised(config("10.0.0.1:0")).ok().as_deref(), Some("10.0.0.1"));
        assert_eq!(
            advertised(AgentConfig { advertise, ..config("0.0.0.0:0") }).ok().as_deref(),
            Some("10.0.0.9")
        );
        for advertise in ["10.0.0.9", "::ffff:10.0.0.9"] {
            let advertise = Some(advertise.parse().expect("an address"));
            let dual = advertised(AgentConfig { advertise, ..config("[::]:0") });
            assert_eq!(dual.ok().as_deref(), Some("10.0.0.9"));
        }
        assert_eq!(config("10.0.0.1:5").validate().expect("valid").sync_bind.port(), 0);
    }

    #[test]
    fn addresses_that_nobody_could_reach_are_refused() {
        let addr = |text: &str| text.parse().expect("an address");
        let nowhere = advertised(config("0.0.0.0:7946"));
        assert!(matches!(nowhere, Err(ConfigError::NothingToAdvertise(_))));
        for many in ["255.255.255.255", "224.0.0.1", "::", "::ffff:0.0.0.0"] {
            let advertise = Some(many.parse().expect("an address"));
            let many = advertised(AgentConfig { advertise, ..config("[::]:7946") });
            assert!(matches!(many, Err(ConfigError::NothingToAdvertise(_))), "{many:?}");
        }
        let elsewhere = AgentConfig {
            advertise: Some("10.0.0.9".parse().expect("an address")),
            ..config("127.0.0.1:0")
        };
        assert!(matches!(advertised(elsewhere), Err(ConfigError::AdvertisedElsewhere { .. })));
        for (bind, sync) in [("10.0.0.1:0", "10.0.0.2:0"), ("[fd00::1]:0", "0.0.0.0:0")] {
            let config = AgentConfig { sync_bind: Some(addr(sync)), ..config(bind) };
            let refused = advertised(config);
            assert!(matches!(refused, Err(ConfigError::SyncElsewhere { .. })), "{sync}");
        }
    }

    #[test]
    fn open_traffic_has_to_be_asked_for() {
        for bind in ["10.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
            let closed = AgentConfig { insecure: false, ..config(bind) };
            assert!(matches!(advertised(closed), Err(ConfigError::NotLoopback(_))), "{bind}");
        }
        assert!(advertised(AgentConfig { insecure: false, ..config("127.0.0.1:0") }).is_ok());
    }

    #[test]
    fn names_and_addresses_to_join_at_keep_their_rules() {
        let spaced = || "a b".to_owned();
        for wrong in [
            AgentConfig { name: spaced(), ..config("10.0.0.1:0") },
            AgentConfig { cluster: spaced(), ..config("10.0.0.1:0") },
            AgentConfig { datacenter: spaced(), ..config("10.0.0.1:0") },
            AgentConfig { zone: spaced(), ..config("10.0.0.1:0") },
        ] {
            assert!(matches!(advertised(wrong), Err(ConfigError::Name(_))));
        }
        let wrong = AgentConfig { join: vec!["host:".to_owned()], ..config("10.0.0.1:0") };
        assert!(matches!(advertised(wrong), Err(ConfigError::Join(_))));
    }
}
