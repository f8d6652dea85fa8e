//! The commands.

mod access_key;
mod agent;
mod call;
mod catalog;
mod cluster;
mod configuration;
mod explain;
mod history;
mod keys;
mod log_level;
mod pick;
mod proxy;
mod register;
mod upkeep;
mod voters;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use hobnob_api::Response;
use hobnob_api::client::Client;
use tokio::runtime;

use crate::advice::Given;
use crate::args::{Cli, Command, DevArgs, DevPart};
use crate::dev;
use crate::doctor;
use crate::exit::Exit;
use crate::output;
use crate::template;
use crate::texts;
use crate::top;

pub(crate) use configuration::settings_here;
pub(crate) use keys::{KeysError, found};
pub(crate) use proxy::NothingToOffer;

/// Runs a command. Returns its exit code.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Exit> {
    let (socket, within) = (cli.socket(), cli.answer_timeout());
    let given_socket = cli.given_socket();
    output::choose(cli.color);
    match cli.command {
        Command::AccessKey(args) => return access_key::run(&args),
        Command::Init(args) => return keys::init(&args),
        Command::Token(args) => return keys::token(&args),
        Command::Validate(args) => return configuration::validate(&args),
        Command::Completions(args) => return texts::completions(&args),
        Command::Man(args) => return texts::man(&args),
        Command::Metrics => return texts::metrics(),
        _ => {}
    }
    let mut builder = match &cli.command {
        Command::Agent(_) | Command::Dev(DevArgs { part: None, .. }) => {
            runtime::Builder::new_multi_thread()
        }
        Command::Proxy(args) if args.threads > 1 => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(args.threads.into());
            builder
        }
        _ => runtime::Builder::new_current_thread(),
    };
    let runtime = builder.enable_all().build()?;
    let exit = runtime.block_on(async {
        match cli.command {
            Command::Agent(args) => agent::run(args, socket).await,
            Command::Dev(DevArgs { part: Some(DevPart::Server(args)), .. }) => {
                dev::serve(args).await
            }
            Command::Dev(args) => dev::run(args).await,
            Command::Top(args) => top::run(&args, socket, within).await,
            Command::Proxy(args) => proxy::run(args, given_socket).await,
            Command::Template(args) => template::run(args, socket, within).await,
            Command::Doctor(args) => doctor::run(&args, socket).await,
            Command::Config(args) => configuration::config(args, socket, within).await,
            asking => ask(asking, socket, within).await,
        }
    });
    runtime.shutdown_background();
    exit
}

/// Asks the agent behind `socket`. An error about a name that nothing has tells which known one may have been meant.
async fn ask(command: Command, socket: PathBuf, within: Duration) -> anyhow::Result<Exit> {
    let given = Given::to(&command);
    match self::command(command, socket.clone(), within).await {
        Ok(exit) => Ok(exit),
        Err(error) => Err(given.explain(error, socket).await),
    }
}

async fn command(command: Command, socket: PathBuf, within: Duration) -> anyhow::Result<Exit> {
    if let Command::Watch(args) = &command {
        return watch::run(socket, within, args).await;
    }
    if let Command::Call(args) = &command {
        return call::run(socket, within, args).await;
    }
    let mut client = Client::connect(socket).await?.answer_within(within);
    match command {
        Command::Register(args) => register::register(&mut client, args).await,
        Command::Deregister(args) => register::deregister(&mut client, args).await,
        Command::Maintenance(args) => upkeep::maintenance(&mut client, args).await,
        Command::Drain(args) => upkeep::drain(&mut client, &args).await,
        Command::Check(args) => register::check(&mut client, args).await,
        Command::Resolve(args) => catalog::resolve(&mut client, &args).await,
        Command::Services(args) => catalog::services(&mut client, args).await,
        Command::Pick(args) => pick::run(&mut client, &args).await,
        Command::Report(args) => pick::report(&mut client, &args).await,
        Command::Members(args) => cluster::members(&mut client, &args).await,
        Command::Datacenters(args) => cluster::datacenters(&mut client, &args).await,
        Command::ForceLeave(args) => cluster::force_leave(&mut client, &args).await,
        Command::Prune(args) => cluster::prune(&mut client, args).await,
        Command::Keys(args) => keys::keys(&mut client, &args).await,
        Command::Revoke(args) => keys::revoke(&mut client, &args).await,
        Command::Voters(args) => voters::run(&mut client, &args).await,
        Command::Explain(args) => explain::explain(&mut client, &args).await,
        Command::History(args) => history::history(&mut client, &args).await,
        Command::Info(args) => cluster::info(&mut client, &args).await,
        Command::Join(args) => cluster::join(&mut client, args).await,
        Command::LogLevel(args) => log_level::run(&mut client, args).await,
        Command::Reload(args) => configuration::reload(&mut client, &args).await,
        Command::Leave(args) => cluster::leave(&mut client, &args).await,
        Command::AccessKey(_)
        | Command::Agent(_)
        | Command::Call(_)
        | Command::Config(_)
        | Command::Dev(_)
        | Command::Doctor(_)
        | Command::Init(_)
        | Command::Proxy(_)
        | Command::Template(_)
        | Command::Token(_)
        | Command::Top(_)
        | Command::Validate(_)
        | Command::Watch(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Metrics => Err(anyhow!("this command asks no agent")),
    }
}

/// The error for an answer that does not belong to the question.
fn unexpected(response: &Response) -> anyhow::Error {
    anyhow!("the agent answered another question: {response:?}; are both of one version?")
}
