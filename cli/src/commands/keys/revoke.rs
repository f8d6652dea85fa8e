//! `hobnob revoke`.

use std::io::{self, BufRead, IsTerminal};

use hobnob_agent::system_random;
use hobnob_api::client::{Client, ClientError};
use hobnob_api::names::printable;
use hobnob_api::{
    ApiError, ErrorCode, KeyHolder, Keys, Request, Response, Revocation, RevokedKind, RevokedNow,
    Signed, SignedRevocation,
};
use hobnob_keys::{Command, Generation, GenerationId, OperatorCredential, PublicKey, Revoked};
use serde::Serialize;

use super::credential;
use super::progress::{self, Confirmed, when};
use crate::args::RevokeArgs;
use crate::commands::unexpected;
use crate::exit::Exit;
use crate::output::{self, Output};

/// The outcome of the order.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    revoked: &'a RevokedNow,
    #[serde(flatten)]
    confirmed: &'a Confirmed,
}

/// Revokes a node or a token, and shows who has applied it.
pub(crate) async fn revoke(client: &mut Client, args: &RevokeArgs) -> anyhow::Result<Exit> {
    let credential = credential::read(&args.signer)?;
    let keys = progress::ask(client).await?;
    let subject = Subject::of(&keys, args)?;
    if !args.yes && io::stdin().is_terminal() && !is_confirmed(&subject.question(&keys))? {
        output::say_error("nothing was revoked", "");
        return Ok(Exit::Failed);
    }
    let myself = args.yes_myself;
    let request = match credential {
        Some(credential) => {
            let signed = Some(subject.sign(&keys, &credential)?);
            Request::Revoke { member: None, token: None, signed, myself }
        }
        None => subject.request(myself),
    };
    let revoked = match client.call(request).await? {
        // Whether it is kept by now, the survey tells.
        Response::Revoked(revoked) => RevokedNow { unkept: None, ..revoked },
        other => return Err(unexpected(&other)),
    };
    let what = describe(&revoked.revocation);
    let verb = if revoked.new { "is revoked" } else { "was revoked before" };
    output::say(&format!("{what} {verb}"));
    if is_unknown_token(&revoked.revocation) {
        output::say(
            "warning: no member that this agent knows joined with that token. If it is not one that was never used, look for a slip: \
             `hobnob token inspect` and `hobnob keys status` show fingerprints",
        );
    }
    if !revoked.new {
        output::say("`hobnob keys rotate` replaces the secret again");
    }
    let (keys, confirmed) = progress::follow(client, &args.waiting).await?;
    let mut out = Output::new();
    if args.json {
        out.json(&Outcome { revoked: &revoked, confirmed: &confirmed })?;
    } else if confirmed.is_complete() {
        let (newest, when) = (keys.newest(), when(&keys));
        out.line(&format!(
            "all living members have applied it and hold generation {newest}; {when}"
        ))?;
    } else {
        out.line(&format!("{what} {verb}: {}", confirmed.line()))?;
        output::say(
            "they apply it when this agent or another member reaches them; the same command goes on waiting",
        );
    }
    Ok(confirmed.exit())
}

/// Whether the subject may be a slip of the keyboard.
fn is_unknown_token(revocation: &Revocation) -> bool {
    revocation.kind == RevokedKind::Token && revocation.members.is_empty()
}

/// The subject of the revocation.
enum Subject<'a> {
    Node(&'a KeyHolder),
    Token(hobnob_keys::Fingerprint),
}

impl<'a> Subject<'a> {
    fn of(keys: &'a Keys, args: &RevokeArgs) -> Result<Self, ClientError> {
        match (&args.node, args.token) {
            (None, Some(token)) => Ok(Self::Token(token)),
            (node, _) => {
                let name = node.as_deref().unwrap_or_default();
                Ok(Self::Node(KeyHolder::find(&keys.members, name)?))
            }
        }
    }

    /// The question that a person is asked.
    fn question(&self, keys: &Keys) -> String {
        match self {
            Self::Node(node) => format!(
                "Revoke the node {} ({}), for good? Its key never counts again.",
                printable(&node.name),
                node.node_id
            ),
            Self::Token(token) => {
                let text = token.to_string();
                let of = keys.members.iter().filter(|member| member.token.as_ref() == Some(&text));
                let names: Vec<_> = of.map(|member| printable(&member.name)).collect();
                let members = match names.len() {
                    0 => "No known member joined with it.".to_owned(),
                    count => format!("That takes {count} members out: {}.", names.join(", ")),
                };
                format!(
                    "Revoke the token {token} and all nodes that joined with it, for good? {members}"
                )
            }
        }
    }

    fn request(&self, myself: bool) -> Request {
        let (member, token) = match self {
            Self::Node(node) => (Some(node.node_id.to_string()), None),
            Self::Token(token) => (None, Some(token.to_string())),
        };
        Request::Revoke { member, token, signed: None, myself }
    }

    fn sign(
        &self,
        keys: &Keys,
        credential: &OperatorCredential,
    ) -> anyhow::Result<SignedRevocation> {
        let revoked = match self {
            Self::Node(node) => Revoked::Key(key_of(node)?),
            Self::Token(token) => Revoked::Token(*token),
        };
        let command = credential.sign(&Command::Revoke(revoked))?;
        let number = GenerationId::number_after(keys.newest(), keys.revocations.len() + 1);
        let generation = Generation::order(number, *system_random()?, credential)?;
        let generation = Signed::new(&generation.encode());
        Ok(SignedRevocation { command: Signed::new(command.as_bytes()), generation })
    }
}

fn key_of(node: &KeyHolder) -> Result<PublicKey, ClientError> {
    let key = node.public_key.as_deref().and_then(|key| key.parse().ok());
    key.ok_or_else(|| {
        let message = format!("the certificate of `{}` is not known to the agent", node.name);
        ClientError::Api(ApiError::new(ErrorCode::KeyUnknown, message))
    })
}

/// Asks a person.
fn is_confirmed(question: &str) -> io::Result<bool> {
    output::ask(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The subject of a revocation, in words.
pub(super) fn describe(revocation: &Revocation) -> String {
    let members: Vec<_> = revocation.members.iter().map(|name| printable(name)).collect();
    let members = members.join(", ");
    let fingerprint = printable(&revocation.fingerprint);
    match (revocation.kind, &revocation.node_id) {
        (RevokedKind::Node, Some(id)) if members.is_empty() => format!("the node {id}"),
        (RevokedKind::Node, Some(id)) => format!("the node {members} ({id})"),
        (RevokedKind::Node, None) => format!("the node with the key {fingerprint}"),
        (RevokedKind::Token, _) if members.is_empty() => format!("the token {fingerprint}"),
        (RevokedKind::Token, _) => format!("the token {fingerprint}, with which {members} joined,"),
    }
}
