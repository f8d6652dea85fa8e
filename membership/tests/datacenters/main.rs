//! Several datacenters: each has a pool of its own, and a table of the members of the others.

mod hostile;
mod isolation;
mod liveness;
mod meeting;
mod names;
mod reach;
mod requests;
mod round_trips;
