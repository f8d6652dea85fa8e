//! What the rest of the agent asks of the driver, and its answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use hobnob_membership::record::{Key, Value};
use hobnob_membership::view::Member;
use hobnob_membership::{Epoch, Input, NodeId};
use tokio::sync::oneshot;

use super::Driver;
use crate::doors::unix::handler::millis;
use crate::queries::explain::{self, InstanceView};
use crate::queries::force_leave;
use crate::queries::parameters::parameters;
use hobnob_api::{ApiError, Duplicate, ErrorKind, ForceLeft, MemberExplained};

/// What the rest of the agent asks of the driver.
pub(crate) enum Command {
    /// Whether [`Command::Write`] would be taken.
    Check { records: Vec<(Key, Option<Value>)>, reply: oneshot::Sender<Result<(), ApiError>> },
    /// Write records of our own; answered when they are visible here.
    Write { records: Vec<(Key, Option<Value>)>, reply: oneshot::Sender<()> },
    /// StreamProbe at these addresses; answered by the first that answers.
    Join { addresses: Vec<SocketAddr>, reply: oneshot::Sender<Result<SocketAddr, ApiError>> },
    /// This address to join at is the agent's own.
    ExpectNobodyAt { address: String },
    /// Leave the cluster; the driver ends when that is done.
    Leave,
    /// Every member.
    Members { reply: oneshot::Sender<Vec<Member>> },
    /// What the node knows of who or what goes by this name.
    Explain { subject: String, reply: oneshot::Sender<Known> },
    /// Declare a dead member gone for good.
    ForceLeave { member: String, reply: oneshot::Sender<Result<ForceLeft, ApiError>> },
    /// What the node says of itself.
    Report { reply: oneshot::Sender<Report> },
}

/// What the node says of itself.
pub(crate) struct Report {
    pub(crate) epoch: Epoch,
    pub(crate) duplicate: Option<Duplicate>,
    pub(crate) takes_tcp_probes: bool,
    pub(crate) udp_blocked: bool,
    pub(crate) members_alive: usize,
    pub(crate) instances: usize,
    pub(crate) catalog_digest: u64,
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) protocol: BTreeMap<String, String>,
}

/// What the node knows of a name.
pub(crate) struct Known {
    pub(crate) members: Vec<MemberExplained>,
    pub(crate) instances: Vec<InstanceView>,
}

impl Driver {
    pub(super) fn take_command(&mut self, command: Command) {
        let now = self.clock.now();
        // Who asked may have gone away since; then nobody needs the answer.
        match command {
            Command::Check { records, reply } => {
                let checked = self.check_heard().and_then(|()| self.check_write(&records));
                drop(reply.send(checked));
            }
            Command::Write { records, reply } => {
                self.node.handle(Input::Write(records), now);
                self.drain();
                let _ = reply.send(());
            }
            Command::Join { addresses, reply } => {
                self.state.joins.retain(|(_, reply)| !reply.is_closed());
                match self.check_heard() {
                    Ok(()) => self.state.joins.push((addresses.clone(), reply)),
                    Err(error) => drop(reply.send(Err(error))),
                }
                self.node.handle(Input::Join(addresses), now);
            }
            Command::ExpectNobodyAt { address } => self.expect_nobody_at(&address),
            Command::Leave => self.node.handle(Input::Leave, now),
            Command::Members { reply } => drop(reply.send(self.node.members())),
            Command::Explain { subject, reply } => {
                self.show_ages(now);
                let members = explain::members(&self.node, &subject, now);
                let instances = explain::instances(&self.node, &subject, now);
                drop(reply.send(Known { members, instances }));
            }
            Command::ForceLeave { member, reply } => {
                let result = force_leave::check(&self.node, &member, now);
                if let Ok(gone) = &result {
                    self.node.handle(Input::ForceLeave(NodeId(gone.node_id.0)), now);
                    self.drain();
                }
                drop(reply.send(result));
            }
            Command::Report { reply } => drop(reply.send(self.report())),
        }
    }

    /// Whether anybody would hear what this agent says.
    fn check_heard(&self) -> Result<(), ApiError> {
        let silence = explain::silence(&self.node, self.clock.now());
        silence.map_or(Ok(()), |message| Err(ApiError { kind: ErrorKind::Failed, message }))
    }

    fn check_write(&self, records: &[(Key, Option<Value>)]) -> Result<(), ApiError> {
        let checked = self.node.check_write(records);
        checked.map_err(|error| ApiError { kind: ErrorKind::Invalid, message: error.to_string() })
    }

    fn report(&self) -> Report {
        let udp = [
            ("udp_send_blocked", self.state.send_blocked),
            ("udp_send_failed", self.state.send_failed),
            ("udp_receive_failed", self.state.receive_failed),
            ("storage_keep_dropped", self.state.keep_dropped),
        ];
        let tcp = self.tcp_probes.counters().snapshot();
        let counters = self
            .node
            .counters()
            .iter()
            .chain(udp)
            .chain(tcp)
            .chain(self.quic.counters().snapshot());
        let now = self.clock.now();
        Report {
            epoch: self.node.identity().epoch,
            duplicate: self.node.duplicate(now).map(|duplicate| Duplicate {
                address: duplicate.address.to_string(),
                silent: duplicate.we_are_silent,
                same_key: duplicate.same_key,
                since_ms: millis(now.since(duplicate.since)),
                proven_ms: millis(now.since(duplicate.proven)),
            }),
            takes_tcp_probes: self.tcp_probes.are_taken(),
            udp_blocked: self.node.are_datagrams_blocked(),
            members_alive: self.node.active_members(),
            instances: self.node.instances().len(),
            catalog_digest: self.node.catalog().digest(),
            protocol: parameters(self.node.protocol()),
            counters: counters.map(|(name, count)| (name.to_owned(), count)).collect(),
        }
    }
}
