//! A driver on loopback sockets for unit tests. With tokio's time paused, nothing here waits for real time.

use std::net::{Ipv4Addr, SocketAddr};

use hobnob_membership::record::{Health, NodeRecord, Support};
use hobnob_membership::{ClusterId, Config, Epoch, Identity, Node, NodeId, Protocol};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::driver::{Driver, DriverHandle, Ended, Joining, OwnChecks, Persist};
use crate::services::{Locality, Registry};
use crate::transport::Network;

/// Looks at a driver's node before a test gives up. Each look lets all other tasks run.
const MAX_LOOKS: usize = 200_000;

/// A driver that does not run, and what belongs to it.
pub(crate) struct IdleDriver {
    pub(crate) driver: Driver,
    pub(crate) handle: DriverHandle,
    pub(crate) registry: std::sync::Arc<Registry>,
    pub(crate) persisted: mpsc::Receiver<Persist>,
    pub(crate) addr: SocketAddr,
}

impl IdleDriver {
    /// A driver with what an earlier life left.
    pub(crate) async fn restored(
        node_id: u64,
        records: Vec<(hobnob_membership::record::Key, hobnob_membership::record::Value)>,
        own_checks: OwnChecks,
    ) -> Self {
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        let network = Network::bind(loopback, loopback).await.expect("bound");
        let (addr, sync) = (network.gossip_addr(), network.sync_addr());
        let node_id = NodeId(node_id);
        let config = Config {
            cluster: ClusterId::named("default"),
            identity: Identity { node_id, epoch: Epoch(1), addr, sync_port: sync.port() },
            node: NodeRecord {
                name: format!("node-{}", node_id.0).as_str().into(),
                datacenter: "dc1".into(),
                zone: "".into(),
                software: "0".into(),
                instance_key_hash: 0,
                left: None,
                support: Support::OURS,
            },
            records,
            seed: node_id.0,
            protocol: Protocol::default(),
        };
        let clock = Clock::start();
        let locality = Locality { datacenter: "dc1".to_owned(), zone: String::new() };
        let (registry, writer) = Registry::new(node_id, locality, clock, 1);
        let (persist, persisted) = mpsc::channel(1);
        let joining = Joining::at(&[], &[], "default");
        let node = Node::new(config, clock.now());
        let (driver, handle) =
            Driver::new(node, clock, network, own_checks, writer, persist, joining);
        Self { driver, handle, registry, persisted, addr }
    }
}

/// A running driver.
pub(crate) struct TestDriver {
    pub(crate) handle: DriverHandle,
    pub(crate) registry: std::sync::Arc<Registry>,
    pub(crate) persisted: mpsc::Receiver<Persist>,
    pub(crate) task: JoinHandle<Ended>,
    pub(crate) addr: SocketAddr,
}

impl TestDriver {
    /// A driver that is to join nobody.
    pub(crate) async fn start(node_id: u64) -> Self {
        Self::restored(node_id, Vec::new(), OwnChecks::default()).await
    }

    /// A driver with what an earlier life left.
    pub(crate) async fn restored(
        node_id: u64,
        records: Vec<(hobnob_membership::record::Key, hobnob_membership::record::Value)>,
        own_checks: OwnChecks,
    ) -> Self {
        let IdleDriver { driver, handle, registry, persisted, addr } =
            IdleDriver::restored(node_id, records, own_checks).await;
        Self { handle, registry, persisted, task: tokio::spawn(driver.run()), addr }
    }

    /// The health of an instance, if there is one with this id.
    pub(crate) async fn health(&self, id: &'static str) -> Option<Health> {
        let read = move |node: &Node, _| {
            node.instances().find(|instance| *instance.id == *id).map(|instance| instance.health)
        };
        self.handle.inspect(read).await.expect("it runs")
    }

    /// Waits until an instance has this health, without letting time pass.
    pub(crate) async fn until_health(&self, id: &'static str, health: Health) {
        for _ in 0..MAX_LOOKS {
            if self.health(id).await == Some(health) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{id} did not become {health:?}: {:?}", self.health(id).await);
    }
}
