//! The wire format, byte by byte.
//!
//! The golden bytes are what other versions of the software speak. If a test here fails, either a change was not meant
//! to touch the wire and does, or it is meant to: then raise `wire::VERSION` if old nodes cannot read it, run
//! `cargo test -p hobnob-membership --test wire print_golden_bytes -- --ignored --nocapture` and put the printed lines in
//! place of those below.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hobnob_membership::catalog::{Delta, Entry, Head, Want};
use hobnob_membership::detector::{Cause, LocalHealth, Verdict};
use hobnob_membership::limits::{
    MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES, MAX_MEMBER_BUCKETS, MAX_NAME_BYTES, MAX_RECORD_BYTES,
    MAX_REFEREES,
};
use hobnob_membership::record::{Health, Key, Meta, NodeRecord, ServiceRecord, Value};
use hobnob_membership::wire::{
    Ask, Compare, DatagramBuilder, Digest, Frame, Heads, Hello, Lag, Listing, MemberUpdates,
    Message, Opening, Ping, Pong, Pull, Sketch, Symbol, Update, VERSION, Vote, WireError,
    decode_datagram, from_bytes, pong_tag, to_bytes,
};
use hobnob_membership::{Claim, ClusterId, Epoch, Identity, Life, NodeId};
use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The cluster whose bytes these are.
const CLUSTER: ClusterId = ClusterId(0x0807_0605_0403_0201);

/// Decoding may hold at most this many bytes for each byte of input ...
const MAX_GROWTH: usize = 256;
/// ... and this many more.
const MAX_BASE: usize = 16 * 1024;

/// Counts what the current thread holds, and the most that it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    HELD.set(HELD.get() + bytes);
    PEAK.set(PEAK.get().max(HELD.get()));
}

// SAFETY: hands every call on to the system's allocator, unchanged. The thread locals are plain cells that need neither
// allocation nor destruction.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held at once during `work`, beyond what was held before.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = HELD.get();
    PEAK.set(before);
    work();
    usize::try_from(PEAK.get() - before).unwrap_or(0)
}

fn v4() -> Identity {
    Identity {
        node_id: NodeId(0x0102_0304_0506_0708),
        epoch: Epoch(0x0018_c251_f400),
        addr: SocketAddr::from(([10, 1, 2, 3], 7_946)),
        sync_port: 7_947,
    }
}

fn v6() -> Identity {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x17);
    Identity { addr: SocketAddr::from((ip, 7_946)), ..v4() }
}

fn service() -> ServiceRecord {
    ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "10.1.2.3".into(),
        port: 8_001,
        tags: ["v1"].into(),
        meta: [("k", "v")].into(),
        weight: 2,
        checked: true,
        balancing: hobnob_membership::record::Balancing::default(),
    }
}

fn delta() -> Delta {
    let node = NodeRecord {
        name: "a1".into(),
        datacenter: "dc1".into(),
        zone: "z1".into(),
        software: "0.1.0".into(),
        instance_key_hash: 0xfeed,
        left: Some(Epoch(7)),
    };
    let entry = |version, key, value| Entry { version, key, value };
    Delta {
        origin: v4().node_id,
        epoch: v4().epoch,
        after: 3,
        to: 300,
        head: 70_000,
        gc_floor: 2,
        entries: vec![
            entry(4, Key::Node, Some(Value::Node(Arc::new(node)))),
            entry(5, Key::Service("web-1".into()), Some(Value::Service(Arc::new(service())))),
            entry(6, Key::Health("web-1".into()), Some(Value::Health(Health::Failing))),
            entry(300, Key::Service("web-2".into()), None),
        ],
    }
}

fn want() -> Want {
    Want { origin: v4().node_id, epoch: v4().epoch, after: 251, gc_floor: 9 }
}

fn ping() -> Ping {
    Ping { sender: NodeId(1), nonce: [1, 2, 3, 4] }
}

fn pong() -> Pong {
    Pong {
        tag: pong_tag(NodeId(2), ping().nonce),
        members: [5, 6, 7, 8],
        local_health: LocalHealth(18),
    }
}

