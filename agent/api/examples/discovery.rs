//! Calls a service five times a second and says where each call went.
//!
//! Start a cluster to try it on, in another terminal, and copy a path of a socket that it prints:
//!
//! ```text
//! hobnob dev
//! cargo run -p hobnob-api --example discovery -- /tmp/hobnob-dev-XXXX/a1.sock web
//! ```
//!
//! Press `s` in the terminal of `hobnob dev` to stop and start an instance, and watch the calls move. Stop `hobnob dev`
//! to see that the example keeps the last set that it knew.

use std::env;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use hobnob_api::{Instance, Outcome, Strategy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};

/// The time limit of one call.
const CALL_WITHIN: Duration = Duration::from_millis(500);
/// The agent should have answered within this time.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// From one call to the next.
const PERIOD: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(socket) = args.next().map(PathBuf::from) else {
        eprintln!("usage: discovery SOCKET [SERVICE [CALLS]]");
        std::process::exit(2);
    };
    let service = args.next().unwrap_or_else(|| "web".to_owned());
    let calls: usize = args.next().map_or(Ok(usize::MAX), |count| count.parse())?;

    // The service, the agent to ask, and the strategy.
    let mut config = DiscoveryConfig::new(service);
    config.socket = socket.clone();
    config.strategy = Strategy::Weighted;
    let discovery = Discovery::start(config)?;

    // The agent answers within milliseconds. A program that can wait calls this once, at its start.
    if timeout(READY_WITHIN, discovery.ready()).await.is_err() {
        println!("no agent answers at {}: waiting for it", socket.display());
        discovery.ready().await;
    }
    println!("{} instances are known", discovery.instances().len());

    // Each thread or connection has a picker of its own. A pick asks nobody.
    let mut picker = discovery.picker();
    let mut ticks = interval(PERIOD);
    for _ in 0..calls {
        ticks.tick().await;
        let away = match discovery.is_stale() {
            true => format!("  (the agent is away for {:.1?})", discovery.age()),
            false => String::new(),
        };
        let Some(pick) = picker.pick(None) else {
            println!("no instance is offered{away}");
            continue;
        };
        let started = Instant::now();
        let answer = timeout(CALL_WITHIN, get(pick.item())).await;
        let latency = started.elapsed();
        let id = pick.item().id.clone();
        // The outcome steers later picks: some strategies learn from latencies, and a breaker counts failures.
        match answer {
            Ok(Ok(answer)) => {
                pick.complete(Outcome::Success, latency);
                println!("{id}: {answer} in {latency:.1?}{away}");
            }
            Ok(Err(error)) => {
                pick.complete(Outcome::Failure, latency);
                println!("{id}: {error}{away}");
            }
            Err(_) => {
                pick.complete(Outcome::Failure, latency);
                println!("{id}: no answer within {CALL_WITHIN:?}{away}");
            }
        }
    }
    Ok(())
}

/// The last line that an instance answers to `GET /`.
async fn get(instance: &Instance) -> io::Result<String> {
    let mut stream = TcpStream::connect((instance.address.as_str(), instance.port)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}
