//! Changes in Consul's form: `/v1/agent/service/register` and others. They are those of the unix socket, and need an access key.

use std::error::Error;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{FromRequestParts, Path, RawQuery};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use hobnob_api::{ApiError, Check, CheckStatus, DEFAULT_NAMESPACE, Probe, Request};
use hobnob_membership::record::Text;
use http_body_util::LengthLimitError;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::answer::Refused;
use super::super::connection::{Connection, caller};
use super::super::limits::{BODY_WITHIN, Limit, MAX_BODY_BYTES};
use super::super::parameters::{Parameters, truth};
use super::super::routes::Routes;
use crate::access_keys::AccessRights;
use crate::definitions::{LoneCheck, from_consul, plain_check_id};
use crate::doors::unix::handler::Handler;
use crate::queries::asked;
use crate::registrations::CheckOf;

/// A change that is let in: it came with a key that allows it, or needs none.
pub(super) struct Change {
    routes: Arc<Routes>,
    connection: Arc<Connection>,
    handler: Arc<Handler>,
    /// The name of the key.
    key: String,
}

impl FromRequestParts<Arc<Routes>> for Change {
    type Rejection = Refused;

    /// Lets a change in, before anything of its body is read.
    async fn from_request_parts(parts: &mut Parts, routes: &Arc<Routes>) -> Result<Self, Refused> {
        let key = routes.allow(&parts.headers, AccessRights::Write).await?;
        let handler = routes.handler()?.clone();
        let connection = parts.extensions.get::<Arc<Connection>>().cloned();
        let connection = connection.ok_or_else(|| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the request came on no connection")
        })?;
        Ok(Self { routes: routes.clone(), connection, handler, key })
    }
}

impl Change {
    /// The body of the request in JSON. There has to be room for its bytes until they are read.
    async fn body(&self, body: Body) -> Result<Value, Refused> {
        let expected = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
        let room = expected.map_or(MAX_BODY_BYTES, |bytes| bytes.min(MAX_BODY_BYTES));
        let _held = self.routes.body_budget(&self.handler).hold(room).map_err(ApiError::from)?;
        body_of(body).await
    }

    /// Checks that an instance is in this namespace, if one is named.
    ///
    /// # Errors
    /// It is in another one.
    async fn check_namespace(&self, id: &str, named: Option<&str>) -> Result<(), Refused> {
        let Some(named) = named else { return Ok(()) };
        let wanted = Text::from(id);
        let found = self.handler.driver.inspect(move |node, _| {
            let instance = node.instance(node.identity().node_id, &wanted)?;
            Some(instance.service.namespace.to_string())
        });
        match found.await.map_err(ApiError::from)? {
            Some(namespace) if namespace != named => {
                let id = hobnob_api::names::printable(id);
                let message = format!("unknown service ID: {id} is in the namespace {namespace}");
                Err(Refused::new(StatusCode::NOT_FOUND, message))
            }
            _ => Ok(()),
        }
    }

    /// Makes a change that the unix socket has, too.
    async fn make(&self, request: Request) -> Result<Response, Refused> {
        let name = request.name();
        let make = async {
            let mut picks = self.connection.picks(self.routes.budget(&self.handler)).lock().await;
            self.handler.try_answer(request, caller(), &mut picks).await.map(drop)
        };
        self.make_as(name, make).await
    }

    /// Makes a change of this name.
    async fn make_as(
        &self,
        name: &str,
        make: impl Future<Output = Result<(), ApiError>>,
    ) -> Result<Response, Refused> {
        let _place = self.routes.limits.take(Limit::InFlight)?;
        make.await?;
        let (key, told) = (&self.key, "a client over HTTP made a change");
        // Reports of checks come every few seconds.
        match name {
            "check" => tracing::debug!(key, change = name, "{told}"),
            _ => tracing::info!(key, change = name, "{told}"),
        }
        Ok(StatusCode::OK.into_response())
    }
}

