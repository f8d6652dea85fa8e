//! Orders at an agent that is alone, with the real cryptography.

use std::time::Duration;

use hobnob_api::{ErrorCode, RevokedKind, Signed, SignedRevocation};
use hobnob_keys::{
    CaKey, Certificate, Command, Generation, Limits, Name, NodeKey, OperatorCredential, Revoked,
    Roles, Token, Validity,
};
use hobnob_membership::Sealing;
use tokio::sync::mpsc;

use super::revoke::{Subject, revoke};
use super::rotate::rotate;
use super::status::keys;
use super::*;
use crate::driver::Persist;
use crate::testing::TestDriver;

const ALWAYS: Validity = Validity { from_ms: 0, until_ms: Validity::MAX_MS };

fn name(name: &str) -> Name {
    name.parse().expect("a name")
}

fn ca() -> CaKey {
    CaKey::found(name("prod"), &[1; 32])
}

fn token_for(seed: u8, roles: Roles, validity: Validity) -> Token {
    let limits = Limits {
        cluster_name: name("prod"),
        name: None,
        services: vec![],
        datacenter: None,
        roles,
        no_gateway: false,
        validity,
    };
    ca().token(&[seed; 32], limits, vec![]).expect("legal limits")
}

/// The token of an operator.
fn token(seed: u8) -> Token {
    token_for(seed, Roles::OPERATOR, ALWAYS)
}

fn credential(token: &Token) -> OperatorCredential {
    token.credential(NodeKey::from_seed(&[200; 32])).expect("an operator")
}

fn key(n: u8) -> NodeKey {
    NodeKey::from_seed(&[100 + n; 32])
}

fn certificate(token: &Token, n: u8, named: &str) -> Certificate {
    token.certificate(key(n).public_key(), &name(named), &name("dc1")).expect("no limits")
}

/// A member `a1` that joined with this token, holds the first generation and knows two members that are away. Its disk takes all.
async fn member(joined_with: &Token) -> TestDriver {
    with_disk(member_without_disk(joined_with).await, |_| Ok(()))
}

/// The same, whose disk does not answer.
async fn member_without_disk(joined_with: &Token) -> TestDriver {
    let first = Generation::order(1, [7; 32], &credential(&token(90))).expect("an operator");
    let others = token_for(50, Roles::NONE, ALWAYS);
    let away = [certificate(&others, 2, "a2"), certificate(&others, 3, "a3")];
    let sealing = Sealing::new(ca().trust(), certificate(joined_with, 1, "a1")).expect("it counts");
    TestDriver::member(sealing.with_generation(first, true).with_members(away)).await
}

/// Answers for the disk whenever the driver wants its keys to be kept.
fn with_disk(
    mut driver: TestDriver,
    outcome: impl Fn(u64) -> Result<(), String> + Send + 'static,
) -> TestDriver {
    let mut persisted = std::mem::replace(&mut driver.persisted, mpsc::channel(1).1);
    let handle = driver.handle.clone();
    tokio::spawn(async move {
        while let Some(persist) = persisted.recv().await {
            if let Persist::Keys(_, change) = persist {
                handle.keys_kept().note_outcome(change, outcome(change));
            }
        }
    });
    driver
}

/// The agent's own credential.
fn own(joined_with: &Token) -> OwnCredential {
    let certificate = certificate(joined_with, 1, "a1");
    OperatorCredential::new(key(1), certificate, &ca().trust()).expect("an operator").into()
}

fn signed_generation(number: u64, credential: &OperatorCredential) -> Signed {
    let generation = Generation::order(number, [9; 32], credential).expect("an operator");
    Signed::new(&generation.encode())
}

fn signed_revocation(
    revoked: Revoked,
    number: u64,
    credential: &OperatorCredential,
) -> SignedRevocation {
    let command = credential.sign(&Command::Revoke(revoked)).expect("an operator");
    let command = Signed::new(command.as_bytes());
    SignedRevocation { command, generation: signed_generation(number, credential) }
}

