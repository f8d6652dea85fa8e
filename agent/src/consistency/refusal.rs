//! Why a strong request failed, in the words of the API.

use hobnob_api::{ApiError, ErrorCode};
use hobnob_membership::quorum::{Configuration, Failure};
use hobnob_membership::{Node, NodeId};

use crate::driver::name_of;

/// The refusal while this agent takes no part.
pub(crate) fn no_part(problem: &str) -> ApiError {
    let message = format!("this agent takes no part in strong reads and writes: {problem}");
    ApiError::new(ErrorCode::NoVoters, message)
}

/// The refusal of a read, or of a change of voters, and of what was not begun.
pub(crate) fn failed(node: &Node, failure: &Failure) -> ApiError {
    ApiError::new(code(failure), words(node, failure))
}

/// The answer to a write that was not confirmed.
pub(crate) fn unconfirmed(node: &Node, failure: &Failure) -> ApiError {
    unconfirmed_because(&words(node, failure))
}

/// The same, for a reason in words.
pub(crate) fn unconfirmed_because(reason: &str) -> ApiError {
    let message = format!(
        "the change is made here and spreads, and is not confirmed: {reason}. Strong reads may show it or not, until one does or the request is repeated"
    );
    ApiError::new(ErrorCode::Unconfirmed, message)
}

/// The refusal of a change of voters.
pub(crate) fn unchanged(node: &Node, failure: &Failure) -> ApiError {
    match failure {
        Failure::NoQuorum { .. } => ApiError::new(ErrorCode::NoQuorum, too_few(node, failure)),
        _ => failed(node, failure),
    }
}

/// The answer to a change of voters that may be made all the same.
pub(crate) fn uncertain(node: &Node, failure: &Failure) -> ApiError {
    let message = format!(
        "the change of voters is not confirmed, and may be made all the same, which `hobnob voters` shows: {}",
        too_few(node, failure)
    );
    ApiError::new(ErrorCode::Unconfirmed, message)
}

fn too_few(node: &Node, failure: &Failure) -> String {
    match failure {
        Failure::NoQuorum { silent, .. } => format!(
            "each agent of the new set has to answer once, and a majority of the set before it: {} did not in time. Leave out an agent that is down",
            names(node, silent.iter().copied())
        ),
        other => words(node, other),
    }
}

fn code(failure: &Failure) -> ErrorCode {
    match failure {
        Failure::NoVoters => ErrorCode::NoVoters,
        Failure::NoQuorum { .. } => ErrorCode::NoQuorum,
        Failure::Contended => ErrorCode::Contended,
        Failure::Busy => ErrorCode::TooManyStrong,
        Failure::Invalid(_) => ErrorCode::VotersInvalid,
        Failure::Fenced(_) => ErrorCode::DuplicateNodeId,
        Failure::Full => ErrorCode::TooManyRegistrations,
        Failure::TooLarge => ErrorCode::AnswerTooLarge,
        Failure::Superseded(_) | Failure::Taken(_) | Failure::Forgetful(_) => {
            ErrorCode::VotersUnchanged
        }
    }
}

fn words(node: &Node, failure: &Failure) -> String {
    let named = |nodes: &[NodeId]| names(node, nodes.iter().copied());
    let set = |of: &Configuration| names(node, of.nodes());
    match failure {
        Failure::NoVoters => {
            "this datacenter has no voters that this agent knows of: `hobnob voters set` names 3 or 5 agents".to_owned()
        }
        Failure::NoQuorum { answered, silent } => {
            let answered = if answered.is_empty() { "none".to_owned() } else { named(answered) };
            format!(
                "no majority of the voters answered in time: {answered} did, {} did not",
                named(silent)
            )
        }
        Failure::Contended => {
            "a majority of the voters answered, and others wrote to the service so much that the read did not settle in time: ask again, or with more time".to_owned()
        }
        Failure::Fenced(epoch) => {
            format!("a later life of this agent has written ({epoch}), or another agent under its node id, or an operator ended its writes")
        }
        Failure::Full => "too few voters have room for a further instance: `docs/CONSISTENCY.md` has the limit".to_owned(),
        Failure::TooLarge => "the voters keep more of the service than one strong read takes: `docs/CONSISTENCY.md` has the limit".to_owned(),
        Failure::Busy => "as many strong requests are under way as may be: ask again in a moment".to_owned(),
        Failure::Invalid(reason) => (*reason).to_owned(),
        Failure::Superseded(by) => format!("another change was made first: the voters are {}", set(by)),
        Failure::Taken(Some(by)) => format!("a voter accepted another first set: {}. Make those the voters, and then change them", set(by)),
        Failure::Taken(None) => "a voter accepted another first set of voters".to_owned(),
        Failure::Forgetful(of) => format!(
            "`{}` cannot tell whether it was a voter before, since it has lost its disk or was not started for the first time: if this datacenter never had voters, say so with --first",
            name_of(node, *of)
        ),
    }
}

/// The names of nodes, for a sentence.
fn names(node: &Node, nodes: impl Iterator<Item = NodeId>) -> String {
    let mut names: Vec<String> = nodes.map(|of| format!("`{}`", name_of(node, of))).collect();
    names.sort();
    names.join(", ")
}
