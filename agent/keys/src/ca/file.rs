//! The file of a CA key: lines of a word and a value, the format first.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::passphrase::{self, Cost, SALT_BYTES, SEALED_BYTES};
use super::{CaKey, Encryption};
use crate::key::{ClusterId, PublicKey, SigningKey};
use crate::names::Name;

/// The most bytes of the file of a CA key.
pub const MAX_CA_FILE_BYTES: usize = 4_096;

const FORMAT: u32 = 1;
const FIRST_WORD: &str = "hobnob-ca-key";
const ALGORITHM: &str = "argon2id";

/// The content of the file of a CA key.
#[derive(Debug)]
pub struct CaFile {
    /// The key.
    pub key: CaKey,
    /// The first words of lines that this version does not know, and passed over.
    pub unknown: Vec<String>,
}

/// The file of a CA key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaFileError {
    /// It does not begin as such a file does.
    #[error("this is no CA key file: such a file begins with `{FIRST_WORD}`")]
    NotACaFile,
    /// It is longer than [`MAX_CA_FILE_BYTES`].
    #[error("the file has {bytes} bytes, and a CA key file has {MAX_CA_FILE_BYTES} at most")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is of another format.
    #[error(
        "the CA key file has format {format}, and this version of hobnob reads format {FORMAT}"
    )]
    OtherFormat {
        /// The format.
        format: u32,
    },
    /// A line has no valid value.
    #[error("line {line} of the CA key file, `{word}`, is invalid: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// Its first word.
        word: String,
        /// Why it is invalid.
        reason: String,
    },
    /// A line is missing.
    #[error("the CA key file has no line `{word}`")]
    Missing {
        /// Its first word.
        word: &'static str,
    },
    /// It is encrypted, and no passphrase is given.
    #[error("the CA key file is encrypted, and no passphrase is given")]
    PassphraseNeeded,
    /// The passphrase is wrong, or the file was changed.
    #[error("the passphrase is wrong, or the CA key file was changed")]
    WrongPassphrase,
    /// The secret key is not that of the public key.
    #[error("the CA key file is damaged: its secret key does not belong to its public key")]
    OtherKey,
    /// The passphrase cannot be used.
    #[error(
        "the CA key cannot be encrypted: there is not enough memory, or the passphrase is too long"
    )]
    NotEncrypted,
}

/// First words of lines.
mod word {
    pub(super) const CLUSTER: &str = "cluster";
    pub(super) const CLUSTER_ID: &str = "cluster-id";
    pub(super) const PUBLIC_KEY: &str = "public-key";
    pub(super) const SECRET_KEY: &str = "secret-key";
    pub(super) const SEALED_KEY: &str = "sealed-key";
}

impl CaKey {
    /// The text of the file, encrypted if a passphrase is given.
    ///
    /// # Errors
    /// The passphrase is too long, or there is not enough memory to use it.
    pub fn to_file(
        &self,
        encryption: Option<&Encryption<'_>>,
    ) -> Result<Zeroizing<String>, CaFileError> {
        // Room for all of it from the beginning, so that no copy of the key is left behind by growth.
        let mut text = Zeroizing::new(String::with_capacity(MAX_CA_FILE_BYTES));
        text.push_str(&format!(
            "{FIRST_WORD} {FORMAT}\n{} {}\n{} {}\n{} {}\n",
            word::CLUSTER,
            self.cluster_name,
            word::CLUSTER_ID,
            self.cluster,
            word::PUBLIC_KEY,
            self.public_key(),
        ));
        match encryption {
            None => {
                text.push_str(word::SECRET_KEY);
                text.push(' ');
                URL_SAFE_NO_PAD.encode_string(self.key.seed(), &mut text);
            }
            Some(with) => {
                let cost = Cost::DEFAULT;
                let sealed = passphrase::seal(self.key.seed(), text.as_bytes(), cost, with)
                    .ok_or(CaFileError::NotEncrypted)?;
                text.push_str(&sealed_line(cost, with, &sealed));
            }
        }
        text.push('\n');
        Ok(text)
    }

