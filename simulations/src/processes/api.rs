//! A connection to an agent's local API, in JSON lines.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ANSWER_TIMEOUT, ProcessError};

/// A connection to one agent.
pub(crate) struct Api {
    agent: usize,
    stream: BufReader<UnixStream>,
    line: String,
}

/// An agent's information about itself, as far as needed here.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    pub(crate) gossip_address: String,
    pub(super) active_members: usize,
    instances: usize,
    counters: Counters,
}

#[derive(Debug, Deserialize)]
struct Counters {
    datagrams_received: u64,
    datagrams_malformed: u64,
    datagrams_other_version: u64,
    datagrams_in_clear: u64,
    datagrams_of_unknown_generation: u64,
    datagrams_of_unknown_sender: u64,
    datagrams_forged: u64,
    datagrams_replayed: u64,
    datagrams_of_revoked_sender: u64,
    pongs_unexpected: u64,
    datagrams_sent: u64,
    datagram_bytes_sent: u64,
    frame_bytes_sent: u64,
    exit_hints: u64,
    exits_acquitted: u64,
    exits_convicted: u64,
    #[serde(default)]
    http_waiting: u64,
}

impl Info {
    /// Instances in its catalog.
    pub(crate) fn instances(&self) -> usize {
        self.instances
    }

    /// Requests that wait at its HTTP door.
    pub(crate) fn http_waiting(&self) -> u64 {
        self.counters.http_waiting
    }

    /// Datagrams received since its start.
    pub(crate) fn datagrams_received(&self) -> u64 {
        self.counters.datagrams_received
    }

    /// Those of them that a sealed agent dropped. An outsider can repeat a pong, and then no ping waits for it.
    pub(crate) fn datagrams_refused(&self) -> u64 {
        let counters = &self.counters;
        [
            counters.datagrams_malformed,
            counters.datagrams_other_version,
            counters.datagrams_in_clear,
            counters.datagrams_of_unknown_generation,
            counters.datagrams_of_unknown_sender,
            counters.datagrams_forged,
            counters.datagrams_replayed,
            counters.datagrams_of_revoked_sender,
            counters.pongs_unexpected,
        ]
        .into_iter()
        .sum()
    }

    /// Datagrams sent since its start.
    pub(super) fn packets_sent(&self) -> u64 {
        self.counters.datagrams_sent
    }

    /// Bytes sent since its start, in datagrams and frames.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.counters.datagram_bytes_sent + self.counters.frame_bytes_sent
    }

    /// Held connections that closed without a goodbye since its start.
    pub(super) fn exit_hints(&self) -> u64 {
        self.counters.exit_hints
    }

    /// Cases that such a hint opened, and that a sign of life closed.
    pub(super) fn exits_acquitted(&self) -> u64 {
        self.counters.exits_acquitted
    }

    /// Members that it called down in such a case.
    pub(super) fn exits_convicted(&self) -> u64 {
        self.counters.exits_convicted
    }
}

impl Api {
    /// Connects to an agent.
    pub(super) fn connect(agent: usize, socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { agent, stream: BufReader::new(stream), line: String::new() })
    }

    /// Requests the agent's information about itself.
    pub(crate) fn info(&mut self) -> Result<Info, ProcessError> {
        let response = self.call(&json!({ "info": {} }))?;
        let info = response.get("info").cloned().unwrap_or_default();
        serde_json::from_value(info).map_err(|_| self.unexpected(&response))
    }

    /// Registers an instance of the watched service.
    pub(crate) fn register(&mut self, id: &str) -> Result<(), ProcessError> {
        self.done(
            "registered",
            &json!({ "register": { "service": SERVICE, "id": id, "port": 80 } }),
        )
    }

    /// Registers an instance of the watched service whose check connects to this address each second.
    pub(super) fn register_checked(
        &mut self,
        id: &str,
        address: SocketAddr,
    ) -> Result<(), ProcessError> {
        let checks = json!([{ "probe": { "tcp": { "address": address.to_string() } } }]);
        let port = address.port();
        self.done(
            "registered",
            &json!({ "register": { "service": SERVICE, "id": id, "port": port, "checks": checks } }),
        )
    }

    /// Picks an instance of the watched service.
    pub(crate) fn pick(&mut self) -> Result<(), ProcessError> {
        self.done("picked", &json!({ "pick": { "service": SERVICE } }))
    }

    /// The number of healthy instances of a service.
    pub(crate) fn offered(&mut self, service: &str) -> Result<usize, ProcessError> {
        let response = self.call(&json!({ "resolve": { "service": service, "strict": true } }))?;
        let instances = response.pointer("/instances/instances").or(response.get("instances"));
        let count = instances.and_then(Value::as_array).map(Vec::len);
        count.ok_or_else(|| self.unexpected(&response))
    }

    /// Deregisters an instance.
    pub(crate) fn deregister(&mut self, id: &str) -> Result<(), ProcessError> {
        self.done("deregistered", &json!({ "deregister": { "id": id } }))
    }

    /// Turns the connection into a watch of the service. Each further line carries instances.
    pub(super) fn watch(mut self) -> Result<BufReader<UnixStream>, ProcessError> {
        self.send(&json!({ "watch": { "service": SERVICE } }))
            .and_then(|()| self.stream.get_ref().set_read_timeout(None))
            .map_err(|cause| self.failed(cause))?;
        Ok(self.stream)
    }

    /// Asks for a change, which is answered by an object of this name.
    pub(crate) fn done(&mut self, name: &str, request: &Value) -> Result<(), ProcessError> {
        let response = self.call(request)?;
        if response.get(name).is_some() { Ok(()) } else { Err(self.unexpected(&response)) }
    }

    fn call(&mut self, request: &Value) -> Result<Value, ProcessError> {
        self.line.clear();
        self.send(request)
            .and_then(|()| self.stream.read_line(&mut self.line))
            .map_err(|cause| self.failed(cause))?;
        let reply: Value = serde_json::from_str(&self.line).unwrap_or_default();
        reply.get("response").cloned().ok_or_else(|| self.unexpected(&reply))
    }

    fn send(&mut self, request: &Value) -> io::Result<()> {
        let line = format!("{}\n", json!({ "request": request }));
        self.stream.get_mut().write_all(line.as_bytes())
    }

    fn failed(&self, cause: io::Error) -> ProcessError {
        match cause.kind() {
            io::ErrorKind::WouldBlock => ProcessError::Silent { agent: self.agent },
            _ => ProcessError::Connection { agent: self.agent, cause },
        }
    }

    fn unexpected(&self, answer: &Value) -> ProcessError {
        ProcessError::Answer { agent: self.agent, answer: answer.to_string() }
    }
}

/// The watched service.
const SERVICE: &str = "bench";

/// What each agent tells of itself.
pub(super) fn infos(agents: &mut [Api]) -> Result<Vec<Info>, ProcessError> {
    agents.iter_mut().map(Api::info).collect()
}
