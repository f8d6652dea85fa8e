//! `hobnob init --rotate-ca`: a CA key that succeeds another one.

use std::fs;
use std::path::{Path, PathBuf};

use hobnob_agent::secret_file::SecretFileError;
use hobnob_agent::system_random;
use hobnob_keys::CaKey;
use serde::Serialize;

use super::{KeysError, ca_file};
use crate::args::InitArgs;
use crate::exit::Exit;
use crate::output::Output;

/// The second CA key and its files.
#[derive(Serialize)]
struct Made {
    ca_file: String,
    succession_file: String,
    cluster: String,
    cluster_id: String,
    authority: String,
}

/// Writes the CA key that succeeds the one of `--ca`, and the file that tells the cluster of it.
pub(super) fn init(args: &InitArgs) -> anyhow::Result<Exit> {
    let old_path = ca_file::path(&args.ca)?;
    // The new key lies beside it, and there is no place beside a device or a pipe.
    if fs::metadata(&old_path).is_ok_and(|found| !found.is_file()) {
        let source = SecretFileError::NotRegular("a device, a pipe or a directory");
        return Err(KeysError::Unreadable { path: old_path, source }.into());
    }
    let new_path = next_to(&old_path);
    let succession_path = new_path.with_extension("succession");
    for path in [&new_path, &succession_path] {
        match ca_file::refuse_existing(path) {
            Err(KeysError::Exists { path }) => {
                return Err(KeysError::SuccessorExists { path }.into());
            }
            checked => checked?,
        }
    }
    let (old, passphrase) = ca_file::read(&args.ca)?;
    if old.is_successor() {
        return Err(KeysError::SuccessorOfSuccessor { path: old_path }.into());
    }
    let new = old.successor(&*system_random()?);
    let succession = old.succession(&new).map_err(KeysError::Limits)?;
    // A passphrase file may be a pipe, which is read once.
    let passphrase = match passphrase {
        Some(of_old) if args.ca.passphrase_file.is_some() => Some(of_old),
        of_old => ca_file::new_passphrase(&new_path, args)?.or(of_old),
    };
    ca_file::write(&new, &new_path, passphrase.as_ref())?;
    let text = format!("{}\n", succession.to_text());
    if let Err(error) = ca_file::create(&succession_path, text.as_bytes()) {
        // Without it the key is of no use.
        fs::remove_file(&new_path).map_err(|source| KeysError::Io {
            verb: "remove",
            path: new_path.clone(),
            source,
        })?;
        return Err(error.into());
    }
    tell(args, &new, &new_path, &succession_path)
}

fn tell(args: &InitArgs, new: &CaKey, key: &Path, succession: &Path) -> anyhow::Result<Exit> {
    let made = Made {
        ca_file: key.display().to_string(),
        succession_file: succession.display().to_string(),
        cluster: new.cluster_name().to_string(),
        cluster_id: new.cluster().to_string(),
        authority: new.public_key().fingerprint().to_string(),
    };
    let mut out = Output::new();
    if args.json {
        out.json(&made)?;
        return Ok(Exit::Done);
    }
    let Made { ca_file, succession_file, cluster, authority, .. } = made;
    out.line(&format!(
        "A second CA key of the cluster {cluster}, {authority}, is in {ca_file}. Only its owner can read it.\n\
         Keep it as the first one, with a backup in another place.\n\n\
         Next, have the cluster trust it, at any one agent:\n\n  \
         hobnob keys trust {succession_file}\n\n\
         Then make tokens with it:\n\n  \
         hobnob token create --ca {ca_file}"
    ))?;
    Ok(Exit::Done)
}

/// The file of the second CA key: `ca-2.key` beside `ca.key`.
fn next_to(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-2.key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lies_beside_the_one_that_it_succeeds() {
        for (old, new) in [("/c/ca.key", "/c/ca-2.key"), ("my-ca", "my-ca-2.key")] {
            assert_eq!(next_to(Path::new(old)), Path::new(new));
        }
    }
}
