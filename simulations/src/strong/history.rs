//! What clients asked and what they were answered, with the times of both.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, RandomState};

use hobnob_membership::NodeId;
use hobnob_membership::quorum::Stamp;

/// Steps after which a history is given up as too long to judge.
const MAX_STEPS: u64 = 1_000_000;

/// A register of one service: the instance of an origin.
pub type Register = (NodeId, String);

/// What a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The registered instances.
    Read,
    /// A write of a register; `true` registers, `false` deregisters.
    Write(Register, Stamp, bool),
    /// The end of an origin: of all that it wrote up to this stamp.
    End(NodeId, Stamp),
}

/// One operation on one service.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What was asked.
    pub asked: Asked,
    /// When, in microseconds.
    pub invoked: u64,
    /// When it was answered; `None` if it was not, or by "unknown".
    pub returned: Option<u64>,
    /// What a read told.
    pub told: BTreeMap<Register, Stamp>,
}

/// The operations on one service, in the order of their invocations.
#[derive(Clone, Debug, Default)]
pub struct History(pub Vec<Operation>);

impl History {
    /// Notes an operation that begins. Returns its number.
    pub fn invoke(&mut self, asked: Asked, now: u64) -> usize {
        let (returned, told) = (None, BTreeMap::new());
        self.0.push(Operation { asked, invoked: now, returned, told });
        self.0.len() - 1
    }

    /// Notes that an operation was done.
    pub fn done(&mut self, number: usize, told: BTreeMap<Register, Stamp>, now: u64) {
        let operation = &mut self.0[number];
        (operation.returned, operation.told) = (Some(now), told);
    }

    /// The operations that were done.
    #[must_use]
    pub fn succeeded(&self) -> usize {
        self.0.iter().filter(|operation| operation.returned.is_some()).count()
    }

    /// The operations that were under way while another one was.
    #[must_use]
    pub fn overlapping(&self) -> usize {
        let end = |operation: &Operation| operation.returned.unwrap_or(operation.invoked);
        let overlaps = |(at, one): (usize, &Operation)| {
            let others = self.0.iter().enumerate().filter(|(other, _)| *other != at);
            others.clone().any(|(_, two)| two.invoked <= end(one) && one.invoked <= end(two))
        };
        self.0.iter().enumerate().filter(|it| overlaps(*it)).count()
    }

    /// The history without reads that were not answered, and without unknown registrations that no read told: nobody can tell whether
    /// they took place.
    fn relevant(&self) -> Vec<&Operation> {
        let told: BTreeSet<(&Register, &Stamp)> = self.0.iter().flat_map(|it| &it.told).collect();
        let relevant = |operation: &&Operation| match &operation.asked {
            _ if operation.returned.is_some() => true,
            Asked::Read => false,
            Asked::Write(register, stamp, lives) => !lives || told.contains(&(register, stamp)),
            Asked::End(..) => true,
        };
        self.0.iter().filter(relevant).collect()
    }

    /// Whether the operations could have happened one after the other, each between its invocation and its answer, so that every
    /// read told what was registered then (Herlihy and Wing, "Linearizability", 1990). `None` if that takes too long to find out.
    #[must_use]
    pub fn is_linearizable(&self) -> Option<bool> {
        let operations = self.relevant();
        assert!(operations.len() <= 128, "a history has at most 128 operations");
        if is_refuted(&operations) {
            return Some(false);
        }
        let mut search = Search::new(&operations);
        let nothing = vec![(Stamp::default(), false); search.registers];
        let found = search.from(0, &nothing);
        if found || search.left > 0 { Some(found) } else { None }
    }
}

/// Whether one read alone, or one read after another one, shows that no order can be found. Most histories that are not linearizable
/// show it so, at once.
fn is_refuted(operations: &[&Operation]) -> bool {
    // Whether a write or an end that began before `until` may hide what was written with a stamp.
    let hides = |register: &Register, stamp: Stamp, until: u64| {
        operations.iter().filter(|it| it.invoked <= until).any(|it| match &it.asked {
            Asked::Write(of, later, _) => of == register && *later > stamp,
            Asked::End(origin, end) => *origin == register.0 && *end >= stamp,
            Asked::Read => false,
        })
    };
    let misses = |read: &Operation, register: &Register, stamp: Stamp| {
        let end = read.returned.unwrap_or(u64::MAX);
        match read.told.get(register) {
            Some(told) => *told < stamp,
            None => !hides(register, stamp, end),
        }
    };
    let reads = operations.iter().filter(|it| it.asked == Asked::Read);
    reads.into_iter().any(|read| {
        let before = operations.iter().filter(|it| it.returned.is_some_and(|at| at < read.invoked));
        before.into_iter().any(|it| match &it.asked {
            Asked::Write(register, stamp, true) => misses(read, register, *stamp),
            Asked::Write(register, stamp, false) => {
                read.told.get(register).is_some_and(|told| told < stamp)
            }
            Asked::End(origin, end) => {
                read.told.iter().any(|(register, told)| register.0 == *origin && told <= end)
            }
            Asked::Read => it.told.iter().any(|(register, stamp)| misses(read, register, *stamp)),
        })
    })
}

