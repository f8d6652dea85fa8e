//! The identity of a started agent: its name, its addresses, its place.

use std::net::SocketAddr;

use hobnob_api::{Origin, Setting, Settings};
use hobnob_membership::NodeId;

/// The facts of an agent that do not change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct AgentInfo {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) node_id: NodeId,
    pub(crate) datacenter: String,
    pub(crate) zone: String,
    /// The address that others send gossip to.
    pub(crate) gossip_addr: SocketAddr,
    /// The bound address of gossip; another one when it listens on every address, or when others see it at another.
    pub(crate) gossip_bound: SocketAddr,
    /// The address that others open sync streams to.
    pub(crate) sync_addr: SocketAddr,
    /// The bound address of sync streams.
    pub(crate) sync_bound: SocketAddr,
    /// Its place in a sealed cluster; `None` in a clear one.
    pub(crate) sealed: Option<SealedInfo>,
}

/// The place of an agent in its sealed cluster. Nothing of it is secret.
#[derive(Clone, Debug)]
pub(crate) struct SealedInfo {
    /// The fingerprint of its key.
    pub(crate) key: String,
    /// The fingerprint of the token that its certificate is from.
    pub(crate) token: String,
}

impl AgentInfo {
    /// The settings with the values that the agent found where none was given.
    pub(crate) fn with_found(&self, settings: Settings) -> Settings {
        let directory = settings.directory.clone();
        let found = |setting: Setting| {
            if setting.value.is_some() {
                return setting;
            }
            let value = match setting.key.as_str() {
                "name" => self.name.clone(),
                "cluster" => self.cluster.clone(),
                "datacenter" => self.datacenter.clone(),
                "sync_bind" => self.sync_bound.to_string(),
                "advertise" => self.gossip_addr.to_string(),
                "advertise_sync_port" => self.sync_addr.port().to_string(),
                "config_dir" => match &directory {
                    Some(directory) => directory.clone(),
                    None => return setting,
                },
                _ => return setting,
            };
            Setting { value: Some(value), origin: Origin::Found, ..setting }
        };
        Settings { settings: settings.settings.into_iter().map(found).collect(), ..settings }
    }

    /// Whether gossip to this address comes back to the agent itself.
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        let bound = self.gossip_bound;
        let local = address.ip().is_loopback() || address.ip().is_unspecified();
        let reached = address.ip() == bound.ip() || (bound.ip().is_unspecified() && local);
        address == self.gossip_addr || (address.port() == bound.port() && reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_given_is_shown_as_it_was_found_and_the_rest_as_it_is() {
        let setting = |key: &str, value: Option<&str>, origin| {
            let (key, value) = (key.to_owned(), value.map(str::to_owned));
            Setting { key, value, origin, place: None }
        };
        let given = vec![
            setting("name", None, Origin::Default),
            setting("datacenter", Some("eu"), Origin::File),
            setting("sync_bind", None, Origin::Default),
            setting("config_dir", None, Origin::Default),
            setting("zone", None, Origin::Default),
        ];
        let settings = Settings { settings: given.clone(), ..Settings::default() };
        let shown = info("10.0.0.1:7946", "0.0.0.0:7946").with_found(settings).settings;
        assert_eq!(shown[0], setting("name", Some("a"), Origin::Found));
        assert_eq!(shown[2], setting("sync_bind", Some("127.0.0.1:1"), Origin::Found));
        assert_eq!([&shown[1], &shown[3], &shown[4]], [&given[1], &given[3], &given[4]]);
    }

    fn info(advertised: &str, bound: &str) -> AgentInfo {
        let addr = |text: &str| text.parse().expect("an address");
        AgentInfo {
            name: "a".to_owned(),
            cluster: "default".to_owned(),
            node_id: NodeId(1),
            datacenter: "dc1".to_owned(),
            zone: String::new(),
            gossip_addr: addr(advertised),
            gossip_bound: addr(bound),
            sync_addr: addr("127.0.0.1:1"),
            sync_bound: addr("127.0.0.1:1"),
            sealed: None,
        }
    }

    #[test]
    fn an_agent_knows_its_own_addresses() {
        for (advertised, bound, own, others) in [
            ("10.0.0.9:7946", "10.0.0.9:7946", "10.0.0.9:7946", "10.0.0.9:7947 127.0.0.1:7946"),
            ("127.0.0.1:7946", "127.0.0.1:7946", "127.0.0.1:7946", "127.0.0.2:7946"),
            (
                "10.0.0.9:7946",
                "0.0.0.0:7946",
                "10.0.0.9:7946 127.0.0.1:7946 0.0.0.0:7946",
                "10.0.0.8:7946 127.0.0.1:7947",
            ),
            ("192.0.2.1:7946", "10.0.0.9:7946", "192.0.2.1:7946 10.0.0.9:7946", "192.0.2.2:7946"),
            (
                "192.0.2.1:17946",
                "0.0.0.0:7946",
                "192.0.2.1:17946 127.0.0.1:7946",
                "192.0.2.1:7946 127.0.0.1:17946 10.0.0.8:17946",
            ),
        ] {
            let info = info(advertised, bound);
            let is_own = |text: &str| info.is_own(text.parse().expect("an address"));
            assert!(own.split(' ').all(is_own), "{advertised} {bound}");
            assert!(!others.split(' ').any(is_own), "{advertised} {bound}");
        }
    }
}
