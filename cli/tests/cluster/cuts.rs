//! Four hosts, each a network namespace. A link between two of them breaks, both ways and one way, and then the network breaks
//! in two halves.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::agent::{eventually, hobnob, items, text};
use crate::networks::{Killed, Namespace, found_cluster, in_own_network, ip};

/// The report of the inner process, once every cut was told of.
const TOLD: &str = "four hosts told of their cuts";
/// A hardware address that no host has: what is sent there is lost.
const NOWHERE: &str = "02:00:00:00:00:99";
const LINK_BROKEN: &str = "link broken: no answer to this agent for ";
const LINK_MENDED: &str = "the broken link of this agent to a member is mended";
const ONE_CUT: &str = "lost 2 of 4 at once: probably a cut";

#[test]
fn both_ends_name_a_broken_link_and_both_halves_tell_of_one_cut() {
    let name = "cuts::both_ends_name_a_broken_link_and_both_halves_tell_of_one_cut";
    in_own_network(name, "link add br0 type bridge", TOLD, inside);
}

fn inside() {
    let home = tempfile::tempdir().unwrap();
    ip("link add switch type bridge");
    ip("link set switch up");
    let hosts = ["a", "b", "c", "d"].map(|name| Host::new(home.path(), name));
    let token = found_cluster(home.path(), "10.77.0.1:7946");
    let agents = hosts.each_ref().map(|host| host.start_agent(&token));
    let [a, b, c, d] = &hosts;
    for host in &hosts {
        host.ok(&["register", "web", "--id", &format!("web-{}", host.name), "--port", "80"]);
    }
    a.ok(&["register", "mq", "--id", "mq-a", "--port", "80"]);
    d.ok(&["register", "db", "--id", "db-d", "--port", "80"]);
    eventually("all four know all", || {
        hosts.iter().all(|host| {
            host.ask(&["members"])["members"].as_array().is_some_and(|known| known.len() == 4)
                && host.offers("web").len() == 4
                && host.offers("mq").len() == 1
                && host.offers("db").len() == 1
        })
    });
    a_link_breaks_both_ways([a, b, c, d]);
    a_link_breaks_one_way([a, b, c, d]);
    the_network_breaks_in_two([a, b, c, d]);
    one_host_is_isolated([a, b, c, d]);
    one_side_has_the_majority_of_the_voters([a, b, c, d]);
    drop(agents);
    println!("{}", a.log());
    println!("{TOLD}");
}

fn a_link_breaks_both_ways([a, b, c, d]: [&Host; 4]) {
    let started = Instant::now();
    cut(&[(a, c), (c, a)]);
    eventually("both ends name the broken link", || {
        a.broken_links() == ["c"] && c.broken_links() == ["a"]
    });
    println!("a broken link was named within {} ms", started.elapsed().as_millis());
    assert_eq!((b.broken_links(), d.broken_links()), (vec![], vec![]));
    for (host, far) in [(a, "c"), (c, "a")] {
        let explained = host.told(&["explain", far]);
        assert!(explained.contains("is alive"), "{explained}");
        assert!(explained.contains("link broken: no answer to this agent for "), "{explained}");
        let members = host.told(&["members"]);
        println!("{members}\n{explained}");
        assert!(members.contains("alive, link broken"), "{members}");
        assert!(
            members.contains(&format!("warning: `{far}`: link broken: no answer")),
            "{members}"
        );
        let info = host.ask(&["info"]);
        assert_eq!(info["broken_links"][0], far);
        assert_eq!(info["counters"]["link_breaks"], 1);
        assert_eq!(host.lines_with(LINK_BROKEN), 1);
        // Its instance comes last among equals.
        let far = format!("web-{far}");
        eventually("the instance behind the broken link comes last", || {
            let offers = host.offers("web");
            offers.len() == 3 && !offers.iter().any(|(id, _)| *id == far)
        });
        let found = host.ask(&["resolve", "web", "--all"]);
        let found = items(&found["instances"]).iter().find(|one| text(one, "instance") == far);
        let found = found.unwrap();
        assert_eq!(
            (text(found, "status"), text(found, "basis")),
            ("healthy".into(), "unanswered".into())
        );
    }
    for (host, only) in [(a, "db"), (b, "mq"), (d, "mq")] {
        let current = vec![(
            host.ask(&["resolve", only])["instances"][0]["instance"].as_str().unwrap().to_owned(),
            "current".to_owned(),
        )];
        assert_eq!(host.offers(only), current, "{}", host.name);
    }
    assert_eq!(
        c.offers("mq"),
        [("mq-a".to_owned(), "unanswered".to_owned())],
        "it is the only one"
    );
    mend(&[(a, c), (c, a)]);
    eventually("the link is mended", || a.broken_links().is_empty() && c.broken_links().is_empty());
    for host in [a, c] {
        eventually("the log tells of the end", || host.lines_with(LINK_MENDED) == 1);
        eventually("all are offered again", || host.offers("web").len() == 4);
    }
}

