//! The image: all that a node keeps on disk for the quorum. It is the join of the changes that were written.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::base::identity::{Epoch, NodeId};
use crate::codec::{DecodeError, Field, Fixed, Reader, Writer, block, encoded_len};
use crate::quorum::chain::{Acceptor, Chain, Configuration};
use crate::quorum::entry::{Entry, Fence, OriginEnd, Place, Stamp};
use crate::quorum::ledger::{Ledger, MAX_ENTRIES};

/// Origins that an image holds. Writes and ends of further ones are refused.
pub const MAX_ORIGINS: usize = 65_536;
/// Room beyond the limits of an image.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reserve {
    pub(crate) entries: usize,
    pub(crate) origins: usize,
}

/// The room for what reads bring. So a voter that is full holds up no read while others have a register that it lacks.
pub(crate) const RESERVE_OF_READS: Reserve = Reserve { entries: 65_536, origins: 16_384 };

/// The highest number of recoveries. A voter that was told of it is replaced, and begins at zero with its next token.
pub(crate) const MAX_RECOVERIES: u32 = 1 << 31;
/// A number of recoveries that is farther than this above the known one is not believed.
pub(crate) const MAX_RECOVERY_STEP: u32 = 1 << 20;

/// How often a voter has recovered, under one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoterLife {
    /// The voter.
    pub node: NodeId,
    /// Its token.
    pub token: u64,
    /// The number of its recoveries.
    pub recoveries: u32,
}
block!(VoterLife { node, token as Fixed, recoveries });

impl VoterLife {
    /// Whether the number is in range.
    pub(crate) fn is_valid(&self) -> bool {
        self.recoveries <= MAX_RECOVERIES
    }
}

/// One change of an image, as it is written to disk and told to voters that recover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A write of a register.
    Entry(Entry),
    /// The end of an origin.
    End(OriginEnd),
    /// The life and the key of an origin.
    Fence(Fence),
    /// The recoveries of another voter.
    Life(VoterLife),
    /// What was promised and accepted for the configuration with a number.
    Acceptor(u64, Acceptor),
    /// What is known of the configurations.
    Chain(Chain),
    /// The first configuration that this node accepted.
    Founded(Configuration),
    /// This node holds all that the predecessor of the configuration with this number held.
    CaughtUp(u64),
    /// The token of this node, drawn for the configuration with a number, and how often it has recovered since.
    Seat(OwnSeat),
    /// A change of a later version. An image that holds one is not whole.
    Unknown,
}

impl Change {
    /// The change as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.put(&mut writer);
        writer.into_bytes()
    }

    /// Reads a change that is all of these bytes. One of a later version reads as [`Change::Unknown`].
    ///
    /// # Errors
    /// The bytes are no change, or a part of it is out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = Self::take(&mut reader)?;
        match change.is_valid() && reader.is_empty() {
            true => Ok(change),
            false => Err(DecodeError::Invalid("a change of an image is out of range")),
        }
    }

    /// Whether the numbers and configurations are in range.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Life(it) => it.is_valid(),
            Self::Acceptor(number, it) => it.is_valid(*number),
            Self::Chain(it) => it.is_valid(),
            Self::Founded(it) => it.is_valid(),
            _ => true,
        }
    }
}

/// A node as a voter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnSeat {
    /// The number of the configuration that the token was drawn for.
    pub number: u64,
    /// The token.
    pub token: u64,
    /// How often the node has recovered with this token.
    pub recoveries: u32,
    /// Whether the image may be an old one, so that the node does not vote before it has recovered.
    pub is_doubtful: bool,
    /// The highest number of a recovery that was begun, done or not.
    pub begun: u32,
}
block!(OwnSeat { number, token as Fixed, recoveries, is_doubtful } later { begun: 0 });

/// Where a part of an image ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// After an origin.
    Origin(NodeId),
    /// After a register, and after all origins.
    Place(Place),
}

impl Field for Cursor {
    fn put(&self, writer: &mut Writer) {
        match self {
            Self::Origin(origin) => {
                writer.byte(0);
                origin.put(writer);
            }
            Self::Place(place) => {
                writer.byte(1);
                place.put(writer);
            }
        }
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.byte()? {
            0 => Self::Origin(NodeId::take(reader)?),
            1 => Self::Place(Place::take(reader)?),
            _ => return Err(DecodeError::Invalid("a cursor of an unknown kind")),
        })
    }
}

