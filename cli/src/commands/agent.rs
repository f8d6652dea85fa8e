//! `hobnob agent`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use hobnob_agent::{Agent, AgentConfig, Reloader};
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::args::AgentArgs;
use crate::exit::Exit;
use crate::logging;
use crate::output;
use crate::service_manager;
use crate::signals::{Hangup, StopSignals};

/// Runs an agent until a signal or a `leave` stops it. A signal a second or more after the first stops it at once. When a
/// part of the agent fails, all of it ends: the error is told, and the supervisor of the process may start it again.
pub(super) async fn run(args: AgentArgs, socket: PathBuf) -> anyhow::Result<Exit> {
    let colours = output::colours_wanted(io::stderr().is_terminal());
    let log_filter = logging::to_stderr(args.log_format, &args.log, colours)?;
    logging::exit_on_panic();
    let mut signals = StopSignals::new(Hangup::Reloads)?;
    if args.stop_with_stdin {
        signals = signals.or_end_of_stdin()?;
    }
    let config = AgentConfig { log_filter: Some(log_filter), ..args.into_config(socket)? };
    let mut agent = tokio::select! {
        started = Agent::start(config) => started.context("the agent cannot start")?,
        signal = signals.next() => {
            info!(signal, "stopped before it was ready");
            return Ok(Exit::Done);
        }
    };
    let reloading = tokio::spawn(reload(agent.reloader(), signals.reloads()));
    let monitor = agent.monitor();
    service_manager::ready(&monitor).await;
    tokio::select! {
        stopped = agent.stopped() => {
            stopped.context("the agent ends, for its supervisor to start it again")?;
            info!("asked to leave, stopping");
            signals.expect_one();
        }
        signal = signals.next() => info!(signal, "stopping; another signal, a second or more from now, stops at once"),
        () = service_manager::keep_informed(&monitor) => {}
    }
    reloading.abort();
    drop(monitor);
    service_manager::stopping("leaving the cluster").await;
    tokio::select! {
        () = agent.shutdown() => {
            info!("stopped");
            Ok(Exit::Done)
        }
        signal = signals.next() => {
            warn!(signal, "stopped at once");
            Ok(Exit::Failed)
        }
    }
}

/// Reads the configuration again after each SIGHUP. The agent logs what comes of it.
async fn reload(reloader: Reloader, hangups: Arc<Notify>) {
    loop {
        hangups.notified().await;
        service_manager::reloading().await;
        // The error is that the agent is stopping.
        let Ok(reloaded) = reloader.reload("SIGHUP").await else { return };
        service_manager::reloaded(match reloaded.problems.len() {
            0 => "the configuration was read again",
            _ => "the configuration has problems, and nothing was changed: see the log",
        })
        .await;
    }
}
