//! `hobnob doctor`: what is wrong with this host, its agent, and the network between members.

use std::path::PathBuf;

use crate::args::DoctorArgs;
use crate::exit::Exit;

/// Looks, and tells what it found.
pub(crate) async fn run(_args: &DoctorArgs, _socket: PathBuf) -> anyhow::Result<Exit> {
    Ok(Exit::Done)
}
