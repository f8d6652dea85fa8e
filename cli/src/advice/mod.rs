//! Advice for errors: what to type or do next. The errors themselves only say what happened to what.

mod access_keys;
mod http;
mod meant;

use std::io::{self, ErrorKind};

use hobnob_agent::secret_file::SecretFileError;
use hobnob_agent::storage::{OpenError, WriteError};
use hobnob_agent::transport::{BindError, QuicError};
use hobnob_agent::{
    AddressUse, ConfigError, LookupError, SecurityError, SocketError, StartError, TokenProblem,
};
use hobnob_api::ErrorCode;
use hobnob_api::client::ClientError;
use hobnob_keys::{CaFileError, TokenError};

use crate::args::{NoDns, NoQuerySocket, TwoTokens};
use crate::commands::KeysError;
use crate::top::NoTerminal;

use meant::Misnamed;
pub(crate) use meant::{Given, datacenters, nearest_of, services};

/// The advice for an error; `None` when there is none.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    let advice = error.chain().find_map(of_cause);
    match error.downcast_ref() {
        None => advice,
        Some(Misnamed { meant, .. }) => {
            let advice = advice.map(|advice| format!(" {advice}")).unwrap_or_default();
            Some(format!("did you mean `{meant}`?{advice}"))
        }
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref() {
        return of_start(error);
    }
    if let Some(error) = cause.downcast_ref() {
        return of_keys(error).map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref() {
        return access_keys::of(error).map(str::to_owned);
    }
    if cause.is::<TwoTokens>() {
        return Some("unset one of them".to_owned());
    }
    if cause.is::<NoTerminal>() {
        return Some(
            "print one frame with `hobnob top --once`, or ask `hobnob members` and `hobnob services`; TERM names the kind of a \
             terminal"
                .to_owned(),
        );
    }
    if cause.is::<NoQuerySocket>() {
        return Some(
            "name the socket with --query-socket <PATH>, or leave out its mode".to_owned(),
        );
    }
    if cause.is::<NoDns>() {
        return Some("answer DNS with --dns <IP:PORT>, or leave out --dns-forward".to_owned());
    }
    cause.downcast_ref().and_then(of_client).map(str::to_owned)
}

fn of_client(error: &ClientError) -> Option<&'static str> {
    Some(match error {
        ClientError::NoAgent { .. } => {
            "start an agent with `hobnob agent`, or name the socket of a running one with --socket or HOBNOB_SOCKET"
        }
        ClientError::NotAllowed { .. } => {
            "run as the user that started the agent, or join the group of the socket, which must also be able to enter \
             its directory; to ask only, name the agent's query socket with --socket, if it has one (--query-socket)"
        }
        ClientError::Connect { .. } => "name the socket of an agent with --socket or HOBNOB_SOCKET",
        ClientError::Closed { .. } => {
            "the agent is stopping, or has too many clients: look at its log, and try again"
        }
        ClientError::Timeout { .. } => {
            "the agent may be overloaded or stopped: look at its log, or wait longer with --answer-timeout"
        }
        ClientError::Unreadable { .. } => {
            "compare the versions: `hobnob --version` here, and `hobnob info` where the agent runs"
        }
        ClientError::Api(refusal) => return of_refusal(refusal.code),
        _ => return None,
    })
}

fn of_start(error: &StartError) -> Option<String> {
    match error {
        StartError::Config(error) => of_config(error),
        StartError::Lookup(error) => Some(of_lookup(error)),
        StartError::Security(error) => of_security(error),
        StartError::Storage(WriteError::Io { source, .. }) => of_file(source).map(str::to_owned),
        StartError::Http(error) => Some(http::of(error).to_owned()),
        StartError::Dns(_) => Some("name another address with --dns, or HOBNOB_DNS".to_owned()),
        StartError::Bind(error) => of_bind(error).map(str::to_owned),
        StartError::Socket(error) => of_socket(error, "--socket"),
        StartError::QuerySocket(error) => of_socket(error, "--query-socket"),
        _ => None,
    }
}

