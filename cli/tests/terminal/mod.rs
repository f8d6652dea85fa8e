//! A terminal emulator, as far as screens need one: the texts that they put at places, and the keys that they are sent.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Longer than an end should take on a busy machine; only that it comes is asserted.
const END_WITHIN: Duration = Duration::from_secs(60);
/// What a program writes to give the screen of before back.
pub(crate) const RESTORED: &str = "\u{1b}[?1049l";
const ROWS: usize = 40;
const COLUMNS: usize = 120;

/// The two sides of a pseudo terminal: the one that a terminal emulator holds, and the one for programs.
fn terminal() -> (File, File) {
    let emulator: OwnedFd =
        openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&emulator).unwrap();
    unlockpt(&emulator).unwrap();
    let name = ptsname(&emulator, Vec::new()).unwrap();
    let path = Path::new(OsStr::from_bytes(name.as_bytes()));
    let mut options = OpenOptions::new();
    options.custom_flags(OpenptFlags::NOCTTY.bits() as i32);
    (emulator.into(), options.read(true).write(true).open(path).unwrap())
}

/// Runs a command on a terminal.
pub(crate) fn run(command: Command) -> (Child, Emulator) {
    run_within(command, COLUMNS)
}

/// Runs a command on a terminal of this width. Its variables win over those that are set here.
pub(crate) fn run_within(mut command: Command, columns: usize) -> (Child, Emulator) {
    let (emulator, program) = terminal();
    let [stdin, stdout] = [(); 2].map(|()| program.try_clone().unwrap());
    let mut size = Command::new("stty");
    size.args(["rows", &ROWS.to_string(), "cols", &columns.to_string()]);
    assert!(size.stdin(program.try_clone().unwrap()).status().unwrap().success());
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm");
    }
    let child = command.stdin(stdin).stdout(stdout).stderr(program).spawn().unwrap();
    (child, Emulator::new(emulator))
}

/// The end of a command. Kills it if it does not end.
pub(crate) fn end_of(mut child: Child) -> ExitStatus {
    let pid = Pid::from_child(&child);
    let (ended, end) = mpsc::channel();
    thread::spawn(move || ended.send(child.wait().unwrap()));
    end.recv_timeout(END_WITHIN).unwrap_or_else(|_| {
        kill_process(pid, Signal::KILL).unwrap();
        panic!("it outlived its terminal");
    })
}

/// The side of a terminal that shows what is printed, and sends keys.
pub(crate) struct Emulator {
    terminal: File,
    /// Everything that was printed.
    printed: String,
    /// Bytes that are no whole character yet.
    partial: Vec<u8>,
    /// The bytes of `printed` that are on the screen.
    drawn: usize,
    screen: Vec<Vec<char>>,
    at: (usize, usize),
}

impl Emulator {
    fn new(terminal: File) -> Self {
        let screen = vec![vec![' '; COLUMNS]; ROWS];
        Self { terminal, printed: String::new(), partial: vec![], drawn: 0, screen, at: (0, 0) }
    }

    /// Reads until one of these texts is on the screen, and returns it. Fails when the command has ended.
    pub(crate) fn read_until<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        loop {
            let shown = self.shown();
            if let Some(text) = texts.iter().find(|text| shown.contains(**text)) {
                return text;
            }
            let mut bytes = [0; 4_096];
            let read = self.terminal.read(&mut bytes);
            let read = read.unwrap_or_else(|_| panic!("it ended without {texts:?}: {shown}"));
            self.take(&bytes[..read]);
        }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.terminal.write_all(keys.as_bytes()).unwrap();
    }

    /// Everything that was printed until the command has ended.
    pub(crate) fn rest(mut self) -> String {
        let mut bytes = vec![];
        // Reading a terminal without a program ends with an error.
        let _ = self.terminal.read_to_end(&mut bytes);
        self.take(&bytes);
        self.printed
    }

    fn shown(&self) -> String {
        let lines = self.screen.iter().map(|line| line.iter().collect::<String>());
        lines.collect::<Vec<_>>().join("\n")
    }

    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let whole = match str::from_utf8(&self.partial) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.partial.split_off(whole);
        self.printed += &String::from_utf8_lossy(&self.partial);
        self.partial = rest;
        while self.draw_next() {}
    }

    /// Draws the next character or sequence. Returns whether there was a whole one.
    fn draw_next(&mut self) -> bool {
        let text = &self.printed[self.drawn..];
        let Some(sign) = text.chars().next() else { return false };
        let (row, column) = self.at;
        let mut taken = sign.len_utf8();
        match sign {
            '\u{1b}' => {
                let Some(body) = text.strip_prefix("\u{1b}[") else {
                    // No other sequence is written, and one that begins may still come.
                    return text.len() > 1 && {
                        self.drawn += 1;
                        true
                    };
                };
                let Some(end) = body.find(|sign| matches!(sign, '@'..='~')) else { return false };
                taken += 1 + end + 1;
                let (numbers, kind) = (&body[..end], &body[end..=end]);
                match kind {
                    "H" => {
                        let place = |text: &str| text.parse::<usize>().unwrap_or(1) - 1;
                        let (row, column) = numbers.split_once(';').unwrap_or((numbers, "1"));
                        self.at = (place(row), place(column));
                    }
                    "J" => self.screen.iter_mut().for_each(|line| line.fill(' ')),
                    _ => {}
                }
            }
            '\r' => self.at.1 = 0,
            '\n' => self.at.0 = (row + 1).min(ROWS - 1),
            sign => {
                if let Some(cell) = self.screen.get_mut(row).and_then(|line| line.get_mut(column)) {
                    *cell = sign;
                }
                self.at.1 += 1;
            }
        }
        self.drawn += taken;
        true
    }
}
