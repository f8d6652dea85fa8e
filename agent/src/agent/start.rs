//! The steps of a start: look up, validate, open, bind, restore, spawn. Each takes what the one before made.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use hobnob_api::address::GossipAddress;
use hobnob_api::{EventKind, Reloaded};
use hobnob_membership::record::{NodeRecord, Support};
use hobnob_membership::{ClusterId, Config, Epoch, Identity, Node, Protocol, Sealing};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64;

use super::reminder::remind;
use super::task::Task;
use super::{Agent, StartError};
use crate::budget::{Budget, MAX_CLIENT_BYTES};
use crate::checks::{ListenerWatch, Prober};
use crate::clock::{Clock, wall_clock_ms};
use crate::config::{Addresses, AgentConfig, ConfigError, FoundAddress, ThisHost, ValidConfig};
use crate::consistency::VoterWriter;
use crate::definitions::Definitions;
use crate::descriptors;
use crate::doors::dns::DnsDoor;
use crate::doors::http::{Access, HttpCounters, HttpDoor, Listening};
use crate::doors::threads::DoorThreads;
use crate::doors::unix::handler::Handler;
use crate::doors::unix::permissions::Permissions;
use crate::doors::unix::server::Socket;
use crate::doors::unix::sockets::Sockets;
use crate::driver::{Driver, Entering, Joining};
use crate::elsewhere::{Answering, MAX_WAITING_REQUESTS};
use crate::history::{By, Event, History, Keeper};
use crate::info::AgentInfo;
use crate::log_filter::LogLevels;
use crate::metrics::CallMetrics;
use crate::progress::Progress;
use crate::registrations::{self, Registrar, Restored};
use crate::reloading::{self, Reloading};
use crate::security::{self, Entered, Secrets, SecurityError};
use crate::seeding;
use crate::services::{Locality, Registry};
use crate::storage::{self, DataDir, FoundVoter, LockedDir};
use crate::transport::{HoldSettings, Network};

/// Requests of the driver that wait for the disk; further ones are dropped and counted.
const MAX_WAITING_PERSISTS: usize = 256;

/// An agent with its data directory.
struct Opened {
    config: ValidConfig,
    data_dir: DataDir,
    cluster: String,
    node: NodeRecord,
    secrets: Secrets,
    history: History,
    keeper: Keeper,
    /// The ids of the instances that files added or changed just now.
    defined: BTreeSet<String>,
    /// What was wrong with the files of definitions.
    file_problems: Vec<String>,
}

/// An agent with its sockets.
struct Bound {
    opened: Opened,
    doors: DoorThreads,
    socket: Socket,
    query_socket: Option<Socket>,
    http: Option<Http>,
    dns: Option<DnsDoor>,
    progress: Progress,
    network: Network,
    info: AgentInfo,
}

/// The HTTP door, which answers while the agent starts.
struct Http {
    addr: SocketAddr,
    counters: Arc<HttpCounters>,
    handler: Arc<OnceLock<Arc<Handler>>>,
    server: Task<()>,
}

/// An agent with the registrations of its earlier life, and the epoch of this one.
struct Ready {
    bound: Bound,
    restored: Restored,
    voter: Result<(VoterWriter, FoundVoter), String>,
    epoch: Epoch,
}

/// Starts an agent. See [`Agent::start`].
pub(super) async fn start(config: AgentConfig) -> Result<Agent, StartError> {
    config.check_names()?;
    let addresses = Addresses::find(&config, &ThisHost).await?;
    let is_member = storage::holds_membership(&config.data_dir);
    let config = config.validate(&addresses, is_member)?;
    // Before anything is opened, so that nothing runs into the lower limit.
    descriptors::shares();
    let opened = open_aside(config).await?;
    let bound = bind(opened).await?;
    restore(bound).await?.spawn()
}

