//! Real agents of a sealed cluster: orders of an operator, and hostile datagrams.

mod capture;
mod junk;
mod orders;
mod outsider;
mod picking;

use std::io;
use std::path::Path;

use super::row::Row;
use crate::processes::ProcessError;

/// The extent of the measurements.
#[derive(Clone, Copy, Debug)]
pub struct SealedEffort {
    /// Agents that get the orders.
    pub processes: usize,
    /// Hostile datagrams.
    pub datagrams: usize,
}

/// Sealed agents could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedBenchError {
    /// An agent failed.
    #[error(transparent)]
    Agent(#[from] ProcessError),
    /// Packets cannot be captured.
    #[error("cannot capture packets on loopback: {0}. That needs root")]
    Capture(io::Error),
    /// Packets cannot be sent, or what the kernel dropped cannot be read.
    #[error("cannot send hostile datagrams: {0}")]
    Outsider(io::Error),
}

/// Measures agents of the binary `hobnob`; `told` hears how far it is.
///
/// # Errors
/// Agents cannot be started or asked, or packets cannot be captured.
pub fn measure(
    hobnob: &Path,
    effort: SealedEffort,
    mut told: impl FnMut(&str),
) -> Result<Vec<Row>, SealedBenchError> {
    let mut rows = Vec::new();
    told("junk, without a socket");
    junk::measure(&mut rows);
    outsider::measure(hobnob, effort.datagrams, &mut told, &mut rows)?;
    orders::measure(hobnob, effort.processes, &mut told, &mut rows)?;
    Ok(rows)
}
