//! A dead member that an operator declares gone.

use crate::agent::{Agent, eventually, items, text};

fn members_called(agent: &Agent, name: &str) -> Vec<(String, String)> {
    let members = agent.json(&["members", "--all"])["members"].take();
    let called = items(&members).iter().filter(|item| text(item, "member") == name);
    called.map(|item| (text(item, "node_id"), text(item, "status"))).collect()
}

#[test]
fn the_instances_of_a_member_that_is_gone_for_good_go_everywhere() {
    let home = tempfile::tempdir().unwrap();
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    let a3 = Agent::start(home.path(), "a3", &[&a1]);
    a1.ok(&["register", "web", "--port", "80"]);
    eventually("the others find it", || {
        [&a2, &a3].iter().all(|agent| agent.healthy("web") == ["web"])
    });
    let refused = a2.run(&["force-leave", "a1"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("`a1` is alive"), "{error}");
    assert_eq!(a2.run(&["force-leave", "nobody"]).status.code(), Some(3));
    assert_eq!(a2.run(&["force-leave", "a2"]).status.code(), Some(2), "itself");

    a1.kill();
    drop(a1);
    eventually("both hold it down", || {
        [&a2, &a3].iter().all(|agent| agent.status_of("a1").as_deref() == Some("down"))
    });
    assert_eq!(a3.instances("web"), [("web".to_owned(), "unknown".to_owned())]);

    // A host that was set up anew has the old name and another id.
    std::fs::remove_dir_all(home.path().join("a1")).unwrap();
    let again = Agent::start(home.path(), "a1", &[&a2]);
    eventually("both go by one name", || members_called(&a2, "a1").len() == 2);
    let all = members_called(&a2, "a1");
    let (dead, _) = all.iter().find(|(_, status)| status == "down").unwrap();
    let gone = a2.json(&["force-leave", "a1"]);
    assert_eq!((&gone["member"], &gone["instance_count"]), (&"a1".into(), &1.into()), "{gone}");
    assert_eq!(text(&gone, "node_id"), *dead, "the dead one is meant");
    eventually("its instance is gone everywhere", || {
        [&a2, &a3, &again].iter().all(|agent| agent.instances("web").is_empty())
    });
    assert_eq!(again.alive(), 3, "who has its name is not touched");
    for agent in [&a2, &a3] {
        let listed = agent.json(&["members"])["members"].take();
        let ids: Vec<_> = items(&listed).iter().map(|item| text(item, "node_id")).collect();
        assert_eq!(ids.len(), 3, "gone is gone: {listed}");
        assert!(members_called(agent, "a1").contains(&(dead.clone(), "force_left".to_owned())));
    }
    for agent in [&a2, &a3] {
        let explained = agent.json(&["explain", dead]);
        let member = &explained["members"][0];
        assert_eq!(text(member, "member"), "a1", "{member}");
        assert!(text(member, "reason").contains("forced it to leave"), "{member}");
        assert_eq!(member["verdict"]["cause"], "force_leave", "{member}");
    }
}

#[test]
fn of_a_member_that_left_it_is_said_that_it_did() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
    a2.ok(&["register", "web", "--port", "80"]);
    eventually("the other finds it", || a1.healthy("web") == ["web"]);
    a2.terminate();
    eventually("it left", || a1.status_of("a2").as_deref() == Some("left"));
    let said = |args: &[&str]| {
        let words = String::from_utf8(a1.run(args).stdout).unwrap();
        words.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let explained = said(&["explain", "a2"]);
    assert!(explained.contains("instances none: they went when it left"), "{explained}");
    let gone = said(&["force-leave", "a2"]);
    assert!(gone.contains(" was forced to leave: it left ") && gone.contains(" ago, "), "{gone}");
    let explained = said(&["explain", "a2"]);
    assert!(explained.contains("records dropped: it left"), "{explained}");
}

#[test]
fn of_several_dead_ones_that_go_by_one_name_one_is_named_by_its_id() {
    let home = tempfile::tempdir().unwrap();
    let a1 = Agent::start(home.path(), "a1", &[]);
    for dead in 1..=2 {
        let mut a2 = Agent::start(home.path(), "a2", &[&a1]);
        eventually("it is there, and its name is known", || {
            members_called(&a1, "a2").iter().any(|(_, status)| status == "alive")
        });
        a2.kill();
        std::fs::remove_dir_all(home.path().join("a2")).unwrap();
        eventually("it is down", || {
            let all = members_called(&a1, "a2");
            all.len() == dead && all.iter().all(|(_, status)| status == "down")
        });
    }
    let refused = a1.run(&["force-leave", "a2"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{error}");
    let all = members_called(&a1, "a2");
    for (id, status) in &all {
        assert!(error.contains(id) && error.contains(status), "no {id} {status} in: {error}");
    }
    eventually("it hears nobody", || a1.json(&["info"])["isolated"] == true);
    let done = a1.run(&["force-leave", &all[0].0]);
    let warning = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && warning.contains("hears no other member"), "{warning}");
    assert_eq!(text(&a1.json(&["force-leave", "a2"]), "node_id"), all[1].0, "the other is left");
}

#[test]
fn the_last_of_two_is_not_isolated_once_the_other_is_gone_for_good() {
    let home = tempfile::tempdir().unwrap();
    let isolated = |agent: &Agent| agent.json(&["info"])["isolated"] == true;
    let mut a1 = Agent::start(home.path(), "a1", &[]);
    let a2 = Agent::start(home.path(), "a2", &[&a1]);
    eventually("its name is known", || a2.status_of("a1").as_deref() == Some("alive"));
    a1.kill();
    eventually("it may be cut off", || isolated(&a2));
    a2.ok(&["force-leave", "a1"]);
    eventually("it is not: the other is gone for good", || !isolated(&a2));
    let mut a2 = a2;
    a2.terminate();
    let a2 = a2.restart();
    assert!(!isolated(&a2), "it expects nobody after a restart");

    let mut a3 = Agent::start(home.path(), "a3", &[&a2]);
    eventually("they know each other", || a2.alive() == 2 && a3.alive() == 2);
    a3.terminate();
    eventually("the other has left", || a2.alive() == 1);
    let mut a2 = a2;
    a2.terminate();
    let a2 = a2.restart();
    assert!(!isolated(&a2), "it expects nobody after a restart");
}
