//! The temporary folder of a cluster: sockets, data directories and logs.

use std::env;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::{Builder, TempDir};

/// The longest path of a unix socket on every system that we know (macOS has 104 bytes, with the final zero).
const MAX_SOCKET_PATH_BYTES: usize = 103;

/// A folder that only its user may read, removed with everything in it.
#[derive(Debug)]
pub(in crate::dev) struct Folder {
    temporary: TempDir,
}

impl Folder {
    /// Creates a folder in the system's temporary folder, or in `/tmp` if that path is too long for sockets.
    pub(in crate::dev) fn create() -> anyhow::Result<Self> {
        let base = env::temp_dir();
        let folder = Self::create_in(&base)?;
        if folder.socket("a16").as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
            Ok(folder)
        } else {
            Self::create_in(Path::new("/tmp"))
        }
    }

    fn create_in(base: &Path) -> anyhow::Result<Self> {
        let temporary = Builder::new()
            .prefix("hobnob-dev-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(base)
            .with_context(|| {
                format!("cannot make a folder in {}: choose another with TMPDIR", base.display())
            })?;
        Ok(Self { temporary })
    }

    /// The socket of the agent with this name.
    pub(in crate::dev) fn socket(&self, agent: &str) -> PathBuf {
        self.temporary.path().join(format!("{agent}.sock"))
    }

    /// The data directory of the agent with this name.
    pub(in crate::dev) fn data_dir(&self, agent: &str) -> PathBuf {
        self.temporary.path().join(agent)
    }

    /// The CA key of a sealed cluster.
    pub(in crate::dev) fn ca(&self) -> PathBuf {
        self.temporary.path().join("ca.key")
    }

    /// The token with which agents join a sealed cluster.
    pub(in crate::dev) fn token(&self) -> PathBuf {
        self.temporary.path().join("token")
    }

    /// The log of the agent or the server with this name.
    pub(in crate::dev) fn log(&self, name: &str) -> PathBuf {
        self.temporary.path().join(format!("{name}.log"))
    }

    /// Its path.
    pub(in crate::dev) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Removes the folder. Without this call it is removed too, but a failure is not reported.
    pub(in crate::dev) fn remove(self) -> anyhow::Result<()> {
        let path = self.temporary.path().to_owned();
        self.temporary.close().with_context(|| format!("cannot remove {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_removed_with_what_is_in_it() {
        let folder = Folder::create().unwrap();
        let mode = folder.temporary.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let path = folder.data_dir("a1");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("identity"), "x").unwrap();
        let socket = folder.socket("a16");
        assert!(socket.as_os_str().len() <= MAX_SOCKET_PATH_BYTES, "{}", socket.display());
        folder.remove().unwrap();
        assert!(!path.exists());
    }
}
