//! The configurations of the other proxies: one thread, connections kept on both sides, no access log, else their defaults.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// The configuration of HAProxy, 2.6 or later.
pub(super) fn haproxy(
    listen: SocketAddr,
    upstreams: &[SocketAddr],
    max_connections: u64,
) -> String {
    let mut text = format!(
        "global
    nbthread 1
    maxconn {max_connections}
    no strict-limits
defaults
    mode http
    timeout connect 1s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    http-reuse always
frontend clients
    bind {listen}
    default_backend upstreams
backend upstreams
    balance roundrobin
"
    );
    for (number, upstream) in upstreams.iter().enumerate() {
        let _ = writeln!(text, "    server upstream-{number} {upstream}");
    }
    text
}

/// The configuration of nginx, 1.19.10 or later.
pub(super) fn nginx(
    listen: SocketAddr,
    upstreams: &[SocketAddr],
    max_connections: u64,
    folder: &str,
) -> String {
    let servers: String =
        upstreams.iter().map(|upstream| format!("        server {upstream};\n")).collect();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile {max_connections};
pid {folder}/nginx.pid;
error_log stderr error;
events {{
    worker_connections {max_connections};
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream upstreams {{
{servers}        keepalive 512;
        keepalive_requests 1000000000;
        keepalive_timeout 300s;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://upstreams;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

/// The configuration of Envoy, 1.24 or later.
pub(super) fn envoy(listen: SocketAddr, upstreams: &[SocketAddr]) -> String {
    let address = |address: &SocketAddr| {
        format!(
            "{{ socket_address: {{ address: {}, port_value: {} }} }}",
            address.ip(),
            address.port()
        )
    };
    let endpoints: String = upstreams
        .iter()
        .map(|upstream| format!("        - endpoint: {{ address: {} }}\n", address(upstream)))
        .collect();
    let listen = address(&listen);
    format!(
        "static_resources:
  listeners:
  - address: {listen}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: clients
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes: [{{ match: {{ prefix: \"/\" }}, route: {{ cluster: upstreams }} }}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
  - name: upstreams
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: upstreams
      endpoints:
      - lb_endpoints:
{endpoints}"
    )
}
