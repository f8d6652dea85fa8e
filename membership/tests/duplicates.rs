//! Two agents under one node id, of which the members know only one.

use std::net::{Ipv4Addr, SocketAddr};

use hobnob_membership::testing::{Network, identity};
use hobnob_membership::wire::{
    DatagramBuilder, Envelope, MemberUpdates, Message, Ping, Update, decode_datagram,
};
use hobnob_membership::{ClusterId, Epoch, Identity, Input, Output};

fn datagram(message: &Message) -> Vec<u8> {
    let mut datagram = DatagramBuilder::new(Envelope::clear(ClusterId::default()));
    datagram.push(message).expect("fits");
    datagram.finish()
}

/// The member updates that node 0 sends to the address of node `to` after a ping from there under the id of node
/// `sender`.
fn told(net: &mut Network, sender: usize, to: usize) -> Vec<Update> {
    told_at(net, sender, identity(to).addr)
}

fn told_at(net: &mut Network, sender: usize, at: SocketAddr) -> Vec<Update> {
    let ping = Ping { sender: identity(sender).node_id, nonce: [7; 4] };
    let bytes = datagram(&Message::Ping(ping));
    let outputs = net.handle(0, Input::Datagram { from: at, bytes: &bytes });
    let datagrams = outputs.iter().filter_map(|output| match output {
        Output::Datagram { to, bytes } if *to == at => Some(bytes),
        _ => None,
    });
    let mut updates = Vec::new();
    for bytes in datagrams {
        for message in decode_datagram(bytes, &Envelope::clear(ClusterId::default())).expect("ours")
        {
            if let Ok(Message::MemberUpdates(member_updates)) = message {
                updates.extend(member_updates.updates);
            }
        }
    }
    updates
}

#[test]
fn a_ping_from_another_address_is_told_of_its_duplicate() {
    let mut net = Network::joined(3);
    assert_eq!(told(&mut net, 1, 1), []);
    let mapped = Ipv4Addr::new(10, 0, 0, 2).to_ipv6_mapped();
    let mapped = SocketAddr::from((mapped, identity(1).addr.port()));
    assert_eq!(told_at(&mut net, 1, mapped), [], "the same address");
    // From now on node 0 takes a copy of node 1 for node 1, and sends nothing to the original.
    let copy = Identity { epoch: Epoch(2_000), addr: identity(9).addr, ..identity(1) };
    let member_updates = MemberUpdates {
        sender: copy.node_id,
        updates: vec![Update::Alive(copy)],
        datacenter: hobnob_membership::DatacenterId::UNKNOWN,
    };
    let bytes = datagram(&Message::MemberUpdates(member_updates));
    net.handle(0, Input::Datagram { from: copy.addr, bytes: &bytes });
    assert_eq!(told(&mut net, 1, 9), []);
    assert_eq!(told(&mut net, 1, 1), [Update::Alive(copy)]);
    assert_eq!(told(&mut net, 1, 1), [], "at most five times a second");
    assert_eq!(net.nodes[0].counters().duplicates_told, 1);
}