/// Opens on a thread that may wait, for a disk or for the command whose output is the token, so that a signal still ends the start.
async fn open_aside(config: ValidConfig) -> Result<Opened, StartError> {
    let span = tracing::dispatcher::get_default(Clone::clone);
    let opening = move || tracing::dispatcher::with_default(&span, || open(config));
    match tokio::task::spawn_blocking(opening).await {
        Ok(opened) => opened,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down ends it before it began.
            Err(_) => std::future::pending().await,
        },
    }
}

fn open(mut config: ValidConfig) -> Result<Opened, StartError> {
    let dir = LockedDir::open(&config.data_dir).map_err(SecurityError::from)?;
    let now_ms = wall_clock_ms();
    let Entered { mut data_dir, name, cluster, datacenter, sealed } =
        security::enter(dir, &config, now_ms)?;
    if let Some((sealed, _)) = &sealed {
        add_seeds(&mut config.join, &sealed.seeds);
    } else if config.is_open() && !config.insecure {
        // The membership was there a moment ago.
        let bind = FoundAddress { name: None, addr: config.bind };
        return Err(ConfigError::NotLoopback(bind).into());
    }
    let node = NodeRecord {
        name: name.as_str().into(),
        datacenter: datacenter.as_str().into(),
        zone: config.zone.as_str().into(),
        software: env!("CARGO_PKG_VERSION").into(),
        // The key itself stays here; its hash tells two agents on one node id apart.
        instance_key_hash: xxh3_64(&data_dir.instance_key().to_le_bytes()),
        left: None,
        support: Support::OURS,
        certificate: Vec::new(),
        gateway: config.gateway,
    };
    node.validate()?;
    let secrets = Secrets::of(sealed, now_ms)?;
    let (history, keeper) = History::open(data_dir.history());
    record_start(&history, &keeper);
    let (dir, script_checks) = (config.config_dir.as_deref(), config.script_checks);
    let (defined, file_problems) = define(&mut data_dir, &history, dir, script_checks);
    Ok(Opened { config, data_dir, cluster, node, secrets, history, keeper, defined, file_problems })
}

/// Makes the instances of files those that the directory defines now. With a problem in one of them, those of the earlier life
/// stay: the host is not to lose all of its services because of one. Returns the ids of those that are new or changed, and the problems.
fn define(
    data_dir: &mut DataDir,
    history: &History,
    dir: Option<&Path>,
    script_checks: bool,
) -> (BTreeSet<String>, Vec<String>) {
    let read = |dir| Definitions::read(dir, script_checks);
    let read = dir.map_or_else(|| Ok(Definitions::default()), read);
    let reloaded = match read {
        Ok(Definitions { definitions, warnings, .. }) => {
            let defined = registrations::define_at_start(data_dir, &definitions);
            let warnings = warnings.iter().map(ToString::to_string).collect();
            Reloaded { warnings, ..defined }
        }
        Err(problems) => {
            let problems = problems.iter().map(ToString::to_string).collect();
            Reloaded { problems, ..Reloaded::default() }
        }
    };
    reloading::tell("the start", &reloaded, false);
    for (kind, ids) in [
        (EventKind::Registered, &reloaded.added),
        (EventKind::Changed, &reloaded.changed),
        (EventKind::Deregistered, &reloaded.removed),
    ] {
        for id in ids {
            let registration = data_dir.registration(id);
            let file = registration.and_then(|of| of.source.as_deref()).unwrap_or_default();
            let event = Event::new(kind, By::file(file)).instance(id);
            let service = registration.map(|of| of.service.as_str());
            history.record(event.service(service).why("read at the start"));
        }
    }
    if let Some(problem) = reloaded.problems.first() {
        history.record(Event::new(EventKind::ReloadFailed, By::agent()).why(problem));
    }
    let Reloaded { added, changed, problems, .. } = reloaded;
    (added.into_iter().chain(changed).collect(), problems)
}

