//! One request: from a client to an instance, and the answer back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hobnob_api::calls::{Answer, Body, CallOptions, Protocol};
use http::header::{CONNECTION, CONTENT_TYPE, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::body::{ProxyBody, Record, Upload};
use crate::config::{HttpOptions, Mode};
use crate::headers::{INSTANCE, Prepared, REQUEST_ID, prepare, strip_answer};
use crate::refusal::{Code, Refusal};
use crate::route::Client;
use crate::tunnel;

/// Calls of gRPC end by the deadline that their client sets. Without one, a stream may wait for its first message.
const NO_DEADLINE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Passes a request on, and answers. There is an answer to each request.
pub(crate) async fn forward(
    client: Arc<Client>,
    mut request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    let mut record = Record::new(client.clone(), request.version());
    let options = match &client.route.mode {
        Mode::Http(options) => *options,
        Mode::Tcp(_) => HttpOptions::default(),
    };
    let is_grpc = is_grpc(request.headers());
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let (mut head, incoming) = request.into_parts();
    let is_http1 = head.version != Version::HTTP_2;
    let received = record.tell(&head);
    let prepared = match prepare(&mut head, &options, client.ends.as_ref()) {
        Ok(prepared) => prepared,
        Err(refusal) => {
            let mut response = refuse(&refusal, None, is_grpc, record);
            if is_http1 {
                // What follows may be no request.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Ok(response);
        }
    };
    record.has_id(prepared.request_id.as_ref());
    let call = CallOptions {
        timeout: is_grpc.then(|| grpc_timeout(&head.headers)),
        protocol: match (is_grpc, &prepared.upgrade) {
            (_, Some(_)) => Some(Protocol::Http1),
            (true, None) => Some(Protocol::Http2),
            (false, None) => None,
        },
        progress: record.progress(),
        ..CallOptions::default()
    };
    let body = match received {
        _ if incoming.is_end_stream() => Body::empty(),
        received => Body::stream(Upload::new(incoming, client.clone(), head.version, received)),
    };
    let called = client.route.discovery.call_with(outgoing(head, body), call).await;
    let answer = match called {
        Ok(answer) => answer,
        Err(error) => {
            let refusal = Refusal::from(error);
            return Ok(refuse(&refusal, prepared.request_id, is_grpc, record));
        }
    };
    record.answered(answer.status());
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(switch(client, answer, on_upgrade, prepared, record, &options));
    }
    let Answer { response, instance, .. } = answer;
    let (mut head, body) = response.into_parts();
    if let Err(refusal) = strip_answer(&mut head.headers) {
        return Ok(refuse(&refusal, prepared.request_id, is_grpc, record));
    }
    show(&mut head.headers, prepared.request_id, &instance.id, &options);
    head.version = Version::HTTP_11;
    Ok(Response::from_parts(head, ProxyBody::answer(body, record)))
}

/// The request as it is sent, in the version of HTTP that the call has.
fn outgoing(head: Parts, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    request
}

/// Whether this is a call of gRPC. gRPC-Web is plain HTTP.
fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.and_then(|kind| kind.strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// The time that a client of gRPC sets: at most eight digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Duration {
    let parse = |text: &str| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3_600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    };
    let text = headers.get("grpc-timeout").and_then(|text| text.to_str().ok());
    text.and_then(parse).map_or(NO_DEADLINE, |time| time.min(NO_DEADLINE))
}

/// Adds what the proxy tells the client.
fn show(
    headers: &mut HeaderMap,
    request_id: Option<HeaderValue>,
    instance: &str,
    options: &HttpOptions,
) {
    if let Some(id) = request_id {
        headers.entry(REQUEST_ID).or_insert(id);
    }
    if options.show_instance
        && let Ok(instance) = HeaderValue::from_str(instance)
    {
        headers.insert(INSTANCE, instance);
    }
}

/// The answer of the proxy itself.
fn refuse(
    refusal: &Refusal,
    request_id: Option<HeaderValue>,
    is_grpc: bool,
    mut record: Record,
) -> Response<ProxyBody> {
    let (status, mut headers, body) = refusal.answer(is_grpc);
    record.refused(status, refusal.code);
    if let Some(id) = request_id {
        headers.insert(REQUEST_ID, id);
    }
    let mut response = Response::new(ProxyBody::text(body, record));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Lets the client speak with the instance in the protocol on which they agreed.
fn switch(
    client: Arc<Client>,
    mut answer: Answer,
    on_upgrade: Option<OnUpgrade>,
    prepared: Prepared,
    mut record: Record,
    options: &HttpOptions,
) -> Response<ProxyBody> {
    let (Some(_), Some(on_upgrade)) = (&prepared.upgrade, on_upgrade) else {
        let refusal =
            Refusal::new(Code::UpgradeUnasked, "the instance changed the protocol unasked");
        return refuse(&refusal, prepared.request_id, false, record);
    };
    let mut headers = std::mem::take(answer.response.headers_mut());
    let protocol = headers.get(UPGRADE).cloned().or(prepared.upgrade);
    if let Err(refusal) = strip_answer(&mut headers) {
        return refuse(&refusal, prepared.request_id, false, record);
    }
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    show(&mut headers, prepared.request_id, &answer.instance.id, options);
    record.becomes_tunnel();
    tokio::spawn(tunnel::upgraded(client, on_upgrade, answer));
    let mut response = Response::new(ProxyBody::text(bytes::Bytes::new(), record));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_from_grpc_web() {
        let is = |kind: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]))
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;x=y"] {
            assert!(is(kind), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpc-web+proto", "application/grpcx"] {
            assert!(!is(kind), "{kind}");
        }
    }

    #[test]
    fn a_call_of_grpc_has_the_time_that_its_client_gives() {
        let time = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("a value"));
            grpc_timeout(&headers)
        };
        assert_eq!(time("100m"), Duration::from_millis(100));
        assert_eq!(time("3H"), Duration::from_secs(10_800));
        assert_eq!(time("20u"), Duration::from_micros(20));
        for wrong in ["", "S", "10", "123456789S", "1x", "-1S"] {
            assert_eq!(time(wrong), NO_DEADLINE, "{wrong}");
        }
        assert_eq!(time("99999999H"), NO_DEADLINE, "no time overflows");
        assert_eq!(grpc_timeout(&HeaderMap::new()), NO_DEADLINE);
    }
}
