//! The streams of a sealed cluster, from the door on.

use std::time::Duration;

use hobnob_keys::seal::Counter;
use hobnob_keys::{Generation, GenerationId, PublicKey, Revoked, SignedCommand, Succession};

use super::door::{SecuredBy, Stage, Stated};
use super::judge::{Shut, Standing};
use super::keyring::Offered;
use super::{Act, Guard, node_of};
use crate::base::identity::NodeId;
use crate::base::io::StreamId;
use crate::base::limits::{
    MAX_CERTIFICATES, MAX_FRAME_BYTES, MAX_GENERATIONS, MAX_HANDED_FRAMES, MAX_REFUSAL_BYTES,
    MAX_STRANGERS,
};
use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::wire::{
    Credentials, Frame, HandedGeneration, HandedRevocations, Refusal, certificate_mark,
};

/// A stream that has not passed the door after this time is dropped.
pub(super) const DOOR_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of revocations in one frame.
const REVOCATION_BYTES: usize = MAX_FRAME_BYTES / 2;

impl Guard {
    /// A peer opened a stream. Returns whether there is room for it.
    pub(crate) fn stream_accepted(&mut self, stream: StreamId, now: Time) -> bool {
        let has_room = self.doors.accept(stream, now);
        self.counters.doors_refused += u64::from(!has_room);
        has_room
    }

    /// A plane opens a stream to a member.
    pub(crate) fn stream_opened(&mut self, stream: StreamId, peer: NodeId, now: Time) {
        self.doors.open(stream, Some(peer), false, now);
    }