fn messages() -> Vec<(&'static str, Message<'static>)> {
    let vote = Vote {
        sender: NodeId(1),
        suspect: NodeId(2),
        silence_ms: 1_500,
        probed_ms: 600,
        local_health: Some(LocalHealth::PROMPT),
        tcp_probe_answered: true,
    };
    let verdict = Verdict {
        node: NodeId(2),
        epoch: v4().epoch,
        cause: Cause::Silence,
        accuser: NodeId(1),
        referees: vec![NodeId(3), NodeId(4)],
    };
    let updates = vec![Update::Alive(v4()), Update::Down(verdict)];
    let member_updates = MemberUpdates { sender: NodeId(1), updates };
    let compare = Compare { sender: NodeId(1), buckets: vec![[7; 4]; MAX_MEMBER_BUCKETS] };
    let listing = Listing { sender: NodeId(1), bucket: 9, wanted: true, members: vec![v4(), v6()] };
    let digest = Digest {
        sender: NodeId(1),
        catalog: 0xdead_beef,
        recent: vec![Head { origin: NodeId(2), epoch: Epoch(3), known_to: 4 }],
    };
    vec![
        ("swim", Message::Swim(&[1, 2, 3])),
        ("hello v4", Message::Hello(Hello { token: 9, identity: v4() })),
        ("hello v6", Message::Hello(Hello { token: 9, identity: v6() })),
        ("welcome", Message::Welcome(Hello { token: u64::MAX, identity: v4() })),
        ("referral", Message::Referral(Hello { token: 9, identity: v4() })),
        ("rumors", Message::Rumors(NodeId(5), vec![delta()])),
        ("digest", Message::Digest(digest)),
        ("pull", Message::Pull(Pull { sender: NodeId(1), wants: vec![want()] })),
        ("claim", Message::Claim(claim())),
        ("ping", Message::Ping(ping())),
        ("pong", Message::Pong(pong())),
        ("ask", Message::Ask(Ask { sender: NodeId(1), suspect: NodeId(2), epoch: v4().epoch })),
        ("vote", Message::Vote(vote)),
        ("member_updates", Message::MemberUpdates(member_updates)),
        ("compare", Message::Compare(compare)),
        ("listing", Message::Listing(listing)),
    ]
}

fn claim() -> Claim {
    let life = Life { yielded: true, started: Epoch(5), key: 0xfeed, number: 6 };
    Claim { identity: v4(), life, silent: false, nonce: 7, echo: 8 }
}

fn heads(heads: Vec<Want>) -> Heads {
    let lag = Lag { head: [5, 6, 7, 8], versions: 1, gc_floor: 300 };
    Heads::part(heads, vec![lag], vec![[1, 2, 3, 4]]).whole().beyond().last()
}

fn deltas(deltas: Vec<Delta>) -> Frame {
    Frame::Deltas { deltas, last: false }
}

fn frames() -> Vec<(&'static str, Frame)> {
    let opening = Opening { cluster: CLUSTER.mark(), identity: v6(), members: 1, catalog: 1 << 40 };
    vec![
        ("opening", Frame::Opening(opening)),
        ("members", Frame::Members(vec![(v4(), 0), (v6(), 300)])),
        ("sketch", Frame::Sketch(Sketch { heads: 300, symbols: vec![Symbol::default(); 2] })),
        ("more", Frame::More(300)),
        ("heads", Frame::Heads(heads(vec![want()]))),
        ("wants", Frame::Heads(Heads::part(vec![want()], vec![], vec![]))),
        ("deltas", deltas(vec![delta()])),
        ("last deltas", Frame::Deltas { deltas: vec![delta()], last: true }),
        ("end", Frame::End),
        ("stream ping", Frame::Ping(CLUSTER.mark(), ping())),
        ("stream pong", Frame::Pong(pong())),
    ]
}

