//! The metrics of the agent itself: the state of the cluster as it sees it, its doors, its checks, its process.

use super::table::Kind;

/// A row of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) alert: &'static str,
}

/// Rows of a kind, a name, labels, a meaning, and what to alert on.
macro_rules! rows {
    ($($kind:ident $name:ident [$($label:ident)*] $help:literal $(alert $alert:literal)?;)*) => {
        &[$(Row {
            name: stringify!($name),
            kind: Kind::$kind,
            labels: &[$(stringify!($label)),*],
            help: $help,
            alert: concat!($($alert)?),
        }),*]
    };
}

/// Every metric that is no counter of the protocol.
pub(super) const OWN: &[Row] = rows! {
    Gauge hobnob_build_info [version]
        "1, with the version of the agent."
        alert "Several versions in one cluster for days";
    Gauge hobnob_agent_info [member node_id cluster datacenter zone]
        "1, with what the agent is.";
    Gauge hobnob_ready []
        "1 while the agent answers from a cluster that it hears; 0 while it is isolated, or leaves. There are no metrics before it has started."
        alert "0 for a minute";
    Gauge hobnob_isolated []
        "1 while the agent hears no other member, although it should."
        alert "1 for 30 seconds";
    Gauge hobnob_duplicate []
        "1 while another agent runs under the node id of this one."
        alert "1: one of the two runs on a copy of the other's data directory";
    Gauge hobnob_udp_blocked []
        "1 while UDP does not reach the agent and QUIC does."
        alert "1 for a minute: a firewall drops datagrams";
    Gauge hobnob_name_conflicts []
        "Other living members with the name of this agent."
        alert "Above 0: two hosts have one name";
    Gauge hobnob_members [status]
        "Members that the agent knows, by status."
        alert "`down` above 0 for as long as a restart takes";
    Gauge hobnob_members_unanswered []
        "Living members that this agent watches and that have not answered it for 5 seconds: the link to them is broken, or they stand still.";
    Gauge hobnob_links_broken []
        "Living members that this agent watches, and that answer others and not this agent: its own links to them are broken."
        alert "Above 0 for 30 seconds: a link between two hosts is broken";
    Gauge hobnob_members_missing []
        "Members that were lost together with many others, a fifth of all or more, and are not back."
        alert "Above 0: probably a cut, a switch or a power failure. One event, however many agents are down";
    Gauge hobnob_maintenance []
        "1 while all of this agent is in maintenance: none of its instances is offered."
        alert "1 for longer than a maintenance takes: somebody forgot to end it";
    Gauge hobnob_file_problems []
        "Problems in the configuration and in the files of service definitions when they were read last, 100 at most. Until they are in order, what they define stays as it was."
        alert "Above 0: `hobnob info` and `hobnob doctor` name the file and the line";
    Gauge hobnob_last_contact_seconds []
        "Time since another member was last heard; absent before the first."
        alert "Above 5 where there is more than one member";
    Gauge hobnob_services []
        "Services that the agent knows.";
    Gauge hobnob_instances [status]
        "Instances that the agent knows, by status."
        alert "`healthy` drops by half at once";
    Gauge hobnob_local_instances [status]
        "Instances that are registered with this agent, by status."
        alert "`unhealthy` or `unknown` above 0 for longer than a deployment takes";
    Gauge hobnob_queue_length [queue]
        "What waits in a queue of the protocol. Each queue has a limit, and a counter of what it dropped."
        alert "`gaps` above 0 for a minute: changes are missing here";
    Gauge hobnob_progress_age_seconds [part]
        "Time since a part of the agent last made progress; 0 for one that has nothing to do."
        alert "Above 10: the part is stuck";
    Gauge hobnob_stuck [part]
        "1 while a part of the agent makes no progress. The watchdog of systemd then restarts it."
        alert "1";
    Histogram hobnob_call_duration_seconds [call]
        "Time from a call on a unix socket to its answer, by the name of the call. A watch has no duration."
        alert "The 99th percentile of `resolve` above 0.01";
    Histogram hobnob_pick_duration_seconds []
        "Time that the picks of one call took."
        alert "The 99th percentile above 0.001";
    Counter hobnob_picks_total []
        "Instances that were picked on the unix sockets.";
    Histogram hobnob_check_duration_seconds []
        "Time that a probe of a health check took, whatever its outcome. The wait for its turn is not in it."
        alert "The 99th percentile near the timeout of the checks";
    Histogram hobnob_convergence_seconds []
        "Convergence: how old a change of another agent of the datacenter was when a rumor brought it and it was applied here. Each agent on its way adds the time for which it held the change, and no clocks are compared, so the time on the wire is not in it. Changes that repair brought (pulls, sessions) have no age and are not counted, nor are those of other datacenters, those that were told to a gateway, and those that passed an agent of a version that tells no ages: `hobnob_gap_duration_seconds` has the repairs."
        alert "The 99th percentile above 1: rumors wait, as a rule for bandwidth";
    Histogram hobnob_gap_duration_seconds []
        "Convergence: time for which changes of another agent were known to be missing, until they were applied. Changes that come in order never count."
        alert "The 99th percentile above 5";
    Histogram hobnob_ack_duration_seconds []
        "Convergence: time until as many agents had applied a change as `--ack` asked for. A change that was not acknowledged in time counts with its timeout."
        alert "The 99th percentile above 1 inside a datacenter";
    Histogram hobnob_strong_read_duration_seconds []
        "Time that a strong read took, whatever came of it."
        alert "The 99th percentile above 0.5: voters do not answer, or others write to the service all the time";
    Histogram hobnob_strong_write_duration_seconds []
        "Time that a strong write waited until a majority of the voters had it on disk, or gave up."
        alert "The 99th percentile above 0.5: voters do not answer, or their disks are slow";
    Gauge hobnob_voter_registers []
        "Registers that this agent keeps as a voter: one for each instance of its datacenter, deregistered ones among them. 262,144 are the most.";
    Gauge hobnob_voter_silent []
        "1 while this agent is a voter and does not vote: it lost its disk, has no proof of it, or cannot write its log."
        alert "1 for minutes: see `hobnob voters` on that agent";
    Counter hobnob_api_connections_accepted_total []
        "Connections that the unix socket accepted.";
    Counter hobnob_api_connections_refused_total []
        "Connections that the unix socket refused: there were too many, or the system does not name their process."
        alert "Any increase";
    Counter hobnob_api_connections_idle_total []
        "Connections to the unix socket that ended because they were idle.";
    Counter hobnob_api_calls_total []
        "Calls on the unix socket.";
    Counter hobnob_api_malformed_total []
        "Calls on the unix socket that cannot be read."
        alert "A steady rate: a client is broken";
    Gauge hobnob_api_connections []
        "Open connections to the unix socket."
        alert "Above 768: a client opens connections and does not close them";
    Gauge hobnob_api_watches []
        "Watches of connections to the unix socket.";
    Counter hobnob_query_connections_accepted_total []
        "Connections that the query socket accepted.";
    Counter hobnob_query_connections_refused_total []
        "Connections that the query socket refused: there were too many, or the system does not name their process."
        alert "Any increase";
    Counter hobnob_query_connections_idle_total []
        "Connections to the query socket that ended because they were idle.";
    Counter hobnob_query_calls_total []
        "Calls on the query socket.";
    Counter hobnob_query_malformed_total []
        "Calls on the query socket that cannot be read."
        alert "A steady rate: a client is broken";
    Counter hobnob_query_changes_refused_total []
        "Changes that the query socket refused."
        alert "A steady rate: a client uses the wrong socket";
    Gauge hobnob_query_connections []
        "Open connections to the query socket.";
    Gauge hobnob_query_watches []
        "Watches of connections to the query socket.";
    Gauge hobnob_query_bytes []
        "Bytes that clients of the query socket make the agent hold.";
    Gauge hobnob_client_bytes []
        "Bytes that clients make the agent hold: calls, answers that wait, watches, pickers. The limit is 256 MiB."
        alert "Above 200 MiB";
    Counter hobnob_client_bytes_refused_total []
        "Times that a client was refused because clients make the agent hold too much."
        alert "Any increase";
    Gauge hobnob_history_events []
        "Events in the history of the agent. It keeps 4,096 that somebody caused, and 4,096 that it saw.";
    Counter hobnob_history_dropped_total []
        "Events that the history lost because too many came at once."
        alert "Any increase: something changes thousands of times a second";
    Counter hobnob_history_repeated_total []
        "Events that count in an earlier one, because their subject changes again and again."
        alert "A steady rate: a check or a member flaps";
    Counter hobnob_history_forgotten_total []
        "Old events of the history that made room for others.";
    Counter hobnob_history_unwritten_total []
        "Times that the disk refused events of the history. They stay in memory."
        alert "Any increase: the disk of the data directory is full or broken";
    Counter hobnob_http_connections_accepted_total []
        "Connections that the HTTP door accepted.";
    Counter hobnob_http_connections_refused_total []
        "Connections that the HTTP door closed because there were too many."
        alert "Any increase";
    Counter hobnob_http_connections_failed_total []
        "Connections to the HTTP door that ended with an error: no request in time, a head that is too long, a peer that went away or takes no answers.";
    Counter hobnob_http_connections_idle_total []
        "Connections to the HTTP door that were closed because no further request came.";
    Counter hobnob_http_accepts_failed_total []
        "Times that the system failed to hand over a connection to the HTTP door."
        alert "Any increase: look at the limit of open files";
    Counter hobnob_http_requests_total []
        "Requests that the HTTP door answered.";
    Counter hobnob_http_requests_refused_total []
        "Requests that the HTTP door refused because it was answering as many as it may."
        alert "Any increase";
    Counter hobnob_http_hosts_refused_total []
        "Requests that the HTTP door refused because they name another host than this one, as a page in a browser may do."
        alert "Any increase";
    Counter hobnob_http_origins_refused_total []
        "Requests that the HTTP door refused because they come from a page of another origin."
        alert "Any increase";
    Counter hobnob_http_keys_refused_total []
        "Requests that the HTTP door refused because they bring no access key, or one that does not allow them."
        alert "A steady rate";
    Counter hobnob_http_waits_refused_total []
        "Requests that the HTTP door refused because as many waited for a change as may."
        alert "Any increase";
    Counter hobnob_http_waits_cut_total []
        "Requests at the HTTP door whose wait for a change ended early: behind them came the end of the connection, or more than is read ahead."
        alert "A steady rate";
    Counter hobnob_http_watches_refused_total []
        "Streams of events that the HTTP door refused because as many were open as may be."
        alert "Any increase";
    Gauge hobnob_http_connections []
        "Open connections to the HTTP door.";
    Gauge hobnob_http_waiting []
        "Requests to the HTTP door that wait for a change.";
    Gauge hobnob_http_watches []
        "Streams of events of the HTTP door.";
    Counter hobnob_dns_queries_total []
        "DNS queries about our own domains and addresses that were answered.";
    Counter hobnob_dns_negative_total []
        "Those whose name does not exist."
        alert "A steady rate: a client asks for a service that is not registered";
    Counter hobnob_dns_truncated_total []
        "DNS answers that were too long for a datagram, so that their clients ask again over TCP.";
    Counter hobnob_dns_refused_total []
        "DNS queries for names of others, which are refused because no server is named to forward them to."
        alert "A steady rate: a resolver sends everything here";
    Counter hobnob_dns_unsupported_total []
        "DNS queries that ask for something else than names: another class, another operation, a transfer, a later version.";
    Counter hobnob_dns_malformed_total []
        "DNS queries that cannot be read."
        alert "A steady rate: a client is broken";
    Counter hobnob_dns_ignored_total []
        "Datagrams and messages that are no DNS queries, such as answers.";
    Counter hobnob_dns_unsent_total []
        "DNS answers that were dropped because the system did not take them at once."
        alert "A steady rate";
    Counter hobnob_dns_receive_failed_total []
        "Times that the system failed to hand over a DNS query."
        alert "A steady rate";
    Counter hobnob_dns_forwarded_total []
        "DNS queries for names of others that another server answered.";
    Counter hobnob_dns_forwards_failed_total []
        "DNS queries for names of others that no server answered in time."
        alert "A steady rate: the servers of --dns-forward do not answer";
    Counter hobnob_dns_forwards_dropped_total []
        "DNS queries for names of others that failed because as many were under way as may be, or because the system gave no socket."
        alert "Any increase: the servers of --dns-forward are slow";
    Counter hobnob_dns_forwards_mismatched_total []
        "DNS messages from a server that do not answer what it was asked."
        alert "A steady rate: somebody guesses answers";
    Counter hobnob_dns_gathers_dropped_total []
        "DNS queries for addresses and tags that failed because as many as may be waited for a look at all instances."
        alert "Any increase";
    Counter hobnob_dns_accepts_failed_total []
        "Times that the system failed to hand over a connection to the DNS door."
        alert "Any increase: look at the limit of open files";
    Counter hobnob_dns_connections_accepted_total []
        "Connections that the DNS door accepted.";
    Counter hobnob_dns_connections_displaced_total []
        "Connections that the DNS door closed because they were idle longest when one came too many."
        alert "A steady rate";
    Counter hobnob_dns_connections_refused_total []
        "Connections that the DNS door closed because there were as many as may be, and all waited for the servers of --dns-forward."
        alert "Any increase";
    Counter hobnob_dns_connections_failed_total []
        "Connections to the DNS door that ended with an error: nothing for 10 seconds, a query that is too long, a peer that went away.";
    Gauge hobnob_dns_connections []
        "Open connections to the DNS door.";
    Gauge hobnob_balancer_bytes []
        "Bytes in the balancers that picks asked for. The limit is 256 MiB."
        alert "Above 200 MiB";
    Counter hobnob_balancer_bytes_refused_total []
        "Times that there was no room for a balancer."
        alert "Any increase";
    Counter hobnob_scopes_built_total []
        "Balancers that were built for a scope: a service with a selector, datacenters and a preference."
        alert "A steady rate: clients use too many selectors";
    Counter hobnob_scopes_evicted_total []
        "Balancers that were dropped for others."
        alert "A steady rate: clients use too many selectors";
    Counter hobnob_outcomes_told_total []
        "Outcomes of calls that programs made by themselves and told this agent.";
    Counter hobnob_outcomes_failed_total []
        "Those that are failures."
        alert "A high share of `hobnob_outcomes_told_total`: programs of this host do not get through";
    Counter hobnob_outcomes_doubted_total []
        "Failures among them that did not count, because no other instance had answered the program of late."
        alert "A steady rate: a program of this host fails at every instance";
    Counter hobnob_outcomes_unknown_total []
        "Outcomes among them of instances that are not offered here.";
    Counter hobnob_watch_resets_total []
        "Watches that told everything again, because their clients read too slowly or came back too late."
        alert "A steady rate: clients read too slowly, or lose their connections";
    Counter hobnob_storage_persist_dropped_total []
        "Things to keep for the next start that were dropped because the disk was busy. They are saved again later."
        alert "A steady rate: the disk is slow";
    Counter hobnob_storage_stalls_total []
        "Times that the disk took longer than a second."
        alert "A steady rate: the disk is slow or failing";
    Counter hobnob_storage_keys_unkept_total []
        "Times that the disk refused the keys of the sealed cluster."
        alert "Any increase: the disk is full or read-only";
    Counter hobnob_check_probes_void_total []
        "Probes of health checks that this agent could not make, or that it stalled in."
        alert "A steady rate: the host lacks descriptors or processor time";
    Counter hobnob_log_lines_lost_total []
        "Log lines that were lost because nobody takes them, or the disk is full."
        alert "Any increase";
    Gauge hobnob_records_unknown_now []
        "Records of a kind that only a later version knows. They are kept and passed on.";
    Gauge hobnob_instances_hidden_now []
        "Instances that are hidden because their agent may not serve them, or shows no certificate that counts."
        alert "Above 0: an agent registers what its token does not allow";
    Gauge hobnob_record_bytes []
        "Bytes that the records of other agents take.";
    Gauge hobnob_unvouched_origins []
        "Other agents with records that are no members.";
    Counter hobnob_udp_send_blocked_total []
        "Datagrams that were dropped because the socket was full."
        alert "A steady rate: more is sent than the host can send";
    Counter hobnob_udp_send_failed_total []
        "Datagrams that the system refused to send."
        alert "A steady rate: there is no route to a member";
    Counter hobnob_udp_receive_failed_total []
        "Times that the system failed to hand over a datagram."
        alert "A steady rate";
    Counter hobnob_tcp_probes_taken_total []
        "TCP connections of peers that ended without a byte: their probes.";
    Counter hobnob_tcp_probes_failed_total []
        "TCP connections that could not be accepted."
        alert "A steady rate: the host lacks descriptors";
    Counter hobnob_tcp_probes_dropped_total []
        "TCP probes that were not made because too many were under way.";
    Counter hobnob_tcp_local_errors_total []
        "TCP connections that this host could not make: no route, no descriptor, no memory."
        alert "A steady rate";
    Gauge hobnob_holds_in []
        "Connections that others hold to this agent, to notice at once when it exits.";
    Gauge hobnob_holds_out []
        "Connections that this agent holds to others."
        alert "0 where there are other members: a firewall drops TCP on the gossip port";
    Counter hobnob_holds_taken_total []
        "Connections of peers that were given a place.";
    Counter hobnob_holds_refused_total []
        "Connections of peers that found no place.";
    Counter hobnob_holds_displaced_total []
        "Connections of peers that gave their place to a monitor or to a later one of the same node, and those of revoked nodes.";
    Counter hobnob_holds_crowded_total []
        "Connections of peers that were dropped because too many others had said nothing yet."
        alert "A steady rate: somebody opens connections and says nothing";
    Counter hobnob_holds_silent_total []
        "Connections of peers that said nothing in time.";
    Counter hobnob_holds_unproven_total []
        "Connections of peers that proved no generation that this agent holds."
        alert "A steady rate";
    Counter hobnob_holds_invalid_total []
        "Connections of peers that said something that is not of this protocol.";
    Counter hobnob_holds_dropped_total []
        "Connections that were not made because there were too many.";
    Counter hobnob_sync_ports_told_total []
        "Connections of peers that asked for the sync port.";
    Counter hobnob_reaches_dropped_total []
        "Attempts to reach a member that were not made because too many were under way.";
    Counter hobnob_quic_connections_accepted_total []
        "QUIC connections of peers that passed the handshake.";
    Counter hobnob_quic_connections_refused_total []
        "QUIC connections that were refused because too many were open."
        alert "A steady rate";
    Counter hobnob_quic_attempts_ignored_total []
        "Attempts to connect by QUIC that were ignored because they came too fast."
        alert "A steady rate: a host floods this agent";
    Counter hobnob_quic_retries_sent_total []
        "Attempts to connect by QUIC whose peers were asked to prove their addresses.";
    Counter hobnob_quic_handshakes_failed_total []
        "QUIC connections of peers that did not pass the handshake."
        alert "A steady rate: a peer is no member, or the network is broken";
    Counter hobnob_quic_connections_unused_total []
        "QUIC connections on which the peer opened no stream in time.";
    Counter hobnob_quic_frames_invalid_total []
        "Frames that were empty or too long."
        alert "Any increase";
    Counter hobnob_quic_sends_overflowed_total []
        "Streams on which more frames were sent than may be in flight."
        alert "Any increase";
    Counter hobnob_quic_streams_failed_total []
        "Streams that ended neither by being finished nor by a reset of this agent.";
    Counter process_cpu_seconds_total []
        "Processor time of the process, in seconds."
        alert "A rate above 0.5 at rest";
    Gauge process_resident_memory_bytes []
        "Memory of the process that is in RAM."
        alert "Above what the host has for it";
    Gauge process_virtual_memory_bytes []
        "Address space of the process.";
    Gauge process_open_fds []
        "Open file descriptors."
        alert "Above 80 % of `process_max_fds`";
    Gauge process_max_fds []
        "The limit of open file descriptors.";
    Gauge process_start_time_seconds []
        "The start of the process, in seconds since 1970."
        alert "A change: it was restarted";
};
