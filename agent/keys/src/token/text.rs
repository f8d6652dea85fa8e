//! The text of a token: a prefix with the version, then base64url of a length, the body and a checksum.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::bytes::DecodeError;

/// The text of a token has fewer characters than this.
pub const MAX_TOKEN_CHARS: usize = 400;

const NAME: &str = "hobnob";
const VERSION: &str = "1";
/// `hobnob1_`.
const PREFIX_CHARS: usize = NAME.len() + VERSION.len() + 1;
/// The most digits of the version of another token.
const MAX_VERSION_DIGITS: usize = 4;

const LENGTH_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 4;

/// A text is no usable token. The message never shows the text, which is a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is no text.
    #[error("the token is empty")]
    Empty,
    /// It does not begin as a token does.
    #[error("this is no token: a token begins with `hobnob1_`")]
    NotAToken,
    /// It is of another version.
    #[error(
        "the token is of version {version}, and this version of hobnob reads tokens of version 1"
    )]
    OtherVersion {
        /// The version.
        version: String,
    },
    /// It is longer than every token.
    #[error("the token has {chars} characters, and a token has fewer than {MAX_TOKEN_CHARS}")]
    TooLong {
        /// Its length.
        chars: usize,
    },
    /// A character does not belong in a token.
    #[error(
        "character {at} of the token cannot be right: a token has letters, digits, `-` and `_` only, on one line"
    )]
    Character {
        /// Its place, counted from 1.
        at: usize,
    },
    /// The end is missing.
    #[error("the token is cut off: it has {chars} of {expected} characters")]
    Truncated {
        /// The characters that are there.
        chars: usize,
        /// The characters of the whole.
        expected: usize,
    },
    /// There are more characters than it has.
    #[error("the token is followed by {chars} more characters")]
    Trailing {
        /// The number of characters after it.
        chars: usize,
    },
    /// Its checksum does not fit.
    #[error("the token is mistyped or damaged: its checksum does not fit")]
    Mistyped,
    /// Its content makes no sense to this version.
    #[error(transparent)]
    Content(#[from] DecodeError),
    /// The CA did not sign its limits.
    #[error("the token is forged: its CA did not sign its limits")]
    Forged,
}

/// The characters that some bytes take.
fn chars_of(bytes: usize) -> usize {
    PREFIX_CHARS + (bytes * 4).div_ceil(3)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut checksum = [0; CHECKSUM_BYTES];
    blake3::Hasher::new().update(body).finalize_xof().fill(&mut checksum);
    checksum
}

/// Whether the text of this body is short enough.
pub(super) fn check_length(body: &[u8]) -> Result<(), DecodeError> {
    let len = chars_of(LENGTH_BYTES + body.len() + CHECKSUM_BYTES);
    if len < MAX_TOKEN_CHARS {
        return Ok(());
    }
    Err(DecodeError::TooLong {
        what: super::WHAT,
        len,
        unit: "characters",
        max: MAX_TOKEN_CHARS - 1,
    })
}

/// The text of a body that passed [`check_length`].
pub(super) fn encode(body: &[u8]) -> Zeroizing<String> {
    debug_assert!(check_length(body).is_ok());
    let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH_BYTES + body.len() + CHECKSUM_BYTES));
    bytes.extend_from_slice(&body.len().to_le_bytes()[..LENGTH_BYTES]);
    bytes.extend(body);
    bytes.extend(checksum(body));
    let mut text = Zeroizing::new(String::with_capacity(chars_of(bytes.len()) + 2));
    text.extend([NAME, VERSION, "_"]);
    URL_SAFE_NO_PAD.encode_string(&*bytes, &mut text);
    text
}

