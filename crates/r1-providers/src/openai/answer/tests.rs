use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;
use r1_domain::provider::ProviderErrorCode as Code;
use tokio::task::JoinSet;

use super::*;

mod any_answer;
mod wire;

/// As a provider sent it, with most of what can be in a stream.
const RECORDED: &str = concat!(
    "\u{feff}: OPENROUTER PROCESSING\r\n\r\n",
    "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\r\n\r\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Grüße, \"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "event: message\ndata:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"🌍\\n\"},\"finish_reason\":null}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":null,\"reasoning_content\":\"hm\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"two lines\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\r",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n",
    "data: [DONE]\n\n",
);

fn answerer() -> Answerer {
    Answerer {
        name: "p".into(),
        health: Some(Arc::default()),
        fits: Arc::default(),
        model: "m".into(),
        redactor: Arc::default(),
    }
}

fn answer(pieces: Vec<Vec<u8>>) -> Answer<impl Body<Data = Bytes, Error = Infallible> + Unpin> {
    let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    Answer::new(answerer(), StreamBody::new(stream::iter(frames)), None, Duration::from_secs(60))
}

async fn items(pieces: Vec<Vec<u8>>) -> Vec<Item> {
    answer(pieces).collect().await
}

async fn of(body: &str) -> (String, Item) {
    split(items(vec![body.as_bytes().to_vec()]).await)
}

/// All that came of an answer.
struct Heard {
    text: String,
    reasoning: String,
    skipped: Skipped,
    last: Item,
}

impl Heard {
    fn of(mut items: Vec<Item>) -> Self {
        let last = items.pop().unwrap();
        let (mut text, mut reasoning, mut skipped) = (String::new(), String::new(), None);
        for item in items {
            assert_eq!(skipped, None, "only the end comes behind what was skipped");
            match item.unwrap() {
                Delta::Text { text: more, .. } if !more.is_empty() => text.push_str(&more),
                Delta::Reasoning(more) if !more.is_empty() => reasoning.push_str(&more),
                Delta::Skipped(some) => skipped = Some(some),
                other => panic!("{other:?} is not the last item"),
            }
        }
        Self { text, reasoning, skipped: skipped.unwrap_or_default(), last }
    }
}

fn split(items: Vec<Item>) -> (String, Item) {
    let heard = Heard::of(items);
    (heard.text, heard.last)
}

fn done(reason: &str) -> Item {
    Ok(Delta::Done { finish_reason: reason.to_owned(), usage: None })
}

fn code(item: &Item) -> Code {
    item.as_ref().unwrap_err().code
}

const A: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";

#[tokio::test]
async fn a_recorded_stream_cut_at_every_position_gives_the_same_deltas() {
    let whole = items(vec![RECORDED.as_bytes().to_vec()]).await;
    let usage = Some(Usage { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, estimated: false });
    assert_eq!(
        split(whole.clone()),
        ("Grüße, 🌍\ntwo lines".to_owned(), Ok(Delta::Done { finish_reason: "stop".to_owned(), usage }))
    );
    for cut in 0..=RECORDED.len() {
        let (head, tail) = RECORDED.as_bytes().split_at(cut);
        assert_eq!(items(vec![head.to_vec(), tail.to_vec()]).await, whole, "cut at {cut}");
    }
    assert_eq!(items(RECORDED.bytes().map(|byte| vec![byte]).collect()).await, whole, "byte by byte");
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_deltas(sizes in proptest::collection::vec(1usize..80, 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (mut rest, mut pieces) = (RECORDED.as_bytes(), Vec::new());
        for size in sizes {
            let (head, tail) = rest.split_at(size.min(rest.len()));
            pieces.push(head.to_vec());
            rest = tail;
        }
        pieces.push(rest.to_vec());
        runtime.block_on(async {
            prop_assert_eq!(items(pieces).await, items(vec![RECORDED.as_bytes().to_vec()]).await);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn each_ending_has_its_meaning() {
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n";
    assert_eq!(of(&format!("{A}{finish}")).await, ("a".to_owned(), done("length")), "a finish without [DONE]");
    assert_eq!(of(&format!("{A}data: [DONE]\n\n")).await, ("a".to_owned(), done("stop")), "[DONE] without a finish");
    assert_eq!(of(&format!("{A}data: [DONE]")).await, ("a".to_owned(), done("stop")), "not closed");
    assert_eq!(of(&format!("{A}data: [DONE]\n\n{A}")).await.0, "a", "nothing after [DONE] counts");
    let both =
        A.replace("}}]", "},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}");
    let (text, last) = of(&both).await;
    assert_eq!(text, "a", "text, finish and usage at once");
    assert!(matches!(last, Ok(Delta::Done { usage: Some(Usage { total_tokens: 2, .. }), .. })), "{last:?}");
    for broken in [A, "", ": nothing\n\n", "data: {\"choices\":[{\"delta\":{\"content\":\"a"] {
        assert_eq!(code(&of(broken).await.1), Code::Truncated, "{broken:?}");
    }
    let (text, last) =
        of(&format!("{A}data: {{\"error\":{{\"type\":\"server_error\"}}}}\n\n{A}data: [DONE]\n\n")).await;
    assert_eq!((text.as_str(), code(&last), last.unwrap_err().retryable), ("a", Code::Failed, true));
    assert_eq!(code(&of(&finish.replace("length", "error")).await.1), Code::Failed);
}

#[tokio::test]
async fn what_is_skipped_is_counted() {
    let tool = r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"x"}}]}}]}"#;
    let body = format!("data: <b>\n\n{A}data: {{x\n\ndata: {tool}\n\ndata: [DONE]\n\n");
    let heard = Heard::of(items(vec![body.into_bytes()]).await);
    assert_eq!((heard.text.as_str(), code(&heard.last)), ("a", Code::Truncated));
    assert_eq!(heard.skipped, Skipped { unread: 2, tool_calls: 1 });
}

