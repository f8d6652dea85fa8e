//! Handing datagrams and stream frames to the plane that they concern.

use std::mem::{self, Discriminant};
use std::net::SocketAddr;

use super::Node;
use super::io::Output;
use super::peers::Pools;
use super::questions::Questions;
use crate::base::identity::NodeId;
use crate::base::io::StreamId;
use crate::base::time::Time;
use crate::liveness::heard::Sign;
use crate::trust::sealer::{Content, Opened};
use crate::wire::{Frame, Message, Messages, Pull};

impl Node {
    pub(super) fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Time) {
        self.counters.datagrams_received += 1;
        self.counters.datagram_bytes_received += bytes.len() as u64;
        let Some(Opened { sender, content }) = self.open(from, bytes, now) else { return };
        self.liveness.begin_datagram(bytes.len());
        match content {
            Content::Short(message) => {
                self.handle_message(from, message, now);
                self.pass_on(now);
            }
            Content::Messages(messages) => {
                let talker = self.handle_messages(from, sender, Messages::new(&messages), now);
                if let Some(talker) = talker {
                    self.wan.note_received(talker, bytes.len());
                }
            }
        }
        self.liveness.end_datagram();
    }

    /// Handles the messages of a datagram, and returns the first of their senders. In a sealed cluster all have to be those of the member
    /// that sealed it.
    fn handle_messages(
        &mut self,
        from: SocketAddr,
        sealed_by: Option<NodeId>,
        mut messages: Messages<'_>,
        now: Time,
    ) -> Option<NodeId> {
        let mut asked = Vec::new();
        let mut talker = None;
        for message in messages.by_ref() {
            match message {
                Ok(message) if is_in_anothers_name(&message, sealed_by) => {
                    self.counters.messages_in_anothers_name += 1;
                }
                Ok(message) if is_repeated(&message, &mut asked) => {
                    self.counters.questions_repeated += 1;
                }
                Ok(message) => {
                    talker = talker.or_else(|| message.sender());
                    self.handle_message(from, message, now);
                }
                Err(_) => self.counters.messages_invalid += 1,
            }
            self.pass_on(now);
        }
        self.counters.kinds_unknown += u64::from(messages.skipped());
        talker
    }

    fn handle_message(&mut self, from: SocketAddr, message: Message, now: Time) {
        if self.wan.is_shut_out(&message) {
            self.counters.isolated_ignored += 1;
            return;
        }
        let Some(message) = self.sort_out(from, message, now) else { return };
        let Some(message) = self.take_far(from, message, now) else { return };
        let Self { liveness, spread, wan, .. } = self;
        if liveness.is_silent() && !matches!(message, Message::Claim(_)) {
            self.counters.ignored_while_silent += 1;
            return;
        }
        if let Some(asker) = Questions::asker(&message).filter(|asker| liveness.must_prove(*asker))
        {
            self.counters.questions_put_off += 1;
            self.counters.questions_given_up += u64::from(self.questions.put_off(asker, message));
            return liveness.ask_for_proof(asker);
        }
        match message {
            Message::Claim(claim) => liveness.handle_claim(from, &claim, now),
            Message::Hello(hello) => {
                liveness.handle_hello(from, &hello, spread.sessions_served(), now);
            }
            Message::Welcome(welcome) => {
                liveness.handle_welcome(from, &welcome, now);
                self.compare_tables(from, &welcome, now);
            }
            Message::Referral(referral) => liveness.handle_referral(from, &referral, now),
            Message::Ping(ping) => liveness.handle_ping(from, &ping, now),
            Message::Pong(pong) => liveness.handle_pong(&pong, Some(from), now),
            Message::Ask(ask) => liveness.handle_ask(&ask, now),
            Message::Vote(vote) => liveness.handle_vote(&vote, now),
            Message::ExitVote(vote) => liveness.handle_exit_vote(&vote, now),
            Message::MemberUpdates(updates) => liveness.handle_member_updates(from, &updates, now),
            Message::Compare(compare) => {
                liveness.greet_stranger(compare.sender, from, now);
                self.handle_compare(&compare, now);
            }
            Message::ReachVote(vote) => {
                if liveness.hear(vote.sender, Sign::Vote, now).is_some() {
                    wan.handle_vote(&vote, now);
                }
            }
            Message::Listing(listing) => liveness.handle_listing(&listing, now),
            Message::Rumors(sender, deltas, ages) => {
                // Rumors of members that are down are taken, too, since they are not answered. A member that leaves may
                // be down here before its record that it left has arrived.
                if liveness.hear_former(sender, Sign::Rumor, now) {
                    let peers = &mut Pools { liveness, wan };
                    spread.handle_rumors(sender, deltas, &ages, peers, now);
                }
            }
            Message::Bulk(sender, deltas) => {
                if liveness.hear_former(sender, Sign::Rumor, now) {
                    spread.handle_bulk(sender, deltas, &mut Pools { liveness, wan }, now);
                }
            }
            Message::Tell(tell) => {
                if let Some(peer) = liveness.hear(tell.sender, Sign::Rumor, now) {
                    spread.handle_tell(&peer, tell, &mut Pools { liveness, wan }, now);
                }
            }
            Message::TellAck(ack) => {
                if liveness.hear(ack.sender, Sign::Rumor, now).is_some() {
                    spread.handle_tell_ack(&ack, &mut Pools { liveness, wan }, now);
                }
            }
            // The sender is not known yet, or of our own datacenter.
            Message::Beat(beat) => {
                wan.handle_beat(from, &beat, now);
            }
            Message::Digest(digest) => {
                if let Some(peer) = liveness.hear(digest.sender, Sign::Digest, now) {
                    spread.handle_digest(&peer, &digest, &mut Pools { liveness, wan }, now);
                }
            }
            Message::Pull(pull) => self.handle_pull(&pull, now),
            Message::Confirm(confirm) => {
                if let Some(peer) = liveness.hear(confirm.sender, Sign::Rumor, now) {
                    spread.handle_confirm(&peer, &confirm, &mut Pools { liveness, wan }, now);
                }
            }
            Message::Confirmed(confirm) => {
                if let Some(peer) = liveness.hear(confirm.sender, Sign::Rumor, now) {
                    spread.handle_confirmed(&peer, &confirm, now);
                }
            }
        }
    }

    /// Answers the questions of a member that has proven its address.
    pub(super) fn answer_questions(&mut self, asker: NodeId, now: Time) {
        for question in self.questions.take(asker) {
            match question {
                Message::Pull(pull) => self.handle_pull(&pull, now),
                Message::Compare(compare) => self.handle_compare(&compare, now),
                _ => {}
            }
        }
    }

    fn handle_pull(&mut self, pull: &Pull, now: Time) {
        if let Some(peer) = self.liveness.hear(pull.sender, Sign::Pull, now) {
            let peers = &mut Pools { liveness: &mut self.liveness, wan: &mut self.wan };
            self.spread.handle_pull(&peer, pull, peers, now);
        }
    }

    pub(super) fn handle_stream_accepted(&mut self, stream: StreamId, now: Time) {
        let Some(guard) = &mut self.guard else { return self.serve_stream(stream, now) };
        if self.liveness.is_silent() || !guard.stream_accepted(stream, now) {
            self.outputs.push_back(Output::ResetStream { stream });
        }
    }

    /// Serves a session on a stream, or refuses it.
    pub(super) fn serve_stream(&mut self, stream: StreamId, now: Time) {
        if self.liveness.is_silent() || !self.spread.serve(stream, now) {
            return self.spread.refuse(stream);
        }
        self.liveness.note_session_opened();
    }

    /// Handles a frame. In a sealed cluster it reaches the planes once its stream has passed the door.
    pub(super) fn handle_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        self.counters.frame_bytes_received += bytes.len() as u64;
        if self.guard.is_some() {
            self.with_guard(|guard| guard.handle_frame(stream, bytes, now), now);
        } else {
            self.handle_plane_frame(stream, bytes, now);
        }
    }

    pub(super) fn handle_plane_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        if self.liveness.is_stream_probe(stream) {
            return self.liveness.handle_probe_answer(stream, bytes, now);
        }
        if self.wan.has_stream(stream) {
            return self.wan.handle_frame(stream, bytes, now);
        }
        if self.requests.has_stream(stream) {
            return self.handle_request_frame(stream, bytes, now);
        }
        if Frame::is_request(bytes) && self.spread.is_fresh(stream) {
            self.spread.hand_over(stream);
            return self.serve_request(stream, bytes, now);
        }
        if Frame::is_introduction(bytes) && self.spread.is_fresh(stream) {
            self.spread.hand_over(stream);
            self.wan.serve(stream, now);
            return self.wan.handle_frame(stream, bytes, now);
        }
        if Frame::is_sign_of_life(bytes)
            && self.spread.is_fresh(stream)
            && self.liveness.answer_stream_probe(stream, bytes, now)
        {
            return self.spread.hand_over(stream);
        }
        let peers = &mut Pools { liveness: &mut self.liveness, wan: &mut self.wan };
        if let Some(told) = self.spread.handle_frame(stream, bytes, peers, now) {
            self.pass_on(now);

            self.liveness.handle_roster(told.members, told.from, now);
            self.pass_on(now);
            self.spread.tell_members(stream, &self.liveness.swim().roster());
        }
    }
}

/// Whether a message names another sender than the member that sealed it.
fn is_in_anothers_name(message: &Message, sealed_by: Option<NodeId>) -> bool {
    sealed_by.is_some_and(|node| message.sender().is_some_and(|sender| sender != node))
}

/// Whether a message is a question of a kind that the same datagram has asked already. No node asks twice in one
/// datagram, and answers to a forged source would add up. `asked` holds the kinds so far.
fn is_repeated(message: &Message, asked: &mut Vec<Discriminant<Message>>) -> bool {
    let asks_once = matches!(
        message,
        Message::Claim(_)
            | Message::Hello(_)
            | Message::Ping(_)
            | Message::Compare(_)
            | Message::Digest(_)
            | Message::Pull(_)
            | Message::Confirm(_)
    );
    let kind = mem::discriminant(message);
    if !asks_once {
        return false;
    }
    let is_repeated = asked.contains(&kind);
    if !is_repeated {
        asked.push(kind);
    }
    is_repeated
}
