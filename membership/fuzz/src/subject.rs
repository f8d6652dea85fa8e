//! A node that is told whatever the fuzzer likes, and watched for what no input may make it do.

use std::time::Duration;

use hobnob_membership::record::{Key, Value};
use hobnob_membership::testing::{self, bounds};
use hobnob_membership::{Identity, Input, Node, Output, Time};

/// A node and its clock.
pub struct Subject {
    node: Node,
    now: Time,
}

/// The identity of the `n`th node; the subject is one of them, and the others are those that it hears of.
pub fn identity(n: u8) -> Identity {
    testing::identity(n.into())
}

impl Subject {
    /// The `n`th node, just started.
    pub fn new(n: u8) -> Self {
        let mut subject = Self { node: testing::node(n.into()), now: Time::ZERO };
        subject.drain();
        subject
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Tells it something.
    pub fn tell(&mut self, input: Input<'_>) {
        self.node.handle(input, self.now);
        self.drain();
    }

    /// Makes the node write records, which must be legal.
    pub fn write(&mut self, records: Vec<(Key, Option<Value>)>) {
        self.node.write(records, self.now).expect("legal records");
        self.drain();
    }

    /// Lets time pass, with every deadline before its end in it.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut overdue = 0;
        while let Some(due) = self.node.next_deadline().filter(|due| *due < end) {
            // Isolation is followed by hellos at once, in a second call.
            overdue = if due <= self.now { overdue + 1 } else { 0 };
            assert!(overdue <= 2, "a deadline stays in the past");
            self.now = due.max(self.now);
            self.tell(Input::Deadline);
        }
        self.now = end;
    }

    fn drain(&mut self) {
        let outputs: Vec<Output> = std::iter::from_fn(|| self.node.poll_output()).collect();
        bounds::check(&self.node, &outputs);
    }
}
