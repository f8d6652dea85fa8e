//! The floor: a tokio server on a unix socket that knows the sizes of frames and nothing else.
//!
//! The *bare* echo reads a request and writes an answer, again and again. The *batching* echo answers all requests of a
//! read by one write, which is the least that a server can do for calls that are pipelined.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// As much as an agent reads at once.
const READ_BYTES: usize = 8 << 10;

/// The settings of an echo.
#[derive(Clone, Copy, Debug)]
pub struct EchoSetting {
    /// Bytes of a request.
    pub request_bytes: usize,
    /// Whether all requests of a read are answered by one write.
    pub batching: bool,
}

/// Why there is no echo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EchoError {
    /// The file with the answer cannot be read.
    #[error("cannot read the answer to give, {}: {cause}", path.display())]
    Reply {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The server failed.
    #[error("cannot serve {}: {cause}", path.display())]
    Serve {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
}

/// Answers every request with the content of the file `reply`, until the process ends.
///
/// # Errors
/// [`EchoError`].
pub fn serve(socket: &Path, setting: EchoSetting, reply: &Path) -> Result<(), EchoError> {
    let answer =
        std::fs::read(reply).map_err(|cause| EchoError::Reply { path: reply.to_owned(), cause })?;
    let answer: &'static [u8] = answer.leak();
    let failed = |cause| EchoError::Serve { path: socket.to_owned(), cause };
    // The same kind of runtime as the agent's.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let served: io::Result<()> = runtime.block_on(async {
        let listener = UnixListener::bind(socket)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection that fails is one that the client closed.
            let EchoSetting { request_bytes, batching } = setting;
            tokio::spawn(async move {
                drop(match batching {
                    true => batch_by_batch(stream, request_bytes, answer).await,
                    false => one_by_one(stream, request_bytes, answer).await,
                });
            });
        }
    });
    served.map_err(failed)
}

async fn one_by_one(mut stream: UnixStream, request_bytes: usize, answer: &[u8]) -> io::Result<()> {
    let mut request = vec![0; request_bytes];
    loop {
        stream.read_exact(&mut request).await?;
        stream.write_all(answer).await?;
    }
}

async fn batch_by_batch(
    mut stream: UnixStream,
    request_bytes: usize,
    answer: &[u8],
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut answers = Vec::new();
    let mut waiting = 0;
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        waiting += read;
        answers.clear();
        for _ in 0..waiting / request_bytes {
            answers.extend_from_slice(answer);
        }
        waiting %= request_bytes;
        stream.write_all(&answers).await?;
    }
}
