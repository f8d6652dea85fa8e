//! Limits beyond which a voter or a reader refuses, and what they never hold up.

use std::time::Duration;

use hobnob_membership::quorum::{
    Acceptor, Answer, Ask, Ballot, Chain, Change, Entry, Failure, Image, MAX_ORIGINS, Message,
    Outcome, Output, Page, Part, Provenance, Quorum, Reply, Seen, Standing, Voice,
};
use hobnob_membership::{NodeId, Time};

use super::bounds::fill;
use super::network::{Network, WITHIN, deposit, n};
use super::samples::configuration;

/// A node that knows of voters and is none.
fn client() -> Quorum {
    let mut image = Image::default();
    image.apply(&Change::Chain(Chain { installed: configuration(1), next: None }));
    Quorum::new(n(4), image, Provenance::New, 1, Time::from_millis(1))
}

/// Answers all questions that a node has now. Returns the longest question, and how its operations ended.
fn answer(
    quorum: &mut Quorum,
    now: Time,
    to_part: impl Fn(&Part) -> Answer,
) -> (usize, Vec<Outcome>) {
    let (mut longest, mut ends) = (0, Vec::new());
    while let Some(output) = quorum.poll_output() {
        match output {
            Output::Send { to, message: Message::Ask(ask) } => {
                longest = longest.max(Message::Ask(ask.clone()).encode().len());
                quorum.handle(to, Message::Reply(reply(to, &ask, &to_part)), now);
            }
            Output::Store { ticket, .. } => quorum.stored(ticket, now),
            Output::Done { outcome, .. } => ends.push(outcome),
            _ => {}
        }
    }
    (longest, ends)
}

fn reply(voter: NodeId, ask: &Ask, to_part: impl Fn(&Part) -> Answer) -> Reply {
    let voice = Voice { token: 0x1111 * voter.0, ..Voice::default() };
    let answers = ask.parts.iter().map(to_part).collect();
    Reply { number: ask.number, voice, chain: ask.chain.clone(), answers }
}

#[test]
fn a_reader_takes_no_more_than_its_limit_and_reads_again_after_that() {
    let mut quorum = client();
    let now = Time::from_millis(1);
    let entry = |at: u64| -> Entry {
        let mut entry = deposit(5, 10, 1, "a", true).entries.remove(0);
        entry.place.origin = NodeId(at);
        entry
    };
    let listed = |count| {
        let entries = (0..count).map(entry).collect();
        Answer::Seen(Seen { digest: 7, entries, ends: Vec::new(), next: None, is_listed: true })
    };
    quorum.read(&"s".into(), WITHIN, now).expect("it begins");
    let (_, ends) = answer(&mut quorum, now, |_| listed(131_073));
    assert_eq!(ends, [Outcome::Unread(Failure::TooLarge)]);
    quorum.read(&"s".into(), WITHIN, now).expect("it begins");
    let empty =
        Seen { digest: 0, entries: Vec::new(), ends: Vec::new(), next: None, is_listed: true };
    let (_, ends) = answer(&mut quorum, now, |_| Answer::Seen(empty.clone()));
    assert_eq!(ends, [Outcome::Read(Vec::new())]);
}

#[test]
fn questions_stay_below_their_limit_however_much_waits() {
    let mut quorum = client();
    let now = Time::from_millis(1);
    for write in 0..40 {
        let mut deposit = deposit(4, 10, write, "a", true);
        deposit.entries[0].value = Some(vec![7; 7_900].into());
        let mut other = deposit.entries[0].clone();
        other.place.id = "b".into();
        deposit.entries.push(other);
        quorum.write(deposit, WITHIN, now).expect("it begins");
    }
    let (mut longest, mut ends) = (0, Vec::new());
    for _ in 0..40 {
        let (length, more) = answer(&mut quorum, now, |_| Answer::Done);
        longest = longest.max(length);
        ends.extend(more);
    }
    assert_eq!(ends.len(), 40);
    assert!((15_000..25_000).contains(&longest), "{longest} bytes");
}

#[test]
fn a_chain_far_ahead_is_not_believed() {
    let mut net = Network::with_voters(4);
    let far = Chain { installed: configuration(2 + (1 << 20)), next: None };
    let now = net.now;
    net.node(1).learn(&far, now);
    assert_eq!(net.node(1).chain().map(|chain| chain.installed.number), Some(1));
    assert_eq!(net.node(1).counters().numbers_refused, 1);
    assert!(matches!(net.set_voters(4, &[2, 3, 4]), Outcome::Changed(it) if it.number == 2));
}

#[test]
fn pages_move_a_voter_one_step_and_are_asked_for_until_it_is_there() {
    let chain = Chain { installed: configuration(1), next: None };
    let mut image = Image::default();
    image.apply(&Change::Chain(chain));
    let mut now = Time::from_millis(1);
    let mut quorum = Quorum::new(n(2), image, Provenance::Unproven, 1, now);
    let promised = |round| {
        let promised = Ballot { round, node: 3, salt: 1 };
        let acceptor = Change::Acceptor(2, Acceptor { promised, accepted: None });
        Answer::Page(Page { changes: vec![acceptor], next: None })
    };
    let mut recover = |quorum: &mut Quorum, round| {
        answer(quorum, now, |part| match part {
            Part::Lives => Answer::Life(0),
            _ => promised(round),
        });
        now = now + Duration::from_secs(1);
        quorum.handle_deadline(now);
    };
    let round = |quorum: &Quorum| {
        let rounds = quorum.image().changes().filter_map(|change| match change {
            Change::Acceptor(_, acceptor) => Some(acceptor.promised.round),
            _ => None,
        });
        rounds.last().unwrap_or_default()
    };
    recover(&mut quorum, 3 << 24);
    assert_eq!(quorum.standing(), Standing::Lost);
    for _ in 0..4 {
        let before = round(&quorum);
        recover(&mut quorum, 3 << 24);
        // Each of the two voters may bring it one step.
        assert!(round(&quorum) <= before + (2 << 24) + 1);
    }
    assert_eq!((round(&quorum), quorum.standing()), (3 << 24, Standing::Votes));
    assert!(quorum.counters().numbers_refused >= 2);
}

#[test]
fn voters_that_are_full_hold_up_no_read() {
    let mut net = Network::with_voters(4);
    fill(&mut net, 1, MAX_ORIGINS);
    fill(&mut net, 2, MAX_ORIGINS);
    // A write that reached one voter alone.
    let entries = deposit(5, 10, 1, "b", true).entries;
    let now = net.now;
    net.node(3).absorb(entries, Vec::new(), now);
    net.run(Duration::from_millis(5));
    net.cut = [n(2)].into();
    assert_eq!(net.ids(4, "s"), ["b"]);
    net.cut = [n(3)].into();
    assert_eq!(net.ids(4, "s"), ["b"], "1 has it now");
    assert!(net.node(1).counters().writes_beyond > 0);
    assert_eq!(net.write(4, deposit(6, 10, 1, "c", true)), Outcome::Unknown(Failure::Full));
}
