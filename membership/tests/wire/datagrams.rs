//! Envelopes, and messages in them.

use std::net::SocketAddr;

use hobnob_membership::limits::MAX_DATAGRAM_BYTES;
use hobnob_membership::wire::{
    DatagramBuilder, Envelope, Hello, Listing, Message, Pull, VERSION, WireError, decode_datagram,
};
use hobnob_membership::{ClusterId, Epoch, Identity, NodeId};
use proptest::prelude::*;

use crate::fixtures::{
    CLUSTER, ENVELOPE, ENVELOPE_BYTES, datagram, enclose, messages, ping, pong, read, seal, v4, v6,
    want,
};

#[test]
fn the_quiet_messages_are_small_and_a_pong_is_shorter_than_a_ping() {
    let len = |message| datagram(&message).len();
    assert_eq!((len(Message::Ping(ping())), len(Message::Pong(pong()))), (21, 18));
    let digest = messages().into_iter().find_map(|(_, message)| match message {
        Message::Digest(digest) => Some(digest),
        _ => None,
    });
    let digest = digest.map(|mut digest| {
        digest.recent.clear();
        len(Message::Digest(digest))
    });
    assert_eq!(digest, Some(26));
}

#[test]
fn an_identity_takes_24_or_36_bytes() {
    let hello = |identity| {
        datagram(&Message::Hello(Hello {
            token: 9,
            identity,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
            tables: [0; 4],
        }))
        .len()
    };
    // The envelope, kind and length of the message, the token, the datacenter and the hash of the tables.
    let beside = ENVELOPE_BYTES + 2 + 1 + 8 + 4;
    assert_eq!((hello(v4()) - beside, hello(v6()) - beside), (24, 36));
}

#[test]
fn addresses_that_nobody_can_send_to_are_refused() {
    for addr in
        ["0.0.0.0:1", "255.255.255.255:1", "224.0.0.1:1", "10.0.0.1:0", "[::]:1", "[ff02::1]:1"]
    {
        let identity = Identity { addr: addr.parse().expect("an address"), ..v4() };
        let bytes = datagram(&Message::Hello(Hello {
            token: 9,
            identity,
            datacenter: hobnob_membership::DatacenterId::UNKNOWN,
            tables: [0; 4],
        }));
        assert!(read(&bytes).is_err(), "{addr}");
    }
}

#[test]
fn the_first_byte_tells_version_and_form() {
    let (_, message) = &messages()[1];
    let clear = datagram(message);
    assert_eq!(clear[0], 0x12);
    let with_first = |byte| {
        let mut datagram = clear.clone();
        datagram[0] = byte;
        decode_datagram(&datagram, &ENVELOPE).map(drop)
    };
    assert!(with_first(0x12).is_ok());
    for sealed in [0x02, 0x42, 0x52, 0x62] {
        assert!(matches!(with_first(sealed), Err(WireError::Sealed)), "{sealed:#x}");
    }
    for form in [0x22, 0x32, 0x72, 0xf2] {
        let named = form >> 4;
        assert!(matches!(with_first(form), Err(WireError::Form(form)) if form == named));
    }
    for other in [0x11, 0x13, 0x01, 0x43] {
        let version = other & 0x0f;
        assert_ne!(version, VERSION);
        assert!(matches!(with_first(other), Err(WireError::Version(named)) if named == version));
    }
}

#[test]
fn another_cluster_and_noise_are_told_apart() {
    let bytes = datagram(&messages()[1].1);
    let other = Envelope::clear(ClusterId(!CLUSTER.0));
    assert!(matches!(decode_datagram(&bytes, &other), Err(WireError::OtherCluster)));
    let mut damaged = bytes;
    damaged[ENVELOPE_BYTES + 4] ^= 1;
    assert!(matches!(decode_datagram(&damaged, &ENVELOPE), Err(WireError::Checksum)));
}

#[test]
fn several_messages_share_a_datagram() {
    let mut builder = DatagramBuilder::new(ENVELOPE);
    // A comparison of views nearly fills a datagram alone, and these have the form of rumors.
    let is_left_out = |name: &str| ["compare", "bulk", "aged_rumors"].contains(&name);
    let small = || messages().into_iter().filter(|(name, _)| !is_left_out(name));
    for (_, message) in small() {
        builder.push(&message).expect("fits");
    }
    let sent: Vec<Message> = small().map(|(_, message)| message).collect();
    assert_eq!(read(&builder.finish()).expect("ours"), (sent, 0));
}

#[test]
fn a_malformed_message_ends_its_datagram_and_spares_what_stands_before() {
    let hello = datagram(&messages()[1].1)[ENVELOPE_BYTES..].to_vec();
    let bytes = enclose(&[&hello[..], &[2, 1, 0, 200, 0], &hello].concat());
    let read: Vec<_> = decode_datagram(&bytes, &ENVELOPE).expect("in order").collect();
    assert!(matches!(read[..], [Ok(Message::Hello(_)), Err(_)]), "{read:?}");
}

#[test]
fn every_cut_is_refused() {
    for (name, message) in messages() {
        let bytes = datagram(&message);
        for len in 0..bytes.len() {
            assert!(decode_datagram(&bytes[..len], &ENVELOPE).is_err(), "{name} cut to {len}");
            if len > ENVELOPE_BYTES {
                let mut cut = bytes[..len].to_vec();
                seal(&mut cut);
                let mut messages = decode_datagram(&cut, &ENVELOPE).expect("in order");
                assert!(matches!(messages.next(), Some(Err(_))), "{name} cut to {len} and sealed");
            }
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_by_the_checksum_and_read_without_harm() {
    for (name, message) in messages() {
        let bytes = datagram(&message);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_datagram(&flipped, &ENVELOPE).is_err(), "{name}, bit {bit}");
            seal(&mut flipped);
            drop(read(&flipped));
        }
    }
}

#[test]
fn no_more_is_written_than_fits() {
    let mut builder = DatagramBuilder::new(ENVELOPE);
    let listing = |count| {
        let members = vec![v4(); count];
        Message::Listing(Listing { sender: NodeId(1), bucket: 7, wanted: false, members })
    };
    let fits = |count: &usize| DatagramBuilder::new(ENVELOPE).push(&listing(*count)).is_ok();
    let most = (1..).take_while(fits).last().expect("one fits");
    assert!(matches!(builder.push(&listing(most + 1)), Err(WireError::TooLarge { .. })));
    assert!(builder.is_empty(), "left as it was");
    builder.push(&listing(most)).expect("the most that fits");
    assert!(builder.push(&listing(1)).is_err());
    let len = builder.finish().len();
    assert!((MAX_DATAGRAM_BYTES - 32..=MAX_DATAGRAM_BYTES).contains(&len), "{len} bytes");
    let pull = Message::Pull(Pull { sender: NodeId(1), wants: vec![want(); 1_000] });
    let refused = DatagramBuilder::new(ENVELOPE).push(&pull);
    assert!(matches!(refused, Err(WireError::TooLarge { .. })));
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
        let hello = Message::Hello(Hello { token: 1, identity, datacenter: hobnob_membership::DatacenterId::UNKNOWN, tables: [0; 4] });
        let bytes = datagram(&hello);
        prop_assert_eq!(read(&bytes).expect("legal"), (vec![hello], 0));
    }
}
