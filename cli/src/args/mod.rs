//! The command line and its help texts.

mod access_key;
mod ack;
mod agent;
mod agentless;
mod balancing;
mod call;
mod catalog;
mod choices;
mod cluster;
mod configuration;
mod consistency;
mod dev;
mod dialect;
mod environment;
#[cfg(test)]
mod examples;
mod explain;
mod habits;
mod history;
mod keys;
mod live;
mod offer;
mod orders;
mod pick;
mod protocol;
mod proxy;
mod register;
mod template;
pub(crate) mod values;
mod voters;
mod watch;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{
    ArgMatches, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};

use hobnob_agent::StartedWith;
use hobnob_api::Settings;
use hobnob_api::client::{default_client_socket_path, default_socket_path};

use crate::config::{self, Broken};
use crate::exit::Exit;
use crate::output;
use crate::texts::{CompletionsArgs, ManArgs};

pub(crate) use access_key::{AccessKeyArgs, AccessKeyCommand, DataDirArgs};
pub(crate) use agent::{AgentArgs, HalfOfTls, NoDns, NoQuerySocket, TOKEN_VARIABLE, TwoTokens};
pub(crate) use agentless::hide_flags;
pub(crate) use call::CallArgs;
pub(crate) use catalog::{ResolveArgs, ServicesArgs};
pub(crate) use cluster::{
    DatacentersArgs, DatacentersCommand, ForceLeaveArgs, InfoArgs, JoinArgs, LeaveArgs,
    LogLevelArgs, MembersArgs, PruneArgs,
};
pub(crate) use configuration::{
    ConfigArgs, ConfigCommand, ConfigPlaces, ConfigShowArgs, ReloadArgs, ValidateArgs,
};
pub(crate) use dev::{DevArgs, DevPart, ServerArgs, TooManyAgents};
pub(crate) use explain::ExplainArgs;
pub(crate) use history::HistoryArgs;
pub(crate) use keys::{
    CaArgs, InitArgs, Role, TokenArgs, TokenCommand, TokenCreateArgs, TokenInspectArgs,
};
pub(crate) use live::{DoctorArgs, TopArgs};
pub(crate) use orders::{
    CredentialArgs, KeysArgs, KeysCommand, KeysRotateArgs, KeysStatusArgs, KeysTrustArgs,
    RevokeArgs, WaitArgs,
};
pub(crate) use pick::{PickArgs, ReportArgs};
pub(crate) use proxy::{ProxyArgs, ProxyLine};
pub(crate) use register::{
    CheckReportArgs, DeregisterArgs, DrainArgs, MaintenanceArgs, RegisterArgs,
};
pub(crate) use template::{TemplateArgs, TemplateSpec, Wait};
pub(crate) use values::millis;
pub(crate) use voters::{SetVotersArgs, VotersArgs, VotersCommand};
pub(crate) use watch::{WatchArgs, Watched};

const ABOUT: &str = "\
Service discovery without a server: one agent on every host, no leader, every answer from local memory";

const AFTER_HELP: &str = "\
Examples:
  hobnob dev                                        try it: three agents and six services, live
  hobnob agent --join 10.0.0.7:7946                 run the agent of this host
  hobnob register web --port 8001 --check-http http://127.0.0.1:8001/
  hobnob resolve web                                who serves web?
  hobnob pick web                                   where should this call go?
  hobnob call web /                                 call it

Exit codes, of all commands:
  0  done
  1  failed: nobody answers, it was refused, or fewer agents than --ack asks for have applied it
  2  wrong usage: what was typed can never work
  3  nothing matched: nothing has that name, or nothing can be offered
  4  not confirmed by all in time: an order of keys, revoke or drain is handed out, and spreads;
     or a majority of the voters has not confirmed a strong write, and the change stands";

