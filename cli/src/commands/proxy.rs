//! `hobnob proxy`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use anyhow::Context;
use hobnob_agent::Problem;
use hobnob_api::client::default_client_socket_path;
use hobnob_proxy::{Proxy, ProxyConfig, RouteConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use crate::args::ProxyArgs;
use crate::config::{default_file, proxies, socket_of};
use crate::exit::Exit;
use crate::logging::{self, LogFormat};
use crate::output;
use crate::service_manager;
use crate::signals::{Hangup, StopSignals};

/// Names the configuration file, unless a service is named.
const CONFIG_VARIABLE: &str = "HOBNOB_CONFIG";

/// There is nothing that a proxy could offer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NothingToOffer {
    /// Neither a service nor a file is named, and the default file is not there.
    #[error(
        "no service is named: say what to offer, such as web=127.0.0.1:9001, or name a file with --config"
    )]
    NoService,
    /// The file has no tables.
    #[error("{} has no [[proxy]] table: add one, or say what to offer, such as web=127.0.0.1:9001", .0.display())]
    NoTable(PathBuf),
    /// An option of the command line is for the services of the command line, and there is none.
    #[error(
        "--{0} is for services that the command line names, and none is: name one, or write the key into its [[proxy]] table"
    )]
    Needless(&'static str),
    /// Something in the file, or an option, cannot be used.
    #[error("{0}")]
    Wrong(String),
}

/// Runs a proxy until a signal stops it. A further signal, a second or more after the first, ends it at once.
pub(super) async fn run(args: ProxyArgs, socket: Option<PathBuf>) -> anyhow::Result<Exit> {
    let routes = routes(&args, socket)?;
    let colours = output::colours_wanted(io::stderr().is_terminal());
    logging::to_stderr(LogFormat::Human, &args.log, colours)?;
    logging::exit_on_panic();
    let mut signals = StopSignals::new(Hangup::Stops)?;
    let limits = args.limits.limits(open_files());
    let access_log = args.access_log()?;
    let config = ProxyConfig { routes, limits, admin: args.admin, access_log };
    let proxy = Proxy::start(config).await.context("the proxy cannot start")?;
    for (service, endpoint) in proxy.endpoints() {
        info!(service, %endpoint, "offered");
    }
    if let Some(admin) = proxy.admin() {
        info!(%admin, "health and metrics");
    }
    service_manager::tell(vec!["READY=1".to_owned()]).await;
    let signal = signals.next().await;
    let connections = proxy.connections();
    info!(
        signal,
        connections, "draining; another signal, a second or more from now, stops at once"
    );
    service_manager::tell(vec!["STOPPING=1".to_owned(), "STATUS=draining".to_owned()]).await;
    tokio::select! {
        left = proxy.drain(args.drain_timeout) => match left {
            0 => info!("stopped"),
            left => warn!(connections = left, "stopped: the time to drain was over, and these connections were cut off"),
        },
        signal = signals.next() => {
            let connections = proxy.connections();
            warn!(signal, connections, "stopped at once");
        }
    }
    Ok(Exit::Done)
}

/// What is offered: by the command line, else by the file.
fn routes(args: &ProxyArgs, socket: Option<PathBuf>) -> Result<Vec<RouteConfig>, NothingToOffer> {
    if !args.offers.is_empty() {
        let socket = socket.unwrap_or_else(default_client_socket_path);
        return args.route.routes(&args.offers, &socket).map_err(NothingToOffer::Wrong);
    }
    if let Some(option) = args.route.given() {
        return Err(NothingToOffer::Needless(option));
    }
    let named =
        args.config.clone().or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
    let file = named.or_else(default_file).ok_or(NothingToOffer::NoService)?;
    let socket = socket.or_else(|| socket_of(&file)).unwrap_or_else(default_client_socket_path);
    let routes = proxies(&file, &socket).map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(Problem::to_string).collect();
        NothingToOffer::Wrong(lines.join("\n"))
    })?;
    if routes.is_empty() { Err(NothingToOffer::NoTable(file)) } else { Ok(routes) }
}

/// Raises the limit of open files as far as it may be. Returns it.
fn open_files() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}