/// The body of a request in JSON.
async fn body_of(body: Body) -> Result<Value, Refused> {
    let read = timeout(BODY_WITHIN, to_bytes(body, MAX_BODY_BYTES)).await;
    let read = read.map_err(|_| {
        Refused::new(StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time")
    })?;
    let read = read.map_err(|error| match has_too_many_bytes(&error) {
        true => {
            let message = format!("the body has more than {MAX_BODY_BYTES} bytes");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        }
        false => Refused::bad("the body of the request breaks off"),
    })?;
    if read.is_empty() {
        return Ok(Value::Null);
    }
    let read = serde_json::from_slice(&read);
    read.map_err(|error| Refused::bad(format!("the body is no JSON: {error}")))
}

/// Registers an instance, or replaces it with its checks.
pub(super) async fn register(
    change: Change,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    // Checks are always replaced.
    parameters.flag("replace-existing-checks")?;
    parameters.finish(&["ns", "replace-existing-checks"])?;
    let read = from_consul(&change.body(body).await?);
    let (mut registration, warnings) =
        read.map_err(|problems| Refused::bad(problems.join("\n")))?;
    tell_without_effect(&warnings);
    registration.checks.iter().try_for_each(refuse_program)?;
    if let Some(namespace) = namespace {
        registration.namespace = namespace;
    }
    change.make(Request::Register(Box::new(registration))).await
}

/// Registers a check of an instance of this agent, or replaces the one with its id.
pub(super) async fn register_check(
    change: Change,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    parameters.finish(&["ns"])?;
    let read = LoneCheck::from_value(&change.body(body).await?);
    let LoneCheck { instance, check, warnings } =
        read.map_err(|problems| Refused::bad(problems.join("\n")))?;
    tell_without_effect(&warnings);
    refuse_program(&check)?;
    let Some(instance) = instance else {
        let message = "a check of the whole host is not served: name the instance that it is of with `ServiceID`. Whether a host lives, \
                       the members of the cluster find out themselves";
        return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, message));
    };
    asked::check("instance id", &instance)?;
    change.check_namespace(&instance, namespace.as_deref()).await?;
    let registrations = &change.handler.registrations;
    let put = async { registrations.put_check(instance, check, caller()).await.map(drop) };
    change.make_as("register_check", put).await
}

/// Takes a check away from its instance.
pub(super) async fn deregister_check(
    change: Change,
    Path(check): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    parameters.finish(&["ns"])?;
    let (id, _) = find(&change.handler, &namespace, &check)?;
    let remove = change.handler.registrations.remove_check(namespace, id, caller());
    change.make_as("deregister_check", remove).await
}

/// Refuses a check that runs a program.
fn refuse_program(check: &Check) -> Result<(), Refused> {
    if !matches!(check.probe, Probe::Script { .. }) {
        return Ok(());
    }
    let message = "Permission denied: a check that runs a program is registered by a file, or at the unix socket";
    Err(Refused::new(StatusCode::FORBIDDEN, message))
}

fn tell_without_effect(warnings: &[String]) {
    for warning in warnings {
        tracing::debug!(warning, "a part of a registration over HTTP has no effect");
    }
}

/// Deregisters an instance.
pub(super) async fn deregister(
    change: Change,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    parameters.finish(&["ns"])?;
    change.check_namespace(&id, namespace.as_deref()).await?;
    change.make(read(json!({ "deregister": { "id": id } }))?).await
}

/// Begins or ends the maintenance of an instance.
pub(super) async fn maintenance(
    change: Change,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    let on = parameters.text("enable")?.as_deref().and_then(truth);
    let on = on.ok_or_else(|| Refused::bad("Missing value for enable: it is true or false"))?;
    let reason = parameters.text("reason")?.unwrap_or_default();
    parameters.finish(&["enable", "reason", "ns"])?;
    change.check_namespace(&id, namespace.as_deref()).await?;
    change.make(Request::Maintenance { on, id: Some(id), reason }).await
}

