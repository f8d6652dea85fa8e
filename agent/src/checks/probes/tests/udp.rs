//! Probes by UDP against a socket on loopback.

use hobnob_api::UdpProbe;
use tokio::net::UdpSocket;

use super::*;

fn udp(address: &(impl ToString + ?Sized), silence_passes: bool) -> Probe {
    let payload = Some("ping".to_owned());
    Probe::Udp(UdpProbe { address: address.to_string(), payload, silence_passes })
}

#[tokio::test]
async fn any_answer_passes_silence_fails_unless_it_may_pass_and_a_closed_port_fails() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let address = server.local_addr().expect("an address");
    let serving = async {
        let mut heard = [0; 16];
        let (len, from) = server.recv_from(&mut heard).await.expect("heard");
        assert_eq!(&heard[..len], b"ping");
        server.send_to(b"pong!", from).await.expect("sent");
        std::future::pending::<()>().await;
    };
    let answered = udp(&address, false);
    let outcome = tokio::select! {
        outcome = probe(&answered, PATIENT) => outcome,
        () = serving => unreachable!(),
    };
    assert_eq!((outcome.meaning(), outcome.output()), (Meaning::Success, "answered with 5 bytes"));

    let outcome = probe(&udp(&address, false), IMPATIENT).await;
    assert_eq!(outcome.meaning(), Meaning::Failure, "{}", outcome.output());
    assert!(outcome.output().contains("within 50ms"), "{}", outcome.output());
    let outcome = probe(&udp(&address, true), IMPATIENT).await;
    assert_eq!(outcome.meaning(), Meaning::Success, "{}", outcome.output());

    drop(server);
    for silence_passes in [false, true] {
        let outcome = probe(&udp(&address, silence_passes), PATIENT).await;
        assert_eq!(outcome.meaning(), Meaning::Failure, "{}", outcome.output());
        assert!(outcome.output().contains("refused"), "{}", outcome.output());
    }
}

#[tokio::test]
async fn every_address_of_a_name_is_asked() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let port = server.local_addr().expect("an address").port();
    let serving = async {
        let (_, from) = server.recv_from(&mut [0; 16]).await.expect("heard");
        server.send_to(b"pong", from).await.expect("sent");
        std::future::pending::<()>().await;
    };
    let named = udp(&format!("localhost:{port}"), false);
    let outcome = tokio::select! {
        outcome = probe(&named, PATIENT) => outcome,
        () = serving => unreachable!(),
    };
    assert!(outcome.is_success(), "{}", outcome.output());
}
