//! Our own link to a member that we watch. It is broken while the member answers others, and not us.
//!
//! Silence alone is no broken link: the member may be gone, or may stand still. So it takes a time without an answer, and
//! other members that heard the member meanwhile: each of our suspicions on it ends with such a word.

use std::time::Duration;

use crate::base::mutants::{self as mutant, Mutant};
use crate::base::time::Time;
use crate::liveness::detector::LINK_BROKEN_AFTER;

/// So many suspicions have to end with the word of another member. One may end so because of a burst of losses.
const MIN_WORDS: u32 = 2;
/// Older words of others prove nothing: the member may stand still since.
const WORD_LASTS: Duration = LINK_BROKEN_AFTER;

/// Our link to one member.
#[derive(Debug)]
pub(in crate::liveness::detector) struct Link {
    /// When the member last answered, or when we began to watch it. Our own stalls do not change it.
    answered: Time,
    /// Suspicions since then, and since our last stall, that ended with the word of another member.
    words: u32,
    last_word: Time,
    is_broken: bool,
}

impl Link {
    pub(in crate::liveness::detector) fn new(now: Time) -> Self {
        Self { answered: now, words: 0, last_word: now, is_broken: false }
    }

    pub(in crate::liveness::detector) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The time since the last answer, if the link is broken.
    pub(in crate::liveness::detector) fn broken_for(&self, now: Time) -> Option<Duration> {
        self.is_broken.then(|| now.since(self.answered))
    }

    /// Notes that the member answered. Returns how long it was silent, if the link was broken.
    pub(in crate::liveness::detector) fn answered(&mut self, now: Time) -> Option<Duration> {
        let broken_for = self.broken_for(now);
        *self = Self::new(now);
        broken_for
    }

    /// Notes that a suspicion of ours ended, because another member hears this one. Returns whether the link is broken
    /// since now.
    pub(in crate::liveness::detector) fn vouched(&mut self, now: Time) -> bool {
        let is_recent = self.words > 0 && now.since(self.last_word) < WORD_LASTS;
        self.words = if is_recent { self.words.saturating_add(1) } else { 1 };
        self.last_word = now;
        let is_silent = now.since(self.answered) >= LINK_BROKEN_AFTER;
        let breaks = !self.is_broken
            && is_silent
            && self.words >= MIN_WORDS
            && !mutant::is(Mutant::IgnoreBrokenLinks);
        self.is_broken |= breaks;
        breaks
    }

    /// Forgets the words of others after a stall of our own loop: answers to us may be waiting unread.
    pub(in crate::liveness::detector) fn begin_anew(&mut self) {
        self.words = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_link_is_broken_after_five_seconds_of_silence_and_two_words_of_others() {
        let mut link = Link::new(at(10));
        assert!(!link.vouched(at(12)) && !link.vouched(at(14)), "it may be a loss of datagrams");
        assert_eq!(link.broken_for(at(14)), None);
        assert!(link.vouched(at(15)));
        assert!(!link.vouched(at(16)), "it is told once");
        assert_eq!(link.broken_for(at(22)), Some(Duration::from_secs(12)));
        assert_eq!(link.answered(at(23)), Some(Duration::from_secs(13)));
        assert_eq!(link.answered(at(24)), None);
        assert!(!link.vouched(at(30)), "one word is not enough");
        assert!(link.vouched(at(31)));
    }

    #[test]
    fn words_of_others_count_while_they_are_recent_and_we_do_not_stall() {
        let mut link = Link::new(at(0));
        assert!(!link.vouched(at(2)));
        assert!(!link.vouched(at(7)), "the first is too old");
        link.begin_anew();
        assert!(!link.vouched(at(8)), "answers may have been waiting");
        assert!(link.vouched(at(9)));
        link.begin_anew();
        assert_eq!(link.broken_for(at(10)), Some(Duration::from_secs(10)));
    }
}
