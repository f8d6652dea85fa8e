//! Who may make changes over HTTP.

use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;

use super::answer::Refused;
use crate::access_keys::KnownKeys;

/// The rule for changes.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Every process of the host may make them.
    Open,
    /// Those who bring one of these keys may.
    Keys(Arc<KnownKeys>),
}

impl Access {
    /// The rule of an agent with this data directory.
    pub(crate) fn new(data_dir: &Path, open_writes: bool) -> Self {
        if open_writes { Self::Open } else { Self::Keys(Arc::new(KnownKeys::new(data_dir))) }
    }

    /// Whether the bringer of a key may make changes: what the log says of it.
    pub(super) async fn allow_change(&self, key: Option<&str>) -> Result<String, Refused> {
        let keys = match self {
            Self::Open => return Ok("none is needed".to_owned()),
            Self::Keys(keys) => keys.clone(),
        };
        let Some(key) = key.map(str::to_owned) else {
            let message = "Permission denied: a change over HTTP needs an access key, in the header X-Consul-Token or \
                           Authorization: `hobnob access-key create` makes one";
            return Err(Refused::new(StatusCode::FORBIDDEN, message));
        };
        // The file is small, and on a disk.
        let found = tokio::task::spawn_blocking(move || keys.find(&key)).await;
        match found {
            Ok(Ok(Some(key))) if key.name.is_empty() => Ok(key.id),
            Ok(Ok(Some(key))) => Ok(format!("{} ({})", key.id, key.name)),
            Ok(Ok(None)) => {
                let message = "Permission denied: this is no access key of this agent";
                Err(Refused::new(StatusCode::FORBIDDEN, message))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "access keys cannot be read, and changes over HTTP are refused");
                let message = "the access keys of this agent cannot be read: its log says why";
                Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, message))
            }
            Err(_) => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")),
        }
    }
}