/// Records the start, and how the life before it ended.
fn record_start(history: &History, keeper: &Keeper) {
    let version = env!("CARGO_PKG_VERSION");
    let event = Event::new(EventKind::AgentStarted, By::agent()).to(version);
    let last = keeper.newest().map(|event| EventKind::of_word(&event.what));
    history.record(match last {
        None | Some(EventKind::AgentStopped) => event,
        Some(_) => {
            event.why("the agent ended before without a stop: a crash, a kill or a power loss")
        }
    });
}

/// Adds the members to join at that a token named.
fn add_seeds(join: &mut Vec<String>, seeds: &[String]) {
    for seed in seeds {
        match seed.parse::<GossipAddress>() {
            Ok(_) if join.contains(seed) => {}
            Ok(_) => join.push(seed.clone()),
            Err(error) => tracing::warn!(%error, "a seed of the token is left out"),
        }
    }
}

async fn bind(opened: Opened) -> Result<Bound, StartError> {
    let config = &opened.config;
    let doors = DoorThreads::start().map_err(StartError::Threads)?;
    let (socket, query_socket) = open_sockets(config).await?;
    let progress = Progress::default();
    let http = open_http(config, &doors, &progress).await?;
    let dns = open_dns(config, &doors)?;
    let settings = HoldSettings {
        cluster: opened.secrets.cluster(&opened.cluster),
        node_id: opened.data_dir.node_id(),
        places: descriptors::shares().held,
        is_sealed: opened.secrets.sealing.is_some(),
        sync_port: config.advertise_sync_port,
    };
    let network =
        Network::bind(config.bind, config.sync_bind, settings, &opened.secrets.key).await?;
    let (gossip, sync) = (network.gossip_addr(), network.sync_addr());
    let gossip_port = config.advertise_port.unwrap_or(gossip.port());
    let sync_port = config.advertise_sync_port.unwrap_or(sync.port());
    if gossip_port != gossip.port()
        && config.advertise_sync_port.is_none()
        && config.sync_bind.port() == 0
    {
        tracing::warn!(
            port = sync_port,
            "gossip is advertised at another port than the bound one, and sync streams at a random port: forward a fixed port too, and name it with --sync-bind and --advertise-sync-port, or others cannot open streams to this agent"
        );
    }
    let info = AgentInfo {
        name: opened.node.name.to_string(),
        cluster: opened.cluster.clone(),
        node_id: opened.data_dir.node_id(),
        datacenter: opened.node.datacenter.to_string(),
        zone: config.zone.clone(),
        gossip_addr: (config.advertise, gossip_port).into(),
        gossip_bound: gossip,
        sync_addr: (config.advertise, sync_port).into(),
        sync_bound: sync,
        sealed: opened.secrets.info.clone(),
    };
    Ok(Bound { opened, doors, socket, query_socket, http, dns, progress, network, info })
}

/// Opens the HTTP door, if one is wished.
async fn open_http(
    config: &ValidConfig,
    doors: &DoorThreads,
    progress: &Progress,
) -> Result<Option<Http>, StartError> {
    let Some(addr) = config.http else { return Ok(None) };
    let access = Access::new(&config.data_dir, config.http_open_writes);
    let (tls, has_open_metrics) = (config.http_tls.clone(), config.insecure_http);
    let listening = Listening { addr, tls, has_open_metrics };
    let door = HttpDoor::bind(listening, access, progress.clone()).await?;
    let (addr, counters, handler) = (door.addr(), door.counters(), door.handler());
    if !addr.ip().is_loopback() && config.insecure_http {
        tracing::warn!(http = %addr, "metrics are answered over HTTP beyond this host, to anybody who reaches that address");
    }
    let server = Task::spawn_on(doors.handle(), "HTTP door", door.serve());
    Ok(Some(Http { addr, counters, handler, server }))
}

/// Opens the DNS door, if one is wished. It answers once the agent is ready.
fn open_dns(config: &ValidConfig, doors: &DoorThreads) -> Result<Option<DnsDoor>, StartError> {
    let Some(config) = config.dns.clone() else { return Ok(None) };
    // The sockets belong to the threads that will answer.
    let _entered = doors.handle().enter();
    let door = DnsDoor::bind(config)?;
    let addr = door.addr();
    if !addr.ip().is_loopback() {
        tracing::warn!(dns = %addr, "DNS is answered beyond this host, to anybody who reaches that address");
    }
    Ok(Some(door))
}

