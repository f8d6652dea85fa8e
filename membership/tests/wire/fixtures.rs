//! One of each: identities, records, messages and frames.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hobnob_membership::catalog::{Delta, Entry, Head, Want};
use hobnob_membership::detector::{Cause, LocalHealth, Verdict};
use hobnob_membership::limits::MAX_MEMBER_BUCKETS;
use hobnob_membership::record::{
    Balancing, Health, Key, NodeRecord, ServiceRecord, Support, Value,
};
use hobnob_membership::wire::{
    Ages, Answer, Ask, Beat, Compare, Confirm, Credentials, DatagramBuilder, Digest, Echo,
    Envelope, ExitVote, Frame, GenerationMark, HandedGeneration, HandedRevocations, Heads, Hello,
    HomeVerdict, Introduction, Isolation, Lag, Listing, MemberUpdates, Message, Opening,
    PartDigest, Ping, Pong, Pull, Question, Reach, ReachVote, Refusal, RemoteMember, Reply,
    Request, RoundTrip, Sketch, Summary, Symbol, TableDigest, Tables, Taken, Tell, TellAck, Update,
    Vote, WireError, decode_datagram, pong_tag,
};
use hobnob_membership::{Claim, ClusterId, DatacenterId, Epoch, Gateway, Identity, Life, NodeId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The cluster whose bytes these are.
pub(crate) const CLUSTER: ClusterId = ClusterId(0x0807_0605_0403_0201);
/// The envelope of its datagrams.
pub(crate) const ENVELOPE: Envelope = Envelope::clear(CLUSTER);
/// The datacenter that messages name.
pub(crate) const DATACENTER: DatacenterId = DatacenterId(0x0a0b_0c0d);
/// The hash of tables that messages carry.
pub(crate) const TABLES: [u8; 4] = [9, 8, 7, 6];
/// Bytes before the messages of a datagram.
pub(crate) const ENVELOPE_BYTES: usize = 7;

pub(crate) fn v4() -> Identity {
    Identity {
        node_id: NodeId(0x0102_0304_0506_0708),
        epoch: Epoch(0x0018_c251_f400),
        addr: SocketAddr::from(([10, 1, 2, 3], 7_946)),
        sync_port: 7_947,
    }
}

pub(crate) fn v6() -> Identity {
    let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x17);
    Identity { addr: SocketAddr::from((ip, 7_946)), ..v4() }
}

pub(crate) fn service() -> ServiceRecord {
    ServiceRecord {
        service: "web".into(),
        namespace: "default".into(),
        address: "10.1.2.3".into(),
        port: 8_001,
        tags: ["v1"].into(),
        meta: [("k", "v")].into(),
        weight: 2,
        checked: true,
        balancing: Balancing::default(),
        scope: Default::default(),
        upkeep: Default::default(),
    }
}

pub(crate) fn delta() -> Delta {
    let node = NodeRecord {
        name: "a1".into(),
        datacenter: "dc1".into(),
        zone: "z1".into(),
        software: "0.1.0".into(),
        instance_key_hash: 0xfeed,
        left: Some(Epoch(7)),
        support: Support::OURS,
        certificate: b"certificate".to_vec(),
        gateway: Gateway::OnlyIfNeeded,
    };
    let entry =
        |version, key, value: Option<Value>| Entry { version, key, value: value.map(Into::into) };
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

pub(crate) fn want() -> Want {
    Want { origin: v4().node_id, epoch: v4().epoch, after: 251, gc_floor: 9 }
}

pub(crate) fn ping() -> Ping {
    Ping { sender: NodeId(1), nonce: [1, 2, 3, 4] }
}

pub(crate) fn pong() -> Pong {
    Pong {
        tag: pong_tag(NodeId(2), ping().nonce),
        members: [5, 6, 7, 8],
        local_health: LocalHealth(18),
    }
}

pub(crate) fn messages() -> Vec<(&'static str, Message)> {
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
        exited: true,
    };
    let exit_vote = ExitVote {
        sender: NodeId(1),
        suspect: NodeId(2),
        epoch: v4().epoch,
        alive: false,
        closed: true,
        by_fin: true,
        refused: false,
    };
    let reach = Reach { observer: DATACENTER, target: DatacenterId(2), changes: 3 };
    let updates = vec![
        Update::Alive(v4()),
        Update::Down(verdict),
        Update::Remote(remote()),
        Update::Reach(reach),
        Update::Isolation(isolation()),
        Update::RoundTrip(round_trip()),
    ];
    let member_updates = MemberUpdates { sender: NodeId(1), updates, datacenter: DATACENTER };
    let compare =
        Compare { sender: NodeId(1), buckets: vec![[7; 4]; MAX_MEMBER_BUCKETS], tables: TABLES };
    let listing = Listing { sender: NodeId(1), bucket: 9, wanted: true, members: vec![v4(), v6()] };
    let digest = Digest {
        sender: NodeId(1),
        catalog: 0xdead_beef,
        recent: vec![Head { origin: NodeId(2), epoch: Epoch(3), known_to: 4 }],
    };
    let confirm = Confirm { sender: NodeId(1), origin: NodeId(2), epoch: v4().epoch, version: 251 };
    vec![
        (
            "hello v4",
            Message::Hello(Hello {
                token: 9,
                identity: v4(),
                datacenter: DATACENTER,
                tables: TABLES,
            }),
        ),
        (
            "hello v6",
            Message::Hello(Hello {
                token: 9,
                identity: v6(),
                datacenter: DATACENTER,
                tables: TABLES,
            }),
        ),
        (
            "welcome",
            Message::Welcome(Hello {
                token: u64::MAX,
                identity: v4(),
                datacenter: DATACENTER,
                tables: TABLES,
            }),
        ),
        (
            "referral",
            Message::Referral(Hello {
                token: 9,
                identity: v4(),
                datacenter: DATACENTER,
                tables: TABLES,
            }),
        ),
        ("rumors", Message::Rumors(NodeId(5), vec![delta()], Ages::default())),
        ("aged_rumors", Message::Rumors(NodeId(5), vec![delta(), delta()], ages())),
        ("digest", Message::Digest(digest)),
        ("pull", Message::Pull(Pull { sender: NodeId(1), wants: vec![want()] })),
        ("claim", Message::Claim(claim())),
        ("ping", Message::Ping(ping())),
        ("pong", Message::Pong(pong())),
        ("ask", Message::Ask(Ask { sender: NodeId(1), suspect: NodeId(2), epoch: v4().epoch })),
        ("vote", Message::Vote(vote)),
        ("member_updates", Message::MemberUpdates(member_updates)),
        ("exit_vote", Message::ExitVote(exit_vote)),
        ("compare", Message::Compare(compare)),
        ("listing", Message::Listing(listing)),
        ("reach_vote", Message::ReachVote(reach_vote())),
        ("confirm", Message::Confirm(confirm)),
        ("confirmed", Message::Confirmed(Confirm { version: 300, ..confirm })),
        ("tell", Message::Tell(tell())),
        ("tell_ack", Message::TellAck(tell_ack())),
        ("beat", Message::Beat(beat())),
        ("sign_of_life", Message::Beat(sign_of_life())),
        ("bulk", Message::Bulk(NodeId(5), vec![delta()])),
    ]
}

