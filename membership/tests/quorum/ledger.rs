//! The laws of ledgers: whatever the order in which writes arrive, and however often, one state comes of them.

use std::collections::BTreeMap;

use hobnob_membership::quorum::{Change, Entry, Image, Ledger, OriginEnd, Place, Stamp, Text};
use hobnob_membership::{Epoch, NodeId};
use proptest::prelude::*;

const SERVICES: [&str; 4] = ["", "s", "t", "u"];

fn entry(service: &str, origin: u64, id: &str, version: u64, value: Option<u8>) -> Entry {
    let place = Place { service: service.into(), origin: NodeId(origin), id: id.into() };
    let stamp = Stamp { epoch: Epoch(1 + version / 4), version: version % 4 };
    Entry { place, stamp, value: value.map(|value| [value].as_slice().into()), elsewhere: None }
}

/// Writes of anybody, honest or not.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let place =
        (prop::sample::select(&SERVICES[..]), 1..3_u64, prop::sample::select(&["a", "b"][..]));
    let write = (place, 1..9_u64, prop::option::of(1..3_u8));
    let write = write.prop_map(|((service, origin, id), version, value)| {
        Change::Entry(entry(service, origin, id, version, value))
    });
    let end = (1..3_u64, 1..9_u64).prop_map(|(origin, version)| {
        let stamp = Stamp { epoch: Epoch(1 + version / 4), version: version % 4 };
        Change::End(OriginEnd { origin: NodeId(origin), stamp })
    });
    prop::collection::vec(prop_oneof![6 => write, 1 => end], 0..12)
}

fn image(changes: &[Change]) -> Image {
    let mut image = Image::default();
    changes.iter().for_each(|change| _ = image.apply(change));
    image
}

/// All changes, the digest and the instances of each service, and the number of registers.
type Seen = (Vec<Change>, Vec<(u128, Vec<Entry>)>, usize);

/// All that can be seen of an image.
fn seen(image: &Image) -> Seen {
    let ledger = image.ledger();
    let services = SERVICES.map(|name| (ledger.digest(name), ledger.live(&Text::from(name))));
    (image.changes().collect(), services.into(), ledger.len())
}

proptest! {
    #[test]
    fn any_order_gives_one_state(
        (given, shuffled) in changes().prop_flat_map(|it| (Just(it.clone()), Just(it).prop_shuffle())),
    ) {
        prop_assert_eq!(seen(&image(&given)), seen(&image(&shuffled)));
    }

    #[test]
    fn what_an_image_lists_makes_it_again(given in changes()) {
        let whole = image(&given);
        prop_assert_eq!(seen(&image(&whole.changes().collect::<Vec<_>>())), seen(&whole));
    }

    #[test]
    fn two_images_that_tell_each_other_all_are_equal(one in changes(), two in changes()) {
        let told = |of: &[Change], by: &[Change]| {
            let by = image(by).changes().collect::<Vec<_>>();
            image(&[of, &by].concat())
        };
        let both = image(&[one.clone(), two.clone()].concat());
        prop_assert_eq!(seen(&told(&one, &two)), seen(&both));
        prop_assert_eq!(seen(&told(&two, &one)), seen(&both));
    }

    #[test]
    fn what_is_known_is_no_news(given in changes()) {
        let mut image = image(&given);
        for change in &given {
            prop_assert!(!image.apply(change), "{:?}", change);
        }
    }

    #[test]
    fn services_with_one_digest_hold_the_same(one in changes(), two in changes()) {
        let (one, two) = (image(&one), image(&two));
        for name in &SERVICES[1..] {
            let held = |image: &Image| {
                let ofservice = |it: &Change| matches!(it, Change::Entry(it) if it.place.service == *name);
                image.changes().filter(ofservice).collect::<Vec<_>>()
            };
            if one.ledger().digest(name) == two.ledger().digest(name) {
                prop_assert_eq!(held(&one), held(&two));
            } else {
                prop_assert!(held(&one) != held(&two) || ends(&one) != ends(&two));
            }
        }
    }

    #[test]
    fn an_instance_is_in_one_service_at_a_time(given in changes()) {
        let image = image(&given);
        let mut services: BTreeMap<(NodeId, Text), usize> = BTreeMap::new();
        for name in SERVICES {
            for entry in image.ledger().live(&name.into()) {
                *services.entry((entry.place.origin, entry.place.id)).or_default() += 1;
            }
        }
        prop_assert!(services.values().all(|count| *count == 1), "{:?}", services);
    }
}

fn ends(image: &Image) -> Vec<Change> {
    image.changes().filter(|change| matches!(change, Change::End(_))).collect()
}

#[test]
fn a_later_write_of_another_service_takes_an_instance_out_of_the_first_one() {
    let moves = [entry("s", 1, "a", 1, Some(1)), entry("t", 1, "a", 2, Some(2))];
    for order in [[0, 1], [1, 0]] {
        let mut ledger = Ledger::default();
        order.iter().for_each(|at| _ = ledger.join(&moves[*at]));
        assert_eq!(ledger.live(&"s".into()), []);
        assert_eq!(ledger.live(&"t".into()), moves[1..]);
        assert_eq!(ledger.len(), 2);
    }
    let mut ledger = Ledger::default();
    moves.iter().for_each(|it| _ = ledger.join(it));
    assert!(ledger.join(&entry("", 1, "a", 3, None)), "a write without a service is one of all");
    assert_eq!((ledger.live(&"t".into()), ledger.len()), (vec![], 2));
}

/// What a read of a service finds at a voter with these writes, and brings to another one.
fn written_back(service: &str, writes: &[Entry], to: &mut Ledger) {
    let all: Vec<Change> = writes.iter().cloned().map(Change::Entry).collect();
    let found = image(&all);
    for change in found.changes() {
        if let Change::Entry(entry) = change
            && entry.place.service == service
        {
            to.join(&entry);
        }
    }
}

#[test]
fn a_read_of_a_service_that_an_instance_left_does_not_take_it_out_of_the_one_that_it_is_in() {
    let (left, moved) = (entry("s", 1, "a", 1, Some(1)), entry("t", 1, "a", 2, Some(2)));
    let anew = entry("t", 1, "a", 3, Some(3));
    let mut ledger = Ledger::default();
    [&left, &moved].iter().for_each(|it| _ = ledger.join(it));
    // The voter misses the last write. A read of `s` brings it the register of `s` from one that has it.
    written_back("s", &[left, moved, anew.clone()], &mut ledger);
    assert_eq!(ledger.live(&"s".into()), []);
    assert_eq!(ledger.live(&"t".into()), [anew], "the register of s tells where it is");
}
