//! One node: liveness and the catalog plane under one deadline, as a state machine without IO.
//!
//! The two planes do not know each other. The node hands each input to the plane that it concerns, takes the outputs of
//! both planes in order, and carries facts from one plane to the other.

pub(crate) mod config;
pub(crate) mod datacenters;
mod datagrams;
mod dispatch;

pub(crate) mod explain;
mod facts;
pub(crate) mod io;
mod leave;
pub(crate) mod losses;
mod names;
mod peers;
mod questions;
mod requests;
pub(crate) mod sealed;
#[cfg(feature = "testing")]
pub(crate) mod settled;
#[cfg(feature = "testing")]
pub(crate) mod sharing;
mod strong;
mod support;
pub mod view;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hobnob_keys::SignedCommand;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use crate::base::cluster::{ClusterId, ForeignAddresses};
use crate::base::counters::Counters;
use crate::base::identity::{Identity, NodeId};
use crate::base::io::StreamNumbers;
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::protocol::Protocol;
use crate::base::time::Time;
use crate::base::timers::Timers;
use crate::catalog::record::{Key, Value};
use crate::catalog::{Catalog, WriteError};
use crate::datacenters::Wan;
use crate::liveness::Liveness;
use crate::requests::Requests;
use crate::spread::Spread;
use crate::spread::confirming::{ConfirmError, Confirmers};
use crate::trust::Guard;
use crate::trust::door::SecuredBy;
use crate::trust::orders::OrderKind;
use crate::wire::Envelope;

use config::Config;
use io::{Event, Input, Output};
use leave::Leaving;
use losses::Losses;
use names::Namesakes;
use peers::Pools;
use questions::Questions;
use strong::Strong;
use view::{OriginStatus, View};

/// Capacity that the queue of outputs keeps while it is empty.
const MAX_IDLE_OUTPUTS: usize = 64;

/// One node of a cluster.
///
/// A node reads no clock, draws no entropy and owns no socket. Its driver hands in each input with
/// [`handle`](Self::handle), and takes outputs with [`poll_output`](Self::poll_output) until there are none left. Then
/// the driver waits for the next input or for [`next_deadline`](Self::next_deadline), whichever comes first. The same
/// configuration and the same inputs at the same times give the same outputs.
pub struct Node {
    envelope: Envelope,
    /// The guard of a sealed cluster; `None` in a clear one.
    guard: Option<Box<Guard>>,
    foreigners: ForeignAddresses,
    protocol: Protocol,
    liveness: Liveness,
    spread: Spread,
    wan: Wan,
    requests: Requests,
    /// The room of strong reads and writes, if the owner began it.
    strong: Option<Box<Strong>>,
    view: View,
    timers: Timers,
    leaving: Option<Leaving>,
    losses: Losses,
    namesakes: Namesakes,
    questions: Questions,
    deadline: Option<Time>,
    outputs: VecDeque<Output>,
    /// Counters of the node itself, beside those of the planes.
    counters: Counters,
}

impl Node {
    /// A node that knows only itself.
    ///
    /// # Errors
    /// The node record or one of the records to start with breaks a rule, there are too many, or the token of the node does
    /// not allow one of the services.
    pub fn new(config: Config, now: Time) -> Result<Self, WriteError> {
        let Config { cluster, mut identity, node, records, seed, protocol, sealing } = config;
        let cluster = if mutant::is(Mutant::MixClusters) { ClusterId(0) } else { cluster };
        let mut envelope = Envelope::clear(cluster);
        if let Some(sealing) = &sealing {
            envelope = Envelope::sealed(sealing.cluster());
            identity.node_id = sealing.node_id();
        }
        let guard = sealing.map(|sealing| Box::new(Guard::new(*sealing, identity.epoch, now)));
        // Each plane has a random generator of its own, so that the draws of one do not change those of the other.
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
        let liveness = Liveness::new(
            envelope,
            identity,
            node.instance_key_hash,
            &protocol,
            StreamNumbers::new(2, 2),
            seeds.next_u64(),
            now,
        );
        let streams = StreamNumbers::new(1, 2);
        let datacenter = guard.as_ref().map_or_else(
            || node.datacenter.clone(),
            |guard| guard.own().datacenter().as_str().into(),
        );
        let mut this = Self {
            envelope,
            guard,
            foreigners: ForeignAddresses::default(),
            liveness,
            spread: Spread::new(envelope, identity, &protocol, streams, seeds.next_u64(), now),
            wan: Wan::new(envelope, identity, &datacenter, &protocol, seeds.next_u64(), now),
            requests: Requests::new(envelope, identity.node_id),
            strong: None,
            view: View::default(),
            timers: Timers::default(),
            leaving: None,
            losses: Losses::default(),
            namesakes: Namesakes::new(),
            questions: Questions::default(),
            deadline: None,
            outputs: VecDeque::new(),
            counters: Counters::default(),
            protocol,
        };
        let node = (Key::Node, Value::Node(Arc::new(node)));
        this.check_rights(records.iter().map(|(_, value)| value))?;
        let records = std::iter::once(node).chain(records);
        let mut records: Vec<_> = records.map(|(key, value)| (key, Some(value))).collect();
        this.certify(&mut records);
        this.spread.write(records, now)?;
        this.liveness.set_datacenter(this.wan.own());
        this.review_home(this.identity().node_id, now);
        this.pass_on(now);
        this.deadline = this.find_deadline(now);
        Ok(this)
    }