const GOLDEN: &[(&str, &str)] = &[
    ("swim", "01c63a28b10102010300010203"),
    ("hello v4", "01f627d34d010202180009080706050403020100f451c21800000a0102030a1f0b1f"),
    (
        "hello v6",
        "01c393e131010202240009080706050403020100f451c218000120010db80000000000000000000000170a1f0b1f",
    ),
    (
        "welcome",
        "010335d0e40102032000fdffffffffffffffff080706050403020100f451c21800000a0102030a1f0b1f",
    ),
    ("referral", "01eba10380010208180009080706050403020100f451c21800000a0102030a1f0b1f"),
    (
        "rumors",
        "010e855b9b0102048600050000000000000001080706050403020100f451c2180003fb2c01fc7011010002040400010002613103646331027a3105302e312e30fbedfe010700000000000501057765622d310101037765620764656661756c740831302e312e322e33fb411f0102763101016b017602010000000602057765622d31010202fb2c0101057765622d3200",
    ),
    ("digest", "01d601995f0102051d000100000000000000fcefbeadde01020000000000000003000000000004"),
    ("pull", "01449266080102061b00010000000000000001080706050403020100f451c21800fbfb0009"),
    (
        "claim",
        "01cbd518dc0102072500080706050403020100f451c21800000a0102030a1f0b1f01050000000000fbedfe06000708",
    ),
    ("ping", "01d143de1f01020a0c00010000000000000001020304"),
    ("pong", "01bd4a9bef01020b090059a05ded0506070812"),
    ("ask", "011d22fcb501020c16000100000000000000020000000000000000f451c21800"),
    ("vote", "0177189f4201020d190001000000000000000200000000000000fbdc05fb5802010001"),
    (
        "member_updates",
        "01c908b10701020e4a0001000000000000000200080706050403020100f451c21800000a0102030a1f0b1f01020000000000000000f451c218000001000000000000000203000000000000000400000000000000",
    ),
    (
        "compare",
        "0141b3187501020f0b040100000000000000fb000107070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707070707",
    ),
    (
        "listing",
        "01ea27714801021045000100000000000000090102080706050403020100f451c21800000a0102030a1f0b1f080706050403020100f451c218000120010db80000000000000000000000170a1f0b1f",
    ),
    (
        "opening",
        "010105060708080706050403020100f451c218000120010db80000000000000000000000170a1f0b1f01000000000000000000000000010000",
    ),
    (
        "members",
        "0202080706050403020100f451c21800000a0102030a1f0b1f00080706050403020100f451c218000120010db80000000000000000000000170a1f0b1ffb2c01",
    ),
    ("sketch", "03fb2c01020000000000000000000000000000000000000000000000000000"),
    ("more", "04fb2c01"),
    ("heads", "050701080706050403020100f451c21800fbfb0009010506070801fb2c010101020304"),
    ("wants", "050001080706050403020100f451c21800fbfb00090000"),
    (
        "deltas",
        "0601080706050403020100f451c2180003fb2c01fc7011010002040400010002613103646331027a3105302e312e30fbedfe010700000000000501057765622d310101037765620764656661756c740831302e312e322e33fb411f0102763101016b017602010000000602057765622d31010202fb2c0101057765622d3200",
    ),
    (
        "last deltas",
        "0701080706050403020100f451c2180003fb2c01fc7011010002040400010002613103646331027a3105302e312e30fbedfe010700000000000501057765622d310101037765620764656661756c740831302e312e322e33fb411f0102763101016b017602010000000602057765622d31010202fb2c0101057765622d3200",
    ),
    ("end", "08"),
    ("stream ping", "0a0105060708010000000000000001020304"),
    ("stream pong", "0b59a05ded0506070812"),
];

fn datagram(message: &Message<'_>) -> Vec<u8> {
    let mut datagram = DatagramBuilder::default();
    datagram.push(message).expect("fits");
    datagram.finish(CLUSTER)
}

fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let messages = messages().into_iter().map(|(name, message)| (name, datagram(&message)));
    let frames = frames().into_iter().map(|(name, frame)| (name, frame.encode().expect("fits")));
    messages.chain(frames).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn seal(datagram: &mut [u8]) {
    datagram[5..7].copy_from_slice(&CLUSTER.tag());
    let checksum = xxh3_64_with_seed(&datagram[5..], CLUSTER.0).to_le_bytes();
    datagram[1..5].copy_from_slice(&checksum[..4]);
}

fn decode_all(bytes: &[u8]) {
    if let Ok(messages) = decode_datagram(bytes, CLUSTER) {
        messages.for_each(drop);
    }
}

#[test]
fn golden_bytes() {
    let encoded = encoded();
    assert_eq!(encoded.len(), GOLDEN.len());
    for ((name, bytes), (golden_name, golden)) in encoded.iter().zip(GOLDEN) {
        assert_eq!((*name, hex(bytes).as_str()), (*golden_name, *golden));
    }
}

