//! Calls as gRPC makes them: HTTP/2, streams both ways, and a status in trailers.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use super::support::{
    Answer, Server, client2, full, instance, pass, raw, soon, until, web, web_with,
};

type Frames = mpsc::UnboundedReceiver<Frame<Bytes>>;

/// A body of the frames that a test sends.
fn stream(frames: Frames) -> Answer {
    let frames = futures_util::stream::unfold(frames, |mut frames| async {
        Some((Ok::<_, Infallible>(frames.recv().await?), frames))
    });
    StreamBody::new(frames.boxed()).boxed_unsync()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn call(body: Answer) -> Request<Answer> {
    Request::post("http://web/shop.Cart/Add")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-encoding", "identity")
        .body(body)
        .unwrap()
}

/// Sends each message back, and ends with a status.
async fn echo(request: Request<Incoming>) -> Response<Answer> {
    let mut body = request.into_body();
    let (send, frames) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { break };
            if send.send(Frame::data(data)).is_err() {
                return;
            }
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("grpc-message", "fine".parse().unwrap());
        let _ = send.send(Frame::trailers(trailers));
    });
    Response::builder()
        .header("content-type", "application/grpc+proto")
        .body(stream(frames))
        .unwrap()
}

#[tokio::test]
async fn messages_go_both_ways_one_by_one_and_the_status_follows() {
    let server = Server::speaking(true, echo).await;
    let web = web(vec![server.instance("web-1")]).await;
    let (send, frames) = mpsc::unbounded_channel();
    let mut client = client2(web.address).await;
    let response = soon(client.send_request(call(stream(frames)))).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/grpc+proto".parse().unwrap())
    );
    let mut body = response.into_body();
    for text in ["one", "two", "three"] {
        send.send(data(text)).unwrap();
        let frame = soon(body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text, "each message comes when it is sent");
    }
    drop(send);
    let trailers = soon(body.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["grpc-message"]),
        (&"0".parse().unwrap(), &"fine".parse().unwrap())
    );
    assert!(soon(body.frame()).await.is_none());
    let head = server.seen.last();
    assert_eq!(
        (head.version, head.uri.path(), &head.headers["te"]),
        (http::Version::HTTP_2, "/shop.Cart/Add", &"trailers".parse().unwrap())
    );
    assert_eq!(server.seen.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_whose_first_message_takes_long_outlasts_the_time_of_calls() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let server = Server::speaking(true, move |request| {
        let mut gone = gone.clone();
        async move {
            gone.wait_for(|go| *go).await.unwrap();
            echo(request).await
        }
    })
    .await;
    let short = Duration::from_millis(50);
    let web = web_with(vec![server.instance("web-1")], |setting| {
        let calls = &mut setting.discovery.calls;
        (calls.timeout, calls.try_timeout) = (short, short);
    })
    .await;
    let mut client = client2(web.address).await;
    let waiting = {
        let mut client = client.clone();
        tokio::spawn(async move { client.send_request(call(full("late"))).await.unwrap() })
    };
    until(|| server.seen.requests() == 1).await;
    pass(4 * short).await;
    go.send(true).unwrap();
    assert_eq!(soon(waiting).await.unwrap().status(), 200);

    // A deadline of its own counts.
    go.send(false).unwrap();
    let mut request = call(full("late"));
    request.headers_mut().insert("grpc-timeout", "50m".parse().unwrap());
    let response = soon(client.send_request(request)).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["grpc-status"]),
        (200, &"4".parse().unwrap())
    );
}

#[tokio::test]
async fn a_call_without_an_instance_gets_its_status_in_the_head() {
    let web = web(vec![]).await;
    let response = client2(web.address).await.send_request(call(full("x"))).await.unwrap();
    let headers = response.headers();
    assert_eq!(
        (response.status().as_u16(), &headers["grpc-status"]),
        (200, &"14".parse().unwrap())
    );
    assert_eq!(headers["content-type"], "application/grpc");
    assert_eq!(headers["grpc-message"], "no_instance: `web` has no instance");
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_stream_that_the_client_resets_is_reset_at_the_instance() {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let server = Server::speaking(true, move |request: Request<Incoming>| {
        let ended = ended.clone();
        async move {
            let (send, frames) = mpsc::unbounded_channel();
            let mut body = request.into_body();
            tokio::spawn(async move {
                // It stays open for as long as its client does.
                let _open = send;
                let end = loop {
                    match body.frame().await {
                        Some(Ok(_)) => {}
                        other => break other.map(|frame| frame.is_err()),
                    }
                };
                ended.send(end).unwrap();
            });
            Response::builder()
                .header("content-type", "application/grpc")
                .body(stream(frames))
                .unwrap()
        }
    })
    .await;
    let web = web(vec![server.instance("web-1")]).await;
    let mut client = client2(web.address).await;
    let (send, frames) = mpsc::unbounded_channel();
    let response = soon(client.send_request(call(stream(frames)))).await.unwrap();
    send.send(data("one")).unwrap();
    drop(response);
    drop(send);
    let end = soon(ends.recv()).await.unwrap();
    assert!(end.is_none() || end == Some(true), "{end:?}");
    // Other streams go on.
    let (send, frames) = mpsc::unbounded_channel::<Frame<Bytes>>();
    let other = soon(client.send_request(call(stream(frames)))).await.unwrap();
    assert_eq!(other.status(), 200);
    drop(send);
}

#[tokio::test]
async fn calls_that_wait_for_one_connection_fail_together_and_may_go_elsewhere() {
    // It takes connections, and never speaks.
    let silent = raw(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let good = Server::speaking(true, echo).await;
    let refused = super::support::refused().await;
    let web = web(vec![instance("bad", refused), good.instance("good")]).await;
    let client = client2(web.address).await;
    let calls = (0..20).map(|_| {
        let mut client = client.clone();
        async move { soon(client.send_request(call(full("x")))).await.unwrap() }
    });
    for response in futures_util::future::join_all(calls).await {
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("grpc-status"), "{:?}", response.headers());
    }
    let web = super::support::web(vec![instance("silent", silent)]).await;
    let mut request = call(full("x"));
    request.headers_mut().insert("grpc-timeout", "100m".parse().unwrap());
    let response = soon(client2(web.address).await.send_request(request)).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}
