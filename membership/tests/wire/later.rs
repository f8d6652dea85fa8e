//! The extensions of a later version: a tail to every block, kinds of messages, frames and elements.
//!
//! `later.txt` holds recorded bytes of a version that does not exist. [`Later`] made them: it knows how each struct is laid
//! out today and writes it with something at the end of every block. It shares no code with the crate, so the recording
//! and this file say twice what a block is. `print_later_bytes` prints the lines anew.

use hobnob_membership::wire::{Credentials, Frame, HandedGeneration};
use proptest::prelude::*;

use crate::fixtures::{
    CLUSTER, DATACENTER, ENVELOPE_BYTES, TABLES, claim, credentials, datagram, enclose, frames,
    generations, hex, messages, ping, pong, read, recorded, revocations, v4, v6,
};

const LATER: &str = include_str!("later.txt");

/// A field that only the later version knows.
const TAIL: &[u8] = b"later";

/// Bytes of a later version.
#[derive(Default)]
pub(crate) struct Later(pub(crate) Vec<u8>);

impl Later {
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        let bytes = number.to_le_bytes();
        match number {
            0..=250 => self.raw(&bytes[..1]),
            251..=0xffff => self.raw(&[251]).raw(&bytes[..2]),
            0x1_0000..=0xffff_ffff => self.raw(&[252]).raw(&bytes[..4]),
            _ => self.raw(&[253]).raw(&bytes),
        }
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.number(text.len() as u64).raw(text.as_bytes())
    }

    /// Known fields, and one that is not.
    pub(crate) fn block(self, Self(fields): Self) -> Self {
        let len = fields.len() + TAIL.len();
        self.number(len as u64).raw(&fields).raw(TAIL)
    }

    pub(crate) fn node(self, node: u64) -> Self {
        self.raw(&node.to_le_bytes())
    }

    pub(crate) fn epoch(self, epoch: u64) -> Self {
        self.raw(&epoch.to_le_bytes()[..6])
    }

    pub(crate) fn identity(self, identity: &hobnob_membership::Identity) -> Self {
        let fields = Self::default().node(identity.node_id.0).epoch(identity.epoch.0);
        let fields = match identity.addr.ip() {
            std::net::IpAddr::V4(ip) => fields.raw(&[0]).raw(&ip.octets()),
            std::net::IpAddr::V6(ip) => fields.raw(&[1]).raw(&ip.octets()),
        };
        let fields = fields.raw(&identity.addr.port().to_le_bytes());
        self.block(fields.raw(&identity.sync_port.to_le_bytes()))
    }
}

fn new() -> Later {
    Later::default()
}

/// A kind that nobody knows yet, with five bytes in it.
fn unknown() -> Later {
    new().raw(&[200, 5]).raw(TAIL)
}

fn later_round_trip() -> Later {
    new().node(1).node(2).number(300).number(80_000)
}

fn later_isolation() -> Later {
    new().node(2).number(1).node(1).raw(&[1])
}

