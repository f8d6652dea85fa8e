//! Routes over TCP: a connection of a client becomes one to an instance.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hobnob_api::calls::CallOptions;
use tokio::io::AsyncWriteExt;

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
    let call = CallOptions::default();
    let connected = tokio::select! {
        connected = route.discovery.connect(&call) => connected,
        () = route.common.phases.reached(Phase::Ends) => return,
    };
    let refusal = match connected {
        Ok(mut upstream) => {
            let written = match options.proxy_protocol {
                true => upstream.write_all(&proxy_protocol::header(client.ends.as_ref())).await,
                false => Ok(()),
            };
            match written {
                Ok(()) => {
                    tunnel::carry(&client, stream, upstream).await;
                    return;
                }
                Err(error) => {
                    upstream.fail();
                    Refusal::from(error)
                }
            }
        }
        Err(error) => Refusal::from(error),
    };
    route.counters.refused(refusal.code);
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
            error: Some(refusal.code.name()),
            instance: refusal.instance.as_deref(),
            tries: refusal.tries,
            bytes_received: None,
            bytes_sent: 0,
            duration_ms: begun.elapsed().as_micros() as f64 / 1e3,
            ended: "refused",
        });
    }
}
