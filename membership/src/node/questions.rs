//! Questions with long answers, by members whose addresses are not proven: they wait until the member has answered a
//! ping. The source of a datagram can be forged, and the answer would go to the address of the member.

use std::collections::VecDeque;
use std::mem::discriminant;

use crate::base::identity::NodeId;
use crate::base::limits::MAX_QUESTIONS_PUT_OFF;
use crate::wire::Message;

/// The questions that wait, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Questions(VecDeque<(NodeId, Message)>);

impl Questions {
    /// The sender of a question whose answer may be much longer than the question.
    pub(super) fn asker(message: &Message) -> Option<NodeId> {
        match message {
            Message::Pull(pull) => Some(pull.sender),
            Message::Compare(compare) => Some(compare.sender),
            _ => None,
        }
    }

    /// Puts a question off, in place of an earlier one of its kind by the same member. Returns whether the oldest question
    /// had to go because there were too many.
    pub(super) fn put_off(&mut self, by: NodeId, question: Message) -> bool {
        let kind = discriminant(&question);
        self.0.retain(|(asker, other)| *asker != by || discriminant(other) != kind);
        self.0.push_back((by, question));
        let is_over = self.0.len() > MAX_QUESTIONS_PUT_OFF;
        if is_over {
            self.0.pop_front();
        }
        is_over
    }

    /// Takes the questions of a member.
    pub(super) fn take(&mut self, by: NodeId) -> Vec<Message> {
        let (taken, left) = std::mem::take(&mut self.0)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(asker, _)| *asker == by);
        self.0 = left;
        taken.into_iter().map(|(_, question)| question).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Compare, Pull};

    fn pull(sender: NodeId) -> Message {
        Message::Pull(Pull { sender, wants: vec![] })
    }

    #[test]
    fn one_question_of_a_kind_waits_for_each_member_and_the_oldest_go() {
        let mut questions = Questions::default();
        let compare =
            |sender| Message::Compare(Compare { sender, buckets: vec![], tables: [0; 4] });
        let (first, second) = (NodeId(1), NodeId(2));
        for question in [pull(first), compare(first), pull(second), pull(first)] {
            let by = Questions::asker(&question).expect("a question");
            assert!(!questions.put_off(by, question));
        }
        assert_eq!(questions.take(first), [compare(first), pull(first)]);
        assert_eq!(questions.take(first), []);
        for n in 0..MAX_QUESTIONS_PUT_OFF as u64 {
            let is_over = questions.put_off(NodeId(10 + n), pull(NodeId(10 + n)));
            assert_eq!(is_over, n + 1 == MAX_QUESTIONS_PUT_OFF as u64);
        }
        assert_eq!(questions.take(second), [], "the oldest");
    }
}
