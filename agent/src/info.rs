//! The identity of a started agent: its name, its addresses, its place.

use std::net::SocketAddr;

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