    /// Handles an input. `now` must not be earlier than in the previous call.
    pub fn handle(&mut self, input: Input<'_>, now: Time) {
        self.liveness.notice_call(self.deadline, now);
        self.wan.notice_call(self.deadline, now);
        self.pass_on(now);
        match input {
            Input::Datagram { from, bytes } => self.handle_datagram(from, bytes, now),
            Input::StreamAccepted { stream } => self.handle_stream_accepted(stream, now),
            Input::StreamAnswered { stream } => {
                self.with_guard(|guard| guard.stream_answered(stream, now), now);
            }
            Input::StreamSecured { stream, peer, binding, wall_ms } => {
                let by = SecuredBy { key: peer, binding, wall_ms };
                self.handle_stream_secured(stream, by, now);
            }
            Input::StreamFrame { stream, bytes } => self.handle_frame(stream, bytes, now),
            Input::StreamWritten { stream } => {
                let guard = self.guard.as_mut();
                if !guard.is_some_and(|guard| guard.stream_written(stream)) {
                    self.spread.stream_written(stream, now);
                    self.wan.stream_written(stream, now);
                    self.requests.stream_written(stream);
                }
            }
            Input::StreamClosed { stream } => {
                self.with_guard(|guard| guard.stream_closed(stream), now);
                self.liveness.stream_closed(stream);
                self.spread.stream_closed(stream);
                self.wan.stream_closed(stream);
                self.requests.stream_closed(stream);
            }
            Input::TcpProbeAnswered { tcp_probe } => {
                self.liveness.handle_tcp_probe_answered(tcp_probe);
            }
            Input::Held { hold } => self.liveness.handle_held(hold, now),
            Input::HoldEnded { hold, end } => self.liveness.handle_hold_ended(hold, end, now),
            Input::Reached { reach, outcome } => self.liveness.handle_reached(reach, outcome, now),
            Input::Join(addresses) => {
                self.with_guard(|guard| guard.enter_at(&addresses, now), now);
                self.liveness.join(addresses, now);
            }
            Input::JoinWan(addresses) => {
                self.with_guard(|guard| guard.enter_at(&addresses, now), now);
                self.wan.join(&addresses, now);
            }
            Input::Isolate { datacenter, is_isolated, forgets } => {
                self.wan.isolate(datacenter, is_isolated, forgets, now);
            }
            Input::Rotate(generation) => self.rotate(generation, now),
            Input::Revoke(command) => self.revoke(command, now),
            Input::Succeed(succession) => self.succeed(succession, now),
            Input::Survey => self.begin_survey(now),
            Input::ForceLeave { node, order } => self.force_leave(node, order.as_ref(), now),
            Input::Answer { request, bytes } => drop(self.requests.answer(request, bytes, now)),
            Input::Leave => self.leave(now),
            Input::Deadline => self.handle_deadlines(now),
        }
        self.settle(now);
    }

    /// The next output; `None` if there is none until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() && self.outputs.capacity() > MAX_IDLE_OUTPUTS {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`Input::Deadline`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Writes records of our own. Readers of this node see all of them change in one step. `now` must not be earlier than
    /// in the previous call. As after [`handle`](Self::handle), the driver takes the outputs.
    ///
    /// # Errors
    /// The first rule that one of the records breaks, that there is no room for them, or that the token of this node does
    /// not allow one of the services. None is written then.
    pub fn write(
        &mut self,
        mut records: Vec<(Key, Option<Value>)>,
        now: Time,
    ) -> Result<(), WriteError> {
        self.liveness.notice_call(self.deadline, now);
        self.pass_on(now);
        self.certify(&mut records);
        let allowed = self.check_rights(records.iter().filter_map(|(_, value)| value.as_ref()));
        let written = allowed.and_then(|()| self.spread.write(records, now));
        self.settle(now);
        written
    }

