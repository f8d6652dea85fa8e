//! A map that many simulated nodes hold alike.
//!
//! Nodes of a simulation that has settled hold equal maps, but for a few entries. A simulation of ten thousand nodes has no
//! room for a copy in each. Their maps are persistent ones, which share the parts that are equal: a node that changes an
//! entry copies the path to that entry alone.

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

/// A map that differs from the shared one in more than one of this many entries is left as it is: the paths to the differing
/// entries would take more room than the map.
const MIN_EQUAL: usize = 16;

/// The map of the node that shared last.
#[derive(Debug)]
pub(crate) struct SharedMap<K: Ord, V>(OrdMap<K, V>);

impl<K: Ord, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

impl<K: Ord + Clone, V: PartialEq + Clone> SharedMap<K, V> {
    /// Builds the map of a node anew from the shared one and the entries in which it differs. Returns whether these were few.
    /// What the map says stays the same.
    pub(crate) fn share(&mut self, own: &mut OrdMap<K, V>) -> bool {
        if own.ptr_eq(&self.0) {
            return true;
        }
        let few = own.len() / MIN_EQUAL;
        let mut changes = Vec::new();
        for item in self.0.diff(own) {
            if changes.len() > few {
                break;
            }
            changes.push(match item {
                DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => {
                    (key.clone(), Some(value.clone()))
                }
                DiffItem::Remove(key, _) => (key.clone(), None),
            });
        }
        let are_few = changes.len() <= few;
        if are_few {
            for (key, value) in changes {
                match value {
                    Some(value) => self.0.insert(key, value),
                    None => self.0.remove(&key),
                };
            }
            *own = self.0.clone();
        } else {
            self.0 = own.clone();
        }
        are_few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_differ_in_little_share_the_rest() {
        let map = |changed: u32| -> OrdMap<u32, u32> {
            (0..1_000_u32).map(|key| (key, u32::from(key == changed))).collect()
        };
        let mut shared = SharedMap::default();
        let (mut first, mut second, mut other) = (map(3), map(3), map(700));
        assert!(!shared.share(&mut first), "nothing was shared before");
        assert!(shared.share(&mut second) && second.ptr_eq(&first));
        let before = other.clone();
        assert!(shared.share(&mut other));
        assert_eq!(other, before);
        assert_eq!(other.diff(&first).count(), 2);
        first.insert(5, 9);
        assert_eq!(second, map(3), "a change of one map concerns no other");
        let mut small: OrdMap<u32, u32> = (0..40_u32).map(|key| (key, 7_u32)).collect();
        let before = small.clone();
        assert!(!shared.share(&mut small), "too little is equal");
        assert_eq!(small, before);
    }
}