#[test]
#[ignore = "prints the bytes for those who change the wire on purpose"]
fn print_golden_bytes() {
    for (name, bytes) in encoded() {
        println!("    ({name:?}, {:?}),", hex(&bytes));
    }
}

#[test]
fn what_is_written_is_read() {
    for (name, message) in messages() {
        let bytes = datagram(&message);
        let read: Vec<Message<'_>> =
            decode_datagram(&bytes, CLUSTER).expect(name).collect::<Result<_, _>>().expect(name);
        assert_eq!(read, [message]);
    }
    for (name, frame) in frames() {
        assert_eq!(Frame::decode(&frame.encode().expect(name)).expect(name), frame);
    }
}

#[test]
fn a_pong_is_shorter_than_a_ping() {
    let (ping, pong) = (datagram(&Message::Ping(ping())), datagram(&Message::Pong(pong())));
    assert_eq!((ping.len(), pong.len()), (22, 19));
}

#[test]
fn verdicts_with_too_many_referees_and_views_with_other_parts_are_refused() {
    let verdict = |referees| Verdict {
        node: NodeId(2),
        epoch: Epoch(1),
        cause: Cause::Silence,
        accuser: NodeId(1),
        referees: vec![NodeId(3); referees],
    };
    let member_updates = |referees| {
        let updates = vec![Update::Down(verdict(referees))];
        Message::MemberUpdates(MemberUpdates { sender: NodeId(1), updates })
    };
    let compare = |buckets| Message::Compare(Compare { sender: NodeId(1), buckets });
    let legal = [member_updates(MAX_REFEREES), compare(vec![[0; 4]; MAX_MEMBER_BUCKETS])];
    let illegal = [member_updates(MAX_REFEREES + 1), compare(vec![[0; 4]; MAX_MEMBER_BUCKETS - 1])];
    let reads = |message: &Message<'_>| {
        let bytes = datagram(message);
        decode_datagram(&bytes, CLUSTER).expect("sealed").all(|message| message.is_ok())
    };
    assert!(legal.iter().all(reads) && !illegal.iter().any(reads));
}

#[test]
fn identities_take_23_or_35_bytes() {
    assert_eq!(to_bytes(&v4(), 64).expect("fits").len(), 23);
    assert_eq!(to_bytes(&v6(), 64).expect("fits").len(), 35);
}

#[test]
fn addresses_that_nobody_can_send_to_are_refused() {
    for addr in
        ["0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "10.0.0.1:0", "[::]:1", "[ff02::1]:1"]
    {
        let identity = Identity { addr: addr.parse().expect("an address"), ..v4() };
        let bytes = to_bytes(&identity, 64).expect("fits");
        assert!(from_bytes::<Identity>(&bytes, 64).is_err(), "{addr}");
    }
}

#[test]
fn several_messages_share_a_datagram_and_unknown_kinds_are_skipped() {
    let mut builder = DatagramBuilder::default();
    // A comparison of views nearly fills a datagram alone.
    let small = || messages().into_iter().filter(|(name, _)| *name != "compare");
    for (_, message) in small() {
        builder.push(&message).expect("fits");
    }
    let mut bytes = builder.finish(CLUSTER);
    let unknown = [200, 3, 0, 7, 7, 7];
    bytes.splice(7..7, unknown);
    bytes.extend_from_slice(&unknown);
    seal(&mut bytes);
    let read: Vec<Message<'_>> = decode_datagram(&bytes, CLUSTER)
        .expect("sealed")
        .collect::<Result<_, _>>()
        .expect("all known");
    let sent: Vec<Message<'_>> = small().map(|(_, message)| message).collect();
    assert_eq!(read, sent);
}

#[test]
fn a_malformed_message_ends_its_datagram_and_spares_what_stands_before() {
    let mut builder = DatagramBuilder::default();
    builder.push(&messages()[1].1).expect("fits");
    let mut bytes = builder.finish(CLUSTER);
    bytes.extend_from_slice(&[2, 1, 0, 0, 6, 200, 0]);
    seal(&mut bytes);
    let read: Vec<_> = decode_datagram(&bytes, CLUSTER).expect("sealed").collect();
    assert!(matches!(read[..], [Ok(Message::Hello(_)), Err(_)]), "{read:?}");
}

#[test]
fn an_unknown_kind_of_frame_and_another_version_are_named() {
    assert!(matches!(Frame::decode(&[99, 1]), Err(WireError::Kind(99))));
    assert!(matches!(Frame::decode(&[1, VERSION + 1]), Err(WireError::Version(2))));
    let mut bytes = datagram(&messages()[1].1);
    bytes[0] = VERSION + 1;
    assert!(matches!(decode_datagram(&bytes, CLUSTER), Err(WireError::Version(2))));
}

#[test]
fn every_cut_is_refused() {
    for (name, message) in messages() {
        let bytes = datagram(&message);
        for len in 0..bytes.len() {
            assert!(decode_datagram(&bytes[..len], CLUSTER).is_err(), "{name} cut to {len}");
            if len > 7 && !matches!(message, Message::Swim(_)) {
                let mut cut = bytes[..len].to_vec();
                seal(&mut cut);
                let mut messages = decode_datagram(&cut, CLUSTER).expect("sealed");
                assert!(matches!(messages.next(), Some(Err(_))), "{name} cut to {len} and sealed");
            }
        }
    }
    for (name, frame) in frames() {
        let bytes = frame.encode().expect("fits");
        for len in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..len]).is_err(), "{name} cut to {len}");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_by_the_checksum_or_decoded_without_harm() {
    for (name, bytes) in encoded() {
        let is_datagram = messages().iter().any(|(message, _)| *message == name);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if is_datagram {
                assert!(decode_datagram(&flipped, CLUSTER).is_err(), "{name}, bit {bit}");
                seal(&mut flipped);
                decode_all(&flipped);
            } else {
                let decoded = Frame::decode(&flipped);
                assert!(decoded.is_err() || decoded.ok() != Frame::decode(&bytes).ok());
            }
        }
    }
}

