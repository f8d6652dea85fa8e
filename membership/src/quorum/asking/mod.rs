//! What a node asks voters for: reads, writes, changes of the voters, and the images of others.

pub(crate) mod calls;
pub(crate) mod changing;
pub(crate) mod fetching;
pub(crate) mod reading;
pub(crate) mod rounds;
pub(crate) mod votes;
pub(crate) mod writing;
