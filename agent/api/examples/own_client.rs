//! Resolves a name for a client of your own, such as `reqwest`: pick an address, make the call with whatever you have, and
//! report how it went.
//!
//! ```text
//! hobnob dev
//! cargo run -p hobnob-api --example own_client -- /tmp/hobnob-dev-XXXX/a1.sock web
//! ```

use std::env;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Instant;

use hobnob_api::balancer::{BreakerConfig, Config};
use hobnob_api::discovery::{Discovery, DiscoveryConfig};
use hobnob_api::{Outcome, Strategy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let Some(socket) = args.next().map(PathBuf::from) else {
        eprintln!("usage: own_client SOCKET [SERVICE]");
        std::process::exit(2);
    };
    let mut config = DiscoveryConfig::new(args.next().unwrap_or_else(|| "web".to_owned()));
    config.socket = socket;
    config.strategy = Strategy::PeakEwma;
    let breaker = Some(BreakerConfig::default());
    config.balancer = Config { breaker, ..config.balancer };
    let web = Discovery::start(config)?;
    web.ready().await;

    let mut picker = web.picker();
    let Some(pick) = picker.pick(None) else {
        println!("no instance is offered");
        return Ok(());
    };
    let url = format!("http://{}:{}/", pick.item().address, pick.item().port);
    let begun = Instant::now();
    // With reqwest this is `client.get(&url).send().await`.
    let (address, port) = (pick.item().address.clone(), pick.item().port);
    let answer = tokio::task::spawn_blocking(move || get(&address, port)).await?;
    let outcome = if answer.is_ok() { Outcome::Success } else { Outcome::Failure };
    // Without this line a server that fails is picked again and again.
    pick.complete(outcome, begun.elapsed());
    println!("{url}: {}", answer?.lines().next().unwrap_or_default());
    Ok(())
}

fn get(address: &str, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect((address, port))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
