//! Bodies of requests, which may have to be sent twice.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Duration, Instant};

type BoxError = Box<dyn Error + Send + Sync>;
/// The error of a source, for the instance and for the caller.
pub(super) type SourceError = Arc<dyn Error + Send + Sync>;
type Source = Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>;

/// The body of a request.
///
/// One of bytes can be sent again. A streaming one is kept as it is sent, up to
/// [`CallConfig::replay_bytes`](super::CallConfig::replay_bytes), and can be sent again while no more than that is gone.
pub struct Body(Kind);

enum Kind {
    Bytes(Bytes),
    Stream(Source),
}

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(Kind::Bytes(Bytes::new()))
    }

    /// A body that comes piece by piece.
    pub fn stream<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Kind::Stream(Box::pin(Mapped(Box::pin(body)))))
    }

    pub(super) fn into_replay(self, keep: usize) -> Replay {
        match self.0 {
            Kind::Bytes(bytes) => Replay::Bytes(bytes),
            Kind::Stream(source) => {
                let size = source.size_hint();
                let kept = Kept { source: Some(source), frames: Vec::new(), left: keep, owner: 0 };
                Replay::Stream(Arc::new(Stream {
                    size,
                    kept: Mutex::new(Some(kept)),
                    begun: Instant::now(),
                    moved_us: AtomicU64::new(0),
                    is_awaited: AtomicBool::new(false),
                    error: OnceLock::new(),
                }))
            }
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            Kind::Stream(_) => f.write_str("Body(stream)"),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

/// A body with its errors in a box.
struct Mapped<B>(Pin<Box<B>>);

impl<B> HttpBody for Mapped<B>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.as_mut().poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A body from which the body of each try is made.
pub(super) enum Replay {
    Bytes(Bytes),
    Stream(Arc<Stream>),
}

pub(super) struct Stream {
    size: SizeHint,
    /// Absent once more was sent than is kept and the rest belongs to one try alone.
    kept: Mutex<Option<Kept>>,
    begun: Instant,
    /// When the last piece was sent, in microseconds since it began.
    moved_us: AtomicU64,
    /// Whether the try that sends it waits for the next piece from its source.
    is_awaited: AtomicBool,
    error: OnceLock<SourceError>,
}

struct Kept {
    source: Option<Source>,
    frames: Vec<Bytes>,
    /// The bytes that may still be kept.
    left: usize,
    /// The number of the try that may read on.
    owner: u32,
}

impl Replay {
    /// Whether all of it can still be sent.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Stream(stream) => stream.lock().is_some(),
        }
    }

    /// Takes it back from the try that sends it, so that no piece is lost until the next one. Returns whether all of it can still
    /// be sent.
    pub(super) fn take_back(&self) -> bool {
        match self {
            Self::Bytes(_) => true,
            Self::Stream(stream) => stream.lock().as_mut().map(|kept| kept.owner += 1).is_some(),
        }
    }

    /// The stream, if it comes piece by piece.
    pub(super) fn stream(&self) -> Option<&Arc<Stream>> {
        match self {
            Self::Bytes(_) => None,
            Self::Stream(stream) => Some(stream),
        }
    }

    /// Whether the instance would take more, and the source has not given it yet.
    pub(super) fn is_awaited(&self) -> bool {
        self.stream().is_some_and(|stream| stream.is_awaited.load(Relaxed))
    }

    /// The error of its source.
    pub(super) fn error(&self) -> Option<SourceError> {
        self.stream()?.error.get().cloned()
    }

    /// Whether two tries can send it at the same time.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Bytes(_))
    }

    /// When the last piece of it was sent, if it comes piece by piece.
    pub(super) fn moved_at(&self) -> Option<Instant> {
        let stream = self.stream()?;
        Some(stream.begun + Duration::from_micros(stream.moved_us.load(Relaxed)))
    }

    /// The body of the next try. Those of earlier tries end with an error.
    pub(super) fn next_try(&self) -> SentBody {
        match self {
            Self::Bytes(bytes) => SentBody::Bytes(Some(bytes.clone()).filter(|b| !b.is_empty())),
            Self::Stream(stream) => {
                let mut kept = stream.lock();
                let owner = kept.as_mut().map_or(0, |kept| {
                    kept.owner += 1;
                    kept.owner
                });
                drop(kept);
                stream.is_awaited.store(false, Relaxed);
                SentBody::Stream { stream: stream.clone(), owner, position: 0, rest: None, sent: 0 }
            }
        }
    }
}

impl Stream {
    /// Another piece is sent.
    fn moves(&self) {
        let micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.moved_us.store(micros, Relaxed);
    }

    /// The next piece from the source.
    fn poll_source(&self, source: &mut Source, cx: &mut Context<'_>) -> Polled {
        let polled = source.as_mut().poll_frame(cx);
        self.is_awaited.store(polled.is_pending(), Relaxed);
        polled.map_err(|error| {
            let error = SourceError::from(error);
            self.error.get_or_init(|| error.clone());
            error.into()
        })
    }

