use proptest::prelude::*;

use super::*;

fn read(mut think: Think, pieces: &[&str]) -> (String, String, Option<bool>) {
    let mut all = Spoken::default();
    let mut add = |spoken: Spoken| {
        all.reasoning.push_str(&spoken.reasoning);
        all.text.push_str(&spoken.text);
    };
    for piece in pieces {
        add(think.push((*piece).to_owned()));
    }
    add(think.finish());
    (all.reasoning, all.text, think.lone_tag())
}

#[test]
fn thinking_is_told_from_the_answer_wherever_it_is_cut() {
    for (expects, text, reasoning, answer, lone) in [
        (false, "<think>a</think>b", "a", "b", None),
        (false, "\n<think>\na\n</think>\n\nb", "\na\n", "b", None),
        (false, "<think></think>b", "", "b", None),
        (false, "<think>a < b </thin </think>b", "a < b </thin ", "b", None),
        (false, "<think>a</think><think>b</think>c", "ab", "c", None),
        (false, "<thinking>a</think></thinking>b", "a</think>", "b", None),
        (false, "[THINK]a[/THINK]b", "a", "b", None),
        (false, "<seed:think>a</seed:think>b", "a", "b", None),
        (false, "<think>a", "a", "", None),
        (false, "b", "", "b", None),
        (false, "<b>bold</b> and <think>", "", "<b>bold</b> and <think>", None),
        (false, "The tag `</think>` closes.", "", "The tag `</think>` closes.", None),
        (false, "a </think></think> b </thin", "", "a </think></think> b </thin", None),
        (false, "<thin", "", "<thin", None),
        (false, "thought\n</think>\n\nb</think>", "", "thought\nb</think>", Some(true)),
        (false, "</think>b", "", "b", Some(true)),
        (false, "a\n</think><think>b", "", "a\n<think>b", Some(true)),
        (false, "</think>", "", "", Some(true)),
        (false, "<think>", "", "", None),
        (false, "<think>a</think>\n</think>\n\nb", "a", "b", None),
        (false, "<think>a</think></b>", "a", "</b>", None),
        (false, "◁think▷a◁/think▷b", "a", "b", None),
        (false, "<|begin_of_thought|>a<|end_of_thought|>b", "a", "b", None),
        (false, "So:\n<think>\na\n</think>\nb", "", "So:\n<think>\na\n</think>\nb", None),
        (false, "So:\n```xml\n</think>\n```\nb", "", "So:\n```xml\n</think>\n```\nb", None),
        (false, "```\na\n```\n</think>b", "", "```\na\n```\nb", Some(true)),
        (true, "\n\na</think>\n\nb", "\n\na", "b", Some(true)),
        (true, "a</think>\n\nb", "a", "b", Some(true)),
        (true, "<think>a</think>b", "a", "b", None),
        (true, "no thought", "", "no thought", Some(false)),
        (true, "a</think>b</think>", "a", "b</think>", Some(true)),
    ] {
        let expected = (reasoning.to_owned(), answer.to_owned(), lone);
        assert_eq!(read(Think::new(expects), &[text]), expected, "{text:?}");
        let letters: Vec<_> = text.split_inclusive(|_| true).collect();
        assert_eq!(read(Think::new(expects), &letters), expected, "letter by letter: {text:?}");
    }
}

#[test]
fn what_comes_apart_is_not_waited_for() {
    let mut think = Think::new(true);
    think.comes_apart();
    assert_eq!(think.push("b".to_owned()).text, "b");
    assert_eq!(think.lone_tag(), None);
}

#[test]
fn in_mid_answer_nothing_is_held() {
    let mut think = Think::off();
    for text in ["<think>", "</thi", "nk>"] {
        assert_eq!(think.push(text.to_owned()).text, text);
    }
}

#[test]
fn white_space_is_not_held_for_ever() {
    let mut think = Think::new(false);
    let spoken: String = (0..WHITE * 2).map(|_| think.push("\n".to_owned()).text).collect();
    assert_eq!(spoken.len(), WHITE * 2);
}

#[test]
fn no_text_takes_long() {
    for expects in [false, true] {
        for part in ["</think>", "\n</think>", "<think></think>", "</think>\n", "<", "`"] {
            crate::linear::assert_linear(part, 1024 * 1024, |size| {
                let mut think = Think::new(expects);
                let spoken = think.push(part.repeat(size / part.len()));
                drop((spoken, think.finish()));
            });
        }
        for letter in ["a", "<", "\n"] {
            crate::linear::assert_linear(letter, HELD / 2, |size| {
                let mut think = Think::new(expects);
                for _ in 0..size {
                    let _ = think.push(letter.to_owned());
                }
            });
        }
    }
}

#[test]
fn an_answer_is_not_held_for_ever() {
    let mut think = Think::new(true);
    let many = "x".repeat(HELD / 2);
    assert_eq!(think.push(many.clone()), Spoken::default());
    assert_eq!(think.push(many.clone()), Spoken::default());
    assert_eq!(think.push("y".to_owned()).text, format!("{many}{many}y"));
    assert_eq!(think.push("z".to_owned()).text, "z");
}

proptest! {
    #[test]
    fn cuts_change_nothing_and_only_tags_are_lost(
        words in proptest::collection::vec(proptest::sample::select(&["<think>", "</think>", "<", "/", "think", ">", "a", "\n", "ä", "[THINK]", "</thinking>"][..]), 0..12),
        expects: bool,
    ) {
        let whole = words.concat();
        let letters: Vec<_> = whole.split_inclusive(|_| true).collect();
        prop_assert_eq!(read(Think::new(expects), &words), read(Think::new(expects), &letters));
        let (reasoning, text, _) = read(Think::new(expects), &[&whole]);
        // Letters that are in no tag come once, in order.
        let plain = |text: &str| text.chars().filter(|letter| "aä".contains(*letter)).collect::<String>();
        prop_assert_eq!(plain(&format!("{reasoning}{text}")), plain(&whole));
    }
}
