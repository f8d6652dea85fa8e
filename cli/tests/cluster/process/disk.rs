//! A disk that is full: an agent starts with what is there, and refuses changes.

use std::process::{Command, Stdio};

/// Runs in a mount namespace of its own, with a small disk. `$1` is the folder, `$2` the binary.
const SCRIPT: &str = r#"
set -e
mkdir "$1/disk"
mount -t tmpfs -o size=256k tmpfs "$1/disk"
export HOBNOB_SOCKET="$1/a.sock" HOBNOB_DATA_DIR="$1/disk/data" HOBNOB_BIND=127.0.0.1:0
start() {
    "$2" agent >/dev/null 2>>"$1/log" &
    agent=$!
    until "$2" info >/dev/null 2>&1; do kill -0 $agent; done
}
stop() { kill $agent; wait $agent; }
trap 'kill $agent || true' EXIT
# The log may have room for some more bytes. Several of these have none.
large=$(for key in a b c d e f g; do printf ' --meta %s=%0500d' $key 0; done)

start "$1" "$2"
"$2" register web --port 80
stop
cat /dev/zero >"$1/disk/filler" 2>/dev/null || true
for life in 1 2 3; do
    start "$1" "$2"
    "$2" resolve web
    outcome=taken
    for number in 1 2 3; do
        "$2" register db --id "db-$life-$number" --port 81 $large 2>"$1/refused" || outcome=refused
    done
    test $outcome = refused
    grep "make room on the disk" "$1/refused"
    stop
done
rm "$1/disk/filler"
start "$1" "$2"
"$2" register db --port 81 $large
stop
"#;

/// The same for the orders of an operator.
const ORDERS: &str = r#"
set -e
mkdir "$1/disk"
mount -t tmpfs -o size=256k tmpfs "$1/disk"
export HOBNOB_SOCKET="$1/a.sock" HOBNOB_DATA_DIR="$1/disk/data" HOBNOB_BIND=127.0.0.1:0 HOBNOB_CA="$1/ca.key"
umask 077
"$2" init --cluster prod | grep hobnob1_ >"$1/token"
"$2" token create --role operator >"$1/credential"
"$2" agent --token-file "$1/token" >/dev/null 2>>"$1/log" &
agent=$!
trap 'kill $agent || true' EXIT
until "$2" keys status >/dev/null 2>&1; do kill -0 $agent; done
cat /dev/zero >"$1/disk/filler" 2>/dev/null || true
code=0
"$2" keys rotate --wait 1s --credential "$1/credential" 2>"$1/told" || code=$?
cat "$1/told"
test $code = 4
grep "has not kept it on its disk: cannot " "$1/told"
rm "$1/disk/filler"
"$2" keys rotate --credential "$1/credential"
"#;

/// Three voters, of which the third has a small disk.
const VOTER: &str = r#"
set -e
mkdir "$1/disk"
mount -t tmpfs -o size=256k tmpfs "$1/disk"
export HOBNOB_BIND=127.0.0.1:0
agents=
trap 'kill $agents || true' EXIT
# NAME DATA [JOIN]
start() {
    "$2" agent --name "$3" --socket "$1/$3.sock" --data-dir "$4" ${5:+--join "$5"} >/dev/null 2>>"$1/$3.log" &
    agents="$agents $!"
    until "$2" --socket "$1/$3.sock" info >/dev/null 2>&1; do kill -0 $!; done
}
at() { name=$1; shift; "$hobnob" --socket "$home/$name.sock" "$@"; }
home=$1 hobnob=$2
start "$1" "$2" a1 "$1/a1"
address=$(at a1 info --json | sed 's/.*"gossip_address":"\([^"]*\)".*/\1/')
start "$1" "$2" a2 "$1/a2" "$address"
start "$1" "$2" a3 "$1/disk/a3" "$address"
third=$!
until test "$(at a1 members --json | grep -o '"status":"alive"' | wc -l)" = 3; do kill -0 $third; done
at a1 voters set a1 a2 a3
at a1 register web --port 80 --consistency strong
cat /dev/zero >"$1/disk/filler" 2>/dev/null || true
large=$(for key in a b c d e f g; do printf ' --meta %s=%0500d' $key 0; done)
# Two of three have a disk, and go on. The third says what is wrong.
number=0
until at a3 voters 2>&1 >/dev/null | grep "this agent does not vote: "; do
    number=$((number + 1))
    at a2 register db --id "db-$number" --port 81 --consistency strong $large
done
at a3 voters --json | grep '"problem":"cannot '
at a3 resolve web --consistency strong
at a1 deregister web --consistency strong
# With room it votes again.
rm "$1/disk/filler"
until at a3 voters --json | grep '"standing":"votes"'; do kill -0 $third; done
at a3 voters 2>&1 >/dev/null | grep . && exit 1
at a3 resolve db --consistency strong
"#;

#[test]
fn a_voter_whose_disk_is_full_says_so_and_votes_again_with_room() {
    in_own_mounts(VOTER);
}

#[test]
fn an_order_that_a_full_disk_has_not_is_not_said_to_be_done() {
    in_own_mounts(ORDERS);
}

#[test]
fn an_agent_whose_disk_is_full_starts_again_and_refuses_changes() {
    in_own_mounts(SCRIPT);
}

fn in_own_mounts(script: &str) {
    let own_mounts = ["--map-root-user", "--mount"];
    let mut probe = Command::new("unshare");
    probe.args(own_mounts).args(["mount", "-t", "tmpfs", "x", "/mnt"]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        println!("skipped: this user may not mount a disk of its own");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(own_mounts).args(["sh", "-c", script, "sh"]).arg(home.path());
    let output = command.arg(env!("CARGO_BIN_EXE_hobnob")).output().unwrap();
    let log = std::fs::read_to_string(home.path().join("log")).unwrap_or_default();
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}{log}", String::from_utf8_lossy(&told));
}
