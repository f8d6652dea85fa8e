//! A check that follows the status of something else.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;

use hobnob_api::Alias;
use hobnob_membership::record::Health;

use crate::checks::outcome::Outcome;

/// The health of what an alias follows, and why it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The health.
    pub health: Health,
    /// A line about it, for people.
    pub output: String,
}

/// Knows the health of instances of this agent, and of members.
pub trait Neighbours: Debug + Send + Sync {
    /// The health of what an alias of the instance `follower` follows, now; `None` when this agent is stopping. What follows
    /// that instance in turn does not count.
    fn health_of(
        &self,
        alias: Alias,
        follower: Arc<str>,
    ) -> Pin<Box<dyn Future<Output = Option<Followed>> + Send>>;
}

/// The outcome is that of the other. While nothing is known of the other, it is void.
pub(super) async fn follow(
    neighbours: Option<&dyn Neighbours>,
    alias: &Alias,
    follower: &Arc<str>,
) -> Outcome {
    let followed = match neighbours {
        Some(neighbours) => neighbours.health_of(alias.clone(), follower.clone()).await,
        None => None,
    };
    let Some(Followed { health, output }) = followed else {
        return Outcome::void("the status is not known yet");
    };
    match health {
        Health::Passing => Outcome::success(output),
        Health::Warning => Outcome::warning(output),
        Health::Failing => Outcome::failure(output),
        Health::Unknown => Outcome::void(output),
    }
}
