//! Services whose instances are at hosts by name.

use domain::base::Header;
use domain::rdata::A;

use super::forwarding::{asked, forwarding_to, server};
use super::sockets::Served;
use super::*;

fn host(door: &mut Door, service: &str, id: &str, address: &str) {
    door.instance(1, id, |record| {
        (record.service, record.address) = (service.into(), address.into());
    });
    door.writer.publish();
}

#[tokio::test]
async fn a_host_by_name_is_an_alias_only_where_no_instance_has_an_address() {
    let mut door = Door::filled();
    host(&mut door, "far", "far", "db.example.com");
    let alias = "far.service.consul CNAME db.example.com";
    for rtype in [Rtype::A, Rtype::AAAA, Rtype::CNAME, Rtype::ANY] {
        assert_eq!(door.ask("far.service.consul", rtype).answers, [alias], "{rtype}");
    }
    let srv = door.ask("far.service.consul", Rtype::SRV);
    assert_eq!(srv.answers, ["far.service.consul SRV 1 1 80 db.example.com"]);
    assert!(srv.additionals.is_empty());
    door.instance(2, "near", |service| service.service = "far".into());
    door.writer.publish();
    assert_eq!(door.ask("far.service.consul", Rtype::A).answers, ["far.service.consul A 10.0.0.2"]);
    assert!(door.ask("far.service.consul", Rtype::CNAME).is_nothing(Rcode::NOERROR));
    assert_eq!(door.ask("far.service.consul", Rtype::SRV).answers.len(), 2);
}

#[tokio::test]
async fn a_host_that_is_no_name_does_not_spoil_the_answer() {
    let mut door = Door::new();
    for n in 0..20 {
        host(&mut door, "far", &format!("wrong-{n}"), "no/name");
    }
    host(&mut door, "far", "right", "db.example.com");
    let alias = "far.service.consul CNAME db.example.com";
    for _ in 0..10 {
        assert_eq!(door.ask("far.service.consul", Rtype::A).answers, [alias]);
        assert_eq!(door.ask("far.service.consul", Rtype::SRV).answers.len(), 1);
    }
    host(&mut door, "wrong", "wrong", "no/name");
    assert!(door.ask("wrong.service.consul", Rtype::A).is_nothing(Rcode::NOERROR));
}

#[tokio::test]
async fn an_alias_of_a_name_of_ours_is_followed() {
    let mut door = Door::filled();
    host(&mut door, "one", "one", "two.service.consul");
    host(&mut door, "two", "two", "n1.node.hobnob");
    let told = door.ask("one.service.consul", Rtype::A);
    assert_eq!(
        told.answers,
        [
            "one.service.consul CNAME two.service.consul",
            "two.service.consul CNAME n1.node.hobnob",
            "n1.node.hobnob A 10.0.0.1",
        ]
    );
    let told = door.ask("one.service.consul", Rtype::AAAA);
    assert_eq!((told.rcode, told.answers.len()), (Rcode::NOERROR, 2));
    assert!(told.authority[0].starts_with("hobnob SOA"), "the end has no such address: {told:?}");
    host(&mut door, "lost", "lost", "none.service.consul");
    let told = door.ask("lost.service.consul", Rtype::A);
    assert_eq!(told.rcode, Rcode::NXDOMAIN, "of the end of the chain (RFC 2308, section 2.1)");
    assert_eq!(told.answers, ["lost.service.consul CNAME none.service.consul"]);
}

#[tokio::test]
async fn aliases_that_go_in_circles_or_on_and_on_end() {
    let mut door = Door::new();
    host(&mut door, "one", "one", "two.service.consul");
    host(&mut door, "two", "two", "One.service.consul");
    assert_eq!(door.ask("one.service.consul", Rtype::A).answers.len(), 2);
    for n in 0..40 {
        host(&mut door, &format!("s{n}"), &format!("s{n}"), &format!("s{}.service.consul", n + 1));
    }
    assert_eq!(door.ask("s0.service.consul", Rtype::A).answers.len(), 9);
}

#[tokio::test]
async fn where_another_server_is_named_it_is_asked_for_a_host_elsewhere() {
    let (socket, addr) = server().await;
    let mut door = forwarding_to(&[addr]);
    host(&mut door, "far", "far", "db.example.com");
    let served = Served::start(door).await;
    let asks = query("far.service.consul", Rtype::A, None);
    let serve = async {
        let (question, from) = asked(&socket).await;
        let message = Message::from_octets(&question[..]).expect("a message");
        assert_eq!(message.first_question().expect("one").qname().to_string(), "db.example.com");
        let mut answer =
            MessageBuilder::new_vec().start_answer(&message, Rcode::NOERROR).expect("room");
        let name: Name<Vec<u8>> = Name::vec_from_str("db.example.com").expect("a name");
        answer.push((name, 60, A::from_octets(192, 0, 2, 7))).expect("room");
        socket.send_to(&answer.finish(), from).await.expect("sent");
    };
    let (told, ()) = tokio::join!(served.datagram(&asks), serve);
    let expected = ["far.service.consul CNAME db.example.com", "db.example.com A 192.0.2.7"];
    assert_eq!(told.answers, expected);
    let serve = async {
        let (mut question, from) = asked(&socket).await;
        let header = Header::for_message_slice_mut(&mut question);
        header.set_qr(true);
        header.set_rcode(Rcode::SERVFAIL);
        socket.send_to(&question, from).await.expect("sent");
    };
    let (told, ()) = tokio::join!(served.datagram(&asks), serve);
    assert_eq!(
        (told.rcode, &told.answers[..]),
        (Rcode::NOERROR, &expected.map(str::to_owned)[..1])
    );
    let counters = served.door.counters();
    assert_eq!((counters["dns_queries"], counters["dns_forwarded"]), (2, 2));
}
