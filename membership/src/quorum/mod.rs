//! Strong reads and writes: registers with one writer each, kept by a few voters, without a leader, a log or a lease.
//!
//! The voters of a datacenter, 3 or 5 agents, keep [registers](Entry) on disk, one for each instance of a service. A write is done when
//! a majority of them has it. A read is answered when a majority reports one digest for the service; else the reader writes back the
//! join of what it was told, and asks again (Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in Message-Passing Systems", 1995;
//! Skrzypczak, Schintke, Schütt, "Linearizable State Machine Replication of State-Based CRDTs without Logs", 2019). Only the set of
//! voters itself is agreed on, by single-decree Paxos. `docs/CONSISTENCY.md` has the proof.
//!
//! The room does no IO. Messages come in and go out by node id; they may be lost, doubled and reordered. What a voter tells waits until
//! it is on disk: the owner of the room writes what [`Output::Store`] says, and then calls [`Quorum::stored`].

mod asking;
mod chain;
mod entry;
mod instance;
mod ledger;
mod message;
mod operation;
mod voter;
mod working;

use std::collections::{BTreeMap, VecDeque};
use std::slice;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use smol_str::SmolStr;

use crate::base::identity::NodeId;
use crate::base::time::Time;
use crate::codec::encoded_len;

pub use chain::{Acceptor, Ballot, Chain, Configuration, MAX_VOTERS, Proposal, Seat};
pub use entry::{Elsewhere, Entry, Fence, MAX_VALUE_BYTES, OriginEnd, Place, Stamp};
pub use instance::{registered, service_key};
pub(crate) use ledger::Holding;
pub use ledger::{Ledger, MAX_ENTRIES, last_of};
pub use message::{
    Answer, Ask, Deposit, Last, Look, Message, Page, Part, Recover, Reply, Seen, Voice,
};
pub use operation::{Failure, OpId, Outcome};
pub use smol_str::SmolStr as Text;
use voter::image::Reserve;
pub use voter::image::{Change, Cursor, Image, MAX_ORIGINS, OwnSeat, VoterLife};
pub use voter::{Provenance, QuorumCounters, Standing};

use asking::calls::Calls;
use asking::changing::Changing;
use asking::fetching::Fetching;
use asking::reading::Reads;
use asking::votes::VoterLives;
use asking::writing::Writes;
use operation::Op;
use voter::Voter;
use working::Errand;

/// Strong writes of one node under way at once. Further ones are refused.
pub const MAX_WRITES: usize = 256;
/// Strong reads of one node under way at once. Further ones are refused.
pub const MAX_READS: usize = 16_384;
/// Instances of one write.
pub const MAX_INSTANCES_OF_WRITE: usize = 16;
/// Registers of one write. An instance that moves has two.
pub const MAX_ENTRIES_OF_WRITE: usize = 2 * MAX_INSTANCES_OF_WRITE;
/// Bytes of one write.
pub const MAX_WRITE_BYTES: usize = message::PAGE_BYTES;
/// A change that another node began, and does not finish, is finished by the voters after this long, and later by each further one.
const FINISHED_AFTER: Duration = Duration::from_millis(800);
/// The room is not called more often than this by its own deadline.
const LEAST_PAUSE: Duration = Duration::from_millis(5);

/// What the room wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message to a node.
    Send {
        /// The node.
        to: NodeId,
        /// The message.
        message: Message,
    },
    /// Write changes to disk, all of them or a part from the front, and then call [`Quorum::stored`]. No further write comes before.
    Store {
        /// The number of the write.
        ticket: u64,
        /// The changes.
        changes: Vec<Change>,
    },
    /// An operation is over.
    Done {
        /// The operation.
        op: OpId,
        /// Its outcome.
        outcome: Outcome,
    },
    /// Something new is known of the configurations. Others may learn it by [`Quorum::learn`].
    Learned(Chain),
}

