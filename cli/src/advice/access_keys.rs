//! What to do about access keys that cannot be read or changed.

use hobnob_agent::access_keys::AccessKeyError;

use super::of_file;

pub(super) fn of(error: &AccessKeyError) -> Option<&'static str> {
    Some(match error {
        AccessKeyError::NoDirectory(_) => {
            "name the data directory of the agent with --data-dir or HOBNOB_DATA_DIR; `hobnob config show` tells it"
        }
        AccessKeyError::Io { source, .. } => return of_file(source),
        AccessKeyError::Damaged { .. } => {
            "restore the file from a backup, or remove it and make new keys"
        }
        AccessKeyError::TooMany => "`hobnob access-key list` shows them",
        _ => return None,
    })
}
