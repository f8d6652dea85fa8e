//! One step: an input reaches a node, and the node's outputs are carried out.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_membership::catalog::WriteError;
use hobnob_membership::record::{Key, Value};
use hobnob_membership::{Event, Input, Output};
use rand::RngExt;

use super::host::{MAX_WAKES, socket_address};
use super::node_event::describe;
use super::queue::{Delivery, WorldEvent};
use super::{Detail, NodeEvent, Stop, World};

/// A node that holds so many more origins than it has shared shares them.
const SHARE_AFTER: usize = 32;

impl World {
    pub(super) fn process(&mut self, what: WorldEvent) {
        match what {
            WorldEvent::Datagram { from, to, bytes, late } => {
                let Some(receiver) = self.fabric.owner(to) else { return };
                let gap = self.hosts[receiver].slowness.receive_gap;
                let Some(process) = self.hosts[receiver].process.as_mut() else { return };
                if !gap.is_zero() && !late {
                    let at = process.receives_at.max(self.now);
                    // A backlog of two seconds has overflowed the socket's buffer.
                    if at - self.now < Duration::from_secs(2) {
                        process.receives_at = at + gap;
                        let datagram = WorldEvent::Datagram { from, to, bytes, late: true };
                        self.fabric.queue.push(at, datagram);
                    }
                    return;
                }
                self.arrive(receiver, Delivery::Datagram { from, bytes });
            }
            WorldEvent::Stream { to, delivery } => {
                if self.hosts[to].process.is_some() {
                    let accepted = match &delivery {
                        Delivery::Accept { stream } if self.fabric.is_sealed => Some(*stream),
                        _ => None,
                    };
                    self.arrive(to, delivery);
                    if let Some(stream) = accepted {
                        self.secure((to, stream));
                    }
                } else if let Delivery::Accept { stream } = delivery {
                    self.fabric.refuse((to, stream), self.now);
                }
            }
            WorldEvent::TcpProbe { from, to, tcp_probe } => {
                // The kernel answers, even while the process is paused.
                let holds_socket = |host: &usize| self.hosts[*host].process.is_some();
                if let Some(host) = self.fabric.owner(to).filter(holds_socket) {
                    self.fabric.answer_tcp_probe(host, from, tcp_probe, self.now);
                }
            }
            WorldEvent::Handshake { opener, accepted } => self.shake_hands(opener, accepted),
            WorldEvent::Connect { from, to, attempt } => self.take_connection(from, to, attempt),
            WorldEvent::Retry { from } => self.fabric.retry(from, self.now),
            WorldEvent::Wake { host, life } => self.wake(host, life),
        }
    }

    /// Hands a delivery to a process, or keeps it until the process is ready.
    pub(super) fn arrive(&mut self, number: usize, delivery: Delivery) {
        let now = self.now;
        let Some(process) = self.hosts[number].process.as_mut() else { return };
        if process.ready_at > now || !process.inbox.is_empty() {
            process.hold(delivery);
            let at = process.ready_at.max(now);
            if process.wake_at.is_none_or(|wake| wake > at) {
                process.wake_at = Some(at);
                self.fabric.queue.push(at, WorldEvent::Wake { host: number, life: process.life });
            }
            return;
        }
        self.deliver(number, delivery);
    }

