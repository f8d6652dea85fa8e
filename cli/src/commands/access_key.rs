//! `hobnob access-key`: the keys for changes over HTTP, without an agent.

use std::path::PathBuf;

use hobnob_agent::access_keys::{self, AccessKey, AccessKeyError, AccessRights};
use hobnob_api::names::printable;
use serde::Serialize;

use super::keys::now_ms;
use crate::args::{AccessKeyArgs, AccessKeyCommand, DataDirArgs};
use crate::config::default_data_dir;
use crate::exit::Exit;
use crate::output::{self, Output};

/// A key in JSON.
#[derive(Serialize)]
struct Shown<'a> {
    access_key_id: &'a str,
    access_key_name: &'a str,
    rights: AccessRights,
    created: String,
    /// The secret, for the one who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn new(key: &'a AccessKey) -> Self {
        let (access_key_id, access_key_name) = (&*key.id, &*key.name);
        let (rights, created) = (key.rights, key.created());
        Self { access_key_id, access_key_name, rights, created, access_key: None }
    }
}

/// Keys in JSON.
#[derive(Serialize)]
struct ShownKeys<'a> {
    access_keys: Vec<Shown<'a>>,
}

pub(super) fn run(args: &AccessKeyArgs) -> anyhow::Result<Exit> {
    match &args.command {
        AccessKeyCommand::Create(args) => {
            let (key, text) =
                access_keys::create(&data_dir(&args.dir)?, &args.name, args.rights(), now_ms())?;
            let mut out = Output::new();
            if args.json {
                out.json(&Shown { access_key: Some(&text), ..Shown::new(&key) })?;
                return Ok(Exit::Done);
            }
            output::say(&format!("made the access key {}; it is shown this once", key.id));
            out.line(&text)?;
        }
        AccessKeyCommand::List(args) => {
            let keys = access_keys::list(&data_dir(&args.dir)?)?;
            let mut out = Output::new().wide(args.table.wide);
            if args.json {
                out.json(&ShownKeys { access_keys: keys.iter().map(Shown::new).collect() })?;
            } else if keys.is_empty() {
                output::say("there are no access keys");
            } else {
                out.line(&output::access_keys(&keys, out.style()))?;
            }
        }
        AccessKeyCommand::Revoke(args) => {
            let revoked = match access_keys::revoke(&data_dir(&args.dir)?, &args.id) {
                Ok(revoked) => revoked,
                Err(error @ AccessKeyError::Unknown(_)) => {
                    output::say(&error.to_string());
                    return Ok(Exit::NothingMatched);
                }
                Err(error) => return Err(error.into()),
            };
            let mut out = Output::new();
            if args.json {
                out.json(&Shown::new(&revoked))?;
            } else {
                out.line(&format!("revoked {}", printable(&revoked.id)))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn data_dir(args: &DataDirArgs) -> anyhow::Result<PathBuf> {
    args.data_dir.clone().map_or_else(default_data_dir, Ok)
}
