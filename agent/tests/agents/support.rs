//! The configuration of an agent under test, and the time that a test waits at most.

use std::path::Path;
use std::time::Duration;

use hobnob_agent::{Agent, AgentConfig, Gateway, Protocol, SocketMode, StartedWith};

/// Longer than any step of a test should take. Tests assert that a step happens, not when.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// An agent on free ports of loopback, with its files below `home`. It joins these agents.
pub(crate) fn config(home: &Path, name: &str, join: &[&Agent]) -> AgentConfig {
    AgentConfig {
        name: Some(name.to_owned()),
        data_dir: home.join(name),
        cluster: None,
        token: None,
        bind: "127.0.0.1:0".parse().expect("an address"),
        sync_bind: None,
        advertise: None,
        advertise_sync_port: None,
        socket: home.join(format!("{name}.sock")),
        write_group: None,
        query_socket: None,
        query_socket_mode: SocketMode::default(),
        join: join.iter().map(|agent| agent.gossip_addr().to_string()).collect(),
        join_wan: Vec::new(),
        gateway: Gateway::Yes,
        wan_bytes_per_second: 1_250_000,
        datacenter: None,
        zone: "z1".to_owned(),
        keep_on_exit: false,
        insecure: false,
        listener_watch: true,
        protocol: Protocol::default(),
        config_dir: None,
        started_with: StartedWith::default(),
        script_checks: false,
        http: None,
        insecure_http: false,
        http_tls: None,
        http_open_writes: false,
        dns: None,
        log_filter: None,
    }
}
