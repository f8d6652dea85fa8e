//! The driver: one task that owns the state machine of the protocol, and one loop that feeds it.
//!
//! Datagrams, stream events, answered TCP probes, events of held connections, verdicts of checks, commands and the one
//! deadline go in. Every output is carried out before the loop waits again. The loop waits for nothing but inputs: a full
//! socket drops and counts, as UDP may.

mod commands;
mod confirming;
mod datacenters;
mod entering;
mod events;
mod handle;
mod joining;
pub(crate) mod kept;
mod keys;
mod links;
mod losses;
mod neighbours;
mod own_checks;
mod peers;
mod recording;
mod requesting;
mod strong;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hobnob_keys::GenerationId;
use hobnob_membership::{Epoch, Input, Node, Output, TcpProbeId, Time};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock::{Clock, wall_clock_ms};
use crate::history::{History, MemberSights};
use crate::progress::Progress;
use crate::services::Writer;
use crate::storage::{KeptKeys, KeptVerdict, Peers};
use crate::transport::{HoldEvent, HoldKeys, Network, StreamEvent};

pub(crate) use commands::{Ordered, Refused, Report};
use confirming::Confirming;
use datacenters::Traffic;
pub(crate) use entering::Entering;
pub(crate) use handle::DriverHandle;
use handle::Inbox;
pub(crate) use joining::Joining;
use keys::KeySaving;
use losses::HeldLosses;
pub(crate) use own_checks::{
    OwnChange, OwnCheck, OwnChecks, OwnInstance, status_word, target_of, verdict_key,
};
use peers::KeptPeers;
use requesting::Requesting;
use strong::Strong;
pub(crate) use strong::{Done, show};
pub(crate) use words::name_of;

/// The most datagrams that are taken before any other kind of input.
const DATAGRAM_BATCH: usize = 64;
/// The most inputs of each other kind that are taken before the next kind.
const BATCH: usize = 16;
/// Commands, of which clients can send many, are taken for this long at most before datagrams have their turn.
const COMMANDS_FOR: Duration = Duration::from_millis(2);
/// A deadline this late means that the process stalled. Messages that arrived meanwhile are then handled before the
/// silence of their senders.
const STALLED_AFTER: Duration = Duration::from_millis(100);
/// The most batches of datagrams that are taken after a stall: a full receive buffer of small datagrams.
const STALLED_BATCHES: usize = 32;
/// The longest sleep of the loop. Timers do not count the time for which the host is suspended, so after a suspend the loop
/// looks at the clock this much later at most.
const LOOK_AT_CLOCK_EVERY: Duration = Duration::from_secs(1);
/// The precision of ages in the registry, for each thousand origins.
const AGES_PERIOD: Duration = Duration::from_millis(100);
/// The time that streams have at the end to write their frames.
const STREAMS_WITHIN: Duration = Duration::from_millis(200);

/// Something to persist for the next start.
#[derive(Debug)]
pub(crate) enum Persist {
    Epoch(Epoch),
    Peers(Peers),
    /// The keys of a sealed cluster, as they are after the change with this number.
    Keys(Box<KeptKeys>, u64),
    Verdicts(BTreeMap<Arc<str>, KeptVerdict>),
}

/// The reason for which the driver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The node left the cluster.
    Left,
    /// It was asked to stop without leaving.
    Stopped,
    /// All handles are gone.
    Abandoned,
}

/// The task of the driver. See the module.
pub(crate) struct Driver {
    node: Node,
    clock: Clock,
    network: Network,
    inbox: Inbox,
    own_checks: OwnChecks,
    writer: Writer,
    persist: mpsc::Sender<Persist>,
    joining: Joining,
    confirming: Confirming,
    requesting: Requesting,
    strong: Strong,
    entering: Entering,
    losses: HeldLosses,
    peers: KeptPeers,
    traffic: Traffic,
    key_saving: KeySaving,
    keep_verdicts_at: Option<Instant>,
    persist_dropped: u64,
    ages_due: Time,
    members_due: Time,
    /// The transport does not know yet which members came and went.
    members_changed: bool,
    /// Whether members that were lost together may have changed.
    losses_changed: bool,
    /// The generations that the transport knows, each with whether it is in use.
    told_generations: Vec<(GenerationId, bool)>,
    /// The revoked nodes that the transport knows.
    told_revoked: usize,
    left: bool,
    stopped: bool,
    progress: Progress,
    history: History,
    sights: MemberSights,
}