#[tokio::test(start_paused = true)]
async fn an_agent_with_the_role_rotates_and_a_rotation_under_way_is_not_repeated() {
    let (driver, own) = (member(&token(1)).await, own(&token(1)));
    let rotated = rotate(&driver.handle, &own, None, false).await.expect("an operator");
    assert_eq!((rotated.number, rotated.begun), (2, true));
    let shown = keys(&driver.handle, &own, false).await.expect("sealed");
    let next = shown.next.as_ref().expect("it is on its way");
    assert_eq!((next.number, &next.hash), (2, &rotated.hash));
    assert!(shown.is_rotating() && shown.operator && (1..=10_000).contains(&next.in_use_in_ms));
    assert_eq!(shown.generation.expect("the first").number, 1);

    let repeated = rotate(&driver.handle, &own, None, false).await.expect("an operator");
    assert_eq!((repeated.number, repeated.begun), (2, false));
    assert_eq!(repeated.hash, rotated.hash);
    let again = rotate(&driver.handle, &own, None, true).await.expect("an operator");
    assert_eq!((again.number, again.begun), (3, true));

    tokio::time::advance(Duration::from_secs(11)).await;
    let shown = keys(&driver.handle, &own, false).await.expect("sealed");
    assert_eq!((shown.generation.expect("in use").number, shown.next), (3, None));
    let rotated = rotate(&driver.handle, &own, None, false).await.expect("an operator");
    assert_eq!((rotated.number, rotated.begun), (4, true));
}

#[tokio::test(start_paused = true)]
async fn an_order_tells_whether_the_disk_has_it() {
    let own = own(&token(1));
    let silent = member_without_disk(&token(1)).await;
    let rotated = rotate(&silent.handle, &own, None, false).await.expect("an operator");
    assert!(rotated.unkept.expect("not kept").contains("does not answer"));
    let full = || Err("full".to_owned());
    let driver = with_disk(member_without_disk(&token(1)).await, move |_| full());
    let rotated = rotate(&driver.handle, &own, None, false).await.expect("an operator");
    assert_eq!((rotated.begun, rotated.unkept.as_deref()), (true, Some("full")));
    let repeated = rotate(&driver.handle, &own, None, false).await.expect("an operator");
    assert_eq!((repeated.begun, repeated.unkept.as_deref()), (false, Some("full")));
    let revoked = revoke(&driver.handle, &own, Subject::Member("a2".to_owned()), false).await;
    assert_eq!(revoked.expect("an operator").unkept.as_deref(), Some("full"));
    let shown = keys(&driver.handle, &own, false).await.expect("sealed");
    assert_eq!(shown.unkept.as_deref(), Some("full"));
    let driver = member(&token(1)).await;
    let rotated = rotate(&driver.handle, &own, None, false).await.expect("an operator");
    assert_eq!((rotated.begun, rotated.unkept), (true, None));
}

