//! `hobnob keys status`.

use hobnob_api::client::Client;
use hobnob_api::names::printable;
use hobnob_api::{HeldGeneration, Keys, LongToken, MemberStatus};

use super::progress::{self, Confirmed, short};
use super::revoke::describe;
use super::view::time;
use crate::args::KeysStatusArgs;
use crate::exit::Exit;
use crate::output::{self, Output};

/// Shows the keys of the cluster.
pub(super) async fn status(client: &mut Client, args: &KeysStatusArgs) -> anyhow::Result<Exit> {
    let keys = progress::ask(client).await?;
    output::warn_if_isolated(keys.isolated);
    let mut out = Output::new().wide(args.table.wide);
    if args.json {
        out.json(&*keys)?;
    } else {
        out.line(&output::fields(fields(&keys), out.style()))?;
        out.line("")?;
        let is_listed = |status| !matches!(status, MemberStatus::Left | MemberStatus::ForceLeft);
        let listed = keys.members.iter().filter(|member| is_listed(member.status));
        out.line(&output::key_holders(listed, out.style()))?;
    }
    keys.long_tokens.iter().for_each(|token| output::say(&warning(token)));
    Ok(Exit::Done)
}

fn fields(keys: &Keys) -> Vec<(&'static str, String)> {
    let generation = match &keys.generation {
        Some(HeldGeneration { number, hash, held_for_ms }) => {
            let held = held_for_ms.map(|ms| format!(", held for {}", output::age(ms)));
            format!("{number} ({}){}", short(hash), held.unwrap_or_default())
        }
        None => "none yet: this agent was not let in".to_owned(),
    };
    let mut fields = vec![
        ("cluster id", keys.cluster_id.clone()),
        ("CA keys", keys.authorities.join(", ")),
        ("generation", generation),
    ];
    if let [old, _, ..] = &keys.authorities[..] {
        fields.push(("old CA key", holders_of(keys, old)));
    }
    if let Some(next) = &keys.next {
        let (number, hash) = (next.number, short(&next.hash));
        let soon = output::age(next.in_use_in_ms);
        fields.push(("next", format!("{number} ({hash}), in use in {soon}")));
    }
    fields.push(("members", Confirmed::of(keys).line()));
    fields.push(("signs orders", if keys.operator { "yes" } else { "no" }.to_owned()));
    if keys.untimely_tokens > 0 {
        fields.push((
            "refused",
            format!("{} newcomers with tokens out of date", keys.untimely_tokens),
        ));
    }
    match &keys.revocations[..] {
        [] => fields.push(("revoked", "nothing".to_owned())),
        revocations => fields.extend(revocations.iter().map(|revocation| {
            let (by, token) = (printable(&revocation.by), printable(&revocation.by_token));
            ("revoked", format!("{} by {by} with the token {token}", describe(revocation)))
        })),
    }
    fields
}

/// The living members whose certificates a CA key counts for.
fn holders_of(keys: &Keys, authority: &str) -> String {
    let living = keys.members.iter().filter(|member| member.is_live());
    let of = living.filter(|member| member.authority.as_deref() == Some(authority));
    let names: Vec<_> = of.map(|member| printable(&member.name)).collect();
    match names.len() {
        0 => "no living member has a certificate of it".to_owned(),
        count => format!("{count} living members have certificates of it: {}", names.join(", ")),
    }
}

fn warning(token: &LongToken) -> String {
    let names: Vec<_> = token.members.iter().map(|name| printable(name)).collect();
    format!(
        "warning: the token {} lets newcomers in for another {}, until {}; joined with it: {}. `hobnob revoke --token` ends it, and \
         takes these members out with it",
        printable(&token.fingerprint),
        output::age(token.valid_for_ms),
        time(token.valid_until_ms),
        names.join(", ")
    )
}
