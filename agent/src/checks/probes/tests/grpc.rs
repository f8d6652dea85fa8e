//! Probes by the gRPC health protocol against a server of HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::server;
use hobnob_api::{GrpcProbe, ProbeTls};
use hyper::http::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::tls::{CA, acceptor};
use super::*;

/// The answer of a server.
#[derive(Clone, Debug)]
enum Answer {
    /// This status of HTTP, this message, and this status of gRPC in the trailers.
    Whole(u16, Vec<u8>, &'static str),
    /// Nothing but a status of gRPC in the head.
    Refused(&'static str),
    /// The head and no more.
    Hang,
    /// A gigabyte.
    Huge,
}

struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &tls {
                    None => drop(tokio::spawn(serve(stream, answer.clone()))),
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { continue };
                        tokio::spawn(serve(stream, answer.clone()));
                    }
                }
            }
        });
        Self { address, task }
    }

    async fn ask(&self, tls: Option<ProbeTls>, timeout: Duration) -> Outcome {
        let (address, service) = (self.address.to_string(), Some("shop.Cart".to_owned()));
        probe(&Probe::Grpc(Box::new(GrpcProbe { address, service, tls })), timeout).await
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let Ok(mut connection) = server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
        assert_eq!(request.headers()["content-type"], "application/grpc");
        tokio::spawn(respond_with(request.into_body(), respond, answer.clone()));
    }
}

async fn respond_with(
    mut body: h2::RecvStream,
    mut respond: server::SendResponse<Bytes>,
    answer: Answer,
) {
    let asked = body.data().await.expect("a message").expect("whole");
    assert_eq!(&asked[..], b"\0\0\0\0\x0b\x0a\x09shop.Cart");
    let head = |status| Response::builder().status(status).body(()).expect("a head");
    let trailers = |code: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().expect("a value"));
        trailers
    };
    match answer {
        Answer::Whole(status, message, code) => {
            let mut send = respond.send_response(head(status), false).expect("sent");
            send.send_data(message.into(), false).expect("sent");
            send.send_trailers(trailers(code)).expect("sent");
        }
        Answer::Refused(code) => {
            let mut head = head(200);
            *head.headers_mut() = trailers(code);
            respond.send_response(head, true).expect("sent");
        }
        Answer::Hang => {
            let _send = respond.send_response(head(200), false).expect("sent");
            std::future::pending::<()>().await;
        }
        Answer::Huge => {
            let mut send = respond.send_response(head(200), false).expect("sent");
            // What the window does not take waits in memory, so a gigabyte is only begun.
            while send.send_data(Bytes::from_static(&[0; 10_000]), false).is_ok() {
                tokio::task::yield_now().await;
                if send.capacity() > 0 {
                    continue;
                }
                send.reserve_capacity(10_000);
                if std::future::poll_fn(|cx| send.poll_capacity(cx)).await.is_none() {
                    return;
                }
            }
        }
    }
}

fn whole(status: u8) -> Answer {
    Answer::Whole(200, vec![0, 0, 0, 0, 2, 8, status], "0")
}

#[tokio::test]
async fn a_service_passes_when_it_serves() {
    for (answer, passes, says) in [
        (whole(1), true, "SERVING"),
        (whole(2), false, "NOT_SERVING"),
        (whole(3), false, "SERVICE_UNKNOWN"),
        (Answer::Whole(200, vec![], "0"), false, "no message of gRPC"),
        (Answer::Whole(200, vec![0, 0, 0, 0, 2, 8, 1], "13"), false, "gRPC status 13"),
        (Answer::Whole(503, vec![], "14"), false, "HTTP 503"),
        (Answer::Refused("5"), false, "does not know the service `shop.Cart`"),
        (Answer::Refused("12"), false, "does not speak the health protocol"),
        (Answer::Huge, false, "longer than 4096 bytes"),
    ] {
        let server = Server::start(answer.clone(), None).await;
        let outcome = server.ask(None, PATIENT).await;
        assert_eq!(outcome.is_success(), passes, "{answer:?}: {}", outcome.output());
        assert!(outcome.output().contains(says), "{answer:?}: {}", outcome.output());
    }
}

#[tokio::test]
async fn a_server_that_hangs_runs_out_of_time_and_one_of_http_1_is_none() {
    let server = Server::start(Answer::Hang, None).await;
    let outcome = server.ask(None, Duration::from_millis(200)).await;
    assert!(outcome.output().contains("within 200ms"), "{}", outcome.output());
    let plain = FakeServer::start().await;
    for behaviour in [Behaviour::Close, Behaviour::Reset] {
        plain.behave(behaviour.clone());
        let address = plain.addr().to_string();
        let grpc = Probe::Grpc(Box::new(GrpcProbe { address, ..GrpcProbe::default() }));
        let outcome = probe(&grpc, PATIENT).await;
        assert_eq!(outcome.meaning(), Meaning::Failure, "{behaviour:?}: {}", outcome.output());
    }
}

#[tokio::test]
async fn a_service_is_asked_over_tls() {
    let server = Server::start(whole(1), Some(acceptor(b"h2"))).await;
    let trusting = ProbeTls { ca_pem: Some(CA.to_owned()), ..ProbeTls::default() };
    let outcome = server.ask(Some(trusting), PATIENT).await;
    assert!(outcome.is_success(), "{}", outcome.output());
    let outcome = server.ask(Some(ProbeTls::default()), PATIENT).await;
    assert!(outcome.output().contains("no TLS with the server"), "{}", outcome.output());
}
