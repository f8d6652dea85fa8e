//! Headers on their way: those of one connection stay behind (RFC 9110, section 7.6.1), and the proxy adds its own.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    self, CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use crate::config::HttpOptions;
use crate::refusal::{Code, Refusal};
use crate::stream::Ends;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const INSTANCE: HeaderName = HeaderName::from_static("x-hobnob-instance");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The most fields of a head, in each version of HTTP.
const MAX_FIELDS: usize = 100;

/// Headers that a connection cannot take out of a message, although it names them: they are for the instance.
const END_TO_END: [HeaderName; 4] =
    [HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE, header::AUTHORIZATION];

/// The headers of one connection that a message has, and those that the proxy looks at.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    connection: bool,
    keep_alive: bool,
    proxy_connection: bool,
    te: bool,
    transfer_encoding: bool,
    upgrade: bool,
    expect: bool,
    cookies: u32,
    hosts: u32,
}

impl Found {
    /// One walk over the names is cheaper than a look for each.
    fn among(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => found.connection = true,
                "keep-alive" => found.keep_alive = true,
                "proxy-connection" => found.proxy_connection = true,
                "te" => found.te = true,
                "transfer-encoding" => found.transfer_encoding = true,
                "upgrade" => found.upgrade = true,
                "expect" => found.expect = true,
                "cookie" => found.cookies = count(headers, &COOKIE),
                "host" => found.hosts = count(headers, &HOST),
                _ => {}
            }
        }
        found
    }
}

fn count(headers: &HeaderMap, name: &HeaderName) -> u32 {
    headers.get_all(name).iter().count() as u32
}

/// A request whose headers are ready to be passed on.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The protocol that the client asks for, when it does.
    pub(crate) upgrade: Option<HeaderValue>,
    /// The id of the request, if the answer is to show it.
    pub(crate) request_id: Option<HeaderValue>,
}

/// Brings the headers of a request into the form in which the instance gets them.
///
/// # Errors
/// The request cannot be passed on.
pub(crate) fn prepare(
    head: &mut Parts,
    options: &HttpOptions,
    ends: Option<&Ends>,
) -> Result<Prepared, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::new(Code::ConnectMethod, "this proxy passes no CONNECT on"));
    }
    if head.headers.len() > MAX_FIELDS {
        return Err(Refusal::new(
            Code::TooManyFields,
            format!("its head has more than {MAX_FIELDS} fields"),
        ));
    }
    let found = Found::among(&head.headers);
    if found.transfer_encoding && !is_chunked_alone(&head.headers) {
        return Err(Refusal::new(
            Code::RequestInvalid,
            "it has another transfer coding than `chunked`",
        ));
    }
    set_host(head, &found)?;
    let headers = &mut head.headers;
    let upgrade = if found.upgrade { upgrade_of(headers, head.version) } else { None };
    let takes_trailers = found.te && takes_trailers(headers);
    strip(headers, &found);
    if found.expect {
        headers.remove(EXPECT);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = &upgrade {
        headers.insert(UPGRADE, protocol.clone());
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if found.cookies > 1 && head.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if options.forwarded {
        append_forwarded(headers, ends);
    }
    let request_id =
        options.request_id.then(|| headers.entry(REQUEST_ID).or_insert_with(new_id).clone());
    Ok(Prepared { upgrade, request_id })
}

/// Takes the headers of the instance's connection out of its answer. Where chunks mark the end, a length does not count (RFC
/// 9112, section 6.3).
///
/// # Errors
/// The answer has a transfer coding that would be lost.
pub(crate) fn strip_answer(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let found = Found::among(headers);
    if found.transfer_encoding {
        if !is_chunked_alone(headers) {
            let reason = "the answer of the instance has another transfer coding than `chunked`";
            return Err(Refusal::new(Code::AnswerInvalid, reason));
        }
        headers.remove(header::CONTENT_LENGTH);
    }
    strip(headers, &found);
    Ok(())
}

/// Whether chunks are the only transfer coding. The proxy undoes no other one.
fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(TRANSFER_ENCODING).into_iter();
    let first = values.next().map(|value| value.as_bytes().trim_ascii());
    values.next().is_none() && first.is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"))
}