fn a_link_breaks_one_way([a, b, c, d]: [&Host; 4]) {
    cut(&[(c, a)]);
    eventually("both ends name the link that passes one way", || {
        a.broken_links() == ["c"] && c.broken_links() == ["a"]
    });
    assert_eq!((b.broken_links(), d.broken_links()), (vec![], vec![]));
    mend(&[(c, a)]);
    eventually("the link is mended", || a.broken_links().is_empty() && c.broken_links().is_empty());
    for host in [a, c] {
        eventually("the log tells of both", || {
            (host.lines_with(LINK_BROKEN), host.lines_with(LINK_MENDED)) == (2, 2)
        });
    }
    for host in [b, d] {
        assert_eq!(host.lines_with(LINK_BROKEN), 0, "{}", host.log());
    }
}

fn the_network_breaks_in_two([a, b, c, d]: [&Host; 4]) {
    let across: Vec<_> = [(a, c), (a, d), (b, c), (b, d)]
        .into_iter()
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .collect();
    cut(&across);
    eventually("both halves tell of one cut", || {
        [a, b, c, d].iter().all(|host| host.lines_with(ONE_CUT) == 1)
    });
    for (host, far, lost) in [(a, "d", "db"), (b, "c", "db"), (c, "b", "mq"), (d, "a", "mq")] {
        assert_eq!(host.down_lines(), 0, "one line for both: {}", host.log());
        let members = host.ask(&["members"]);
        let losses = items(&members["mass_losses"]);
        assert_eq!(losses.len(), 1, "{members}");
        for (field, number) in
            [("lost_count", 2), ("member_count", 4), ("missing_count", 2), ("back_count", 0)]
        {
            assert_eq!(losses[0].get(field), Some(&number.into()), "{field}: {members}");
        }
        let shown = host.told(&["members"]);
        assert!(shown.contains("warning: lost at once: 2 of 4, "), "{shown}");
        let info = host.told(&["info"]);
        assert!(info.contains("2 of 4, ") && info.contains("probably a cut"), "{info}");
        let explained = host.told(&["explain", far]);
        println!("{shown}\n{explained}");
        assert!(explained.contains("lost with one other"), "{explained}");
        assert!(!explained.contains("answers no member"), "nobody here knows that: {explained}");
        // Nothing healthy is left of the service, and the last known goes on.
        let offers = host.offers(lost);
        assert_eq!(offers.len(), 1, "{}: {offers:?}", host.name);
        assert_eq!(offers[0].1, "last_known");
        let picked = host.ask(&["pick", lost]);
        assert!(picked.to_string().contains("last_known"), "{picked}");
        assert!(picked.to_string().contains("age_ms"), "{picked}");
        assert_eq!(host.offers("web").len(), 2, "this half serves itself");
        assert_eq!(host.broken_links(), Vec::<String>::new(), "nobody here hears those over there");
    }
    mend(&across);
    eventually("the cut is over everywhere", || {
        [a, b, c, d].iter().all(|host| {
            items(&host.ask(&["members"])["mass_losses"]).is_empty()
                && host.lines_with("2 of 2 that were lost at once") == 1
                && host.offers("web").len() == 4
        })
    });
}

fn one_host_is_isolated([a, b, c, d]: [&Host; 4]) {
    let away: Vec<_> = [b, c, d].into_iter().flat_map(|it| [(a, it), (it, a)]).collect();
    cut(&away);
    eventually("it knows that it is isolated", || a.ask(&["info"])["isolated"] == true);
    eventually("it knows what it lost", || {
        a.ask(&["info"])["mass_losses"][0]["missing_count"] == 3
    });
    let (members, explained) = (a.told(&["members"]), a.told(&["explain", "b"]));
    println!("{members}\n{explained}");
    assert!(members.contains("warning: this agent hears no other member"), "{members}");
    assert!(explained.contains("this agent hears nobody: it may be the one that is cut off"));
    assert_eq!(a.lines_with("this agent hears no other member"), 1, "{}", a.log());
    eventually("the others tell of one death", || [b, c, d].iter().all(|it| it.down_lines() == 1));
    for host in [b, c, d] {
        assert_eq!(items(&host.ask(&["members"])["mass_losses"]), [] as [Value; 0]);
    }
    mend(&away);
    eventually("it is isolated no more", || {
        let info = a.ask(&["info"]);
        info["isolated"] == false && info.get("mass_losses").is_none()
    });
}

