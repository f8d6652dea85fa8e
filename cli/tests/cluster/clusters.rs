//! Agents of two clusters that meet.

use crate::agent::{ANY_PORT, Agent, eventually, hobnob, socket};

fn of_cluster(home: &std::path::Path, cluster: &str, name: &str, join: &[&Agent]) -> Agent {
    let mut args = vec![format!("--cluster={cluster}")];
    args.extend(join.iter().map(|agent| format!("--join={}", agent.bind())));
    Agent::start_with(home, name, ANY_PORT, &args)
}

#[test]
fn agents_of_two_clusters_never_mix_and_say_so() {
    let home = tempfile::tempdir().unwrap();
    let blue = of_cluster(home.path(), "blue", "blue", &[]);
    let green = of_cluster(home.path(), "green", "green", &[&blue]);
    let friend = of_cluster(home.path(), "blue", "friend", &[&blue]);
    eventually("the cluster of the seed forms", || blue.alive() == 2 && friend.alive() == 2);
    eventually("the other is counted", || blue.counter("datagrams_other_cluster") >= 3);
    assert_eq!(green.alive(), 1);
    assert_eq!(green.json(&["info"])["cluster"], "green");
    assert_eq!(blue.counter("datagrams_malformed"), 0, "it is no noise");

    let refused = green.run(&["join", &blue.bind().to_string()]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{error}");
    assert!(error.contains("of the cluster `green`"), "{error}");
    assert_eq!((blue.alive(), green.alive()), (2, 1));
}

#[test]
fn a_data_directory_of_another_cluster_is_refused() {
    let home = tempfile::tempdir().unwrap();
    drop(of_cluster(home.path(), "blue", "a1", &[]));
    let output = hobnob(&["agent", "--name", "a1", "--bind", &ANY_PORT.to_string()])
        .arg("--data-dir")
        .arg(home.path().join("a1"))
        .arg("--socket")
        .arg(socket(home.path(), "a1"))
        .env("HOBNOB_CLUSTER", "green")
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in ["`blue`", "`green`", "--cluster blue", "another data directory"] {
        assert!(error.contains(part), "no {part} in: {error}");
    }
    let again = of_cluster(home.path(), "blue", "a1", &[]);
    assert_eq!(again.json(&["info"])["cluster"], "blue");
}