/// Checks the host, and brings it into its header. The host of the target counts more than the header (RFC 9112, section 3.2.2).
/// Over HTTP/2 both say the same (RFC 9113, section 8.3.1).
fn set_host(head: &mut Parts, found: &Found) -> Result<(), Refusal> {
    let wrong = |why| Err(Refusal::new(Code::RequestInvalid, why));
    if found.hosts > 1 {
        return wrong("it has more than one Host");
    }
    let header = head.headers.get(HOST);
    let Some(authority) = head.uri.authority() else {
        return match header {
            None if head.version == Version::HTTP_11 => wrong("it has no Host"),
            Some(host) if !is_host_header(host) => wrong("its Host is no host"),
            _ => Ok(()),
        };
    };
    let is_http2 = head.version == Version::HTTP_2;
    if !is_http2 && head.uri.scheme().is_none() {
        return wrong("its target is no path and no URL");
    }
    if !is_host(authority) {
        return wrong("its target has no host, or more than a host");
    }
    let differs =
        |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    if is_http2 && header.is_some_and(differs) {
        return wrong("its Host is not its authority");
    }
    match HeaderValue::from_str(authority.as_str()) {
        Ok(host) => drop(head.headers.insert(HOST, host)),
        Err(_) => return wrong("its target has no host"),
    }
    Ok(())
}

/// Whether a header is a host, or empty: a target without an authority may have that (RFC 9112, section 3.2).
fn is_host_header(host: &HeaderValue) -> bool {
    let host = host.as_bytes();
    host.is_empty() || Authority::try_from(host).is_ok_and(|host| is_host(&host))
}

/// Whether this is a host with or without a port, and nothing else. A name and a password before it are never passed on.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let is_port = |rest: &str| {
        let digits = rest.strip_prefix(':');
        rest.is_empty()
            || digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    !host.is_empty() && authority.as_str().strip_prefix(host).is_some_and(is_port)
}

/// Removes the headers of one connection, and those that it names.
fn strip(headers: &mut HeaderMap, found: &Found) {
    if found.connection {
        let mut named: Vec<HeaderName> = Vec::new();
        for name in tokens(headers, &CONNECTION) {
            // The frequent ones are headers of a connection anyway.
            if ["close", "keep-alive", "upgrade", "te"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
            {
                continue;
            }
            named.extend(name.parse().ok().filter(|name| !END_TO_END.contains(name)));
        }
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    for (is_there, name) in [
        (found.keep_alive, KEEP_ALIVE),
        (found.proxy_connection, PROXY_CONNECTION),
        (found.te, TE),
        (found.transfer_encoding, TRANSFER_ENCODING),
        (found.upgrade, UPGRADE),
    ] {
        if is_there {
            headers.remove(name);
        }
    }
}

/// The elements of a list in a header.
fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim)).filter(|token| !token.is_empty())
}

/// The protocol that a client asks for. HTTP/2 is not one of them: clients begin with it.
fn upgrade_of(headers: &HeaderMap, version: Version) -> Option<HeaderValue> {
    let asks = tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"));
    let protocol = headers.get(UPGRADE).filter(|_| asks && version == Version::HTTP_11)?;
    (!protocol.as_bytes().eq_ignore_ascii_case(b"h2c")).then(|| protocol.clone())
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    tokens(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"))
}

/// HTTP/2 may send a cookie in pieces, and HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut joined = BytesMut::new();
    for piece in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.put_slice(b"; ");
        }
        joined.put_slice(piece.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(COOKIE, joined);
    }
}

