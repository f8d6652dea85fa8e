//! The mode of the query socket.

use std::fmt;
use std::str::FromStr;

/// The agent and its tools must be able to use the socket themselves.
const OF_OWNER: u32 = 0o600;
/// Read, write and execute for the owner, the group and others.
const ALL: u32 = 0o777;

/// The mode of the file of a query socket. A user needs the right to write (2) in order to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

/// The text is no mode of a socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no octal mode that lets its owner read and write, such as 0666 for all users, or 0660 for a group"
)]
pub struct SocketModeError(String);

impl SocketMode {
    pub(crate) fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    /// Every user of the host may connect.
    fn default() -> Self {
        Self(0o666)
    }
}

impl FromStr for SocketMode {
    type Err = SocketModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let bits = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        let legal = bits.filter(|bits| *bits <= ALL && bits & OF_OWNER == OF_OWNER);
        legal.map(Self).ok_or_else(|| SocketModeError(text.to_owned()))
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04o}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_lets_its_owner_in() {
        for (text, shown) in [("0666", "0666"), ("660", "0660"), ("0700", "0700")] {
            assert_eq!(text.parse::<SocketMode>().expect(text).to_string(), shown);
        }
        assert_eq!(SocketMode::default().to_string(), "0666");
        for wrong in ["", "+666", "0888", "1666", "0066", "0466", "rw-rw-rw-", "99999999999"] {
            let error = wrong.parse::<SocketMode>().expect_err(wrong);
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
