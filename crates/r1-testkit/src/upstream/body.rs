//! A script being played: steps in, body bytes out.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::{Stream, stream};
use http_body::Frame;
use r1_domain::time::{Clock, SystemClock};
use tokio::time::Instant;

use super::{
    Shared,
    connection::Fate,
    script::{PacedMark, Step},
    wire,
};

/// How much of a flood is made at once.
const FLOOD_BLOCK: u64 = 64 * 1024;
/// What the upstream claims to have read.
const PROMPT_TOKENS: u64 = 11;

/// One answer under way.
pub(super) struct Playing {
    pub(super) shared: Arc<Shared>,
    pub(super) fate: Fate,
    pub(super) model: String,
    pub(super) steps: VecDeque<Step>,
    /// Chunks sent so far.
    pub(super) chunks: u64,
    /// Where the step of kind `Paced` at the front has come to, and since when it runs.
    pub(super) pace: Option<(u64, Instant)>,
    /// Nothing is left to say.
    pub(super) finished: bool,
}

impl Playing {
    pub(super) fn into_body(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        stream::unfold(self, |mut playing| async move {
            let bytes = playing.next().await?;
            Some((Ok(Frame::data(bytes)), playing))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let Some(step) = self.steps.pop_front() else {
                self.finished = true;
                return None;
            };
            return Some(match step {
                Step::Role => wire::frame(&wire::role(&self.model)),
                Step::Chunk(text) => {
                    self.chunks += 1;
                    wire::frame(&wire::chunk(&self.model, &text))
                }
                // hyper takes an empty frame for the end of what is ready, not of the body.
                Step::Raw(bytes) if bytes.is_empty() => continue,
                Step::Raw(bytes) => bytes,
                Step::Flood { length: 0, .. } => continue,
                Step::Flood { byte, length } => {
                    let block = length.min(FLOOD_BLOCK);
                    self.steps.push_front(Step::Flood { byte, length: length - block });
                    Bytes::from(vec![byte; usize::try_from(block).unwrap_or_default()])
                }
                Step::Paced { count, every } => {
                    let (index, since) = self.pace.take().unwrap_or_else(|| (0, Instant::now()));
                    if index == count {
                        continue;
                    }
                    if !every.is_zero() {
                        tokio::time::sleep_until(since + every.mul_f64(index as f64)).await;
                    }
                    self.pace = Some((index + 1, since));
                    self.steps.push_front(Step::Paced { count, every });
                    self.chunks += 1;
                    let mark = PacedMark { index, sent_at: SystemClock.now().as_micros() };
                    wire::frame(&wire::chunk(&self.model, &mark.text()))
                }
                Step::Pause(duration) => {
                    tokio::time::sleep(duration).await;
                    continue;
                }
                Step::WaitFor(name) => {
                    let gate = self.shared.gate(&name);
                    gate.arrive();
                    gate.opened().await;
                    continue;
                }
                Step::Finish(reason) => wire::frame(&wire::finish(&self.model, &reason)),
                Step::Usage => wire::frame(&wire::usage(&self.model, PROMPT_TOKENS, self.chunks)),
                Step::Done => Bytes::from_static(b"data: [DONE]\n\n"),
                Step::Close => {
                    self.finished = true;
                    return None;
                }
                Step::Cut => {
                    self.finished = true;
                    self.fate.cut();
                    std::future::pending().await
                }
                Step::Reset => {
                    self.finished = true;
                    self.fate.reset();
                    std::future::pending().await
                }
                Step::Hang => std::future::pending().await,
            });
        }
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        if !self.finished {
            self.shared.count(|counters| counters.answers_abandoned += 1);
        }
    }
}
