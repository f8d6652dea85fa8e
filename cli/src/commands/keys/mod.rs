//! `hobnob init` and `hobnob token`: the CA key and tokens, without an agent. `hobnob keys` and `hobnob revoke`: orders for the
//! whole cluster.

mod ca_file;
mod credential;
mod error;
mod isolation;
mod members;
mod progress;
mod revoke;
mod rotate;
mod status;
mod successor;
mod trust;
mod view;
mod voters;

use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hobnob_agent::system_random;
use hobnob_api::client::Client;
use hobnob_keys::{
    CaKey, Limits, MAX_TOKEN_CHARS, Name, Roles, Seed, SeedAddress, Token, Validity,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::{
    InitArgs, KeysArgs, KeysCommand, Role, TokenArgs, TokenCommand, TokenCreateArgs,
    TokenInspectArgs,
};
use crate::exit::Exit;
use crate::output::{self, Output};

pub(crate) use error::KeysError;
pub(super) use isolation::isolate;
pub(super) use members::{force_leave, prune};
pub(super) use revoke::revoke;
use view::TokenView;
pub(super) use voters::set_voters;

/// A token is valid from this long before it is made, for hosts whose clocks are behind.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(10 * 60);
/// The token of a demonstration is valid for this long.
const DEMONSTRATION: Duration = Duration::from_secs(24 * 60 * 60);

/// Founds a cluster, or makes a second CA key of one.
pub(super) fn init(args: &InitArgs) -> anyhow::Result<Exit> {
    match &args.cluster {
        Some(cluster) => found_new(cluster, args),
        None => successor::init(args),
    }
}

/// Founds a cluster: writes the CA key, and prints a first token.
fn found_new(cluster: &Name, args: &InitArgs) -> anyhow::Result<Exit> {
    let path = ca_file::path(&args.ca)?;
    ca_file::refuse_existing(&path)?;
    let key = CaKey::found(cluster.clone(), &*system_random()?);
    let limits = Limits {
        cluster_name: cluster.clone(),
        name: None,
        services: vec![],
        datacenter: None,
        roles: Roles::FOUNDER,
        no_gateway: false,
        validity: validity(args.valid_for),
    };
    let token = issue(&key, limits, &args.seeds)?;
    ca_file::write(&key, &path, ca_file::new_passphrase(&path, args)?.as_ref())?;
    let view = TokenView::new(&token, now_ms());
    let mut out = Output::new();
    if args.json {
        let text = token.to_text();
        out.json(&Made { token: &text, ca_file: Some(&path.display().to_string()), view: &view })?;
        return Ok(Exit::Done);
    }
    out.line(&format!(
        "The CA key of the cluster {} is in {}. Only its owner can read it.\n\
         No agent needs it: keep it with the operators, and keep a backup.\n\n\
         The first token lets agents join {}:\n\n{}\n\n{}",
        cluster,
        path.display(),
        view.validity(),
        *token.to_text(),
        next_steps(&args.seeds)
    ))?;
    Ok(Exit::Done)
}

/// The commands that start the agents. An agent that knows no other one founds a cluster, so without a seed in the token all but the
/// first one have to be told where to join.
fn next_steps(seeds: &[SeedAddress]) -> String {
    const TOKEN: &str = "--token-file /etc/hobnob/token";
    const FILE: &str =
        "put the token into /etc/hobnob/token, readable by its agent alone (mode 600)";
    let Some(seed) = seeds.first() else {
        return format!(
            "Next, {FILE}, on each host. On the first one:\n\n  \
             hobnob agent --bind FIRST:7946 {TOKEN}\n\n\
             On each other one, at its own address:\n\n  \
             hobnob agent --bind ADDRESS:7946 {TOKEN} --join FIRST:7946\n\n\
             FIRST is the address of the first host. The token names none, so an agent without --join founds a cluster of its own."
        );
    };
    let bind = match seed {
        SeedAddress::Socket(address) => address.to_string(),
        SeedAddress::Name(_) => "ADDRESS:7946".to_owned(),
    };
    format!(
        "Next, {FILE}, on each host, and start its agent at its own address, the one at {seed} first:\n\n  \
         hobnob agent --bind {bind} {TOKEN}\n\n\
         The others join at {seed}, since the token names it."
    )
}

/// Founds a cluster for a demonstration: writes the CA key and a token with which its first agent and all others join.
pub(crate) fn found(cluster: &str, ca: &Path, token: &Path) -> anyhow::Result<()> {
    let key = CaKey::found(cluster.parse()?, &*system_random()?);
    let limits = Limits {
        cluster_name: key.cluster_name().clone(),
        name: None,
        services: vec![],
        datacenter: None,
        roles: Roles::FOUNDER.and(Roles::OPERATOR),
        no_gateway: false,
        validity: validity(DEMONSTRATION),
    };
    ca_file::create(
        ca,
        key.to_file(None)
            .map_err(|source| KeysError::Ca { path: ca.to_owned(), source })?
            .as_bytes(),
    )?;
    Ok(ca_file::create(token, issue(&key, limits, &[])?.to_text().as_bytes())?)
}

/// Makes or inspects a token.
pub(super) fn token(args: &TokenArgs) -> anyhow::Result<Exit> {
    match &args.command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::Inspect(args) => inspect(args),
    }
}

