//! The commands of the driver, and how it answers them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hobnob_api::{Alias, ApiError, CheckExplained, ErrorCode};
use hobnob_keys::SignedCommand;
use hobnob_membership::catalog::WriteError;
use hobnob_membership::registering::RecordChanges;
use hobnob_membership::{
    ConfirmError, Confirmation, Confirmers, Input, Node, NodeId, RequestId, Time,
};
use tokio::time::Instant;

use super::own_checks::OwnChange;
use super::requesting::Answered;
use super::strong::{Beginning, Done};
use super::{Driver, words};
use crate::actor::{Reply, Stopping};
use crate::checks::{Followed, void_probes};
use crate::clock::millis;
use crate::log_writer::lost_lines;

/// An instance of this agent, and a change of what decides its health.
type CheckChange = (Arc<str>, OwnChange);

/// A function that reads the node.
type Inspection = Box<dyn FnOnce(&Node, Time) + Send>;

/// A function that decides by the node what of an order it gets, and gives the answer when the node has it.
type Decision =
    Box<dyn FnOnce(&Node, Time) -> (Vec<Input<'static>>, Box<dyn FnOnce() + Send>) + Send>;

/// An order for the node, and its answer.
#[derive(Debug)]
pub(crate) struct Ordered<T> {
    pub(crate) inputs: Vec<Input<'static>>,
    pub(crate) answer: T,
}

/// A command of the rest of the agent. [`DriverHandle`](super::DriverHandle) documents each one.
pub(super) enum Command {
    Check {
        records: RecordChanges,
        reply: Reply<Result<(), Refused>>,
    },
    Write {
        records: RecordChanges,
        change: Option<Box<CheckChange>>,
        reply: Reply<Result<(), Refused>>,
    },
    ExplainChecks {
        instance: String,
        reply: Reply<Vec<CheckExplained>>,
    },
    ExplainAllChecks {
        reply: Reply<BTreeMap<Arc<str>, Vec<CheckExplained>>>,
    },
    Follow {
        alias: Alias,
        follower: Arc<str>,
        reply: Reply<Followed>,
    },
    Join {
        addresses: Vec<SocketAddr>,
        wan: bool,
        reply: Reply<Result<SocketAddr, Refused>>,
    },
    ExpectNobodyAt {
        address: String,
    },
    Leave,
    Stop,
    Prune {
        members: Vec<(NodeId, Option<SignedCommand>)>,
        reply: Reply<Vec<NodeId>>,
    },
    Confirm {
        by: Confirmers,
        within: Duration,
        reply: Reply<Result<Confirmed, Refused>>,
    },
    Request {
        to: NodeId,
        bytes: Vec<u8>,
        within: Duration,
        reply: Reply<Answered>,
    },
    AskForEchoes {
        of: Vec<NodeId>,
        reply: Reply<Vec<NodeId>>,
    },
    Answer {
        request: RequestId,
        bytes: Vec<u8>,
    },
    Strong {
        begin: Beginning,
        /// Whether it is a change of voters.
        is_change: bool,
        reply: Reply<Result<Done, ApiError>>,
    },
    Vouch {
        reply: Reply<bool>,
    },
    Survey {
        reply: Reply<()>,
    },
    Order(Decision),
    Inspect(Inspection),
    Report {
        reply: Reply<Report>,
    },
}

/// The reason for which the driver refuses a command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// This agent gave way to another agent under its node id, and is silent.
    #[error("{0}")]
    Silent(String),
    /// The records break a rule.
    #[error(transparent)]
    Records(#[from] WriteError),
    /// No confirmation was begun.
    #[error(transparent)]
    Confirm(#[from] ConfirmError),
    /// The agents at the addresses to join at belong to another datacenter than the call expects.
    #[error("{0}")]
    WrongDatacenter(String),
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// The outcome of a confirmation, and the names of the members that are missing.
#[derive(Debug)]
pub(crate) struct Confirmed {
    pub(crate) outcome: Confirmation,
    pub(crate) missing: Vec<String>,
}

/// The counters of the node and of the tasks around it, and whether peers connect by TCP.
#[derive(Debug)]
pub(crate) struct Report {
    /// Whether this agent listens for TCP probes, so that its host completes their handshakes.
    pub(crate) takes_tcp_probes: bool,
    pub(crate) counters: BTreeMap<String, u64>,
    /// Why this agent takes no part in strong reads and writes, or votes no more.
    pub(crate) voter_problem: Option<String>,
    /// The reason for which a member did not let this agent in lately.
    pub(crate) refusal: Option<String>,
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let code = match refused {
            Refused::Records(WriteError::Full) => ErrorCode::TooManyRegistrations,
            Refused::Records(WriteError::NotAllowed { .. }) => ErrorCode::ServiceNotAllowed,
            Refused::Records(_) => ErrorCode::RegistrationInvalid,
            Refused::Confirm(ConfirmError::TooMany) => ErrorCode::TooManyAcks,
            Refused::Confirm(_) => ErrorCode::OutOfRange,
            Refused::Silent(_) => ErrorCode::DuplicateNodeId,
            Refused::WrongDatacenter(_) => ErrorCode::WrongDatacenter,
            Refused::Stopping(_) => ErrorCode::AgentStopping,
        };
        Self::new(code, refused.to_string())
    }
}

impl Driver {
    pub(super) fn take_command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Check { records, reply } => {
                let checked = self.refuse_while_silent();
                reply.send(checked.and_then(|()| Ok(self.node.check_write(&records)?)));
            }
            Command::Write { mut records, change, reply } => {
                let change = change.map(|change| {
                    let (instance, change) = *change;
                    let own = self.own_checks.after(&instance, change);
                    records.extend(own.as_ref().map(|own| own.record(&instance)));
                    (instance, own)
                });
                let written = self.node.write(records, now);
                if let (Ok(()), Some((instance, own))) = (&written, change) {
                    self.set_checks(instance, own);
                }
                self.writer.hurry();
                self.drain();
                reply.send(written.map_err(Refused::from));
            }
            Command::ExplainAllChecks { reply } => reply.send(self.own_checks.explain_all(now)),
            Command::ExplainChecks { instance, reply } => {
                reply.send(self.own_checks.explain(&instance, now));
            }
            Command::Follow { alias, follower, reply } => {
                reply.send(self.followed(&alias, &follower));
            }
            Command::Join { addresses, wan, reply } => {
                match self.refuse_while_silent() {
                    Ok(()) => self.joining.wait(addresses.clone(), wan, reply),
                    Err(refused) => reply.send(Err(refused)),
                }
                let join = if wan { Input::JoinWan(addresses) } else { Input::Join(addresses) };
                self.node.handle(join, now);
            }
            Command::ExpectNobodyAt { address } => self.expect_nobody_at(&address),
            Command::Leave => self.node.handle(Input::Leave, now),
            Command::Stop => self.stopped = true,
            Command::Prune { members, reply } => {
                let dropped = members
                    .into_iter()
                    .filter(|(member, order)| self.node.prune(*member, order.as_ref(), now));
                let dropped: Vec<NodeId> = dropped.map(|(member, _)| member).collect();
                self.writer.hurry();
                self.drain();
                self.note_pruned(dropped.len());
                reply.send(dropped);
            }
            Command::Confirm { by, within, reply } => self.confirm(&by, within, reply),
            Command::Request { to, bytes, within, reply } => {
                self.request(to, bytes, within, reply);
            }
            Command::AskForEchoes { of, reply } => {
                reply.send(self.node.ask_for_echoes(&of, now));
            }
            Command::Answer { request, bytes } => {
                self.node.handle(Input::Answer { request, bytes }, now);
            }
            Command::Strong { begin, is_change, reply } => {
                self.begin_strongly(begin, is_change, reply);
            }
            Command::Vouch { reply } => reply.send(self.node.vouch(now)),
            Command::Survey { reply } => {
                self.node.handle(Input::Survey, now);
                self.drain();
                reply.send(());
            }
            Command::Order(decide) => {
                let (inputs, answer) = decide(&self.node, now);
                for input in inputs {
                    self.node.handle(input, now);
                }
                self.writer.hurry();
                self.drain();
                self.save_changed_keys();
                answer();
            }
            Command::Inspect(read) => {
                // Publish the ages first, so that those in the registry are no older than the state that the reader
                // sees.
                self.show_ages(now);
                read(&self.node, now);
            }
            Command::Report { reply } => reply.send(self.report()),
        }
    }

    /// Checks that this agent is not silent.
    fn refuse_while_silent(&self) -> Result<(), Refused> {
        let silence = words::silence(&self.node, self.clock.now());
        silence.map_or(Ok(()), |reason| Err(Refused::Silent(reason)))
    }

    fn report(&self) -> Report {
        let (load, gaps) = (self.node.load(), self.node.gaps_closed());
        let convergence = self.node.convergence();
        let own = [
            ("storage_persist_dropped", self.persist_dropped),
            ("storage_stalls", self.inbox.disk_stalls.load(Ordering::Relaxed)),
            ("storage_keys_unkept", self.inbox.unkept_keys.load(Ordering::Relaxed)),
            ("log_lines_lost", lost_lines()),
            ("check_probes_void", void_probes()),
            ("records_unknown_now", load.records_unknown_now as u64),
            ("instances_hidden_now", load.instances_hidden_now as u64),
            ("record_bytes", load.record_bytes as u64),
            ("unvouched_origins", load.unvouched_origins as u64),
            ("gaps_now", load.gaps as u64),
            ("voter_registers", self.voter_registers()),
            ("voter_silent", u64::from(self.is_silent_voter())),
            ("gaps_closed", gaps.count()),
            ("gaps_closed_ms", millis(gaps.sum())),
            ("convergence", convergence.count()),
            ("convergence_ms", millis(convergence.sum())),
        ];
        let udp = self.network.udp.counters();
        let tcp = self.network.tcp_counters.snapshot();
        let held = self.network.holds.held();
        let quic = self.network.quic.counters().snapshot();
        let counters =
            self.node.counters().iter().chain(own).chain(udp).chain(tcp).chain(held).chain(quic);
        Report {
            takes_tcp_probes: self.network.holds.is_listening(),
            counters: counters.map(|(name, count)| (name.to_owned(), count)).collect(),
            voter_problem: self.voter_problem(),
            refusal: self.entering.refusal(Instant::now()).map(str::to_owned),
        }
    }
}
