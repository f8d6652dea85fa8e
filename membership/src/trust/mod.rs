//! The members of a sealed cluster, and the keys that its datagrams are sealed with.
//!
//! A node of a clear cluster has nothing of this room. The room knows keys, certificates and streams; it knows neither
//! plane. What it wants done it puts out as [`Act`]s, which the node carries out.

mod certificates;
pub(crate) mod door;
mod judge;
pub(crate) mod keyring;
pub(crate) mod news;
pub(crate) mod orders;
pub(crate) mod rights;
pub(crate) mod sealer;
pub(crate) mod sealing;
mod streams;
pub(crate) mod survey;
mod windows;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use hobnob_keys::{
    CommandError, Generation, GenerationError, Membership, Revocations, Revoked, SignedCommand,
    Succession, Trust,
};

use crate::base::counters::Counters;
use crate::base::identity::{Epoch, NodeId};
use crate::base::io::{StreamId, StreamNumbers};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;

use certificates::Certificates;
use door::Doors;
use judge::Verifications;
use keyring::Offered;
use news::News;
use rights::Rights;
use sealer::{Opened, Sealer, Unopened};
use sealing::Sealing;
use survey::{Ours, Survey};

/// The streams of this room have numbers of their own, far above those of both planes.
const FIRST_STREAM: u64 = 1 << 62;

/// Something that the guard wants done.
#[derive(Debug)]
pub(crate) enum Act {
    /// Send a frame.
    Send(StreamId, Vec<u8>),
    /// Finish our side of a stream.
    Finish(StreamId),
    /// Drop a stream, and tell the planes that it is over.
    Drop(StreamId),
    /// Hand a frame to the planes.
    Deliver {
        /// The stream.
        stream: StreamId,
        /// The frame.
        bytes: Vec<u8>,
        /// Whether nothing of the stream was handed on before.
        is_first: bool,
    },
    /// Open a stream at a gossip address, where any member may be.
    OpenAt(StreamId, SocketAddr),
    /// The first generation is held: datagrams can be sealed from now on.
    Entered,
    /// The generations, the revocations, the trusted CA keys or the known certificates changed.
    Changed,
    /// A node was revoked.
    Revoked(NodeId),
    /// It is known now what an origin may serve.
    Judged(NodeId),
    /// A peer did not let us in.
    Refused(String),
}

/// The guard of a node in a sealed cluster: it closes and opens datagrams, and judges who is a member.
#[derive(Debug)]
pub(crate) struct Guard {
    trust: Trust,
    own: Membership,
    certificates: Certificates,
    /// The members that said that they hold the certificate of this node.
    holders: BTreeSet<NodeId>,
    rights: Rights,
    revocations: Revocations,
    /// The nodes that are revoked.
    revoked: BTreeSet<NodeId>,
    pub(crate) sealer: Sealer,
    doors: Doors,
    streams: StreamNumbers,
    verifications: Verifications,
    news: News,
    pub(crate) survey: Survey,
    acts: VecDeque<Act>,
    counters: Counters,
}

impl Guard {
    /// The guard of a node in the life that begins at this epoch. What the disk kept and does not count is dropped, and
    /// counted.
    pub(crate) fn new(sealing: Sealing, epoch: Epoch, now: Time) -> Self {
        let node = sealing.node_id();
        let Sealing { trust, own, generations, revocations, members } = sealing;
        let mut this = Self {
            trust,
            own,
            certificates: Certificates::default(),
            holders: BTreeSet::new(),
            rights: Rights::default(),
            revocations: Revocations::default(),
            revoked: BTreeSet::new(),
            sealer: Sealer::new(node, epoch),
            doors: Doors::default(),
            streams: StreamNumbers::new(FIRST_STREAM, 1),
            verifications: Verifications::default(),
            news: News::default(),
            survey: Survey::default(),
            acts: VecDeque::new(),
            counters: Counters::default(),
        };
        for certificate in members {
            match certificate.verify(&this.trust) {
                Ok(membership) => this.remember(Arc::new(membership)),
                Err(_) => this.counters.certificates_refused += 1,
            }
        }
        this.merge(revocations, now);
        for (generation, in_use) in generations {
            this.offer(generation, in_use, now);
        }
        // The disk told all of this, and the node is about to be told of nobody that is revoked.
        this.acts.retain(|act| matches!(act, Act::Revoked(_)));
        this
    }

