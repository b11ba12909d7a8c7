//! Which form of a file a client likes best, and whether it has it already (RFC 9110, 12.5.3 and
//! 13.1.2).

use http::{HeaderMap, header};

use crate::{
    asset::{Asset, Stored},
    content::Content,
};

/// A form in which a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
    Identity,
}

impl Encoding {
    /// Value of `Content-Encoding`.
    pub(crate) fn word(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
        }
    }
}

/// The best form that the file has: the greatest weight, then the smallest body. A client that
/// takes none gets the file as it is.
pub(crate) fn choose(asset: &Asset, request: &HeaderMap) -> (Encoding, Content) {
    let (br, gzip, length) = match asset.stored {
        Stored::Raw(bytes) => return (Encoding::Identity, Content::Whole(bytes)),
        Stored::Compressed { br, gzip, length } => (br, gzip, length),
    };
    let wishes = Wishes::of(request);
    let mut best = (Encoding::Identity, 0);
    for encoding in [Encoding::Brotli, Encoding::Gzip, Encoding::Identity] {
        let weight = wishes.weight(encoding.word().unwrap_or("identity"));
        if weight > best.1 {
            best = (encoding, weight);
        }
    }
    let content = match best.0 {
        Encoding::Brotli => Content::Whole(br),
        Encoding::Gzip => Content::Whole(gzip),
        Encoding::Identity => Content::inflated(gzip, length),
    };
    (best.0, content)
}

/// Each form has its own: a cache must not take one for the other.
pub(crate) fn etag(asset: &Asset, encoding: Encoding) -> String {
    match encoding.word() {
        Some(word) => format!("\"{}-{word}\"", asset.hash),
        None => format!("\"{}\"", asset.hash),
    }
}

/// Whether `If-None-Match` names the form that would be sent.
pub(crate) fn is_fresh(request: &HeaderMap, etag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| {
        // Weak comparison: a proxy may have weakened the tag.
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// What `Accept-Encoding` says: words with weights in thousandths.
struct Wishes<'a>(Vec<(&'a str, u16)>);

impl<'a> Wishes<'a> {
    fn of(request: &'a HeaderMap) -> Self {
        let values = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        Self(values.flat_map(|value| value.split(',')).map(wish).collect())
    }

    fn weight(&self, word: &str) -> u16 {
        let find = |word: &str| self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|wish| wish.1);
        // Unmentioned, the file as it is suits everybody, but less than anything asked for.
        let unmentioned = u16::from(word == "identity");
        find(word).or_else(|| find("*")).unwrap_or(unmentioned)
    }
}

fn wish(text: &str) -> (&str, u16) {
    let mut parts = text.split(';').map(str::trim);
    let word = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (word, weight.map_or(1000, thousandths))
}

/// Of a weight between 0 and 1 with at most three decimals; nonsense counts as refusal.
fn thousandths(weight: &str) -> u16 {
    match weight.parse::<f32>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u16,
        _ => 0,
    }
}