fn ages() -> Ages {
    Ages::new([None, Some(Duration::from_millis(30))])
}

pub(crate) fn remote() -> RemoteMember {
    RemoteMember {
        identity: v4(),
        datacenter: "eu".into(),
        gateway: Gateway::Yes,
        verdict: HomeVerdict::Down,
        accuser: Some(NodeId(3)),
    }
}

pub(crate) fn reach_vote() -> ReachVote {
    let (silence_ms, looked_ms) = (7_000, 1_000);
    ReachVote { sender: NodeId(1), target: DATACENTER, silence_ms, looked_ms, wanted: true }
}

pub(crate) fn introduction() -> Introduction {
    Introduction {
        cluster: CLUSTER.mark(),
        identity: v6(),
        datacenter: "us".into(),
        is_wan: true,
        is_settled: false,
        tables: vec![TableDigest { datacenter: DATACENTER, members: 1 << 40 }],
        reach: 5,
    }
}

pub(crate) fn tables() -> Tables {
    let reach = Reach { observer: DATACENTER, target: DatacenterId(2), changes: 300 };
    Tables {
        members: vec![remote()],
        reach: vec![reach],
        last: true,
        isolations: vec![isolation()],
        round_trips: vec![round_trip()],
    }
}

fn round_trip() -> RoundTrip {
    RoundTrip { by: NodeId(1), target: DatacenterId(2), number: 300, micros: 80_000 }
}

fn isolation() -> Isolation {
    Isolation { target: DatacenterId(2), orders: 1, by: NodeId(1), forgets: true }
}

fn tell() -> Tell {
    let to = vec![DatacenterId(7)];
    Tell { sender: NodeId(5), number: 300, parts: 5, to, deltas: vec![delta()] }
}

fn tell_ack() -> TellAck {
    TellAck { sender: NodeId(1), number: 300, unheard: vec![DatacenterId(7)] }
}

fn beat() -> Beat {
    let summary = Summary {
        home: 0xdead_beef,
        members: 1 << 40,
        datacenters: TABLES,
        recent: vec![Head { origin: NodeId(2), epoch: Epoch(3), known_to: 4 }],
        lacks: vec![DatacenterId(7)],
        others: vec![PartDigest { datacenter: DatacenterId(8), digest: 9 }],
    };
    let (updates, summary) = (vec![remote()], Some(summary));
    Beat { asks: true, updates, summary, ..sign_of_life() }
}

fn sign_of_life() -> Beat {
    Beat {
        sender: NodeId(1),
        datacenter: DATACENTER,
        number: 200,
        echo: Some(Echo { number: 7, held: 300 }),
        asks: false,
        updates: vec![],
        summary: None,
    }
}

pub(crate) fn claim() -> Claim {
    let life = Life { yielded: true, started: Epoch(5), key: 0xfeed, number: 6 };
    Claim { identity: v4(), life, silent: false, nonce: 7, echo: 8 }
}

