//! `hobnob doctor`: what is wrong with this host, its agent, and the network between members.

mod absent;
mod agent;
mod clock;
mod dns;
mod finding;
mod folder;
mod http;
mod joins;
mod network;
mod process;
mod socket;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use hobnob_api::client::{Client, ClientError};
use hobnob_api::{Datacenters, Echoes, Info, Member, Request, Response, Settings};

use crate::args::DoctorArgs;
use crate::exit::Exit;
use crate::output::Output;

use finding::{Findings, Status};

/// The longest wait for an answer of the agent. Echoes of members that do not answer take about three seconds, and an earlier agent
/// adds 200 ms for each.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// What the agent says of itself.
struct Said {
    info: Info,
    members: Vec<Member>,
    /// Absent when the agent is older than the question.
    settings: Option<Settings>,
}

impl Said {
    /// A setting of the agent, if it has a value.
    fn setting(&self, key: &str) -> Option<&str> {
        let settings = &self.settings.as_ref()?.settings;
        settings.iter().find(|setting| setting.key == key)?.value.as_deref()
    }
}

/// Looks, and tells what it found.
pub(crate) async fn run(args: &DoctorArgs, socket: PathBuf) -> anyhow::Result<Exit> {
    let mut findings = Findings::default();
    // The agent is asked on two connections, since echoes take their time.
    let (said, echoes, synchronized) = tokio::join!(
        ask(&socket),
        ask_for_echoes(&socket, args.members),
        clock::is_synchronized(),
    );
    let mut query_socket = None;
    match said {
        Ok(said) => {
            query_socket = said.setting("query_socket").map(PathBuf::from);
            findings.agent = Some(said.info.name.clone());
            agent::look(&mut findings, &said);
            network::look(&mut findings, &said, echoes.as_ref());
            clock::look(&mut findings, echoes.as_ref().ok(), synchronized);
            joins::look(&mut findings, &said).await;
            process::look(&mut findings, said.info.pid);
            folder::look(&mut findings, said.setting("data_dir").map(Path::new));
            http::look(&mut findings, &said).await;
            dns::look(&mut findings, &said).await;
        }
        Err(error) => {
            absent::look(&mut findings, &socket, &error);
            clock::look(&mut findings, None, synchronized);
        }
    }
    socket::look(&mut findings, &socket, query_socket.as_deref());
    let mut out = Output::new();
    if args.json {
        out.json(&findings.report())?;
    } else {
        findings.lines().iter().try_for_each(|line| out.line(line))?;
    }
    Ok(if findings.worst() == Status::Fail { Exit::Failed } else { Exit::Done })
}

async fn ask(socket: &Path) -> Result<Box<Said>, ClientError> {
    let mut client = Client::connect(socket).await?.answer_within(ANSWER_WITHIN);
    let Response::Info(info) = client.call(Request::Info {}).await? else {
        return Err(other(socket));
    };
    let everybody = Request::Members { all: false, datacenter: Datacenters::All };
    let Response::Members(members) = client.call(everybody).await? else {
        return Err(other(socket));
    };
    let settings = match client.call(Request::Settings {}).await {
        Ok(Response::Settings(settings)) => Some(*settings),
        _ => None,
    };
    Ok(Box::new(Said { info: *info, members: members.members, settings }))
}

async fn ask_for_echoes(socket: &Path, members: u8) -> Result<Echoes, ClientError> {
    let mut client = Client::connect(socket).await?.answer_within(ANSWER_WITHIN);
    match client.call(Request::Echoes { members: Some(members) }).await? {
        Response::Echoes(echoes) => Ok(*echoes),
        _ => Err(other(socket)),
    }
}

fn other(socket: &Path) -> ClientError {
    let reason = "it answers another question".to_owned();
    ClientError::Unreadable { path: socket.to_owned(), reason }
}