    /// Reads the text of a file. The passphrase is not used if the file is not encrypted.
    ///
    /// # Errors
    /// It is no such file, of another format, damaged, or needs another passphrase.
    pub fn from_file(text: &str, passphrase: Option<&[u8]>) -> Result<CaFile, CaFileError> {
        if text.len() > MAX_CA_FILE_BYTES {
            return Err(CaFileError::TooLong { bytes: text.len() });
        }
        let lines = Lines::read(text)?;
        let cluster = ClusterId(lines.find(word::CLUSTER_ID)?.hex()?);
        let public_key = PublicKey(lines.find(word::PUBLIC_KEY)?.hex()?);
        let cluster_name: Name = lines.find(word::CLUSTER)?.parsed()?;
        let seed = match lines.find(word::SECRET_KEY) {
            Ok(line) => Zeroizing::new(line.base64(line.value)?),
            Err(_) => {
                let line = lines.find(word::SEALED_KEY)?;
                opened(line, &text.as_bytes()[..line.start], passphrase)?
            }
        };
        let key = SigningKey::from_seed(&seed);
        if key.public_key() != public_key {
            return Err(CaFileError::OtherKey);
        }
        Ok(CaFile { key: CaKey { key, cluster, cluster_name }, unknown: lines.unknown() })
    }
}

fn sealed_line(cost: Cost, with: &Encryption<'_>, sealed: &[u8; SEALED_BYTES]) -> String {
    let Cost { memory_kib, passes, lanes } = cost;
    let [salt, sealed] = [&with.salt[..], sealed].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    let word = word::SEALED_KEY;
    format!("{word} {ALGORITHM} m={memory_kib} t={passes} p={lanes} {salt} {sealed}")
}

/// Opens the sealed key of a line. All lines before it are authenticated.
fn opened(
    line: &Line<'_>,
    header: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Zeroizing<[u8; 32]>, CaFileError> {
    let fields: Vec<&str> = line.value.split(' ').collect();
    let [ALGORITHM, memory, passes, lanes, salt, sealed] = fields[..] else {
        return Err(line.invalid(&"it is not of the form `argon2id m=N t=N p=N SALT KEY`"));
    };
    let number = |field: &str, name| {
        let number = field.strip_prefix(name).and_then(|number| number.parse().ok());
        number.ok_or_else(|| line.invalid(&format_args!("`{name}N` is expected")))
    };
    let cost = Cost {
        memory_kib: number(memory, "m=")?,
        passes: number(passes, "t=")?,
        lanes: number(lanes, "p=")?,
    };
    if !cost.is_bearable() {
        return Err(line.invalid(&"its m, t or p is out of range"));
    }
    let (salt, sealed) = (line.base64::<SALT_BYTES>(salt)?, line.base64::<SEALED_BYTES>(sealed)?);
    let passphrase = passphrase.ok_or(CaFileError::PassphraseNeeded)?;
    passphrase::open(sealed, header, cost, &Encryption { passphrase, salt })
        .ok_or(CaFileError::WrongPassphrase)
}

/// The lines after the first.
struct Lines<'a>(Vec<Line<'a>>);

struct Line<'a> {
    /// From 1.
    number: usize,
    /// The byte of the file at which it begins.
    start: usize,
    word: &'a str,
    value: &'a str,
}

impl<'a> Lines<'a> {
    fn read(text: &'a str) -> Result<Self, CaFileError> {
        let mut lines = vec![];
        let mut start = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let (word, value) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
            lines.push(Line { number, start, word, value });
            start += line.len();
        }
        let first = lines.first().filter(|line| line.word == FIRST_WORD);
        let format = first.and_then(|line| line.value.parse().ok());
        match format.ok_or(CaFileError::NotACaFile)? {
            FORMAT => Ok(Self(lines)),
            format => Err(CaFileError::OtherFormat { format }),
        }
    }

    fn find(&self, word: &'static str) -> Result<&Line<'a>, CaFileError> {
        self.0.iter().find(|line| line.word == word).ok_or(CaFileError::Missing { word })
    }

    fn unknown(&self) -> Vec<String> {
        use word::{CLUSTER, CLUSTER_ID, PUBLIC_KEY, SEALED_KEY, SECRET_KEY};
        let known = [FIRST_WORD, CLUSTER, CLUSTER_ID, PUBLIC_KEY, SECRET_KEY, SEALED_KEY, ""];
        let unknown = self.0.iter().filter(|line| !known.contains(&line.word));
        unknown.map(|line| line.word.to_owned()).collect()
    }
}