/// The body of a text.
pub(super) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    let text = text.trim();
    let encoded = encoded(text)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if let Some(at) = encoded.bytes().position(|byte| !legal(byte)) {
        return Err(TokenError::Character { at: PREFIX_CHARS + at + 1 });
    }
    // Four characters stand for three bytes. The first four hold the length of the body.
    let chars = text.len();
    let Some(start) = encoded.get(..4) else {
        return Err(TokenError::Truncated {
            chars,
            expected: chars_of(LENGTH_BYTES + CHECKSUM_BYTES),
        });
    };
    let bytes_of = |encoded| URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Mistyped);
    let len = match bytes_of(start)?[..] {
        [low, high, ..] => usize::from(u16::from_le_bytes([low, high])),
        _ => return Err(TokenError::Mistyped),
    };
    let expected = chars_of(LENGTH_BYTES + len + CHECKSUM_BYTES);
    if expected >= MAX_TOKEN_CHARS {
        return Err(TokenError::Mistyped);
    }
    if chars < expected {
        return Err(TokenError::Truncated { chars, expected });
    }
    if chars > expected {
        return Err(TokenError::Trailing { chars: chars - expected });
    }
    let bytes = Zeroizing::new(bytes_of(encoded)?);
    match bytes[LENGTH_BYTES..].split_last_chunk() {
        Some((body, sum)) if *sum == checksum(body) => Ok(Zeroizing::new(body.to_vec())),
        _ => Err(TokenError::Mistyped),
    }
}

/// The characters after the prefix.
fn encoded(text: &str) -> Result<&str, TokenError> {
    if text.is_empty() {
        return Err(TokenError::Empty);
    }
    let (version, encoded) = text
        .strip_prefix(NAME)
        .and_then(|rest| rest.split_once('_'))
        .ok_or(TokenError::NotAToken)?;
    if version != VERSION {
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || version.len() > MAX_VERSION_DIGITS {
            return Err(TokenError::NotAToken);
        }
        return Err(TokenError::OtherVersion { version: version.to_owned() });
    }
    if text.len() >= MAX_TOKEN_CHARS {
        return Err(TokenError::TooLong { chars: text.chars().count() });
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"what a token holds";

    fn error(text: &str) -> TokenError {
        decode(text).unwrap_err()
    }

    #[test]
    fn a_body_is_read_as_it_was_written_with_space_around_it() {
        for len in 0..BODY.len() {
            let text = encode(&BODY[..len]);
            assert_eq!(*decode(&format!(" {}\n", *text)).unwrap(), &BODY[..len]);
        }
    }

    #[test]
    fn another_text_is_told_from_a_broken_token() {
        let version = |version: &str| TokenError::OtherVersion { version: version.to_owned() };
        for (text, expected) in [
            ("", TokenError::Empty),
            (" \n", TokenError::Empty),
            ("secret", TokenError::NotAToken),
            ("hobnob", TokenError::NotAToken),
            ("hobnob_abc", TokenError::NotAToken),
            ("hobnobx_abc", TokenError::NotAToken),
            ("hobnob12345_abc", TokenError::NotAToken),
            ("hobnob2_abc", version("2")),
            ("hobnob12_", version("12")),
        ] {
            assert_eq!(error(text), expected, "{text}");
        }
    }

    #[test]
    fn a_token_that_is_cut_anywhere_says_so() {
        let text = encode(BODY);
        for len in PREFIX_CHARS + 4..text.len() {
            let expected = TokenError::Truncated { chars: len, expected: text.len() };
            assert_eq!(error(&text[..len]), expected);
        }
        for len in PREFIX_CHARS..PREFIX_CHARS + 4 {
            assert!(matches!(error(&text[..len]), TokenError::Truncated { .. }), "{len}");
        }
    }

    #[test]
    fn a_wrong_character_is_named_by_its_place() {
        let text = encode(BODY);
        for (stray, at) in [(' ', 20), ('\n', 12), ('+', 9), ('é', 30)] {
            let mut wrong = text.to_string();
            wrong.insert(at - 1, stray);
            assert_eq!(error(&wrong), TokenError::Character { at });
        }
    }

    #[test]
    fn a_mistyped_character_does_not_pass() {
        let text = encode(BODY);
        for at in PREFIX_CHARS..text.len() {
            let mut wrong = text.to_string();
            let typed = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
            wrong.replace_range(at..=at, typed);
            error(&wrong);
        }
        let last = text.len() - 1;
        let mut wrong = text.to_string();
        wrong.replace_range(
            last - 3..last - 2,
            if &text[last - 3..last - 2] == "x" { "y" } else { "x" },
        );
        assert_eq!(error(&wrong), TokenError::Mistyped);
    }

    #[test]
    fn more_than_a_token_is_refused() {
        assert_eq!(error(&format!("{}xyz", *encode(BODY))), TokenError::Trailing { chars: 3 });
        let long = format!("hobnob1_{}", "A".repeat(MAX_TOKEN_CHARS));
        assert_eq!(error(&long), TokenError::TooLong { chars: long.len() });
    }
}
