//! Strong reads and writes: callers that wait for them, and the log of this agent as a voter.

use std::collections::BTreeMap;
use std::sync::Arc;

use hobnob_api::{ApiError, EventKind};
use hobnob_membership::quorum::{
    Chain, Change, Configuration, Entry, Failure, OpId, Outcome, Quorum, Standing, registered,
};
use hobnob_membership::record::{Health, NodeRecord, Support, Text};
use hobnob_membership::view::{Instance, InstanceStatus};
use hobnob_membership::{Gateway, Node, NodeId, Time};

use super::{Driver, words};
use crate::actor::Reply;
use crate::consistency::{Stored, VoterWriter, refusal};
use crate::history::{By, Event};
use crate::storage::FoundVoter;

/// The end of a strong operation.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// A majority of the voters has the write on disk.
    Written,
    /// The instances of the service that are registered.
    Read {
        /// As this agent believes them to be.
        shown: Vec<Arc<Instance>>,
        /// As the voters keep them.
        kept: Vec<Entry>,
    },
    /// The voters are those that were asked for.
    Changed,
}

/// A function that begins a strong operation.
pub(super) type Beginning = Box<dyn FnOnce(&mut Node, Time) -> Result<OpId, NotBegun> + Send>;

/// Why a strong operation was not begun.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// The node refuses it.
    Failed(Failure),
    /// The caller may not have it.
    Refused(ApiError),
}

impl From<Failure> for NotBegun {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<ApiError> for NotBegun {
    fn from(refused: ApiError) -> Self {
        Self::Refused(refused)
    }
}

/// The callers that wait, and the log. The node limits how many wait.
#[derive(Default)]
pub(super) struct Strong {
    /// Whether it is a change of voters, and the way back.
    waiting: BTreeMap<OpId, (bool, Reply<Result<Done, ApiError>>)>,
    writer: Option<VoterWriter>,
    /// Why this agent takes no part, or votes no more.
    problem: Option<String>,
}

impl Strong {
    /// What the log tells, if it tells something now.
    pub(super) fn try_stored(&mut self) -> Option<Stored> {
        self.writer.as_mut()?.try_stored()
    }

    /// The end of a write to the log.
    pub(super) async fn stored(&mut self) -> Stored {
        match &mut self.writer {
            Some(writer) => writer.stored().await,
            None => std::future::pending().await,
        }
    }
}

impl Driver {
    /// The same driver, with the log of this agent as a voter, or the reason why there is none.
    pub(crate) fn voting(mut self, log: Result<(VoterWriter, FoundVoter), String>) -> Self {
        match log {
            Ok((writer, found)) => {
                self.strong.writer = Some(writer);
                self.begin_voting(found);
            }
            Err(problem) => self.strong.problem = Some(problem),
        }
        self.drain();
        self
    }

    fn begin_voting(&mut self, FoundVoter { image, provenance }: FoundVoter) {
        self.node.begin_strong(image, provenance, rand::random(), self.clock.now());
    }

    pub(super) fn begin_strongly(
        &mut self,
        begin: Beginning,
        is_change: bool,
        reply: Reply<Result<Done, ApiError>>,
    ) {
        let now = self.clock.now();
        if self.node.strong().is_none() {
            let problem = self.strong.problem.as_deref().unwrap_or("it is starting");
            return reply.send(Err(refusal::no_part(problem)));
        }
        match begin(&mut self.node, now) {
            Ok(op) => drop(self.strong.waiting.insert(op, (is_change, reply))),
            Err(NotBegun::Failed(failure)) => {
                reply.send(Err(refusal::failed(&self.node, &failure)));
            }
            Err(NotBegun::Refused(refused)) => reply.send(Err(refused)),
        }
    }

    /// Hands changes of the voter to its log.
    pub(super) fn store_strongly(&mut self, ticket: u64, changes: Vec<Change>) {
        // The room asks for no further write before this one is over, so there is room.
        let is_taken = self.strong.writer.as_ref().is_some_and(|it| it.write(ticket, changes));
        if !is_taken {
            let gone = "the task that writes the voter log is gone".to_owned();
            self.take_stored(Stored::Failed(gone));
        }
    }