/// The messages that have no record in them, as a later version would write them.
fn later_messages() -> Vec<(&'static str, Vec<u8>)> {
    let message = |kind: u8, fields: Later| new().raw(&[kind]).block(fields).0;
    let hello =
        |token, identity| new().number(token).identity(identity).node(DATACENTER.0).raw(&TABLES);
    let epoch = v4().epoch.0;
    let reach = new().node(DATACENTER.0).node(2).number(3);
    let head = new().node(2).epoch(3).number(4);
    let want = new().node(v4().node_id.0).epoch(epoch).number(251).number(9);
    let sign_of_life = || {
        let echo = new().raw(&[7]).number(300);
        new().node(1).node(DATACENTER.0).raw(&[200, 1]).block(echo)
    };
    let summary = new().node(0xdead_beef).node(1 << 40).raw(&TABLES).number(1);
    let summary = summary.block(new().node(2).epoch(3).number(4)).number(1).node(7);
    let summary = summary.number(1).block(new().node(8).node(9));
    let beat = sign_of_life().raw(&[1, 1]).block(later_remote()).raw(&[1]).block(summary);
    let life = new().raw(&[1]).epoch(5).number(0xfeed).number(6);
    let verdict = new().node(2).epoch(epoch).raw(&[0]).node(1).number(2).node(3).node(4);
    let verdict = verdict.raw(&[1]);
    // A verdict for a cause that only the later version knows.
    let odd = new().node(2).epoch(epoch).raw(&[77]).node(1).number(0);
    let updates = new().node(1).number(8).raw(&[0]).raw(&new().identity(&v4()).0);
    let updates = updates.raw(&unknown().0).raw(&[1]).block(verdict).raw(&[1]).block(odd);
    let updates = updates.raw(&[2]).block(later_remote()).raw(&[3]).block(reach);
    let updates = updates.raw(&[4]).block(later_isolation());
    let updates = updates.raw(&[5]).block(later_round_trip()).node(DATACENTER.0);
    let reach_vote = new().node(1).node(DATACENTER.0).number(7_000).number(1_000).raw(&[1]);
    let listing = new().node(1).raw(&[9, 1]).number(3).identity(&v4());
    // A member with an address of a family that only the later version knows.
    let listing = listing.block(new().node(8).epoch(9).raw(&[2, 1, 2, 3])).identity(&v6());
    let exit_vote = new().node(1).node(2).epoch(epoch).raw(&[0, 1, 1, 0]);
    let vote = new().node(1).node(2).number(1_500).number(600).raw(&[1, 0, 1]);
    let ping = new().node(1).raw(&ping().nonce);
    let (tag, members) = (pong().tag, pong().members);
    vec![
        ("hello v4", message(2, hello(9, &v4()))),
        ("hello v6", message(2, hello(9, &v6()))),
        ("welcome", message(3, hello(u64::MAX, &v4()))),
        ("referral", message(8, hello(9, &v4()))),
        ("digest", message(5, new().node(1).node(0xdead_beef).number(1).block(head))),
        ("pull", message(6, new().node(1).number(1).block(want))),
        ("claim", message(7, new().identity(&claim().identity).block(life).raw(&[0, 7, 8]))),
        ("ping", message(10, ping)),
        ("pong", message(11, new().raw(&tag).raw(&members).raw(&[18]))),
        ("ask", message(12, new().node(1).node(2).epoch(epoch))),
        ("vote", message(13, vote)),
        ("member_updates", message(14, updates)),
        ("exit_vote", message(17, exit_vote)),
        ("compare", message(15, new().node(1).number(256).raw(&[7; 1_024]).raw(&TABLES))),
        ("listing", message(16, listing)),
        ("reach_vote", message(21, reach_vote)),
        ("confirm", message(30, new().node(1).node(2).epoch(epoch).number(251))),
        ("confirmed", message(31, new().node(1).node(2).epoch(epoch).number(300))),
        ("tell_ack", message(23, new().node(1).number(300).number(1).node(7))),
        ("beat", message(26, beat)),
        ("sign_of_life", message(26, sign_of_life().raw(&[0, 0, 0]))),
    ]
}

/// The frames that have no record in them, as a later version would write them.
fn later_frames() -> Vec<(&'static str, Vec<u8>)> {
    let frame = |kind: u8, fields: Later| new().raw(&[kind]).raw(&fields.0).raw(TAIL).0;
    let mark = &CLUSTER.0.to_le_bytes()[4..];
    let opening =
        new().raw(&[0x12]).raw(mark).identity(&v6()).node(1).node(1 << 40).node(DATACENTER.0);
    let opening = opening.raw(&[0]);
    let introduction = new().raw(&[0x12]).raw(mark).identity(&v6()).text("us").raw(&[1, 0, 1]);
    let introduction = introduction.block(new().node(DATACENTER.0).node(1 << 40)).node(5);
    let reach = new().node(DATACENTER.0).node(2).number(300);
    let tables = new().raw(&[1]).block(later_remote()).raw(&[1]).block(reach).raw(&[1]);
    let tables = tables.raw(&[1]).block(later_isolation());
    let tables = tables.raw(&[1]).block(later_round_trip());
    let members = new().number(2).identity(&v4()).identity(&v6());
    let want = || new().node(v4().node_id.0).epoch(v4().epoch.0).number(251).number(9);
    let lag = new().raw(&[5, 6, 7, 8, 1]).number(300);
    let heads = new().raw(&[7 | 0x80, 1]).block(want()).number(1).block(lag);
    let wants = new().raw(&[0, 1]).block(want()).raw(&[0, 0]);
    let ping = new().raw(&[0x12]).raw(mark).node(1).raw(&ping().nonce);
    let pong = new().raw(&pong().tag).raw(&pong().members).raw(&[18]);
    vec![
        ("opening", frame(1, opening)),
        ("members", frame(2, members)),
        ("sketch", frame(3, new().number(300).number(2).raw(&[0; 26]))),
        ("more", frame(4, new().number(300))),
        ("heads", frame(5, heads.number(1).raw(&[1, 2, 3, 4]))),
        ("wants", frame(5, wants)),
        ("end", frame(8, new())),
        ("datacenter", frame(9, introduction)),
        ("tables", frame(12, tables)),
        ("stream ping", frame(10, ping)),
        ("stream pong", frame(11, pong)),
        ("credentials", frame(20, later_credentials())),
        ("generations", frame(21, later_generations())),
        ("revocations", frame(22, later_revocations())),
        ("refusal", frame(23, new().text("the token expired"))),
    ]
}

