use super::*;

#[test]
fn good_titles_stay_as_they_are() {
    for title in [
        "Rust lifetimes explained",
        "Vec<T> in Rust",
        "What is AI?",
        "C# und snake_case im Vergleich",
        "Größe von Bäumen",
        "日本語の敬語",
        "مقدمة في الجبر",
        "क्वांटम यांत्रिकी",
        "می\u{200c}خواهم",
        "Family 👨\u{200d}👩\u{200d}👧 trip",
        "❤\u{fe0f} letters",
        "Fix: the build",
        "3D printing at home",
        "2 + 2",
        "\"Hamlet\" and \"Macbeth\"",
    ] {
        assert_eq!(clean(title).as_deref(), Some(title));
    }
}

#[test]
fn what_stands_around_a_title_goes() {
    for said in [
        "\"Tree heights\"",
        "“Tree heights”",
        "„Tree heights“",
        "'Tree heights.'",
        "«Tree heights»",
        "「Tree heights」",
        "**Tree heights**",
        "***Tree heights***",
        "# Tree heights",
        "### **\"Tree heights\"**",
        "> Tree heights",
        "- Tree heights",
        "1. Tree heights",
        "`Tree heights`",
        "```\nTree heights\n```",
        "```text\nTree heights\n```\n",
        "Title: Tree heights",
        "**Title:** Tree heights",
        "**Title**: \"Tree heights\"",
        "Titel: Tree heights",
        "标题：Tree heights",
        "Here is a title:\n\nTree heights",
        "Sure! Here is a title for the conversation:\n**Tree heights**",
        "Title:\nTree heights",
        "\n\n  Tree heights  \n\nThis title is short.",
        "Tree\theights",
        "Tree \u{a0} heights.",
        "Tree heights。",
        "Tree heights —",
        "<title>Tree heights</title>",
        "<b>\"Tree heights\"</b>",
        "[Tree heights]",
        "Tree **heights**",
    ] {
        assert_eq!(clean(said).as_deref(), Some("Tree heights"), "{said:?}");
    }
}

#[test]
fn thoughts_are_no_title() {
    for said in [
        "<think>They ask about trees.</think>Tree heights",
        "<think>\nhm\n</think>\n\nTree heights",
        "They ask about trees.\n</think>\n\nTree heights",
        "<THINK>x</THINK> Tree heights",
        "<thinking>a</thinking><think>b</think>\"Tree heights\"",
        "<reasoning>Ünder</reasoning>Tree heights",
    ] {
        assert_eq!(clean(said).as_deref(), Some("Tree heights"), "{said:?}");
    }
    for said in ["<think>They ask about", "<think>a</think>", "<think>a</think><think>b", "Tree <think>"] {
        assert_eq!(clean(said), None, "{said:?}");
    }
}

#[test]
fn nothing_hides_or_turns_around() {
    for (said, title) in [
        ("Tree\u{202e} heights", "Tree heights"),
        ("\u{2066}Tree heights\u{2069}", "Tree heights"),
        ("Tr\u{200b}ee\u{feff} hei\u{ad}ghts", "Tree heights"),
        ("Tree\u{0} \u{7}\u{1b}[31mheights", "Tree [31mheights"),
        ("Tree heights\u{e0041}\u{e0042}", "Tree heights"),
        ("\u{200d}Tree heights\u{200d}", "Tree heights"),
        ("Tree\u{2028}heights", "Tree heights"),
        ("Tree heights\u{e000}\u{fffd}", "Tree heights"),
        ("Tree\r\nheights", "Tree"),
        ("Tre\u{65}\u{301} heights", "Treé heights"),
    ] {
        assert_eq!(clean(said).as_deref(), Some(title), "{said:?}");
    }
}

#[test]
fn what_is_no_title_is_none() {
    let long = "word ".repeat(40);
    let endless = "x".repeat(1_000_000);
    let marks = format!("a{}", "\u{301}".repeat(5000));
    for said in [
        "",
        " \n\t ",
        "\u{200b}\u{202e}",
        "\"\"",
        "**",
        "****",
        "```\n```",
        "Title:",
        "Title",
        "...",
        "—",
        "I'm sorry, but I can't help with that",
        "I cannot write a title for this.",
        "As an AI model I have no opinion",
        &long,
        &endless,
        &marks,
    ] {
        let shown: String = said.chars().take(60).collect();
        assert_eq!(clean(said), None, "{shown:?}");
    }
}

#[test]
fn one_that_is_a_little_long_is_cut_at_a_word() {
    let title = clean("A very thorough comparison of all the tree heights that were ever measured").unwrap();
    assert_eq!(title, "A very thorough comparison of all the tree heights that were…");
}

/// Whatever is said: no panic, and the invariant holds.
#[test]
fn any_words_give_a_title_or_none() {
    let pieces = [
        "\"", "*", "_", "`", "[", "]", "<", ">", "</", "b>", "<think>", "</think>", ":", "：", "Title", "\n", " ",
        "1.", "#", "-", "\u{202e}", "\u{200d}", "\u{fe0f}", "\u{0}", "é", "日", "👩", "\u{301}", "word ", "…", "„",
        "“", "»",
    ];
    // A walk through all of them that ends nowhere soon.
    let mut state = 1_u64;
    for _ in 0..20_000 {
        let mut said = String::new();
        for _ in 0..(state % 12) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            said.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if let Some(title) = clean(&said) {
            assert_eq!(check_title(&title), Ok(()), "{said:?}");
            assert!(title.chars().count() <= 61, "{said:?}");
            assert!(!title.contains(['\u{202e}', '\n', '\0']), "{said:?} {title:?}");
        }
    }
}
