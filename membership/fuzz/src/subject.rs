//! A node that is told whatever the fuzzer likes, and watched for what no input may make it do.

use std::net::SocketAddr;
use std::time::Duration;

use hobnob_membership::limits::{
    MAX_ANSWERS_WAITING, MAX_DATAGRAM_BYTES, MAX_FRAME_BYTES, MAX_ORIGINS, MAX_PENDING_PULLS,
    MAX_RUMOR_QUEUE, MAX_SESSIONS_OPENED, MAX_SESSIONS_SERVED,
};
use hobnob_membership::record::{NodeRecord, Support};
use hobnob_membership::wire::{Frame, decode_datagram};
use hobnob_membership::{Config, Epoch, Identity, Input, Node, NodeId, Output, Protocol, Time};

use super::{cluster, envelope};

/// No single input makes a node say more than this.
const MAX_OUTPUTS: usize = 2_000;

/// A node and its clock.
pub struct Subject {
    node: Node,
    now: Time,
}

/// The identity of the `n`th node; the subject is one of them, and the others are those that it hears of.
pub fn identity(n: u8) -> Identity {
    Identity {
        node_id: NodeId(0x100 + u64::from(n)),
        epoch: Epoch(1_000),
        addr: SocketAddr::from(([10, 0, 0, n + 1], 7_946)),
        sync_port: 7_947,
    }
}

impl Subject {
    /// The `n`th node, just started.
    pub fn new(n: u8) -> Self {
        let node = NodeRecord {
            name: format!("n{n}").into(),
            datacenter: "dc1".into(),
            zone: "".into(),
            software: "test".into(),
            instance_key_hash: 0,
            left: None,
            support: Support::OURS,
        };
        let config = Config {
            cluster: cluster(),
            identity: identity(n),
            node,
            records: Vec::new(),
            seed: n.into(),
            protocol: Protocol::default(),
        };
        let mut subject = Self { node: Node::new(config, Time::ZERO), now: Time::ZERO };
        subject.drain();
        subject
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Tells it something.
    pub fn tell(&mut self, input: Input<'_>) {
        self.node.handle(input, self.now);
        self.drain();
    }

    /// Lets time pass, with every deadline before its end in it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut overdue = 0;
        while let Some(due) = self.node.next_deadline().filter(|due| *due < end) {
            // Isolation knocks at once, in a second call.
            overdue = if due <= self.now { overdue + 1 } else { 0 };
            assert!(overdue <= 2, "a deadline stays in the past");
            self.now = due.max(self.now);
            self.tell(Input::Deadline);
        }
        self.now = end;
    }

    fn drain(&mut self) {
        let outputs: Vec<_> = std::iter::from_fn(|| self.node.poll_output()).collect();
        assert!(outputs.len() <= MAX_OUTPUTS, "{} outputs", outputs.len());
        for output in &outputs {
            match output {
                Output::Datagram { bytes, .. } => {
                    assert!(bytes.len() <= MAX_DATAGRAM_BYTES);
                    let messages = decode_datagram(bytes, &envelope()).expect("a datagram of ours");
                    messages.for_each(|message| drop(message.expect("a message of ours")));
                }
                Output::StreamFrame { bytes, .. } => {
                    assert!(bytes.len() <= MAX_FRAME_BYTES);
                    Frame::decode(bytes).expect("a frame of ours");
                }
                _ => {}
            }
        }
        self.check();
    }

    fn check(&self) {
        let load = self.node.load();
        assert!(load.members <= MAX_ORIGINS, "{load:?}");
        assert!(load.rumors <= MAX_RUMOR_QUEUE, "{load:?}");
        assert!(load.answers <= MAX_ANSWERS_WAITING, "{load:?}");
        assert!(load.gaps <= MAX_PENDING_PULLS, "{load:?}");
        assert!(load.sessions <= MAX_SESSIONS_OPENED + MAX_SESSIONS_SERVED, "{load:?}");
        assert_eq!(self.node.counters().encoding_errors, 0);
        for (id, origin) in self.node.catalog().origins() {
            if let Some(replica) = origin.current() {
                assert!(replica.gc_floor() <= replica.known_to(), "{id}: {replica:?}");
            }
        }
    }
}
