//! Operations on hosts from outside: by operators, clients and faults.

use std::time::Duration;

use hobnob_membership::record::{Key, NodeRecord, Support, Value};
use hobnob_membership::view::MemberStatus;
use hobnob_membership::{
    ClusterId, Config, Epoch, Gateway, Identity, Input, Node, NodeId, Protocol,
};
use rand::Rng;

use super::host::{Process, SYNC_PORT, address_index, socket_address};
use super::{DiskError, Stop, Storage, World};

/// Peer addresses that a host keeps over a crash.
const MAX_REMEMBERED_PEERS: usize = 32;

/// The result of a client's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is stored, and the client knows.
    Acknowledged,
    /// It was refused, and nothing of it is stored.
    Refused,
    /// The machine stopped before it answered.
    Crashed,
    /// No process answers.
    Unavailable,
}

impl World {
    /// Starts a node from what is on the disk, with a new epoch. Does nothing when one runs.
    pub fn start(&mut self, number: usize) {
        if self.hosts[number].process.is_some() {
            return;
        }
        let own = |seed: &&usize| self.datacenters[**seed].0 == self.datacenters[number].0;
        let (near, far): (Vec<_>, Vec<_>) = self.seeds.iter().partition(own);
        let addresses = |seeds: Vec<usize>| {
            seeds.into_iter().map(|seed| socket_address(self.hosts[seed].address)).collect()
        };
        let (mut near, mut far): (Vec<_>, Vec<_>) = (addresses(near), addresses(far));
        let seed = self.fabric.rng.next_u64();
        let protocol = Protocol { retention: self.retention_of(number), ..self.protocol.clone() };
        let founds = self.seeds.contains(&number) && self.hosts[number].generation == 0;
        let host = &mut self.hosts[number];
        near.extend(host.disk.peers.iter().map(|peer| socket_address(*peer)));
        far.extend(host.disk.far_peers.iter().map(|peer| socket_address(*peer)));
        let last = Epoch(host.disk.epoch());
        let epoch = Epoch::of_new_life(last, host.clock.wall_ms(self.now), seed as u16);
        host.disk.store_epoch(epoch.0);
        host.lives += 1;
        let (datacenter, zone) = self.datacenters[number].clone();
        let homes = self.homes.entry(host.id).or_default();
        if homes.last().is_none_or(|(_, last)| *last != datacenter) {
            homes.push((epoch, datacenter.clone()));
        }
        let founds = founds || host.cluster != ClusterId::default();
        let name = format!("n{number}");
        let sealing = self.sealed.as_ref();
        let sealing =
            sealing.map(|sealed| Box::new(sealed.sealing(host, &name, &datacenter, founds)));
        let node = NodeRecord {
            name: name.into(),
            datacenter: datacenter.into(),
            zone: zone.into(),
            software: "simulation".into(),
            instance_key_hash: host.key,
            left: None,
            support: Support::OURS,
            certificate: Vec::new(),
            gateway: Gateway::Yes,
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
            sealing,
        };
        let node = Node::new(config, host.clock.local(self.now));
        let node = node.expect("the disk holds what an earlier life took");
        host.process = Some(Process::new(node, host.lives));
        Self::note_in_use(host, self.now);
        self.act(number, Input::Join(near));
        if !far.is_empty() {
            self.act(number, Input::JoinWan(far));
        }
    }

    /// Takes the power from a host. Everything in flight to its node is lost.
    pub fn crash(&mut self, number: usize, storage: Storage) {
        self.stop(number, Stop::Power);
        let host = &mut self.hosts[number];
        match storage {
            Storage::Kept => {}
            Storage::RolledBack(steps) => host.disk.roll_back(steps),
            Storage::Lost => {
                host.disk.lose();
                host.generation += 1;
                host.key = (host.generation << 32) | number as u64;
                self.identify(number);
            }
        }
    }

    /// Stops a process. Its disk is intact.
    pub fn stop(&mut self, number: usize, how: Stop) {
        self.store_keys(number);
        let host = &mut self.hosts[number];
        let Some(process) = host.process.take() else { return };
        let peers = process.node.peer_addresses().filter_map(address_index);
        host.disk.peers = peers.take(MAX_REMEMBERED_PEERS).collect();
        let far = process.node.remote_addresses().filter_map(address_index);
        host.disk.far_peers = far.take(MAX_REMEMBERED_PEERS).collect();
        host.refuses_from = match how {
            Stop::Power => None,
            Stop::Killed { dying } => Some(self.now + dying),
            Stop::Planned => Some(self.now),
        };
        self.fabric.abandon(number, self.now);
        self.fabric.end_connections(number, how, self.now);
    }

    /// Moves a stopped host to a new address. The old address has no owner from then on.
    pub fn change_address(&mut self, number: usize) {
        self.fabric.release_address(self.hosts[number].address);
        self.hosts[number].address = self.fabric.assign_address(number);
    }

    /// Copies a data directory, with node id and instance key, to another host, which must be stopped.
    pub fn clone_disk(&mut self, from: usize, to: usize) {
        self.store_keys(from);
        let directory = self.hosts[from].directory();
        self.hosts[to].set_directory(directory);
    }

    /// Pauses a process. Deliveries to it wait.
    pub fn pause(&mut self, number: usize, time: Duration) {
        let until = self.now + time;
        if let Some(process) = self.hosts[number].process.as_mut() {
            process.ready_at = process.ready_at.max(until);
        }
    }

    /// Writes records for a client: first to the disk, then to the node.
    pub fn write(&mut self, number: usize, records: Vec<(Key, Option<Value>)>) -> WriteOutcome {
        if self.is_revoked(self.hosts[number].id) {
            return WriteOutcome::Unavailable;
        }
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
                self.stop(number, Stop::Power);
                WriteOutcome::Crashed
            }
            Ok(()) => {
                self.write_at(number, records).expect("checked before");
                WriteOutcome::Acknowledged
            }
        }
    }

    /// Force-leaves a node at a host, as an operator does. The agent refuses that for members that it believes alive.
    pub fn force_leave(&mut self, number: usize, id: NodeId) {
        let lives = |node: &Node| {
            let statuses =
                node.members().into_iter().filter(|member| member.identity.node_id == id);
            let alive = [MemberStatus::Alive, MemberStatus::Suspect];
            statuses.map(|member| member.status).any(|status| alive.contains(&status))
        };
        let Some(node) = self.node(number).filter(|node| !lives(node)) else { return };
        let order = self.sealed.as_ref().zip(node.last_epoch(id));
        let order = order.map(|(sealed, epoch)| sealed.force_leave(id, epoch));
        self.act(number, Input::ForceLeave { node: id, order });
    }

    /// Makes a node leave. It stops once it has told the others.
    pub fn leave(&mut self, number: usize) {
        self.act(number, Input::Leave);
    }
}
