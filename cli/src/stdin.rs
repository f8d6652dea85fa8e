//! The end of the standard input: the sign that the program that started this one is gone.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::exit::Exit;
use crate::logging;

/// The time that this process has to end after its standard input has. It ends then, whatever it is doing.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Reads the standard input on a thread of its own, and drops what it reads. The receiver is told of its end.
///
/// # Errors
/// The system has no thread to give.
pub(crate) fn end_of_stdin() -> io::Result<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        // Ignore the error: where there is nothing to read, nobody holds the other end.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // Ignore the error: a receiver that is gone belongs to a process that ends already.
        let _ = ended.send(());
        thread::sleep(END_WITHIN);
        logging::line_to_stderr("error: the process did not end within 5 s of the end of its standard input, so it ends now");
        logging::finish();
        process::exit(Exit::Failed as i32);
    })?;
    Ok(end)
}
