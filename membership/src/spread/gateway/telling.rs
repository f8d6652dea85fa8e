//! Telling our own news to gateways, and taking the tells of others as one.

use std::sync::Arc;

use super::super::Spread;
use super::super::peers::Peers;
use crate::base::identity::Identity;
use crate::base::time::Time;
use crate::base::timers::Timer;
use crate::catalog::Delta;
use crate::gateways::parts::Parts;
use crate::gateways::tells::{MAX_NAMED, Orders};
use crate::wire::{Ages, Message, Tell, TellAck};

/// Bytes by which the head of a tell is longer than that of a message of rumors.
pub(in crate::spread) const TELL_OVERHEAD_BYTES: usize = 5 + 1 + 1 + 8 * MAX_NAMED;

impl Spread {
    /// Tells news of ours to the gateways of our datacenter, if there are other datacenters.
    pub(in crate::spread) fn tell_gateways(
        &mut self,
        news: &Delta,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        if self.gateways.beats.is_idle() {
            self.review_datacenters(peers, now);
        }
        if self.gateways.beats.is_idle() {
            return;
        }
        let news = Arc::new(news.clone());
        let orders = self.gateways.tells.tell(&news, self.backlog(), peers, now);
        self.carry_out_orders(orders, peers, now);
    }

    /// Takes news of an origin as a gateway: applies them, forwards them once, and answers. Answers do not wait for bandwidth,
    /// since the origin would tell a substitute.
    pub(crate) fn handle_tell(
        &mut self,
        peer: &Identity,
        tell: Tell,
        peers: &mut dyn Peers,
        now: Time,
    ) {
        let Tell { sender, number, parts, to, deltas } = tell;
        if deltas.iter().any(|delta| delta.origin != sender) {
            self.out.counters.tells_refused += 1;
            return;
        }
        let parts = Parts(parts);
        let (shares, unheard) = self.shares(parts, &to, peers, now);
        if self.gateways.told.note(sender, number, now) {
            self.out.counters.tells_taken += 1;
            for delta in &deltas {
                self.forward(&shares, &Arc::new(delta.clone()), now);
            }
            self.handle_rumors(sender, deltas, &Ages::default(), peers, now);
        }
        let ack = Message::TellAck(TellAck { sender: self.own, number, unheard });
        self.send_repair(peer, &ack, now);
    }

    /// Takes the answer of a gateway.
    pub(crate) fn handle_tell_ack(&mut self, ack: &TellAck, peers: &mut dyn Peers, now: Time) {
        let TellAck { sender, number, unheard } = ack;
        let backlog = self.backlog();
        let orders = self.gateways.tells.answered(*sender, *number, unheard, backlog, peers, now);
        self.carry_out_orders(orders, peers, now);
    }

    /// Tells again what was not answered in time.
    pub(super) fn handle_tell_deadline(&mut self, peers: &mut dyn Peers, now: Time) {
        if self.timers.is_expired(Timer::Tell, now) {
            let orders = self.gateways.tells.take_due(self.backlog(), peers, now);
            self.carry_out_orders(orders, peers, now);
        }
    }

    fn carry_out_orders(&mut self, orders: Orders, peers: &mut dyn Peers, now: Time) {
        let mut rounds = vec![orders];
        while let Some(Orders { orders, substituted, given_up }) = rounds.pop() {
            self.out.counters.tells_substituted += substituted;
            self.out.counters.tells_given_up += given_up;
            for order in orders {
                let Some(number) = order.number else {
                    let (shares, unheard) = self.shares(order.parts, &order.only, peers, now);
                    self.forward(&shares, &order.news, now);
                    if !unheard.is_empty() {
                        // A substitute forwards whatever it hears, so this ends.
                        rounds.push(self.gateways.tells.hand_over(
                            order.parts,
                            &order.news,
                            order.attempt,
                            &unheard,
                            self.backlog(),
                            peers,
                            now,
                        ));
                    }
                    continue;
                };
                let tell = Tell {
                    sender: self.own,
                    number,
                    parts: order.parts.0,
                    to: order.only,
                    deltas: vec![Arc::unwrap_or_clone(order.news)],
                };
                self.out.counters.tells_sent += 1;
                self.send_repair(&order.to, &Message::Tell(tell), now);
            }
        }
    }
}