#[test]
fn bytes_left_over_are_refused() {
    for (name, frame) in frames() {
        let mut bytes = frame.encode().expect("fits");
        bytes.push(0);
        assert!(matches!(Frame::decode(&bytes), Err(WireError::TrailingBytes(1))), "{name}");
    }
}

#[test]
fn limits_hold_when_writing() {
    let mut builder = DatagramBuilder::default();
    let most = vec![7; DatagramBuilder::MAX_BODY_BYTES];
    let more = vec![7; DatagramBuilder::MAX_BODY_BYTES + 1];
    assert!(matches!(builder.push(&Message::Swim(&more)), Err(WireError::TooLarge { .. })));
    assert!(builder.is_empty(), "left as it was");
    builder.push(&Message::Swim(&most)).expect("the most that fits");
    assert!(builder.push(&Message::Swim(&[])).is_err());
    assert_eq!(builder.finish(CLUSTER).len(), MAX_DATAGRAM_BYTES);
    let wants = |count| Message::Pull(Pull { sender: NodeId(1), wants: vec![want(); count] });
    assert!(matches!(
        DatagramBuilder::default().push(&wants(1_000)),
        Err(WireError::TooLarge { .. })
    ));
    assert!(matches!(
        Frame::Heads(heads(vec![want(); MAX_FRAME_BYTES / 16])).encode(),
        Err(WireError::TooLarge { .. })
    ));
}

#[test]
fn limits_hold_when_reading() {
    let mut long = vec![0; MAX_DATAGRAM_BYTES + 1];
    long[0] = VERSION;
    seal(&mut long);
    assert!(matches!(decode_datagram(&long, CLUSTER), Err(WireError::TooLarge { .. })));
    let mut long = vec![0; MAX_FRAME_BYTES + 1];
    long[0] = 3;
    assert!(matches!(Frame::decode(&long), Err(WireError::TooLarge { .. })));
    let refused = |change: &dyn Fn(&mut Delta)| {
        let mut delta = delta();
        change(&mut delta);
        let frame = deltas(vec![delta.clone()]).encode().expect("fits");
        assert!(Frame::decode(&frame).is_err(), "{delta:?}");
        let bytes = datagram(&Message::Rumors(NodeId(1), vec![delta]));
        let mut messages = decode_datagram(&bytes, CLUSTER).expect("sealed");
        assert!(matches!(messages.next(), Some(Err(_))));
    };
    refused(&|delta| delta.to = delta.after);
    refused(&|delta| delta.head = delta.to - 1);
    refused(&|delta| delta.gc_floor = delta.head + 1);
    refused(&|delta| delta.entries[0].version = delta.after);
    refused(&|delta| delta.entries[1].version = 4);
    refused(&|delta| delta.to = 299);
    refused(&|delta| delta.entries[2].key = Key::Node);
    refused(&|delta| delta.entries[3].key = Key::Service("".into()));
    refused(&|delta| delta.entries[3].key = Key::Service("x".repeat(MAX_NAME_BYTES + 1).into()));
    refused(&|delta| {
        let Some(Value::Service(service)) = &mut delta.entries[1].value else { return };
        Arc::make_mut(service).weight = 0;
    });
}

