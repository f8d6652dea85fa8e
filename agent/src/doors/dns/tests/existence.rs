//! Which names are there, whatever the type that they are asked for.

use super::*;

/// Members and services whose names have dots, in three datacenters.
fn dotted() -> Door {
    let mut door = Door::filled();
    door.member(4, "n4.rack.example", "10.0.0.4", MemberStatus::Alive);
    door.member_in("eu", 5, "n5", "10.1.0.5", MemberStatus::Alive);
    door.member_in("service", 6, "n6", "10.2.0.6", MemberStatus::Alive);
    door.instance_in("eu", 5, "shop-1", |service| {
        (service.namespace, service.service) = ("Shop".into(), "api".into());
        service.tags = ["v2.1"].into();
    });
    door.writer.publish();
    door
}

#[tokio::test]
async fn a_name_above_names_that_are_there_is_there() {
    let door = dotted();
    for name in [
        "main.service.consul",
        "rack.example.node.consul",
        "example.node.consul",
        "example.node.dc1.consul",
        "service.consul",
        "node.eu.consul",
        "addr.eu.dc.consul",
        "eu.consul",
        "eu.dc.consul",
        "ns.eu.consul",
        "ns.eu.dc.consul",
        "shop.ns.consul",
        "service.shop.ns.consul",
        "1.api.service.shop.ns.consul",
        "_tcp.service.consul",
        "_tcp.service.dc1.consul",
        "_v1.service.consul",
        "main._tcp.service.consul",
        "_v1.service.dc1.dc.consul",
    ] {
        for rtype in [Rtype::A, Rtype::SRV, Rtype::SOA, Rtype::MX] {
            assert!(door.ask(name, rtype).is_nothing(Rcode::NOERROR), "{name} {rtype}");
        }
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_not_there() {
    let door = dotted();
    for name in [
        "none.service.consul",
        "n9.node.consul",
        "ample.node.consul",
        "example.node.eu.consul",
        "us.consul",
        "us.dc.consul",
        "service.us.consul",
        "addr.us.consul",
        "7f000001.addr.us.consul",
        "_tcp.service.us.consul",
        "ns.us.consul",
        "none.ns.consul",
        "service.none.ns.consul",
        "_nosuch.service.consul",
        "_v1.service.eu.consul",
        "_none._tcp.service.consul",
        "_web._nosuch.service.consul",
        "none._tcp.service.consul",
        "v1.main.service.consul",
        r"web\.service.consul",
    ] {
        for rtype in [Rtype::A, Rtype::SRV, Rtype::MX] {
            assert!(door.ask(name, rtype).is_nothing(Rcode::NXDOMAIN), "{name} {rtype}");
        }
    }
}

#[tokio::test]
async fn a_datacenter_may_have_the_name_of_a_word() {
    let mut door = dotted();
    for word in ["service", "node", "addr", "ns", "dc"] {
        door.member_in(word, 10, "m1", "10.3.0.1", MemberStatus::Alive);
        door.instance_in(word, 10, "there", |service| service.service = "there".into());
        door.writer.publish();
        for form in [format!("there.service.{word}"), format!("there.service.{word}.dc")] {
            let told = door.ask(&format!("{form}.consul"), Rtype::A);
            assert_eq!(told.answers, [format!("{form}.consul A 10.0.0.10")]);
        }
        let told = door.ask(&format!("m1.node.{word}.consul"), Rtype::A);
        assert_eq!(told.answers, [format!("m1.node.{word}.consul A 10.3.0.1")]);
        let target = format!("0a00000a.addr.{word}.dc.consul");
        let told = door.ask(&format!("there.service.{word}.consul"), Rtype::SRV);
        assert_eq!(told.additionals, [format!("{target} A 10.0.0.10")], "the way back");
        assert_eq!(door.ask(&target, Rtype::A).answers, [format!("{target} A 10.0.0.10")]);
    }
    door.instance(1, "x", |service| {
        (service.service, service.namespace) = ("x".into(), "service".into());
    });
    door.writer.publish();
    assert_eq!(door.ask("x.service.service.ns.consul", Rtype::A).answers.len(), 1);
    door.instance(1, "y", |service| service.service = "there.service".into());
    door.writer.publish();
    let told = door.ask("there.service.service.consul", Rtype::A).answers;
    assert_eq!(told, ["there.service.service.consul A 10.0.0.1"], "the longest name comes first");
}

#[tokio::test]
async fn a_dead_member_is_found_in_its_datacenter_whoever_has_its_name_elsewhere() {
    let mut door = Door::filled();
    door.member_in("eu", 7, "n3", "10.1.0.3", MemberStatus::Alive);
    for (name, address) in
        [("n3.node.dc1", "10.0.0.3"), ("n3.node.eu", "10.1.0.3"), ("n3.node", "10.0.0.3")]
    {
        let told = door.ask(&format!("{name}.consul"), Rtype::A);
        assert_eq!(told.answers, [format!("{name}.consul A {address}")], "the own one comes first");
    }
    door.member_in("eu", 8, "n8", "10.1.0.8", MemberStatus::Down);
    door.member_in("us", 9, "n8", "10.2.0.8", MemberStatus::Alive);
    let told = door.ask("n8.node.consul", Rtype::A).answers;
    assert_eq!(told, ["n8.node.consul A 10.2.0.8"], "of two elsewhere, the living one");
}

#[tokio::test]
async fn names_with_dots_have_tags_and_the_form_of_rfc_2782() {
    let mut door = Door::new();
    door.instance(1, "db", |service| {
        (service.service, service.tags) = ("Db.Main".into(), ["Blue.1"].into());
    });
    door.instance(2, "tagged", |service| service.tags = ["v1"].into());
    door.instance(1, "dotted", |service| service.service = "v1.web".into());
    door.writer.publish();
    for (name, address) in [
        ("db.main.service", "10.0.0.1"),
        ("blue.1.db.main.service", "10.0.0.1"),
        ("_db.main._tcp.service", "10.0.0.1"),
        ("v1.web.service", "10.0.0.1"),
        ("_web._v1.service", "10.0.0.2"),
        ("_v1.web._tcp.service", "10.0.0.1"),
    ] {
        let told = door.ask(&format!("{name}.consul"), Rtype::A);
        assert_eq!(told.answers, [format!("{name}.consul A {address}")]);
    }
}
