//! What an operator can do when the system refuses a file or a directory.

use std::io::{self, ErrorKind};

/// The end of an error message about a file or a directory: what to do, if the system's error tells.
pub(crate) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => {
            "; the directory above it is not there, or takes no files: choose another place"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "; a file is where a directory has to be: choose another place"
        }
        ErrorKind::PermissionDenied => "; let this user write there, or choose another place",
        ErrorKind::ReadOnlyFilesystem => "; the file system is read-only: choose another place",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room on the disk",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_disk_is_called_full() {
        for (kind, says) in [
            (ErrorKind::NotADirectory, "a file is where"),
            (ErrorKind::AlreadyExists, "a file is where"),
            (ErrorKind::PermissionDenied, "this user"),
            (ErrorKind::ReadOnlyFilesystem, "read-only"),
            (ErrorKind::NotFound, "takes no files"),
            (ErrorKind::StorageFull, "make room"),
        ] {
            let advice = advice(&kind.into());
            assert!(advice.contains(says), "{kind}: {advice}");
            assert_eq!(advice.contains("room"), kind == ErrorKind::StorageFull, "{kind}: {advice}");
        }
        assert_eq!(advice(&io::Error::other("broken")), "");
    }
}
