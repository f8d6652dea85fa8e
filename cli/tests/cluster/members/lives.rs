//! Hosts that come back as new nodes, and agents that share a name.

use super::three_of_which_the_last_serves;
use crate::agent::{Agent, eventually, items, text};

/// The members that an agent lists with these arguments: the node id and the status of each.
fn listed(agent: &Agent, args: &[&str]) -> Vec<(String, String)> {
    let members = agent.json(args)["members"].take();
    items(&members).iter().map(|item| (text(item, "node_id"), text(item, "status"))).collect()
}

fn node_id(agent: &Agent) -> String {
    text(&agent.json(&["info"]), "node_id")
}

#[test]
fn a_rebuilt_host_ends_its_earlier_life() {
    let home = tempfile::tempdir().unwrap();
    let (a1, a2, mut a3) = three_of_which_the_last_serves(home.path());
    let (old, bind) = (node_id(&a3), a3.bind());
    a3.kill();
    std::fs::remove_dir_all(home.path().join("a3")).unwrap();
    let again = Agent::start_at(home.path(), "a3", bind, &[a1.bind().to_string()]);
    let new = node_id(&again);
    assert_ne!(new, old);
    for agent in [&a1, &a2] {
        eventually("the old life has ended", || {
            listed(agent, &["members", "--all"]).contains(&(old.clone(), "replaced".to_owned()))
        });
        let living = listed(agent, &["members"]);
        assert!(living.len() == 3 && living.contains(&(new.clone(), "alive".to_owned())));
        assert!(agent.instances("web").is_empty(), "its instances went with it");
        let explained = agent.json(&["explain", &old]);
        let member = &explained["members"][0];
        assert!(text(member, "reason").contains(&new), "{member}");
        assert!(member["down_ago_ms"].is_u64(), "{member}");
        let table = String::from_utf8(agent.run(&["members", "--all"]).stdout).unwrap();
        assert!(table.contains("DOWN FOR") && table.contains("replaced"), "{table}");
    }
    assert!(!again.has_logged("has the name of this one"), "its earlier life is no other agent");
    assert!(a1.run(&["members"]).stderr.is_empty());
}

#[test]
fn two_living_agents_of_one_name_both_say_so() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let a1 = Agent::start(home.path(), "a1", &[]);
    let one = Agent::start(home.path(), "twin", &[&a1]);
    let two = Agent::start(other.path(), "twin", &[&a1]);
    for (agent, namesake) in [(&one, &two), (&two, &one)] {
        let (id, address) = (node_id(namesake), namesake.bind().to_string());
        eventually("it says so in its log", || agent.has_logged("has the name of this one"));
        for part in [&id, &address, &node_id(agent), &agent.bind().to_string(), "--name"] {
            let line = format!("no {part}");
            assert!(agent.has_logged(part), "{line}");
        }
        let info = agent.json(&["info"]);
        let known = &info["name_conflicts"];
        assert_eq!(text(&known[0], "node_id"), id, "{info}");
        assert_eq!(text(&known[0], "gossip_address"), address);
        let shown = String::from_utf8(agent.run(&["info"]).stdout).unwrap();
        assert!(shown.contains("SHARED with") && shown.contains("--name"), "{shown}");
    }
    assert!(!a1.has_logged("has the name of this one"), "it is no business of others");
    let members = a1.json(&["members"])["members"].take();
    for member in items(&members) {
        assert_eq!(member["name_conflict"] == true, text(member, "member") == "twin", "{member}");
    }
    let warned = String::from_utf8(a1.run(&["members"]).stderr).unwrap();
    assert!(warned.contains("2 living members have the name `twin`"), "{warned}");
}

#[test]
fn a_member_that_left_does_not_count_as_down() {
    let home = tempfile::tempdir().unwrap();
    let (a1, a2, mut a3) = three_of_which_the_last_serves(home.path());
    a2.ok(&["leave"]);
    a3.kill();
    eventually("one has left, and one is down", || {
        let listed = listed(&a1, &["members", "--all"]);
        let mut statuses: Vec<_> = listed.iter().map(|(_, status)| status.as_str()).collect();
        statuses.sort_unstable();
        statuses == ["alive", "down", "left"]
    });
    let datacenter = a1.json(&["datacenters"])["datacenters"][0].take();
    assert_eq!((&datacenter["alive"], &datacenter["down"]), (&1.into(), &1.into()), "{datacenter}");
}