/// A record of exactly the largest size.
fn largest() -> Entry {
    let mut service = service();
    let mut values = vec![490; 8];
    let meta = |values: &[usize]| -> Meta {
        let label = |(n, len): (usize, &usize)| (format!("m{n}"), "y".repeat(*len));
        values.iter().enumerate().map(label).collect()
    };
    let entry = |service: &ServiceRecord| Entry {
        version: 1,
        key: Key::Service("large".into()),
        value: Some(Value::Service(Arc::new(service.clone()))),
    };
    let len = |entry: &Entry| to_bytes(entry, usize::MAX).expect("no limit").len();
    loop {
        service.meta = meta(&values);
        let missing = MAX_RECORD_BYTES - len(&entry(&service));
        if missing == 0 {
            return entry(&service);
        }
        let shortest = values.iter_mut().min().expect("there are some");
        *shortest += missing.min(22).min(512 - *shortest);
    }
}

#[test]
fn the_largest_bodies_that_are_legal_are_carried() {
    let entry = largest();
    assert_eq!(to_bytes(&entry, usize::MAX).expect("no limit").len(), MAX_RECORD_BYTES);
    let delta = Delta { after: 0, to: 1, head: 1, gc_floor: 0, entries: vec![entry], ..delta() };
    delta.validate().expect("legal");
    let mut larger = delta.clone();
    let Some(Value::Service(service)) = &mut larger.entries[0].value else { unreachable!() };
    Arc::make_mut(service).namespace = "defaultx".into();
    assert!(larger.validate().is_err(), "one byte more");
    let mut many = Vec::new();
    while deltas(many.clone()).encode().is_ok() {
        many.push(delta.clone());
    }
    many.pop();
    let frame = deltas(many);
    let bytes = frame.encode().expect("fits");
    assert!(bytes.len() > MAX_FRAME_BYTES - MAX_RECORD_BYTES - 100);
    assert_eq!(Frame::decode(&bytes).expect("legal"), frame);
    let heads = Frame::Heads(heads(vec![
        Want {
            origin: NodeId(u64::MAX),
            epoch: Epoch::MAX,
            after: u64::MAX,
            gc_floor: u64::MAX
        };
        MAX_FRAME_BYTES / 32 - 1
    ]));
    assert_eq!(Frame::decode(&heads.encode().expect("fits")).expect("legal"), heads);
    let small = Entry { version: 0, key: Key::Node, value: None };
    let entries = (1..=8_192).map(|version| Entry { version, ..small.clone() }).collect();
    let many = Delta { after: 0, to: 8_192, head: 8_192, entries, ..delta };
    let frame = deltas(vec![many]);
    assert_eq!(Frame::decode(&frame.encode().expect("fits")).expect("legal"), frame);
}

#[test]
fn a_claimed_length_alone_allocates_nothing() {
    // A delta that claims 2^40 entries, a digest that claims 2^40 heads, a name of 2^40 bytes.
    let huge = [253, 0, 0, 0, 0, 0, 1, 0, 0];
    let head = to_bytes(&(NodeId(1), Epoch(1), 0_u64, 1_u64, 1_u64, 0_u64), 64).expect("fits");
    let delta = [&[6, 1][..], &head, &huge].concat();
    let name = [&[6, 1][..], &head, &[1, 1, 1], &huge].concat();
    let members = [&[2][..], &huge].concat();
    let symbols = [&[3, 1][..], &huge].concat();
    for bytes in [delta, name, members, symbols] {
        let peak = peak_of(|| assert!(Frame::decode(&bytes).is_err()));
        assert!(peak <= 8 * 1_024, "{peak} bytes for {bytes:?}");
    }
}

