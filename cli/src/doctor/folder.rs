//! The data directory: whether it is there, can be written, and has room.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::finding::Findings;
use crate::terminal::bytes;

/// The free bytes below which registrations are about to fail.
const FAIL_BYTES: u64 = 16_000_000;
/// The free bytes below which somebody should look.
const WARN_BYTES: u64 = 256_000_000;

/// Looks at the data directory.
pub(super) fn look(findings: &mut Findings, folder: Option<&Path>) {
    let Some(folder) = folder else {
        return findings.ok("data", "the agent does not tell its data directory");
    };
    let shown = folder.display();
    let stat = match statvfs(folder) {
        Ok(stat) => stat,
        Err(error) => {
            let error = io::Error::from(error);
            return match error.kind() {
                io::ErrorKind::NotFound => findings.warn(
                    "data",
                    format!("{shown} is not there"),
                    "the agent makes it at its start; if it runs, somebody removed it: start it again",
                ),
                _ => findings.warn(
                    "data",
                    format!("cannot look at {shown}: {error}"),
                    "run this command as the user of the agent",
                ),
            };
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let all = stat.f_blocks.saturating_mul(stat.f_frsize);
    let share = free as f64 / all.max(1) as f64;
    let taken = taken_by(folder).map(|taken| format!("{} in {shown}", bytes(taken as f64)));
    let taken = taken.unwrap_or_else(|_| shown.to_string());
    let told = format!("{taken}; {} free, {:.0} %", bytes(free as f64), share * 100.0);
    let room = "make room on that file system, or move the directory with --data-dir";
    if let Err(error) = access(folder, Access::WRITE_OK) {
        let error = io::Error::from(error);
        return match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem => findings.fail(
                "data",
                format!("{shown} is on a file system that is read-only"),
                "mount it for writing: registrations fail until then",
            ),
            // The agent may run as another user.
            _ => findings.ok("data", format!("{told}; this user may not write there: {error}")),
        };
    }
    if free < FAIL_BYTES {
        findings.fail("data", told, room);
    } else if free < WARN_BYTES {
        findings.warn("data", told, room);
    } else {
        findings.ok("data", told);
    }
}

/// The bytes of the files in a folder, and in those below it.
fn taken_by(folder: &Path) -> io::Result<u64> {
    let mut taken = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        taken += if metadata.is_dir() { taken_by(&entry.path())? } else { metadata.len() };
    }
    Ok(taken)
}