fn later_remote() -> Later {
    new().identity(&v4()).text("eu").raw(&[2, 1, 1]).node(3)
}

fn later_credentials() -> Later {
    let Credentials { certificate, proof, revocations, began, counter, succession, .. } =
        credentials();
    let mark = |number: u64| new().number(number).raw(&[number as u8; 32]);
    let fields = new().raw(&[2]).number(certificate.len() as u64).raw(&certificate);
    let fields = fields.number(2).block(mark(2)).block(mark(300));
    let fields = fields.raw(&proof).raw(&revocations).node(began).node(counter);
    fields.number(succession.len() as u64).raw(&succession).raw(&[1]).number(7)
}

fn later_generations() -> Later {
    let handed = generations().into_iter().map(|HandedGeneration { in_use, bytes }| {
        new().raw(&[u8::from(in_use)]).number(bytes.len() as u64).raw(&bytes)
    });
    handed.fold(new().number(2), Later::block)
}

fn later_revocations() -> Later {
    let commands = revocations().commands.into_iter();
    let list = commands
        .fold(new().number(2), |list, command| list.number(command.len() as u64).raw(&command));
    list.raw(&[1])
}

fn all_later() -> Vec<(&'static str, Vec<u8>)> {
    later_messages().into_iter().chain(later_frames()).collect()
}

#[test]
#[ignore = "prints the bytes of the later version"]
fn print_later_bytes() {
    for (name, bytes) in all_later() {
        println!("{name}: {}", hex(&bytes));
    }
}

#[test]
fn the_recorded_bytes_are_those_that_the_helper_makes() {
    let made: Vec<_> = all_later();
    assert_eq!(recorded(LATER), made);
}

#[test]
fn a_message_of_a_later_version_says_what_it_says_today() {
    let known = messages();
    let find = |name: &str| known.iter().find(|(known, _)| *known == name).expect("known");
    for (name, bytes) in recorded(LATER).into_iter().take(later_messages().len()) {
        let unknown = [200, 5, 1, 2, 3, 4, 5];
        let mixed = enclose(&[&unknown[..], &bytes, &unknown].concat());
        // In the lists stand two updates and a member of unknown kinds.
        let in_lists = match name {
            "member_updates" => 2,
            "listing" => 1,
            _ => 0,
        };
        let whole = enclose(&bytes);
        assert_eq!(read(&whole).expect(name), (vec![find(name).1.clone()], in_lists), "{name}");
        if mixed.len() <= hobnob_membership::limits::MAX_DATAGRAM_BYTES {
            assert_eq!(read(&mixed).expect(name).1, in_lists + 2, "{name}");
        }
    }
}

#[test]
fn a_frame_of_a_later_version_says_what_it_says_today() {
    let known = frames();
    let find = |name: &str| known.iter().find(|(known, _)| *known == name).expect("known");
    for (name, bytes) in recorded(LATER).into_iter().skip(later_messages().len()) {
        assert_eq!(Frame::decode(&bytes).expect(name), find(name).1, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_tail_of_any_message_changes_nothing(
        which in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 0..250),
    ) {
        let messages = messages();
        let (name, message) = which.get(&messages);
        let bytes = &datagram(message)[ENVELOPE_BYTES..];
        let fields = &bytes[if bytes[1] == 251 { 4 } else { 2 }..];
        let grown = new().raw(&bytes[..1]).number((fields.len() + tail.len()) as u64);
        let grown = enclose(&grown.raw(fields).raw(&tail).0);
        prop_assert_eq!(read(&grown).expect(name), (vec![message.clone()], 0));
    }

    #[test]
    fn any_tail_of_any_frame_changes_nothing(
        which in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 0..250),
    ) {
        let frames = frames();
        let (name, frame) = which.get(&frames);
        let grown = [frame.encode().expect(name), tail].concat();
        prop_assert_eq!(&Frame::decode(&grown).expect(name), frame);
    }
}
