//! The socket of the agent: who may use it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::finding::Findings;

/// The bits of a mode that let users other than the owner and the group write.
const OTHERS_WRITE: u32 = 0o002;

/// Looks at the socket. One that is not there is the business of another finding. The query socket of the agent may be open to all.
pub(super) fn look(findings: &mut Findings, socket: &Path, query_socket: Option<&Path>) {
    let Ok(metadata) = fs::metadata(socket) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    let shown = socket.display();
    let told = format!(
        "{shown} has mode {mode:03o}, user {} and group {}",
        metadata.uid(),
        metadata.gid()
    );
    let folder = socket.parent().and_then(|folder| fs::metadata(folder).ok());
    let is_closed = folder.is_some_and(|folder| folder.permissions().mode() & 0o001 == 0);
    let is_query_socket = query_socket.is_some_and(|query| is_same(query, socket));
    if is_query_socket {
        findings.ok("socket", format!("{told}: it is the query socket, which changes nothing"));
    } else if mode & OTHERS_WRITE != 0 && !is_closed {
        findings.warn(
            "socket",
            format!("{told}: every user of this host may change registrations"),
            "start the agent with --write-group, and give others a --query-socket",
        );
    } else {
        findings.ok("socket", told);
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    one == other || place(one).is_some_and(|found| place(other) == Some(found))
}