    pub(super) fn take_stored(&mut self, stored: Stored) {
        match stored {
            Stored::Written(ticket) => self.node.strong_stored(ticket, self.clock.now()),
            Stored::Opened(found) => {
                tracing::info!("the voter log can be written again");
                self.history.record(Event::new(EventKind::VoterResumed, By::agent()));
                self.strong.problem = None;
                self.begin_voting(*found);
            }
            Stored::Failed(problem) => {
                if self.strong.problem.is_none() {
                    tracing::error!(problem, "this agent does not vote");
                    let event = Event::new(EventKind::VoterStopped, By::agent());
                    self.history.record(event.why(&problem));
                }
                self.strong.problem = Some(problem);
                self.node.strong_failed();
            }
        }
    }

    pub(super) fn note_strong_done(&mut self, op: OpId, outcome: Outcome) {
        let Some((is_change, reply)) = self.strong.waiting.remove(&op) else { return };
        let node = &self.node;
        reply.send(match outcome {
            Outcome::Written => Ok(Done::Written),
            Outcome::Changed(_) => Ok(Done::Changed),
            Outcome::Read(kept) => {
                let shown = kept.iter().filter_map(|entry| show(node, entry)).collect();
                Ok(Done::Read { shown, kept })
            }
            Outcome::Unknown(failure) if is_change => Err(refusal::uncertain(node, &failure)),
            Outcome::Unknown(failure) => Err(refusal::unconfirmed(node, &failure)),
            Outcome::Unread(failure) => Err(refusal::failed(node, &failure)),
            Outcome::Unchanged(failure) => Err(refusal::unchanged(node, &failure)),
        });
    }

    pub(super) fn note_voters(&self, chain: &Chain) {
        let names = |of: &Configuration| {
            words::names(&self.node, of.nodes().collect::<Vec<_>>().into_iter())
        };
        let next = chain.next.as_ref().map(names);
        let number = chain.installed.number;
        let voters = names(&chain.installed);
        tracing::info!(number, voters, next, "voters");
        let event = Event::new(EventKind::VotersChanged, By::agent()).to(&voters);
        let why = next.map(|next| format!("a change is under way, to {next}"));
        self.history.record(event.why(why.as_deref().unwrap_or_default()));
    }

    /// The registers that this agent keeps as a voter.
    pub(super) fn voter_registers(&self) -> u64 {
        self.node.strong().map_or(0, |quorum| quorum.image().ledger().len() as u64)
    }

    /// Whether this agent is a voter and does not vote.
    pub(super) fn is_silent_voter(&self) -> bool {
        let standing = self.node.strong().map_or(Standing::NoSeat, Quorum::standing);
        match standing {
            Standing::NoSeat => false,
            Standing::Votes => self.strong.problem.is_some(),
            Standing::Doubtful | Standing::Lost => true,
        }
    }

    /// Why this agent takes no part in strong reads and writes, or votes no more.
    pub(super) fn voter_problem(&self) -> Option<String> {
        self.strong.problem.clone()
    }
}

/// A registered instance as this agent believes it to be. One that it does not know yet has no health. `None` if its agent may not
/// serve the service, or if its definition cannot be read.
pub(crate) fn show(node: &Node, entry: &Entry) -> Option<Arc<Instance>> {
    let (origin, id) = (entry.place.origin, &entry.place.id);
    let known = node.instance(origin, id);
    if let Some(known) = known
        && node.stamp_of(origin, id) == Some(entry.stamp)
    {
        return Some(known.clone());
    }
    let service = match registered(entry) {
        Ok(service) => Arc::new(service?),
        Err(error) => {
            tracing::warn!(node_id = %origin, %id, %error, "a voter keeps a definition that this version cannot read: it is left out");
            return None;
        }
    };
    if node.hides(origin, &service.service).is_some() {
        return None;
    }
    if let Some(known) = known {
        return Some(Arc::new(Instance { service, ..(**known).clone() }));
    }
    let (health, status) = (Health::Unknown, InstanceStatus::Unknown);
    let (id, down_since) = (id.clone(), node.down_since(origin));
    let node = node.description(origin).cloned().unwrap_or_else(|| nameless(node, origin));
    Some(Arc::new(Instance { origin, id, node, service, health, status, down_since }))
}

/// The record of an agent whose own has not come. It goes by its node id.
fn nameless(node: &Node, origin: NodeId) -> Arc<NodeRecord> {
    let own = node.description(node.identity().node_id);
    let datacenter = own.map(|own| own.datacenter.clone()).unwrap_or_default();
    Arc::new(NodeRecord {
        name: Text::from(origin.to_string()),
        datacenter,
        zone: Text::default(),
        software: Text::default(),
        instance_key_hash: 0,
        left: None,
        support: Support::OURS,
        certificate: Vec::new(),
        gateway: Gateway::Never,
    })
}
