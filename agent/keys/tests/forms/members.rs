//! Certificates, and who trusts them.

use hobnob_keys::{
    Certificate, CertificateError, DecodeError, IssueError, Limits, NodeKey, Roles, Trust,
};

use crate::fixtures::{
    ca, certificate, limits, member, name, node, open_limits, second_ca, succession, token, trust,
};

#[test]
fn a_certificate_says_who_joined_with_what() {
    let member = member();
    assert_eq!(member.node_id(), node().node_id());
    assert_eq!((member.name(), member.datacenter()), (&name("web-1"), &name("eu")));
    assert_eq!(member.limits(), &limits());
    assert_eq!(member.token(), token().fingerprint());
    assert!(member.limits().allows_service("api-a") && !member.limits().allows_service("db"));
    assert_eq!(Certificate::decode(member.certificate().as_bytes()).unwrap(), certificate());
}

#[test]
fn a_certificate_outlives_its_token() {
    assert!(token().valid_at(u64::MAX).is_err());
    assert!(certificate().verify(&trust()).is_ok());
}

#[test]
fn a_token_certifies_nobody_outside_its_limits() {
    let issue = |named: &str, datacenter: &str| {
        token().certificate(node().public_key(), &name(named), &name(datacenter))
    };
    let error = issue("db-1", "eu").unwrap_err();
    let expected = CertificateError::Name { name: name("db-1"), glob: "web-*".to_owned() };
    assert_eq!(error, IssueError::NotAllowed(expected));
    let error = issue("web-1", "us").unwrap_err().to_string();
    assert_eq!(error, "the token allows the datacenter `eu`, and the node is in `us`");
}

#[test]
fn a_node_part_counts_with_the_limits_that_it_was_signed_for_only() {
    let open = ca().token(&[2; 32], open_limits(Roles::NONE), vec![]).unwrap();
    let other = open.certificate(node().public_key(), &name("web-1"), &name("eu")).unwrap();
    // Both parts are genuine, and of one token key.
    let split = |certificate: &Certificate| {
        let bytes = certificate.as_bytes();
        let at = bytes.windows(32).rposition(|window| window == node().public_key().0).unwrap();
        (bytes[..at].to_vec(), bytes[at..].to_vec())
    };
    let mixed = [split(&other).0, split(&certificate()).1].concat();
    let mixed = Certificate::decode(&mixed).unwrap();
    assert!(matches!(mixed.verify(&trust()), Err(CertificateError::Forged { .. })));
}

#[test]
fn only_the_trusted_cas_count_each_for_this_cluster() {
    let (first, second, other) = (ca(), second_ca(), ca().successor(&[9; 32]));
    let mut both = trust();
    both.succeed(succession()).unwrap();
    let by = |ca: &hobnob_keys::CaKey| {
        let token = ca.token(&[2; 32], limits(), vec![]).unwrap();
        token.certificate(node().public_key(), &name("web-1"), &name("eu")).unwrap()
    };
    for ca in [&first, &second] {
        assert_eq!(by(ca).verify(&both).unwrap().authority(), ca.public_key());
    }
    assert!(by(&second).verify(&trust()).is_err());
    let error = by(&other).verify(&both).unwrap_err();
    assert_eq!(error, CertificateError::UnknownAuthority { token: token().fingerprint() });
    // The CA key of this cluster founds another one with the same key: its certificates do not count there.
    let elsewhere = Trust::new(other_cluster(), first.public_key());
    assert!(by(&first).verify(&elsewhere).is_err());
}

fn other_cluster() -> hobnob_keys::ClusterId {
    hobnob_keys::ClusterId::of(&NodeKey::from_seed(&[42; 32]).public_key())
}

#[test]
fn a_later_format_is_told_from_damage() {
    let mut bytes = certificate().as_bytes().to_vec();
    bytes[0] = 2;
    let error = Certificate::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::OtherFormat { what: "the certificate", format: 2, known: 1 });
}

#[test]
fn the_longest_limits_make_a_certificate_that_fits_a_datagram() {
    let long = |byte: &str| byte.repeat(hobnob_keys::MAX_NAME_BYTES);
    let limits = Limits { name: Some(long("*").parse().unwrap()), ..open_limits(Roles::NONE) };
    let token = ca().token(&[2; 32], limits, vec![]).unwrap();
    let key = node().public_key();
    let certificate = token.certificate(key, &name(&long("n")), &name(&long("d"))).unwrap();
    assert!(certificate.as_bytes().len() <= hobnob_keys::MAX_CERTIFICATE_BYTES);
    const { assert!(hobnob_keys::MAX_CERTIFICATE_BYTES < 1_300) };
    certificate.verify(&trust()).unwrap();
}