/// Takes a report that a check passes.
pub(super) async fn pass(
    change: Change,
    Path(check): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    report_with_note(&change, &check, query.as_deref(), CheckStatus::Passing).await
}

/// Takes a report that a check warns.
pub(super) async fn warn(
    change: Change,
    Path(check): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    report_with_note(&change, &check, query.as_deref(), CheckStatus::Warning).await
}

/// Takes a report that a check fails.
pub(super) async fn fail(
    change: Change,
    Path(check): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refused> {
    report_with_note(&change, &check, query.as_deref(), CheckStatus::Critical).await
}

/// Takes a report whose status stands in the body.
pub(super) async fn update(
    change: Change,
    Path(check): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query.as_deref())?;
    let namespace = common(&mut parameters)?;
    parameters.finish(&["ns"])?;
    let body = change.body(body).await?;
    let status = body["Status"].as_str().and_then(CheckStatus::of);
    let Some(status) = status else {
        return Err(Refused::bad("`Status` is passing, warning or critical"));
    };
    let note = body["Output"].as_str().unwrap_or_default().to_owned();
    report(&change, &check, namespace, status, note).await
}

async fn report_with_note(
    change: &Change,
    check: &str,
    query: Option<&str>,
    status: CheckStatus,
) -> Result<Response, Refused> {
    let mut parameters = Parameters::parse(query)?;
    let namespace = common(&mut parameters)?;
    let note = parameters.text("note")?.unwrap_or_default();
    parameters.finish(&["note", "ns"])?;
    report(change, check, namespace, status, note).await
}

async fn report(
    change: &Change,
    check: &str,
    namespace: Option<String>,
    status: CheckStatus,
    note: String,
) -> Result<Response, Refused> {
    let namespace = namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let (_, CheckOf { instance, check }) = find(&change.handler, &namespace, check)?;
    let (id, check) = (instance.to_string(), Some(check.to_string()));
    change.make(Request::Check { id, check, status, note }).await
}

/// A check of this agent, by its id for clients of Consul: the id as the agent has it, and the check.
fn find(handler: &Handler, namespace: &str, id: &str) -> Result<(String, CheckOf), Refused> {
    let known = handler.registrations.check_ids();
    let ids = [id.to_owned(), plain_check_id(id)];
    let found = ids.into_iter().find_map(|id| {
        let of = known.find(namespace, &id)?.clone();
        Some((id, of))
    });
    found.ok_or_else(|| {
        let id = hobnob_api::names::printable(id);
        Refused::new(
            StatusCode::NOT_FOUND,
            format!("Unknown check ID \"{id}\": `/v1/agent/checks` lists the checks of this agent"),
        )
    })
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

fn has_too_many_bytes(error: &axum::Error) -> bool {
    error.source().is_some_and(<dyn Error>::is::<LengthLimitError>)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;

    use axum::body::Bytes;
    use futures_util::StreamExt;
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_is_whole_in_time_and_within_its_limit() {
        assert_eq!(body_of(Body::from("{\"a\": 1}")).await.expect("JSON"), json!({ "a": 1 }));
        assert_eq!(body_of(Body::empty()).await.expect("none"), Value::Null);
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        let broken = stream::iter([
            Ok(Bytes::from_static(b"{")),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ]);
        let trickling = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        for (body, status) in [
            (Body::from("{"), StatusCode::BAD_REQUEST),
            (Body::from(long), StatusCode::PAYLOAD_TOO_LARGE),
            (Body::from_stream(broken), StatusCode::BAD_REQUEST),
            (Body::from_stream(trickling.chain(stream::pending())), StatusCode::REQUEST_TIMEOUT),
        ] {
            assert_eq!(body_of(body).await.expect_err("refused").status, status);
        }
    }
}
