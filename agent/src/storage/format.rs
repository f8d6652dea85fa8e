//! The format of files, so that other versions of Hobnob can read them.
//!
//! Every file begins with its format and with the version that wrote it. Within a format, fields may be added: a
//! version that does not know a field skips it and logs one warning for the file. Any other change, such as a field
//! that changes its meaning, needs a new format, which older versions refuse.

use std::collections::BTreeSet;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::disk::{Disk, FileError};
use super::error::OpenError;

/// This version of Hobnob, as files name it.
const SOFTWARE: &str = env!("CARGO_PKG_VERSION");
/// The most unknown fields that a warning names.
const MAX_FIELDS_NAMED: usize = 8;

/// The beginning of every file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Any number, so that the format of any later version can be named.
    format: u64,
    /// The version of Hobnob that wrote the file.
    #[serde(default)]
    written_by: String,
}

impl Head {
    /// The head of a file that this version writes.
    pub(super) fn of(format: u32) -> Self {
        Self { format: format.into(), written_by: SOFTWARE.to_owned() }
    }

    /// Refuses a file of any other format than the known one.
    pub(super) fn check(&self, path: &Path, known: u32) -> Result<(), OpenError> {
        if self.format == u64::from(known) {
            return Ok(());
        }
        Err(OpenError::OtherFormat {
            path: path.to_owned(),
            format: self.format,
            written_by: self.written_by.clone(),
            known,
        })
    }
}

/// A file that is one JSON object: its head, then its fields.
#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    fields: &'a T,
}

/// The reason for which a document cannot be read.
pub(super) enum DocumentError {
    /// The document has another format.
    Format(OpenError),
    /// It is not a document of Hobnob, or it is damaged.
    Malformed(String),
}

/// The bytes of a document with its head.
pub(super) fn encode<T: Serialize>(
    disk: &dyn Disk,
    file: &str,
    format: u32,
    fields: &T,
) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    write(disk, file, format, fields, &mut bytes)?;
    Ok(bytes)
}

/// The same for a document that holds secrets, of at most this length. They are zeroed on drop.
pub(super) fn encode_secret<T: Serialize>(
    disk: &dyn Disk,
    file: &str,
    format: u32,
    fields: &T,
    max_len: usize,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // Room for all of it from the beginning, so that no copy is left behind by growth.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_len));
    write(disk, file, format, fields, &mut bytes)?;
    Ok(bytes)
}

fn write<T: Serialize>(
    disk: &dyn Disk,
    file: &str,
    format: u32,
    fields: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), FileError> {
    let document = Document { head: Head::of(format), fields };
    serde_json::to_writer(&mut *bytes, &document)
        .map_err(|error| FileError::of("encode", &disk.path(file))(error.into()))?;
    bytes.push(b'\n');
    Ok(())
}

/// Reads a document of the known format.
pub(super) fn decode<T: DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
    known: u32,
) -> Result<T, DocumentError> {
    let malformed = |error: serde_json::Error| DocumentError::Malformed(error.to_string());
    let head: Head = serde_json::from_slice(bytes).map_err(malformed)?;
    head.check(path, known).map_err(DocumentError::Format)?;
    let mut unknown = UnknownFields::default();
    let fields = unknown.parse(bytes).map_err(malformed)?;
    unknown.forget(["format", "written_by"]);
    unknown.warn(path, &head);
    Ok(fields)
}

/// The fields of a file that this version does not know.
#[derive(Debug, Default)]
pub(super) struct UnknownFields(BTreeSet<String>);

impl UnknownFields {
    /// Parses JSON, and notes the fields that `T` does not have.
    pub(super) fn parse<T: DeserializeOwned>(&mut self, json: &[u8]) -> serde_json::Result<T> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let parsed = serde_ignored::deserialize(&mut deserializer, |path| {
            self.note(&path.to_string());
        })?;
        deserializer.end()?;
        Ok(parsed)
    }

    /// Notes a field. Its path leaves out indices of lists, so a field counts once, however long the list is.
    pub(super) fn note(&mut self, path: &str) {
        let is_index = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let names: Vec<&str> =
            path.split('.').filter(|part| *part != "?" && !is_index(part)).collect();
        self.0.insert(names.join("."));
    }

    fn forget(&mut self, fields: [&str; 2]) {
        self.0.retain(|known| !fields.contains(&known.as_str()));
    }

    /// Logs one warning for the file if it has unknown fields.
    pub(super) fn warn(&self, path: &Path, head: &Head) {
        if self.0.is_empty() {
            return;
        }
        let named: Vec<&str> = self.0.iter().take(MAX_FIELDS_NAMED).map(String::as_str).collect();
        tracing::warn!(
            path = %path.display(),
            written_by = head.written_by,
            fields = named.join(", "),
            count = self.0.len(),
            "the file has fields that this version of hobnob does not know; they are ignored"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::fake_disk::FakeDisk;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: u8,
        inner: Vec<Inner>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        y: u8,
    }

    fn read(json: &str) -> Result<Point, DocumentError> {
        decode(Path::new("point.json"), json.as_bytes(), 2)
    }

    #[test]
    fn a_document_begins_with_its_format() {
        let point = Point { x: 1, inner: vec![Inner { y: 2 }] };
        let text =
            String::from_utf8(encode(&FakeDisk::new(), "point.json", 2, &point).expect("encoded"))
                .expect("text");
        let begins = format!(r#"{{"format":2,"written_by":"{SOFTWARE}","x":1,"#);
        assert!(text.starts_with(&begins), "{text}");
        assert_eq!(read(&text).ok(), Some(point));
    }

    #[test]
    fn another_format_is_refused_before_anything_else_is_read() {
        for format in [1, 3, u32::MAX] {
            let text =
                format!(r#"{{"format":{format},"written_by":"9.8.7","x":"of another type"}}"#);
            let Err(DocumentError::Format(error)) = read(&text) else { panic!("{text}") };
            let message = error.to_string();
            for part in ["point.json", &format.to_string(), "9.8.7", SOFTWARE, "format 2"] {
                assert!(message.contains(part), "no {part} in: {message}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_document_are_malformed() {
        for text in ["", "[]", "{}", r#"{"format":2}"#, r#"{"format":"2","x":1,"inner":[]}"#] {
            assert!(matches!(read(text), Err(DocumentError::Malformed(_))), "{text}");
        }
        let trailing = r#"{"format":2,"x":1,"inner":[]} {}"#;
        assert!(matches!(read(trailing), Err(DocumentError::Malformed(_))));
    }

    #[test]
    fn each_unknown_field_is_noted_once() {
        let json = br#"{"x":1,"new":{"deep":1},"inner":[{"y":1,"z":1},{"y":2,"z":2}]}"#;
        let mut unknown = UnknownFields::default();
        let point: Point = unknown.parse(json).expect("parsed");
        assert_eq!(point.inner.len(), 2);
        assert_eq!(unknown.0, BTreeSet::from(["new".to_owned(), "inner.z".to_owned()]));
    }
}
