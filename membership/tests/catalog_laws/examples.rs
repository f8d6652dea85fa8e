//! The laws in examples: what was got wrong once, and what a person may want to read first.

use super::*;

/// An origin with its node record, k0 to k3, and then 300 keys that came and went, which raised the floor beyond the
/// deletion of k3.
fn origin_with_a_floor() -> (Origin, Catalog) {
    let mut origin = Origin::new();
    origin.act(Act::Write((0..4).map(|n| (n, Some(0))).collect()));
    let mut replica = Catalog::new(NodeId(10), Epoch(1));
    for rumor in &origin.rumors {
        replica.apply(rumor, Standing::Active);
    }
    origin.act(Act::Write(vec![(3, None)]));
    origin.act(Act::Churn { keys: 300, in_one_step: false });
    assert!(origin.replica().gc_floor() > served(&replica).expect("known").known_to());
    (origin, replica)
}

#[test]
fn a_part_of_a_whole_state_hides_no_deletion_from_a_reader_below_the_floor() {
    let (origin, mut replica) = origin_with_a_floor();
    let want = replica.want(ORIGIN);
    let parts = answers(&origin.catalog, want, 200, usize::MAX);
    assert!(parts.len() > 2 && parts[0].is_whole());
    for part in &parts[1..] {
        replica.apply(part, Standing::Active);
    }
    assert_eq!(replica.want(ORIGIN).after, want.after, "the first part was lost");
    for part in answers(&origin.catalog, replica.want(ORIGIN), 200, usize::MAX) {
        replica.apply(&part, Standing::Active);
    }
    assert_eq!(live(&replica), origin.live());
    assert_eq!(replica.digest(), origin.catalog.digest());
}

#[test]
fn a_state_with_a_lower_floor_does_not_mix_into_one_with_a_higher() {
    let (origin, below) = origin_with_a_floor();
    // Another replica learned of every deletion when it happened: it has a lower floor, and the same records.
    let mut other = below.clone();
    let floorless = origin.rumors.iter().map(|rumor| Delta { gc_floor: 0, ..rumor.clone() });
    floorless.for_each(|rumor| drop(other.apply(&rumor, Standing::Active)));
    assert_eq!(served(&other).expect("known").gc_floor(), 0);
    let mut replica = Catalog::new(NodeId(11), Epoch(1));
    let want = replica.want(ORIGIN);
    replica.apply(&origin.catalog.answer(&want, 150).expect("a part"), Standing::Active);
    // An older state says of the time before the floor that k3 lived.
    for part in answers(&below, want, 150, usize::MAX) {
        replica.apply(&part, Standing::Active);
    }
    for part in answers(&other, replica.want(ORIGIN), 150, usize::MAX) {
        let floor = origin.replica().gc_floor();
        assert!(part.after >= floor || part.gc_floor == floor, "as if the floors were the same");
        replica.apply(&part, Standing::Active);
    }
    assert_eq!(live(&replica), origin.live());
}

#[test]
fn a_catalog_behind_the_part_being_received_has_nothing_to_say() {
    let (origin, below) = origin_with_a_floor();
    let mut replica = Catalog::new(NodeId(11), Epoch(1));
    let first = origin.catalog.answer(&replica.want(ORIGIN), 150).expect("a part");
    replica.apply(&first, Standing::Active);
    assert_eq!(below.answer(&replica.want(ORIGIN), 150), None);
}

#[test]
fn a_floor_that_is_heard_beyond_a_gap_holds_once_the_gap_closes() {
    let mut origin = Origin::new();
    origin.act(Act::Churn { keys: 300, in_one_step: false });
    let mut replica = Catalog::new(NodeId(10), Epoch(1));
    replica.apply(&origin.rumors[0], Standing::Active);
    replica.apply(origin.rumors.last().expect("one with a floor"), Standing::Active);
    for rumor in &origin.rumors {
        let floorless = Delta { gc_floor: 0, ..rumor.clone() };
        replica.apply(&floorless, Standing::Active);
    }
    let (replica, origin) = (served(&replica).expect("known"), origin.replica());
    assert_eq!(
        (replica.gc_floor(), replica.tombstones()),
        (origin.gc_floor(), origin.tombstones())
    );
}

/// A replica that knows all that its origin said, and then takes it for dead.
fn mourner(origin: &Origin) -> Catalog {
    let mut catalog = Catalog::new(NodeId(10), Epoch(1));
    for rumor in &origin.rumors {
        catalog.apply(rumor, Standing::Active);
    }
    catalog
}

