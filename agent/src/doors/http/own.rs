//! The agent's own API: `/v1/hobnob/REQUEST` asks what the unix sockets are asked, with the fields as parameters.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hobnob_api::{API_VERSION, ApiError, ErrorCode, Reply, Request};
use serde_json::{Map, Value};

use super::answer::{Refused, json, status_of, text_of};
use super::connection::{Connection, caller};
use super::limits::Limit;
use super::parameters::{BadParameter, Parameters};
use super::routes::Routes;
use crate::config::nearest;
use crate::doors::unix::answer::Body;
use crate::services::Shown;

/// A field of a request, as a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field {
    Text,
    Flag,
    Number,
    /// Repeated, or separated by commas.
    List,
    /// `KEY=VALUE`, repeated.
    Pairs,
}

use Field::{Flag, List, Number, Pairs, Text};

type Fields = &'static [(&'static str, Field)];

/// The questions, with their fields. A point in a name leads into a field.
pub(super) const QUESTIONS: &[(&str, Fields)] = &[
    (
        "resolve",
        &[
            ("service", Text),
            ("namespace", Text),
            ("all", Flag),
            ("strict", Flag),
            ("tags", List),
            ("meta", Pairs),
            ("selector", Text),
            ("datacenter", List),
            ("max_age_ms", Number),
            ("consistency", Text),
            ("consistency_timeout_ms", Number),
            ("wait.since", Number),
            ("wait.run", Text),
            ("wait.timeout_ms", Number),
        ],
    ),
    (
        "pick",
        &[
            ("service", Text),
            ("namespace", Text),
            ("strategy", Text),
            ("key", Text),
            ("count", Number),
            ("selector", Text),
            ("datacenter", List),
            ("prefer", Text),
            ("strict", Flag),
            ("max_age_ms", Number),
            ("consistency", Text),
            ("consistency_timeout_ms", Number),
        ],
    ),
    ("services", &[("namespace", Text)]),
    ("members", &[("all", Flag), ("datacenter", List)]),
    ("datacenters", &[]),
    ("info", &[]),
    ("explain", &[("subject", Text)]),
    ("history", &[("subject", Text), ("since_ms", Number), ("limit", Number)]),
    ("registrations", &[("namespace", Text), ("after", Text)]),
    ("settings", &[]),
    ("voters", &[]),
    ("keys", &[]),
    ("echoes", &[("members", Number)]),
];

/// Answers `/v1/hobnob/REQUEST`.
pub(super) async fn answer(
    State(routes): State<Arc<Routes>>,
    Extension(connection): Extension<Arc<Connection>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match try_answer(&routes, &connection, &name, query.as_deref()).await {
        Ok(response) => response,
        Err(error) => refusal(&error),
    }
}

async fn try_answer(
    routes: &Routes,
    connection: &Connection,
    name: &str,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let request = request(name, query)?;
    let handler = routes.handler().map_err(as_error)?;
    let waits = matches!(&request, Request::Resolve(query) if query.wait.is_some());
    let limit = if waits { Limit::Waiting } else { Limit::InFlight };
    let _place = routes.limits.take(limit).map_err(as_error)?;
    let budget = routes.budget(handler);
    let mut picks = connection.picks(budget).lock().await;
    let answer = handler.answer(request, false, caller(), &mut picks);
    let answer = match waits {
        true => connection.while_awaited(&routes.counters, answer).await.map_err(as_error)?,
        false => answer.await,
    };
    let Body::Whole(response) = answer.body else {
        let message = "an answer over HTTP has no pages";
        return Err(ApiError::new(ErrorCode::RequestMalformed, message));
    };
    let status = match &response {
        hobnob_api::Response::Error(error) => status_of(error),
        _ => StatusCode::OK,
    };
    let run = Some(handler.registry.run().to_owned());
    let unchanged = answer.unchanged;
    let reply = Reply { api: Some(API_VERSION), run, unchanged, ..Reply::new(0, response) };
    let text = text_of(&reply, false).map_err(as_error)?;
    let answer = json(text, picks.allowance()).map_err(as_error)?;
    Ok((status, [(header::CACHE_CONTROL, "no-store")], answer).into_response())
}

/// The request that a path and its parameters ask for.
pub(super) fn request(name: &str, query: Option<&str>) -> Result<Request, ApiError> {
    let Some((_, fields)) = QUESTIONS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown(name));
    };
    let mut parameters = Parameters::parse(query).map_err(malformed)?;
    let read = fields_of(&mut parameters, fields).map_err(malformed)?;
    let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    parameters.finish(&known).map_err(malformed)?;
    let request = Value::Object(Map::from_iter([(name.to_owned(), Value::Object(read))]));
    serde_json::from_value(request).map_err(|error| malformed(BadParameter(error.to_string())))
}