impl Driver {
    /// The driver of a node, and a handle to it. Everything that the node knows already is visible when this returns.
    pub(crate) fn new(
        node: Node,
        clock: Clock,
        network: Network,
        own_checks: OwnChecks,
        writer: Writer,
        persist: mpsc::Sender<Persist>,
        joining: Joining,
    ) -> (Self, DriverHandle) {
        let (handle, inbox) = DriverHandle::channel();
        let mut driver = Self {
            node,
            clock,
            network,
            inbox,
            own_checks,
            writer,
            persist,
            joining,
            confirming: Confirming::default(),
            requesting: Requesting::default(),
            strong: Strong::default(),
            entering: Entering::default(),
            losses: HeldLosses::default(),
            peers: KeptPeers::default(),
            traffic: Traffic::default(),
            key_saving: KeySaving::default(),
            keep_verdicts_at: None,
            persist_dropped: 0,
            ages_due: Time::ZERO,
            members_due: Time::ZERO,
            members_changed: false,
            losses_changed: false,
            told_generations: Vec::new(),
            told_revoked: 0,
            left: false,
            stopped: false,
            progress: Progress::default(),
            history: History::silent(),
            sights: MemberSights::default(),
        };
        // An agent that should find members and has found none yet may be cut off.
        driver.writer.set_isolated(driver.joining.expects_company());
        driver.drain();
        (driver, handle)
    }

    /// The same, showing there that it makes progress.
    pub(crate) fn showing(mut self, progress: Progress) -> Self {
        progress.beat_driver();
        self.progress = progress;
        self
    }

