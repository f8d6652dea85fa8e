//! Changes in Consul's form: `/v1/agent/service/register` and others. They are those of the unix socket, and need an access key.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hobnob_api::{CheckStatus, DEFAULT_NAMESPACE, Probe, Request};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::answer::Refused;
use super::super::connection::{Connection, caller};
use super::super::limits::{BODY_WITHIN, Limit, MAX_BODY_BYTES};
use super::super::parameters::{Parameters, truth};
use super::super::routes::Routes;
use super::agent::{check_id, own};
use crate::access_keys::AccessRights;
use crate::definitions::from_consul;
use crate::doors::unix::handler::Handler;

/// What a change comes with.
pub(super) struct Asker<'a> {
    routes: &'a Routes,
    connection: &'a Connection,
    headers: &'a HeaderMap,
}

impl<'a> Asker<'a> {
    pub(super) fn new(
        routes: &'a Routes,
        connection: &'a Connection,
        headers: &'a HeaderMap,
    ) -> Self {
        Self { routes, connection, headers }
    }

    /// The agent, if the asker may change something there, and the name of the key that says so.
    async fn admit(&self) -> Result<(&'a Arc<Handler>, String), Refused> {
        let allowed = self.routes.allow(self.headers, AccessRights::Write).await?;
        let handler = self.routes.handler()?;
        Ok((handler, allowed))
    }

    /// Makes a change.
    async fn make(&self, request: Request) -> Result<Response, Refused> {
        let (handler, key) = self.admit().await?;
        let _place = self.routes.limits.take(Limit::InFlight)?;
        let change = request.name();
        let mut picks = self.connection.picks(self.routes.budget(handler)).lock().await;
        handler.try_answer(request, caller(), &mut picks).await?;
        tracing::info!(key, change, "a client over HTTP made a change");
        Ok(StatusCode::OK.into_response())
    }
}

