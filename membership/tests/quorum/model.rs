//! The algorithm of reads and writes as a model, checked in every state that it can reach: 3 voters, 2 writers, 2 readers, messages
//! that are lost, doubled and reordered, and voters that restart at any time and lose what is not on disk.
//!
//! | in the model | in the room |
//! |---|---|
//! | a set of writes | a ledger: its join is the union, its digest is the set itself |
//! | a voter takes a write | `Voter::write`: the entry is joined, and noted for the disk |
//! | the disk takes what the voter holds | `Output::Store` and `Quorum::stored` |
//! | a write may be done when two disks have it | an acknowledgement goes out when it is on disk, and may arrive at any time later |
//! | a voter looks for a reader, and takes the join that the reader had at any time | `Voter::look`, asked at any time |
//! | a report arrives, when the disk has what it tells | `Storing::hold` |
//! | a read ends when two reports are the join | `Reading::take_over` |
//!
//! A message is lost when its step never happens, and late when that happens late. A history of writes that are never undone is
//! linearizable when three things hold: a read tells every write that was done, and every set that was read, before it began; of two
//! sets that were read one holds the other; and a set with a write holds all that was done, or read, before that write began.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// A set of the two writes.
type Set = u8;

/// A bug of the model, to see that the properties can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    NoWriteBack,
    Merge,
    Minority,
    BeforeDisk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Report {
    Nothing,
    /// The voter has looked, and the report is under way.
    UnderWay(Set),
    Told(Set),
}

