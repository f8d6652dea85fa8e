//! No form counts with a changed bit, or cut anywhere.

use std::sync::LazyLock;

use hobnob_keys::seal::{Ping, Pong, QuietDigest, Sealed};
use hobnob_keys::{Certificate, Generation, Revocations, SignedCommand, Succession, Token};
use proptest::prelude::*;

use crate::fixtures::{
    certificate, digest, generation, keys, near, node, ping, pong, receiver, revocations, revoke,
    sealed, succession, token, trust,
};
use crate::tokens::edited;

fn counts_as_certificate(bytes: &[u8]) -> bool {
    Certificate::decode(bytes).is_ok_and(|certificate| certificate.verify(&trust()).is_ok())
}

fn counts_as_command(bytes: &[u8]) -> bool {
    SignedCommand::decode(bytes).is_ok_and(|command| command.verify(&trust()).is_ok())
}

fn counts_as_generation(bytes: &[u8]) -> bool {
    let none = Revocations::default();
    Generation::decode(bytes).is_ok_and(|generation| generation.verify(&trust(), &none).is_ok())
}

/// Whether all of the set counts.
fn counts_as_revocations(bytes: &[u8]) -> bool {
    let mut set = Revocations::default();
    Revocations::decode(bytes).is_ok_and(|read| set.merge(&trust(), read) == Ok(2))
}

fn counts_as_succession(bytes: &[u8]) -> bool {
    Succession::decode(bytes).is_ok_and(|succession| trust().succeed(succession) == Ok(true))
}

/// A genuine form, and whether other bytes count as it.
type Form = (Vec<u8>, fn(&[u8]) -> bool);

fn form(bytes: Vec<u8>, counts: fn(&[u8]) -> bool) -> Form {
    (bytes, counts)
}

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    use hobnob_keys::Revoked;
    vec![
        form(certificate().as_bytes().to_vec(), counts_as_certificate),
        form(revoke(Revoked::Key(node().public_key())).as_bytes().to_vec(), counts_as_command),
        form(generation().encode().to_vec(), counts_as_generation),
        form(revocations().encode(), counts_as_revocations),
        form(token().to_text().as_bytes().to_vec(), |bytes| {
            Token::parse(&String::from_utf8_lossy(bytes)).is_ok()
        }),
        form(succession().encode(), counts_as_succession),
        form(sealed(), |bytes| Sealed::open(&keys(), &mut bytes.to_vec()).is_ok()),
        form(ping().seal(&keys(), receiver()).to_vec(), |bytes| {
            Ping::open(&keys(), receiver(), near(), bytes).is_ok()
        }),
        form(pong().seal(&keys()).to_vec(), |bytes| Pong::open(&keys(), bytes).is_ok()),
        form(digest().seal(&keys(), receiver()).to_vec(), |bytes| {
            QuietDigest::open(&keys(), receiver(), bytes).is_ok()
        }),
    ]
});

#[test]
fn no_form_counts_with_a_changed_bit() {
    for (bytes, counts) in &*FORMS {
        assert!(counts(bytes));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!counts(&changed), "bit {bit} of {bytes:02x?}");
        }
    }
}

#[test]
fn no_form_counts_when_it_is_cut_or_followed_by_more() {
    for (bytes, counts) in &*FORMS {
        for len in 0..bytes.len() {
            assert!(!counts(&bytes[..len]), "{len} of {bytes:02x?}");
        }
        assert!(!counts(&[&bytes[..], b"0"].concat()));
    }
}

/// All but the seeds at the end: those are hints, and the checksum finds slips in them.
#[test]
fn no_token_counts_with_a_changed_bit_and_a_checksum_that_fits() {
    let text = token().to_text();
    let mut signed = 0;
    edited(&text, |body| signed = body.len() - (2 + 6) - (2 + 17));
    for bit in 0..signed * 8 {
        let changed = edited(&text, |body| body[bit / 8] ^= 1 << (bit % 8));
        assert!(Token::parse(&changed).is_err(), "bit {bit}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600), start in any::<prop::sample::Index>(), form in 0_usize..10,
    ) {
        let (genuine, _) = &FORMS[form];
        let start = start.index(genuine.len());
        for bytes in [bytes.clone(), [&genuine[..start], &bytes].concat()] {
            for (_, counts) in &*FORMS {
                prop_assert!(!counts(&bytes));
            }
        }
    }
}
