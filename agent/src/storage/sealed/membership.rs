//! The file with the membership of this node in a sealed cluster. It holds no secret.

use hobnob_keys::{Certificate, ClusterId, PublicKey, Trust};
use serde::{Deserialize, Serialize};

use super::super::disk::{Disk, FileError};
use super::super::error::OpenError;
use super::super::format::{self, DocumentError};
use super::super::limits::MAX_SMALL_FILE_BYTES;
use super::encoding::{array_of, bytes_of, text_of};

/// The name of the file in the data directory.
pub(in crate::storage) const FILE: &str = "membership.json";
/// The format that this version writes, and the only one that it reads.
const FORMAT: u32 = 1;

/// The membership of a node in a sealed cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMembership {
    /// The cluster, and the CA key of the certificate. Which other one counts is kept with the keys.
    pub trust: Trust,
    /// The certificate of the node.
    pub certificate: Certificate,
    /// The members to join at that its token named.
    pub seeds: Vec<String>,
}

/// The fields of the file. Bytes are base64url.
#[derive(Serialize, Deserialize)]
struct StoredMembership {
    cluster_id: String,
    authorities: Vec<String>,
    certificate: String,
    #[serde(default)]
    seeds: Vec<String>,
}

impl KeptMembership {
    /// Reads the membership; `None` when there is none.
    pub(in crate::storage) fn load(disk: &dyn Disk) -> Result<Option<Self>, OpenError> {
        let path = disk.path(FILE);
        let Some(bytes) = disk.read(FILE, MAX_SMALL_FILE_BYTES)? else { return Ok(None) };
        let corrupt = |reason| OpenError::CorruptMembership { path: path.clone(), reason };
        match format::decode::<StoredMembership>(&path, &bytes, FORMAT) {
            Ok(stored) => Self::of_stored(stored).map(Some).map_err(corrupt),
            Err(DocumentError::Format(error)) => Err(error),
            Err(DocumentError::Malformed(reason)) => Err(corrupt(reason)),
        }
    }

    /// Replaces the membership.
    pub(in crate::storage) fn save(&self, disk: &mut dyn Disk) -> Result<(), FileError> {
        let stored = StoredMembership {
            cluster_id: text_of(&self.trust.cluster().0),
            authorities: self.trust.authorities().map(|key| text_of(&key.0)).collect(),
            certificate: text_of(self.certificate.as_bytes()),
            seeds: self.seeds.clone(),
        };
        let content = format::encode(disk, FILE, FORMAT, &stored)?;
        disk.replace(FILE, &content)
    }

    fn of_stored(stored: StoredMembership) -> Result<Self, String> {
        let cluster = ClusterId(array_of(&stored.cluster_id)?);
        let authorities = stored.authorities.iter().map(|key| Ok(PublicKey(array_of(key)?)));
        let authorities: Vec<PublicKey> = authorities.collect::<Result<_, String>>()?;
        let trust = match authorities[..] {
            [authority] => Trust::new(cluster, authority),
            _ => {
                let count = authorities.len();
                return Err(format!("it has {count} CA keys instead of 1"));
            }
        };
        let certificate = bytes_of(&stored.certificate)?;
        let certificate = Certificate::decode(&certificate).map_err(|error| error.to_string())?;
        Ok(Self { trust, certificate, seeds: stored.seeds })
    }
}
