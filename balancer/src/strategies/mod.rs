//! Ways to choose among the targets.
//!
//! [`Strategy`] names the strategies. [`Chooser`] runs them: it holds the memory of one picker and asks the module of the
//! strategy, or one of the [tables](crate::tables). [`Request`] handles targets that refuse a pick.
//!
//! A new strategy is a variant of [`Strategy`], an arm in [`Chooser::choose`], and a module here or a table.

mod candidates;
mod chooser;
mod hot_cold;
mod least_connections;
mod peak_ewma;
mod request;
mod strategy;
mod turns;

pub use self::strategy::Strategy;
pub(crate) use self::{
    candidates::Candidates,
    chooser::Chooser,
    least_connections::{
        Comparison, least_connections_of_pair, least_connections_of_weighted_pair,
    },
    peak_ewma::peak_ewma_of_pair,
    request::{Admitted, Request},
    turns::Turns,
};
