use proptest::prelude::*;

use super::*;

#[test]
fn one_name_in_many_spellings() {
    for (name, others) in [
        ("josé", &["JOSÉ", "jose\u{301}", "JOSE\u{301}", " José "][..]),
        ("ada", &["Ａｄａ", "ＡＤＡ", "ADA\u{3000}", "a\u{ad}da", "\u{200e}ada"]),
        ("straße", &["STRASSE", "Strasse", "STRAẞE"]),
        ("ὀδυσσεύς", &["ὈΔΥΣΣΕΎΣ", "ὀδυσσεύσ"]),
        ("ångström", &["\u{212b}ngström", "A\u{30a}NGSTRO\u{308}M"]),
        ("kelvin", &["\u{212a}elvin"]),
        ("fiona", &["ﬁona", "FIONA"]),
        ("sam", &["ſam"]),
        ("nguyễn", &["Nguye\u{302}\u{303}n", "NGUYÊ\u{303}N"]),
        ("한글", &["\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}"]),
        ("ガス", &["ｶﾞｽ"]),
        ("\u{915}\u{93c}", &["\u{958}"]),
        (
            "me@exämple.com",
            &["ME@EXA\u{308}MPLE.COM", "me@xn--exmple-cua.com", "Me@XN--exmple-cua.COM", "me＠exämple.com"],
        ),
        ("jose\u{301}@straße.example", &["josé@xn--strae-oqa.example", "JOSÉ@STRAẞE.example"]),
        ("me@example.com", &["ＭＥ＠ＥＸＡＭＰＬＥ．ＣＯＭ", "me@example.com\u{200b}"]),
    ] {
        for other in others {
            assert_eq!(fold_login(other), fold_login(name), "{other:?} is {name:?}");
        }
    }
    for (a, b) in [
        ("jose", "josé"),
        ("i", "ı"),
        ("ada", "аda"),
        ("a.b", "ab"),
        ("e\u{301}", "e\u{300}"),
        ("me@straße.example", "me@strasse.example"),
    ] {
        assert_ne!(fold_login(a), fold_login(b));
    }
}

#[test]
fn a_password_is_one_in_whichever_form() {
    for (typed, prepared) in [
        ("difference engine", "difference engine"),
        ("pässwörter", "pässwörter"),
        ("pa\u{308}sswo\u{308}rter", "pässwörter"),
        ("correct\u{a0}horse\u{3000}battery\u{2003}x", "correct horse battery x"),
        ("\u{1112}\u{1161}\u{11ab}", "한"),
        // The person's own: case, width, invisible characters, spaces at the ends, line ends.
        (" Ｗide ﬁx\u{200d}\t\n", " Ｗide ﬁx\u{200d}\t\n"),
        ("❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}", "❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}❤\u{fe0f}"),
    ] {
        assert_eq!(prepare_password(typed), prepared);
    }
}

#[test]
fn what_leaves_nothing_to_be_seen() {
    for blank in [
        "",
        " \t\r\n",
        "\u{0}",
        "\u{a0}\u{3000}\u{2028}\u{85}",
        "\u{200b}",                                                // zero width space
        "\u{200c}\u{200d}",                                        // joiners
        "\u{feff}",                                                // byte order mark
        "\u{ad}",                                                  // soft hyphen
        "\u{2800}",                                                // blank Braille
        "\u{3164}\u{115f}\u{1160}\u{ffa0}",                        // Hangul fillers
        "\u{fe0f}\u{e0100}\u{180b}",                               // variation selectors
        "\u{e0001}\u{e0041}\u{e007f}",                             // tags
        "\u{200e}\u{200f}\u{61c}\u{202a}\u{202e}\u{2066}\u{2069}", // bidi marks
        "\u{2060}\u{2061}\u{2064}\u{206f}",
        "\u{34f}\u{17b4}\u{17b5}",
        "\u{fff9}\u{fffb}",
        "\u{1d159}\u{1d173}",
        "\u{16fe4}\u{1bca0}",
        "\u{7f}\u{9f}",
    ] {
        assert!(is_blank(blank), "{blank:?}");
        assert!(!is_blank(&format!("{blank}.")), "{blank:?}");
    }
    for seen in ["a", "\u{200b}a", "👍🏽", "❤\u{fe0f}", "\u{301}", "\u{fffd}", "؀", "\u{fffc}", "¿", "\u{e000}", "ـ"]
    {
        assert!(!is_blank(seen), "{seen:?}");
    }
}