fn of_keys(error: &KeysError) -> Option<&'static str> {
    Some(match error {
        KeysError::Exists { .. } => {
            "`hobnob token create` makes tokens with that key; name another file with --ca for another cluster"
        }
        KeysError::SuccessorExists { .. } => {
            "`hobnob keys trust FILE.succession` has the cluster trust the second CA key, and `hobnob token create --ca FILE.key` makes \
             tokens with it"
        }
        KeysError::SuccessorOfSuccessor { .. } => {
            "name the first CA key with --ca; if both are lost or stolen, found the cluster anew"
        }
        KeysError::NoCa { .. } => {
            "name the file that `hobnob init` wrote with --ca or HOBNOB_CA; `hobnob init` founds a new cluster"
        }
        KeysError::NoPlace => "name the file with --ca or HOBNOB_CA",
        KeysError::NoTerminal { .. } => "give the passphrase with --passphrase-file",
        KeysError::Ca { source: CaFileError::WrongPassphrase, .. } => {
            "give another passphrase, or restore the file from a backup"
        }
        KeysError::Ca { source: CaFileError::OtherFormat { .. }, .. } => {
            "use the version of hobnob that wrote it, or a later one"
        }
        KeysError::Ca { source: CaFileError::NotACaFile, .. } => {
            "name the file that `hobnob init` wrote with --ca or HOBNOB_CA"
        }
        KeysError::Ca { .. } => "restore the file from a backup",
        KeysError::Limits(_) => {
            "leave out some of --services and --seed, or use patterns that are shorter"
        }
        KeysError::NoRole { .. } => {
            "`(umask 077; hobnob token create --role operator --for 1h > FILE)` makes one, with the CA key"
        }
        KeysError::Credential { .. } => {
            "name a file with the token alone, as `hobnob token create --role operator > FILE` writes it"
        }
        KeysError::Token(TokenError::OtherVersion { .. }) => "use a later version of hobnob",
        KeysError::Token(TokenError::Forged) => "ask the operator for a new token",
        KeysError::Token(TokenError::Content(_)) => {
            "use a later version of hobnob, or ask the operator for a new token"
        }
        KeysError::Token(_) => "copy the whole line that `hobnob token create` printed",
        KeysError::PathForToken { .. } => {
            "`hobnob token inspect - < FILE` reads the token from a file"
        }
        KeysError::Unreadable { source, .. } => return of_secret_file(source),
        KeysError::Io { verb: "look at", source, .. } => return of_reading(source),
        KeysError::Io { source, .. } => return of_file(source),
        _ => return None,
    })
}

fn of_config(error: &ConfigError) -> Option<String> {
    Some(match error {
        ConfigError::NotLoopback(_) => {
            "make a sealed cluster, with two commands:\n\n  \
             hobnob init --cluster NAME                           on your own machine: prints a token\n  \
             hobnob agent --bind ADDRESS --token-file FILE        here, with that token in FILE\n\n\
             or bind to a loopback address, or pass --insecure if you trust everybody on that network"
                .to_owned()
        }
        ConfigError::HttpNotLoopback(_) => http::BEYOND_HOST.to_owned(),
        ConfigError::HttpOpenWritesBeyondHost(_) => http::OPEN_WRITES.to_owned(),
        ConfigError::DnsNotLoopback(_) => {
            "name an address of this host with --dns, or pass --insecure-dns if everybody who reaches that address may ask".to_owned()
        }
        ConfigError::DnsForwardsForAnybody(_) => {
            "leave out --dns-forward, or answer on 127.0.0.1 and let a resolver stand before it".to_owned()
        }
        ConfigError::DnsForwardsToItself(_) => "name another server with --dns-forward".to_owned(),
        ConfigError::NoName => "name it with --name or HOBNOB_NAME".to_owned(),
        ConfigError::SyncElsewhere { .. } => {
            "give --sync-bind the IP address of --bind, or 0.0.0.0 or [::]".to_owned()
        }
        ConfigError::AdvertisedElsewhere { advertised, .. } => {
            format!("bind to {}, or to 0.0.0.0", advertised.addr.ip())
        }
        ConfigError::NothingToAdvertise(_) => {
            "name this host's own address with --advertise".to_owned()
        }
        ConfigError::AdvertisedPortZero => {
            "leave the port out, and the bound one is advertised, or name the one that is forwarded here".to_owned()
        }
        ConfigError::LinkLocal(_) => {
            "give another address of this host: `ip address` lists them".to_owned()
        }
        _ => return None,
    })
}