/// Shows or replaces the keys of the cluster.
pub(super) async fn keys(client: &mut Client, args: &KeysArgs) -> anyhow::Result<Exit> {
    match &args.command {
        KeysCommand::Status(args) => status::status(client, args).await,
        KeysCommand::Rotate(args) => rotate::rotate(client, args).await,
        KeysCommand::Trust(args) => trust::trust(client, args).await,
    }
}

/// A token that was made.
#[derive(Serialize)]
struct Made<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<&'a str>,
    #[serde(flatten)]
    view: &'a TokenView,
}

fn create(args: &TokenCreateArgs) -> anyhow::Result<Exit> {
    let (key, _) = ca_file::read(&args.ca)?;
    let role = |role: &Role| match role {
        Role::Operator => Roles::OPERATOR,
        Role::Founder => Roles::FOUNDER,
    };
    let limits = Limits {
        cluster_name: key.cluster_name().clone(),
        name: args.name.clone(),
        services: args.services.clone(),
        datacenter: args.datacenter.clone(),
        roles: args.roles.iter().map(role).fold(Roles::NONE, Roles::and),
        no_gateway: args.no_gateway,
        validity: validity(args.valid_for),
    };
    let token = issue(&key, limits, &args.seeds)?;
    let view = TokenView::new(&token, now_ms());
    let text = token.to_text();
    let mut out = Output::new();
    if args.json {
        out.json(&Made { token: &text, ca_file: None, view: &view })?;
        return Ok(Exit::Done);
    }
    out.line(&text)?;
    output::say(&format!("token {} lets agents join {}", token.fingerprint(), view.validity()));
    note_seeds(&args.seeds);
    Ok(Exit::Done)
}

fn inspect(args: &TokenInspectArgs) -> anyhow::Result<Exit> {
    let text = match &*args.token {
        "-" => Zeroizing::new(from_stdin()?),
        text => Zeroizing::new(text.to_owned()),
    };
    let token = Token::parse(&text).map_err(|error| {
        let path = Path::new(text.trim());
        match path.exists() {
            true => KeysError::PathForToken { path: path.to_owned() },
            false => KeysError::Token(error),
        }
    })?;
    let view = TokenView::new(&token, now_ms());
    let mut out = Output::new();
    if args.json {
        out.json(&view)?;
    } else {
        out.line(&output::fields(view.fields(), out.style()))?;
    }
    Ok(Exit::Done)
}

fn from_stdin() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().take(4 * MAX_TOKEN_CHARS as u64).read_to_string(&mut text)?;
    Ok(text)
}

fn issue(key: &CaKey, limits: Limits, seeds: &[SeedAddress]) -> anyhow::Result<Token> {
    let seeds = seeds.iter().map(|address| Seed { address: address.clone(), wan: false });
    Ok(key.token(&*system_random()?, limits, seeds.collect()).map_err(KeysError::Limits)?)
}

fn note_seeds(seeds: &[SeedAddress]) {
    if seeds.is_empty() {
        output::say(
            "note: this token names no member to join at: give --seed, or start its agents with --join",
        );
    }
}

fn validity(valid_for: Duration) -> Validity {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let now_ms = now_ms();
    Validity {
        from_ms: now_ms.saturating_sub(ms(CLOCK_TOLERANCE)),
        until_ms: now_ms.saturating_add(ms(valid_for)).min(Validity::MAX_MS),
    }
}

/// The wall clock, in ms since 1970; 0 before that.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