    fn deliver(&mut self, number: usize, delivery: Delivery) {
        match delivery {
            Delivery::Datagram { from, bytes } => {
                self.fabric.trace.delivered(self.now, number, &bytes);
                let from = socket_address(from);
                if self.fabric.trace.wants(Detail::Packets) {
                    let line = format!("n{number} <- {} datagram of {} B", from.ip(), bytes.len());
                    self.fabric.trace.line(self.now, line);
                }
                let dropped = self.dropped_unopened(number);
                self.act(number, Input::Datagram { from, bytes: &bytes });
                if dropped.is_some() && dropped == self.dropped_unopened(number) {
                    self.overhear(number, from, bytes);
                }
            }
            Delivery::Accept { stream } => {
                self.act(number, Input::StreamAccepted { stream });
            }
            Delivery::Secured { stream, peer, binding } => {
                if self.fabric.has_stream((number, stream)) {
                    let wall_ms = self.hosts[number].clock.wall_ms(self.now);
                    self.act(number, Input::StreamSecured { stream, peer, binding, wall_ms });
                }
            }
            Delivery::Frame { stream, bytes } => {
                if self.fabric.has_stream((number, stream)) {
                    self.fabric.trace.delivered(self.now, number, &bytes);
                    if self.fabric.trace.wants(Detail::Packets) {
                        let line = format!("n{number} <- {stream:?} frame of {} B", bytes.len());
                        self.fabric.trace.line(self.now, line);
                    }
                    self.act(number, Input::StreamFrame { stream, bytes: &bytes });
                }
            }
            Delivery::Written { stream } => {
                if self.fabric.has_stream((number, stream)) {
                    self.act(number, Input::StreamWritten { stream });
                }
            }
            Delivery::Closed { stream } => {
                self.fabric.closed((number, stream));
                self.act(number, Input::StreamClosed { stream });
            }
            Delivery::TcpProbeAnswered { tcp_probe } => {
                self.fabric.trace.delivered(self.now, number, &tcp_probe.nonce);
                if self.fabric.trace.wants(Detail::Packets) {
                    let line = format!("n{number} <- the host of {} answers", tcp_probe.node);
                    self.fabric.trace.line(self.now, line);
                }
                self.act(number, Input::TcpProbeAnswered { tcp_probe });
            }
            Delivery::Held { hold } => {
                self.trace_connection(number, format_args!("holds {hold:?}"));
                self.act(number, Input::Held { hold });
            }
            Delivery::HoldEnded { hold, end } => {
                self.trace_connection(number, format_args!("{hold:?} ends: {end:?}"));
                self.act(number, Input::HoldEnded { hold, end });
            }
            Delivery::Reached { reach, outcome } => {
                self.trace_connection(number, format_args!("{} is {outcome:?}", reach.node));
                self.act(number, Input::Reached { reach, outcome });
            }
        }
    }

    fn trace_connection(&mut self, number: usize, what: std::fmt::Arguments<'_>) {
        let trace = &mut self.fabric.trace;
        trace.delivered(self.now, number, what.to_string().as_bytes());
        if trace.wants(Detail::Packets) {
            trace.line(self.now, format_args!("n{number} <- TCP: {what}"));
        }
    }

    /// Wakes a process: it takes what has waited, or handles its deadline.
    fn wake(&mut self, number: usize, life: u32) {
        loop {
            let now = self.now;
            let host = &mut self.hosts[number];
            let Some(process) = host.process.as_mut().filter(|p| p.life == life) else { return };
            if process.wake_at.is_some_and(|at| at <= now) {
                process.wake_at = None;
            }
            if process.ready_at > now {
                let at = process.ready_at;
                if process.wake_at.is_none_or(|wake| wake > at) {
                    process.wake_at = Some(at);
                    self.fabric.queue.push(at, WorldEvent::Wake { host: number, life });
                }
                return;
            }
            if let Some(delivery) = process.take() {
                self.deliver(number, delivery);
                continue;
            }
            let due = process.node.next_deadline();
            if due.is_some_and(|due| due <= host.clock.local(now)) {
                let (at, wakes) = &mut process.wakes_at;
                if *wakes >= MAX_WAKES {
                    process.ready_at = now + Duration::from_millis(1);
                } else {
                    *wakes = if *at == now { *wakes + 1 } else { 1 };
                    *at = now;
                }
                self.act(number, Input::Deadline);
            } else {
                self.schedule_wake(number);
            }
            return;
        }
    }

    /// Hands an input to a node, and carries out the outputs.
    pub(super) fn act(&mut self, number: usize, input: Input<'_>) {
        self.act_watched(number, input, None);
    }

