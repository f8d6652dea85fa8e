//! `dig` itself, and what it shows of the door.

use super::{Answering, Backends};
use crate::agent::{eventually, hobnob, socket};

#[test]
fn dig_follows_a_service_that_dies_returns_and_gets_another_weight() {
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    if asked.dig(&["consul", "SOA"]).is_none() {
        return;
    }
    let mut backends = Backends::start(3);
    backends.register(&asked.agent, 1);
    let port = backends.port();
    let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    eventually("all three are there", || asked.short("web.service.consul", "A") == all);
    backends.kill(2);
    eventually("dig follows a kill", || {
        asked.short("web.service.consul", "A") == ["127.0.0.1", "127.0.0.3"]
    });
    backends.restart(2);
    eventually("dig follows a return", || asked.short("web.service.consul", "A") == all);
    backends.register_one(&asked.agent, 3, 7);
    let weighted = format!("1 7 {port} 7f000003.addr.dc1.consul.");
    eventually("dig follows a weight", || {
        asked.short("_web._tcp.service.consul", "SRV").contains(&weighted)
    });
    asked.agent.ok(&["maintenance", "on", "web-1", "--reason", "disk"]);
    eventually("dig follows maintenance", || {
        asked.short("web.service.consul", "A") == ["127.0.0.2", "127.0.0.3"]
    });
}

#[test]
fn dig_reads_every_kind_of_answer() {
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    let agent = &asked.agent;
    agent.ok(&["register", "web", "--port", "80", "--tag", "v1", "--meta", "team=shop"]);
    eventually("it is there", || agent.healthy("web").len() == 1);
    let Some(told) = asked.dig(&["+noall", "+answer", "+comments", "wEb.SerVice.consul", "A"])
    else {
        return;
    };
    for part in ["status: NOERROR", "flags: qr aa rd;", "wEb.SerVice.consul.\t0\tIN\tA\t127.0.0.1"]
    {
        assert!(told.contains(part), "no {part} in: {told}");
    }
    let srv = asked.dig(&["web.service.consul", "SRV"]).unwrap();
    for part in ["1 1 80 a1.node.dc1.consul.", "a1.node.dc1.consul.\t0\tIN\tA\t127.0.0.1"] {
        assert!(srv.contains(part), "no {part} in: {srv}");
    }
    assert!(srv.contains("udp: 1232"), "EDNS: {srv}");
    for (name, rtype, expected) in [
        ("v1.web.service.dc1.hobnob", "A", "127.0.0.1"),
        ("a1.node.consul", "A", "127.0.0.1"),
        ("7f000001.addr.consul", "A", "127.0.0.1"),
        ("web.service.consul", "ANY", "127.0.0.1"),
        ("consul", "NS", "ns.consul."),
    ] {
        assert_eq!(asked.short(name, rtype), [expected], "{name} {rtype}");
    }
    let txt = asked.short("web.service.consul", "TXT");
    assert!(txt.len() == 1 && txt[0].contains("\"tag=v1\" \"team=shop\""), "{txt:?}");
    let names = asked.dig(&["+short", "-x", "127.0.0.1"]).unwrap();
    for name in ["a1.node.dc1.consul.", "web.service.dc1.consul."] {
        assert!(names.contains(name), "no {name} in: {names}");
    }
    for (args, status) in [
        (&["none.service.consul"][..], "NXDOMAIN"),
        (&["web.service.consul", "MX"], "NOERROR"),
        (&["example.com"], "REFUSED"),
        (&["-c", "CH", "version.bind", "TXT"], "NOTIMP"),
        (&["web.service.consul", "+edns=7", "+noednsnegotiation"], "BADVERS"),
    ] {
        let told = asked.dig(args).unwrap();
        assert!(told.contains(&format!("status: {status}")), "{args:?}: {told}");
    }
    let counters = ["queries", "negative", "refused", "unsupported"];
    for counter in counters {
        assert!(agent.counter(&format!("dns_{counter}")) > 0, "{counter}");
    }
    assert!(doctor(&asked).contains("not asked: the port is chosen"));
}

