//! The credential of an operator: a token with that role, in a file.

use std::path::Path;

use hobnob_agent::system_random;
use hobnob_keys::{MAX_TOKEN_CHARS, NodeKey, OperatorCredential, Roles, Token};
use zeroize::Zeroizing;

use super::{KeysError, ca_file, from_stdin};
use crate::args::CredentialArgs;

/// The credential that was named, if one was. Its key is new and used for this command alone.
pub(super) fn read(args: &CredentialArgs) -> anyhow::Result<Option<OperatorCredential>> {
    let Some(path) = args.credential.as_deref() else { return Ok(None) };
    let text = if path == Path::new("-") {
        Zeroizing::new(from_stdin()?)
    } else {
        ca_file::secret(path, 4 * MAX_TOKEN_CHARS)?
    };
    let path = path.to_owned();
    let token = Token::parse(&text)
        .map_err(|source| KeysError::Credential { path: path.clone(), source })?;
    if !token.limits().roles.has(Roles::OPERATOR) {
        return Err(KeysError::NoRole { path, token: token.fingerprint() }.into());
    }
    Ok(Some(token.credential(NodeKey::from_seed(&*system_random()?))?))
}
