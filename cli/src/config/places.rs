//! The default places of the agent's files.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The configuration file that is read when none is named.
const DEFAULT_FILE: &str = "/etc/hobnob/hobnob.toml";
/// The directory of service definitions that is read when none is named.
const DEFAULT_DIR: &str = "/etc/hobnob/services.d";

/// The default configuration file, if it is there.
pub(crate) fn default_file() -> Option<PathBuf> {
    Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()).map(Path::to_owned)
}

/// The default directory of service definitions, if it is there.
pub(crate) fn default_dir() -> Option<PathBuf> {
    Some(Path::new(DEFAULT_DIR)).filter(|path| path.is_dir()).map(Path::to_owned)
}

/// The default directory of the agent's data.
///
/// # Errors
/// Neither variable that leads to one is set.
pub(crate) fn default_data_dir() -> anyhow::Result<PathBuf> {
    let is_root = rustix::process::geteuid().is_root();
    let folder = |name| env::var_os(name).map(PathBuf::from);
    data_dir(is_root, folder("XDG_STATE_HOME"), folder("HOME")).context(
        "there is no place to keep the agent's data, for neither XDG_STATE_HOME nor HOME is set: \
         name a folder with --data-dir or HOBNOB_DATA_DIR",
    )
}

fn data_dir(is_root: bool, state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    if is_root {
        return Some(PathBuf::from("/var/lib/hobnob"));
    }
    let state = state.filter(|dir| dir.is_absolute());
    let home = home.filter(|dir| dir.is_absolute());
    Some(state.or_else(|| Some(home?.join(".local/state")))?.join("hobnob"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_lies_where_its_user_may_write() {
        let (state, home) = (|| Some("/s".into()), || Some("/h".into()));
        assert_eq!(data_dir(true, state(), home()), Some("/var/lib/hobnob".into()));
        assert_eq!(data_dir(false, state(), home()), Some("/s/hobnob".into()));
        assert_eq!(data_dir(false, None, home()), Some("/h/.local/state/hobnob".into()));
        assert_eq!(data_dir(false, Some("".into()), None), None);
    }
}