impl Line<'_> {
    fn invalid(&self, reason: &dyn fmt::Display) -> CaFileError {
        let (line, word) = (self.number, self.word.to_owned());
        CaFileError::Line { line, word, reason: reason.to_string() }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self) -> Result<T, CaFileError> {
        self.value.parse().map_err(|error: T::Err| self.invalid(&error))
    }

    fn hex<const N: usize>(&self) -> Result<[u8; N], CaFileError> {
        let digits = self.value.as_bytes();
        let byte = |at: usize| {
            let pair = std::str::from_utf8(&digits[2 * at..2 * at + 2]).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let is_hex = digits.len() == 2 * N && digits.iter().all(u8::is_ascii_hexdigit);
        let bytes: Option<Vec<u8>> = is_hex.then(|| (0..N).map(byte).collect()).flatten();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .ok_or_else(|| self.invalid(&format_args!("{} hexadecimal digits are expected", 2 * N)))
    }

    fn base64<const N: usize>(&self, text: &str) -> Result<[u8; N], CaFileError> {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).unwrap_or_default());
        let expected = || self.invalid(&format_args!("{N} bytes in base64url are expected"));
        bytes.as_slice().try_into().map_err(|_| expected())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = [3; SALT_BYTES];

    fn key() -> CaKey {
        CaKey::found("prod".parse().unwrap(), &[1; 32])
    }

    /// Encrypted at a cost that a test can bear.
    fn sealed(passphrase: &[u8], cost: Cost) -> String {
        let plain = key().to_file(None).unwrap();
        let header = &plain[..plain.find(word::SECRET_KEY).unwrap()];
        let with = Encryption { passphrase, salt: SALT };
        let sealed = passphrase::seal(&[1; 32], header.as_bytes(), cost, &with).unwrap();
        let line = sealed_line(cost, &with, &sealed);
        format!("{header}{line}\n")
    }

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

    fn error(text: &str, passphrase: Option<&[u8]>) -> String {
        CaKey::from_file(text, passphrase).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let successor = key().successor(&[2; 32]);
        for key in [key(), successor] {
            let read = CaKey::from_file(&key.to_file(None).unwrap(), None).unwrap();
            assert_eq!(read.key.to_file(None).unwrap(), key.to_file(None).unwrap());
            assert_eq!((read.key.cluster(), read.unknown), (self::key().cluster(), vec![]));
        }
    }

    #[test]
    fn an_encrypted_file_opens_with_its_passphrase_only() {
        let text = sealed(b"correct horse", CHEAP);
        let read = CaKey::from_file(&text, Some(b"correct horse")).unwrap();
        assert_eq!(read.key.public_key(), key().public_key());
        assert_eq!(CaKey::from_file(&text, None).unwrap_err(), CaFileError::PassphraseNeeded);
        let wrong = CaKey::from_file(&text, Some(b"battery")).unwrap_err();
        assert_eq!(wrong, CaFileError::WrongPassphrase);
        let renamed = text.replace("cluster prod", "cluster test");
        let wrong = CaKey::from_file(&renamed, Some(b"correct horse")).unwrap_err();
        assert_eq!(wrong, CaFileError::WrongPassphrase, "the lines before are authenticated");
    }

    #[test]
    fn the_default_cost_opens_again() {
        let with = Encryption { passphrase: b"p", salt: SALT };
        let text = key().to_file(Some(&with)).unwrap();
        assert!(text.contains("\nsealed-key argon2id m=65536 t=3 p=1 "), "{}", *text);
        assert!(!text.contains(word::SECRET_KEY));
        assert!(CaKey::from_file(&text, Some(b"p")).is_ok());
    }

    #[test]
    fn a_file_may_not_ask_for_all_memory() {
        let text = sealed(b"p", CHEAP);
        for wrong in ["m=4294967295", "m=1048577", "m=0", "m=99999999999"] {
            let error = error(&text.replace("m=8", wrong), Some(b"p"));
            assert!(error.starts_with("line 5 of the CA key file, `sealed-key`"), "{error}");
        }
    }

    #[test]
    fn an_unusable_file_is_refused_with_the_reason() {
        let text = key().to_file(None).unwrap();
        for (text, says) in [
            (String::new(), "this is no CA key file"),
            ("hobnob1_abc".to_owned(), "this is no CA key file"),
            (
                text.replace("key 1\n", "key 2\n"),
                "has format 2, and this version of hobnob reads format 1",
            ),
            (text.replace("public-key", "public"), "has no line `public-key`"),
            (text.replace("secret-key", "secret"), "has no line `sealed-key`"),
            (text.replace("cluster prod", "cluster a,b"), "line 2 of the CA key file, `cluster`"),
            (text.replace("cluster-id ", "cluster-id x"), "64 hexadecimal digits"),
            (text.replace("secret-key ", "secret-key x"), "32 bytes in base64url"),
            (text.replace("secret-key AQ", "secret-key BQ"), "does not belong to its public key"),
            (" ".repeat(MAX_CA_FILE_BYTES + 1), "4096 at most"),
        ] {
            let error = error(&text, None);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn lines_of_a_later_version_are_passed_over_and_named() {
        let text = key().to_file(None).unwrap().replace("cluster-id", "retired 2030\ncluster-id");
        let read = CaKey::from_file(&text, None).unwrap();
        assert_eq!(read.unknown, ["retired"]);
    }
}