#[test]
fn a_newcomer_takes_the_origin_tombstone_of_the_dead() {
    let mut origin = Origin::new();
    origin.act(Act::Write(vec![(0, Some(0)), (1, Some(1))]));
    let (mut reaped, kept) = (mourner(&origin), mourner(&origin));
    assert_eq!(reaped.reap(ORIGIN).len(), 3);
    assert_eq!((reaped.digest(), reaped.head(ORIGIN)), (kept.digest(), kept.head(ORIGIN)));
    assert_eq!(reaped.answer(&kept.want(ORIGIN), RUMOR_BUDGET), None);
    assert_eq!(kept.answer(&reaped.want(ORIGIN), RUMOR_BUDGET), None);
    for rumor in &origin.rumors {
        assert_eq!(
            reaped.apply(rumor, Standing::Down),
            Applied::Known,
            "what was dropped returned"
        );
    }
    let mut newcomer = Catalog::new(NodeId(11), Epoch(1));
    let origin_tombstone =
        reaped.answer(&newcomer.want(ORIGIN), RUMOR_BUDGET).expect("the origin tombstone");
    assert!(origin_tombstone.is_origin_tombstone());
    newcomer.apply(&origin_tombstone, Standing::Down);
    assert_eq!((newcomer.digest(), served(&newcomer)), (kept.digest(), None));
    assert_eq!(newcomer.origins().count(), 1, "only itself: an origin tombstone is no origin");
}

#[test]
fn the_tombstone_of_a_living_origin_yields_to_nothing_older() {
    let mut origin = Origin::new();
    origin.act(Act::Write(vec![(0, Some(0))]));
    let behind = mourner(&origin);
    origin.act(Act::Write(vec![(0, None), (1, Some(1))]));
    let mut reaped = mourner(&origin);
    reaped.reap(ORIGIN);
    reaped.set_lives(ORIGIN, true);
    assert_ne!(reaped.digest(), origin.catalog.digest(), "it lacks something");
    let older = behind.answer(&reaped.want(ORIGIN), RUMOR_BUDGET).expect("all that it has");
    reaped.apply(&older, Standing::Active);
    assert_eq!(served(&reaped), None, "k0 was deleted");
    let rest = origin.catalog.answer(&reaped.want(ORIGIN), RUMOR_BUDGET).expect("the rest");
    reaped.apply(&rest, Standing::Active);
    assert_eq!(live(&reaped), origin.live());
    assert_eq!((reaped.digest(), reaped.origin_tombstone(ORIGIN)), (origin.catalog.digest(), None));
}

#[test]
fn a_force_left_member_is_dropped_by_all_and_returns_in_a_new_epoch() {
    let mut origin = Origin::new();
    origin.act(Act::Write(vec![(0, Some(0))]));
    let (mut operated, mut other, mut seeing) =
        (mourner(&origin), mourner(&origin), mourner(&origin));
    let (origin_tombstone, keys) = operated.force_leave(ORIGIN).expect("it was known");
    assert_eq!(keys.len(), 2);
    assert_eq!(seeing.apply(&origin_tombstone, Standing::Active), Applied::Known, "it lives here");
    assert!(
        matches!(other.apply(&origin_tombstone, Standing::Down), Applied::News(keys) if keys.len() == 2)
    );
    assert_eq!(other.digest(), operated.digest());
    origin.hear_of(&operated);
    let fresh = origin.catalog.answer(&operated.want(ORIGIN), RUMOR_BUDGET).expect("a new epoch");
    operated.apply(&fresh, Standing::Down);
    assert_eq!(live(&operated), origin.live());
    assert_eq!(operated.origin_tombstone(ORIGIN), None);
}

#[test]
fn a_replica_goes_on_with_the_epoch_before_when_nobody_has_the_rest_of_a_later_one() {
    let mut origin = Origin::new();
    origin.act(Act::Write(vec![(0, Some(0))]));
    let mut waiting = mourner(&origin);
    origin.act(Act::Write(vec![(1, Some(1))]));
    let survivor = mourner(&origin);
    origin.act(Act::Restart);
    origin.act(Act::Write(vec![(2, Some(2))]));
    waiting.apply(origin.rumors.last().expect("of the new epoch"), Standing::Down);
    let answers = all_answers(&survivor, &waiting, RUMOR_BUDGET, 8);
    answers.iter().for_each(|delta| drop(waiting.apply(delta, Standing::Down)));
    assert_eq!((live(&waiting), waiting.digest()), (live(&survivor), survivor.digest()));
}

#[test]
fn many_deletions_in_one_step_reach_a_replica_that_has_all_before_them() {
    let mut origin = Origin::new();
    let mut replica = Catalog::new(NodeId(10), Epoch(1));
    origin.act(Act::Churn { keys: 300, in_one_step: true });
    for rumor in &origin.rumors {
        replica.apply(rumor, Standing::Active);
    }
    assert_eq!(live(&replica), origin.live());
    assert_eq!(replica.digest(), origin.catalog.digest());
}

