//! Processor time and memory of a process, as Linux reports them.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::io::Errno;

use super::ProcessError;

/// The unit of times in `/proc/PID/stat`: `USER_HZ` is 100 wherever Linux runs today.
const TICK: Duration = Duration::from_millis(10);

/// The resources that a process has used since its start, and holds now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time of all its threads.
    pub(crate) cpu: Duration,
    /// Resident memory, including shared pages of its binary.
    pub(crate) resident_bytes: u64,
    /// The number of times that its threads went to sleep, and so were woken.
    pub(super) wakeups: u64,
}

impl Usage {
    /// Reads the usage of a process.
    pub(crate) fn of(pid: u32) -> Result<Self, ProcessError> {
        read(pid).map_err(|cause| ProcessError::Usage { pid, cause })
    }
}

fn read(pid: u32) -> io::Result<Usage> {
    let mut wakeups = 0;
    for status in of_threads(pid, "status")? {
        wakeups += field(&status, "voluntary_ctxt_switches:")?;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let resident_kib = field(&fs::read_to_string(format!("/proc/{pid}/status"))?, "VmRSS:")?;
    Ok(Usage { cpu: cpu(&stat)?, resident_bytes: resident_kib * 1024, wakeups })
}

/// The text of this file in `/proc/PID/task/ID` of each thread of a process. A thread that ends meanwhile has none.
pub(crate) fn of_threads(pid: u32, file: &str) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        match fs::read_to_string(thread?.path().join(file)) {
            Ok(text) => texts.push(text),
            Err(error) if is_of_the_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(texts)
}

/// Whether a file in `/proc` is that of a thread that has ended: it is not there, or it was opened before and cannot be read any more.
fn is_of_the_ended(error: &io::Error) -> bool {
    let cannot_be_read = error.raw_os_error() == Some(Errno::SRCH.raw_os_error());
    error.kind() == io::ErrorKind::NotFound || cannot_be_read
}

/// Fields 14 and 15 of the line. Field 2, a name in parentheses, may contain spaces.
fn cpu(stat: &str) -> io::Result<Duration> {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: Vec<u32> = ticks.collect::<Result<_, _>>().map_err(io::Error::other)?;
    match ticks[..] {
        [user, system] => Ok(TICK * (user + system)),
        _ => Err(io::Error::other("no processor times in /proc/PID/stat")),
    }
}

fn field(status: &str, name: &str) -> io::Result<u64> {
    let mut rests = status.lines().filter_map(|line| line.strip_prefix(name));
    let number = rests.next().and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} in /proc/PID/status")))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rustix::thread::gettid;

    use super::*;

    #[test]
    fn times_follow_a_name_of_any_kind() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 3 0 55";
        assert_eq!(cpu(stat).unwrap(), Duration::from_millis(420));
        assert!(cpu("7 (a").is_err());
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let status = "Name:\tx\nVmRSS:\t    8124 kB\nThreads:\t3\n";
        assert_eq!(field(status, "VmRSS:").unwrap(), 8124);
        assert!(field(status, "Rss:").is_err());
    }

    #[test]
    fn a_thread_that_ends_while_it_is_looked_at_is_no_failure() {
        let (is_there, there) = channel();
        let (end, ended) = channel::<()>();
        let thread = std::thread::spawn(move || {
            is_there.send(gettid()).expect("somebody waits");
            // It is told by the end of the channel.
            let _ = ended.recv();
        });
        let id = there.recv().expect("a thread").as_raw_nonzero();
        let path = format!("/proc/self/task/{id}/status");
        let mut opened = fs::File::open(&path).expect("a file of a living thread");
        drop(end);
        thread.join().expect("no panic");
        // The kernel may take a moment to end a thread that was waited for.
        while fs::exists(&path).expect("an answer") {
            std::thread::yield_now();
        }
        let read = io::read_to_string(&mut opened).expect_err("the file of an ended thread");
        assert!(is_of_the_ended(&read), "{read}");
        let open = fs::File::open(&path).expect_err("the file of an ended thread");
        assert!(is_of_the_ended(&open), "{open}");
    }

    #[test]
    fn this_process_can_be_read() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
    }
}
