//! `bench socket`.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use hobnob_simulations::bench::socket::{EchoSetting, SocketEffort, measure, serve_echo};
use humantime::parse_duration;

use super::CommandResult;
use super::output::{print, rows_table};
use super::processes::agent_binary;
use super::progress::Progress;

/// The arguments of `bench socket`.
#[derive(Args)]
pub(crate) struct SocketArguments {
    /// The binary of the agent [default: `hobnob` beside this one]
    #[arg(long, value_name = "PATH")]
    hobnob: Option<PathBuf>,
    /// Rounds of the agent and of the echo in turn: 500 calls one at a time, or 10,000 pipelined.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// The duration of each measurement under load.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    load: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// The arguments of the echo.
#[derive(Args)]
pub(crate) struct EchoArguments {
    /// The socket at which it listens.
    #[arg(long)]
    socket: PathBuf,
    /// Bytes of a request.
    #[arg(long)]
    request_bytes: usize,
    /// The file that holds an answer.
    #[arg(long)]
    reply: PathBuf,
    /// Answers all requests of a read by one write.
    #[arg(long)]
    batching: bool,
}

pub(super) fn bench(arguments: &SocketArguments) -> anyhow::Result<CommandResult> {
    if arguments.rounds == 0 || arguments.load < Duration::from_secs(1) {
        bail!("--rounds must be at least 1, and --load at least 1s");
    }
    let hobnob = agent_binary(arguments.hobnob.as_deref())?;
    let echo = env::current_exe().context("this binary cannot be found, which is also the echo")?;
    let effort = SocketEffort { rounds: arguments.rounds, load: arguments.load };
    let mut progress = Progress::new();
    let rows = measure(&hobnob, &echo, effort, |what| progress.tell(|| what.to_owned()));
    progress.done();
    let rows = rows?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&format!("{}\n", rows_table("the unix socket", &rows)))?;
    }
    Ok(CommandResult::Green)
}

pub(super) fn echo(arguments: &EchoArguments) -> anyhow::Result<CommandResult> {
    if arguments.request_bytes == 0 {
        bail!("--request-bytes must be at least 1");
    }
    let EchoArguments { socket, request_bytes, reply, batching } = arguments;
    let setting = EchoSetting { request_bytes: *request_bytes, batching: *batching };
    serve_echo(socket, setting, reply)?;
    Ok(CommandResult::Green)
}
