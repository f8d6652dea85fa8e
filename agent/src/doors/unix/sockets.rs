//! The sockets of an agent, each with its own places and its share of memory, so that a crowd on one shuts nobody out of
//! the other.

use std::path::Path;
use std::sync::Arc;

use super::door::Door;
use super::handler::Handler;
use super::server::Socket;
use crate::budget::{Budget, MAX_QUERY_BYTES};
use crate::descriptors;

/// The open sockets.
pub(crate) struct Sockets {
    full: (Socket, Arc<Door>),
    query: Option<(Socket, Arc<Door>)>,
}

impl Sockets {
    /// These sockets, whose clients make the agent hold no more than the budget allows.
    pub(crate) fn new(full: Socket, query: Option<Socket>, budget: &Arc<Budget>) -> Self {
        let shares = descriptors::shares();
        let connections = match query {
            Some(_) => shares.connections_of_each,
            None => shares.connections,
        };
        let path = full.path().to_owned();
        let query = query.map(|socket| {
            let part = budget.part(MAX_QUERY_BYTES);
            let own = socket.path().to_owned();
            (socket, Arc::new(Door::query(own, &path, connections, part)))
        });
        let door = Arc::new(Door::full(path, connections, budget.clone()));
        Self { full: (full, door), query }
    }

    /// The path of the socket that takes changes.
    pub(crate) fn full_path(&self) -> &Path {
        self.full.0.path()
    }

    /// The path of the socket that refuses them.
    pub(crate) fn query_path(&self) -> Option<&Path> {
        self.query.as_ref().map(|(socket, _)| socket.path())
    }

    pub(crate) fn doors(&self) -> Vec<Arc<Door>> {
        let query = self.query.iter();
        std::iter::once(&self.full).chain(query).map(|(_, door)| door.clone()).collect()
    }

    /// Serves the connections of all sockets until dropped; then they end with it.
    pub(crate) async fn serve(self, handler: Arc<Handler>) {
        let (socket, door) = self.full;
        let full = socket.serve(handler.clone(), door);
        match self.query {
            Some((socket, door)) => drop(tokio::join!(full, socket.serve(handler, door))),
            None => full.await,
        }
    }
}
