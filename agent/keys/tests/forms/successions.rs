//! Successions of CA keys: who takes them, and that all end up with the same one.

use hobnob_keys::{CaKey, DecodeError, SUCCESSION_BYTES, Succession, SuccessionError};
use proptest::prelude::*;

use crate::fixtures::{ca, name, second_ca, succession, trust};

/// The succession by the CA key with this seed.
fn by(seed: u8) -> Succession {
    ca().succession(&ca().successor(&[seed; 32])).unwrap()
}

#[test]
fn who_trusts_either_key_trusts_both_with_a_succession() {
    for mut trust in [trust(), second_ca().trust()] {
        assert!(trust.succeed(succession()).unwrap());
        let both = [ca().public_key(), second_ca().public_key()];
        assert_eq!(trust.authorities().collect::<Vec<_>>(), both);
        assert!(!trust.succeed(succession()).unwrap(), "it is not new");
    }
}

#[test]
fn a_succession_of_strangers_is_refused_and_changes_nothing() {
    let elsewhere = CaKey::found(name("prod"), &[8; 32]);
    let stranger = elsewhere.succession(&elsewhere.successor(&[9; 32])).unwrap();
    // Its keys are those of strangers, and it names this cluster.
    let third = ca().successor(&[8; 32]);
    let unknown = third.succession(&third.successor(&[9; 32])).unwrap();
    let mut trust = trust();
    let error = trust.succeed(stranger).unwrap_err();
    assert_eq!(error, SuccessionError::OtherCluster(elsewhere.cluster()));
    let error = trust.succeed(unknown).unwrap_err();
    assert_eq!(error, SuccessionError::UnknownAuthority(third.public_key()));
    assert_eq!(trust, ca().trust());
}

#[test]
fn both_keys_have_to_sign() {
    // Each half is genuine, and the other one is of another succession.
    let (bytes, other) = (succession().encode(), by(9).encode());
    let (old, new) = (SUCCESSION_BYTES - 128, SUCCESSION_BYTES - 64);
    for (from, until, forger) in
        [(old, new, ca().public_key()), (new, SUCCESSION_BYTES, second_ca().public_key())]
    {
        let mut forged = bytes.clone();
        forged[from..until].copy_from_slice(&other[from..until]);
        let forged = Succession::decode(&forged).unwrap();
        let mut trust = trust();
        assert_eq!(trust.succeed(forged).unwrap_err(), SuccessionError::Forged(forger));
        assert_eq!(trust.succession(), None);
    }
}

#[test]
fn a_key_does_not_succeed_itself() {
    let twice =
        DecodeError::Invalid { what: "the succession", reason: "both CA keys are one".to_owned() };
    assert_eq!(ca().succession(&ca()).unwrap_err(), twice);
    let mut bytes = succession().encode();
    bytes.copy_within(33..65, 65);
    assert_eq!(Succession::decode(&bytes).unwrap_err(), twice);
}

#[test]
fn a_second_succession_waits_for_nothing_and_is_refused() {
    let mut trust = trust();
    trust.succeed(succession()).unwrap();
    let next = second_ca().succession(&ca().successor(&[9; 32])).unwrap();
    let successor = second_ca().public_key();
    assert_eq!(trust.succeed(next).unwrap_err(), SuccessionError::Other { successor });
    assert_eq!(trust.succession(), Some(&succession()));
}

#[test]
fn a_text_is_read_as_it_was_written_and_no_other_text_is() {
    let text = succession().to_text();
    assert_eq!(Succession::parse(&format!(" {text}\n")), Ok(succession()));
    for (wrong, says) in [
        (String::new(), "it does not begin with `hobnob-succession1_`"),
        (text[..text.len() - 4].to_owned(), "ends too early"),
        (text.replace("1_A", "1_*"), "is invalid"),
        (format!("{text}AAAA"), "are allowed"),
    ] {
        let error = Succession::parse(&wrong).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

proptest! {
    /// Members learn of successions in any order, several times, and at the end all trust the same keys.
    #[test]
    fn the_order_in_which_successions_come_does_not_matter(
        came in prop::collection::vec(20_u8..25, 0..8), also in prop::collection::vec(20_u8..25, 0..8),
    ) {
        let taken = |order: &mut dyn Iterator<Item = &u8>| {
            let mut trust = trust();
            for seed in order {
                match trust.succeed(by(*seed)) {
                    Ok(_) | Err(SuccessionError::Other { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            trust
        };
        let one = taken(&mut came.iter().chain(&also));
        let other = taken(&mut also.iter().rev().chain(&came));
        prop_assert_eq!(&one, &other);
        let lowest = came.iter().chain(&also).map(|seed| by(*seed).new_key()).min();
        prop_assert_eq!(one.succession().map(Succession::new_key), lowest);
    }
}