impl Field for Change {
    fn put(&self, writer: &mut Writer) {
        let kind = match self {
            Self::Entry(_) => 1,
            Self::End(_) => 2,
            Self::Fence(_) => 3,
            Self::Life(_) => 4,
            Self::Acceptor(..) => 5,
            Self::Chain(_) => 6,
            Self::Founded(_) => 7,
            Self::CaughtUp(_) => 8,
            Self::Seat(_) => 9,
            Self::Unknown => 0,
        };
        writer.byte(kind);
        writer.block(|writer| match self {
            Self::Entry(it) => it.put(writer),
            Self::End(it) => it.put(writer),
            Self::Fence(it) => it.put(writer),
            Self::Life(it) => it.put(writer),
            Self::Acceptor(number, it) => {
                Fixed(*number).put(writer);
                it.put(writer);
            }
            Self::Chain(it) => it.put(writer),
            Self::Founded(it) => it.put(writer),
            Self::CaughtUp(number) => number.put(writer),
            Self::Seat(it) => it.put(writer),
            Self::Unknown => {}
        });
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte()?;
        reader.block(|reader| {
            Ok(match kind {
                1 => Self::Entry(Field::take(reader)?),
                2 => Self::End(Field::take(reader)?),
                3 => Self::Fence(Field::take(reader)?),
                4 => Self::Life(Field::take(reader)?),
                5 => Self::Acceptor(Fixed::take(reader)?.0, Field::take(reader)?),
                6 => Self::Chain(Field::take(reader)?),
                7 => Self::Founded(Field::take(reader)?),
                8 => Self::CaughtUp(Field::take(reader)?),
                9 => Self::Seat(Field::take(reader)?),
                _ => Self::Unknown,
            })
        })
    }
}

/// All that a node keeps on disk for the quorum.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub(crate) ledger: Ledger,
    pub(crate) fences: BTreeMap<NodeId, (Epoch, u64)>,
    pub(crate) lives: BTreeMap<(NodeId, u64), u32>,
    pub(crate) acceptors: BTreeMap<u64, Acceptor>,
    pub(crate) chain: Option<Chain>,
    pub(crate) founded: Option<Configuration>,
    pub(crate) caught_up: u64,
    pub(crate) seat: OwnSeat,
}

impl Image {
    /// Takes a change. Returns whether it is news.
    pub fn apply(&mut self, change: &Change) -> bool {
        match change {
            Change::Entry(entry) => {
                // However a write came here, earlier lives of its origin are over.
                let held = self.fences.entry(entry.place.origin).or_default();
                held.0 = held.0.max(entry.stamp.epoch);
                self.ledger.join(entry)
            }
            Change::End(end) => {
                self.fences.entry(end.origin).or_insert((Epoch(0), 0));
                self.ledger.join_end(*end)
            }
            Change::Fence(fence) => {
                let held = self.fences.entry(fence.origin).or_insert((Epoch(0), fence.key));
                // A write that came by gossip brought the epoch, and no key.
                let is_news = held.0 < fence.epoch || (held.1 == 0 && fence.key != 0);
                held.0 = held.0.max(fence.epoch);
                if held.1 == 0 {
                    held.1 = fence.key;
                }
                is_news
            }
            Change::Life(life) => self.note_life(*life),
            Change::Acceptor(number, acceptor) => {
                let is_due = |chain: &Chain| *number == chain.installed.number + 1;
                self.chain.as_ref().is_some_and(is_due)
                    && self.acceptors.entry(*number).or_default().join(acceptor)
            }
            Change::Chain(chain) => {
                let is_news = self.chain.as_ref().is_none_or(|known| known.rank() < chain.rank());
                if is_news {
                    // Nobody decides about earlier successors any more, and no vote of earlier voters counts.
                    self.acceptors = self.acceptors.split_off(&(chain.installed.number + 1));
                    self.lives.retain(|(node, token), _| chain.has_seat(*node, *token));
                    self.chain = Some(chain.clone());
                }
                is_news
            }
            Change::Founded(configuration) => {
                let is_news = self.founded.is_none();
                self.founded.get_or_insert_with(|| configuration.clone());
                is_news
            }
            Change::CaughtUp(number) => {
                let is_news = self.caught_up < *number;
                self.caught_up = self.caught_up.max(*number);
                is_news
            }
            Change::Seat(seat) => {
                let is_news = self.seat != *seat;
                self.seat = *seat;
                is_news
            }
            Change::Unknown => false,
        }
    }

