//! What is done to hosts from outside: by their operators, by their clients, and by fate.

use std::time::Duration;

use hobnob_membership::record::{Key, NodeRecord, Value};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{Config, Epoch, Identity, Input, Node, NodeId, Protocol};
use rand::Rng;

use super::host::{Process, SYNC_PORT, address_index, socket_address};
use super::{DiskError, Storage, World, node_id};

/// Peer addresses that a host remembers over a crash.
const MAX_REMEMBERED_PEERS: usize = 32;

/// What became of a write that a client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is stored, and the client was told so.
    Acknowledged,
    /// The client was told that it was refused; nothing of it is stored.
    Refused,
    /// The machine stopped before an answer.
    Crashed,
    /// Nobody answers.
    Unavailable,
}

impl World {
    /// Starts a node on a host on which none runs, from what is on its disk, with a new epoch.
    pub fn start(&mut self, number: usize) {
        if self.hosts[number].process.is_some() {
            return;
        }
        let mut seeds: Vec<_> =
            self.seeds.iter().map(|seed| socket_address(self.hosts[*seed].address)).collect();
        let seed = self.fabric.rng.next_u64();
        let protocol = Protocol { retention: self.retention_of(number), ..self.protocol.clone() };
        let host = &mut self.hosts[number];
        seeds.extend(host.disk.peers.iter().map(|peer| socket_address(*peer)));
        let last = Epoch(host.disk.epoch());
        let epoch = Epoch::of_new_life(last, host.clock.wall_ms(self.now), seed as u16);
        host.disk.store_epoch(epoch.0);
        host.lives += 1;
        let (datacenter, zone) = self.datacenters[number].clone();
        let node = NodeRecord {
            name: format!("n{number}").into(),
            datacenter: datacenter.into(),
            zone: zone.into(),
            software: "simulation".into(),
            instance_key_hash: host.key,
            left: None,
        };
        let config = Config {
            cluster: host.cluster,
            identity: Identity {
                node_id: host.id,
                epoch,
                addr: socket_address(host.address),
                sync_port: SYNC_PORT,
            },
            node,
            records: host.disk.records().map(|(k, v)| (k.clone(), v.clone())).collect(),
            seed,
            protocol,
        };
        let node = Node::new(config, host.clock.local(self.now));
        host.process = Some(Process::new(node, host.lives));
        self.act(number, Input::Join(seeds));
    }

    /// Stops a node without a word. What is under way to it is lost.
    pub fn crash(&mut self, number: usize, storage: Storage) {
        self.stop(number);
        let host = &mut self.hosts[number];
        match storage {
            Storage::Kept => {}
            Storage::RolledBack(steps) => host.disk.roll_back(steps),
            Storage::Lost => {
                host.disk.lose();
                host.generation += 1;
                host.id = node_id(number, host.generation);
                host.key = (host.generation << 32) | number as u64;
            }
        }
    }

    pub(super) fn stop(&mut self, number: usize) {
        let host = &mut self.hosts[number];
        let Some(process) = host.process.take() else { return };
        let peers = process.node.peer_addresses().filter_map(address_index);
        host.disk.peers = peers.take(MAX_REMEMBERED_PEERS).collect();
        self.fabric.abandon(number, self.now);
    }

    /// Moves a host that is stopped to another address; nobody has the old one from then on.
    pub fn change_address(&mut self, number: usize) {
        self.fabric.release_address(self.hosts[number].address);
        self.hosts[number].address = self.fabric.assign_address(number);
    }

    /// Copies the data directory of one host, its node id and instance key included, to another that is stopped.
    pub fn clone_disk(&mut self, from: usize, to: usize) {
        let original = &self.hosts[from];
        let (id, key, disk) = (original.id, original.key, original.disk.clone());
        let copy = &mut self.hosts[to];
        (copy.id, copy.key, copy.disk) = (id, key, disk);
    }

    /// Nothing happens in the process for a while; what arrives waits.
    pub fn pause(&mut self, number: usize, time: Duration) {
        let until = self.now + time;
        if let Some(process) = self.hosts[number].process.as_mut() {
            process.ready_at = process.ready_at.max(until);
        }
    }

    /// A client writes records at a host: to its disk, and then to its node.
    pub fn write(&mut self, number: usize, records: Vec<(Key, Option<Value>)>) -> WriteOutcome {
        let host = &mut self.hosts[number];
        let paused = host.paused_until(self.now).is_some();
        let Some(process) = host.process.as_ref().filter(|_| !paused) else {
            return WriteOutcome::Unavailable;
        };
        if process.node.check_write(&records).is_err() {
            return WriteOutcome::Refused;
        }
        match host.disk.store(&records) {
            Err(DiskError::Full) => WriteOutcome::Refused,
            Err(DiskError::Torn) => {
                self.stop(number);
                WriteOutcome::Crashed
            }
            Ok(()) => {
                self.act(number, Input::Write(records));
                WriteOutcome::Acknowledged
            }
        }
    }

    /// Declares a node gone for good at a host, as an operator does: of a living member the agent refuses that.
    pub fn force_leave(&mut self, number: usize, id: NodeId) {
        let lives = |node: &Node| {
            let statuses =
                node.members().into_iter().filter(|member| member.identity.node_id == id);
            let alive = [MemberStatus::Alive, MemberStatus::Suspect];
            statuses.map(|member| member.status).any(|status| alive.contains(&status))
        };
        if self.node(number).is_some_and(|node| !lives(node)) {
            self.act(number, Input::ForceLeave(id));
        }
    }

    /// Makes a node leave; it stops when it has told everybody.
    pub fn leave(&mut self, number: usize) {
        self.act(number, Input::Leave);
    }
}
