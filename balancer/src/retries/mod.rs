//! Whether a call that failed is tried again, when, and how many such tries a service bears.
//!
//! A caller picks a target, sends the call, and completes the pick with the outcome. Then it asks [`Attempts`] for the next
//! step. Time and random numbers come in as arguments.

mod attempts;
mod budget;

pub use self::{
    attempts::{Attempts, Failure, GaveUp, Next, RetryConfig},
    budget::{RetryBudget, RetryBudgetConfig},
};
