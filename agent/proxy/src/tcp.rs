//! Routes over TCP: a connection of a client becomes one to an instance.

use std::sync::Arc;
use std::time::SystemTime;

use hobnob_api::calls::{CallOptions, CallProgress, Connection};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::access_log::Line;
use crate::config::TcpOptions;
use crate::phase::Phase;
use crate::proxy_protocol;
use crate::refusal::Refusal;
use crate::route::Client;
use crate::stream::Stream;
use crate::tunnel;

/// Serves a connection until it ends. A client for which no instance is found is closed.
pub(crate) async fn serve(client: Arc<Client>, stream: Stream, options: TcpOptions) {
    let (route, begun) = (&client.route, Instant::now());
    let progress = CallProgress::default();
    let connected = tokio::select! {
        connected = connect(&client, &progress, options) => connected.map_err(Some),
        () = route.common.phases.reached(Phase::Ends) => Err(None),
    };
    let refusal = match connected {
        Ok(upstream) => {
            tunnel::carry(&client, stream, upstream).await;
            return;
        }
        Err(refusal) => refusal,
    };
    if let Some(refusal) = &refusal {
        route.counters.refused(refusal.code);
    }
    if let Some(log) = &route.common.log {
        log.write(&Line {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            service: &route.service,
            client: client.ends.map(|ends| ends.client.to_string()),
            protocol: Some("tcp"),
            method: None,
            target: None,
            host: None,
            request_id: None,
            status: None,
            error: refusal.as_ref().map(|refusal| refusal.code.name()),
            instance: progress.instance().as_ref().map(|instance| &*instance.id),
            tries: progress.tries(),
            bytes_received: None,
            bytes_sent: 0,
            duration_ms: begun.elapsed().as_micros() as f64 / 1e3,
            ended: if refusal.is_some() { "refused" } else { "cancelled" },
        });
    }
}

/// Connects to an instance, and tells it where the client is, if it is to know.
async fn connect(
    client: &Client,
    progress: &CallProgress,
    options: TcpOptions,
) -> Result<Connection, Refusal> {
    let call = CallOptions { progress: Some(progress.clone()), ..CallOptions::default() };
    let mut upstream = client.route.discovery.connect(&call).await?;
    if options.proxy_protocol {
        let header = proxy_protocol::header(client.ends.as_ref());
        if let Err(error) = upstream.write_all(&header).await {
            upstream.fail();
            return Err(error.into());
        }
    }
    Ok(upstream)
}
