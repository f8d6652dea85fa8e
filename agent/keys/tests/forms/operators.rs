//! Commands, generations and revocations.

use hobnob_keys::{
    Command, CommandError, CredentialError, Generation, GenerationError, GenerationId, NodeId,
    NodeKey, OperatorCredential, RevocationError, Revocations, Revoked, Roles, SignedCommand,
};
use proptest::prelude::*;

use crate::fixtures::{
    SECRET, ca, certificate, credential, generation, member, name, node, open_limits, operator,
    revocations, revoke, token, trust,
};

const FORCE_LEAVE: Command = Command::ForceLeave { node_id: NodeId(7), epoch: 9 };

#[test]
fn a_command_counts_with_the_operator_that_signed_it() {
    let signed = operator().sign(&FORCE_LEAVE).unwrap();
    let read = SignedCommand::decode(signed.as_bytes()).unwrap();
    let (command, signer) = read.verify(&trust()).unwrap();
    assert_eq!((command, signer.name()), (FORCE_LEAVE, &name("op")));
}

#[test]
fn an_ordinary_member_has_no_credential() {
    let error = OperatorCredential::new(node(), certificate(), &trust()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this needs the role `operator`, and the certificate of `web-1` does not have it"
    );
    let other = NodeKey::from_seed(&[42; 32]);
    let error = OperatorCredential::new(other, certificate(), &trust()).unwrap_err();
    assert_eq!(error, CredentialError::OtherKey(node().node_id()));
}

/// An operator needs no agent, and no name that an agent may have.
#[test]
fn a_token_gives_a_credential_for_orders_within_its_limits() {
    let named = |glob: &str| hobnob_keys::Limits {
        name: Some(glob.parse().unwrap()),
        datacenter: Some(name("eu")),
        ..open_limits(Roles::OPERATOR)
    };
    for (limits, called) in [
        (open_limits(Roles::OPERATOR), "operator"),
        (named("op*"), "operator"),
        (named("web-?*"), "web-?*"),
        (named(&"x".repeat(128)), &*"x".repeat(128)),
    ] {
        let token = ca().token(&[9; 32], limits, vec![]).unwrap();
        let credential = token.credential(NodeKey::from_seed(&[42; 32])).unwrap();
        let signed = credential.sign(&FORCE_LEAVE).unwrap();
        let (command, signer) = signed.verify(&trust()).unwrap();
        assert_eq!((command, signer.name()), (FORCE_LEAVE, &name(called)));
        assert_eq!(signer.token(), token.fingerprint());
    }
    let error = token().credential(NodeKey::from_seed(&[42; 32])).unwrap_err();
    assert!(error.to_string().contains("needs the role `operator`"), "{error}");
}

#[test]
fn a_founder_signs_the_first_generation_only() {
    let founder = credential(&ca(), Roles::FOUNDER);
    let first = Generation::order(GenerationId::FIRST, SECRET, &founder).unwrap();
    assert_eq!(first.verify(&trust(), &Revocations::default()), Ok(()));
    assert!(Generation::order(2, SECRET, &founder).is_err());
    assert!(founder.sign(&FORCE_LEAVE).is_err());
    assert!(founder.sign(&Command::Revoke(Revoked::Key(node().public_key()))).is_err());
}

/// The receivers check the role, too: here an operator signs, and its certificate is replaced by one of the same key
/// without the role.
#[test]
fn a_signer_without_the_role_is_refused_by_every_receiver() {
    let key = || NodeKey::from_seed(&[5; 32]);
    let token = ca().token(&[2; 32], open_limits(Roles::FOUNDER), vec![]).unwrap();
    let plain = token.certificate(key().public_key(), &name("op"), &name("eu")).unwrap();
    let signed = operator().sign(&FORCE_LEAVE).unwrap();
    let bytes = signed.as_bytes();
    let at = 1 + 32 + 2 + 15;
    let len = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let prefix = u16::try_from(plain.as_bytes().len()).unwrap().to_le_bytes();
    let replaced = [&bytes[..at], &prefix, plain.as_bytes(), &bytes[at + 2 + len..]].concat();
    let replaced = SignedCommand::decode(&replaced).unwrap();
    assert_eq!(replaced.verify(&trust()), Err(CommandError::Forged(key().node_id())));
}

#[test]
fn a_command_for_another_cluster_is_refused() {
    let other = hobnob_keys::CaKey::found(name("prod"), &[42; 32]);
    let signed = operator().sign(&FORCE_LEAVE).unwrap();
    let error = signed.verify(&other.trust()).unwrap_err();
    assert_eq!(error, CommandError::OtherCluster(ca().cluster()));
}

#[test]
fn a_generation_is_read_as_it_was_written() {
    let read = Generation::decode(&generation().encode()).unwrap();
    assert_eq!(read.id(), generation().id());
    assert_eq!(read.encode(), generation().encode());
    assert_eq!(read.verify(&trust(), &Revocations::default()), Ok(()));
}

