//! The last messages of the demonstration.

use std::collections::VecDeque;

/// The most messages that are kept.
const MAX_NOTICES: usize = 16;

/// The last messages, and the number of all.
#[derive(Clone, Debug, Default)]
pub(super) struct Notices {
    last: VecDeque<String>,
    count: usize,
}

impl Notices {
    /// Adds messages. The oldest give way if there are too many.
    pub(super) fn extend(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            if self.last.len() == MAX_NOTICES {
                self.last.pop_front();
            }
            self.last.push_back(text);
            self.count += 1;
        }
    }

    /// The number of messages so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The last messages, at most `count`, the oldest first.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &str> {
        self.last.iter().skip(self.last.len().saturating_sub(count)).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_gives_way() {
        let mut notices = Notices::default();
        notices.extend((0..=MAX_NOTICES).map(|number| number.to_string()));
        assert_eq!(notices.count(), MAX_NOTICES + 1);
        assert_eq!(notices.last(2).collect::<Vec<_>>(), ["15", "16"]);
        assert_eq!(notices.last(usize::MAX).next(), Some("1"));
    }
}