/// The arguments of the process.
#[derive(Debug, Parser)]
#[command(name = "hobnob", version, about = ABOUT, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// The unix socket of the agent [default: /run/hobnob/hobnob.sock for root, else
    /// hobnob/hobnob.sock in $XDG_RUNTIME_DIR, else /tmp/hobnob-UID/hobnob.sock; without an agent of
    /// your own there, that of root]
    #[arg(
        long,
        global = true,
        display_order = 100,
        value_name = "PATH",
        env = "HOBNOB_SOCKET",
        hide_env_values = true
    )]
    socket: Option<PathBuf>,

    /// The longest wait for the agent's answer [default: 5s; for `join`, which waits 5s itself, 10s; with --ack and --consistency
    /// strong, 5s more than their timeouts]
    #[arg(
        long,
        global = true,
        display_order = 101,
        value_name = "DURATION",
        env = "HOBNOB_ANSWER_TIMEOUT",
        hide_env_values = true,
        value_parser = values::duration
    )]
    answer_timeout: Option<Duration>,

    /// Whether the output has colours: on a terminal, unless NO_COLOR is set or TERM is dumb; always; never
    #[arg(
        long,
        global = true,
        display_order = 102,
        value_name = "WHEN",
        env = "HOBNOB_COLOR",
        hide_env_values = true,
        default_value = "auto",
        hide_possible_values = true,
        value_enum
    )]
    pub(crate) color: ColorChoice,

    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The form of a table.
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// Show all columns of the table, however narrow the terminal is
    #[arg(long, conflicts_with = "json")]
    pub(crate) wide: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Try Hobnob: run a few agents and services in this terminal and watch them find each other
    Dev(DevArgs),
    /// Found a sealed cluster: make its CA key, and a first token
    Init(InitArgs),
    /// Make and inspect the tokens that let hosts join a sealed cluster
    Token(TokenArgs),
    /// Show and replace the keys of a sealed cluster
    Keys(KeysArgs),
    /// Take a node or a token out of a sealed cluster for good
    Revoke(RevokeArgs),
    /// Run the agent of this host until it is told to stop
    Agent(AgentArgs),
    /// Make, list and revoke the keys of the HTTP door
    AccessKey(AccessKeyArgs),
    /// Print an example of the configuration file, or show the configuration of an agent
    Config(ConfigArgs),
    /// Check the configuration file and the service definitions, and tell all problems at once
    Validate(ValidateArgs),
    /// Have this agent read its configuration again
    Reload(ReloadArgs),
    /// Register a service instance with this agent, or replace it
    Register(RegisterArgs),
    /// Remove a service instance that is registered with this agent
    Deregister(DeregisterArgs),
    /// Report how a service is, for its check by reports (--check-ttl)
    Check(CheckReportArgs),
    /// Take an instance, or all of this agent, out at once, or give it back
    Maintenance(MaintenanceArgs),
    /// Take an instance out gently: its share of the calls falls to nothing
    Drain(DrainArgs),
    /// List the healthy instances of a service
    Resolve(ResolveArgs),
    /// Choose the instance that a call should go to
    Pick(PickArgs),
    /// Call a service: pick an instance, send, and try again elsewhere if that fails
    Call(CallArgs),
    /// Offer services at local addresses: HTTP, gRPC and TCP to their instances
    Proxy(ProxyArgs),
    /// Report how the calls of earlier picks went
    Report(ReportArgs),
    /// Follow a service: its instances now, then every change
    Watch(WatchArgs),
    /// Render files from the catalog, and keep them up to date
    Template(TemplateArgs),
    /// List the services
    Services(ServicesArgs),
    /// List the members of the cluster
    Members(MembersArgs),
    /// List the datacenters, and how this agent reaches them
    Datacenters(DatacentersArgs),
    /// List the voters, which answer requests that are to be strong, or set them
    Voters(VotersArgs),
    /// Say why a member or an instance has its status
    Explain(ExplainArgs),
    /// Tell what this agent saw and did, when, and by whom
    History(HistoryArgs),
    /// Join a cluster through one or more of its members
    Join(JoinArgs),
    /// Leave the cluster and stop this agent
    Leave(LeaveArgs),
    /// Force a dead member to leave for good: all agents drop its instances at once
    ForceLeave(ForceLeaveArgs),
    /// Drop dead members from the memory of this agent
    Prune(PruneArgs),
    /// Describe this agent: addresses, uptime, counters
    Info(InfoArgs),
    /// Watch this agent live: members, services, rates and events
    Top(TopArgs),
    /// Look for what is wrong with this host, its agent, and the network between members
    Doctor(DoctorArgs),
    /// Show the filter of the agent's log, or set it
    LogLevel(LogLevelArgs),
    /// Print the completions of a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write the pages of all commands
    Man(ManArgs),
    /// Print the list of metrics, as `docs/METRICS.md` has it
    #[command(hide = true, after_help = "Examples:\n  hobnob metrics > docs/METRICS.md")]
    Metrics,
}

/// The default wait for an answer. Most answers come from memory; a registration waits for a disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The further wait for a change that an agent of another datacenter makes. That agent has five seconds; a few may be asked in turn.
const ELSEWHERE_TIMEOUT: Duration = Duration::from_secs(20);
/// The default wait for the answer to a join. The agent itself waits five seconds before it answers.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

