//! The file of the CA key, and its passphrase.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hobnob_agent::secret_file::{self, SecretFile, SecretFileError};
use hobnob_agent::system_random;
use hobnob_keys::{CaFileError, CaKey, Encryption, MAX_CA_FILE_BYTES};
use zeroize::Zeroizing;

use super::KeysError;
use crate::args::{CaArgs, InitArgs};
use crate::output;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
/// The most bytes of a file with a passphrase.
const MAX_PASSPHRASE_BYTES: usize = 4_096;

/// The path that was given, else the default one.
pub(super) fn path(args: &CaArgs) -> Result<PathBuf, KeysError> {
    let folder = |name| env::var_os(name).map(PathBuf::from);
    let default = || default_path(folder("XDG_CONFIG_HOME"), folder("HOME"));
    args.ca.clone().or_else(default).ok_or(KeysError::NoPlace)
}

fn default_path(config: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let config = config.filter(|dir| dir.is_absolute());
    let home = home.filter(|dir| dir.is_absolute());
    Some(config.or_else(|| Some(home?.join(".config")))?.join("hobnob/ca.key"))
}

/// Refuses a path at which something is, before a passphrase is asked for. [`write()`] makes sure.
pub(super) fn refuse_existing(path: &Path) -> Result<(), KeysError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(KeysError::Exists { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(source) => Err(KeysError::Io { verb: "look at", path: path.to_owned(), source }),
    }
}

/// The passphrase for a new file, if one is wished.
pub(super) fn new_passphrase(
    path: &Path,
    args: &InitArgs,
) -> Result<Option<Zeroizing<String>>, KeysError> {
    match &args.ca.passphrase_file {
        Some(file) => from_file(file).map(Some),
        None if args.passphrase => ask_twice(path).map(Some),
        None => Ok(None),
    }
}

/// Writes the key into a new file, encrypted if there is a passphrase.
pub(super) fn write(
    key: &CaKey,
    path: &Path,
    passphrase: Option<&Zeroizing<String>>,
) -> anyhow::Result<()> {
    let encryption = match passphrase {
        Some(passphrase) => {
            Some(Encryption { passphrase: passphrase.as_bytes(), salt: *system_random()? })
        }
        None => None,
    };
    let text = key
        .to_file(encryption.as_ref())
        .map_err(|source| KeysError::Ca { path: path.to_owned(), source })?;
    Ok(create(path, text.as_bytes())?)
}

/// Creates the file, and its folder if only that is missing. Nothing is left behind when it fails.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<(), KeysError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::AlreadyExists => KeysError::Exists { path: path.to_owned() },
        _ => KeysError::Io { verb: "write", path: path.to_owned(), source },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if let Err(error) = DirBuilder::new().recursive(true).mode(DIR_MODE).create(folder) {
        return Err(KeysError::Io { verb: "make", path: folder.to_owned(), source: error });
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(failed)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(folder)?.sync_all());
    written.map_err(|error| match fs::remove_file(path) {
        Ok(()) => failed(error),
        Err(left) => failed(io::Error::new(
            error.kind(),
            format!("{error}; and a part of it is left there: {left}"),
        )),
    })
}

/// Reads the key, with a passphrase if it needs one. Returns the passphrase that it needed, too.
pub(super) fn read(args: &CaArgs) -> anyhow::Result<(CaKey, Option<Zeroizing<String>>)> {
    let path = path(args)?;
    let text = secret(&path, MAX_CA_FILE_BYTES).map_err(|error| match error {
        KeysError::Unreadable { path, source: SecretFileError::Io(error) }
            if error.kind() == ErrorKind::NotFound =>
        {
            KeysError::NoCa { path }
        }
        other => other,
    })?;
    let unusable = |source| KeysError::Ca { path: path.clone(), source };
    let (file, passphrase) = match CaKey::from_file(&text, None) {
        Err(CaFileError::PassphraseNeeded) => {
            let passphrase = match &args.passphrase_file {
                Some(file) => from_file(file)?,
                None => ask("Passphrase of the CA key: ", &path)?,
            };
            (CaKey::from_file(&text, Some(passphrase.as_bytes())), Some(passphrase))
        }
        read => (read, None),
    };
    let file = file.map_err(unusable)?;
    for word in file.unknown {
        output::say(&format!(
            "warning: {} has a line `{word}` that this version of hobnob does not know; it is ignored",
            path.display()
        ));
    }
    Ok((file.key, passphrase))
}

fn from_file(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    let mut text = secret(path, MAX_PASSPHRASE_BYTES)?;
    let len = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(len);
    if text.is_empty() { Err(KeysError::EmptyPassphrase) } else { Ok(text) }
}

fn ask(prompt: &str, path: &Path) -> Result<Zeroizing<String>, KeysError> {
    match rpassword::prompt_password(prompt) {
        Ok(passphrase) if passphrase.is_empty() => Err(KeysError::EmptyPassphrase),
        Ok(passphrase) => Ok(Zeroizing::new(passphrase)),
        Err(source) => Err(KeysError::NoTerminal { path: path.to_owned(), source }),
    }
}

fn ask_twice(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    let passphrase = ask("Passphrase for the CA key: ", path)?;
    if *ask("The same again: ", path)? == *passphrase {
        Ok(passphrase)
    } else {
        Err(KeysError::OtherPassphrase)
    }
}

/// The text of a file with a secret. Warns on stderr when others than its owner may read or write it.
pub(super) fn secret(path: &Path, max: usize) -> Result<Zeroizing<String>, KeysError> {
    let file = limited(path, max)?;
    if let Some(open_to) = file.open_to {
        output::say(&format!("warning: {}", open_to.warning(path)));
    }
    Ok(file.text)
}

/// A file of at most `max` bytes.
pub(super) fn limited(path: &Path, max: usize) -> Result<SecretFile, KeysError> {
    let failed = |source| KeysError::Unreadable { path: secret_file::shown(path), source };
    secret_file::read(path, max).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_key_lies_in_the_configuration_of_its_user() {
        let (config, home) = (|| Some("/c".into()), || Some("/h".into()));
        assert_eq!(default_path(config(), home()), Some("/c/hobnob/ca.key".into()));
        assert_eq!(default_path(None, home()), Some("/h/.config/hobnob/ca.key".into()));
        assert_eq!(default_path(Some("relative".into()), None), None);
    }

    #[test]
    fn a_new_file_is_its_owners_and_never_replaces_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ca.key");
        create(&path, b"first").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(matches!(create(&path, b"second"), Err(KeysError::Exists { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(matches!(create(&link, b"second"), Err(KeysError::Exists { .. })));
        assert!(!folder.path().join("elsewhere").exists());
    }
}