    /// Whether its source broke.
    pub(super) fn is_broken(&self) -> bool {
        self.error.get().is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of one try.
pub(super) enum SentBody {
    Bytes(Option<Bytes>),
    Stream {
        stream: Arc<Stream>,
        owner: u32,
        position: usize,
        /// The source, once it can be read once only.
        rest: Option<Source>,
        /// The bytes that were sent.
        sent: u64,
    },
}

/// Another try sends the body now.
#[derive(Debug, thiserror::Error)]
#[error("another try sends the body")]
struct Superseded;

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl HttpBody for SentBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut *self {
            Self::Bytes(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream { stream, owner, position, rest, sent } => {
                let polled = match rest {
                    Some(source) => stream.poll_source(source, cx),
                    None => poll_kept(stream, *owner, position, rest, cx),
                };
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    stream.moves();
                    *sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Bytes(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Stream { stream, sent, .. } => match stream.size.exact() {
                Some(all) => SizeHint::with_exact(all.saturating_sub(*sent)),
                None => SizeHint::default(),
            },
        }
    }
}

/// The next frame of what is kept, else of the source, which is kept as far as there is room.
fn poll_kept(
    stream: &Stream,
    owner: u32,
    position: &mut usize,
    rest: &mut Option<Source>,
    cx: &mut Context<'_>,
) -> Polled {
    let mut place = stream.lock();
    let Some(kept) = place.as_mut().filter(|kept| kept.owner == owner) else {
        return Poll::Ready(Some(Err(Superseded.into())));
    };
    if let Some(frame) = kept.frames.get(*position) {
        *position += 1;
        return Poll::Ready(Some(Ok(Frame::data(frame.clone()))));
    }
    let Some(source) = &mut kept.source else { return Poll::Ready(None) };
    let polled = stream.poll_source(source, cx);
    match &polled {
        Poll::Ready(Some(Ok(frame))) => match frame.data_ref() {
            Some(data) if data.len() <= kept.left => {
                kept.left -= data.len();
                kept.frames.push(data.clone());
                *position += 1;
            }
            // Too long to be kept, or trailers, which are not: no other try can send it.
            _ => *rest = place.take().and_then(|kept| kept.source),
        },
        Poll::Ready(None) => kept.source = None,
        // The source is broken for good.
        Poll::Ready(Some(Err(_))) => *place = None,
        Poll::Pending => {}
    }
    polled
}

impl fmt::Debug for SentBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt;

    use super::*;

    /// A body of these pieces, of a known length.
    struct Pieces(VecDeque<&'static str>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Polled {
            Poll::Ready(self.0.pop_front().map(|piece| match piece {
                "broken" => Err("it is broken".into()),
                piece => Ok(Frame::data(Bytes::from(piece))),
            }))
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
        }
    }

    fn replay(pieces: &[&'static str], keep: usize) -> Replay {
        Body::stream(Pieces(pieces.iter().copied().collect())).into_replay(keep)
    }

    async fn text(body: SentBody) -> Result<String, String> {
        match body.collect().await {
            Ok(all) => Ok(String::from_utf8_lossy(&all.to_bytes()).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn a_stream_that_fits_is_sent_as_often_as_it_must() {
        let replay = replay(&["he", "ll", "o"], 5);
        let mut cut = replay.next_try();
        assert_eq!(cut.size_hint().exact(), Some(5));
        cut.frame().await.expect("a frame").expect("no error");
        assert_eq!(cut.size_hint().exact(), Some(3));
        let again = replay.next_try();
        assert!(text(cut).await.is_err(), "another try reads on");
        assert_eq!(again.size_hint().exact(), Some(5));
        assert_eq!(text(again).await.as_deref(), Ok("hello"));
        assert_eq!(text(replay.next_try()).await.as_deref(), Ok("hello"));
        assert!(replay.is_whole());
    }

    #[tokio::test]
    async fn a_stream_of_which_more_is_gone_than_is_kept_is_sent_once() {
        let replay = replay(&["he", "ll", "o"], 3);
        let mut body = replay.next_try();
        body.frame().await.expect("a frame").expect("no error");
        assert!(replay.is_whole());
        assert_eq!(text(body).await.as_deref(), Ok("llo"));
        assert!(!replay.is_whole());
        assert!(text(replay.next_try()).await.is_err());
    }

    #[tokio::test]
    async fn a_stream_that_is_taken_back_loses_nothing_to_the_try_before() {
        let replay = replay(&["he", "llo"], 2);
        let mut before = replay.next_try();
        before.frame().await.expect("a frame").expect("no error");
        assert!(replay.take_back());
        assert!(text(before).await.is_err(), "it would take what is not kept");
        assert_eq!(text(replay.next_try()).await.as_deref(), Ok("hello"));
        assert!(!replay.take_back(), "more is gone than is kept");
    }

    #[tokio::test]
    async fn a_source_that_breaks_cannot_be_sent_again() {
        let replay = replay(&["he", "broken"], 100);
        assert_eq!(text(replay.next_try()).await, Err("it is broken".to_owned()));
        assert!(!replay.is_whole());
        assert_eq!(replay.error().map(|error| error.to_string()).as_deref(), Some("it is broken"));
    }

    #[tokio::test]
    async fn bytes_are_always_whole() {
        for body in [Body::from("hello"), Body::from("hello".to_owned()), b"hello".to_vec().into()]
        {
            let replay = body.into_replay(0);
            for _ in 0..2 {
                assert_eq!(text(replay.next_try()).await.as_deref(), Ok("hello"));
            }
            assert!(replay.is_whole() && replay.is_shared());
        }
        assert!(Body::empty().into_replay(0).next_try().is_end_stream());
    }
}