impl Cli {
    /// The longest wait for the answer of the agent.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout.unwrap_or(match self.command {
            Command::Join(_) => JOIN_TIMEOUT,
            Command::Register(ref args) => {
                waits(&args.ack, &args.consistency, args.datacenter.as_ref())
            }
            Command::Drain(ref args) => ANSWER_TIMEOUT + args.waits(),
            Command::Deregister(ref args) => {
                waits(&args.ack, &args.consistency, args.datacenter.as_ref())
            }
            Command::Resolve(ref args) => ANSWER_TIMEOUT + args.consistency.waits(),
            Command::Pick(ref args) => ANSWER_TIMEOUT + args.consistency.waits(),
            Command::Voters(ref args) => ANSWER_TIMEOUT + args.waits(),
            _ => ANSWER_TIMEOUT,
        })
    }

    /// The same, with the settings that an agent shows and reads again.
    fn started_with(
        mut self,
        settings: Settings,
        command: clap::Command,
        line: Vec<OsString>,
    ) -> Self {
        if let Command::Agent(args) = &mut self.command {
            let read_again = move || match config::merge(&command, &line) {
                Ok(merged) => Ok(merged.settings.settings),
                Err(broken) => Err(broken.problems()),
            };
            *args.started_with = StartedWith { settings, read_again: Some(Arc::new(read_again)) };
        }
        self
    }

    /// The socket that was given.
    pub(crate) fn given_socket(&self) -> Option<PathBuf> {
        self.socket.clone()
    }

    /// The socket that was given, else the default one.
    pub(crate) fn socket(&self) -> PathBuf {
        let default = match self.command {
            Command::Agent(_) => default_socket_path,
            _ => default_client_socket_path,
        };
        self.socket.clone().unwrap_or_else(default)
    }
}

/// The longest wait for a change, which other agents may have to apply, or to make.
fn waits(
    ack: &ack::AckArgs,
    consistency: &consistency::ConsistencyArgs,
    datacenter: Option<&String>,
) -> Duration {
    let elsewhere = datacenter.map_or(Duration::ZERO, |_| ELSEWHERE_TIMEOUT);
    ANSWER_TIMEOUT + elsewhere + ack.waits() + consistency.waits()
}

/// Parses the arguments of this process. If there is nothing to run, prints the help or the error, and exits.
pub(crate) fn parse() -> Cli {
    let command = command();
    let line: Vec<_> = env::args_os().collect();
    match config::merge(&command, &line) {
        Ok(merged) => match read(&merged.matches, &command) {
            Ok(cli) => cli.started_with(merged.settings, command, line),
            Err(error) => exit_with(error, command, &line),
        },
        Err(Broken::Usage(error)) => exit_with(error, command, &line),
        Err(Broken::File(problems)) => {
            problems.iter().for_each(|problem| output::say(&format!("error: {problem}")));
            output::say(
                "help: `hobnob config init` prints a file with every key, and `hobnob validate` checks one",
            );
            process::exit(Exit::Usage as i32);
        }
    }
}

fn read(matches: &ArgMatches, command: &clap::Command) -> Result<Cli, clap::Error> {
    agentless::refuse_flags(matches, &mut command.clone())?;
    Cli::from_arg_matches(matches)
}

/// The definition of the command line, without the variables that are empty.
pub(crate) fn command() -> clap::Command {
    let all = hide_flags(Cli::command());
    environment::without_empty(all, |name| env::var_os(name))
}

/// The choice of `--color`, or else of its variable, on a command line that has an error.
fn colour_of(line: &[OsString]) -> ColorChoice {
    let mut words = line.iter().filter_map(|word| word.to_str());
    let mut given = None;
    while let Some(word) = words.next() {
        given = match word.strip_prefix("--color") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('='),
            None => continue,
        };
    }
    let variable = env::var("HOBNOB_COLOR").unwrap_or_default();
    ColorChoice::from_str(given.unwrap_or(&variable), true).unwrap_or(ColorChoice::Auto)
}

/// Prints the help, or an error of the command line, and exits.
fn exit_with(mut error: clap::Error, mut command: clap::Command, line: &[OsString]) -> ! {
    environment::correct_usage(&mut error, command.clone(), line);
    habits::explain(&mut error);
    command.build();
    if let Some(variable) = environment::culprit(&error, &command, line, |name| env::var_os(name)) {
        let tip = format!("the value is that of the variable {variable}: correct it or unset it");
        let tips = vec![StyledStr::from(tip)];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    if !error.use_stderr() {
        error.exit();
    }
    let text = error.render();
    output::choose(colour_of(line));
    let has_colours = output::colours_wanted(io::stderr().is_terminal());
    let text = if has_colours { text.ansi().to_string() } else { text.to_string() };
    // Nobody is left to be told that nobody reads.
    let _ = io::stderr().write_all(dialect::in_our_words(&text).as_bytes());
    process::exit(error.exit_code());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_of_agent_has_a_variable() {
        let mut command = Cli::command();
        command.build();
        let agent = command.find_subcommand("agent").unwrap();
        for arg in agent.get_arguments().filter(|arg| arg.get_id() != "help") {
            let long = arg.get_long().unwrap();
            let variable = format!("HOBNOB_{}", long.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(&*variable), "--{long}");
        }
    }

    #[test]
    fn the_socket_may_stand_before_and_after_the_command() {
        for line in [["hobnob", "--socket", "/a", "leave"], ["hobnob", "leave", "--socket", "/a"]] {
            assert_eq!(Cli::try_parse_from(line).unwrap().socket(), PathBuf::from("/a"));
        }
    }
}