#[tokio::test(start_paused = true)]
async fn without_the_role_or_a_sealed_cluster_nothing_is_ordered() {
    let driver = member(&token_for(2, Roles::FOUNDER, ALWAYS)).await;
    let founder = own(&token_for(2, Roles::FOUNDER, ALWAYS));
    for own in [OwnCredential::default(), founder] {
        let refused = rotate(&driver.handle, &own, None, false).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::RoleMissing);
        let member = Subject::Member("a2".to_owned());
        let refused = revoke(&driver.handle, &own, member, false).await.expect_err("refused");
        assert_eq!(refused.code, ErrorCode::RoleMissing);
    }
    assert!(!keys(&driver.handle, &own(&token(1)), false).await.expect("sealed").is_rotating());

    let (clear, own) = (TestDriver::start(1).await, own(&token(1)));
    for refused in [
        keys(&clear.handle, &own, false).await.expect_err("clear"),
        rotate(&clear.handle, &own, None, false).await.expect_err("clear"),
        revoke(&clear.handle, &own, Subject::Member("a2".to_owned()), false)
            .await
            .expect_err("clear"),
    ] {
        assert_eq!(refused.code, ErrorCode::NotSealed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_a_client_signed_counts_only_if_all_about_it_does() {
    let driver = member(&token_for(2, Roles::NONE, ALWAYS)).await;
    let own = OwnCredential::default();
    let order = async |signed| rotate(&driver.handle, &own, Some(signed), false).await;
    let operator = credential(&token(3));
    let expired = token_for(4, Roles::OPERATOR, Validity { from_ms: 0, until_ms: 5 });
    let founder = credential(&token_for(5, Roles::FOUNDER, ALWAYS));
    let stranger = {
        let ca = CaKey::found(name("prod"), &[66; 32]);
        let token = ca.token(&[3; 32], token(3).limits().clone(), vec![]).expect("legal");
        token.credential(NodeKey::from_seed(&[200; 32])).expect("an operator there")
    };
    let whole = signed_generation(2, &operator);
    let mut forged = whole.as_bytes().to_vec();
    *forged.last_mut().expect("bytes") ^= 1;
    for (signed, says) in [
        (Signed::new(&whole.as_bytes()[1..]), "the generation"),
        (Signed::new(&forged), "did not sign it"),
        (signed_generation(2, &credential(&expired)), "expired at 1970-01-01 00:00:00 UTC, "),
        (signed_generation(2, &stranger), "meant for another cluster"),
        (signed_generation(1, &founder), "has not the role"),
        (signed_generation(1, &operator), "is not the next one"),
        (signed_generation(3, &operator), "is not the next one"),
        (signed_generation(u64::MAX, &operator), "is not the next one"),
    ] {
        let refused = order(signed).await.expect_err(says);
        // A founder may sign the first generation, which is there.
        let says = if refused.message.contains("is not the next one") { "next one" } else { says };
        assert!(refused.message.contains(says), "{says}: {refused}");
        assert_eq!(refused.code, ErrorCode::OrderInvalid);
    }
    assert!(
        !keys(&driver.handle, &own, false).await.expect("sealed").is_rotating(),
        "none was taken"
    );
    let rotated = order(whole).await.expect("it counts");
    assert_eq!((rotated.number, rotated.begun), (2, true));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_rotates_and_is_shown_and_happens_once() {
    let (driver, own) = (member(&token(1)).await, own(&token(1)));
    let named = |name: &str| Subject::Member(name.to_owned());
    let missing = revoke(&driver.handle, &own, named("a9"), false).await.expect_err("nobody");
    assert_eq!(missing.code, ErrorCode::MemberNotFound);
    // It is away, and known by its certificate alone.
    let revoked = revoke(&driver.handle, &own, named("a2"), false).await.expect("an operator");
    assert!(revoked.new);
    assert_eq!(revoked.rotated.expect("it rotates").number, 2);
    let repeated = revoke(&driver.handle, &own, named("a2"), false).await.expect("an operator");
    assert_eq!((repeated.new, repeated.rotated), (false, None));

    let others = token_for(50, Roles::NONE, ALWAYS).fingerprint().to_string();
    let token = Subject::Token(others.clone());
    let revoked = revoke(&driver.handle, &own, token, false).await.expect("an operator");
    assert_eq!(revoked.rotated.expect("again, although one is on its way").number, 3);
    let shown = keys(&driver.handle, &own, false).await.expect("sealed");
    let told: Vec<_> = shown.revocations.iter().map(|one| (one.kind, &one.members[..])).collect();
    let (a2, a3) = ("a2".to_owned(), "a3".to_owned());
    assert_eq!(told, [(RevokedKind::Node, &[a2.clone()][..]), (RevokedKind::Token, &[a2, a3][..])]);
    assert_eq!((&*shown.revocations[1].fingerprint, &*shown.revocations[1].by), (&*others, "a1"));
    let revoked = shown.members.iter().filter(|member| member.revoked);
    assert_eq!(revoked.map(|member| &*member.name).collect::<Vec<_>>(), ["a2", "a3"]);
    for wrong in ["", "xyz", &others[1..]] {
        let token = Subject::Token(wrong.to_owned());
        let refused = revoke(&driver.handle, &own, token, false).await.expect_err("no fingerprint");
        assert_eq!(refused.code, ErrorCode::NameInvalid, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_does_not_revoke_itself_by_mistake_nor_the_signer_of_the_next_generation() {
    let (joined, other) = (token(1), credential(&token(3)));
    let (driver, own) = (member(&joined).await, own(&joined));
    let this = || Subject::Member("a1".to_owned());
    let token = || Subject::Token(joined.fingerprint().to_string());
    for subject in [this(), token()] {
        let refused = revoke(&driver.handle, &own, subject, false).await.expect_err("itself");
        assert_eq!(refused.code, ErrorCode::RevokesItself);
    }
    // Its own generation would not count.
    for subject in [this(), token()] {
        let refused = revoke(&driver.handle, &own, subject, true).await.expect_err("its signer");
        assert_eq!(refused.code, ErrorCode::RoleMissing);
    }
    let of_signer = signed_revocation(Revoked::Token(token_of(&other)), 2, &other);
    let signed = Subject::Signed(of_signer);
    let refused = revoke(&driver.handle, &own, signed, false).await.expect_err("its signer");
    assert_eq!(refused.code, ErrorCode::RoleMissing);
    assert!(keys(&driver.handle, &own, false).await.expect("sealed").revocations.is_empty());

    let itself = Revoked::Key(key(1).public_key());
    let signed = || Subject::Signed(signed_revocation(itself, 2, &other));
    let refused = revoke(&driver.handle, &own, signed(), false).await.expect_err("itself");
    assert_eq!(refused.code, ErrorCode::RevokesItself);
    let revoked = revoke(&driver.handle, &own, signed(), true).await.expect("it is meant");
    assert!(revoked.new && revoked.revocation.by == "operator");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_operator_orders_nothing_more() {
    let (driver, own) = (member(&token(1)).await, own(&token(1)));
    let lost = token(3);
    let subject = Subject::Token(lost.fingerprint().to_string());
    revoke(&driver.handle, &own, subject, false).await.expect("an operator");
    let thief = credential(&lost);
    let signed = Some(signed_generation(3, &thief));
    let refused = rotate(&driver.handle, &own, signed, true).await.expect_err("revoked");
    assert!(refused.message.contains("is revoked"), "{refused}");
    let signed = signed_revocation(Revoked::Key(key(1).public_key()), 3, &thief);
    let refused = revoke(&driver.handle, &own, Subject::Signed(signed), true).await;
    assert!(refused.expect_err("revoked").message.contains("is revoked"));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_let_in_for_long_are_named_with_those_that_joined_with_them() {
    let driver = member(&token(1)).await;
    let shown = keys(&driver.handle, &OwnCredential::default(), false).await.expect("sealed");
    assert!(!shown.operator);
    let mut told: Vec<_> = shown.long_tokens.iter().map(|token| token.members.join(" ")).collect();
    told.sort_unstable();
    assert_eq!(told, ["a1", "a2 a3"]);
    let a1 = shown.members.iter().find(|member| member.name == "a1").expect("itself");
    assert_eq!(a1.public_key, Some(key(1).public_key().to_string()));
    assert!(a1.is_live() && !a1.lacks() && shown.lacking().next().is_none());
}

fn token_of(credential: &OperatorCredential) -> hobnob_keys::Fingerprint {
    let signed = credential.sign(&Command::Revoke(Revoked::Key(key(9).public_key())));
    let (_, signer) = signed.expect("an operator").verify(&ca().trust()).expect("it counts");
    signer.token()
}

#[tokio::test(start_paused = true)]
async fn an_order_about_a_member_is_signed_by_the_client_or_by_an_agent_with_the_role() {
    use hobnob_membership::{NodeId, OrderKind};

    let (driver, clear) = (member(&token(1)).await, TestDriver::start(1).await);
    let away = hobnob_keys::NodeId(key(2).node_id().0);
    let about =
        async |driver: &TestDriver, own: OwnCredential, kind, signed: Option<SignedCommand>| {
            let decide = move |node: &Node, _| {
                member::about(node, &own, kind, NodeId(away.0), signed.as_ref())
            };
            driver.handle.inspect(decide).await.expect("it runs").map_err(|refused| refused.code)
        };
    let other = credential(&token(3));
    let sign = |node_id, command: fn(hobnob_keys::NodeId, u64) -> Command| {
        Some(other.sign(&command(node_id, 7)).expect("an operator"))
    };
    let force_leave: fn(_, _) -> _ = |node_id, epoch| Command::ForceLeave { node_id, epoch };
    let prune: fn(_, _) -> _ = |node_id, epoch| Command::Prune { node_id, epoch };

    let none = OwnCredential::default;
    for (kind, command) in [(OrderKind::ForceLeave, force_leave), (OrderKind::Prune, prune)] {
        assert_eq!(about(&clear, none(), kind, None).await, Ok(None));
        let signed = sign(away, command);
        assert_eq!(about(&clear, none(), kind, signed).await, Err(ErrorCode::NotSealed));
        assert_eq!(about(&driver, none(), kind, None).await, Err(ErrorCode::RoleMissing));
        let ours = about(&driver, own(&token(1)), kind, None).await.expect("the role");
        let (_, signer) = ours.expect("signed").verify(&ca().trust()).expect("it counts");
        assert_eq!(signer.name().as_str(), "a1");
        let signed = sign(away, command);
        assert_eq!(about(&driver, none(), kind, signed.clone()).await, Ok(signed));
        let another = sign(hobnob_keys::NodeId(9), command);
        assert_eq!(about(&driver, none(), kind, another).await, Err(ErrorCode::OrderInvalid));
    }
    let mixed_up = sign(away, prune);
    let refused = about(&driver, none(), OrderKind::ForceLeave, mixed_up).await;
    assert_eq!(refused, Err(ErrorCode::OrderInvalid));
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_leaves_no_number_is_named_and_ends_with_the_revocation_of_its_operator()
{
    let bad = Generation::order(u64::MAX, [8; 32], &credential(&token(66))).expect("an operator");
    let sealing = Sealing::new(ca().trust(), certificate(&token(1), 1, "a1")).expect("it counts");
    let sealing = sealing.with_generation(bad, true);
    let driver = with_disk(TestDriver::member(sealing).await, |_| Ok(()));
    let own = own(&token(1));
    let refused = rotate(&driver.handle, &own, None, false).await.expect_err("no number is left");
    let fingerprint = token(66).fingerprint().to_string();
    assert_eq!(refused.code, ErrorCode::OrderInvalid);
    assert!(refused.message.contains(&fingerprint), "{}", refused.message);
    let other = Subject::Token(token(67).fingerprint().to_string());
    let refused = revoke(&driver.handle, &own, other, false).await.expect_err("it does not help");
    assert!(refused.message.contains(&fingerprint), "{}", refused.message);

    // A credential signs what an agent signs itself elsewhere.
    let by = credential(&token(3));
    let subject = Revoked::Token(token(66).fingerprint());
    for (number, is_right) in [(1, false), (u64::MAX, false), (1 << 32, true)] {
        let order = signed_revocation(subject, number, &by);
        let revoked = revoke(&driver.handle, &own, Subject::Signed(order), false).await;
        assert_eq!(revoked.is_ok(), is_right, "{number}: {revoked:?}");
    }
    let shown = keys(&driver.handle, &own, false).await.expect("sealed");
    assert_eq!(shown.newest(), 1 << 32);
    let rotated = rotate(&driver.handle, &own, None, true).await.expect("an operator");
    assert_eq!(rotated.number, (1 << 32) + 1);
}
