//! Bytes as texts in files: base64url for keys, certificates and commands.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// Bytes as base64url without padding.
pub(super) fn text_of(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of such a text.
pub(super) fn bytes_of(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string())
}

/// The bytes of such a text, if they are as many.
pub(super) fn array_of<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let bytes = bytes_of(text)?;
    let len = bytes.len();
    bytes.try_into().map_err(|_| format!("{len} bytes are where {N} belong"))
}

/// Secret bytes as base64url. The text is zeroed on drop, and `Debug` does not show it.
pub(super) struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Self(text)
    }

    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len()));
        // The error would show a character of the secret.
        URL_SAFE_NO_PAD
            .decode_vec(self.0.as_bytes(), &mut bytes)
            .map_err(|_| "it is not base64url".to_owned())?;
        Ok(bytes)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}
