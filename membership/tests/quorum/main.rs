//! Strong reads and writes: the room itself on a small network, what it writes on the wire, and a model of the algorithm that is
//! checked in every state that it can reach.

mod bounds;
mod changes;
mod ledger;
mod limits;
mod messages;
mod model;
mod network;
mod operations;
mod recorded;
mod recovery;
mod samples;