fn doctor(asked: &Answering) -> String {
    String::from_utf8(asked.agent.run(&["doctor"]).stdout).unwrap()
}

#[test]
fn dig_asks_again_over_tcp_for_an_answer_that_is_long() {
    const INSTANCES: usize = 60;
    let home = tempfile::tempdir().unwrap();
    let asked = Answering::start(home.path(), &[]);
    for n in 0..INSTANCES {
        let (id, address) = (format!("web-{n}"), format!("127.0.1.{n}"));
        asked.agent.ok(&["register", "web", "--id", &id, "--address", &address, "--port", "80"]);
    }
    let Some(cut) = asked.dig(&["+ignore", "web.service.consul", "SRV"]) else { return };
    assert!(cut.contains("flags: qr aa tc rd;"), "{cut}");
    assert!(!cut.contains(&format!("ANSWER: {INSTANCES},")), "{cut}");
    let whole = asked.dig(&["web.service.consul", "SRV"]).unwrap();
    assert!(whole.contains(&format!("ANSWER: {INSTANCES},")), "{whole}");
    let tcp = asked.dig(&["+tcp", "+keepopen", "web.service.consul", "A", "a1.node.consul", "A"]);
    assert!(tcp.unwrap().contains("(TCP)"));
    assert!(asked.agent.counter("dns_truncated") >= 2);
    assert!(asked.agent.counter("dns_connections_accepted") >= 2);
}

#[test]
fn dns_beyond_this_host_has_to_be_asked_for_and_forwards_for_nobody() {
    let home = tempfile::tempdir().unwrap();
    let start = |more: &[&str]| {
        let mut command = hobnob(&["agent", "--name", "a1", "--bind", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(home.path().join("a1"));
        command.arg("--socket").arg(socket(home.path(), "a1")).args(more);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    for (more, words) in [
        (&["--dns=0.0.0.0:0"][..], &["0.0.0.0:0", "--insecure-dns"][..]),
        (
            &["--dns=0.0.0.0:0", "--insecure-dns", "--dns-forward=1.1.1.1"],
            &["flood", "--dns-forward"],
        ),
        (&["--dns-forward=1.1.1.1"], &["no address that answers DNS", "--dns <IP:PORT>"]),
        (&["--dns=127.0.0.1:0", "--dns-domain=arpa"], &["another purpose"]),
        (&["--dns=127.0.0.1:0", "--dns-ttl=1ms"], &["whole seconds"]),
    ] {
        let told = start(more);
        assert!(words.iter().all(|word| told.contains(word)), "{more:?}: {told}");
    }
}

#[test]
fn names_of_others_are_forwarded_where_a_server_is_named() {
    let home = tempfile::tempdir().unwrap();
    let inner = Answering::start(&home.path().join("inner"), &["--dns-domain=inner.example"]);
    let server = format!("--dns-forward=127.0.0.1:{}", inner.port);
    let outer = Answering::start(&home.path().join("outer"), &[&server, "--dns-ttl=5s"]);
    let Some(told) = outer.dig(&["a1.node.inner.example", "A"]) else { return };
    for part in ["status: NOERROR", "a1.node.inner.example.\t0\tIN\tA\t127.0.0.1"] {
        assert!(told.contains(part), "no {part} in: {told}");
    }
    let own = outer.dig(&["a1.node.consul", "A"]).unwrap();
    for part in ["flags: qr aa rd ra;", "a1.node.consul.\t\t5\tIN\tA\t127.0.0.1"] {
        assert!(own.contains(part), "no {part} in: {own}");
    }
    let tcp = outer.dig(&["+tcp", "none.inner.example"]).unwrap();
    assert!(tcp.contains("status: NXDOMAIN") && tcp.contains("(TCP)"), "{tcp}");
    assert_eq!(outer.agent.counter("dns_forwarded"), 2);
    drop(inner);
    let lost = outer.dig(&["a1.node.inner.example"]).unwrap();
    assert!(lost.contains("status: SERVFAIL"), "{lost}");
}