fn one_side_has_the_majority_of_the_voters([a, b, c, d]: [&Host; 4]) {
    const STRONG: [&str; 4] = ["--consistency", "strong", "--consistency-timeout", "1s"];
    let strongly = |host: &Host, args: &[&str]| {
        let output =
            hobnob(&[args, &STRONG].concat()).env("HOBNOB_SOCKET", host.path("sock")).output();
        output.unwrap().status.code()
    };
    let register = |id| ["register", "shop", "--id", id, "--port", "80"];
    let credential = format!("{}/credential", a.home);
    let unsigned = strongly(a, &["resolve", "shop"]);
    assert_eq!(unsigned, Some(1), "there are no voters");
    a.ok(&["voters", "set", "a", "b", "c", "--credential", &credential]);
    eventually("all know the voters", || {
        [a, b, c, d].iter().all(|host| host.ask(&["voters"])["configuration"] == 1)
    });
    assert_eq!(strongly(d, &register("shop-d")), Some(0));
    let across: Vec<_> = [(a, c), (a, d), (b, c), (b, d)]
        .into_iter()
        .flat_map(|(one, other)| [(one, other), (other, one)])
        .collect();
    cut(&across);
    for host in [a, b] {
        assert_eq!(strongly(host, &["resolve", "shop"]), Some(0), "{}", host.name);
    }
    assert_eq!(strongly(a, &register("shop-a")), Some(0));
    for host in [c, d] {
        assert_eq!(strongly(host, &["resolve", "shop"]), Some(1), "{}", host.name);
    }
    assert_eq!(strongly(c, &register("shop-c")), Some(4), "it is registered, and not confirmed");
    for (host, id) in [(b, "shop-a"), (d, "shop-c")] {
        eventually("eventual reads work on both sides", || {
            host.ask(&["resolve", "shop", "--all"]).to_string().contains(id)
        });
    }
    mend(&across);
    for host in [a, b, c, d] {
        eventually("both sides read the same", || {
            let mut command = hobnob(&["resolve", "shop", "--json", "--all"]);
            let output = command.args(STRONG).env("HOBNOB_SOCKET", host.path("sock")).output();
            let found: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap_or_default();
            let ids: Vec<_> =
                items(&found["instances"]).iter().map(|one| text(one, "instance")).collect();
            // The voters take the write that was not confirmed from gossip.
            ids == ["shop-a", "shop-c", "shop-d"]
        });
    }
}

/// Has what the first of each pair sends to the second vanish on the way.
fn cut(ways: &[(&Host, &Host)]) {
    for (from, to) in ways {
        let change =
            format!("neigh replace {} lladdr {NOWHERE} nud permanent dev eth0", to.address);
        from.network.ip(&change);
    }
}

/// Lets it arrive again.
fn mend(ways: &[(&Host, &Host)]) {
    for (from, to) in ways {
        from.network.ip(&format!("neigh del {} dev eth0", to.address));
    }
}

/// A network namespace with a cable to the switch, and an agent.
struct Host {
    name: &'static str,
    address: String,
    home: String,
    network: Namespace,
}

impl Host {
    fn new(home: &Path, name: &'static str) -> Self {
        let network = Namespace::new();
        let pid = network.process();
        let number = name.as_bytes()[0] - b'a' + 1;
        let address = format!("10.77.0.{number}");
        ip(&format!("link add cable{number} type veth peer name eth0 netns {pid}"));
        ip(&format!("link set cable{number} master switch up"));
        network.ip(&format!("address add {address}/24 dev eth0"));
        network.ip("link set eth0 up");
        network.ip("link set lo up");
        Self { name, address, home: home.to_str().unwrap().to_owned(), network }
    }

    fn path(&self, of: &str) -> String {
        format!("{}/{}.{of}", self.home, self.name)
    }

    fn start_agent(&self, token: &str) -> Killed {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.network.within(env!("CARGO_BIN_EXE_hobnob"));
        command.args(["agent", "--name", self.name, "--bind", &format!("{}:7946", self.address)]);
        command.args(["--token-file", token, "--data-dir", &self.path("data")]);
        let agent = command.args(["--socket", &self.path("sock")]).stderr(log).spawn().unwrap();
        let agent = Killed(agent);
        eventually("the agent is ready", || self.log().contains("the agent is ready"));
        agent
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// The number of lines of the log that contain a text.
    fn lines_with(&self, part: &str) -> usize {
        self.log().lines().filter(|line| line.contains(part)).count()
    }

    /// The number of lines of the log that tell of a single death.
    fn down_lines(&self) -> usize {
        self.log().lines().filter(|line| line.contains("status=down")).count()
    }

    /// What a command against the agent prints for people, on both outputs.
    fn told(&self, args: &[&str]) -> String {
        let output = hobnob(args).env("HOBNOB_SOCKET", self.path("sock")).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", self.log());
        let [out, err] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        out + &err
    }

    fn ok(&self, args: &[&str]) {
        self.told(args);
    }

    fn ask(&self, args: &[&str]) -> Value {
        let mut command = hobnob(args);
        let output = command.arg("--json").env("HOBNOB_SOCKET", self.path("sock")).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", self.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The members to which the own link is broken.
    fn broken_links(&self) -> Vec<String> {
        let members = self.ask(&["members"]);
        let broken =
            items(&members["members"]).iter().filter(|one| one.get("link_silent_ms").is_some());
        broken.map(|one| text(one, "member")).collect()
    }

    /// The instances of a service that are offered, each with its basis.
    fn offers(&self, service: &str) -> Vec<(String, String)> {
        let mut command = hobnob(&["resolve", service, "--json"]);
        let output = command.env("HOBNOB_SOCKET", self.path("sock")).output().unwrap();
        let Ok(found) = serde_json::from_slice::<Value>(&output.stdout) else { return Vec::new() };
        let offered = items(&found["instances"]).iter().filter(|one| one["offered"] == true);
        offered.map(|one| (text(one, "instance"), text(one, "basis"))).collect()
    }
}