fn of_lookup(error: &LookupError) -> String {
    let from = match error.purpose() {
        AddressUse::SyncBind => "--sync-bind or HOBNOB_SYNC_BIND",
        AddressUse::Advertise => "--advertise or HOBNOB_ADVERTISE",
        _ => "--bind or HOBNOB_BIND",
    };
    match error {
        LookupError::NoUsableAddress { .. } => {
            format!(
                "give the interface an address, or another interface or an IP address with {from}"
            )
        }
        _ => format!(
            "correct the name, or give an IP address or an interface with {from}; `ip address` lists those of this host"
        ),
    }
}

fn of_security(error: &SecurityError) -> Option<String> {
    Some(match error {
        SecurityError::DataDir(error) => return of_data_dir(error),
        SecurityError::Storage(WriteError::Io { source, .. }) => of_file(source)?.to_owned(),
        SecurityError::InsecureWithToken => "leave out one of the two".to_owned(),
        SecurityError::InsecureMember { .. } => {
            "leave out --insecure, or give this agent another data directory".to_owned()
        }
        SecurityError::Token(problem) => of_token(problem).to_owned(),
        SecurityError::OtherCluster { .. } => {
            "give it a token of its own cluster, or none, or give it another data directory".to_owned()
        }
        SecurityError::OtherName { sealed, .. } => {
            format!("leave out --cluster (HOBNOB_CLUSTER), or name `{sealed}`")
        }
        SecurityError::NotAllowed { .. } => {
            "give another --name or --datacenter, or a token that allows these (`hobnob token create`)".to_owned()
        }
        SecurityError::Name { .. } => "give another one, with --name or --datacenter".to_owned(),
        SecurityError::Changed { what, certified, .. } => format!(
            "start it with --{what} {certified}, or give it a token that is valid and allows the new {what}: \
             `hobnob token create`, then --token-file"
        ),
        SecurityError::NoMembership { .. } => {
            "restore it from a backup, or start the agent with a token (`hobnob token create`, then --token-file): it keeps its \
             node id"
                .to_owned()
        }
        SecurityError::OtherKey { .. } | SecurityError::Membership { .. } => {
            "restore both files from a backup, or remove membership.json and start it with a token (`hobnob token \
             create`, then --token-file): it joins as a new node"
                .to_owned()
        }
        _ => return None,
    })
}

fn of_token(problem: &TokenProblem) -> &'static str {
    match problem {
        TokenProblem::Unreadable { source: SecretFileError::Io(error), .. }
            if error.kind() == ErrorKind::NotFound =>
        {
            "put the token that `hobnob init` or `hobnob token create` printed into that file"
        }
        TokenProblem::Unreadable { source: SecretFileError::Io(_), .. } => {
            "let the user of the agent read that file, which should be readable by nobody else"
        }
        TokenProblem::Unreadable { source, .. } => of_secret_file(source).unwrap_or_default(),
        TokenProblem::PathInText { .. } => {
            "give the path with --token-file or HOBNOB_TOKEN_FILE; HOBNOB_TOKEN takes the token itself"
        }
        _ => "copy the whole line that `hobnob init` or `hobnob token create` printed",
    }
}

fn of_data_dir(error: &OpenError) -> Option<String> {
    Some(match error {
        OpenError::Locked { .. } => {
            "stop that agent first, or give this one another data directory".to_owned()
        }
        OpenError::OtherCluster { stored, .. } => {
            format!("start it with --cluster {stored}, or give it another data directory")
        }
        OpenError::Io { source, .. } => of_file(source)?.to_owned(),
        OpenError::CorruptIdentity { .. } => {
            "restore it from a backup, or remove it, and the agent starts as a new node".to_owned()
        }
        OpenError::CorruptEpoch { .. } => {
            "restore it from a backup, or remove it if the clock of this machine is right, and the next epoch is minted \
             from the clock"
                .to_owned()
        }
        OpenError::CorruptNodeKey { .. } | OpenError::CorruptMembership { .. } => {
            "restore it from a backup, or remove node.key, membership.json and node.json, and start the agent with a token \
             (`hobnob token create`, then --token-file): it joins as a new node"
                .to_owned()
        }
        OpenError::CorruptKeys { .. } => {
            "remove it: other members tell the agent again what was in it".to_owned()
        }
        OpenError::CorruptLog { .. } => {
            "restore the file from a backup, or delete that line (the whole file, if it is line 1), start the agent, and \
             register again what is missing"
                .to_owned()
        }
        OpenError::OtherFormat { .. } => {
            "start the version of hobnob that wrote it".to_owned()
        }
        _ => return None,
    })
}