/// Appends the client, the protocol and the host.
fn append_forwarded(headers: &mut HeaderMap, ends: Option<&Ends>) {
    let client = match ends.map(|ends| ends.client.ip()) {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("\"[{address}]\""),
        None => "unknown".to_owned(),
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.filter(|host| !host.contains(['"', '\\']));
    let element = match host {
        Some(host) => format!("for={client};host=\"{host}\";proto=http"),
        None => format!("for={client};proto=http"),
    };
    if let Ok(element) = HeaderValue::from_maybe_shared(Bytes::from(element)) {
        headers.append(FORWARDED, element);
    }
}

/// 128 random bits in hexadecimal digits.
fn new_id() -> HeaderValue {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let random = fastrand::u128(..);
    let mut id = [0; 32];
    for (place, digit) in id.iter_mut().enumerate() {
        *digit = DIGITS[(random >> (4 * place)) as usize & 15];
    }
    HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(version: Version, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::get("/x").version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    const PLAIN: HttpOptions =
        HttpOptions { request_id: false, forwarded: false, show_instance: false };

    #[test]
    fn headers_of_one_connection_stay_behind() {
        let mut head = head(
            Version::HTTP_11,
            &[
                ("host", "web"),
                ("connection", "keep-alive, X-Own, host"),
                ("connection", "x-other"),
                ("x-own", "1"),
                ("x-other", "2"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "close"),
                ("te", "gzip, Trailers;q=1, trailers"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "foo"),
                ("expect", "100-continue"),
                ("accept", "*/*"),
                ("trailer", "x-sum"),
            ],
        );
        let prepared = prepare(&mut head, &PLAIN, None).expect("it is passed on");
        assert!(prepared.upgrade.is_none(), "`upgrade` is not named by the connection");
        assert_eq!(names(&head.headers), ["accept", "host", "te", "trailer"]);
        assert_eq!(head.headers["te"], "trailers");
    }

    #[test]
    fn an_upgrade_is_passed_on_unless_it_is_to_http_2() {
        let asks = |protocol, version| {
            let fields = [("host", "web"), ("connection", "Upgrade"), ("upgrade", protocol)];
            let mut head = head(version, &fields);
            let prepared = prepare(&mut head, &PLAIN, None).expect("it is passed on");
            (prepared.upgrade.is_some(), names(&head.headers).join(" "))
        };
        let all = "connection host upgrade".to_owned();
        assert_eq!(asks("websocket", Version::HTTP_11), (true, all));
        assert_eq!(asks("h2c", Version::HTTP_11), (false, "host".to_owned()));
        assert_eq!(asks("websocket", Version::HTTP_10), (false, "host".to_owned()));
    }

    #[test]
    fn a_request_has_one_host_and_that_of_its_target_counts() {
        let refused = |head: &mut Parts| prepare(head, &PLAIN, None).expect_err("refused").code;
        assert_eq!(refused(&mut head(Version::HTTP_11, &[])), Code::RequestInvalid);
        let two = [("host", "a"), ("host", "b")];
        assert_eq!(refused(&mut head(Version::HTTP_11, &two)), Code::RequestInvalid);
        assert!(prepare(&mut head(Version::HTTP_10, &[]), &PLAIN, None).is_ok());
        let mut absolute = head(Version::HTTP_11, &[("host", "a")]);
        absolute.uri = "http://b:81/x".parse().expect("a target");
        prepare(&mut absolute, &PLAIN, None).expect("it is passed on");
        assert_eq!(absolute.headers["host"], "b:81");
        let mut connect = head(Version::HTTP_11, &[("host", "a")]);
        connect.method = Method::CONNECT;
        assert_eq!(refused(&mut connect), Code::ConnectMethod);
    }

    #[test]
    fn over_http_2_the_authority_is_the_host() {
        let prepared = |uri: &str, fields: &[(&str, &str)]| {
            let mut head = head(Version::HTTP_2, fields);
            head.uri = uri.parse().expect("a target");
            let options = HttpOptions { forwarded: true, ..PLAIN };
            prepare(&mut head, &options, None).map(|_| head.headers).map_err(|refusal| refusal.code)
        };
        for fields in [&[][..], &[("host", "Web:80")]] {
            let headers = prepared("http://web:80/x", fields).expect("it is passed on");
            assert_eq!(headers["host"], "web:80");
            assert_eq!(headers["forwarded"], "for=unknown;host=\"web:80\";proto=http");
        }
        let differs = prepared("http://web/x", &[("host", "other")]);
        assert_eq!(differs.expect_err("refused"), Code::RequestInvalid);
        let without = prepared("/x", &[("host", "web")]).expect("it is passed on");
        assert_eq!(without["host"], "web");
        assert!(!prepared("/x", &[]).expect("it is passed on").contains_key("host"));
    }

    #[test]
    fn a_host_is_a_name_and_a_port() {
        let is_passed = |host: &str| {
            prepare(&mut head(Version::HTTP_11, &[("host", host)]), &PLAIN, None).is_ok()
        };
        for host in ["web", "web:80", "web:", "10.0.0.1:1", "[::1]:9001", "a_b-c.d", ""] {
            assert!(is_passed(host), "{host}");
        }
        for host in [
            "u@web",
            "u:p@web",
            "web/x",
            "a b",
            "web:80x",
            "web:80:80",
            ":80",
            "@",
            "[::1]x",
            "[::1]80",
        ] {
            assert!(!is_passed(host), "{host}");
        }
    }

    #[test]
    fn a_head_has_at_most_so_many_fields() {
        let mut many = head(Version::HTTP_2, &[("host", "a")]);
        for number in 0..MAX_FIELDS {
            many.headers.append("x-many", number.into());
        }
        let refused = prepare(&mut many, &PLAIN, None).expect_err("refused");
        assert_eq!(refused.code, Code::TooManyFields);
        many.headers.remove("host");
        assert!(prepare(&mut many, &PLAIN, None).is_ok());
    }

    #[test]
    fn an_id_is_made_when_there_is_none_and_kept_when_there_is() {
        let options = HttpOptions { request_id: true, ..PLAIN };
        let mut given = head(Version::HTTP_11, &[("host", "a"), ("x-request-id", "mine")]);
        let prepared = prepare(&mut given, &options, None).expect("it is passed on");
        assert_eq!(prepared.request_id.expect("an id"), "mine");
        let id = |_| {
            let mut made = head(Version::HTTP_11, &[("host", "a")]);
            let prepared = prepare(&mut made, &options, None).expect("it is passed on");
            assert_eq!(prepared.request_id.as_ref(), made.headers.get(REQUEST_ID));
            made.headers[REQUEST_ID].to_str().expect("digits").to_owned()
        };
        let mut named = head(
            Version::HTTP_11,
            &[("host", "a"), ("connection", "x-request-id"), ("x-request-id", "mine")],
        );
        let prepared = prepare(&mut named, &options, None).expect("it is passed on");
        assert_ne!(prepared.request_id.expect("a new id"), "mine");
        assert!(named.headers.contains_key(REQUEST_ID));
        let [one, other] = [(), ()].map(id);
        assert!(one.len() == 32 && one.bytes().all(|digit| digit.is_ascii_hexdigit()), "{one}");
        assert_ne!(one, other);
    }

    #[test]
    fn the_client_is_appended_to_what_earlier_proxies_said() {
        let options = HttpOptions { forwarded: true, ..PLAIN };
        let ends = |client: &str| Ends {
            client: client.parse().expect("an address"),
            local: "127.0.0.1:1".parse().expect("an address"),
        };
        let mut head = head(Version::HTTP_11, &[("host", "web:1"), ("forwarded", "for=a")]);
        for ends in [Some(ends("[::1]:7")), Some(ends("127.0.0.1:7")), None] {
            prepare(&mut head, &options, ends.as_ref()).expect("it is passed on");
        }
        let all: Vec<_> = head.headers.get_all(FORWARDED).iter().collect();
        assert_eq!(
            all,
            [
                "for=a",
                "for=\"[::1]\";host=\"web:1\";proto=http",
                "for=127.0.0.1;host=\"web:1\";proto=http",
                "for=unknown;host=\"web:1\";proto=http"
            ]
        );
    }

    #[test]
    fn pieces_of_a_cookie_are_joined() {
        let mut head = head(Version::HTTP_2, &[("cookie", "a=1"), ("cookie", "b=2")]);
        prepare(&mut head, &PLAIN, None).expect("it is passed on");
        let cookies: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }
}
