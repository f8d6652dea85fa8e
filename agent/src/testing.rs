//! A driver on loopback sockets for unit tests. With tokio's time paused, nothing here waits for real time.

use std::net::{Ipv4Addr, SocketAddr};

use hobnob_keys::NodeKey;
use hobnob_membership::record::{Health, Key, NodeRecord, Support, Value};
use hobnob_membership::testing::sealed;
use hobnob_membership::{ClusterId, Config, Epoch, Identity, Node, NodeId, Protocol, Sealing};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::driver::{Driver, DriverHandle, Ended, Joining, OwnChecks, Persist};
use crate::services::{Locality, Registry};
use crate::transport::{HoldSettings, Network};

/// Looks at a driver's node before a test gives up. Each look lets all other tasks run.
const MAX_LOOKS: usize = 200_000;

/// The connections that a driver holds for others.
pub(crate) const PLACES: usize = 16;

/// A driver that does not run, and what belongs to it.
pub(crate) struct IdleDriver {
    pub(crate) driver: Driver,
    pub(crate) handle: DriverHandle,
    pub(crate) registry: std::sync::Arc<Registry>,
    pub(crate) persisted: mpsc::Receiver<Persist>,
    pub(crate) addr: SocketAddr,
    pub(crate) clock: Clock,
}

impl IdleDriver {
    /// A driver with what an earlier life left.
    pub(crate) async fn restored(
        node_id: u64,
        records: Vec<(Key, Value)>,
        own_checks: OwnChecks,
    ) -> Self {
        let key = NodeKey::from_seed(&[node_id as u8; 32]);
        let cluster = ClusterId::named("default");
        Self::with(NodeId(node_id), &key, cluster, records, own_checks, None, &[]).await
    }

    /// A driver of a node in a sealed cluster that is to join at these addresses.
    pub(crate) async fn sealed(sealing: Sealing, join: &[String]) -> Self {
        let (node, cluster) = (sealing.node_id(), sealing.cluster());
        let (key, checks) = (NodeKey::from_seed(&[node.0 as u8; 32]), OwnChecks::default());
        Self::with(node, &key, cluster, Vec::new(), checks, Some(Box::new(sealing)), join).await
    }

    async fn with(
        node_id: NodeId,
        key: &NodeKey,
        cluster: ClusterId,
        records: Vec<(Key, Value)>,
        own_checks: OwnChecks,
        sealing: Option<Box<Sealing>>,
        join: &[String],
    ) -> Self {
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        let is_sealed = sealing.is_some();
        let settings =
            HoldSettings { cluster, node_id, places: PLACES, is_sealed, sync_port: None };
        let network = Network::bind(loopback, loopback, settings, key).await.expect("bound");
        let (addr, sync) = (network.gossip_addr(), network.sync_addr());
        let config = Config {
            cluster,
            identity: Identity { node_id, epoch: Epoch(1), addr, sync_port: sync.port() },
            node: NodeRecord {
                name: format!("node-{}", node_id.0).as_str().into(),
                datacenter: "dc1".into(),
                zone: "".into(),
                software: "0".into(),
                instance_key_hash: 0,
                left: None,
                support: Support::OURS,
                certificate: Vec::new(),
                gateway: hobnob_membership::Gateway::Yes,
            },
            records,
            seed: node_id.0,
            protocol: Protocol::default(),
            sealing,
        };
        let clock = Clock::fake();
        let locality = Locality::new("dc1", "");
        let (registry, writer) = Registry::new(node_id, locality, clock, 1);
        let (persist, persisted) = mpsc::channel(1);
        let joining = Joining::at(join, &[], "default");
        let node = Node::new(config, clock.now()).expect("legal records");
        let (driver, handle) =
            Driver::new(node, clock, network, own_checks, writer, persist, joining);
        Self { driver, handle, registry, persisted, addr, clock }
    }
}

/// A running driver.
pub(crate) struct TestDriver {
    pub(crate) handle: DriverHandle,
    pub(crate) registry: std::sync::Arc<Registry>,
    pub(crate) persisted: mpsc::Receiver<Persist>,
    pub(crate) task: JoinHandle<Ended>,
    pub(crate) addr: SocketAddr,
    pub(crate) clock: Clock,
}

impl TestDriver {
    /// A driver that is to join nobody.
    pub(crate) async fn start(node_id: u64) -> Self {
        Self::restored(node_id, Vec::new(), OwnChecks::default()).await
    }

    /// A driver with what an earlier life left.
    pub(crate) async fn restored(
        node_id: u64,
        records: Vec<(Key, Value)>,
        own_checks: OwnChecks,
    ) -> Self {
        Self::run(IdleDriver::restored(node_id, records, own_checks).await)
    }

    /// The driver of the `n`th node of a sealed cluster.
    pub(crate) async fn sealed(n: usize, sealing: Sealing) -> Self {
        let (key, node, cluster) = (sealed::node_key(n), sealed::node_id(n), sealing.cluster());
        let sealing = Some(Box::new(sealing));
        let checks = OwnChecks::default();
        Self::run(IdleDriver::with(node, &key, cluster, Vec::new(), checks, sealing, &[]).await)
    }

    /// A driver of a member of a sealed cluster that is to join nobody.
    pub(crate) async fn member(sealing: Sealing) -> Self {
        Self::run(IdleDriver::sealed(sealing, &[]).await)
    }

    fn run(idle: IdleDriver) -> Self {
        let IdleDriver { driver, handle, registry, persisted, addr, clock } = idle;
        Self { handle, registry, persisted, task: tokio::spawn(driver.run()), addr, clock }
    }

    /// The health of an instance, if there is one with this id. A look at one of many costs little.
    pub(crate) async fn health(&self, id: &'static str) -> Option<Health> {
        let read = move |node: &Node, _| {
            let records = node.catalog().origins().find_map(|(_, origin)| {
                let records = origin.current()?;
                records.get(&Key::Service(id.into())).map(|service| (records, service))
            });
            let (records, service) = records?;
            let Value::Service(service) = service else { panic!("{service:?} is no instance") };
            Some(match records.get(&Key::Health(id.into())) {
                _ if !service.checked => Health::Passing,
                Some(Value::Health(health)) => *health,
                None => Health::Unknown,
                Some(other) => panic!("{other:?} is no health"),
            })
        };
        self.handle.inspect(read).await.expect("it runs")
    }

    /// The number of instances.
    pub(crate) async fn instances(&self) -> usize {
        self.handle.inspect(|node, _| node.instances().count()).await.expect("it runs")
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
