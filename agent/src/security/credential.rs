//! The credential with which this agent signs orders.

use std::sync::Arc;

use hobnob_api::{ApiError, ErrorCode};
use hobnob_keys::{CredentialError, OperatorCredential};

/// The key and the certificate of this agent, if the certificate has a role that may give orders.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnCredential(Option<Arc<OperatorCredential>>);

impl From<OperatorCredential> for OwnCredential {
    fn from(credential: OperatorCredential) -> Self {
        Self(Some(Arc::new(credential)))
    }
}

impl OwnCredential {
    /// Whether this agent signs all orders.
    pub(crate) fn is_operator(&self) -> bool {
        self.0.as_ref().is_some_and(|credential| credential.is_operator())
    }

    /// The credential of an operator.
    ///
    /// # Errors
    /// This agent has not the role.
    pub(crate) fn get(&self) -> Result<&OperatorCredential, ApiError> {
        let credential = self.0.as_deref().filter(|credential| credential.is_operator());
        credential.ok_or_else(|| {
            let message = "this agent has not the role operator, and the order is not signed";
            ApiError::new(ErrorCode::RoleMissing, message)
        })
    }
}

/// The refusal of an order that the credential cannot sign.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn refused(error: CredentialError) -> ApiError {
    ApiError::new(ErrorCode::RoleMissing, error.to_string())
}
