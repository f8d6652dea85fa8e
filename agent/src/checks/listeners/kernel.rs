//! The kernel as the watch asks it, with what happens when it refuses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;
use std::time::{Duration, Instant};

use super::diag::{Diag, OpenError};
use super::route::Routes;

/// The time from one attempt to open a socket to the next.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The questions of the watch. An answer is `None` where the kernel does not say.
pub(super) trait Kernel {
    /// Whether somebody listens at each address.
    fn listening(&mut self, addresses: &[SocketAddr]) -> Vec<Option<bool>>;

    /// Whether each address is one of this network namespace.
    fn are_local(&mut self, ips: &[IpAddr]) -> Vec<Option<bool>>;
}

/// The kernel of this host.
#[derive(Default)]
pub(super) struct HostKernel {
    diag: Source<Diag>,
    routes: Source<Routes>,
}

/// A socket to the kernel.
enum Source<T> {
    Open(T),
    Closed {
        retry_at: Option<Instant>,
    },
    /// The kernel refuses, now and later.
    Denied,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self::Closed { retry_at: None }
    }
}

impl<T> Source<T> {
    /// The open socket. A closed one is opened when it is time for that.
    fn open(&mut self, open: impl FnOnce() -> Result<T, OpenError>) -> Option<&mut T> {
        let now = Instant::now();
        if let Self::Closed { retry_at } = self
            && retry_at.is_none_or(|at| at <= now)
        {
            *self = match open() {
                Ok(source) => Self::Open(source),
                Err(OpenError::Denied(error)) => {
                    warn_denied(&error);
                    Self::Denied
                }
                Err(OpenError::Failed(error)) => {
                    tracing::debug!(%error, "the kernel cannot be asked for listeners now");
                    Self::Closed { retry_at: Some(now + RETRY_EVERY) }
                }
            };
        }
        match self {
            Self::Open(source) => Some(source),
            Self::Closed { .. } | Self::Denied => None,
        }
    }

    /// The answers of an open socket. One that does not work is closed.
    fn answers(
        &mut self,
        count: usize,
        answers: io::Result<Vec<Option<bool>>>,
    ) -> Vec<Option<bool>> {
        answers.unwrap_or_else(|error| {
            tracing::debug!(%error, "the kernel cannot be asked for listeners now");
            *self = Self::Closed { retry_at: Some(Instant::now() + RETRY_EVERY) };
            vec![None; count]
        })
    }
}

/// Tells once in the life of a process that the kernel refuses.
fn warn_denied(error: &io::Error) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            %error,
            "the kernel does not tell this agent who listens: a local service that dies is noticed by its next check, and not \
             within 100 ms. Allow netlink sockets to the agent (AF_NETLINK in RestrictAddressFamilies= of systemd), or start \
             it with --no-listener-watch"
        );
    });
}

impl Kernel for HostKernel {
    fn listening(&mut self, addresses: &[SocketAddr]) -> Vec<Option<bool>> {
        let Some(diag) = self.diag.open(Diag::open) else { return vec![None; addresses.len()] };
        let answers = diag.listening(addresses);
        self.diag.answers(addresses.len(), answers)
    }

    fn are_local(&mut self, ips: &[IpAddr]) -> Vec<Option<bool>> {
        let Some(routes) = self.routes.open(|| Routes::open().map_err(OpenError::of)) else {
            // Without the kernel's word, this much is known.
            return ips.iter().map(|ip| ip.is_loopback().then_some(true)).collect();
        };
        let answers = routes.are_local(ips);
        self.routes.answers(ips.len(), answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_tried_again_and_a_refusal_is_not() {
        let mut source = Source::<u8>::default();
        let shortage = || Err(OpenError::Failed(io::ErrorKind::OutOfMemory.into()));
        assert_eq!(source.open(shortage), None);
        assert_eq!(source.open(|| Ok(1)), None, "not so soon");
        source = Source::Closed { retry_at: Some(Instant::now()) };
        assert_eq!(source.open(|| Ok(1)), Some(&mut 1));
        assert_eq!(source.answers(1, Ok(vec![Some(true)])), [Some(true)]);
        assert_eq!(source.answers(2, Err(io::ErrorKind::Other.into())), [None, None]);
        assert_eq!(source.open(|| Ok(2)), None, "it was closed");

        source = Source::default();
        let denied = || Err(OpenError::Denied(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(source.open(denied), None);
        assert!(matches!(source, Source::Denied));
    }
}