    /// The messages of a datagram.
    pub(crate) fn open<'a>(
        &mut self,
        datagram: &[u8],
        epoch_of: impl Fn(NodeId) -> Option<Epoch>,
        now: Time,
    ) -> Result<Opened<'a>, Unopened> {
        let revoked = &self.revoked;
        self.sealer.open(datagram, |sender| revoked.contains(&sender), epoch_of, now)
    }

    /// Takes a generation, if it counts. One of a revoked operator serves while there is no other.
    pub(crate) fn offer(&mut self, generation: Generation, in_use: bool, now: Time) -> Offered {
        let verified = generation.verify(&self.trust, &self.revocations);
        let is_disowned = matches!(verified, Err(GenerationError::Revoked { .. }));
        if verified.is_err_and(|error| !is_disowned && !is_overlooked(&error)) {
            self.counters.generations_refused += 1;
            return Offered::Refused;
        }
        let is_first = self.is_newcomer(now);
        let (keyring, suite) = (&mut self.sealer.keyring, self.trust.suite());
        let offered = keyring.offer(generation, in_use, is_disowned, suite, now);
        if matches!(offered, Offered::Taken | Offered::Hurried) {
            self.acts.push_back(Act::Changed);
            if is_first {
                self.acts.push_back(Act::Entered);
            }
        }
        offered
    }

    /// Takes a generation that an operator orders now, if it counts. Other members are told of it, unless it is the first one: none
    /// of them can be heard before.
    pub(crate) fn rotate(&mut self, generation: Generation, now: Time) {
        let is_first = self.is_newcomer(now);
        if self.offer(generation, false, now) == Offered::Taken && !is_first {
            self.news.spread(now);
        }
    }

    /// Takes a revocation that an operator gives now, if it counts. Other members are told of it.
    pub(crate) fn revoke(&mut self, command: SignedCommand, now: Time) {
        let added = self.revocations.add(&self.trust, command);
        self.counters.revocations_refused += u64::from(added.is_err());
        if added.unwrap_or(false) {
            self.take_new_revocations(now);
            self.news.spread(now);
        }
    }

    /// Takes revocations of a peer or of the disk. Returns how many are new.
    fn merge(&mut self, commands: impl IntoIterator<Item = SignedCommand>, now: Time) -> usize {
        let mut new = 0;
        for command in commands {
            match self.revocations.merge(&self.trust, [command]) {
                Ok(added) => new += added,
                Err(_) => self.counters.revocations_refused += 1,
            }
        }
        if new > 0 {
            self.take_new_revocations(now);
        }
        new
    }

    fn take_new_revocations(&mut self, now: Time) {
        self.acts.push_back(Act::Changed);
        self.disown_generations(now);
        let keys = self.revocations.iter().filter_map(|(revoked, _)| match revoked {
            Revoked::Key(key) => Some(node_of(key)),
            Revoked::Token(_) => None,
        });
        let nodes: BTreeSet<NodeId> =
            keys.chain(self.certificates.revoked_by(&self.revocations)).collect();
        for node in nodes {
            if self.revoked.insert(node) {
                self.shut_out(node);
            }
        }
    }

    /// Looks again at the operators of the generations held, each of which counted once. A generation whose operator was revoked since, or
    /// has the token of a CA key that is trusted no more, gives way to any other.
    fn disown_generations(&mut self, now: Time) {
        let (trust, revocations) = (&self.trust, &self.revocations);
        let is_disowned = |generation: &Generation| generation.verify(trust, revocations).is_err();
        self.sealer.keyring.disown(is_disowned, now);
    }

    /// Takes a succession of CA keys, if it counts. Other members are told of it. By whom it comes does not matter, because both
    /// CA keys signed it.
    pub(crate) fn succeed(&mut self, succession: Succession, now: Time) {
        match self.trust.succeed(succession) {
            Ok(true) => {
                // Those of another successor, which this one replaced, do not count any more.
                let trust = &self.trust;
                self.certificates.retain(|member| trust.trusts(member.authority()));
                self.review_judged();
                self.disown_generations(now);
                self.acts.push_back(Act::Changed);
                self.news.spread(now);
            }
            Ok(false) => {}
            Err(_) => self.counters.successions_refused += 1,
        }
    }

    fn shut_out(&mut self, node: NodeId) {
        for stream in self.doors.of(node) {
            self.drop_stream(stream);
        }
        self.survey.forget(node);
        self.acts.push_back(Act::Revoked(node));
    }

    /// Remembers a member that was let in.
    fn remember(&mut self, membership: Arc<Membership>) {
        let is_told = self.acts.iter().any(|act| matches!(act, Act::Changed));
        if self.certificates.remember(membership) && !is_told {
            self.acts.push_back(Act::Changed);
        }
    }

    /// Whether a node is revoked, as far as its certificate or its key is known.
    pub(crate) fn is_revoked(&self, node: NodeId) -> bool {
        self.revoked.contains(&node)
    }

    /// The nodes that are revoked.
    pub(crate) fn revoked_nodes(&self) -> &BTreeSet<NodeId> {
        &self.revoked
    }

    /// Whether this node holds no generation yet.
    pub(crate) fn is_newcomer(&self, now: Time) -> bool {
        self.sealer.keyring.present(now).is_none()
    }

    /// The generations that the disk should keep, each with whether it is in use.
    pub(crate) fn generations(&self, now: Time) -> Vec<(Generation, bool)> {
        let current = self.sealer.keyring.current(now);
        current.map(|(generation, in_use)| (generation.clone(), in_use)).collect()
    }

    /// The revocations that the disk should keep.
    pub(crate) fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The members that the disk should keep.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Membership> {
        self.certificates.iter()
    }

    /// The keys that all members must hold.
    pub(crate) fn ours(&self) -> Ours {
        Ours::of(&self.sealer.keyring, &self.revocations, &self.trust)
    }

    /// The CA keys that this node trusts.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The membership of this node.
    pub(crate) fn own(&self) -> &Membership {
        &self.own
    }

    /// The next thing to do.
    pub(crate) fn poll_act(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// The counters of this room.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            generations_given_up: self.sealer.keyring.given_up(),
            replay_windows_given_up: self.sealer.windows.given_up(),
            certificates_given_up: self.certificates.given_up(),
            ..self.counters.clone()
        }
    }
}

/// Whether a bug overlooks why a generation does not count.
fn is_overlooked(error: &GenerationError) -> bool {
    let has_no_role =
        matches!(error, GenerationError::Order { error: CommandError::NotAllowed(_), .. });
    has_no_role && mutant::is(Mutant::AnyMemberRotates)
}

/// The id of the node with this key.
pub(crate) fn node_of(key: &hobnob_keys::PublicKey) -> NodeId {
    sealer::from_keys(key.node_id())
}
