//! A line that must move: bytes that nobody takes end the connection, at the latest after a minute and some.
//!
//! Every second that a line keeps the server waiting is owed; every KiB that went pays a second back. So a reader that takes
//! nothing, or a byte a second, is gone after [`STALL_MAX`], and a phone on a slow line is not. A line for which the server
//! has nothing owes nothing. What waits for such a reader meanwhile is one frame at most, whatever it is behind.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::STALL_MAX;

/// Bytes that pay a second back. The slowest mobile line gives four times as much.
const BYTES_PER_SECOND_MIN: u32 = 1024;

/// See the module.
pub struct Line<S> {
    inner: S,
    owed: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

impl<S> Line<S> {
    /// Watches a line.
    pub fn new(inner: S) -> Self {
        Self { inner, owed: Duration::ZERO, waiting: None }
    }

    fn moved(&mut self, bytes: usize) {
        if let Some(waiting) = self.waiting.take() {
            self.owed += waiting.since.elapsed();
        }
        let paid = Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / BYTES_PER_SECOND_MIN;
        self.owed = self.owed.saturating_sub(paid);
    }

    fn stalled(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let left = STALL_MAX.saturating_sub(self.owed);
        let waiting = self.waiting.get_or_insert_with(|| {
            let since = Instant::now();
            Waiting { since, end: Box::pin(sleep_until(since + left)) }
        });
        ready!(waiting.end.as_mut().poll(context));
        Poll::Ready(io::Error::new(ErrorKind::TimedOut, "nobody takes what is sent"))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(context, bytes) {
            Poll::Ready(written) => {
                self.moved(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => self.stalled(context).map(Err),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(context) {
            Poll::Ready(flushed) => {
                self.moved(0);
                Poll::Ready(flushed)
            }
            Poll::Pending => self.stalled(context).map(Err),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.stalled(context).map(Err),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write_vectored(context, parts) {
            Poll::Ready(written) => {
                self.moved(*written.as_ref().unwrap_or(&0));
                Poll::Ready(written)
            }
            Poll::Pending => self.stalled(context).map(Err),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// Sends 1 MiB to somebody who takes `bytes` every `pause`; says after how long, and how it ended.
    async fn send_to(bytes: usize, pause: Duration) -> (Duration, io::Result<()>) {
        let (server, mut phone) = duplex(4096);
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            loop {
                tokio::time::sleep(pause).await;
                if bytes > 0 && phone.read_exact(&mut buffer).await.is_err() {
                    return;
                }
            }
        });
        let (begun, mut line) = (Instant::now(), Line::new(server));
        let sent = line.write_all(&vec![7; 1024 * 1024]).await;
        reading.abort();
        (begun.elapsed(), sent)
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_or_a_byte_a_second_is_gone_after_a_minute_and_a_slow_one_is_not() {
        for bytes in [0, 1] {
            let (after, sent) = send_to(bytes, Duration::from_secs(1)).await;
            assert_eq!(sent.unwrap_err().kind(), ErrorKind::TimedOut, "{bytes} bytes a second");
            assert!(after >= STALL_MAX && after < STALL_MAX * 2, "{bytes} bytes a second: {after:?}");
        }
        let (after, sent) = send_to(2048, Duration::from_secs(1)).await;
        sent.unwrap();
        assert!(after > STALL_MAX * 2, "it took {after:?}, slow but honest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_for_which_there_is_nothing_lives_on() {
        let (server, mut phone) = duplex(4096);
        let mut line = Line::new(server);
        for _ in 0..3 {
            tokio::time::sleep(STALL_MAX * 3).await;
            line.write_all(b"ping").await.unwrap();
            let mut got = [0; 4];
            phone.read_exact(&mut got).await.unwrap();
        }
    }
}