/// A voter, with what each reader knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Voter {
    memory: Set,
    disk: Set,
    reports: [Report; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Busy,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Reader {
    phase: Phase,
    /// The join of what it was told.
    join: Set,
    /// What was done, or read, before it began.
    owed: Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    voters: [Voter; 3],
    writes: [Phase; 2],
    /// What was done, or read, before each write began.
    before: [Set; 2],
    readers: [Reader; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Action {
    Write(usize),
    Take(usize, usize),
    Store(usize),
    Restart(usize),
    Written(usize),
    Read(usize),
    /// A voter looks for a reader, with its join or, if that is late, with nothing to take.
    Look(usize, usize, bool),
    Tell(usize, usize),
    End(usize),
}

struct Quorum {
    bug: Bug,
    /// The second read begins when the first one has ended.
    in_turn: bool,
}

impl Quorum {
    fn majority(&self) -> usize {
        if self.bug == Bug::Minority { 1 } else { 2 }
    }

    /// What a voter holds for good, as far as it tells others.
    fn told(&self, voter: &Voter) -> Set {
        if self.bug == Bug::BeforeDisk { voter.memory } else { voter.disk }
    }

    fn may_end(&self, state: &State, reader: usize) -> bool {
        let join = state.readers[reader].join;
        let agrees = |voter: &&Voter| match voter.reports[reader] {
            Report::Told(set) => set == join || matches!(self.bug, Bug::Merge | Bug::NoWriteBack),
            _ => false,
        };
        state.voters.iter().filter(agrees).count() >= self.majority()
    }
}

impl State {
    /// What was done, or read, so far.
    fn owed(&self) -> Set {
        let written = (0..2).filter(|it| self.writes[*it] == Phase::Done).map(|it| 1 << it);
        let read = self.readers.iter().filter(|it| it.phase == Phase::Done).map(|it| it.join);
        written.chain(read).fold(0, |all, set| all | set)
    }
}

fn holds(all: Set, part: Set) -> bool {
    all & part == part
}

impl Model for Quorum {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let voter = Voter { memory: 0, disk: 0, reports: [Report::Nothing; 2] };
        let reader = Reader { phase: Phase::Idle, join: 0, owed: 0 };
        vec![State {
            voters: [voter; 3],
            writes: [Phase::Idle; 2],
            before: [0; 2],
            readers: [reader; 2],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for write in 0..2 {
            match state.writes[write] {
                Phase::Idle => actions.push(Action::Write(write)),
                _ => {
                    let missing = (0..3).filter(|it| state.voters[*it].memory >> write & 1 == 0);
                    actions.extend(missing.map(|voter| Action::Take(write, voter)));
                }
            }
            let has = |voter: &&Voter| self.told(voter) >> write & 1 == 1;
            let has_majority = state.voters.iter().filter(has).count() >= self.majority();
            if state.writes[write] == Phase::Busy && has_majority {
                actions.push(Action::Written(write));
            }
        }
        for (number, voter) in state.voters.iter().enumerate() {
            if voter.memory != voter.disk {
                actions.extend([Action::Store(number), Action::Restart(number)]);
            }
        }
        for (number, reader) in state.readers.iter().enumerate() {
            match reader.phase {
                Phase::Idle if self.in_turn && number == 1 => {
                    if state.readers[0].phase == Phase::Done {
                        actions.push(Action::Read(number));
                    }
                }
                Phase::Idle => actions.push(Action::Read(number)),
                Phase::Busy => {
                    for (at, voter) in state.voters.iter().enumerate() {
                        actions.push(Action::Look(number, at, false));
                        if reader.join != 0 && self.bug != Bug::NoWriteBack {
                            actions.push(Action::Look(number, at, true));
                        }
                        if let Report::UnderWay(set) = voter.reports[number]
                            && holds(self.told(voter), set)
                        {
                            actions.push(Action::Tell(number, at));
                        }
                    }
                    if self.may_end(state, number) {
                        actions.push(Action::End(number));
                    }
                }
                Phase::Done => {}
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        match action {
            Action::Write(write) => {
                state.writes[write] = Phase::Busy;
                state.before[write] = last.owed();
            }
            Action::Take(write, voter) => state.voters[voter].memory |= 1 << write,
            Action::Store(voter) => state.voters[voter].disk = last.voters[voter].memory,
            Action::Restart(voter) => {
                let voter = &mut state.voters[voter];
                voter.memory = voter.disk;
                for report in &mut voter.reports {
                    // A report that waits for the disk goes with the process.
                    if matches!(report, Report::UnderWay(set) if !holds(voter.disk, *set)) {
                        *report = Report::Nothing;
                    }
                }
            }
            Action::Written(write) => state.writes[write] = Phase::Done,
            Action::Read(reader) => {
                state.readers[reader].phase = Phase::Busy;
                state.readers[reader].owed = last.owed();
            }
            Action::Look(reader, voter, takes) => {
                let join = if takes { last.readers[reader].join } else { 0 };
                let voter = &mut state.voters[voter];
                voter.memory |= join;
                voter.reports[reader] = Report::UnderWay(voter.memory);
            }
            Action::Tell(reader, voter) => {
                let report = &mut state.voters[voter].reports[reader];
                if let Report::UnderWay(set) = *report {
                    *report = Report::Told(set);
                    state.readers[reader].join |= set;
                }
            }
            Action::End(reader) => {
                state.readers[reader].phase = Phase::Done;
                // Nobody looks at its reports any more.
                state.voters.iter_mut().for_each(|it| it.reports[reader] = Report::Nothing);
            }
        }
        // Voters are alike.
        state.voters.sort_unstable();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn done(state: &State) -> impl Iterator<Item = &Reader> {
            state.readers.iter().filter(|it| it.phase == Phase::Done)
        }
        vec![
            Property::always("a read tells what was before it", |_, state: &State| {
                done(state).all(|it| holds(it.join, it.owed))
            }),
            Property::always("reads form a chain", |_, state: &State| {
                let [one, two] = state.readers;
                let both = one.phase == Phase::Done && two.phase == Phase::Done;
                !both || holds(one.join, two.join) || holds(two.join, one.join)
            }),
            Property::always("a write comes with what was before it", |_, state: &State| {
                done(state).all(|it| {
                    (0..2).all(|write| {
                        it.join >> write & 1 == 0 || holds(it.join, state.before[write])
                    })
                })
            }),
            Property::sometimes("all is done", |_, state: &State| {
                state.writes == [Phase::Done; 2] && done(state).count() == 2
            }),
        ]
    }
}

#[test]
fn every_history_of_two_writers_and_two_reads_in_turn() {
    let model = Quorum { bug: Bug::None, in_turn: true };
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
#[ignore = "takes minutes"]
fn every_history_of_two_writers_and_two_readers() {
    let model = Quorum { bug: Bug::None, in_turn: false };
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn every_bug_of_the_model_shows() {
    for bug in [Bug::NoWriteBack, Bug::Merge, Bug::Minority, Bug::BeforeDisk] {
        let model = Quorum { bug, in_turn: true };
        let ends = HasDiscoveries::AnyFailures;
        let checker = model.checker().threads(2).finish_when(ends).spawn_bfs().join();
        let broken = checker.discoveries().into_keys().filter(|it| *it != "all is done").count();
        assert!(broken > 0, "{bug:?} escaped");
    }
}