fn check_growth(bytes: &[u8]) {
    let most = MAX_GROWTH * bytes.len() + MAX_BASE;
    let peak = peak_of(|| decode_all(bytes));
    assert!(peak <= most, "{peak} bytes for a datagram of {}", bytes.len());
    let peak = peak_of(|| drop(Frame::decode(bytes)));
    assert!(peak <= most, "{peak} bytes for a frame of {}", bytes.len());
    let body = bytes.get(2..).unwrap_or_default();
    let peak = peak_of(|| {
        drop(from_bytes::<Delta>(body, MAX_FRAME_BYTES));
        drop(from_bytes::<Hello>(body, MAX_FRAME_BYTES));
        drop(from_bytes::<(NodeId, Delta)>(body, MAX_FRAME_BYTES));
        drop(from_bytes::<NodeRecord>(body, MAX_FRAME_BYTES));
        drop(from_bytes::<ServiceRecord>(body, MAX_FRAME_BYTES));
    });
    assert!(peak <= most, "{peak} bytes for a body of {}", body.len());
}

#[test]
fn random_bytes_never_panic_nor_take_more_memory_than_stated() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let goldens = encoded();
    let mut reached = 0;
    for round in 0..100_000 {
        let mut bytes = match round % 4 {
            0 => {
                let mut bytes = vec![0; rng.random_range(0..200)];
                rng.fill_bytes(&mut bytes);
                bytes
            }
            _ => {
                let mut bytes = goldens[rng.random_range(0..goldens.len())].1.clone();
                for _ in 0..rng.random_range(1..6) {
                    let at = rng.random_range(2..bytes.len().max(3));
                    match rng.random_range(0..3) {
                        0 => bytes.truncate(at),
                        1 if at < bytes.len() => bytes[at] = rng.random(),
                        _ => bytes.extend_from_slice(&[253, 255, 255, 255, 255, 255, 0, 0, 0]),
                    }
                }
                bytes
            }
        };
        if bytes.len() >= 10 && round % 2 == 0 {
            (bytes[0], bytes[7]) = (VERSION, rng.random_range(1..8));
            let len = u16::try_from(bytes.len() - 10).expect("short");
            bytes[8..10].copy_from_slice(&len.to_le_bytes());
            seal(&mut bytes);
            reached += usize::from(decode_datagram(&bytes, CLUSTER).is_ok());
        } else if bytes.len() >= 2 {
            (bytes[0], bytes[1]) = (VERSION, rng.random_range(1..8));
        }
        check_growth(&bytes);
    }
    assert!(reached > 40_000, "the envelope let only {reached} through");
}

#[test]
fn the_densest_lists_take_no_more_memory_than_stated() {
    let tombstone = |version| Entry { version, key: Key::Node, value: None };
    for count in [1, 5, 17, 129, 1_025, 8_192] {
        let entries: Vec<Entry> = (1..=count).map(tombstone).collect();
        let delta = Delta { after: 0, to: count, head: count, gc_floor: 0, entries, ..delta() };
        check_growth(&deltas(vec![delta]).encode().expect("fits"));
        let empty =
            Delta { after: 0, to: 1, head: 1, gc_floor: 0, entries: vec![], ..self::delta() };
        let count = usize::try_from(count).expect("small").min(2_800);
        check_growth(&deltas(vec![empty; count]).encode().expect("fits"));
        check_growth(&Frame::Members(vec![(v4(), 0); count.min(2_500)]).encode().expect("fits"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_identity_is_carried(
        node in any::<u64>(), epoch in 0..=Epoch::MAX.0, ip in any::<std::net::IpAddr>(),
        port in 1..=u16::MAX, sync_port in 1..=u16::MAX,
    ) {
        let broadcast = ip == std::net::IpAddr::from([255; 4]);
        prop_assume!(!ip.is_unspecified() && !ip.is_multicast() && !broadcast);
        let addr = SocketAddr::new(ip, port);
        let identity = Identity { node_id: NodeId(node), epoch: Epoch(epoch), addr, sync_port };
        let bytes = to_bytes(&identity, 64).expect("fits");
        prop_assert_eq!(from_bytes::<Identity>(&bytes, 64).expect("legal"), identity);
    }
}
