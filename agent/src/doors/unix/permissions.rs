//! The users that may connect to a socket: the mode of its file, and its group.

use nix::errno::Errno;
use nix::unistd::Group;

use super::error::SocketError;
use crate::config::SocketMode;

/// The owner and the group may use the full socket.
const FULL_MODE: u32 = 0o660;
/// To `chown`, this id stands for no change.
const NO_GROUP: u32 = u32::MAX;

/// The mode and the group of the file of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(super) mode: u32,
    /// `None` leaves the group to the system: that of the agent, as a rule.
    pub(super) group: Option<FoundGroup>,
}

/// A group of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundGroup {
    /// The name or number that was given.
    pub(super) given: String,
    pub(super) gid: u32,
}

impl Permissions {
    /// Those of the full socket, for the members of a group that is given by name or number.
    ///
    /// # Errors
    /// This host has no such group.
    pub(crate) async fn full(group: Option<&str>) -> Result<Self, SocketError> {
        let group = match group {
            Some(given) => Some(find(given.to_owned()).await?),
            None => None,
        };
        Ok(Self { mode: FULL_MODE, group })
    }

    /// Those of a query socket.
    pub(crate) fn query(mode: SocketMode) -> Self {
        Self { mode: mode.bits(), group: None }
    }
}

/// Finds a group. Digits alone are its number, and need no entry in the database of groups.
async fn find(given: String) -> Result<FoundGroup, SocketError> {
    if !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit()) {
        return match given.parse() {
            Ok(gid) if gid != NO_GROUP => Ok(FoundGroup { given, gid }),
            _ => Err(SocketError::NoGroup { group: given }),
        };
    }
    let name = given.clone();
    // The database may be a server in the network.
    let found = tokio::task::spawn_blocking(move || Group::from_name(&name)).await;
    match found {
        Ok(Ok(Some(group))) => Ok(FoundGroup { given, gid: group.gid.as_raw() }),
        Ok(Ok(None) | Err(Errno::ENOENT)) => Err(SocketError::NoGroup { group: given }),
        Ok(Err(errno)) => Err(SocketError::GroupUnknown { group: given, source: errno.into() }),
        Err(ended) => Err(SocketError::GroupUnknown { group: given, source: ended.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_group_is_found_by_its_name_and_by_its_number() {
        let gid = async |given: &str| {
            let found = Permissions::full(Some(given)).await.map(|permissions| permissions.group);
            found.map(|group| group.expect("a group").gid)
        };
        assert_eq!(gid("root").await.ok(), Some(0), "every host has it");
        assert_eq!(gid("4000000000").await.ok(), Some(4_000_000_000), "no entry is needed");
        for none in ["4294967295", "4294967296", "no such group", ""] {
            let error = gid(none).await.expect_err(none);
            assert!(matches!(error, SocketError::NoGroup { .. }), "{error}");
            assert!(error.to_string().contains(&format!("`{none}`")), "{error}");
        }
        assert_eq!(Permissions::full(None).await.expect("no group").group, None);
    }
}
