//! `bench proxy`, and the servers that it starts.

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hobnob_simulations::bench::proxy::{
    ProxyBinaries, ProxyEffort, ProxyKind, ProxyPart, UpstreamSetting, measure, serve,
};
use humantime::parse_duration;
use hyper::StatusCode;

use crate::commands::CommandResult;
use crate::commands::output::{print, rows_table};
use crate::commands::processes::agent_binary;
use crate::commands::progress::Progress;

/// The arguments of `bench proxy`.
#[derive(Args)]
pub(crate) struct ProxyArguments {
    /// The binary of the agent and the proxy [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// The binary of Envoy [default: `envoy` on the PATH]
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Only these proxies: hobnob, haproxy, nginx, envoy.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    proxies: Vec<ProxyKind>,
    /// Only these parts: cost, idle, slow, failing, killed, deploy.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<ProxyPart>,
    /// Calls a second at which processor times are compared [default: half of the rate that all proxies bear]
    #[arg(long, value_name = "RATE")]
    rate: Option<u32>,
    /// Connections of the load generator at a fixed rate [default: one for each 25 calls a second, 200 at least]
    #[arg(long, value_name = "COUNT")]
    clients: Option<u32>,
    /// Rounds of each proxy when all are compared.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    rounds: usize,
    /// The duration of a round.
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = parse_duration)]
    lasts: Duration,
    /// Idle connections to each proxy.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    idle: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// The arguments of the servers behind the proxies.
#[derive(Args)]
pub(crate) struct UpstreamArguments {
    /// Servers.
    #[arg(long, default_value_t = 1)]
    count: usize,
    /// Time from a request to its answer.
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    delay: Duration,
    /// The status of each answer.
    #[arg(long, default_value = "200")]
    status: StatusCode,
}

pub(super) fn bench(arguments: &ProxyArguments) -> anyhow::Result<CommandResult> {
    if arguments.rounds == 0 || arguments.clients == Some(0) || arguments.rate == Some(0) {
        bail!("--rounds, --clients and --rate must be at least 1");
    }
    if arguments.lasts.is_zero() || arguments.idle == 0 {
        bail!("--lasts must be longer than zero, and --idle at least 1");
    }
    let binaries = ProxyBinaries {
        hobnob: agent_binary(arguments.hobnob.as_deref())?,
        program: env::current_exe()
            .context("this binary cannot be found, which is also the servers behind the proxies")?,
        envoy: arguments.envoy.clone(),
    };
    let effort = ProxyEffort {
        proxies: match arguments.proxies.is_empty() {
            true => ProxyKind::ALL.to_vec(),
            false => arguments.proxies.clone(),
        },
        parts: match arguments.only.is_empty() {
            true => ProxyPart::ALL.to_vec(),
            false => arguments.only.clone(),
        },
        rate: arguments.rate,
        clients: arguments.clients,
        rounds: arguments.rounds,
        lasts: arguments.lasts,
        idle: arguments.idle,
    };
    let mut progress = Progress::new();
    let rows = measure(&binaries, &effort, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("proxies", &rows)))?;
    }
    Ok(CommandResult::Green)
}

pub(super) fn upstream(arguments: &UpstreamArguments) -> anyhow::Result<CommandResult> {
    let &UpstreamArguments { count, delay, status } = arguments;
    let mut stdout = std::io::stdout();
    let served = serve(UpstreamSetting { count, delay, status }, |address| {
        // Without a reader nobody uses the servers; they end with their starter.
        let _ = writeln!(stdout, "{address}").and_then(|()| stdout.flush());
    });
    served.context("cannot serve on loopback")?;
    Ok(CommandResult::Green)
}
