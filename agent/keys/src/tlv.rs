//! Elements of a kind, a length and a value, which stand in ascending order of their kinds.
//!
//! The highest bit of a kind says that the element is critical: a reader that does not know the kind refuses the whole. A
//! reader passes over other unknown elements. The bytes are kept and passed on as they came.

use std::fmt;
use std::str::FromStr;

use crate::bytes::DecodeError;

/// The bit of a kind that makes an element critical.
const CRITICAL: u8 = 0x80;

/// Reads elements from the front. Ends after the first error.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    what: &'static str,
    rest: &'a [u8],
    last: Option<u8>,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(what: &'static str, rest: &'a [u8]) -> Self {
        Self { what, rest, last: None }
    }

    /// The next kind and value. `list` says which kinds may stand several times.
    pub(crate) fn next(
        &mut self,
        list: impl Fn(u8) -> bool,
    ) -> Result<Option<(u8, &'a [u8])>, DecodeError> {
        let truncated = DecodeError::Truncated { what: self.what };
        let (kind, len, rest) = match *self.rest {
            [] => return Ok(None),
            [kind, len, ref rest @ ..] => (kind, len, rest),
            [_] => return Err(truncated),
        };
        let (value, rest) = rest.split_at_checked(len.into()).ok_or(truncated)?;
        let number = kind & !CRITICAL;
        let ascends = self.last.is_none_or(|last| last < number || (last == number && list(kind)));
        if !ascends {
            return Err(DecodeError::invalid(
                self.what,
                &format_args!("the element of kind {kind:#04x} is repeated or out of order"),
            ));
        }
        (self.rest, self.last) = (rest, Some(number));
        Ok(Some((kind, value)))
    }

    /// Passes over an element of an unknown kind, unless it is critical.
    pub(crate) fn unknown(&self, kind: u8) -> Result<(), DecodeError> {
        if kind & CRITICAL == 0 {
            Ok(())
        } else {
            Err(DecodeError::UnknownCritical { what: self.what, kind })
        }
    }
}

/// The value of an element that is a text of some type.
pub(crate) fn text<T: FromStr<Err: fmt::Display>>(
    what: &'static str,
    value: &[u8],
) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(value).map_err(|_| DecodeError::invalid(what, &"not UTF-8"))?;
    text.parse().map_err(|error| DecodeError::invalid(what, &error))
}

/// The value of an element with a fixed number of bytes.
pub(crate) fn array<const N: usize>(
    what: &'static str,
    value: &[u8],
) -> Result<[u8; N], DecodeError> {
    value.try_into().map_err(|_| {
        let len = value.len();
        DecodeError::invalid(what, &format_args!("an element has {len} bytes instead of {N}"))
    })
}

/// Appends an element. `what` names it in the error when the value has more than 255 bytes.
pub(crate) fn put(
    out: &mut Vec<u8>,
    kind: u8,
    what: &'static str,
    value: &[u8],
) -> Result<(), DecodeError> {
    let (len, max) = (value.len(), usize::from(u8::MAX));
    let prefix = u8::try_from(len);
    let prefix = prefix.map_err(|_| DecodeError::TooLong { what, len, unit: "bytes", max })?;
    out.extend([kind, prefix]);
    out.extend_from_slice(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>, DecodeError> {
        let (mut elements, mut read) = (Elements::new("the test", bytes), vec![]);
        while let Some(element) = elements.next(|kind| kind == 3)? {
            read.push(element);
        }
        Ok(read)
    }

    #[test]
    fn elements_ascend_and_only_lists_repeat() {
        let all = [(1, &b"a"[..]), (3, b""), (3, b"bc"), (0x84, b"d")];
        let mut bytes = vec![];
        for (kind, value) in all {
            put(&mut bytes, kind, "the test", value).unwrap();
        }
        assert_eq!(read(&bytes).unwrap(), all);
        for wrong in [&[2, 0, 1, 0][..], &[1, 0, 1, 0], &[4, 0, 0x84, 0], &[0x84, 0, 3, 0]] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("repeated or out of order"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn every_cut_inside_an_element_is_an_error() {
        let bytes = [1, 2, b'a', b'b', 2, 1, b'c'];
        for len in 0..=bytes.len() {
            assert_eq!(read(&bytes[..len]).is_ok(), [0, 4, 7].contains(&len), "{len}");
        }
    }

    #[test]
    fn only_critical_elements_must_be_known() {
        let elements = Elements::new("the test", &[]);
        assert_eq!(elements.unknown(0x7f), Ok(()));
        let error = elements.unknown(0x81).unwrap_err().to_string();
        assert!(error.contains("kind 0x81 that must be understood"), "{error}");
    }

    #[test]
    fn a_value_that_its_length_cannot_count_is_refused() {
        let put = |len: usize| put(&mut vec![], 1, "the test", &vec![0; len]);
        let error = put(256).unwrap_err().to_string();
        assert_eq!(error, "the test has 256 bytes, and 255 are allowed");
        assert_eq!(put(255), Ok(()));
    }
}