/// What is registered: for each register its last write, and whether that registered it.
type State = Vec<(Stamp, bool)>;

/// An operation, with registers by number.
enum Act {
    Read(Vec<Option<Stamp>>),
    Write(usize, Stamp, bool),
    End(Vec<usize>, Stamp),
}

/// The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), with the states that were seen, after Lowe ("Testing
/// for Linearizability", 2017).
struct Search {
    acts: Vec<Act>,
    /// When each was invoked, and answered.
    times: Vec<(u64, Option<u64>)>,
    registers: usize,
    /// Hashes of the states, each with the operations that led there.
    seen: HashSet<(u128, u64)>,
    hasher: RandomState,
    /// The steps that are left.
    left: u64,
}

impl Search {
    fn new(operations: &[&Operation]) -> Self {
        let written = operations.iter().filter_map(|it| match &it.asked {
            Asked::Write(register, ..) => Some(register),
            _ => None,
        });
        let told = operations.iter().flat_map(|it| it.told.keys());
        let registers: BTreeSet<&Register> = written.chain(told).collect();
        let registers: Vec<&Register> = registers.into_iter().collect();
        let number = |register: &Register| registers.binary_search(&register).unwrap_or_default();
        let act = |it: &&Operation| match &it.asked {
            Asked::Read => Act::Read(
                registers.iter().map(|register| it.told.get(*register).copied()).collect(),
            ),
            Asked::Write(register, stamp, lives) => Act::Write(number(register), *stamp, *lives),
            Asked::End(origin, stamp) => {
                let of = |it: &&Register| it.0 == *origin;
                let ended = registers.iter().copied().filter(of).map(number).collect();
                Act::End(ended, *stamp)
            }
        };
        Self {
            acts: operations.iter().map(act).collect(),
            times: operations.iter().map(|it| (it.invoked, it.returned)).collect(),
            registers: registers.len(),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            left: MAX_STEPS,
        }
    }

    /// Whether the rest of the history can follow, after the operations in `done` led to a state.
    fn from(&mut self, mut done: u128, state: &State) -> bool {
        // A read that fits now may come first: it changes nothing.
        loop {
            let fits = |number: &usize| matches!(&self.acts[*number], Act::Read(told) if is_told(told, state));
            let Some(read) = self.candidates(done).find(fits) else { break };
            done |= 1 << read;
        }
        let is_left = |it: &usize| done >> it & 1 == 0 && self.times[*it].1.is_some();
        if !(0..self.acts.len()).any(|it| is_left(&it)) {
            return true;
        }
        if self.left == 0 || !self.seen.insert((done, self.hasher.hash_one(state))) {
            return false;
        }
        self.left -= 1;
        for number in self.candidates(done).collect::<Vec<_>>() {
            let mut next = state.clone();
            match &self.acts[number] {
                Act::Read(_) => continue,
                // The one writer of a register orders its writes itself.
                Act::Write(register, stamp, _) if *stamp < state[*register].0 => continue,
                Act::Write(register, stamp, lives) => {
                    next[*register] = (*stamp, *lives);
                    if self.times[number].1.is_none()
                        && !self.is_asked_for(done, *register, state, &next)
                    {
                        continue;
                    }
                }
                Act::End(registers, end) => {
                    for register in registers {
                        let (stamp, lives) = &mut next[*register];
                        *lives &= *stamp > *end;
                    }
                }
            }
            if self.from(done | 1 << number, &next) {
                return true;
            }
        }
        false
    }

    /// Whether a read that may come next tells what a register holds in `next`, and not what it holds in `state`. A write that nobody
    /// was answered need not take place before that: until then it may as well come after any other write, or never.
    fn is_asked_for(&self, done: u128, register: usize, state: &State, next: &State) -> bool {
        let told_in = |state: &State| state[register].1.then_some(state[register].0);
        let (now, then) = (told_in(state), told_in(next));
        now != then
            && self
                .candidates(done)
                .any(|it| matches!(&self.acts[it], Act::Read(told) if told[register] == then))
    }

    /// The operations that may come next: those that began before any other one ended.
    fn candidates(&self, done: u128) -> impl Iterator<Item = usize> {
        let left = move |it: &usize| done >> it & 1 == 0;
        let numbers = 0..self.times.len();
        let ends = numbers.clone().filter(left).filter_map(|it| self.times[it].1);
        let first_end = ends.min().unwrap_or(u64::MAX);
        numbers.filter(left).filter(move |it| self.times[*it].0 <= first_end)
    }
}

