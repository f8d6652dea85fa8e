//! Agents that others reach at another port than the bound one, as behind a NAT or in a container.

use std::net::SocketAddr;
use std::path::Path;

use super::forwarder::Forwarder;
use crate::agent::{Agent, eventually};

/// An agent that others reach through these forwarders.
fn behind(home: &Path, gossip: &Forwarder, sync: &Forwarder) -> Agent {
    let args = [
        format!("--advertise=localhost:{}", gossip.address().port()),
        format!("--advertise-sync-port={}", sync.address().port()),
        "--sync-bind=lo".to_owned(),
    ];
    let agent = Agent::start_with(home, "inside", "lo:0", &args);
    let info = agent.json(&["info"]);
    let bound = |field: &str| -> SocketAddr { info[field].as_str().unwrap().parse().unwrap() };
    assert_eq!(agent.bind(), gossip.address());
    assert_eq!(info["sync_address"], sync.address().to_string());
    gossip.lead_to(bound("gossip_bound"));
    sync.lead_to(bound("sync_bound"));
    agent
}

/// Two agents that know each other and each other's instances; one is behind the forwarders.
fn joined(home: &Path, gossip: &Forwarder, sync: &Forwarder) -> [Agent; 2] {
    let inside = behind(home, gossip, sync);
    inside.ok(&["register", "web", "--id", "inside", "--port", "80"]);
    let join = format!("--join={}", gossip.address());
    let outside = Agent::start_with(home, "outside", "localhost:0", &[join]);
    outside.ok(&["register", "web", "--id", "outside", "--port", "80"]);
    let agents = [inside, outside];
    eventually("both know both", || {
        let knows = |agent: &Agent| agent.alive() == 2 && agent.healthy("web").len() == 2;
        agents.iter().all(knows)
    });
    agents
}

fn nobody_was_called_down(agents: &[Agent]) {
    for agent in agents {
        assert_eq!(agent.alive(), 2, "{}", agent.name);
        for never in ["verdicts_passed", "verdicts_believed", "verdicts_refuted", "claims_sent"] {
            assert_eq!(agent.counter(never), 0, "{never} of {}", agent.name);
        }
        assert_eq!(agent.json(&["info"])["duplicate"], serde_json::Value::Null);
    }
}

#[test]
fn agents_find_each_other_through_forwarded_ports() {
    let home = tempfile::tempdir().unwrap();
    let (gossip, sync) = (Forwarder::of_udp_and_tcp(), Forwarder::of_udp());
    let [mut inside, outside] = joined(home.path(), &gossip, &sync);
    assert!(sync.datagrams() > 0, "the newcomer has opened its session at the advertised port");
    let shown = outside.json(&["explain", "inside"])["members"][0].take();
    assert_eq!(shown["gossip_address"], gossip.address().to_string());
    let before = gossip.datagrams();
    eventually("pings go on", || gossip.datagrams() > before + 3);
    let agents = [inside, outside];
    nobody_was_called_down(&agents);
    let outside;
    [inside, outside] = agents;

    inside.freeze();
    eventually("its host answers", || outside.counter("tcp_probes_answered") > 0);
    inside.kill();
    eventually("its end is noticed", || outside.status_of("inside").as_deref() == Some("down"));
}

/// A refused TCP probe tells nothing: whether a member lives is told by its own answers alone.
#[test]
fn a_forwarder_of_udp_alone_makes_nobody_dead() {
    let home = tempfile::tempdir().unwrap();
    let (gossip, sync) = (Forwarder::of_udp(), Forwarder::of_udp());
    let agents = joined(home.path(), &gossip, &sync);
    let [_, outside] = &agents;

    gossip.drop_datagrams(true);
    eventually("it is asked by TCP too", || outside.counter("tcp_probes_sent") > 0);
    let suspected = outside.status_of("inside");
    assert!(matches!(suspected.as_deref(), Some("alive" | "suspect")), "{suspected:?}");
    gossip.drop_datagrams(false);
    let before = gossip.datagrams();
    eventually("it answers pings again", || gossip.datagrams() > before + 3);
    eventually("it is alive", || outside.alive() == 2);
    assert_eq!(outside.counter("tcp_probes_answered"), 0, "they are refused");
    nobody_was_called_down(&agents);

    let [mut inside, outside] = agents;
    inside.kill();
    eventually("its end is noticed", || outside.status_of("inside").as_deref() == Some("down"));
}
