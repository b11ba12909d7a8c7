use std::sync::Arc;

use futures::future::BoxFuture;
use proptest::prelude::*;
use r1_domain::provider::{Abilities, CompletionRequest, CompletionStream, Provider, ProviderError};

use super::*;

/// The same for the same number.
fn id(number: usize) -> MessageId {
    format!("00000000-0000-7000-8000-{number:012x}").parse().unwrap()
}

fn role(letter: char) -> Role {
    match letter {
        's' => Role::System,
        'u' => Role::User,
        _ => Role::Assistant,
    }
}

/// `u:hello` is a user's turn.
fn history(turns: &[&str], whole: bool) -> History {
    let turn = |(at, text): (usize, &&str)| PastTurn {
        id: id(at),
        turn: Turn { role: role(text.chars().next().unwrap()), content: text[2..].to_owned() },
    };
    History { turns: turns.iter().enumerate().map(turn).collect(), whole }
}

fn shown(turns: &[Turn]) -> Vec<String> {
    turns.iter().map(|turn| format!("{}:{}", &turn.role.as_str()[..1], turn.content)).collect()
}

/// What is given within this many tokens, and from which turn on where that is not all.
fn within(turns: &[&str], whole: bool, tokens: u64) -> (Vec<String>, Option<usize>) {
    let past = Past::new(history(turns, whole), Vec::new(), None);
    let first = past.first_within(tokens, 0);
    let from = past.remembers_from(first).map(|from| (0..).find(|at| id(*at) == from).unwrap());
    (shown(&past.given(first)), from)
}

#[test]
fn a_past_that_providers_refuse_is_mended() {
    for (turns, whole, given, from) in [
        (&["u:a", "a:b", "u:c"][..], true, &["u:a", "a:b", "u:c"][..], None),
        (&["u:a", "a:", "u:b"], true, &["u:a\n\nb"], None),
        (&["u:a", "a: \n\u{200b}", "u:b", "a:", "u:c"], true, &["u:a\n\nb\n\nc"], None),
        (&["u:a", "a:b", "a:c", "u:d"], true, &["u:a", "a:b\n\nc", "u:d"], None),
        (&["a:b", "u:c"], false, &["u:c"], Some(1)),
        (&["a:hello", "u:c"], true, &["u:c"], Some(1)),
        (&["a:", "u:c"], true, &["u:c"], None),
        (&["u:a", "a:b", "u:c"], false, &["u:a", "a:b", "u:c"], Some(0)),
        (&["s:be brief", "u:a"], true, &["s:be brief", "u:a"], None),
        (&["s:be brief", "a:b", "u:c"], false, &["s:be brief", "u:c"], Some(2)),
        (&["s: ", "u:a"], true, &["u:a"], None),
        (&["u:a", "s:one", "a:b", "s:two", "u:c"], true, &["s:one\n\ntwo", "u:a", "a:b", "u:c"], None),
        (&["u: "], true, &["u: "], None),
        (&[], true, &[], None),
    ] {
        let (got, begins) = within(turns, whole, u64::MAX);
        assert_eq!(got, given, "{turns:?}");
        assert_eq!(begins, from, "{turns:?}");
    }
}

#[test]
fn the_oldest_turns_go_first_and_the_instructions_never() {
    let words = "some words of the past ".repeat(20);
    let (old, said, newer) = (format!("u:old {words}"), format!("a:said {words}"), format!("u:newer {words}"));
    let turns = ["s:be brief", &old, &said, &newer, "a:yes", "u:and now?"];
    let whole = Past::new(history(&turns, true), Vec::new(), None).tokens(0);
    assert_eq!(within(&turns, true, whole), (turns.map(str::to_owned).to_vec(), None));
    let newest = ["s:be brief", &newer, "a:yes", "u:and now?"];
    assert_eq!(within(&turns, true, whole - 1).0, newest, "an answer without its question does not stay");
    assert_eq!(within(&turns, true, whole - 1).1, Some(3));
    assert_eq!(within(&turns, true, 40), (vec!["s:be brief".to_owned(), "u:and now?".to_owned()], Some(5)));
    assert_eq!(within(&turns, true, 0).0, ["s:be brief", "u:and now?"], "too much as it is: the provider will say so");
}

#[test]
fn what_follows_the_question_stays_and_counts() {
    let turns = ["u:one", "a:two", "u:three"];
    let half = Turn { role: Role::Assistant, content: "half an answer ".repeat(10) };
    let go_on = Turn { role: Role::User, content: "go on".to_owned() };
    let past = Past::new(history(&turns, true), vec![half.clone(), go_on.clone()], None);
    let all = past.tokens(0);
    assert_eq!(past.first_within(all, 0), 0);
    assert_eq!(past.first_within(all - 1, 0), 2);
    let question = Turn { role: Role::User, content: "three".to_owned() };
    assert_eq!(past.given(2), [question, half.clone(), go_on]);
    // Given apart, it counts as well.
    let past = Past::new(history(&turns, true), Vec::new(), Some(&half.content));
    assert_eq!(past.first_within(past.tokens(0) - 1, 0), 2);
    assert!(past.tokens(2) > estimate(&half.content));
}

struct Model(bool);