fn of_bind(error: &BindError) -> Option<&'static str> {
    match error {
        BindError::Gossip { source, .. } => Some(match source.kind() {
            ErrorKind::AddrInUse => "is another agent running? choose another port with --bind",
            ErrorKind::AddrNotAvailable => {
                "no interface of this host has that address: choose another with --bind"
            }
            ErrorKind::PermissionDenied => {
                "ports below 1024 need privileges: choose another port with --bind"
            }
            _ => "choose another address with --bind",
        }),
        BindError::Sync(QuicError::Bind { .. }) => Some(
            "choose an address of this host and a free port with --sync-bind, or port 0 for any",
        ),
        _ => None,
    }
}

/// The advice for an error with a socket, whose path comes from this flag.
fn of_socket(error: &SocketError, flag: &str) -> Option<String> {
    Some(match error {
        SocketError::InUse { .. } => format!("stop it, or choose another path with {flag}"),
        SocketError::NotASocket { .. } | SocketError::SamePath { .. } => {
            format!("choose another path with {flag}")
        }
        SocketError::PathTooLong { .. } => format!("choose a shorter one with {flag}"),
        SocketError::NoDirectory { .. } => format!("make it, or choose another path with {flag}"),
        SocketError::NoGroup { .. } => {
            "make it with `groupadd`, or name another group or its number with --write-group or HOBNOB_WRITE_GROUP".to_owned()
        }
        SocketError::GroupUnknown { .. } => {
            "give the number of the group with --write-group or HOBNOB_WRITE_GROUP: it needs no lookup".to_owned()
        }
        SocketError::GroupRefused { .. } => {
            "an agent may give its socket to a group of its own only, unless it runs as root: add its user to the group \
             (SupplementaryGroups= of systemd), or name another group with --write-group or HOBNOB_WRITE_GROUP"
                .to_owned()
        }
        SocketError::Io { source, .. } => of_file(source)?.to_owned(),
        _ => return None,
    })
}

/// The advice for an error of the system with a file that is to be read.
fn of_reading(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => Some("name a file that is there"),
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            Some("name a file instead of a directory")
        }
        ErrorKind::PermissionDenied => Some("let this user read that file, or name another one"),
        _ => None,
    }
}

/// The advice for a file with a secret that cannot be read.
fn of_secret_file(error: &SecretFileError) -> Option<&'static str> {
    match error {
        SecretFileError::Io(error) => of_reading(error),
        SecretFileError::NotRegular(_) => Some(
            "name a regular file. What a command prints can be given as `<(command)`, or on stdin as /dev/stdin",
        ),
        SecretFileError::TooLong { .. } | SecretFileError::NotText => {
            Some("name the file with the secret alone")
        }
        SecretFileError::Unfinished(_) => {
            Some("run that command alone, and put what it prints into a file (`umask 077` first)")
        }
        _ => None,
    }
}

/// The advice for an error of the system with a file or a directory that is to be written.
fn of_file(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::NotFound => {
            Some("the directory above it is not there, or takes no files: choose another place")
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            Some("a file is where a directory has to be: choose another place")
        }
        ErrorKind::PermissionDenied => Some("let this user write there, or choose another place"),
        ErrorKind::ReadOnlyFilesystem => Some("the file system is read-only: choose another place"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("make room on the disk"),
        ErrorKind::FileTooLarge | ErrorKind::InvalidInput => Some(
            "another program put something else there: restore the file from a backup, or move it away",
        ),
        _ => None,
    }
}