    /// Checks that [`write`](Self::write) would accept these records.
    ///
    /// # Errors
    /// The same as for [`write`](Self::write).
    pub fn check_write(&self, records: &[(Key, Option<Value>)]) -> Result<(), WriteError> {
        self.check_rights(records.iter().filter_map(|(_, value)| value.as_ref()))?;
        self.catalog().check(records)
    }

    /// Asks members whether they have applied all that this node has written so far, and show it to their clients.
    /// [`Event::Confirmation`](crate::Event::Confirmation) with this number follows when they have, when nobody is left who could,
    /// or after `within`, which is a minute at most.
    ///
    /// # Errors
    /// Too many confirmations are under way, or a part of the question is out of its range. Nobody is asked then.
    pub fn confirm(
        &mut self,
        by: &Confirmers,
        within: Duration,
        now: Time,
    ) -> Result<u64, ConfirmError> {
        let peers = Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        let begun = self.spread.confirm(by, within, &peers, now);
        self.settle(now);
        begun
    }

    /// Declares a member down, and tells all members. The member refutes it if it lives. Returns whether it was active.
    pub fn declare_down(&mut self, node: NodeId, now: Time) -> bool {
        let declared = self.liveness.declare_down(node, now);
        if declared {
            self.settle(now);
        }
        declared
    }

    /// Drops all that this node remembers of a node that is no active member. Other nodes keep what they remember. An
    /// origin tombstone stays, so that repair does not bring the records back; the node itself may come back at any
    /// time. Returns `false` if the node is active or is this one, if there is no room for an origin tombstone, or if
    /// [`check_order`](Self::check_order) refuses the order.
    pub fn prune(&mut self, node: NodeId, order: Option<&SignedCommand>, now: Time) -> bool {
        if !self.takes_order(OrderKind::Prune, node, order) {
            return false;
        }
        let is_active = self.liveness.members().active(node).is_some();
        let lives_elsewhere = self.remote_status(node) == Some(OriginStatus::Active);
        if is_active
            || lives_elsewhere
            || node == self.identity().node_id
            || !self.spread.prune(node)
        {
            return false;
        }
        self.liveness.prune(node, now);
        self.end_strongly(node, now);
        self.settle(now);
        true
    }

    /// The present identity of this node. Its epoch grows when the node refutes a verdict on itself.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.liveness.identity()
    }

    /// The records of all origins.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.spread.catalog()
    }

    /// The parameters in use.
    #[must_use]
    pub fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    fn handle_deadlines(&mut self, now: Time) {
        self.liveness.handle_deadlines(|node| self.spread.catalog().left(node), now);
        self.pass_on(now);
        self.handle_guard_deadlines(now);
        self.handle_leave_deadline(now);
        self.handle_losses_deadlines(now);
        self.handle_namesakes_deadline(now);
        // A node that gave way to another one under its id says nothing there either.
        if !self.liveness.is_silent() {
            self.wan.handle_deadlines(now);
        }
        self.requests.handle_deadlines(now);
        self.handle_strong_deadline(now);
        let peers = &mut Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        self.spread.handle_deadlines(peers, now);
    }

    /// Lets each plane finish its work, and passes on the outputs.
    fn settle(&mut self, now: Time) {
        self.pass_on(now);
        self.wan.settle(now);
        self.pass_on(now);
        self.liveness.set_tables(self.wan.tables());
        self.liveness.settle(now);
        self.pass_on(now);
        let peers = &mut Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        self.spread.settle(peers, now);
        self.pass_on(now);
        self.deadline = self.find_deadline(now);
    }

    fn find_deadline(&self, now: Time) -> Option<Time> {
        let wan = self.wan.next_deadline().filter(|_| !self.liveness.is_silent());
        let planes = [self.liveness.next_deadline(), self.spread.next_deadline(), wan];
        let guard = self.guard.as_ref().and_then(|guard| guard.next_deadline(now));
        let strong = self.strong.as_ref().and_then(|strong| strong.next_deadline());
        let own = [self.timers.next(), self.requests.next_deadline(), guard, strong];
        planes.into_iter().chain(own).flatten().min()
    }

    fn emit(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
