//! Blocks: how structs are written.

use super::{DecodeError, Field, Reader, Writer};

/// A struct that is written as the length of its fields, then the fields.
pub(crate) trait Block: Sized {
    /// Writes the fields, without their length.
    fn put_fields(&self, writer: &mut Writer);

    /// Reads the fields that are known. `reader` ends where the block ends; the caller skips bytes that are left in it.
    fn take_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

impl<T: Block> Field for T {
    fn put(&self, writer: &mut Writer) {
        writer.block(|writer| self.put_fields(writer));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.block(T::take_fields)
    }
}

/// Makes a struct a [`Block`] of these fields, in the order in which they are written.
///
/// Fields of the first version come first; a block without one of them is malformed. Fields of later versions follow in
/// a `later` clause, each with the default that it takes when a block ends before it. Fields are never removed and
/// never change their place. `as Fixed` writes a hash in eight bytes.
macro_rules! block {
    ($type:ty { $($field:ident $(as $wire:ident)?),* $(,)? } $(later { $($new:ident: $default:expr),* $(,)? })?) => {
        impl $crate::codec::Block for $type {
            fn put_fields(&self, writer: &mut $crate::codec::Writer) {
                $($crate::codec::block!(@put self writer $field $($wire)?);)*
                $($($crate::codec::Field::put(&self.$new, writer);)*)?
            }

            fn take_fields(
                reader: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                Ok(Self {
                    $($field: $crate::codec::block!(@take reader $($wire)?),)*
                    $($($new: if reader.is_empty() {
                        $default
                    } else {
                        $crate::codec::Field::take(reader)?
                    },)*)?
                })
            }
        }
    };
    (@put $self:ident $writer:ident $field:ident) => {
        $crate::codec::Field::put(&$self.$field, $writer)
    };
    (@put $self:ident $writer:ident $field:ident $wire:ident) => {
        $crate::codec::Field::put(&$crate::codec::$wire($self.$field), $writer)
    };
    (@take $reader:ident) => {
        $crate::codec::Field::take($reader)?
    };
    (@take $reader:ident $wire:ident) => {
        <$crate::codec::$wire as $crate::codec::Field>::take($reader)?.0
    };
}
pub(crate) use block;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smol_str::SmolStr as Text;

    use super::*;
    use crate::codec::{decode, encode, encoded_len};

    #[derive(Clone, Debug, PartialEq)]
    struct Inner {
        number: u32,
        text: Text,
    }
    block!(Inner { number, text });

    #[derive(Clone, Debug, PartialEq)]
    struct First {
        inner: Inner,
        list: Vec<Inner>,
        hash: u64,
    }
    block!(First { inner, list, hash as Fixed });

    /// [`First`] in a later version.
    #[derive(Clone, Debug, PartialEq)]
    struct Second {
        inner: Inner,
        list: Vec<Inner>,
        hash: u64,
        weight: u16,
        extra: Option<Text>,
    }
    block!(Second { inner, list, hash as Fixed } later { weight: 7, extra: None });

    #[derive(Debug, PartialEq)]
    enum Shape {
        Dot,
        Line(u16),
    }

    impl Field for Shape {
        fn put(&self, writer: &mut Writer) {
            match self {
                Self::Dot => (writer.byte(0), writer.block(|_| ())),
                Self::Line(length) => (writer.byte(1), writer.block(|w| length.put(w))),
            };
        }

        fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
            let kind = reader.byte()?;
            reader.block(|reader| match kind {
                0 => Ok(Self::Dot),
                1 => u16::take(reader).map(Self::Line),
                kind => Err(DecodeError::Unknown(kind)),
            })
        }
    }

    fn inner() -> impl Strategy<Value = Inner> {
        (any::<u32>(), ".{0,40}").prop_map(|(number, text)| Inner { number, text: text.into() })
    }

    fn first() -> impl Strategy<Value = First> {
        (inner(), prop::collection::vec(inner(), 0..20), any::<u64>())
            .prop_map(|(inner, list, hash)| First { inner, list, hash })
    }

    #[test]
    fn a_number_takes_as_few_bytes_as_bincode_needs() {
        for (number, len) in
            [(0, 1), (250, 1), (251, 3), (65_535, 3), (65_536, 5), (1 << 32, 9), (u64::MAX, 9)]
        {
            let bytes = encode(&number);
            assert_eq!(bytes.len(), len, "{number}");
            assert_eq!(decode::<u64>(&bytes), Ok(number));
        }
        assert!(decode::<u64>(&[254; 17]).is_err());
        assert!(decode::<u16>(&encode(&65_536_u64)).is_err());
    }

    #[test]
    fn a_missing_tail_takes_its_defaults_and_a_missing_field_of_the_first_version_is_an_error() {
        let inner = Inner { number: 1, text: "x".into() };
        let old = First { inner: inner.clone(), list: vec![], hash: 9 };
        let read: Second = decode(&encode(&old)).expect("an earlier version");
        assert_eq!((read.inner, read.weight, read.extra), (inner, 7, None));
        assert_eq!(decode::<First>(&[3, 2, 1, 0]), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_list_skips_unknown_kinds_by_their_length_and_counts_them() {
        let bytes = [4, 0, 0, 9, 3, 1, 2, 3, 1, 1, 5, 200, 0];
        let mut reader = Reader::new(&bytes);
        assert_eq!(Vec::<Shape>::take(&mut reader), Ok(vec![Shape::Dot, Shape::Line(5)]));
        assert_eq!((reader.skipped(), reader.is_empty()), (2, true));
    }

    #[test]
    fn a_list_that_claims_more_than_there_is_is_refused_before_it_is_read() {
        let huge = [253, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!(decode::<Vec<u8>>(&huge), Err(DecodeError::Truncated));
        assert_eq!(decode::<Text>(&huge), Err(DecodeError::Truncated));
        assert_eq!(decode::<Inner>(&huge), Err(DecodeError::Truncated));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_written_block_is_read_and_as_long_as_counted(value in first()) {
            let bytes = encode(&value);
            prop_assert_eq!(encoded_len(&value), bytes.len());
            prop_assert_eq!(decode::<First>(&bytes), Ok(value));
        }

        #[test]
        fn any_tail_is_skipped(value in first(), tail in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut writer = Writer::default();
            writer.block(|writer| {
                value.put_fields(writer);
                writer.raw(&tail);
            });
            prop_assert_eq!(decode::<First>(&writer.into_bytes()), Ok(value));
        }

        #[test]
        fn a_cut_block_is_refused(value in first(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&value);
            let len = cut.index(bytes.len());
            prop_assert!(decode::<First>(&bytes[..len]).is_err());
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode::<Second>(&bytes));
            drop(decode::<Vec<Shape>>(&bytes));
        }
    }
}
