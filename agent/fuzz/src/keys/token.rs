//! Tokens, which people paste.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hobnob_keys::Token;

use super::CLUSTER;

/// Reads the bytes as the text of a token, and as the body of one with a checksum that fits.
pub fn check(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        parse(text);
    }
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes();
    let sum = blake3::hash(bytes);
    let all = [&len[..], bytes, &sum.as_bytes()[..4]].concat();
    parse(&format!("hobnob1_{}", URL_SAFE_NO_PAD.encode(all)));
}

/// A token of another CA may well count: the bytes bring their own. A token of our CA has our limits.
fn parse(text: &str) {
    match Token::parse(text) {
        Ok(token) => {
            let again = Token::parse(&token.to_text()).expect("what was written is read");
            assert_eq!(again.fingerprint(), token.fingerprint());
            assert_eq!((again.limits(), again.trust()), (token.limits(), token.trust()));
            if *token.trust() == CLUSTER.ca.trust() {
                assert_eq!(token.limits(), CLUSTER.token.limits(), "forged limits");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The body of a token.
pub(super) fn genuine() -> Vec<u8> {
    let text = CLUSTER.token.to_text();
    let bytes = URL_SAFE_NO_PAD.decode(&text["hobnob1_".len()..]).expect("base64url");
    bytes[2..bytes.len() - 4].to_vec()
}
