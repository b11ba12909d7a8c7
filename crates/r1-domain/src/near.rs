//! Which word was probably meant.

/// The candidate that was probably meant, if any is near.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The candidate for which this was typed, if any: a near one that the word is not made of. A vendor's name may be a
/// provider's and some letters more (`mistralai`), and of two letters everything is near.
#[must_use]
pub fn slip_of<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_part = |candidate: &str| {
        candidate.len().abs_diff(word.len()) > 1 && (word.starts_with(candidate) || candidate.starts_with(word))
    };
    nearest(word, candidates).filter(|candidate| word.chars().count() > 2 && !is_part(candidate))
}

/// Insertions, deletions and substitutions between two words (Levenshtein), by one row of the table.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_if_it_is_near() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let keys = ["log.level", "log.format", "server.host"];
        assert_eq!(nearest("log.levl", keys), Some("log.level"));
        assert_eq!(nearest("serverhost", keys), Some("server.host"));
        assert_eq!(nearest("completely.different", keys), None);
    }

    #[test]
    fn a_vendors_name_is_no_slip() {
        let names = ["echo", "mistral", "openrouter"];
        for (typed, meant) in
            [("ecko", "echo"), ("ehco", "echo"), ("mistrall", "mistral"), ("openruoter", "openrouter")]
        {
            assert_eq!(slip_of(typed, names), Some(meant));
        }
        for vendor in ["mistralai", "openai", "meta-llama", "ec", "x", "google"] {
            assert_eq!(slip_of(vendor, names), None, "{vendor}");
        }
    }
}