    /// Whether there is room for these writes: for their registers, and for their origins. What a read brings has a reserve besides.
    pub(crate) fn has_room(
        &self,
        entries: &[Entry],
        ends: &[OriginEnd],
        fence: Option<&Fence>,
        reserve: Reserve,
    ) -> bool {
        let origins = entries.iter().map(|it| it.place.origin);
        let origins = origins.chain(ends.iter().map(|it| it.origin));
        let origins = origins.chain(fence.map(|it| it.origin));
        let new: BTreeSet<NodeId> = origins.filter(|it| !self.fences.contains_key(it)).collect();
        self.ledger.len() + self.ledger.adds(entries) <= MAX_ENTRIES + reserve.entries
            && self.fences.len() + new.len() <= MAX_ORIGINS + reserve.origins
    }

    fn note_life(&mut self, life: VoterLife) -> bool {
        let is_voter = |chain: &Chain| chain.has_seat(life.node, life.token);
        if !self.chain.as_ref().is_some_and(is_voter) {
            return false;
        }
        let held = self.lives.entry((life.node, life.token)).or_default();
        let is_news = *held < life.recoveries;
        *held = life.recoveries.max(*held);
        is_news
    }

    /// The changes that make this image, in the order in which they are written to a fresh file. The seat comes last, so that an
    /// image that was cut short is one of a node without a seat.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        let origins = self.origins(None).flat_map(|(_, changes)| changes);
        let entries = self.ledger.entries(None).map(Change::Entry);
        let founded = self.founded.clone().map(Change::Founded);
        let caught_up = (self.caught_up > 0).then_some(Change::CaughtUp(self.caught_up));
        let seat = (self.seat != OwnSeat::default()).then_some(Change::Seat(self.seat));
        let own = founded.into_iter().chain(caught_up).chain(seat);
        self.head().into_iter().chain(origins).chain(entries).chain(own)
    }

    /// What a voter that recovers needs beside the registers.
    pub(crate) fn head(&self) -> Vec<Change> {
        let lives = self.lives.iter().map(|((node, token), recoveries)| {
            Change::Life(VoterLife { node: *node, token: *token, recoveries: *recoveries })
        });
        let acceptors = self.acceptors.iter();
        let acceptors = acceptors.map(|(number, it)| Change::Acceptor(*number, it.clone()));
        let chain = self.chain.clone().map(Change::Chain);
        chain.into_iter().chain(lives).chain(acceptors).collect()
    }

    /// The fences and ends of the origins beyond one.
    fn origins(&self, after: Option<NodeId>) -> impl Iterator<Item = (NodeId, Vec<Change>)> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.fences.range((first, Bound::Unbounded)).map(|(origin, (epoch, key))| {
            let origin = *origin;
            let stamp = self.ledger.end_of(origin);
            let mut changes = vec![Change::Fence(Fence { origin, epoch: *epoch, key: *key })];
            if stamp != Stamp::default() {
                changes.push(Change::End(OriginEnd { origin, stamp }));
            }
            (origin, changes)
        })
    }

    /// A part of what a voter that recovers needs, of some `bytes` and one register at least, and where the next part begins.
    pub(crate) fn page(
        &self,
        after: Option<&Cursor>,
        bytes: usize,
    ) -> (Vec<Change>, Option<Cursor>) {
        let mut changes = if after.is_none() { self.head() } else { Vec::new() };
        let mut left = bytes.saturating_sub(changes.iter().map(encoded_len).sum());
        let mut is_first = true;
        let mut next = after.cloned();
        let (origin, place) = match after {
            None => (None, None),
            Some(Cursor::Origin(origin)) => (Some(*origin), None),
            Some(Cursor::Place(place)) => (Some(NodeId(u64::MAX)), Some(place)),
        };
        let origins = self.origins(origin).map(|(origin, it)| (Cursor::Origin(origin), it));
        let entries = self.ledger.entries(place);
        let entries = entries.map(|it| (Cursor::Place(it.place.clone()), vec![Change::Entry(it)]));
        for (cursor, more) in origins.chain(entries) {
            let len: usize = more.iter().map(encoded_len).sum();
            if len > left && !is_first {
                return (changes, next);
            }
            is_first = false;
            left = left.saturating_sub(len);
            changes.extend(more);
            next = Some(cursor);
        }
        (changes, None)
    }

    /// What is known of the configurations.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.chain.as_ref()
    }

    /// The registers.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