#[test]
fn a_new_epoch_from_somebody_with_a_gap_waits_for_what_lies_beyond_the_gap() {
    let mut origin = Origin::new();
    origin.act(Act::Write(vec![(0, Some(0))]));
    origin.act(Act::Restart);
    let mut replica = Catalog::new(NodeId(10), Epoch(1));
    let mut gappy = Catalog::new(NodeId(11), Epoch(1));
    replica.apply(&origin.rumors[0], Standing::Active);
    gappy.apply(origin.rumors.last().expect("the new epoch"), Standing::Active);
    origin.act(Act::Write(vec![(0, Some(1))]));
    origin.act(Act::Write(vec![(0, Some(2))]));
    gappy.apply(origin.rumors.last().expect("beyond a gap"), Standing::Active);
    let part = gappy.answer(&replica.want(ORIGIN), RUMOR_BUDGET).expect("the new epoch");
    assert!(part.entries.iter().all(|entry| entry.key != key(0)), "overwritten beyond the gap");
    replica.apply(&part, Standing::Active);
    assert_eq!(served(&replica).map(Replica::epoch), Some(Epoch(1)), "k0 would be missing");
    let rest = origin.catalog.answer(&replica.want(ORIGIN), RUMOR_BUDGET).expect("the rest");
    replica.apply(&rest, Standing::Active);
    assert_eq!(live(&replica), origin.live());
}

#[test]
fn a_delta_from_beyond_a_gap_says_how_far_its_first_teller_was() {
    let mut origin = Origin::new();
    origin.act(Act::Write(vec![(0, Some(0))]));
    origin.act(Act::Write(vec![(0, Some(1))]));
    origin.act(Act::Write(vec![(1, Some(0))]));
    origin.act(Act::Write(vec![(1, Some(1))]));
    let whole = answers(&origin.catalog, Catalog::new(NodeId(9), Epoch(1)).want(ORIGIN), 4_000, 1);
    let [whole] = &whole[..] else { panic!("one delta") };
    // The origin's last words, cut so that what overwrote the third write is not among them.
    let words = Delta { after: 2, to: whole.to - 1, entries: Vec::new(), ..whole.clone() };
    let mut replica = Catalog::new(NodeId(10), Epoch(1));
    replica.apply(&origin.rumors[0], Standing::Active);
    replica.apply(&words, Standing::Active);
    let want = replica.want(ORIGIN);
    assert!(want.after < words.after, "a gap");
    let told = replica.answer(&want, 4_000).expect("what lies beyond the gap");
    assert_eq!((told.to, told.head), (words.to, words.head));
    assert!(told.validate().is_ok());
}

/// The first round of exchanges changes no replica: only the origin, which hears of its force-leave at its end.
#[test]
fn an_origin_that_hears_last_of_its_force_leave_still_reaches_every_replica() {
    let mut origin = Origin::new();
    let mut replicas: Vec<Observed> = (10..13).map(Observed::new).collect();
    let first = origin.rumors[0].clone();
    replicas.iter_mut().for_each(|replica| replica.apply(&first, &origin));
    let operated = &mut replicas[2];
    operated.set_lives(false);
    operated.catalog.force_leave(ORIGIN).expect("it was known");
    operated.set_lives(true);
    // All that there is of the old epoch, which the origin tombstone admits no more.
    operated.apply(&first, &origin);
    assert_eq!(served(&operated.catalog), None);
    exchange_until_quiet(&mut replicas, &mut origin, false);
    assert_eq!(origin.catalog.epoch(), Epoch(2), "it heard of a write that it never made");
    assert_converged(&replicas, &origin);
}

#[test]
fn of_a_record_and_its_withheld_form_the_record_holds_in_whatever_order_they_arrive() {
    let mut origin = Catalog::new(ORIGIN, Epoch(1));
    let scope = hobnob_membership::record::InstanceScope::Datacenter;
    let service =
        hobnob_membership::record::ServiceRecord { scope, ..hobnob_membership::testing::web() };
    let id = Key::Service("web".into());
    let node = record(1);
    let records = vec![
        (Key::Node, Some(Value::Node(node.into()))),
        (id.clone(), Some(Value::Service(service.into()))),
    ];
    origin.write(records).expect("legal records");
    let want = Catalog::new(NodeId(10), Epoch(1)).want(ORIGIN);
    let full = origin.answer(&want, 10_000).expect("news");
    let mut withheld = full.clone();
    withheld.entries[1].value = Some(hobnob_membership::record::RawValue::withheld());
    let merged = |deltas: &[&Delta]| {
        let mut replica = Catalog::new(NodeId(10), Epoch(1));
        deltas.iter().for_each(|delta| drop(replica.apply(delta, Standing::Active)));
        replica
    };
    let expected = merged(&[&full]);
    assert_eq!(merged(&[&full, &withheld]), expected);
    assert_eq!(merged(&[&withheld, &full]), expected);
    let held = merged(&[&withheld]);
    assert_eq!(held.digest(), expected.digest(), "a peer asks for nothing");
    assert_eq!(held.want(ORIGIN), expected.want(ORIGIN));
    let replica = served(&held).expect("served");
    assert!(replica.get(&id).is_none() && replica.slot(&id).is_some());
    assert_eq!((replica.instances(), replica.unknown(), replica.tombstones()), (0, 0, 0));
}
