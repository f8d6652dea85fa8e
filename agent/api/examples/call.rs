//! Calls a service by its name: pick, send, try again elsewhere.
//!
//! Start a cluster to try it on, in another terminal, and copy a path of a socket that it prints:
//!
//! ```text
//! hobnob dev
//! cargo run -p hobnob-api --features call --example call -- /tmp/hobnob-dev-XXXX/a1.sock web
//! ```
//!
//! Press `k` in the terminal of `hobnob dev` to kill a server: the calls go on.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hobnob_api::calls::http::Request;
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use tokio::time::interval;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// From one call to the next.
const PERIOD: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(socket) = args.next().map(PathBuf::from) else {
        eprintln!("usage: call SOCKET [SERVICE [CALLS]]");
        std::process::exit(2);
    };
    let service = args.next().unwrap_or_else(|| "web".to_owned());
    let calls: usize = args.next().map_or(Ok(usize::MAX), |count| count.parse())?;

    let mut config = DiscoveryConfig::for_calls(service);
    config.socket = socket;
    config.calls.timeout = Duration::from_secs(2);
    let web = Discovery::start(config)?;

    let mut ticks = interval(PERIOD);
    for _ in 0..calls {
        ticks.tick().await;
        let begun = Instant::now();
        match web.call(Request::get("/").body(())?).await {
            Ok(answer) => {
                let (id, tries) = (answer.instance.id.clone(), answer.tries);
                let (status, body) = (answer.status(), answer.bytes(ANSWER_BYTES_MAX).await?);
                let text = String::from_utf8_lossy(&body);
                println!("{id}: {status} {} ({tries} tried, {:.1?})", text.trim(), begun.elapsed());
            }
            // It names the service, the instance, the reason and the tries.
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