#[test]
fn a_prefix_is_whole_and_bounded() {
    assert_eq!(prefix("abc", 2), "ab");
    assert_eq!(prefix("abc", 3), "abc");
    assert_eq!(prefix("", 3), "");
    assert_eq!(prefix("abc", 0), "");
    assert_eq!(prefix("ae\u{301}b", 2), "a");
    assert_eq!(prefix("e\u{301}\u{302}b", 2), "e\u{301}", "one that fits nowhere");
    assert_eq!(prefix("\r\nx", 1), "\r");
}

#[test]
fn every_character_has_one_form() {
    let category = CodePointMapData::<GeneralCategory>::new();
    // All but the ideographs and syllables that are what they are, and what is nothing yet.
    let plain =
        ['\u{3400}'..='\u{9fff}', '\u{ac00}'..='\u{d7a3}', '\u{17000}'..='\u{1b2ff}', '\u{20000}'..='\u{2f7ff}'];
    for c in ('\u{0}'..='\u{e01ff}').filter(|c| !plain.iter().any(|range| range.contains(c))) {
        if matches!(category.get(c), GeneralCategory::Unassigned | GeneralCategory::PrivateUse) {
            continue;
        }
        let text = format!("a{c}b");
        let folded = fold_login(&text);
        assert_eq!(fold_login(&folded), folded, "{c:?}");
        assert_eq!(fold_login(&text.to_lowercase()), folded, "{c:?}");
        assert_eq!(fold_login(&text.to_uppercase().to_lowercase()), fold_login(&text.to_uppercase()), "{c:?}");
        let address = format!("{text}@{text}.com");
        let folded_address = fold_login(&address);
        assert_eq!(fold_login(&folded_address), folded_address, "{c:?}");
        assert_eq!(fold_login(&address.to_lowercase()), folded_address, "{c:?}");
        let prepared = prepare_password(&text).into_owned();
        assert_eq!(prepare_password(&prepared), prepared, "{c:?}");
        if c != '@' && crate::user::check_username(&crate::user::prepare_username(&text)).is_ok() {
            assert!(!folded.contains('@'), "{c:?} would be an address");
        }
    }
}

proptest! {
    #[test]
    fn every_text_has_one_form(text in "\\PC{0,12}", other in "[aA\u{e9}\u{301}\u{345}\u{3b1}\u{3c2}\u{3a3}\u{130}iI\u{307}\u{200d} ]{0,12}") {
        for text in [text, other] {
            let folded = fold_login(&text);
            prop_assert_eq!(&fold_login(&folded), &folded);
            prop_assert_eq!(fold_login(&text.to_lowercase()), folded.clone());
            let address = format!("{text}@ex{text}mple.com");
            prop_assert_eq!(fold_login(&fold_login(&address)), fold_login(&address));
            prop_assert_eq!(fold_login(&address.to_lowercase()), fold_login(&address));
            prop_assert_eq!(fold_login(&nfkc(&text)), folded.clone());
            prop_assert_eq!(fold_login(&DecomposingNormalizer::new_nfkd().normalize(&text)), folded);
            let prepared = prepare_password(&text).into_owned();
            prop_assert_eq!(&prepare_password(&prepared), &prepared);
            let decomposed = DecomposingNormalizer::new_nfd().normalize(&text);
            prop_assert_eq!(&prepare_password(&decomposed), &prepared);
            let cut = prefix(&text, 4);
            prop_assert!(text.starts_with(cut) && cut.chars().count() <= 4);
            prop_assert!(text.is_empty() || !cut.is_empty());
        }
    }
}
