//! Tokens.

use hobnob_keys::{Glob, Limits, MAX_TOKEN_CHARS, Roles, Seed, Token, TokenError, Validity};
use proptest::prelude::*;

use crate::fixtures::{ca, limits, name, open_limits, second_ca, seed, token, trust};

fn globs() -> impl Strategy<Value = Vec<Glob>> {
    prop::collection::vec("[a-z*?.-]{1,12}".prop_map(|glob| glob.parse().unwrap()), 0..4)
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let name_glob = prop::option::of("[a-z*-]{1,12}".prop_map(|glob| glob.parse().unwrap()));
    let datacenter = prop::option::of("[a-z]{1,8}".prop_map(|datacenter| name(&datacenter)));
    let roles = prop::sample::select(vec![
        Roles::NONE,
        Roles::OPERATOR,
        Roles::FOUNDER,
        Roles::OPERATOR.and(Roles::FOUNDER),
    ]);
    let moment = 0..=Validity::MAX_MS;
    (name_glob, globs(), datacenter, roles, any::<bool>(), (moment.clone(), moment)).prop_map(
        |(name_glob, services, datacenter, roles, no_gateway, (from_ms, until_ms))| Limits {
            cluster_name: name("prod"),
            name: name_glob,
            services,
            datacenter,
            roles,
            no_gateway,
            validity: Validity { from_ms, until_ms },
        },
    )
}

fn any_seeds() -> impl Strategy<Value = Vec<Seed>> {
    let address = prop_oneof![
        any::<std::net::SocketAddrV4>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]:7946")),
        "[a-z]{1,9}(:[1-9][0-9]{1,3})?",
    ];
    let seed = (address, any::<bool>()).prop_map(|(address, wan)| seed(&address, wan));
    prop::collection::vec(seed, 0..3)
}

proptest! {
    #[test]
    fn a_token_is_read_as_it_was_written(
        limits in any_limits(), mut seeds in any_seeds(), key in any::<[u8; 32]>(), second in any::<bool>(),
    ) {
        let ca = if second { second_ca() } else { ca() };
        let token = ca.token(&key, limits.clone(), seeds.clone()).unwrap();
        let text = token.to_text();
        prop_assert!(text.len() < MAX_TOKEN_CHARS);
        let read = Token::parse(&text).unwrap();
        seeds.sort();
        seeds.dedup();
        let mut read_seeds = read.seeds().to_vec();
        read_seeds.sort();
        prop_assert_eq!((read.limits(), read_seeds, read.trust()), (&limits, seeds, &ca.trust()));
        prop_assert_eq!(read.fingerprint(), token.fingerprint());
        prop_assert_eq!(read.to_text(), text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(hobnob1_)?[A-Za-z0-9_-]{0,420}", any in any::<String>()) {
        prop_assert!(Token::parse(&text).is_err());
        prop_assert!(Token::parse(&any).is_err());
    }
}

#[test]
fn seeds_of_all_kinds_are_kept_in_any_order() {
    let given = ["b.example:1", "10.0.0.9:1", "a.example:1", "[::1]:1", "10.0.0.9:1"];
    let seeds = |wan| given.into_iter().map(move |address| seed(address, wan));
    let all = seeds(true).chain(seeds(false)).collect();
    let token = ca().token(&[2; 32], open_limits(Roles::NONE), all).unwrap();
    let read = Token::parse(&token.to_text()).unwrap();
    let shown: Vec<String> =
        read.seeds().iter().filter(|seed| seed.wan).map(|seed| seed.address.to_string()).collect();
    assert_eq!(shown, ["10.0.0.9:1", "[::1]:1", "b.example:1", "a.example:1"]);
    assert_eq!(read.seeds().len(), 8);
}

#[test]
fn limits_that_are_too_many_for_a_token_are_refused_when_it_is_made() {
    let services = vec!["a-long-name-of-a-service-*".parse().unwrap(); 8];
    let error = ca().token(&[2; 32], Limits { services, ..limits() }, vec![]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("the token has ") && error.ends_with("and 399 are allowed"),
        "{error}"
    );
}

#[test]
fn a_token_of_usual_limits_is_short() {
    let seeds = vec![seed("10.0.0.9:7946", false), seed("10.0.0.10:7946", false)];
    let text = ca().token(&[2; 32], limits(), seeds).unwrap().to_text();
    assert!(text.len() <= 300, "{}", text.len());
}

#[test]
fn limits_that_the_ca_did_not_sign_are_refused() {
    let founder = ca().token(&[2; 32], open_limits(Roles::FOUNDER), vec![]).unwrap();
    let forged = edited(&founder.to_text(), |body| {
        let at = body.windows(3).position(|window| window == [0x85, 1, 2]).unwrap();
        body[at + 2] = 1;
    });
    assert_eq!(Token::parse(&forged).unwrap_err(), TokenError::Forged);
}

#[test]
fn an_unknown_element_is_refused_if_it_is_critical() {
    let with = |kind: u8| {
        let text = ca().token(&[2; 32], limits(), vec![]).unwrap().to_text();
        edited(&text, |body| body.extend([kind, 1, 9]))
    };
    assert!(Token::parse(&with(0x70)).is_ok());
    let error = Token::parse(&with(0xf0)).unwrap_err().to_string();
    assert!(error.contains("kind 0xf0 that must be understood"), "{error}");
}

#[test]
fn a_second_ca_keeps_the_cluster() {
    let token = second_ca().token(&[2; 32], limits(), vec![]).unwrap();
    let read = Token::parse(&token.to_text()).unwrap();
    assert_eq!(read.trust().cluster(), trust().cluster());
    assert_ne!(read.trust(), &trust());
}

#[test]
fn debug_shows_no_secret() {
    let (token, ca) = (token(), ca());
    assert_eq!(format!("{token:?}"), format!("Token({})", token.fingerprint()));
    assert_eq!(format!("{ca:?}"), format!("CaKey(prod {})", ca.public_key().fingerprint()));
}

/// The text of a token with another body, and a checksum that fits.
pub(crate) fn edited(text: &str, edit: impl FnOnce(&mut Vec<u8>)) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix("hobnob1_").unwrap()).unwrap();
    let mut body = bytes[2..bytes.len() - 4].to_vec();
    edit(&mut body);
    let len = u16::try_from(body.len()).unwrap().to_le_bytes();
    let sum = blake3::hash(&body);
    format!("hobnob1_{}", URL_SAFE_NO_PAD.encode([&len[..], &body, &sum.as_bytes()[..4]].concat()))
}