fn of_refusal(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::ApiVersionUnsupported => "use the `hobnob` that was installed with the agent",
        ErrorCode::AddressUnresolvable => "check the name, or give an IP address",
        ErrorCode::AddressIsOwn => "name the address of another agent",
        ErrorCode::KeyMissing => "give the key with --key",
        ErrorCode::SocketReadOnly => {
            "name the full socket with --socket or HOBNOB_SOCKET; its owner and the members of its group may use it \
             (`ls -l` shows both)"
        }
        ErrorCode::TooMuchHeld | ErrorCode::TooManyConnections => {
            "`hobnob info --counters` shows `api_connections` and `client_bytes`"
        }
        ErrorCode::ServiceNotAllowed => {
            "register the service with another agent, or give this host a token that allows it: `hobnob token create --services`"
        }
        ErrorCode::TooManyRegistrations => {
            "deregister instances that are no longer needed, or register with another agent"
        }
        ErrorCode::NotSealed => {
            "`hobnob init` founds a sealed cluster, whose agents start with `hobnob agent --token-file FILE` and empty data \
             directories"
        }
        ErrorCode::RoleMissing => {
            "give --credential FILE, with a token that `(umask 077; hobnob token create --role operator --for 1h > FILE)` made"
        }
        ErrorCode::OrderInvalid => {
            "look with `hobnob keys status` for what other operators did meanwhile, and try again; an order that has to be signed takes \
             --credential FILE with a new token of this cluster (`hobnob token create --role operator`)"
        }
        ErrorCode::RevokesItself => {
            "order it at another agent with --socket, or give --yes-myself if that is meant"
        }
        ErrorCode::KeyUnknown => {
            "order it at an agent that knows the member: `hobnob keys status` there shows its token"
        }
        ErrorCode::TooManyRevocations => {
            "found the cluster anew with another CA key: docs/OPERATIONS.md says how"
        }
        ErrorCode::MemberAmbiguous => "name the member by its node id",
        ErrorCode::MemberIsSelf => "`hobnob leave` makes this agent leave",
        ErrorCode::MemberNotFound => "`hobnob members --all` lists the members",
        ErrorCode::DatacenterIsOwn => {
            "order it at an agent of the other datacenter, or name another one"
        }
        ErrorCode::DatacenterReachable => {
            "stop its agents first; or isolate it with `hobnob datacenters isolate NAME`, and forget it after that"
        }
        ErrorCode::MemberAlive => {
            "stop its agent first, or let it leave with `hobnob leave`, and try again once it is down"
        }
        ErrorCode::InstanceNotFound => {
            "`hobnob services` lists the services, `hobnob resolve SERVICE --all` their instances, each with its agent"
        }
        ErrorCode::InstanceElsewhere => {
            "order it at that agent: on its host, or with its socket as --socket"
        }
        ErrorCode::DatacenterNotFound => {
            "`hobnob datacenters` lists the known ones; `hobnob join --wan ADDRESS` finds another"
        }
        ErrorCode::DatacenterUnreachable => {
            "`hobnob datacenters` shows since when; try again when it is back in reach"
        }
        ErrorCode::InstanceIdTaken => "give this instance another --id",
        ErrorCode::InstanceDefinedByFile => {
            "change the file and run `hobnob reload`, or give this instance another --id"
        }
        ErrorCode::AgentUnavailable => "try again in a moment",
        ErrorCode::OutcomeUnknown => {
            "repeat the command, which is safe; `hobnob explain ID` shows whether the instance is there"
        }
        ErrorCode::NoVoters => {
            "`hobnob voters` shows the voters; without --consistency strong no voters are asked"
        }
        ErrorCode::NoQuorum => {
            "`hobnob voters` shows which of them live; without --consistency strong the answer is what this agent knows"
        }
        ErrorCode::Contended => "give it more time with --consistency-timeout, or ask again",
        ErrorCode::Unconfirmed => {
            "repeat the command, which is safe; `hobnob voters` shows which voters live"
        }
        ErrorCode::VotersUnchanged => "`hobnob voters` shows the voters",
        ErrorCode::SubjectNotFound => {
            "give the name or node id of a member (`hobnob members`), or the id of an instance (`hobnob resolve SERVICE \
             --all`)"
        }
        ErrorCode::SubjectIsService => "`hobnob explain ID` explains one instance",
        ErrorCode::JoinUnanswered => {
            "check that it is the gossip address (--bind) of a running agent, and that UDP reaches it"
        }
        ErrorCode::DiskFull => "make room on the disk of the agent's data directory",
        ErrorCode::StorageFailed => "look at the log of the agent",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
