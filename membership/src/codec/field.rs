//! Fields: the values that blocks consist of.

use std::net::IpAddr;

use smol_str::SmolStr;

use super::{DecodeError, Reader, Writer};

/// A value that has one encoding.
pub(crate) trait Field: Sized {
    fn put(&self, writer: &mut Writer);

    /// Reads the value from the front. An implementation that returns [`DecodeError::Unknown`] MUST have taken all
    /// bytes of the value, since a list continues with the next element.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A number in eight bytes, for hashes: a variable length would save no bytes.
pub(crate) struct Fixed(pub(crate) u64);

impl Field for Fixed {
    fn put(&self, writer: &mut Writer) {
        writer.raw(&self.0.to_le_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(|bytes| Self(u64::from_le_bytes(bytes)))
    }
}

impl Field for u8 {
    fn put(&self, writer: &mut Writer) {
        writer.byte(*self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.byte()
    }
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Field for $number {
            fn put(&self, writer: &mut Writer) {
                writer.number(u64::from(*self));
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let number = reader.number()?;
                Self::try_from(number).map_err(|_| DecodeError::Invalid("a number is too large"))
            }
        }
    )*};
}

number!(u16, u32, u64);

impl Field for bool {
    fn put(&self, writer: &mut Writer) {
        writer.byte(u8::from(*self));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("a truth value is neither 0 nor 1")),
        }
    }
}

impl<const N: usize> Field for [u8; N] {
    fn put(&self, writer: &mut Writer) {
        writer.raw(self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array()
    }
}

impl Field for SmolStr {
    fn put(&self, writer: &mut Writer) {
        writer.prefixed(self.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.text().map(Self::new)
    }
}

impl Field for IpAddr {
    fn put(&self, writer: &mut Writer) {
        match self {
            Self::V4(ip) => (writer.byte(0), writer.raw(&ip.octets())),
            Self::V6(ip) => (writer.byte(1), writer.raw(&ip.octets())),
        };
    }

    /// Reads an address. For an unknown kind, the caller's block skips the rest of the identity: only blocks hold
    /// addresses.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.byte()? {
            0 => reader.array::<4>().map(Self::from),
            1 => reader.array::<16>().map(Self::from),
            kind => Err(DecodeError::Unknown(kind)),
        }
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, writer: &mut Writer) {
        writer.byte(u8::from(self.is_some()));
        if let Some(value) = self {
            value.put(writer);
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(if bool::take(reader)? { Some(T::take(reader)?) } else { None })
    }
}

/// Written as the number of elements, then the elements. Every element takes a byte or more, so a valid number is at
/// most the number of bytes that are left. The list grows as the elements are read.
impl<T: Field> Field for Vec<T> {
    fn put(&self, writer: &mut Writer) {
        writer.number(self.len() as u64);
        self.iter().for_each(|element| element.put(writer));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut list = Self::new();
        for _ in 0..reader.length()? {
            match T::take(reader) {
                Ok(element) => list.push(element),
                Err(DecodeError::Unknown(_)) => reader.skip(),
                Err(error) => return Err(error),
            }
        }
        Ok(list)
    }
}