    /// The same, and copies the outputs to `watched`.
    pub(super) fn act_watched(
        &mut self,
        number: usize,
        input: Input<'_>,
        watched: Option<&mut Vec<Output>>,
    ) {
        let host = &mut self.hosts[number];
        let Some(process) = host.process.as_mut() else { return };
        let asked = match &input {
            Input::Datagram { from, bytes } => Some((*from, bytes.len())),
            _ => None,
        };
        process.node.handle(input, host.clock.local(self.now));
        self.carry_out(number, asked, watched);
    }

    /// Makes a node write records, and carries out the outputs. Does nothing when none runs.
    pub(super) fn write_at(
        &mut self,
        number: usize,
        records: Vec<(Key, Option<Value>)>,
    ) -> Result<(), WriteError> {
        let host = &mut self.hosts[number];
        let Some(process) = host.process.as_mut() else { return Ok(()) };
        let written = process.node.write(records, host.clock.local(self.now));
        self.carry_out(number, None, None);
        written
    }

    /// Carries out the outputs of a node. `asked` is the sender of a datagram that they may answer, and its length. `watched`
    /// takes a copy of each.
    pub(super) fn carry_out(
        &mut self,
        number: usize,
        mut asked: Option<(SocketAddr, usize)>,
        mut watched: Option<&mut Vec<Output>>,
    ) {
        let Self { hosts, fabric, events, ids, now, shared, .. } = self;
        let now = *now;
        let host = &mut hosts[number];
        let Some(process) = host.process.as_mut() else { return };
        let mut keys_changed = false;
        while let Some(output) = process.node.poll_output() {
            if let Some(watched) = &mut watched {
                watched.push(output.clone());
            }
            let Output::Event(event) = output else {
                // A hello gets one answer, to its sender and of its length.
                let answer = match &output {
                    Output::Datagram { to, bytes } => asked.take_if(|k| *k == (*to, bytes.len())),
                    _ => None,
                };
                // Other answers may be as long.
                let answer = answer.filter(|_| {
                    let answered = process.node.hellos_answered();
                    std::mem::replace(&mut process.hellos_answered, answered) < answered
                });
                let (address, meter) = (host.address, &mut host.meter);
                fabric.carry_out(number, address, output, answer.is_some(), meter, now);
                continue;
            };
            match &event {
                Event::EpochRaised(epoch) => host.disk.store_epoch(epoch.0),
                Event::Left => process.left = true,
                Event::KeysChanged => {
                    process.keys_changed |= !host.disk.is_full();
                    keys_changed = true;
                }
                Event::Member(_) | Event::Instance(_) => process.shared_at = None,
                _ => {}
            }
            if fabric.trace.wants(Detail::Events) {
                fabric.trace.line(now, format_args!("n{number} {}", describe(&event, ids)));
            }
            events.push(NodeEvent { at: now, host: number, life: process.life, kind: event });
        }
        if keys_changed {
            Self::note_in_use(host, now);
        }
        let Some(process) = host.process.as_mut() else { return };
        if process.node.catalog().origins().len() >= process.origins_shared + SHARE_AFTER {
            process.share(shared);
        }
        if !host.slowness.service_time.is_zero() {
            process.ready_at = process.ready_at.max(now + host.slowness.service_time);
        }
        if process.left {
            self.stop(number, Stop::Planned);
        } else {
            self.schedule_wake(number);
        }
    }

    /// Schedules a wake-up for the next deadline, unless an earlier one is scheduled.
    fn schedule_wake(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(process) = host.process.as_mut() else { return };
        let Some(due) = process.node.next_deadline() else { return };
        let due = host.clock.world(due).max(self.now).max(process.ready_at);
        if process.wake_at.is_some_and(|at| at <= due) {
            return;
        }
        let late = host.slowness.timers_late.as_micros() as u64;
        let late = if late == 0 { 0 } else { self.fabric.rng.random_range(0..=late) };
        let at = due + Duration::from_micros(late);
        process.wake_at = Some(at);
        self.fabric.queue.push(at, WorldEvent::Wake { host: number, life: process.life });
    }
}
