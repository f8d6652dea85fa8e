//! The session of a browser: it trades its access key for a cookie, which scripts cannot read and other sites cannot send. The cookie counts
//! for questions only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::access_keys::AccessRights;
use crate::doors::http::access::key_of as key_of_request;
use crate::doors::http::answer::Refused;
use crate::doors::http::routes::Routes;

/// The prefix has browsers take it from this host alone, encrypted, for all paths.
const NAME: &str = "__Host-hobnob";
const ATTRIBUTES: &str = "Path=/; Secure; HttpOnly; SameSite=Strict";

/// Answers `POST /ui/session`: the key in the header comes back as a cookie.
pub(super) async fn begin(State(routes): State<Arc<Routes>>, headers: HeaderMap) -> Response {
    match trade(&routes, &headers).await {
        Ok(cookie) => (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn trade(routes: &Routes, headers: &HeaderMap) -> Result<String, Refused> {
    routes.allow(headers, AccessRights::Read).await?;
    let key = key_of_request(headers).filter(|key| is_plain(key));
    let key =
        key.ok_or_else(|| Refused::bad("the key has to come as `Authorization: Bearer KEY`"))?;
    Ok(format!("{NAME}={key}; {ATTRIBUTES}"))
}

/// Answers `DELETE /ui/session`: the browser forgets the cookie.
pub(super) async fn end() -> Response {
    let cookie = format!("{NAME}=; Max-Age=0; {ATTRIBUTES}");
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

/// The key in the cookie of a request.
pub(in crate::doors::http) fn key_of(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).map(str::trim);
    let (_, key) = pairs.find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == NAME))?;
    Some(key).filter(|key| !key.is_empty())
}

/// Whether a key may stand in a cookie as it is.
fn is_plain(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_among_other_cookies() {
        let of = |cookies: &[&str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, cookie.parse().expect("a value"));
            }
            key_of(&headers).map(str::to_owned)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a=b; __Host-hobnob=k=1; c=d"]), Some("k=1".to_owned()));
        assert_eq!(of(&["a=b", "__Host-hobnob=k"]), Some("k".to_owned()));
        assert_eq!(of(&["__Host-hobnob="]), None);
        assert_eq!(of(&["x__Host-hobnob=k; __host-hobnob=l"]), None);
    }

    #[test]
    fn a_key_cannot_add_attributes() {
        assert!(is_plain("hk1.Ab-9_~+/="));
        for key in ["a;b", "a b", "a,b", "a\"b", "\u{e9}"] {
            assert!(!is_plain(key), "{key}");
        }
    }
}
