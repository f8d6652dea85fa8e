//! A pair of agents joined by a cable: what passes when one joins the other.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_membership::record::{Key, NodeRecord, Support, Value};
use hobnob_membership::testing::{Arrival, Link, Network};
use hobnob_membership::wire::Frame;
use hobnob_membership::{ClusterId, Config, Epoch, Identity, Input, Node, NodeId, Protocol, Time};

/// Bandwidth of the cable in each direction, in bytes a second: a gigabit.
const BANDWIDTH: u64 = 125_000_000;
/// Bytes of the length before each frame on a stream.
const LENGTH_BYTES: u64 = 4;
/// The longest time for an exchange.
const LIMIT: Duration = Duration::from_secs(10);

/// An agent of a pair. Its clock stops while it is not connected.
pub(super) struct PairAgent {
    pub(super) node: Node,
    now: Time,
}

impl PairAgent {
    /// An agent with this number and these registered records.
    pub(super) fn new(number: usize, records: Vec<(Key, Value)>) -> Self {
        let [_, high, mid, low] = (number as u32 + 1).to_be_bytes();
        let config = Config {
            cluster: ClusterId::default(),
            identity: Identity {
                node_id: NodeId(0x1000 + number as u64),
                epoch: Epoch(1),
                addr: SocketAddr::from(([10, high, mid, low], 7_946)),
                sync_port: 7_947,
            },
            node: NodeRecord {
                name: format!("n{number}").into(),
                datacenter: "dc1".into(),
                zone: "".into(),
                software: "simulation".into(),
                instance_key_hash: number as u64,
                left: None,
                support: Support::OURS,
                certificate: Vec::new(),
                gateway: hobnob_membership::Gateway::Yes,
            },
            records,
            seed: number as u64,
            protocol: Protocol::default(),
            sealing: None,
        };
        Self { node: Node::new(config, Time::ZERO).expect("legal records"), now: Time::ZERO }
    }

    /// Writes a record for a client.
    pub(super) fn write(&mut self, key: Key, value: Value) {
        self.node.write(vec![(key, Some(value))], self.now).expect("legal records");
    }
}

/// The traffic between the agents of a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// From the first hello until both held the same records.
    pub(super) took: Duration,
    /// Bytes of frames and of the lengths before them, in both directions.
    pub(super) frame_bytes: u64,
    /// The part of them that is about members.
    pub(super) member_bytes: u64,
}

/// One agent joins another, and they go on until they hold the same records and have nothing more to say. `None` when
/// that does not come to pass.
pub(super) fn exchange(
    newcomer: &mut PairAgent,
    host: &mut PairAgent,
    latency: Duration,
) -> Option<Exchange> {
    let start = newcomer.now.max(host.now);
    // Three one-way trips for the handshake, one for the first frame.
    let link = Link { latency, handshake: latency * 4, bytes_per_second: Some(BANDWIDTH) };
    let mut cable = Network::new(vec![&mut newcomer.node, &mut host.node], link, start);
    let mut equal_at = None;
    let address = cable.nodes[1].identity().addr;
    cable.handle(0, Input::Join(vec![address]));
    loop {
        let equal = cable.is_converged();
        equal_at = equal.then_some(equal_at.unwrap_or(cable.now));
        let talking = cable.nodes.iter().any(|node| node.load().sessions > 0);
        let silent = cable.is_without_streams() && !talking;
        if (equal && silent && cable.streams_opened > 0) || !cable.step(start + LIMIT) {
            break;
        }
    }
    let (end, arrivals) = (cable.now, cable.arrivals);
    newcomer.now = end;
    host.now = end;
    // Frames to agents that are not connected do not arrive.
    let frames = arrivals.iter().filter_map(|(_, _, arrival)| match arrival {
        Arrival::Frame(_, bytes) => Some(bytes),
        _ => None,
    });
    let len = |frame: &Vec<u8>| LENGTH_BYTES + frame.len() as u64;
    let is_about_members = |frame: &&Vec<u8>| matches!(Frame::decode(frame), Ok(Frame::Members(_)));
    Some(Exchange {
        took: equal_at? - start,
        frame_bytes: frames.clone().map(len).sum(),
        member_bytes: frames.filter(is_about_members).map(len).sum(),
    })
}