#[tokio::test]
async fn token_ids_come_with_their_text_where_they_were_asked_for() {
    let body = [
        r#"{"choices":[{"delta":{"role":"assistant","content":"a"},"token_ids":[5]}]}"#,
        r#"{"choices":[{"delta":{"content":"bc"},"token_ids":[6,70000]}]}"#,
        r#"{"choices":[{"delta":{"content":"d"}}]}"#,
        r#"{"choices":[{"delta":{"content":""},"token_ids":[8]}]}"#,
        r#"{"choices":[{"delta":{"content":"e"},"token_ids":[9]}]}"#,
        "[DONE]",
    ];
    let body: String = body.iter().map(|data| format!("data: {data}\n\n")).collect();
    let ids = |wanted| {
        let answer = answer(vec![body.clone().into_bytes()]).with_token_ids(wanted);
        answer.filter_map(|item| {
            std::future::ready(match item {
                Ok(Delta::Text { text, ids }) => Some((text, ids)),
                _ => None,
            })
        })
    };
    let text = |text: &str, ids: &[u32]| (text.to_owned(), ids.to_vec());
    assert_eq!(
        ids(true).collect::<Vec<_>>().await,
        // After tokens without a text nobody can tell which text is theirs.
        [text("a", &[5]), text("bc", &[6, 70_000]), text("d", &[]), text("e", &[])]
    );
    assert!(ids(false).all(|(_, ids)| std::future::ready(ids.is_empty())).await);
}

#[tokio::test]
async fn an_endless_line_is_refused() {
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b'x'; 65_536]))));
    let items: Vec<_> = Answer::new(answerer(), StreamBody::new(endless), None, GRACE).collect().await;
    assert_eq!(items.len(), 1);
    assert_eq!(code(&items[0]), Code::InvalidResponse);
}

#[tokio::test]
async fn silence_ends_an_answer_unless_it_was_finished() {
    let then_silent = |body: &str| {
        let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(body.to_owned())))]);
        let body = StreamBody::new(first.chain(stream::pending()));
        Answer::new(answerer(), body, None, Duration::from_millis(30)).collect::<Vec<_>>()
    };
    let (text, last) = split(then_silent(A).await);
    assert_eq!((text.as_str(), code(&last)), ("a", Code::Timeout));
    let finished = A.replace("}}]", "},\"finish_reason\":\"stop\"}]");
    assert_eq!(split(then_silent(&finished).await), ("a".to_owned(), done("stop")));
    assert_eq!(split(then_silent("data: [DONE]\n\n").await), (String::new(), done("stop")));
}

#[tokio::test(start_paused = true)]
async fn a_finish_before_the_first_word_ends_nothing_by_itself() {
    let role = r#"data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#;
    let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{role}\n\n"))))]);
    let later = stream::once(async {
        tokio::time::sleep(GRACE + Duration::from_millis(100)).await;
        Ok(Frame::data(Bytes::from(format!("{A}data: [DONE]\n\n"))))
    });
    let body = StreamBody::new(Box::pin(first.chain(later)));
    let answer = Answer::new(answerer(), body, None, Duration::from_secs(60));
    assert_eq!(split(answer.collect().await), ("a".to_owned(), done("stop")));
}