fn is_told(told: &[Option<Stamp>], state: &State) -> bool {
    told.iter().zip(state).all(|(told, (stamp, lives))| *told == lives.then_some(*stamp))
}

#[cfg(test)]
mod tests {
    use hobnob_membership::Epoch;

    use super::*;

    const A: NodeId = NodeId(1);

    fn stamp(version: u64) -> Stamp {
        Stamp { epoch: Epoch(1), version }
    }

    fn register() -> Register {
        (A, "a".to_owned())
    }

    /// A history of (what, invoked, returned): `1` and up registers with this version, `-1` and down deregisters, and a read tells the
    /// version, or nothing.
    fn history(
        operations: &[(i64, u64, Option<u64>)],
        reads: &[(Option<u64>, u64, u64)],
    ) -> History {
        let mut history = History::default();
        for (version, invoked, returned) in operations {
            let write = Asked::Write(register(), stamp(version.unsigned_abs()), *version > 0);
            let number = history.invoke(write, *invoked);
            if let Some(returned) = returned {
                history.done(number, BTreeMap::new(), *returned);
            }
        }
        for (version, invoked, returned) in reads {
            let number = history.invoke(Asked::Read, *invoked);
            let told = version.iter().map(|version| (register(), stamp(*version))).collect();
            history.done(number, told, *returned);
        }
        history
    }

    #[test]
    fn histories_that_are_linearizable() {
        let one_after_the_other = history(
            &[(1, 0, Some(10)), (-2, 20, Some(30)), (3, 40, Some(50))],
            &[(Some(1), 11, 12), (None, 31, 32), (Some(3), 51, 52)],
        );
        assert_eq!(one_after_the_other.is_linearizable(), Some(true));
        let during_a_write = history(&[(1, 0, Some(100))], &[(None, 10, 20), (Some(1), 30, 40)]);
        assert_eq!(during_a_write.is_linearizable(), Some(true));
        let unknown = history(&[(1, 0, None)], &[(None, 10, 20), (Some(1), 900, 910)]);
        assert_eq!(unknown.is_linearizable(), Some(true), "it takes effect late");
        let never = history(&[(1, 0, None)], &[(None, 10, 20), (None, 900, 910)]);
        assert_eq!(never.is_linearizable(), Some(true), "it never takes effect");
        let overlapping = history(&[(1, 0, Some(100)), (2, 0, Some(100))], &[(Some(2), 101, 102)]);
        assert_eq!(overlapping.is_linearizable(), Some(true));
    }

    #[test]
    fn histories_that_are_not_linearizable() {
        let stale = history(&[(1, 0, Some(10)), (2, 20, Some(30))], &[(Some(1), 40, 50)]);
        assert_eq!(stale.is_linearizable(), Some(false));
        let lost = history(&[(1, 0, Some(10))], &[(None, 20, 30)]);
        assert_eq!(lost.is_linearizable(), Some(false));
        let back = history(&[(1, 0, Some(100))], &[(Some(1), 10, 20), (None, 30, 40)]);
        assert_eq!(back.is_linearizable(), Some(false), "a later read saw less");
        let from_nowhere = history(&[(1, 50, Some(60))], &[(Some(1), 10, 20)]);
        assert_eq!(
            from_nowhere.is_linearizable(),
            Some(false),
            "it was read before it was written"
        );
        let undone =
            history(&[(1, 0, Some(10)), (-2, 20, None)], &[(None, 30, 40), (Some(1), 50, 60)]);
        assert_eq!(undone.is_linearizable(), Some(false), "an instance came back");
    }

    #[test]
    fn two_reads_of_incomparable_sets_are_not_linearizable() {
        let mut history = History::default();
        let other = (NodeId(2), "b".to_owned());
        history.invoke(Asked::Write(register(), stamp(1), true), 0);
        history.invoke(Asked::Write(other.clone(), stamp(1), true), 0);
        for told in [register(), other] {
            let read = history.invoke(Asked::Read, 10);
            history.done(read, BTreeMap::from([(told, stamp(1))]), 20);
        }
        assert_eq!(history.is_linearizable(), Some(false));
        history.0.pop();
        assert_eq!(history.is_linearizable(), Some(true));
    }

    #[test]
    fn an_end_removes_what_was_written_before_it() {
        let mut history = history(&[(1, 0, Some(10))], &[(None, 40, 50)]);
        assert_eq!(history.is_linearizable(), Some(false));
        let end = history.invoke(Asked::End(A, stamp(9)), 20);
        history.done(end, BTreeMap::new(), 30);
        assert_eq!(history.is_linearizable(), Some(true));
        assert_eq!((history.succeeded(), history.overlapping()), (3, 0));
    }
}