#[test]
fn a_generation_of_a_revoked_operator_is_refused() {
    let by_other = |seed: u8| {
        let token = ca().token(&[seed; 32], open_limits(Roles::OPERATOR), vec![]).unwrap();
        let key = NodeKey::from_seed(&[seed; 32]);
        let certificate = token.certificate(key.public_key(), &name("b"), &name("eu")).unwrap();
        OperatorCredential::new(key, certificate, &trust()).unwrap()
    };
    let other = by_other(20);
    let id = NodeKey::from_seed(&[5; 32]);
    for revoked in [
        Revoked::Key(id.public_key()),
        Revoked::Token(NodeKey::from_seed(&[4; 32]).public_key().fingerprint()),
    ] {
        let mut revocations = Revocations::default();
        let command = other.sign(&Command::Revoke(revoked)).unwrap();
        revocations.add(&trust(), command).unwrap();
        let error = generation().verify(&trust(), &revocations).unwrap_err();
        let expected = GenerationError::Revoked { number: 0x0203, operator: id.node_id() };
        assert_eq!(error, expected);
    }
}

#[test]
fn a_revocation_stays_when_its_operator_is_revoked() {
    let mut revocations = revocations();
    let own = Revoked::Key(NodeKey::from_seed(&[5; 32]).public_key());
    assert_eq!(revocations.add(&trust(), revoke(own)), Ok(true));
    assert!(revocations.revokes(&member()));
}

#[test]
fn only_revocations_are_taken_that_count() {
    let mut revocations = Revocations::default();
    let other = operator().sign(&FORCE_LEAVE).unwrap();
    assert_eq!(revocations.add(&trust(), other), Err(RevocationError::OtherCommand));
    let elsewhere = credential(&hobnob_keys::CaKey::found(name("x"), &[42; 32]), Roles::OPERATOR);
    let foreign = elsewhere.sign(&Command::Revoke(Revoked::Key(node().public_key()))).unwrap();
    assert!(matches!(revocations.add(&trust(), foreign), Err(RevocationError::Command(_))));
    assert!(!revocations.revokes(&member()));
}

#[test]
fn a_node_and_a_token_are_each_revoked() {
    for revoked in [Revoked::Key(node().public_key()), Revoked::Token(token().fingerprint())] {
        let mut revocations = Revocations::default();
        assert!(!revocations.revokes(&member()));
        assert_eq!(revocations.add(&trust(), revoke(revoked)), Ok(true));
        assert_eq!(revocations.add(&trust(), revoke(revoked)), Ok(false));
        assert!(revocations.revokes(&member()));
    }
}

#[test]
fn an_encoded_set_is_merged_into_another() {
    let mut other = Revocations::default();
    let key = Revoked::Key(NodeKey::from_seed(&[30; 32]).public_key());
    other.add(&trust(), revoke(key)).unwrap();
    let read = Revocations::decode(&revocations().encode()).unwrap();
    assert_eq!(other.merge(&trust(), read), Ok(2));
    assert_eq!(other.iter().len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn merging_in_any_order_gives_the_same_set(
        (order, all) in (1_u8..6).prop_flat_map(|n| {
            let all: Vec<u8> = (0..n).collect();
            (Just(all.clone()).prop_shuffle(), Just(all))
        }),
        split in any::<prop::sample::Index>(),
    ) {
        let command = |n: &u8| {
            let key = NodeKey::from_seed(&[*n; 32]).public_key();
            revoke(if n.is_multiple_of(2) { Revoked::Key(key) } else { Revoked::Token(key.fingerprint()) })
        };
        let set = |numbers: &[u8]| {
            let mut set = Revocations::default();
            set.merge(&trust(), numbers.iter().map(command)).unwrap();
            set
        };
        let (left, right) = order.split_at(split.index(order.len()));
        let mut merged = set(left);
        let right = set(right);
        merged.merge(&trust(), right.iter().map(|(_, command)| command.clone())).unwrap();
        prop_assert_eq!(merged.digest(), set(&all).digest());
        prop_assert_eq!(merged, set(&all));
        prop_assert_ne!(set(&all).digest(), set(&all[1..]).digest());
    }

    #[test]
    fn of_two_generations_one_replaces_the_other(
        a in (0_u64..3, any::<[u8; 1]>()), b in (0_u64..3, any::<[u8; 1]>()), c in (0_u64..3, any::<[u8; 1]>()),
    ) {
        let id = |(number, [byte]): (u64, [u8; 1])| GenerationId { number, hash: [byte; 32] };
        let (a, b, c) = (id(a), id(b), id(c));
        prop_assert_eq!(a.replaces(&b) || b.replaces(&a), a != b);
        prop_assert!(!(a.replaces(&b) && b.replaces(&a)));
        prop_assert!(!(a.replaces(&b) && b.replaces(&c)) || a.replaces(&c));
    }
}

#[test]
fn a_higher_number_wins_and_then_the_lower_hash() {
    let id = |number, byte| GenerationId { number, hash: [byte; 32] };
    assert!(id(3, 9).replaces(&id(2, 0)) && !id(2, 0).replaces(&id(3, 9)));
    assert!(id(3, 0).replaces(&id(3, 9)) && !id(3, 9).replaces(&id(3, 0)));
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?} {:?}", generation(), operator());
    assert!(!shown.contains(&format!("{SECRET:?}")) && !shown.contains("0707"), "{shown}");
}
