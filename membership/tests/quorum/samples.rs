//! A message of each kind, with every question and every answer.

use hobnob_membership::Epoch;
use hobnob_membership::quorum::{
    Answer, Ask, Ballot, Chain, Configuration, Cursor, Look, Message, Page, Part, Proposal,
    Recover, Reply, Seat, Seen, Voice, VoterLife,
};

use super::network::{deposit, n};

pub(crate) fn configuration(number: u64) -> Configuration {
    let seats = [1, 2, 3].map(|node| Seat { node: n(node), token: 0x1111 * node });
    Configuration { number, seats: seats.into() }
}

pub(crate) fn samples() -> Vec<Message> {
    let chain = Some(Chain { installed: configuration(1), next: Some(configuration(2)) });
    let ballot = Ballot { round: 2, node: 4, salt: 9 };
    let write = deposit(5, 10, 1, "a", true);
    let entries = write.entries.clone();
    let look = Look {
        service: "s".into(),
        entries: entries.clone(),
        ends: Vec::new(),
        known: 77,
        lists: true,
        after: None,
    };
    let proposal = Proposal { ballot, configuration: configuration(2) };
    let after = Some(Cursor::Place(entries[0].place.clone()));
    let recover = Recover { token: 3, recoveries: 1, after: after.clone() };
    let parts = vec![
        Part::Look(look),
        Part::Write(write),
        Part::Enlist(2, false),
        Part::Found(configuration(1)),
        Part::Prepare(2, ballot),
        Part::Accept(proposal.clone()),
        Part::CaughtUp(2),
        Part::Lives,
        Part::Recover(recover),
        Part::Image(None),
    ];
    let lives = vec![VoterLife { node: n(2), token: 5, recoveries: 1 }];
    let voice = Voice { token: 4, recoveries: 2, is_lost: false, lives };
    let seen = Seen { digest: 8, entries, ends: Vec::new(), next: None, is_listed: true };
    let answers = vec![
        Answer::Done,
        Answer::NotVoting,
        Answer::Seen(seen),
        Answer::Fenced(Epoch(3)),
        Answer::Full,
        Answer::Enlisted(6),
        Answer::Taken(None),
        Answer::Promised(Some(proposal)),
        Answer::Refused(ballot),
        Answer::CaughtUp(true),
        Answer::Life(2),
        Answer::Page(Page { changes: Vec::new(), next: after }),
        Answer::Unknown,
        Answer::Later,
        Answer::Forgetful,
    ];
    let ask = Ask { number: 1, chain: chain.clone(), parts };
    vec![Message::Ask(ask), Message::Reply(Reply { number: 1, voice, chain, answers })]
}