/// Takes the fields of a request from its parameters.
pub(super) fn fields_of(
    parameters: &mut Parameters,
    fields: Fields,
) -> Result<Map<String, Value>, BadParameter> {
    let mut read = Map::new();
    for (name, kind) in fields {
        let value = match kind {
            Text => parameters.text(name)?.map(Value::from),
            Flag => Some(parameters.flag(name)?).filter(|flag| *flag).map(Value::from),
            Number => parameters.number(name)?.map(Value::from),
            List => list(&parameters.all(name)),
            Pairs => pairs(name, parameters.all(name))?,
        };
        let Some(value) = value else { continue };
        match name.split_once('.') {
            None => drop(read.insert((*name).to_owned(), value)),
            Some((outer, inner)) => {
                let outer = read.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                outer[inner] = value;
            }
        }
    }
    Ok(read)
}

fn list(given: &[String]) -> Option<Value> {
    let items = given.iter().flat_map(|items| items.split(',')).filter(|item| !item.is_empty());
    let items: Vec<Value> = items.map(Value::from).collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

fn pairs(name: &str, given: Vec<String>) -> Result<Option<Value>, BadParameter> {
    let mut read = Map::new();
    for pair in given {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(BadParameter(format!("the parameter `{name}` takes KEY=VALUE")));
        };
        read.insert(key.to_owned(), value.into());
    }
    Ok((!read.is_empty()).then_some(Value::Object(read)))
}

fn unknown(name: &str) -> ApiError {
    let name = hobnob_api::names::printable(name);
    if Request::NAMES.contains(&&*name) {
        let message = format!(
            "`{name}` is no question: a unix socket of the agent takes it, not `/v1/hobnob`"
        );
        return ApiError::new(ErrorCode::RequestMalformed, message);
    }
    let known = || QUESTIONS.iter().map(|(known, _)| *known).chain(["watch", "watch_members"]);
    let meant = match nearest(&name, known()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
    };
    ApiError::new(ErrorCode::RequestMalformed, format!("there is no question `{name}`; {meant}"))
}

fn malformed(BadParameter(message): BadParameter) -> ApiError {
    ApiError::new(ErrorCode::RequestMalformed, message)
}

/// A refusal as an error of the API.
pub(super) fn as_error(Refused { code, message, .. }: Refused) -> ApiError {
    ApiError::new(code, message)
}

/// A refusal in the form of a reply.
pub(super) fn refusal(error: &ApiError) -> Response {
    let response = hobnob_api::Response::<Shown>::Error(error.clone());
    let reply = Reply { api: Some(API_VERSION), ..Reply::new(0, response) };
    // Texts and numbers can always be written.
    let text = serde_json::to_vec(&reply).unwrap_or_default();
    (status_of(error), [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(name: &str, query: &str) -> Value {
        serde_json::to_value(request(name, Some(query)).expect(query)).expect("written")
    }

    #[test]
    fn parameters_are_the_fields_of_the_socket() {
        let resolve = read(
            "resolve",
            "service=web&all&tags=a,b&tags=c&meta=tier%3Dx%3Dy&datacenter=eu,us&wait.since=7&wait.timeout_ms=50",
        );
        let expected = json!({
            "service": "web", "all": true, "tags": ["a", "b", "c"], "meta": {"tier": "x=y"},
            "datacenter": ["eu", "us"], "wait": {"since": 7, "timeout_ms": 50}
        });
        assert_eq!(resolve, json!({ "resolve": expected }));
        assert_eq!(read("info", ""), json!({ "info": {} }));
        let pick = read("pick", "service=web&count=3&prefer=zone&strategy=random&datacenter=*");
        let expected =
            json!({"service": "web", "count": 3, "prefer": "zone", "strategy": "random"});
        assert_eq!(pick, json!({ "pick": expected }));
    }

    #[test]
    fn each_question_is_one_that_the_sockets_know_and_changes_nothing() {
        for (name, fields) in QUESTIONS {
            assert!(Request::NAMES.contains(name), "{name}");
            let needs = |field: &str| fields.iter().any(|(name, _)| *name == field);
            let query = [("service", "service=web"), ("subject", "subject=a")];
            let query = query.iter().find(|(field, _)| needs(field)).map_or("", |(_, query)| query);
            let request = request(name, Some(query)).expect(name);
            assert_eq!((request.name(), request.change()), (*name, None));
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_name() {
        for (name, query, says) in [
            ("resolv", "", "did you mean `resolve`?"),
            ("register", "service=web", "a unix socket"),
            ("resolve", "", "missing field `service`"),
            ("resolve", "service=web&servise=a", "did you mean `service`?"),
            ("resolve", "service=web&wait.timeout_ms=soon", "`wait.timeout_ms`"),
            ("resolve", "service=web&meta=x", "KEY=VALUE"),
            ("pick", "service=web&strategy=best", "best"),
        ] {
            let refused = request(name, Some(query)).expect_err(name);
            assert!(refused.message.contains(says), "{name}?{query}: {refused}");
        }
    }
}