impl Provider for Model {
    fn complete(&self, _: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        Box::pin(std::future::pending())
    }

    fn can_continue(&self) -> bool {
        false
    }

    fn fits_history(&self) -> bool {
        self.0
    }
}

#[test]
fn the_answer_has_its_share_of_the_context() {
    let model = |context_tokens, output_tokens, fits| ResolvedModel {
        provider: Arc::new(Model(fits)),
        name: "a/b".to_owned(),
        upstream_name: "b".to_owned(),
        abilities: Abilities { context_tokens, output_tokens, ..Abilities::default() },
        default_max_tokens: None,
    };
    for (context, output, max_tokens, expected) in [
        (None, Some(10), Some(5), None),
        (Some(1000), None, None, Some(750)),
        (Some(1000), Some(100), None, Some(900)),
        (Some(1000), Some(100), Some(300), Some(900)),
        (Some(1000), None, Some(300), Some(700)),
        (Some(1000), None, Some(1_000_000), Some(250)),
        (Some(1), None, None, Some(1)),
        (Some(0), None, Some(7), Some(0)),
    ] {
        assert_eq!(room(&model(context, output, false), max_tokens), expected, "{context:?} {output:?} {max_tokens:?}");
    }
    assert_eq!(room(&model(Some(1000), None, true), None), None, "who has the model's own tokens knows better");
}

#[test]
fn turns_that_a_provider_left_out_are_those_it_was_given() {
    for (turns, whole, first, left_out, from) in [
        (&["u:a", "a:b", "u:c"][..], true, 0, 0, None),
        (&["u:a", "a:b", "u:c"], true, 0, 2, Some(2)),
        (&["u:a", "a:b", "u:c"], false, 0, 0, Some(0)),
        (&["s:be brief", "u:a", "a:b", "u:c"], true, 0, 2, Some(3)),
        // Two that became one are one.
        (&["u:a", "a:", "u:b", "a:c", "a:d", "u:e"], true, 0, 2, Some(5)),
        (&["u:a", "a:b", "u:c", "a:d", "u:e"], true, 2, 2, Some(4)),
        // The question was given, whatever is said.
        (&["u:a", "a:b", "u:c"], true, 0, usize::MAX, Some(2)),
        (&["u:a"], true, 0, 1, None),
        (&[], true, 0, 1, None),
    ] {
        let past = Past::new(history(turns, whole), Vec::new(), None);
        let expected = from.map(id);
        assert_eq!(past.remembers_from(past.first_after(left_out, first)), expected, "{turns:?} {first} {left_out}");
    }
}

fn any_history() -> impl Strategy<Value = History> {
    let turn = ("[sua]", "|[ \n\u{200b}]{1,3}|[a-z ]{1,40}|[漢字🚀]{1,20}");
    (prop::collection::vec(turn, 0..12), "[a-z]{1,20}", any::<bool>()).prop_map(|(mut turns, question, whole)| {
        turns.push(("u".to_owned(), question));
        let turns = turns.iter().map(|(role, text)| format!("{role}:{text}")).collect::<Vec<_>>();
        history(&turns.iter().map(String::as_str).collect::<Vec<_>>(), whole)
    })
}

proptest! {
    #[test]
    fn what_is_given_is_what_every_provider_takes(history in any_history(), tokens in 0u64..400) {
        let question = history.turns.last().unwrap().turn.content.clone();
        let instructions: Vec<_> = history.turns.iter().map(|past| &past.turn)
            .filter(|turn| turn.role == Role::System && !turn.is_blank()).map(|turn| turn.content.clone()).collect();
        let past = Past::new(history.clone(), Vec::new(), None);
        let first = past.first_within(tokens, 0);
        let given = past.given(first);

        prop_assert!(given.iter().all(|turn| !turn.is_blank()));
        prop_assert!(given.windows(2).all(|pair| pair[0].role != pair[1].role), "{:?}", given);
        let last = given.last().unwrap();
        prop_assert!(last.role == Role::User && last.content.ends_with(&question));
        let path = &given[usize::from(given[0].role == Role::System)..];
        prop_assert_eq!(path[0].role, Role::User);
        prop_assert!(path.iter().all(|turn| turn.role != Role::System));
        if !instructions.is_empty() {
            prop_assert_eq!(&given[0].content, &instructions.join(BETWEEN));
        }

        // It fits, or is the least that there is; and one question more would not have fitted.
        let question_only = first + 1 == past.turns.len();
        prop_assert!(past.tokens(first) <= tokens || question_only);
        let earlier = (0..first).rev().find(|at| past.turns[*at].turn.role == Role::User);
        prop_assert!(earlier.is_none_or(|earlier| past.tokens(earlier) > tokens));
        prop_assert_eq!(past.first_within(tokens, first), first, "there is nothing more to leave out");

        // The mark says so exactly where something was left out.
        let from = past.remembers_from(first);
        let kept = |past: &&PastTurn| past.turn.role != Role::System && !past.turn.is_blank();
        let oldest = history.turns.iter().find(kept).unwrap().id;
        let begins = past.turns[first].id;
        prop_assert_eq!(from, (!history.whole || begins != oldest).then_some(begins));
    }
}
