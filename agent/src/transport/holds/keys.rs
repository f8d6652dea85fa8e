//! The keys of held connections. The driver hands them over, and again whenever the generations of its node change.

use hobnob_keys::{Generation, HoldKey, HoldWords};

use super::preamble::{GOODBYE, HELD};

/// The keys that tell a member from a stranger on a TCP connection.
#[derive(Debug)]
pub(crate) enum HoldTrust {
    /// Nothing: the cluster is clear.
    Clear,
    /// Words that prove a generation.
    Sealed(HoldKeys),
}

/// The keys of the generations that a node holds.
#[derive(Debug, Default)]
pub(crate) struct HoldKeys(Vec<(HoldKey, bool)>);

impl HoldKeys {
    /// The keys of generations, each with whether it is in use.
    pub(crate) fn of<'a>(generations: impl IntoIterator<Item = (&'a Generation, bool)>) -> Self {
        let keys = generations.into_iter().map(|(held, in_use)| (HoldKey::of(held), in_use));
        Self(keys.collect())
    }

    /// The key of the generation in use.
    pub(super) fn present(&self) -> Option<&HoldKey> {
        self.0.iter().find(|(_, in_use)| *in_use).map(|(key, _)| key)
    }

    /// The keys of the generations with this byte. Two halves of a cluster that rotated apart have two with one byte.
    pub(super) fn with_byte(&self, byte: u8) -> impl Iterator<Item = &HoldKey> {
        self.0.iter().map(|(key, _)| key).filter(move |key| key.byte() == byte)
    }
}

/// The words of the member on one connection. They stay when its key is replaced.
#[derive(Debug)]
pub(super) enum Words {
    Clear,
    Sealed(HoldWords),
}

impl Words {
    /// The member holds the connection, too.
    pub(super) fn held(&self) -> &[u8] {
        match self {
            Self::Clear => &[HELD],
            Self::Sealed(words) => &words.held,
        }
    }

    /// The last word of the member before it closes the connection on purpose.
    pub(super) fn goodbye(&self) -> &[u8] {
        match self {
            Self::Clear => &[GOODBYE],
            Self::Sealed(words) => &words.goodbye,
        }
    }

    pub(super) fn is_held(&self, word: &[u8]) -> bool {
        match self {
            Self::Clear => word == [HELD],
            Self::Sealed(words) => words.is_held(word),
        }
    }

    pub(super) fn is_goodbye(&self, word: &[u8]) -> bool {
        match self {
            Self::Clear => word == [GOODBYE],
            Self::Sealed(words) => words.is_goodbye(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use hobnob_membership::testing::sealed::SealedCluster;

    use super::*;

    #[test]
    fn the_key_in_use_is_said_and_all_with_the_byte_are_heard() {
        let cluster = SealedCluster::default();
        let generations = [(1, 1), (2, 2), (2 + 256, 3)]
            .map(|(number, secret)| cluster.generation(number, secret));
        let [first, second, third] = &generations;
        let keys = HoldKeys::of([(first, false), (second, true), (third, false)]);
        assert_eq!(format!("{:?}", keys.present()), "Some(HoldKey(generation 2))");
        assert_eq!(keys.with_byte(2).count(), 2);
        assert_eq!((keys.with_byte(1).count(), keys.with_byte(3).count()), (1, 0));
        assert!(HoldKeys::default().present().is_none());
    }
}
