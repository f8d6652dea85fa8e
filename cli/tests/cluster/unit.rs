//! An agent under the filter of address families of the systemd unit.

use std::collections::BTreeMap;
use std::thread;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use crate::agent::{ANY_PORT, Agent, eventually};
use crate::web::Web;

const UNIT: &str = include_str!("../../packaging/systemd/hobnob.service");

/// The address families that the unit allows.
fn allowed() -> Vec<AddressFamily> {
    let mut lines = UNIT.lines().filter_map(|line| line.strip_prefix("RestrictAddressFamilies="));
    let names = lines.next().expect("the unit restricts address families");
    let family = |name| match name {
        "AF_UNIX" => AddressFamily::UNIX,
        "AF_INET" => AddressFamily::INET,
        "AF_INET6" => AddressFamily::INET6,
        "AF_NETLINK" => AddressFamily::NETLINK,
        other => panic!("{other} is not known to this test"),
    };
    names.split_whitespace().map(family).collect()
}

/// Restricts this thread, and the processes that it starts, as systemd would.
fn restrict(families: &[AddressFamily]) {
    let is_other = |family: &AddressFamily| {
        let value = u64::from(family.as_raw());
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value).unwrap()
    };
    let others = SeccompRule::new(families.iter().map(is_other).collect()).unwrap();
    let call = libc::SYS_socket;
    let refused = Errno::AFNOSUPPORT.raw_os_error().unsigned_abs();
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, vec![others])]),
        SeccompAction::Allow,
        SeccompAction::Errno(refused),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
    let refused = socket(AddressFamily::PACKET, SocketType::DGRAM, None);
    assert_eq!(refused.unwrap_err(), Errno::AFNOSUPPORT);
}

/// What `explain` says after a server was there and has gone, with no probe due: the signal, if any.
fn signal_of_a_server_that_goes(families: Vec<AddressFamily>) -> Option<String> {
    let restricted = thread::spawn(move || {
        restrict(&families);
        let home = tempfile::tempdir().unwrap();
        let agent = Agent::start(home.path(), "a1", &[]);
        let web = Web::start(ANY_PORT);
        let (port, url) = (web.port(), web.url());
        let check = ["--check-http", &url, "--interval", "500ms"];
        agent.ok(&[&["register", "web", "--port", &port][..], &check].concat());
        eventually("it is healthy", || agent.healthy("web") == ["web"]);
        web.stop();
        eventually("it is offered no longer", || agent.healthy("web").is_empty());
        let told = agent.json(&["explain", "web"])["instances"][0]["checks"][0].clone();
        told["signal"].as_str().map(str::to_owned)
    });
    restricted.join().unwrap()
}

#[test]
fn the_unit_lets_the_agent_see_who_listens() {
    let signal = signal_of_a_server_that_goes(allowed());
    assert_eq!(signal.as_deref(), Some("listener_gone"));
}

#[test]
fn without_netlink_a_check_finds_by_itself_that_nobody_listens() {
    let mut families = allowed();
    families.retain(|family| *family != AddressFamily::NETLINK);
    assert_eq!(families.len() + 1, allowed().len());
    let signal = signal_of_a_server_that_goes(families);
    assert_ne!(signal.as_deref(), Some("listener_gone"));
}
