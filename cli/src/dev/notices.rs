//! The last messages of the demonstration.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most messages that are kept.
const MAX_NOTICES: usize = 200;

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// The time from the start of the command to the message.
    pub(super) after: Duration,
    pub(super) text: String,
}

/// The last messages, and the number of all.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    started: Instant,
    last: VecDeque<Notice>,
    count: usize,
}

impl Notices {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, last: VecDeque::new(), count: 0 }
    }

    /// Adds messages. The oldest give way if there are too many.
    pub(super) fn extend(&mut self, texts: impl IntoIterator<Item = String>) {
        let after = self.started.elapsed();
        for text in texts {
            if self.last.len() == MAX_NOTICES {
                self.last.pop_front();
            }
            self.last.push_back(Notice { after, text });
            self.count += 1;
        }
    }

    /// Adds a message of another time.
    #[cfg(test)]
    pub(in crate::dev) fn add_after(&mut self, after: Duration, text: &str) {
        self.last.push_back(Notice { after, text: text.to_owned() });
        self.count += 1;
    }

    /// The number of messages so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The last messages, at most `count`, the oldest first.
    pub(super) fn last(&self, count: usize) -> impl DoubleEndedIterator<Item = &Notice> {
        self.last.iter().skip(self.last.len().saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_gives_way() {
        let mut notices = Notices::new(Instant::now());
        notices.extend((0..=MAX_NOTICES).map(|number| number.to_string()));
        assert_eq!(notices.count(), MAX_NOTICES + 1);
        let texts = |count| notices.last(count).map(|notice| notice.text.clone());
        assert_eq!(texts(2).collect::<Vec<_>>(), ["199", "200"]);
        assert_eq!(texts(usize::MAX).next().as_deref(), Some("1"));
    }
}
