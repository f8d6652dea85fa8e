//! Agent processes and their folder. Both are removed with the fleet.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, exit};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use super::api::Api;
use super::beside::Beside;
use super::{ANSWER_TIMEOUT, ProcessError};

/// The interval between two attempts to reach a starting agent.
const RETRY: Duration = Duration::from_millis(2);
/// Lines of the log that are shown when an agent ends by itself.
const LOG_LINES: usize = 5;

/// Agents, by number, and their folder. Dropping the fleet ends and removes all of them; so do a panic and a signal to
/// stop.
pub(crate) struct Fleet {
    hobnob: PathBuf,
    folder: PathBuf,
    /// The token that lets the agents join a sealed cluster; `None` in a clear one.
    token: Option<String>,
    /// Variables with further settings of the agents.
    variables: Vec<(&'static str, String)>,
    belongings: Arc<Mutex<Belongings>>,
}

pub(super) struct Belongings {
    agents: Vec<Child>,
    /// Other processes.
    pub(super) beside: Vec<Child>,
    folder: Option<TempDir>,
}

impl Fleet {
    /// A fleet without agents, for this binary.
    pub(crate) fn new(hobnob: &Path) -> Result<Self, ProcessError> {
        if !hobnob.is_file() {
            return Err(ProcessError::NoBinary(hobnob.to_owned()));
        }
        let prefix = "hobnob-bench-";
        let folder =
            tempfile::Builder::new().prefix(prefix).tempdir().map_err(ProcessError::Folder)?;
        let path = folder.path().to_owned();
        let belongings =
            Belongings { agents: Vec::new(), beside: Vec::new(), folder: Some(folder) };
        let belongings = Arc::new(Mutex::new(belongings));
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(ProcessError::Signals)?;
        let to_clear = belongings.clone();
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                // The lock is held until exit, so no thread starts another agent.
                let mut belongings = lock(&to_clear);
                belongings.clear();
                exit(128 + signal);
            }
        });
        let (hobnob, variables) = (hobnob.to_owned(), Vec::new());
        Ok(Self { hobnob, folder: path, token: None, variables, belongings })
    }

    /// The same with a setting for all agents that are started from now on, by its variable.
    pub(crate) fn with(mut self, variable: &'static str, value: &str) -> Self {
        self.variables.push((variable, value.to_owned()));
        self
    }

    /// The same without that setting, for all agents that are started from now on.
    pub(crate) fn without(mut self, variable: &'static str) -> Self {
        self.variables.retain(|(name, _)| *name != variable);
        self
    }

    /// A fleet without agents that will be members of a sealed cluster, which is founded here.
    pub(crate) fn sealed(hobnob: &Path) -> Result<Self, ProcessError> {
        let mut fleet = Self::new(hobnob)?;
        let ca = fleet.folder.join("ca.key").display().to_string();
        let founded = fleet.run(&["init", "--cluster", "bench", "--json", "--ca", &ca])?;
        let founded: Value = serde_json::from_str(&founded).unwrap_or_default();
        fleet.token = founded["token"].as_str().map(str::to_owned);
        let operator = fleet.run(&["token", "create", "--role", "operator", "--ca", &ca])?;
        fs::write(fleet.credential(), operator).map_err(ProcessError::Folder)?;
        Ok(fleet)
    }

    /// The file with which an operator gives orders to a sealed cluster.
    pub(crate) fn credential(&self) -> PathBuf {
        self.folder.join("operator")
    }

    /// Runs a command to its end, and returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, ProcessError> {
        let command = || format!("hobnob {}", arguments.join(" "));
        let output = self.command().args(arguments).stdin(Stdio::null()).output();
        let output =
            output.map_err(|cause| ProcessError::Start { path: self.hobnob.clone(), cause })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(ProcessError::Command { command: command(), told })
    }

    /// Starts another process, which ends with its handle and with the fleet.
    pub(crate) fn start_beside(&self, command: &mut Command) -> Result<Beside, ProcessError> {
        // Locked first: a signal that clears the fleet clears this process, too, or there is none.
        let mut belongings = lock(&self.belongings);
        let child = command.spawn().map_err(|cause| {
            let path = PathBuf::from(command.get_program());
            ProcessError::Start { path, cause }
        })?;
        let pid = child.id();
        belongings.beside.push(child);
        drop(belongings);
        Ok(Beside::new(pid, self.belongings.clone()))
    }

    /// The number of agents.
    pub(crate) fn len(&self) -> usize {
        lock(&self.belongings).agents.len()
    }

    /// Starts another agent on free ports.
    pub(crate) fn start(&mut self, join: Option<&str>) -> Result<(), ProcessError> {
        let mut belongings = lock(&self.belongings);
        let child = self.spawn(belongings.agents.len(), "127.0.0.1:0", join)?;
        belongings.agents.push(child);
        Ok(())
    }

    /// Kills an agent. Its process is gone when this returns.
    pub(crate) fn kill(&mut self, agent: usize) {
        end(&mut lock(&self.belongings).agents[agent]);
    }

    /// Kills some agents at once. Their processes are gone when this returns.
    pub(super) fn kill_at_once(&mut self, agents: &[usize]) {
        let mut belongings = lock(&self.belongings);
        for agent in agents {
            // It fails only if the process has already ended.
            let _ = belongings.agents[*agent].kill();
        }
        for agent in agents {
            end(&mut belongings.agents[*agent]);
        }
    }

    /// Stops an agent where it is, or lets it go on.
    pub(super) fn freeze(&self, agent: usize, is_frozen: bool) -> Result<(), ProcessError> {
        self.signal(agent, if is_frozen { Signal::STOP } else { Signal::CONT })
    }

    fn signal(&self, agent: usize, signal: Signal) -> Result<(), ProcessError> {
        let belongings = lock(&self.belongings);
        // A child that was not waited for keeps its process id.
        let pid = Pid::from_child(&belongings.agents[agent]);
        kill_process(pid, signal)
            .map_err(|cause| ProcessError::Signal { agent, cause: cause.into() })
    }

    /// Stops an agent as a service manager does before a restart. Its process is gone when this returns.
    pub(crate) fn stop(&mut self, agent: usize) -> Result<(), ProcessError> {
        let since = Instant::now();
        self.signal(agent, Signal::TERM)?;
        while !matches!(lock(&self.belongings).agents[agent].try_wait(), Ok(Some(_))) {
            if since.elapsed() > ANSWER_TIMEOUT {
                return Err(ProcessError::Silent { agent });
            }
            thread::sleep(RETRY);
        }
        Ok(())
    }

    /// Agents that are started from now on are of this binary.
    pub(crate) fn use_binary(&mut self, hobnob: &Path) -> Result<(), ProcessError> {
        if !hobnob.is_file() {
            return Err(ProcessError::NoBinary(hobnob.to_owned()));
        }
        self.hobnob = hobnob.to_owned();
        Ok(())
    }

    /// Restarts a killed or stopped agent with its data.
    pub(crate) fn restart(
        &mut self,
        agent: usize,
        bind: &str,
        join: &str,
    ) -> Result<(), ProcessError> {
        let mut belongings = lock(&self.belongings);
        belongings.agents[agent] = self.spawn(agent, bind, Some(join))?;
        Ok(())
    }

    /// The process id of an agent.
    pub(crate) fn pid(&self, agent: usize) -> u32 {
        lock(&self.belongings).agents[agent].id()
    }

    /// Connects to an agent as soon as it answers.
    pub(crate) fn connect(&self, agent: usize) -> Result<Api, ProcessError> {
        let (socket, since) = (self.socket(agent), Instant::now());
        loop {
            if let Ok(api) = Api::connect(agent, &socket) {
                return Ok(api);
            }
            if matches!(lock(&self.belongings).agents[agent].try_wait(), Ok(Some(_))) {
                return Err(ProcessError::Ended { agent, log: self.end_of_log(agent) });
            }
            if since.elapsed() > ANSWER_TIMEOUT {
                return Err(ProcessError::Silent { agent });
            }
            thread::sleep(RETRY);
        }
    }

    /// The address at which a door of an agent listens, as soon as its log tells: `dns` or `http`.
    pub(crate) fn door(&self, agent: usize, name: &str) -> Result<SocketAddr, ProcessError> {
        let (field, since) = (format!(" {name}="), Instant::now());
        loop {
            // There is no log before the agent begins.
            let log = fs::read_to_string(self.log(agent)).unwrap_or_default();
            let ready = log.lines().find(|line| line.contains("the agent is ready"));
            let told = ready.and_then(|line| line.split_once(&field));
            let address = told.and_then(|(_, rest)| rest.split_whitespace().next());
            if let Some(address) = address.and_then(|address| address.parse().ok()) {
                return Ok(address);
            }
            if since.elapsed() > ANSWER_TIMEOUT {
                return Err(ProcessError::Silent { agent });
            }
            thread::sleep(RETRY);
        }
    }

    fn spawn(&self, agent: usize, bind: &str, join: Option<&str>) -> Result<Child, ProcessError> {
        let failed = |cause| ProcessError::Start { path: self.hobnob.clone(), cause };
        let log = File::create(self.log(agent)).map_err(failed)?;
        let mut command = self.command();
        command.envs(self.token.as_ref().map(|token| ("HOBNOB_TOKEN", token)));
        command.envs(self.variables.iter().map(|(variable, value)| (variable, value)));
        command.args(["agent", "--bind", bind, "--name", &format!("agent-{agent}")]);
        command.arg("--data-dir").arg(self.data(agent));
        command.arg("--socket").arg(self.socket(agent));
        // Counts for an agent that is stopped: its restart follows.
        command.env("HOBNOB_KEEP_ON_EXIT", "yes");
        command.args(join.map(|address| format!("--join={address}")));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map_err(failed)
    }

    /// The binary, without settings in the user's environment: they are meant for the user's own agent.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.hobnob);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("HOBNOB_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// The folder of the agents' data, sockets and logs.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The socket of an agent.
    pub(crate) fn socket(&self, agent: usize) -> PathBuf {
        self.folder.join(format!("{agent}.sock"))
    }

    /// The data directory of an agent.
    pub(crate) fn data(&self, agent: usize) -> PathBuf {
        self.folder.join(format!("{agent}.data"))
    }

    fn log(&self, agent: usize) -> PathBuf {
        self.folder.join(format!("{agent}.log"))
    }

    fn end_of_log(&self, agent: usize) -> String {
        let log = fs::read_to_string(self.log(agent)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        lock(&self.belongings).clear();
    }
}

impl Belongings {
    fn clear(&mut self) {
        self.beside.iter_mut().chain(&mut self.agents).for_each(end);
        // A folder that cannot be removed stays in the system's temporary directory.
        drop(self.folder.take().map(TempDir::close));
    }
}

/// Kills a process by its handle, never by its id. Both calls fail only if it has already ended.
pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// Ignores poisoning: the state is valid after each statement under the lock.
pub(super) fn lock(belongings: &Mutex<Belongings>) -> MutexGuard<'_, Belongings> {
    belongings.lock().unwrap_or_else(PoisonError::into_inner)
}
