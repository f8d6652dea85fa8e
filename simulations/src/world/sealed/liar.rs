//! A member that lies: an ordinary membership in the wrong hands.
//!
//! It holds the present generation, and is let in everywhere. It orders what only an operator may order, and speaks in the name
//! of other members. What it gossips about others is believed, as that of every member: the protocol does not cover that.

use aws_lc_rs::signature::Ed25519KeyPair;
use hobnob_keys::seal::{Counter, DatagramKeys, Sealed as SealedDatagram};
use hobnob_keys::{Certificate, Generation, NodeKey};
use hobnob_membership::wire::{
    Credentials, DatagramBuilder, Envelope, Frame, HandedGeneration, HandedRevocations, Message,
    Ping,
};
use hobnob_membership::{ClusterId, Input};
use rand::RngExt;

use super::authority::{Which, bytes_of};
use super::outsider::encoded;
use super::{Sealed, World};
use crate::world::host::socket_address;

const CONTEXT: &[u8] = b"hobnob command 1\0";
/// Bytes of a signed command before the length of the command: its format and the cluster.
const BEFORE_COMMAND: usize = 33;
/// Bytes of an encoded generation before the operator's order: its format and the secret.
const BEFORE_ORDER: usize = 33;
/// Bytes of a clear envelope.
const ENVELOPE: usize = 7;

/// The same command, signed by a member.
fn signed_by(command: &[u8], key: &NodeKey, certificate: &Certificate) -> Option<Vec<u8>> {
    let length = command.get(BEFORE_COMMAND..BEFORE_COMMAND + 2)?.try_into().ok()?;
    let end = BEFORE_COMMAND + 2 + usize::from(u16::from_le_bytes(length));
    let certificate = certificate.as_bytes();
    let mut bytes = command.get(..end)?.to_vec();
    bytes.extend(u16::try_from(certificate.len()).ok()?.to_le_bytes());
    bytes.extend(certificate);
    let pair = Ed25519KeyPair::from_seed_unchecked(key.seed()).ok()?;
    let signature = pair.sign(&[CONTEXT, &bytes].concat());
    bytes.extend(signature.as_ref());
    Some(bytes)
}

impl Sealed {
    fn liar(&self) -> NodeKey {
        NodeKey::from_seed(&bytes_of(self.seed, "liar", 0))
    }
}

impl World {
    /// The liar tries something once.
    pub fn liar_acts(&mut self) {
        let Some(sealed) = &mut self.sealed else { return };
        let rng = &mut sealed.outsider.rng;
        let (speaks, target) = (rng.random_bool(0.5), rng.random_range(0..self.hosts.len()));
        if speaks {
            self.speak_for_another(target);
        } else {
            self.give_orders(target);
        }
    }

    /// Hands over a generation and a revocation that no operator ordered.
    fn give_orders(&mut self, target: usize) {
        let in_use = self.hosts[target].process.as_ref().and_then(|process| process.in_use);
        let victim = (target + 1) % self.hosts.len();
        let (Some((in_use, _)), Some(sealed)) = (in_use, &mut self.sealed) else { return };
        let Some(held) = sealed.generations.iter().find(|held| held.id() == in_use) else { return };
        let key = sealed.liar();
        let certificate = sealed.home.certificate(key.public_key(), "liar", "dc1", Which::Ordinary);
        let secret = bytes_of(sealed.seed, "forged generation", sealed.outsider.attempts);
        let forged = Generation::order(in_use.number + 1, secret, &sealed.home.operator);
        let Ok(forged) = forged else { return };
        let encoded_generation = forged.encode();
        let (before, order) = encoded_generation.split_at(BEFORE_ORDER);
        let Some(order) = signed_by(order, &key, &certificate) else { return };
        let generation = HandedGeneration { in_use: true, bytes: [before, &order].concat() };
        let Some(public_key) = self.hosts[victim].public_key else { return };
        let revocation = sealed.home.revoke(public_key);
        let Some(revocation) = signed_by(revocation.as_bytes(), &key, &certificate) else { return };
        // The call to come has the next number.
        let binding = sealed.binding(sealed.outsider.peek_stream().0);
        let frames = [
            Frame::Credentials(Credentials {
                certificate: certificate.as_bytes().to_vec(),
                generations: vec![in_use.into(), forged.id().into()],
                proof: held.proof(&binding, &key.public_key()),
                revocations: [7; 16],
                began: 0,
                counter: 0,
                succession: Vec::new(),
                holds: None,
            }),
            Frame::Revocations(HandedRevocations { commands: vec![revocation], last: true }),
            Frame::Generations(vec![generation]),
        ];
        let frames = frames.map(|frame| encoded(&frame));
        self.call(target, key.public_key(), &frames);
        let victim_id = self.hosts[victim].id;
        let node = self.node(target);
        let believes = node.is_some_and(|node| node.is_revoked(victim_id));
        let holds = self.held_by(target).contains(&forged.id());
        let is_revoked = self.is_revoked(victim_id);
        let Some(sealed) = &mut self.sealed else { return };
        if believes && !is_revoked {
            sealed.outsider.breach(format!("n{target} takes a revocation of no operator"));
        }
        if holds {
            sealed.outsider.breach(format!("n{target} takes a generation of no operator"));
        }
    }

    /// Sends a message in the name of another member.
    fn speak_for_another(&mut self, target: usize) {
        let process = self.hosts[target].process.as_ref();
        let idle =
            process.filter(|process| process.ready_at <= self.now && process.inbox.is_empty());
        let Some((in_use, _)) = idle.and_then(|process| process.in_use) else { return };
        let other = &self.hosts[(target + 1) % self.hosts.len()];
        let (from, sender) = (socket_address(other.address), other.id);
        let now = self.now.as_micros();
        let Some(sealed) = &mut self.sealed else { return };
        let Some(held) = sealed.generations.iter().find(|held| held.id() == in_use) else { return };
        let keys = DatagramKeys::with_suite(held, sealed.home.trust(Which::Ordinary).suite());
        let key = sealed.liar();
        let mut clear = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
        if clear.push(&Message::Ping(Ping { sender, nonce: [1; 4] })).is_err() {
            return;
        }
        let (clear, mut bytes) = (clear.finish(), Vec::new());
        let datagram = SealedDatagram {
            sender: key.node_id(),
            counter: Counter::of_epoch(1_800_000_000_000 + now),
            messages: &clear[ENVELOPE..],
        };
        if datagram.seal(&keys, &mut bytes).is_err() {
            return;
        }
        sealed.outsider.attempts += 1;
        let mut outputs = Vec::new();
        self.act_watched(target, Input::Datagram { from, bytes: &bytes }, Some(&mut outputs));
        let Some(sealed) = &mut self.sealed else { return };
        if !outputs.is_empty() {
            let what = format!("n{target} hears a member in the name of another: {outputs:?}");
            sealed.outsider.breach(what);
        }
    }
}
