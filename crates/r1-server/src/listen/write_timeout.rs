//! A connection whose writes may not wait for ever: a client that reads nothing is closed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// Gives up on a write that makes no progress for a while, however often it is tried. The timer is
/// only armed while a write waits: a client that keeps up costs nothing.
///
/// Progress is any byte that the stream takes. A socket takes none until its client has made room for
/// many at once, so one that reads a byte now and then makes none.
pub(crate) struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    give_up: fn(&S),
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    /// `give_up` is called before the write fails.
    pub(crate) fn new(stream: S, limit: Duration, give_up: fn(&S)) -> Self {
        Self { stream, limit, give_up, waiting: None }
    }

    fn watch<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let timer = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(timer.as_mut().poll(context));
        (self.give_up)(&self.stream);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (ours, theirs) = tokio::io::duplex(16);
        let mut writer = WriteTimeout::new(ours, Duration::from_secs(30), |_| {});
        let started = Instant::now();
        let error = writer.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), Duration::from_secs(30));
        drop(theirs);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut writer = WriteTimeout::new(ours, Duration::from_secs(30), |_| {});
        let reading = async {
            let mut got = 0;
            while got < 64 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                got += tokio::io::AsyncReadExt::read(&mut theirs, &mut [0; 16]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(writer.write_all(&[0; 64]), reading);
        written.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn trying_again_gains_no_time() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut writer = WriteTimeout::new(ours, Duration::from_secs(30), |_| {});
        writer.write_all(&[0; 16]).await.unwrap();
        let started = Instant::now();
        // As a connection does whenever there is one more chunk.
        for _ in 0..4 {
            assert!(tokio::time::timeout(Duration::from_secs(7), writer.write(&[0])).await.is_err());
        }
        let written = tokio::time::timeout(Duration::from_secs(7), writer.write(&[0])).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_between_two_writes_is_not_counted() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut writer = WriteTimeout::new(ours, Duration::from_secs(30), |_| {});
        for _ in 0..3 {
            let (written, read) = tokio::join!(writer.write_all(&[0; 32]), async {
                tokio::time::sleep(Duration::from_secs(29)).await;
                tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut [0; 32]).await
            });
            written.unwrap();
            read.unwrap();
            tokio::time::sleep(Duration::from_secs(100)).await;
        }
    }

    /// Takes nothing and never ends.
    struct Stuck;

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncRead for Stuck {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn flush_and_shutdown_do_not_wait_for_ever() {
        let limit = Duration::from_secs(30);
        let error = WriteTimeout::new(Stuck, limit, |_| {}).flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = WriteTimeout::new(Stuck, limit, |_| {}).shutdown().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error =
            WriteTimeout::new(Stuck, limit, |_| {}).write_vectored(&[io::IoSlice::new(&[0])]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
