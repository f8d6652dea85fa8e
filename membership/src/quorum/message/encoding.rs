//! How questions and answers are written: a kind, then a block, so that those of a later version keep their places.

use super::{Answer, Part};
use crate::codec::{DecodeError, Field, Fixed, Reader, Writer};

impl Field for Part {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Look(_) => 1,
            Self::Write(_) => 2,
            Self::Enlist(..) => 3,
            Self::Found(_) => 4,
            Self::Prepare(..) => 5,
            Self::Accept(_) => 6,
            Self::CaughtUp(_) => 7,
            Self::Lives => 8,
            Self::Recover(_) => 9,
            Self::Image(_) => 10,
            Self::Unknown => 0,
        });
        writer.block(|writer| match self {
            Self::Look(it) => it.put(writer),
            Self::Write(it) => it.put(writer),
            Self::Enlist(number, is_first) => {
                number.put(writer);
                is_first.put(writer);
            }
            Self::CaughtUp(number) => number.put(writer),
            Self::Found(it) => it.put(writer),
            Self::Prepare(number, ballot) => {
                number.put(writer);
                ballot.put(writer);
            }
            Self::Accept(it) => it.put(writer),
            Self::Lives | Self::Unknown => {}
            Self::Recover(it) => it.put(writer),
            Self::Image(it) => it.put(writer),
        });
    }

    /// A question of a later version reads as [`Part::Unknown`], so that the answers keep its place.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte()?;
        reader.block(|reader| {
            Ok(match kind {
                1 => Self::Look(Field::take(reader)?),
                2 => Self::Write(Field::take(reader)?),
                3 => Self::Enlist(Field::take(reader)?, !reader.is_empty() && bool::take(reader)?),
                4 => Self::Found(Field::take(reader)?),
                5 => Self::Prepare(Field::take(reader)?, Field::take(reader)?),
                6 => Self::Accept(Field::take(reader)?),
                7 => Self::CaughtUp(Field::take(reader)?),
                8 => Self::Lives,
                9 => Self::Recover(Field::take(reader)?),
                10 => Self::Image(Field::take(reader)?),
                _ => Self::Unknown,
            })
        })
    }
}

impl Field for Answer {
    fn put(&self, writer: &mut Writer) {
        writer.byte(match self {
            Self::Done => 1,
            Self::NotVoting => 2,
            Self::Seen(_) => 3,
            Self::Fenced(_) => 4,
            Self::Full => 5,
            Self::Enlisted(_) => 6,
            Self::Taken(_) => 7,
            Self::Promised(_) => 8,
            Self::Refused(_) => 9,
            Self::CaughtUp(_) => 10,
            Self::Life(_) => 11,
            Self::Page(_) => 12,
            Self::Unknown => 13,
            Self::Later => 14,
            Self::Forgetful => 15,
        });
        writer.block(|writer| match self {
            Self::Done
            | Self::NotVoting
            | Self::Full
            | Self::Unknown
            | Self::Later
            | Self::Forgetful => {}
            Self::Seen(it) => it.put(writer),
            Self::Fenced(epoch) => epoch.put(writer),
            Self::Enlisted(token) => Fixed(*token).put(writer),
            Self::Taken(it) => it.put(writer),
            Self::Promised(it) => it.put(writer),
            Self::Refused(ballot) => ballot.put(writer),
            Self::CaughtUp(is_so) => is_so.put(writer),
            Self::Life(recoveries) => recoveries.put(writer),
            Self::Page(it) => it.put(writer),
        });
    }

    /// An answer of a later version reads as [`Answer::Unknown`], so that the answers keep their order.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte()?;
        reader.block(|reader| {
            Ok(match kind {
                1 => Self::Done,
                2 => Self::NotVoting,
                3 => Self::Seen(Field::take(reader)?),
                4 => Self::Fenced(Field::take(reader)?),
                5 => Self::Full,
                6 => Self::Enlisted(Fixed::take(reader)?.0),
                7 => Self::Taken(Field::take(reader)?),
                8 => Self::Promised(Field::take(reader)?),
                9 => Self::Refused(Field::take(reader)?),
                10 => Self::CaughtUp(Field::take(reader)?),
                11 => Self::Life(Field::take(reader)?),
                12 => Self::Page(Field::take(reader)?),
                14 => Self::Later,
                15 => Self::Forgetful,
                _ => Self::Unknown,
            })
        })
    }
}