/// Of the shapes that cost most where something is looked at again and again.
#[test]
fn no_body_takes_long() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for (front, part, back) in [
        ("", "x\n", ""),
        ("", "[", ""),
        ("", "{\"a\":", ""),
        ("{\"error\":[", "0,", "0]}"),
        ("{\"error\":\"", "{", "\"}"),
        ("{\"message\":\"", "{\\\"a\\\":", "\"}"),
        ("[", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]},", "0]"),
        ("{\"choices\":[", "{\"index\":0,\"delta\":{\"content\":\"a\"}},", "0]}"),
        ("{\"choices\":[{\"delta\":{\"content\":[", "\"a\",", "0]}}]}"),
        ("{\"choices\":[{\"delta\":{\"content\":\"", "</think>", "\"}}]}"),
        ("{\"choices\":[{\"delta\":{\"content\":\"", "<think></think>", "\"}}]}"),
        ("{\"choices\":[{\"message\":{\"content\":\"", "\\ud83d", "\"}}]}"),
        ("{\"choices\":[{\"message\":{\"content\":\"", "\\'", "\"}}]}"),
        ("{\"choices\":[{\"message\":{\"content\":\"a\"},\"x\":[", ", ", "]}]}"),
        ("data: ", "{", "\n\n"),
        ("data: ", "{}", "\n\n"),
        ("data: ", "a{", "\n\n"),
        ("data: ", "data:", "\n\n"),
        ("data: ", ",", "\n\n"),
        ("data: ", "NaN,", "\n\n"),
    ] {
        crate::linear::assert_linear(&format!("{front}{part}{back}"), crate::sse::EVENT_LIMIT, |size| {
            let size = size - front.len() - back.len();
            let body = format!("{front}{}{back}", part.repeat(size / part.len()));
            assert!(runtime.block_on(items(vec![body.into_bytes()])).pop().is_some());
        });
    }
    // An event of white space, and lines that might go on with it.
    for part in [" ", "\n"] {
        crate::linear::assert_linear(&format!("{part:?} and lines"), crate::sse::EVENT_LIMIT, |size| {
            let body = format!("data:{}\n{}", part.repeat(size - 100), "x\n".repeat(size));
            assert!(runtime.block_on(items(vec![body.into_bytes()])).pop().is_some());
        });
    }
}

#[tokio::test]
async fn after_a_finish_only_text_breaks_the_silence() {
    // Something that is no text comes for ever: the answer is over all the same.
    for (end, reason) in [
        ("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\n", "length"),
        ("data: [DONE]\n\n", "stop"),
    ] {
        for every in [Duration::ZERO, Duration::from_millis(5)] {
            let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{A}{end}"))))]);
            let alive = stream::unfold((), move |()| async move {
                match every {
                    Duration::ZERO => tokio::task::yield_now().await,
                    every => tokio::time::sleep(every).await,
                }
                Some((Ok(Frame::data(Bytes::from_static(b": alive\n\n"))), ()))
            });
            let body = StreamBody::new(Box::pin(first.chain(alive)));
            let answer = Answer::new(answerer(), body, None, Duration::from_secs(60)).collect::<Vec<_>>();
            let items = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an end");
            assert_eq!(split(items), ("a".to_owned(), done(reason)));
        }
    }
    let finish = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    assert_eq!(of(&format!("{A}{finish}{A}{finish}{A}")).await, ("aaa".to_owned(), done("stop")), "text goes on");
}

#[tokio::test]
async fn an_answer_may_be_empty() {
    let role = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    assert_eq!(of(&format!("{role}data: [DONE]\n\n")).await, (String::new(), done("stop")));
    assert_eq!(code(&of(role).await.1), Code::Truncated, "an empty one needs a finish too");
}

#[tokio::test]
async fn a_packet_full_of_events_leaves_others_their_turn() {
    let several = format!("data: {}\n\n", "{\"choices\":[]}".repeat(50_000));
    for (packet, least, is_answer) in [
        (A.repeat(100_000), 500, true),
        ("data: {}\n\n".repeat(100_000), 500, true),
        ("data: no\n\n".repeat(100_000), 500, false),
        (several, 300, true),
        (": c\n".repeat(1_000_000), 20, true),
        ("\n".repeat(4_000_000), 20, true),
    ] {
        let packet = format!("{packet}data: [DONE]\n\n").into_bytes();
        let (mut reading, mut others) = (JoinSet::new(), JoinSet::new());
        reading.spawn(items(vec![packet]));
        let turns = Arc::new(AtomicUsize::new(0));
        others.spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let last = reading.join_next().await.unwrap().unwrap().pop().unwrap();
        assert_eq!(last.is_ok(), is_answer, "{last:?}");
        assert!(turns.load(Ordering::Relaxed) >= least, "{turns:?} turns meanwhile");
    }
}

#[tokio::test]
async fn an_echo_is_taken_out_and_half_an_echo_given_in_full() {
    let go_on = |body: String| async move {
        let body = StreamBody::new(stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from(body)))]));
        let seam = Some(Seam::new("aab", "aab"));
        split(Answer::new(answerer(), body, seam, Duration::from_secs(60)).collect().await)
    };
    let b = A.replace("\"a\"", "\"b c\"");
    assert_eq!(go_on(format!("{A}{A}{b}data: [DONE]\n\n")).await, (" c".to_owned(), done("stop")));
    assert_eq!(go_on(format!("{A}{A}data: [DONE]\n\n")).await, ("aa".to_owned(), done("stop")));
    let (text, last) = go_on(format!("{A}{A}")).await;
    assert_eq!((text.as_str(), code(&last)), ("aa", Code::Truncated), "held text comes before an error too");
}
