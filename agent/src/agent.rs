//! A running agent: everything started in order, and stopped in the opposite one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::catalog::Catalog;
use hobnob_membership::record::{NodeRecord, RecordError};
use hobnob_membership::{ClusterId, Config, Identity, Node, Protocol};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::{Clock, wall_clock_ms};
use crate::config::AgentConfig;
use crate::doors::unix::handler::Handler;
use crate::doors::unix::server::Socket;
use crate::doors::unix::server::SocketError;
use crate::driver::{Driver, DriverHandle, Ended, State};
use crate::info::AgentInfo;
use crate::registrations::{self, Registrar};
use crate::seeding;
use crate::services::{Locality, Registry};
use crate::storage::{DataDir, OpenError, WriteError};
use crate::transport::{
    CertificateError, NodeCertificate, Quic, QuicError, TcpProbes, bind_gossip,
};
use hobnob_api::address::{self, JoinAddressError};
use hobnob_api::names::{self, NameError};

/// Commands, requests and stream events that wait for their task; who has more waits.
const QUEUE: usize = 256;
/// A node that leaves needs some 300 ms to tell everybody; it is not waited for longer than this.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Why an agent could not be started. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The traffic would be open to everybody.
    #[error(
        "refusing to listen on {0}: gossip and sync are neither sealed nor authenticated yet, so anybody who reaches \
         that address could read and forge the catalog. Bind to a loopback address, or pass --insecure if you trust \
         everybody on that network"
    )]
    NotLoopback(SocketAddr),
    /// Others would not reach the sync streams.
    #[error(
        "sync streams on {sync} cannot be reached at the advertised address {advertised}: give --sync-bind the IP \
         address of --bind, or 0.0.0.0 or [::]"
    )]
    SyncElsewhere {
        /// Where the streams would be taken.
        sync: SocketAddr,
        /// Where others would look for them.
        advertised: IpAddr,
    },
    /// Others would send to an address that loopback does not answer for.
    #[error(
        "{advertised} cannot reach an agent that listens on {bind}, which is loopback: bind to {advertised}, or to 0.0.0.0"
    )]
    AdvertisedElsewhere {
        /// Where gossip would be taken.
        bind: SocketAddr,
        /// Where others would send it.
        advertised: IpAddr,
    },
    /// Others would not know where to send.
    #[error(
        "{0} is no address that others could send to: name this host's own address with --advertise"
    )]
    NothingToAdvertise(SocketAddr),
    /// Something cannot be called so.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The agent's description of itself breaks a rule.
    #[error("the agent's {0}")]
    Node(#[from] RecordError),
    /// What the data directory holds is more than one agent may register.
    #[error("the registrations in the data directory cannot all be taken back: {0}")]
    Registrations(hobnob_membership::catalog::WriteError),
    /// An address to join at is none.
    #[error(transparent)]
    Join(#[from] JoinAddressError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] OpenError),
    /// The data directory cannot be written.
    #[error(transparent)]
    Storage(#[from] WriteError),
    /// The gossip socket cannot be opened.
    #[error("cannot take gossip at {addr} (UDP): {source}; {}", advice(source))]
    Gossip {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The sync endpoint cannot be opened.
    #[error(transparent)]
    Sync(#[from] QuicError),
    /// The certificate of the sync endpoint cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The unix socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl StartError {
    /// Whether what was asked for can never work, as opposed to what went wrong this time.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotLoopback(_)
                | Self::SyncElsewhere { .. }
                | Self::AdvertisedElsewhere { .. }
                | Self::NothingToAdvertise(_)
                | Self::Name(_)
                | Self::Node(_)
                | Self::Join(JoinAddressError::Malformed(_))
                | Self::Socket(SocketError::PathTooLong { .. })
        )
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "is another agent running? choose another port with --bind",
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this host has that address: choose another with --bind"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privileges: choose another port with --bind"
        }
        _ => "choose another address with --bind",
    }
}

/// A running agent. Dropping it stops it at once, as a crash would; [`Agent::shutdown`] leaves the cluster first.
pub struct Agent {
    info: AgentInfo,
    socket: PathBuf,
    keep_on_exit: bool,
    driver: DriverHandle,
    driving: Task<Ended>,
    server: Task<()>,
    registrar: Task<()>,
    seeding: Task<()>,
    timing: Task<()>,
    leave: mpsc::Receiver<()>,
}

impl Agent {
    /// Starts an agent. When this returns, its sockets are bound, its registrations restored and its API answers.
    ///
    /// # Errors
    /// When a part of the configuration is wrong or in use; see [`StartError`].
    pub async fn start(config: AgentConfig) -> Result<Self, StartError> {
        let sync_bind = config.sync_bind.unwrap_or(SocketAddr::new(config.bind.ip(), 0));
        for addr in [config.bind, sync_bind] {
            if !addr.ip().is_loopback() && !config.insecure {
                return Err(StartError::NotLoopback(addr));
            }
        }
        let advertise = advertised(&config)?;
        let reachable = |bound: IpAddr| {
            let same_family = bound.is_ipv4() == advertise.is_ipv4();
            same_family
                && (bound.is_unspecified() || bound == config.bind.ip() || bound == advertise)
        };
        if !reachable(sync_bind.ip()) {
            return Err(StartError::SyncElsewhere { sync: sync_bind, advertised: advertise });
        }
        if advertise != config.bind.ip() && config.bind.ip().is_loopback() {
            return Err(StartError::AdvertisedElsewhere {
                bind: config.bind,
                advertised: advertise,
            });
        }
        config.join.iter().try_for_each(|address| address::parse(address).map(drop))?;

        names::check("name of the agent", &config.name)?;
        names::check("cluster", &config.cluster)?;
        names::check("datacenter", &config.datacenter)?;
        if !config.zone.is_empty() {
            names::check("zone", &config.zone)?;
        }
        let mut data_dir = DataDir::open(&config.data_dir, &config.cluster)?;
        if let Some(torn) = data_dir.torn_tail() {
            tracing::warn!(
                path = %torn.path.display(),
                line = torn.line,
                bytes = torn.bytes,
                "the last write before the end of the earlier agent was not complete; it is dropped"
            );
        }
        let node = NodeRecord {
            name: config.name.as_str().into(),
            datacenter: config.datacenter.as_str().into(),
            zone: config.zone.as_str().into(),
            software: env!("CARGO_PKG_VERSION").into(),
            instance_key_hash: instance_key_hash(data_dir.instance_key()),
            left: None,
        };
        node.validate()?;
        let socket = Socket::bind(&config.socket).await?;
        let bound = bind_gossip(config.bind).await;
        let (udp, listener) =
            bound.map_err(|source| StartError::Gossip { addr: config.bind, source })?;
        let gossip =
            udp.local_addr().map_err(|source| StartError::Gossip { addr: config.bind, source })?;
        let (answered, tcp_probe_answered) = mpsc::channel(QUEUE);
        let tcp_probes = TcpProbes::start(listener, answered);
        let (stream_tx, stream_events) = mpsc::channel(QUEUE);
        let quic = Quic::bind(sync_bind, &NodeCertificate::self_signed()?, stream_tx)?;
        let info = AgentInfo {
            name: config.name,
            cluster: config.cluster,
            node_id: data_dir.node_id(),
            datacenter: config.datacenter,
            zone: config.zone,
            gossip_addr: SocketAddr::new(advertise, gossip.port()),
            gossip_bound: gossip,
            sync_addr: SocketAddr::new(advertise, quic.local_addr().port()),
        };

        let default_address = advertise.to_string();
        let restored = registrations::restore(&data_dir, &default_address).await;
        let epoch = data_dir.mint_epoch(wall_clock_ms(), rand::random())?;
        let identity = Identity {
            node_id: info.node_id,
            epoch,
            addr: info.gossip_addr,
            sync_port: info.sync_addr.port(),
        };
        // The node would refuse all of a step of which one record breaks a rule.
        let records =
            restored.records.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        Catalog::new(info.node_id, epoch)
            .check(&records.collect::<Vec<_>>())
            .map_err(StartError::Registrations)?;
        let clock = Clock::start();
        let locality = Locality { datacenter: info.datacenter.clone(), zone: info.zone.clone() };
        // Microseconds, so that no life of this agent ever reaches the revisions of the next.
        let (registry, mut writer) =
            Registry::new(info.node_id, locality, clock, wall_clock_ms().saturating_mul(1_000));
        let former_peers = data_dir.peers();
        // Who expects company and has none yet may be the one that is cut off.
        writer.set_isolated(!config.join.is_empty() || !former_peers.is_empty());
        let config_of_node = Config {
            cluster: ClusterId::named(&info.cluster),
            identity,
            node,
            records: restored.records.clone(),
            seed: rand::random(),
            protocol: Protocol::default(),
        };

        let (driver, commands) = DriverHandle::channel();
        let (persist, persisted) = mpsc::channel(QUEUE);
        let (leave_tx, leave) = mpsc::channel(1);
        let mut driving = Driver {
            node: Node::new(config_of_node, clock.now()),
            clock,
            udp,
            quic,
            stream_events,
            tcp_probes,
            tcp_probe_answered,
            commands,
            writer,
            persist,
            state: State::expecting(&config.join, &former_peers, &info.cluster),
        };
        // The first answer has what the data directory held.
        driving.drain();
        let driving = Task::spawn(driving.run());
        let (registrar, registrations) =
            Registrar::new(data_dir, default_address, registry.clone(), driver.clone(), restored);
        let registrar = Task::spawn(registrar.run(persisted));
        let mut seeds = config.join;
        seeds.extend(former_peers.iter().map(ToString::to_string));
        let seeding = Task::spawn(seeding::seed(seeds, info.clone(), driver.clone()));
        let timing = Task::spawn(registry.clone().advance());
        let path = socket.path().to_owned();
        let handler = Handler {
            info: info.clone(),
            clock,
            registry,
            driver: driver.clone(),
            registrations,
            leave: leave_tx,
            counters: Default::default(),
        };
        let server = Task::spawn(socket.serve(Arc::new(handler)));
        tracing::info!(name = info.name, cluster = info.cluster, node_id = %info.node_id, %epoch, gossip = %info.gossip_addr,
            sync = %info.sync_addr, socket = %path.display(), "the agent is ready");
        let keep_on_exit = config.keep_on_exit;
        Ok(Self {
            timing,
            info,
            socket: path,
            keep_on_exit,
            driver,
            driving,
            server,
            registrar,
            seeding,
            leave,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.info.name
    }

    /// Where it takes gossip.
    #[must_use]
    pub fn gossip_addr(&self) -> SocketAddr {
        self.info.gossip_addr
    }

    /// Where it takes sync streams.
    #[must_use]
    pub fn sync_addr(&self) -> SocketAddr {
        self.info.sync_addr
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Resolves when the agent should stop because a client asked it to leave. [`Agent::shutdown`] does the rest.
    pub async fn stopped(&mut self) {
        // The handler holds the other end for as long as the server runs.
        if self.leave.recv().await.is_some() {
            self.keep_on_exit = false;
        }
    }

    /// Stops the agent: leaves the cluster unless it was told to keep its records there, and removes its socket.
    pub async fn shutdown(self) {
        let Self { keep_on_exit, driver, driving, server, registrar, seeding, timing, .. } = self;
        timing.stop().await;
        seeding.stop().await;
        if keep_on_exit {
            driving.stop().await;
        } else {
            // Fails only when the driver has ended already.
            let _ = driver.leave().await;
            if !driving.ends_within(LEAVE_WITHIN).await {
                tracing::warn!("the cluster could not be told in time that this agent leaves");
            }
        }
        server.stop().await;
        if !registrar.ends_within(LEAVE_WITHIN).await {
            tracing::warn!("the data directory did not come to rest in time");
        }
    }
}

fn advertised(config: &AgentConfig) -> Result<IpAddr, StartError> {
    let ip = config.advertise.unwrap_or(config.bind.ip());
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(StartError::NothingToAdvertise(SocketAddr::new(ip, config.bind.port())));
    }
    Ok(ip)
}

/// The key itself stays here; its hash tells two agents on one node id apart.
fn instance_key_hash(key: u128) -> u64 {
    xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes())
}

/// A task that does not outlive its handle.
struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    fn spawn(task: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Ends the task and waits until it is gone, with everything that it held.
    async fn stop(mut self) {
        self.0.abort();
        // Cancelled is what it should be.
        let _ = (&mut self.0).await;
    }

    /// Whether the task ends by itself in time; if not, it is ended.
    async fn ends_within(mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, &mut self.0).await.is_ok()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