pub(crate) fn heads(heads: Vec<Want>) -> Heads {
    let lag = Lag { head: [5, 6, 7, 8], versions: 1, gc_floor: 300 };
    Heads::part(heads, vec![lag], vec![[1, 2, 3, 4]]).whole().beyond().last()
}

pub(crate) fn deltas(deltas: Vec<Delta>) -> Frame {
    Frame::Deltas { deltas, last: false }
}

fn request() -> Request {
    Request {
        cluster: CLUSTER.mark(),
        sender: v4().node_id,
        receiver: NodeId(7),
        within_ms: 5_000,
        body: b"please".to_vec(),
    }
}

fn question() -> Question {
    let Request { cluster, sender, receiver, within_ms, body } = request();
    Question { cluster, sender, receiver, within_ms, number: 300, body }
}

pub(crate) fn frames() -> Vec<(&'static str, Frame)> {
    let opening = Opening {
        cluster: CLUSTER.mark(),
        identity: v6(),
        members: 1,
        catalog: 1 << 40,
        datacenter: DATACENTER,
        scope: None,
    };
    vec![
        ("opening", Frame::Opening(opening)),
        ("members", Frame::Members(vec![v4(), v6()])),
        ("sketch", Frame::Sketch(Sketch { heads: 300, symbols: vec![Symbol::default(); 2] })),
        ("more", Frame::More(300)),
        ("heads", Frame::Heads(heads(vec![want()]))),
        ("wants", Frame::Heads(Heads::part(vec![want()], vec![], vec![]))),
        ("deltas", deltas(vec![delta()])),
        ("last deltas", Frame::Deltas { deltas: vec![delta()], last: true }),
        ("end", Frame::End),
        ("datacenter", Frame::Datacenter(introduction())),
        ("tables", Frame::Tables(tables())),
        ("request", Frame::Request(request())),
        ("question", Frame::Question(question())),
        ("reply", Frame::Reply(Reply { number: 300, taken: Taken::Yes, body: b"done".to_vec() })),
        ("answer", Frame::Answer(Answer { taken: Taken::Yes, body: b"done".to_vec() })),
        ("stream ping", Frame::Ping(CLUSTER.mark(), ping())),
        ("stream pong", Frame::Pong(pong())),
        ("credentials", Frame::Credentials(credentials())),
        ("generations", Frame::Generations(generations())),
        ("revocations", Frame::Revocations(revocations())),
        ("refusal", Frame::Refusal(Refusal { reason: "the token expired".into() })),
    ]
}

pub(crate) fn credentials() -> Credentials {
    let mark = |number| GenerationMark { number, hash: [number as u8; 32] };
    Credentials {
        certificate: b"certificate".to_vec(),
        generations: vec![mark(2), mark(300)],
        proof: [4; 16],
        revocations: [5; 16],
        began: 0x0102_0304_0506,
        counter: 0x0102_0304_0507,
        succession: b"succession".to_vec(),
        holds: Some(7),
    }
}

pub(crate) fn generations() -> Vec<HandedGeneration> {
    let handed = |in_use, bytes: &[u8]| HandedGeneration { in_use, bytes: bytes.to_vec() };
    vec![handed(true, b"present"), handed(false, b"next")]
}

pub(crate) fn revocations() -> HandedRevocations {
    HandedRevocations { commands: vec![b"one".to_vec(), b"another".to_vec()], last: true }
}

/// A datagram of this message alone.
pub(crate) fn datagram(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(ENVELOPE);
    datagram.push(message).expect("fits");
    datagram.finish()
}

/// The messages of a datagram, and how much of it was skipped.
pub(crate) fn read(datagram: &[u8]) -> Result<(Vec<Message>, u32), WireError> {
    let mut messages = decode_datagram(datagram, &ENVELOPE)?;
    let read = messages.by_ref().collect::<Result<_, _>>()?;
    Ok((read, messages.skipped()))
}

/// A datagram of messages that are bytes already.
pub(crate) fn enclose(messages: &[u8]) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(ENVELOPE).finish();
    datagram.extend_from_slice(messages);
    seal(&mut datagram);
    datagram
}

/// Makes the envelope of a datagram fit what is in it.
pub(crate) fn seal(datagram: &mut [u8]) {
    datagram[5..7].copy_from_slice(&CLUSTER.tag());
    let checksum = xxh3_64_with_seed(&datagram[5..], CLUSTER.0).to_le_bytes();
    datagram[1..5].copy_from_slice(&checksum[..4]);
}

/// Every message and frame as bytes.
pub(crate) fn encoded() -> Vec<(&'static str, Vec<u8>)> {
    let messages = messages().into_iter().map(|(name, message)| (name, datagram(&message)));
    let frames = frames().into_iter().map(|(name, frame)| (name, frame.encode().expect("fits")));
    messages.chain(frames).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines `name: hexadecimal bytes` of a recording.
pub(crate) fn recorded(text: &str) -> Vec<(&str, Vec<u8>)> {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("text");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, hex)| (name, hex.as_bytes().chunks(2).map(byte).collect())).collect()
}
