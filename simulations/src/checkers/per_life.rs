//! A checker's notes about each node in its present life.

/// One value for each host, reset when the node on it starts again.
#[derive(Clone, Debug)]
pub(super) struct PerLife<T>(Vec<(u32, T)>);

impl<T> Default for PerLife<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerLife<T> {
    /// The value of the node on a host, in this life.
    pub(super) fn of(&mut self, host: usize, life: u32) -> &mut T {
        if self.0.len() <= host {
            self.0.resize_with(host + 1, Default::default);
        }
        let (last, memory) = &mut self.0[host];
        if std::mem::replace(last, life) != life {
            *memory = T::default();
        }
        memory
    }

    /// The value of the node on a host, in whichever life.
    pub(super) fn get(&self, host: usize) -> Option<&T> {
        self.0.get(host).map(|(_, memory)| memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_life_remembers_nothing() {
        let mut seen = PerLife::<Vec<u8>>::default();
        seen.of(2, 1).push(7);
        assert_eq!(seen.of(2, 1), &[7]);
        assert!(seen.of(1, 1).is_empty());
        assert!(seen.of(2, 2).is_empty());
        assert!(seen.get(3).is_none());
    }
}