    /// A stream is over, or a plane ended it.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) {
        self.doors.remove(stream);
    }

    /// The transport wrote a frame. Returns whether it was one of this room.
    pub(crate) fn stream_written(&mut self, stream: StreamId) -> bool {
        let door = self.doors.get_mut(stream).filter(|door| door.unwritten > 0);
        door.map(|door| door.unwritten -= 1).is_some()
    }

    /// A frame of a plane. Returns it if it may go at once; else it waits until the stream is secured, or the stream is over and
    /// the plane is about to be told.
    pub(crate) fn send_frame(&mut self, stream: StreamId, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let sent = self.doors.get_mut(stream)?.send(bytes);
        sent.unwrap_or_else(|_| {
            self.drop_stream(stream);
            None
        })
    }

    /// The transport secured a stream: both sides proved their keys by TLS.
    pub(crate) fn stream_secured(&mut self, stream: StreamId, secured: SecuredBy, now: Time) {
        let is_stranger = !self.certificates.knows(&secured.key);
        let certificates = &self.certificates;
        let is_strange = |by: Option<SecuredBy>| by.is_some_and(|by| !certificates.knows(&by.key));
        let strangers = self.doors.under_way(|door| is_strange(door.secured));
        let node = node_of(&secured.key);
        let Some(door) = self.doors.get_mut(stream).filter(|door| door.stage == Stage::Securing)
        else {
            return;
        };
        let is_another = door.expected.is_some_and(|expected| expected != node);
        let is_crowded = !door.is_ours && is_stranger && strangers >= MAX_STRANGERS;
        (door.secured, door.stage) = (Some(secured), Stage::Awaiting);
        let (is_ours, outgoing) = (door.is_ours, door.take_outgoing());
        if is_another || is_crowded {
            self.counters.doors_refused += 1;
            return self.drop_stream(stream);
        }
        if self.revoked.contains(&node) {
            return self.refuse(stream, &secured, is_ours, Shut::Revoked(node));
        }
        if is_ours {
            self.show_credentials(stream, &secured, now);
            for bytes in outgoing {
                self.acts.push_back(Act::Send(stream, bytes));
            }
        }
    }

    /// A frame arrived.
    pub(crate) fn handle_frame(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        let Some(door) = self.doors.get_mut(stream) else { return };
        match door.stage {
            Stage::Securing => self.violated(stream),
            Stage::Awaiting => self.handle_credentials(stream, bytes, now),
            Stage::Taking { .. } | Stage::Passed if Frame::is_handed(bytes) => {
                self.take_handed(stream, bytes, now);
            }
            Stage::Taking { .. } => {
                if door.hold_back(bytes).is_err() {
                    self.violated(stream);
                }
            }
            Stage::Passed => self.deliver(stream, bytes.to_vec()),
        }
    }

    /// Drops streams that wait at the door for too long.
    pub(crate) fn drop_stalled(&mut self, now: Time) {
        if self.stall_deadline().is_some_and(|due| due <= now) {
            let waited = now.since(Time::ZERO).saturating_sub(DOOR_TIMEOUT);
            for stream in self.doors.stalled(waited.into()) {
                self.counters.doors_stalled += 1;
                self.drop_stream(stream);
            }
        }
    }

    pub(super) fn stall_deadline(&self) -> Option<Time> {
        self.doors.oldest().map(|since| since + DOOR_TIMEOUT)
    }

    pub(super) fn drop_stream(&mut self, stream: StreamId) {
        if self.doors.remove(stream).is_some() {
            self.acts.push_back(Act::Drop(stream));
        }
    }

    fn violated(&mut self, stream: StreamId) {
        self.counters.messages_invalid += 1;
        self.drop_stream(stream);
    }

    fn handle_credentials(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        let Some(door) = self.doors.get(stream) else { return };
        let (is_ours, secured) = (door.is_ours, door.secured);
        let (credentials, secured) = match (Frame::decode(bytes), secured) {
            (Ok(Frame::Credentials(credentials)), Some(secured)) => (credentials, secured),
            (Ok(Frame::Refusal(refusal)), _) if is_ours => {
                // A peer that lost our certificate is shown it next time.
                if !door.shows_nothing {
                    self.acts.push_back(Act::Refused(printable(&refusal.reason)));
                }
                return self.drop_stream(stream);
            }
            // The order that revoked this node, which the refusal follows.
            (Ok(Frame::Revocations(_)), _) if is_ours => {
                return self.take_handed(stream, bytes, now);
            }
            _ => return self.violated(stream),
        };
        // The peer's certificate may be of the CA key that succeeds.
        self.take_succession(&credentials.succession, now);
        let (node, standing) = match self.judge(&secured, is_ours, &credentials, now) {
            Ok(judged) => judged,
            Err(shut) => return self.refuse(stream, &secured, is_ours, shut),
        };
        let (began, last) = (Counter::new(credentials.began), Counter::new(credentials.counter));
        self.sealer.windows.prove(node, began, last);
        self.note_holder(stream, node, &credentials);
        if !is_ours {
            self.show_credentials(stream, &secured, now);
        }
        let Some(door) = self.doors.get_mut(stream) else { return };
        door.member = Some(node);
        let generations = door.stated.lacks(&credentials);
        let revocations = door.stated.revocations != credentials.revocations;
        door.stage = Stage::Taking { generations, revocations };
        // Revocations come first, so that the peer gives no secret to a node that is revoked.
        if revocations {
            self.give_revocations(stream);
        }
        if standing == Standing::Member {
            self.give_generations(stream, &credentials, now);
        } else if let Some(door) = self.doors.get_mut(stream) {
            door.unproven = Some(credentials);
        }
        self.pass(stream, now);
    }

    /// Takes the succession of CA keys in credentials, if it is another one than ours. Only so many are verified in a second.
    fn take_succession(&mut self, bytes: &[u8], now: Time) {
        let ours = self.trust.succession();
        if bytes.is_empty() || ours.is_some_and(|ours| ours.encode() == bytes) {
            return;
        }
        match Succession::decode(bytes) {
            Ok(_) if !self.verifications.allow(now) => self.counters.verifications_refused += 1,
            Ok(succession) => self.succeed(succession, now),
            Err(_) => self.counters.successions_refused += 1,
        }
    }

    /// Refuses a peer. One that dialled us is told why, and one that is revoked gets the order that revoked it: nobody else tells it.
    fn refuse(&mut self, stream: StreamId, secured: &SecuredBy, is_ours: bool, shut: Shut) {
        self.counters.doors_refused += 1;
        let mut reason = match shut {
            Shut::Told(reason) if !is_ours => reason,
            Shut::Revoked(node) if !is_ours => {
                let commands: Vec<Vec<u8>> = self.revocation_of(&secured.key).into_iter().collect();
                self.send(stream, &Frame::Revocations(HandedRevocations { commands, last: true }));
                format!("node {node} or its token is revoked")
            }
            _ => return self.drop_stream(stream),
        };
        reason.truncate(reason.floor_char_boundary(MAX_REFUSAL_BYTES));
        self.send(stream, &Frame::Refusal(Refusal { reason: reason.into() }));
        self.doors.remove(stream);
        self.acts.push_back(Act::Finish(stream));
    }

    /// The order that revoked the node with this key, or the token that it joined with.
    fn revocation_of(&self, key: &PublicKey) -> Option<Vec<u8>> {
        let token = self.certificates.get(node_of(key)).map(|member| member.token());
        let revokes = |revoked: &Revoked| match revoked {
            Revoked::Key(revoked) => revoked == key,
            Revoked::Token(revoked) => token == Some(*revoked),
        };
        let found = self.revocations.iter().find(|(revoked, _)| revokes(revoked));
        found.map(|(_, command)| command.as_bytes().to_vec())
    }

    fn show_credentials(&mut self, stream: StreamId, secured: &SecuredBy, now: Time) {
        let certificate = self.certificate_for(stream, secured);
        let keyring = &self.sealer.keyring;
        let present = keyring.present(now);
        let later = keyring.current(now).filter(|(_, in_use)| !in_use).map(|(later, _)| later);
        let marks = present.into_iter().chain(later).map(|held| held.id().into());
        let stated =
            Stated { generations: marks.collect(), revocations: self.revocations.digest() };
        let own = self.own.public_key();
        let (began, last) = self.sealer.counters();
        let known = self.certificates.get(node_of(&secured.key));
        let known = known.filter(|known| known.public_key() == secured.key);
        let credentials = Credentials {
            holds: known.map(|known| certificate_mark(known.certificate().as_bytes())),
            certificate,
            generations: stated.generations.clone(),
            proof: present.map(|present| present.proof(&secured.binding, &own)).unwrap_or_default(),
            revocations: stated.revocations,
            began: began.number(),
            counter: last.number(),
            succession: self.trust.succession().map(Succession::encode).unwrap_or_default(),
        };
        if let Some(door) = self.doors.get_mut(stream) {
            door.stated = stated;
        }
        self.send(stream, &Frame::Credentials(credentials));
    }

    /// The certificate to show on a stream: none to a peer that holds it.
    fn certificate_for(&mut self, stream: StreamId, secured: &SecuredBy) -> Vec<u8> {
        let node = node_of(&secured.key);
        let own = self.own.certificate().as_bytes();
        let is_held = match self.doors.get(stream) {
            // It says so again when it takes the empty one.
            Some(door) if door.is_ours => self.holders.remove(&node),
            Some(door) => door.peer_holds == Some(certificate_mark(own)),
            None => false,
        };
        if let Some(door) = self.doors.get_mut(stream) {
            door.shows_nothing = is_held;
        }
        if is_held { Vec::new() } else { own.to_vec() }
    }

    /// Notes whether a peer holds our certificate, so that the next stream to it need not show it.
    fn note_holder(&mut self, stream: StreamId, node: NodeId, credentials: &Credentials) {
        let is_held =
            credentials.holds == Some(certificate_mark(self.own.certificate().as_bytes()));
        if let Some(door) = self.doors.get_mut(stream) {
            door.peer_holds = credentials.holds;
        }
        if is_held && self.holders.len() < MAX_CERTIFICATES {
            self.holders.insert(node);
        }
    }

    /// Gives a member the generations that it lacks by its credentials. It waits for the frame if it lacks one of ours.
    fn give_generations(&mut self, stream: StreamId, peer: &Credentials, now: Time) {
        if !self.doors.get(stream).is_some_and(|door| door.stated.is_lacked_by(peer)) {
            return;
        }
        let has = |id: GenerationId| peer.generations.contains(&id.into());
        let lacks = self.sealer.keyring.current(now).filter(|(held, _)| !has(held.id()));
        let lacks: Vec<HandedGeneration> = lacks
            .map(|(held, in_use)| HandedGeneration { in_use, bytes: held.encode().to_vec() })
            .collect();
        self.counters.generations_given += lacks.len() as u64;
        self.send(stream, &Frame::Generations(lacks));
    }

    fn give_revocations(&mut self, stream: StreamId) {
        let (mut parts, mut bytes) = (vec![Vec::new()], 0);
        let keeps = mutant::is(Mutant::RevocationNotSpread);
        for (_, command) in self.revocations.iter().filter(|_| !keeps) {
            bytes += command.as_bytes().len();
            if bytes > REVOCATION_BYTES {
                parts.push(Vec::new());
                bytes = command.as_bytes().len();
            }
            if let Some(part) = parts.last_mut() {
                part.push(command.as_bytes().to_vec());
            }
        }
        let count = parts.len();
        for (n, commands) in parts.into_iter().enumerate() {
            let last = n + 1 == count;
            self.send(stream, &Frame::Revocations(HandedRevocations { commands, last }));
        }
    }

    fn take_handed(&mut self, stream: StreamId, bytes: &[u8], now: Time) {
        let Some(door) = self.doors.get_mut(stream) else { return };
        door.handed += 1;
        if door.handed > MAX_HANDED_FRAMES {
            return self.violated(stream);
        }
        let (took_generations, took_revocations) = match Frame::decode(bytes) {
            Ok(Frame::Generations(handed)) if handed.len() <= MAX_GENERATIONS => {
                // The first generations of a newcomer are news to nobody else.
                let (was_newcomer, mut is_new) = (self.is_newcomer(now), false);
                for HandedGeneration { in_use, bytes } in &handed {
                    match Generation::decode(bytes) {
                        Ok(generation) => {
                            is_new |= self.offer(generation, *in_use, now) == Offered::Taken;
                        }
                        Err(_) => self.counters.generations_refused += 1,
                    }
                }
                if is_new && !was_newcomer {
                    self.news.spread(now);
                }
                (true, false)
            }
            Ok(Frame::Revocations(HandedRevocations { commands, last })) => {
                let decoded: Vec<SignedCommand> =
                    commands.iter().filter_map(|bytes| SignedCommand::decode(bytes).ok()).collect();
                self.counters.revocations_refused += (commands.len() - decoded.len()) as u64;
                if self.merge(decoded, now) > 0 {
                    self.news.spread(now);
                }
                (false, last)
            }
            _ => return self.violated(stream),
        };
        // The peer itself may just have been revoked, and its streams dropped.
        if let Some(door) = self.doors.get_mut(stream)
            && let Stage::Taking { generations, revocations } = &mut door.stage
        {
            *generations &= !took_generations;
            *revocations &= !took_revocations;
        }
        self.pass(stream, now);
    }

    /// Lets a stream pass if there is nothing more to take.
    fn pass(&mut self, stream: StreamId, now: Time) {
        let is_newcomer = self.is_newcomer(now);
        let Some(door) = self.doors.get_mut(stream) else { return };
        if door.stage != (Stage::Taking { generations: false, revocations: false }) {
            return;
        }
        let (unproven, secured) = (door.unproven.take(), door.secured);
        let mut proves = true;
        if let (Some(credentials), Some(secured)) = (unproven, secured) {
            let judged = self.judge(&secured, true, &credentials, now);
            proves = matches!(judged, Ok((_, Standing::Member)));
            if proves {
                self.give_generations(stream, &credentials, now);
            }
        }
        if is_newcomer || !proves {
            return self.part(stream, is_newcomer);
        }
        let Some(door) = self.doors.get_mut(stream) else { return };
        (door.stage, door.since) = (Stage::Passed, now);
        let (is_errand, incoming) = (door.is_errand, door.take_incoming());
        self.note_equal(now);
        if is_errand {
            self.send(stream, &Frame::End);
            self.doors.remove(stream);
            return self.acts.push_back(Act::Finish(stream));
        }
        for bytes in incoming {
            self.deliver(stream, bytes);
        }
    }

    /// Ends a stream at the door. Neither side has a generation that counts, or the peer does not prove the one that it gave.
    fn part(&mut self, stream: StreamId, is_newcomer: bool) {
        self.counters.doors_refused += 1;
        let Some(door) = self.doors.get(stream) else { return };
        let (is_ours, entering_at) = (door.is_ours, door.entering_at);
        if let Some(seed) = entering_at.filter(|_| is_newcomer) {
            self.note_outside(seed);
        }
        if is_ours || !is_newcomer {
            return self.drop_stream(stream);
        }
        // Our credentials show the peer that we wait outside, too.
        self.doors.remove(stream);
        self.acts.push_back(Act::Finish(stream));
    }

    fn deliver(&mut self, stream: StreamId, bytes: Vec<u8>) {
        let Some(door) = self.doors.get_mut(stream) else { return };
        let Some(from) = door.member else { return };
        let is_first = !std::mem::replace(&mut door.has_delivered, true);
        if is_first && !door.is_ours && Frame::is_end(&bytes) {
            // The peer ran an errand.
            self.doors.remove(stream);
            return self.acts.push_back(Act::Finish(stream));
        }
        if is_first && Frame::named_sender(&bytes).is_some_and(|sender| sender != from) {
            self.counters.messages_in_anothers_name += 1;
            return self.drop_stream(stream);
        }
        self.acts.push_back(Act::Deliver { stream, bytes, is_first });
    }

    fn send(&mut self, stream: StreamId, frame: &Frame) {
        let Ok(bytes) = frame.encode() else {
            self.counters.encoding_errors += 1;
            return self.drop_stream(stream);
        };
        if let Some(door) = self.doors.get_mut(stream) {
            door.unwritten += 1;
        }
        self.counters.frame_bytes_sent += bytes.len() as u64;
        self.acts.push_back(Act::Send(stream, bytes));
    }
}

/// The words of a peer, without anything that would disturb a terminal.
fn printable(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(MAX_REFUSAL_BYTES).collect()
}