/// The room: a voter, if this node is one, and the operations that this node asks voters for.
#[derive(Debug)]
pub struct Quorum {
    own: NodeId,
    rng: Xoshiro256PlusPlus,
    voter: Voter,
    lives: VoterLives,
    calls: Calls<Errand>,
    reads: Reads,
    writes: Writes,
    changing: Option<Changing>,
    fetching: Option<Fetching>,
    attempts: u64,
    ops: u64,
    /// An operator says that the image is the last one.
    is_vouched: bool,
    /// When this voter finishes a change that another node began.
    finishes_at: Option<(u64, Time)>,
    handled_at: Time,
    /// When each voter answered last.
    answered: BTreeMap<NodeId, Time>,
    /// What the owner was told of the configurations, or knew at the start.
    told_rank: Option<(u64, bool)>,
    outputs: VecDeque<Output>,
}

impl Quorum {
    /// A room with the image that was found on disk. A voter whose image is [proven](Provenance::Proven) votes at once. Others first read
    /// majorities of the other voters.
    #[must_use]
    pub fn new(own: NodeId, image: Image, provenance: Provenance, seed: u64, now: Time) -> Self {
        let mut this = Self::idle(own, image, provenance, seed, now);
        this.settle(now);
        this
    }

    /// A room in place of one that ends, as after a disk had failed. No number of an operation or of a write to disk comes again. Returns
    /// how the operations of the other room end, too.
    pub(crate) fn replacing(
        mut ended: Self,
        image: Image,
        provenance: Provenance,
        seed: u64,
        now: Time,
    ) -> (Self, Vec<(OpId, Outcome)>) {
        let mut this = Self::idle(ended.own, image, provenance, seed, now);
        this.ops = ended.ops;
        this.voter.follow(&ended.voter);
        // Nobody tells a node twice that did not start again.
        this.take_chain(ended.voter.chain());
        this.settle(now);
        (this, ended.end_all())
    }

    fn idle(own: NodeId, image: Image, provenance: Provenance, seed: u64, now: Time) -> Self {
        let told_rank = image.chain().map(Chain::rank);
        Self {
            own,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            voter: Voter::new(own, image, provenance),
            lives: VoterLives::default(),
            calls: Calls::default(),
            reads: Reads::default(),
            writes: Writes::default(),
            changing: None,
            fetching: None,
            attempts: 0,
            ops: 0,
            is_vouched: false,
            finishes_at: None,
            handled_at: now,
            answered: BTreeMap::new(),
            told_rank,
            outputs: VecDeque::new(),
        }
    }

    /// Reads which instances of a service are registered. [`Output::Done`] follows, after `within` at the latest.
    ///
    /// # Errors
    /// Nothing was asked, and no output follows.
    pub fn read(
        &mut self,
        service: &SmolStr,
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        if self.voter.chain().is_none() {
            return Err(Failure::NoVoters);
        }
        let op = self.next_op(within, now);
        if self.reads.len() >= MAX_READS || !self.reads.begin(op, service, now) {
            return Err(Failure::Busy);
        }
        self.settle(now);
        Ok(op.id)
    }

    /// Writes registers. [`Output::Done`] follows, after `within` at the latest.
    ///
    /// # Errors
    /// Nothing was sent, and no output follows.
    pub fn write(
        &mut self,
        deposit: Deposit,
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        let count = deposit.entries.len() + deposit.ends.len();
        if count > MAX_ENTRIES_OF_WRITE || encoded_len(&deposit) > MAX_WRITE_BYTES {
            return Err(Failure::Invalid("a write holds at most 32 registers in 16 KiB"));
        }
        let values = deposit.entries.iter().filter_map(|entry| entry.value.as_ref());
        if values.into_iter().any(|value| value.len() > MAX_VALUE_BYTES) {
            return Err(Failure::Invalid("a value has at most 8 KiB"));
        }
        if self.voter.chain().is_none() {
            return Err(Failure::NoVoters);
        }
        if self.writes.len() >= MAX_WRITES {
            return Err(Failure::Busy);
        }
        let op = self.next_op(within, now);
        self.writes.begin(op, deposit);
        self.settle(now);
        Ok(op.id)
    }