/// Opens the full socket and, if one is wished, the query socket.
async fn open_sockets(config: &ValidConfig) -> Result<(Socket, Option<Socket>), StartError> {
    let permissions = Permissions::full(config.write_group.as_deref()).await?;
    let socket = Socket::bind(&config.socket, permissions).await?;
    let Some(path) = &config.query_socket else { return Ok((socket, None)) };
    let permissions = Permissions::query(config.query_socket_mode);
    let query = socket.bind_another(path, permissions).await.map_err(StartError::QuerySocket)?;
    Ok((socket, Some(query)))
}

async fn restore(mut bound: Bound) -> Result<Ready, StartError> {
    let Opened { config, data_dir, secrets, defined, .. } = &mut bound.opened;
    let (address, sealing) = (config.advertise.to_string(), secrets.sealing.as_deref());
    let prober = Prober { neighbours: None, script_checks: config.script_checks };
    let restored = registrations::restore(data_dir, &address, sealing, &prober).await;
    let restored = restored.defining(std::mem::take(defined));
    // Before the epoch, whose file tells whether this is the first start.
    let voter = VoterWriter::open(data_dir);
    let epoch = data_dir.mint_epoch(wall_clock_ms(), rand::random())?;
    Ok(Ready { bound, restored, voter, epoch })
}

