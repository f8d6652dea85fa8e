//! Callers that wait until other agents have applied what this one wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use hobnob_membership::{Confirmation, Confirmers};

use super::commands::{Confirmed, Refused};
use super::{Driver, words};
use crate::actor::Reply;

/// The callers that wait, by the number of their confirmation. The node limits how many there are.
#[derive(Default)]
pub(crate) struct Confirming {
    waiting: BTreeMap<u64, Reply<Result<Confirmed, Refused>>>,
}

impl Driver {
    pub(super) fn confirm(
        &mut self,
        by: &Confirmers,
        within: Duration,
        reply: Reply<Result<Confirmed, Refused>>,
    ) {
        match self.node.confirm(by, within, self.clock.now()) {
            Ok(number) => drop(self.confirming.waiting.insert(number, reply)),
            Err(error) => reply.send(Err(error.into())),
        }
    }

    /// Answers the caller that waits for this confirmation.
    pub(super) fn note_confirmation(&mut self, outcome: Confirmation) {
        let Some(reply) = self.confirming.waiting.remove(&outcome.number) else { return };
        let missing =
            outcome.missing.iter().map(|node| words::name_of(&self.node, *node)).collect();
        reply.send(Ok(Confirmed { outcome, missing }));
    }
}