    /// Makes these nodes the voters. [`Output::Done`] follows, after `within` at the latest. With `is_first` an operator vouches that
    /// there was no first configuration before. Without it, nodes that cannot tell refuse to be among the first voters.
    ///
    /// # Errors
    /// Nothing was asked, and no output follows.
    pub fn set_voters(
        &mut self,
        voters: Vec<NodeId>,
        is_first: bool,
        within: Duration,
        now: Time,
    ) -> Result<OpId, Failure> {
        let mut sorted = voters.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() != voters.len() || !chain::is_valid_size(voters.len()) {
            return Err(Failure::Invalid(
                "name 3 or 5 different members, all that are to be voters",
            ));
        }
        if self.changing.as_ref().is_some_and(|changing| changing.op().is_some()) {
            return Err(Failure::Busy);
        }
        let op = self.next_op(within, now);
        self.begin_change(Some(op.id), voters, is_first, op.until);
        self.settle(now);
        Ok(op.id)
    }

    fn next_op(&mut self, within: Duration, now: Time) -> Op {
        self.ops += 1;
        Op { id: OpId(self.ops), until: now + within }
    }

    /// Takes a message of another node.
    pub fn handle(&mut self, from: NodeId, message: Message, now: Time) {
        match message {
            Message::Ask(ask) => {
                let Self { voter, rng, .. } = self;
                voter.answer(from, ask, || rng.next_u64());
            }
            Message::Reply(reply) => self.take_reply(from, reply, now),
        }
        self.settle(now);
    }

    /// A write is on disk.
    pub fn stored(&mut self, ticket: u64, now: Time) {
        self.voter.storing.written(ticket);
        self.settle(now);
    }

    /// A write failed. The node answers nobody until it begins anew.
    pub fn store_failed(&mut self) {
        self.voter.storing.failed();
    }

    /// Takes what another node knows of the configurations.
    pub fn learn(&mut self, chain: &Chain, now: Time) {
        self.take_chain(Some(chain));
        self.settle(now);
    }

    /// Takes writes and ends that came another way, if this node votes. They are not confirmed to anybody. What has no room is left out,
    /// and counted.
    pub fn absorb(&mut self, entries: Vec<Entry>, ends: Vec<OriginEnd>, now: Time) {
        if self.standing() != Standing::Votes {
            return;
        }
        let entries = entries.into_iter().map(Change::Entry);
        for change in entries.chain(ends.into_iter().map(Change::End)) {
            let image = self.voter.image();
            let has_room = match &change {
                Change::Entry(it) => {
                    image.has_room(slice::from_ref(it), &[], None, Reserve::default())
                }
                Change::End(it) => {
                    image.has_room(&[], slice::from_ref(it), None, Reserve::default())
                }
                _ => false,
            };
            if has_room {
                self.voter.apply(change);
            } else {
                self.voter.counters.writes_full += 1;
            }
        }
        self.settle(now);
    }

    /// Takes an operator's word that the image on disk is the last one that this node wrote. The voter then counts itself among those
    /// that it has read from, and votes when the others have noted that. Returns whether there was something to vouch for.
    pub fn vouch(&mut self, now: Time) -> bool {
        let is_doubtful = self.standing() == Standing::Doubtful;
        let is_forgetful = self.voter.is_forgetful();
        if is_doubtful {
            self.is_vouched = true;
            self.settle(now);
        } else if is_forgetful {
            self.voter.set_unforgetful();
        }
        is_doubtful || is_forgetful
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Time) {
        self.settle(now);
    }

    /// The next output; `None` if there is none until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether this node votes.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.voter.standing()
    }

    /// What is known of the configurations.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.voter.chain()
    }

    /// When a voter last answered a question of this node; `None` if it has not, or is no voter.
    #[must_use]
    pub fn answered(&self, voter: NodeId) -> Option<Time> {
        self.answered.get(&voter).copied()
    }

    /// What this node keeps.
    #[must_use]
    pub fn image(&self) -> &Image {
        self.voter.image()
    }

    /// Whether all that this node keeps is on disk.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.voter.storing.is_settled()
    }

    /// What was refused or left out.
    #[must_use]
    pub fn counters(&self) -> QuorumCounters {
        self.voter.counters
    }

    /// Questions, reads, writes and replies under way, in this order.
    #[must_use]
    pub fn load(&self) -> [usize; 4] {
        [self.calls.len(), self.reads.len(), self.writes.len(), self.voter.storing.len()]
    }
}
