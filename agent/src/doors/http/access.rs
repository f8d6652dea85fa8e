//! The rule of access over HTTP: some may ask, and some may make changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use tokio::time::sleep;

use super::answer::Refused;
use super::console::session;
use crate::access_keys::{AccessRights, KnownKeys};

/// A stream ends this long after its key was revoked, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The reach of the door, which decides what needs an access key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It listens for this host only: questions are open, and changes need a key.
    Host,
    /// It listens beyond this host with TLS: all needs a key, but whether the agent is well. Metrics do not where they are open.
    Encrypted { has_open_metrics: bool },
    /// It listens beyond this host in clear: it answers metrics and whether the agent is well, and nothing else.
    Clear,
}

/// The access keys of an agent, and whether changes need one.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    keys: Arc<KnownKeys>,
    has_open_writes: bool,
}

impl Access {
    /// The rule of an agent with this data directory.
    pub(crate) fn new(data_dir: &Path, has_open_writes: bool) -> Self {
        Self { keys: Arc::new(KnownKeys::new(data_dir)), has_open_writes }
    }

    /// Whether a request may do this: what the log says of its key.
    ///
    /// # Errors
    /// The request has no key that allows it, or the keys cannot be read.
    pub(super) async fn allow(
        &self,
        headers: &HeaderMap,
        wanted: AccessRights,
    ) -> Result<String, Refused> {
        if wanted == AccessRights::Write && self.has_open_writes {
            return Ok("none is needed".to_owned());
        }
        // A browser sends its cookie by itself, so that one makes no changes.
        let of_session =
            || if wanted == AccessRights::Read { session::key_of(headers) } else { None };
        let Some(key) = key_of(headers).or_else(of_session).map(str::to_owned) else {
            let message = "Permission denied: this needs an access key, in the header X-Consul-Token or Authorization: \
                           `hobnob access-key create` makes one";
            return Err(Refused::new(StatusCode::FORBIDDEN, message));
        };
        let keys = self.keys.clone();
        // The file is small, and on a disk.
        let found = tokio::task::spawn_blocking(move || keys.find(&key)).await;
        match found {
            Ok(Ok(Some(key))) if key.rights < wanted => {
                let message =
                    "Permission denied: this access key is for questions, and not for changes";
                Err(Refused::new(StatusCode::FORBIDDEN, message))
            }
            Ok(Ok(Some(key))) if key.name.is_empty() => Ok(key.id),
            Ok(Ok(Some(key))) => Ok(format!("{} ({})", key.id, key.name)),
            Ok(Ok(None)) => {
                let message = "Permission denied: this is no access key of this agent";
                Err(Refused::new(StatusCode::FORBIDDEN, message))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "access keys cannot be read, and what needs one over HTTP is refused");
                let message = "the access keys of this agent cannot be read: its log says why";
                Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, message))
            }
            Err(_) => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")),
        }
    }

    /// Ends once the key of an earlier request allows this no more. Keys that cannot be read are not taken for revoked.
    pub(super) async fn revoked(self, headers: HeaderMap, wanted: AccessRights) {
        loop {
            sleep(LOOK_EVERY).await;
            if let Err(refused) = self.allow(&headers, wanted).await
                && refused.status == StatusCode::FORBIDDEN
            {
                return;
            }
        }
    }
}

/// The key that a request brings: in Consul's header, or as a bearer token.
pub(super) fn key_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    text("x-consul-token").filter(|token| !token.is_empty()).or(bearer)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::access_keys;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_key_stands_in_either_header() {
        let of = |pairs: &[_]| key_of(&headers(pairs)).map(str::to_owned);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("x-consul-token", "a")]), Some("a".to_owned()));
        assert_eq!(of(&[("authorization", "bearer b")]), Some("b".to_owned()));
        let both = [("x-consul-token", ""), ("authorization", "Bearer b")];
        assert_eq!(of(&both), Some("b".to_owned()));
        assert_eq!(of(&[("authorization", "Basic b")]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_revoked_ends_what_it_began() {
        let home = tempfile::tempdir().expect("a directory");
        let access = Access::new(home.path(), false);
        let (key, text) =
            access_keys::create(home.path(), "", AccessRights::Read, 0).expect("made");
        let headers = headers(&[("x-consul-token", text.as_str())]);
        let revoked = access.revoked(headers, AccessRights::Read);
        tokio::pin!(revoked);
        assert!(timeout(10 * LOOK_EVERY, &mut revoked).await.is_err(), "the key is good");
        access_keys::revoke(home.path(), &key.id).expect("revoked");
        revoked.await;
    }

    #[tokio::test]
    async fn a_key_for_questions_makes_no_changes() {
        use AccessRights::{Read, Write};
        let home = tempfile::tempdir().expect("a directory");
        let access = Access::new(home.path(), false);
        let key = |rights| access_keys::create(home.path(), "", rights, 0).expect("made").1;
        let (reader, writer) = (key(Read), key(Write));
        for (key, wanted, is_allowed) in [
            (Some(&reader), Read, true),
            (Some(&reader), Write, false),
            (Some(&writer), Read, true),
            (Some(&writer), Write, true),
            (None, Read, false),
        ] {
            let headers = headers(
                &key.map(|key| ("x-consul-token", &***key)).into_iter().collect::<Vec<_>>(),
            );
            assert_eq!(
                access.allow(&headers, wanted).await.is_ok(),
                is_allowed,
                "{key:?} {wanted:?}"
            );
        }
        let open = Access::new(home.path(), true);
        assert!(open.allow(&HeaderMap::new(), Write).await.is_ok());
        assert!(
            open.allow(&HeaderMap::new(), Read).await.is_err(),
            "open for changes of this host alone"
        );
    }

    #[tokio::test]
    async fn the_cookie_of_a_browser_counts_for_questions_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let access = Access::new(home.path(), false);
        let made = access_keys::create(home.path(), "", AccessRights::Write, 0).expect("made");
        let cookie = format!("a=b; __Host-hobnob={}", *made.1);
        let headers = headers(&[("cookie", &cookie)]);
        assert!(access.allow(&headers, AccessRights::Read).await.is_ok());
        assert!(access.allow(&headers, AccessRights::Write).await.is_err());
    }
}