impl Ready {
    fn spawn(self) -> Result<Agent, StartError> {
        let Self { bound, restored, voter, epoch } = self;
        let Bound { opened, doors, socket, query_socket, http, dns, progress, network, info } =
            bound;
        let is_open_and_clear = opened.secrets.sealing.is_none() && opened.config.is_open();
        let Opened { config, data_dir, node, secrets, history, keeper, file_problems, .. } = opened;
        let Secrets { sealing, founder, operator, .. } = secrets;
        let is_sealed = sealing.is_some();
        let clock = Clock::start();
        let mut config_of_node = node_config(&info, node, epoch, &restored, sealing);
        config_of_node.protocol = config.protocol;
        let node = Node::new(config_of_node, clock.now()).map_err(StartError::Registrations)?;
        let locality = Locality::new(&info.datacenter, &info.zone);
        // A revision for each microsecond: no life of this agent reaches the revisions of the next. Epochs grow from life to life
        // even when the clock of the host was set back, but then the next life may begin only a thousand revisions later.
        let first_revision = epoch.0.saturating_mul(1_000);
        let (registry, writer) = Registry::new(info.node_id, locality, clock, first_revision);
        let former_peers = data_dir.peers();
        let joining = Joining::at(&config.join, &former_peers.members, &info.cluster);
        let (persist, persisted) = mpsc::channel(MAX_WAITING_PERSISTS);
        let own_checks = restored.own_checks();
        let (driving, driver) =
            Driver::new(node, clock, network, own_checks, writer, persist, joining);
        let (asked, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
        let driving = driving.remembering(former_peers.clone()).handing_requests_to(asked);
        let driving = driving.showing(progress.clone()).recording(history.clone()).voting(voter);
        let driving = if is_sealed { driving.entering(Entering::sealed(founder)) } else { driving };
        let default_address = config.advertise.to_string();
        let listeners = ListenerWatch::new(config.listener_watch);
        let (registrar, registrations) = Registrar::new(
            data_dir,
            default_address,
            registry.clone(),
            driver.clone(),
            restored,
            listeners,
            Prober { neighbours: None, script_checks: config.script_checks },
        );
        registrations.set_file_problems(&file_problems);
        let settings = info.with_found(config.started_with.settings.clone());
        let (reloading, reloader) = Reloading::new(
            config.config_dir,
            config.script_checks,
            config.started_with,
            registrations.clone(),
            history.clone(),
        );
        let answering = Answering { driver: driver.clone(), registrations: registrations.clone() };
        let around = |wan| seeding::Live {
            info: info.clone(),
            registry: registry.clone(),
            driver: driver.clone(),
            wan,
        };
        let registrar = registrar.showing(progress.clone()).recording(history.clone());
        let join = config.join.join(",");
        let members = seeding::seed(config.join, former_peers.members, around(false));
        let elsewhere = seeding::seed(config.join_wan, former_peers.elsewhere, around(true));
        let (leave_tx, leave) = mpsc::channel(1);
        let budget = Budget::new(MAX_CLIENT_BYTES);
        let sockets = Sockets::new(socket, query_socket, &budget);
        let socket = sockets.full_path().to_owned();
        let query_socket = sockets.query_path().map(Path::to_owned);
        let handler = Handler {
            info: info.clone(),
            clock,
            registry: registry.clone(),
            driver: driver.clone(),
            registrations,
            reloader: reloader.clone(),
            settings,
            leave: leave_tx,
            credential: operator,
            doors: sockets.doors(),
            budget,
            http: http.as_ref().map(|http| http.counters.clone()),
            dns: dns.as_ref().map(DnsDoor::counters),
            calls: CallMetrics::default(),
            progress: progress.clone(),
            log: LogLevels::new(config.log_filter),
            history: history.clone(),
        };
        let handler = Arc::new(handler);
        progress.beat_doors();
        if let Some(http) = &http {
            // Nobody else sets it.
            let _ = http.handler.set(handler.clone());
        }
        let dns_addr = dns.as_ref().map(DnsDoor::addr);
        let dns = dns.map(|door| {
            let serving = door.serve(registry.clone(), info.clone());
            Task::spawn_on(doors.handle(), "DNS door", serving)
        });
        tracing::info!(version = env!("CARGO_PKG_VERSION"), name = info.name, cluster = info.cluster, node_id = %info.node_id, %epoch, gossip = %info.gossip_addr,
            sync = %info.sync_addr, socket = %socket.display(),
            query_socket = query_socket.as_deref().map(|path| tracing::field::display(path.display())),
            http = http.as_ref().map(|http| tracing::field::display(http.addr)),
            dns = dns_addr.map(tracing::field::display),
            data_dir = %config.data_dir.display(), join,
            "the agent is ready");
        Ok(Agent {
            driving: Task::spawn("driver", driving.run()),
            registrar: Task::spawn("registrar", registrar.run(persisted)),
            reloading: Task::spawn("reloading", reloading.run()),
            reloader,
            keeping: Task::spawn("history", keeper.run()),
            history,
            seeding: Task::spawn("joining", async {
                tokio::join!(members, elsewhere);
            }),
            answering: Task::spawn("requests of other agents", answering.run(requests)),
            timing: Task::spawn_on(
                doors.handle(),
                "clock of the balancers",
                registry.clone().advance(),
            ),
            server: Task::spawn_on(doors.handle(), "unix socket", sockets.serve(handler)),
            http: http.map(|http| (http.addr, http.server)),
            dns,
            doors,
            progress,
            registry,
            info,
            socket,
            query_socket,
            keep_on_exit: config.keep_on_exit,
            driver,
            leave,
            reminding: Task::spawn("reminder of --insecure", remind(is_open_and_clear)),
        })
    }
}

fn node_config(
    info: &AgentInfo,
    node: NodeRecord,
    epoch: Epoch,
    restored: &Restored,
    sealing: Option<Box<Sealing>>,
) -> Config {
    Config {
        cluster: ClusterId::named(&info.cluster),
        identity: Identity {
            node_id: info.node_id,
            epoch,
            addr: info.gossip_addr,
            sync_port: info.sync_addr.port(),
        },
        node,
        records: restored.records.clone(),
        seed: rand::random(),
        protocol: Protocol::default(),
        sealing,
    }
}
