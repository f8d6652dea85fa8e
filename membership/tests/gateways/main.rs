//! How changes of the catalog spread between datacenters, with real nodes in virtual time.

mod breakers;
mod failures;
mod repair;
mod scene;
mod scopes;
mod spreading;