    /// Runs until the node has left, it was asked to stop, or all handles are gone.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            self.progress.beat_driver();
            if self.left || self.stopped {
                // Nobody is to take the end of this process for a crash.
                self.network.holds.say_goodbye();
                self.keep_changed_verdicts();
                self.save_changed_keys();
            }
            if self.stopped {
                return Ended::Stopped;
            }
            if self.left {
                self.network.quic.shutdown(STREAMS_WITHIN).await;
                return Ended::Left;
            }
            let deadline = self.node.next_deadline().map(|due| self.clock.instant(due));
            let own = [
                self.peers.due,
                self.keep_verdicts_at,
                self.joining.warn_at,
                self.entering.found_at(),
                self.key_saving.due_at(),
            ];
            let look = Instant::now() + LOOK_AT_CLOCK_EVERY;
            let wake = own.into_iter().flatten().chain(deadline).fold(look, Instant::min);
            tokio::select! {
                biased;
                () = self.network.udp.readable() => self.take_datagrams(),
                Some(event) = self.network.stream_events.recv() => self.take_stream_event(&event),
                Some(probe) = self.network.tcp_probe_answered.recv() => self.take_tcp_probe(probe),
                Some(event) = self.network.hold_events.recv() => self.take_hold_event(event),
                stored = self.strong.stored() => self.take_stored(stored),
                Some(report) = self.inbox.reports.recv() => self.take_report(&report),
                command = self.inbox.commands.recv() => match command {
                    Some(command) => self.take_command(command),
                    None => return Ended::Abandoned,
                },
                () = tokio::time::sleep_until(wake) => {}
            }
            self.take_waiting_inputs();
            if self.has_stalled() {
                self.catch_up();
            }
            self.take_deadlines();
            self.drain();
        }
    }

    /// Takes some inputs of each kind, so that a flood of one kind does not keep the others waiting.
    fn take_waiting_inputs(&mut self) {
        for _ in 0..BATCH {
            let Ok(event) = self.network.stream_events.try_recv() else { break };
            self.take_stream_event(&event);
        }
        for _ in 0..BATCH {
            let Ok(probe) = self.network.tcp_probe_answered.try_recv() else { break };
            self.take_tcp_probe(probe);
        }
        for _ in 0..BATCH {
            let Ok(event) = self.network.hold_events.try_recv() else { break };
            self.take_hold_event(event);
        }
        for _ in 0..BATCH {
            let Ok(report) = self.inbox.reports.try_recv() else { break };
            self.take_report(&report);
        }
        if let Some(stored) = self.strong.try_stored() {
            self.take_stored(stored);
        }
        let began = Instant::now();
        for _ in 0..BATCH {
            if began.elapsed() >= COMMANDS_FOR {
                break;
            }
            // The loop notices a closed channel where it waits for a command.
            let Ok(command) = self.inbox.commands.try_recv() else { break };
            self.take_command(command);
        }
    }

    fn has_stalled(&self) -> bool {
        let now = self.clock.now();
        self.node.next_deadline().is_some_and(|due| now.since(due) > STALLED_AFTER)
    }

    fn catch_up(&mut self) {
        for _ in 0..STALLED_BATCHES {
            self.take_datagrams();
        }
    }

    fn take_datagrams(&mut self) {
        for _ in 0..DATAGRAM_BATCH {
            let Some((from, bytes)) = self.network.udp.receive() else { return };
            if self.entering.is_revoked() {
                continue;
            }
            self.node.handle(Input::Datagram { from, bytes }, self.clock.now());
        }
    }

    fn take_stream_event(&mut self, event: &StreamEvent) {
        let input = match event {
            StreamEvent::Accepted { stream } => Input::StreamAccepted { stream: *stream },
            StreamEvent::Answered { stream } => Input::StreamAnswered { stream: *stream },
            StreamEvent::Secured { stream, peer, binding } => Input::StreamSecured {
                stream: *stream,
                peer: *peer,
                binding: *binding,
                wall_ms: wall_clock_ms(),
            },
            StreamEvent::Frame { stream, bytes } => Input::StreamFrame { stream: *stream, bytes },
            StreamEvent::Written { stream } => Input::StreamWritten { stream: *stream },
            StreamEvent::Closed { stream } => Input::StreamClosed { stream: *stream },
        };
        self.node.handle(input, self.clock.now());
    }

    fn take_tcp_probe(&mut self, tcp_probe: TcpProbeId) {
        self.node.handle(Input::TcpProbeAnswered { tcp_probe }, self.clock.now());
    }

    fn take_hold_event(&mut self, event: HoldEvent) {
        if self.network.holds.note(&event) {
            self.tell_of_hold(event);
        }
    }

    fn tell_of_hold(&mut self, event: HoldEvent) {
        let input = match event {
            HoldEvent::Held { hold } => Input::Held { hold },
            HoldEvent::Ended { hold, end } => Input::HoldEnded { hold, end },
            HoldEvent::Reached { reach, outcome } => Input::Reached { reach, outcome },
        };
        self.node.handle(input, self.clock.now());
    }

    fn take_deadlines(&mut self) {
        let now = self.clock.now();
        if self.node.next_deadline().is_some_and(|due| due <= now) {
            self.node.handle(Input::Deadline, now);
        }
        let now = Instant::now();
        let is_refused = self.entering.refusal(now).is_some();
        self.joining.warn_if_due(now, self.entering.is_outside(), is_refused);
        self.found_if_due(now);
        self.keep_verdicts_if_due(now);
        self.save_keys_if_due(now);
        self.keep_peers_if_due(now);
        self.record_due(self.clock.now());
    }

    /// Carries out the outputs of the node, then publishes what it learned.
    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            let network = &mut self.network;
            match output {
                Output::Event(event) => self.take_event(event),
                // No member takes anything of a revoked agent.
                _ if self.entering.is_revoked() => {}
                Output::Datagram { to, bytes } => {
                    // A member that hears that this one has applied a change relies on its clients to see it.
                    self.writer.publish();
                    network.udp.send(to, &bytes);
                }
                Output::OpenStream { stream, to, .. } => network.quic.open(stream, to),
                Output::OpenStreamAt { stream, to } => network.quic.open_at(stream, to),
                Output::StreamFrame { stream, bytes } => network.quic.send(stream, bytes),
                Output::FinishStream { stream } => network.quic.finish(stream),
                Output::ResetStream { stream } => network.quic.reset(stream),
                Output::TcpProbe { to, tcp_probe } => network.tcp_probes.tcp_probe(to, tcp_probe),
                Output::Hold { hold, to, peer } => {
                    if let Err(event) = network.holds.hold(hold, to, peer) {
                        self.tell_of_hold(event);
                    }
                }
                Output::Release { hold } => network.holds.release(hold),
                Output::Reach { to, reach } => {
                    if let Err(event) = network.holds.reach(to, reach) {
                        self.tell_of_hold(event);
                    }
                }
            }
        }
        // A loss counts all members that changed together, so it is shown after each of them was.
        if std::mem::take(&mut self.losses_changed) {
            self.show_mass_losses();
        }
        self.tell_transport_of_revoked();
        self.writer.set_last_contact(self.node.last_contact());
        let now = self.clock.now();
        if now >= self.ages_due {
            self.show_ages(now);
            self.tell_transport_of_members();
            self.tell_transport_of_keys(now);
            self.show_unanswered(now);
            self.log_held_losses();
            self.show_datacenters(now);
            self.show_members_if_due(now);
        }
        self.writer.publish();
    }

    /// Publishes when each origin was last alive. Every datagram changes that, so it is published periodically, and
    /// less often when there are more origins.
    fn show_ages(&mut self, now: Time) {
        let origins = self.node.catalog().origins();
        let ages: Vec<_> = origins.map(|(id, _)| (id, self.node.last_alive(id, now))).collect();
        let thousands = u32::try_from(ages.len() / 1_000).unwrap_or(u32::MAX);
        self.ages_due = now + AGES_PERIOD.saturating_mul(thousands.saturating_add(1));
        self.writer.set_last_alive(ages);
    }

    /// Tells the transport from which addresses members open streams, and which of them are our monitors. Waits for the
    /// period of ages, because all addresses are told at once.
    fn tell_transport_of_members(&mut self) {
        if std::mem::take(&mut self.members_changed) {
            let members = self.node.members().into_iter();
            let present = members.filter(|member| !member.status.is_gone());
            self.network.quic.set_members(present.map(|member| member.identity.sync_addr()));
            self.network.holds.set_monitors(self.node.monitors());
        }
    }

    /// Tells the transport which nodes are revoked. There are never fewer.
    fn tell_transport_of_revoked(&mut self) {
        let revoked = self.node.revoked_nodes();
        if revoked.len() != self.told_revoked {
            self.told_revoked = revoked.len();
            self.network.holds.set_revoked(revoked);
        }
    }

    /// Tells the transport which generations prove that a peer is a member. A clear cluster has none.
    fn tell_transport_of_keys(&mut self, now: Time) {
        let generations = self.node.opening_generations(now);
        let generations: Vec<_> =
            generations.map(|(generation, in_use)| (generation.id(), in_use)).collect();
        if generations != self.told_generations {
            let in_use = |all: &[(GenerationId, bool)]| {
                all.iter().find_map(|(id, in_use)| in_use.then_some(id.number))
            };
            self.record_generation(in_use(&self.told_generations), in_use(&generations));
            let keys = HoldKeys::of(self.node.opening_generations(now));
            self.network.holds.set_keys(keys);
            self.told_generations = generations;
        }
    }

    /// Asks for something to be persisted. When the queue is full, because the disk stalls, it is dropped and
    /// counted. The next start does not need it: it mints its epoch from the clock, and peers and verdicts are saved
    /// again later. Returns whether it was taken.
    fn persist(&mut self, persist: Persist) -> bool {
        let is_taken = self.persist.try_send(persist).is_ok();
        if !is_taken {
            self.persist_dropped += 1;
        }
        is_taken
    }
}
