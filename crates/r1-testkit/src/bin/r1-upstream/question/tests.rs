use serde_json::json;

use super::*;

fn asked(messages: &[(&str, &str)]) -> Value {
    let messages: Vec<_> = messages.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    json!({"messages": messages})
}

fn said(script: &Script) -> String {
    let steps = script.steps.iter();
    steps.filter_map(|step| if let Step::Chunk(text) = step { Some(text.as_str()) } else { None }).collect()
}

fn answer(messages: &[(&str, &str)]) -> String {
    said(&script(&turns(&asked(messages)), 1))
}

#[test]
fn questions_are_understood_or_echoed() {
    assert_eq!(answer(&[("user", "words 3 every 20")]), "w1 w2 w3");
    assert_eq!(answer(&[("user", "say\n<b>\n *x*")]), "<b>\n *x*");
    assert_eq!(answer(&[("user", "rich")]), SAMPLE);
    for question in ["hello", "words many", "words 3 every day", "words 3 sideways 4"] {
        assert_eq!(answer(&[("user", question)]), format!("You said: {question}"));
    }
}

#[test]
fn an_answer_is_continued_after_any_beginning() {
    let whole = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12";
    for cut in 1..whole.len() {
        let (beginning, rest) = whole.split_at(cut);
        let turns = [("user", "words 12"), ("assistant", beginning)];
        assert_eq!(answer(&turns), rest, "prefilled");
        let hidden = [turns[0], turns[1], ("user", "Go on.")];
        assert_eq!(answer(&hidden), rest, "asked to go on");
    }
    let next = [("user", "words 2"), ("assistant", "w1 w2"), ("user", "hello")];
    assert_eq!(answer(&next), "You said: hello");
    let next = [("user", "words 20"), ("assistant", "w1 w2"), ("user", "words 1")];
    assert_eq!(answer(&next), "w1");
}

#[test]
fn chunks_are_given_as_they_are() {
    let question = "chunks\n[\"a\\r\\n\", [\"é\", 3], \"\", \"\\u2028z\"]";
    let pieces = |beginning| {
        let script = script(&Turns { question, beginning }, 1);
        let chunk = |step: &Step| if let Step::Chunk(text) = step { Some(text.clone()) } else { None };
        script.steps.iter().filter_map(chunk).collect::<Vec<_>>()
    };
    assert_eq!(pieces(""), ["a\r\n", "ééé", "", "\u{2028}z"]);
    assert_eq!(pieces("a\r\né"), ["éé", "", "\u{2028}z"], "continued in the middle of one");
    assert_eq!(answer(&[("user", "chunks\nnothing")]), "You said: chunks\nnothing");
}

#[test]
fn it_ends_as_asked_and_where_asked() {
    let end = |question: &str, attempt| {
        let body = asked(&[("user", question)]);
        let script = script(&turns(&body), attempt);
        (said(&script), format!("{:?}", script.steps.last().unwrap()))
    };
    assert_eq!(end("words 5 cut 2", 1), ("w1 w2 ".to_owned(), "Cut".to_owned()));
    assert_eq!(end("words 5 stall 0", 1), (String::new(), "Hang".to_owned()));
    assert_eq!(end("words 5 cut 2 once", 2), ("w1 w2 w3 w4 w5".to_owned(), "Done".to_owned()));
    assert_eq!(end("attempt", 3).0, "attempt 3");
    let length = script(&Turns { question: "words 5 length 2", beginning: "" }, 1);
    assert!(length.steps.iter().any(|step| matches!(step, Step::Finish(reason) if reason == "length")));
    let held = script(&Turns { question: "words 3 hold 1 gate", beginning: "" }, 1);
    let kinds: Vec<_> = held.steps.iter().take(4).map(|step| matches!(step, Step::WaitFor(_))).collect();
    assert_eq!(kinds, [false, false, true, false]);
    assert_eq!(script(&Turns { question: "error 401", beginning: "" }, 1).status, StatusCode::UNAUTHORIZED);
    assert_eq!(script(&Turns { question: "error 429", beginning: "" }, 1).headers["retry-after"], "7");
}

#[test]
fn questions_that_got_no_answer_stand_before_the_newest() {
    let asked = |content: &str| newest(content).to_owned();
    assert_eq!(asked("error 401\n\nwords 20 length 5"), "words 20 length 5");
    assert_eq!(asked("hang\n\nerror 500 once\n\nsay\na\n\nb"), "say\na\n\nb");
    assert_eq!(asked("say\nwords\n\nb"), "say\nwords\n\nb");
    assert_eq!(asked("a\n\nb"), "a\n\nb");
    assert_eq!(asked("error 401"), "error 401");
}