/// The body of a request in JSON.
async fn body_of(body: Body) -> Result<Value, Refused> {
    let read = timeout(BODY_WITHIN, to_bytes(body, MAX_BODY_BYTES)).await;
    let read = read.map_err(|_| {
        Refused::new(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time")
    })?;
    let read = read.map_err(|_| {
        let message = format!("the body breaks off, or has more than {MAX_BODY_BYTES} bytes");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    if read.is_empty() {
        return Ok(Value::Null);
    }
    let read = serde_json::from_slice(&read);
    read.map_err(|error| Refused::bad(format!("the body is no JSON: {error}")))
}

/// Registers an instance, or replaces it with its checks.
pub(super) async fn register(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let asker = Asker::new(&routes, &connection, &headers);
    // Before anything of the body is read.
    asker.admit().await?;
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    // Checks are always replaced.
    parameters.flag("replace-existing-checks")?;
    parameters.finish(&["ns", "replace-existing-checks"])?;
    let (mut registration, warnings) =
        from_consul(&body_of(body).await?).map_err(|problems| Refused::bad(problems.join("\n")))?;
    for warning in warnings {
        tracing::debug!(warning, "a part of a registration over HTTP has no effect");
    }
    if registration.checks.iter().any(|check| matches!(check.probe, Probe::Script { .. })) {
        let message = "Permission denied: a check that runs a program is registered by a file, or at the unix socket";
        return Err(Refused::new(StatusCode::FORBIDDEN, message));
    }
    if let Some(namespace) = namespace {
        registration.namespace = namespace;
    }
    asker.make(Request::Register(Box::new(registration))).await
}

/// Deregisters an instance.
pub(super) async fn deregister(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    common(&mut parameters)?;
    parameters.finish(&["ns"])?;
    let request = json!({ "deregister": { "id": id } });
    Asker::new(&routes, &connection, &headers).make(read(request)?).await
}

/// Begins or ends the maintenance of an instance.
pub(super) async fn maintenance(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    common(&mut parameters)?;
    let on = parameters.text("enable")?.as_deref().and_then(truth);
    let on = on.ok_or_else(|| Refused::bad("Missing value for enable: it is true or false"))?;
    let reason = parameters.text("reason")?.unwrap_or_default();
    parameters.finish(&["enable", "reason", "ns"])?;
    let request = Request::Maintenance { on, id: Some(id), reason };
    Asker::new(&routes, &connection, &headers).make(request).await
}

macro_rules! reports {
    ($($name:ident $status:ident,)*) => {
        $(
            /// Takes a report with this status.
            pub(super) async fn $name(
                State(routes): State<Arc<Routes>>,
                Extension(connection): Extension<Arc<Connection>>,
                Path(check): Path<String>,
                RawQuery(query): RawQuery,
                headers: HeaderMap,
            ) -> Result<Response, Refused> {
                let mut parameters = Parameters::parse(query.as_deref())?;
                let namespace = common(&mut parameters)?;
                let note = parameters.text("note")?.unwrap_or_default();
                parameters.finish(&["note", "ns"])?;
                let asker = Asker::new(&routes, &connection, &headers);
                report(&asker, &check, namespace, CheckStatus::$status, note).await
            }
        )*
    };
}

reports! {
    pass Passing,
    warn Warning,
    fail Critical,
}

/// Takes a report whose status stands in the body.
pub(super) async fn update(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(check): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let asker = Asker::new(&routes, &connection, &headers);
    asker.admit().await?;
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    parameters.finish(&["ns"])?;
    let body = body_of(body).await?;
    let status = body["Status"].as_str().and_then(CheckStatus::of);
    let Some(status) = status else {
        return Err(Refused::bad("`Status` is passing, warning or critical"));
    };
    let note = body["Output"].as_str().unwrap_or_default().to_owned();
    report(&asker, &check, namespace, status, note).await
}

async fn report(
    asker: &Asker<'_>,
    check: &str,
    namespace: Option<String>,
    status: CheckStatus,
    note: String,
) -> Result<Response, Refused> {
    let (handler, _) = asker.admit().await?;
    let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let (id, check) = find(handler, &namespace, check).await?;
    asker.make(Request::Check { id, check: Some(check), status, note }).await
}

/// The instance and the name of a check of this agent, by its id for clients of Consul.
async fn find(handler: &Handler, namespace: &str, id: &str) -> Result<(String, String), Refused> {
    let own = own(handler, namespace).await?;
    let mut checks = own.iter().flat_map(|one| one.checks.iter().map(move |check| (one, check)));
    let found = checks.find(|(one, check)| {
        let is_only = one.checks.len() == 1 && id == format!("service:{}", one.instance.id);
        is_only || check_id(one, check, &own) == id
    });
    let found = found.map(|(one, check)| (one.instance.id.clone(), check.name.clone()));
    found.ok_or_else(|| {
        let id = hobnob_api::names::printable(id);
        Refused::new(
            StatusCode::NOT_FOUND,
            format!("Unknown check ID \"{id}\": `/v1/agent/checks` lists the checks of this agent"),
        )
    })
}

/// Refuses a check by itself.
pub(super) async fn refuse_check() -> Refused {
    let message = "a check is registered and deregistered with its instance: name it in `Checks` of `/v1/agent/service/register`";
    Refused::new(StatusCode::NOT_IMPLEMENTED, message)
}

/// Takes the parameters that every change may have. Returns the namespace.
fn common(parameters: &mut Parameters) -> Result<Option<String>, Refused> {
    // It is no secret in a path: keys stand in headers.
    parameters.all("token");
    Ok(parameters.text("ns")?.filter(|namespace| !namespace.is_empty()))
}

fn read(request: Value) -> Result<Request, Refused> {
    serde_json::from_value(request).map_err(|error| Refused::bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Bytes;
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_is_whole_in_time_and_within_its_limit() {
        assert_eq!(body_of(Body::from("{\"a\": 1}")).await.expect("JSON"), json!({ "a": 1 }));
        assert_eq!(body_of(Body::empty()).await.expect("none"), Value::Null);
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        let trickling = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        for (body, status) in [
            (Body::from("{"), StatusCode::BAD_REQUEST),
            (Body::from(long), StatusCode::PAYLOAD_TOO_LARGE),
            (Body::from_stream(trickling.chain(stream::pending())), StatusCode::REQUEST_TIMEOUT),
        ] {
            assert_eq!(body_of(body).await.expect_err("refused").status, status);
        }
    }
}
