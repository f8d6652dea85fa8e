//! Checkers of membership: who is alive, who is down, and what each member knows of that.

mod clusters;
mod detection;
mod duplicates;
mod exits;
mod false_down;
mod home_verdicts;
mod isolation;
mod joining;
mod links;
mod losses;
mod reach;

pub(super) use clusters::Clusters;
pub(super) use detection::Detection;
pub(super) use duplicates::Duplicates;
pub(super) use exits::Exits;
pub(super) use false_down::FalseDown;
pub(crate) use false_down::down_of_live_agent;
pub(super) use home_verdicts::HomeVerdicts;
pub(super) use isolation::Isolation;
pub(super) use joining::Joining;
pub(super) use links::Links;
pub(super) use losses::Losses;
pub(super) use reach::Reach;
