//! Byte-level BPE from a GGUF file's own metadata.
//!
//! Text is cut into words by the model's pattern, each word into bytes, and bytes are merged by
//! rank. Control tokens (`<|im_start|>` and the like) are a separate matter of trust: they are
//! recognised only in text that the chat template wrote.
//!
//! **Invariant:** [`Segment::Content`] never yields a control token, whatever it contains. What a
//! user types cannot end the user's turn or begin the system's.

mod bpe;
mod decode;
mod split;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::error::LoadError;
use crate::gguf::{Gguf, Value};
use bpe::Merges;
pub use decode::Decoder;
use split::Splitter;

const NORMAL: usize = 1;
const CONTROL: usize = 3;
const USER_DEFINED: usize = 4;

/// A piece of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'a> {
    /// Written by the template: control tokens in it are meant.
    Template(&'a str),
    /// Written by a person or a model: text, whatever it looks like.
    Content(&'a str),
}

impl<'a> Segment<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Template(text) | Self::Content(text) => text,
        }
    }
}

/// Text to token ids and back.
#[derive(Debug)]
pub struct Tokenizer {
    /// The bytes of every token.
    pieces: Vec<Vec<u8>>,
    /// Tokens that stand for more than their text, by that text.
    specials: Vec<(String, u32)>,
    /// Those of them that have no place in an answer, by id.
    is_control: Vec<bool>,
    merges: Merges,
    splitter: Splitter,
    begin: Option<u32>,
    ends: Vec<u32>,
}

impl Tokenizer {
    /// Reads the vocabulary and the merges.
    ///
    /// # Errors
    /// [`LoadError`]: not a byte-level BPE, an unknown pre-tokenizer, or lists that don't fit.
    pub fn load(file: &Gguf) -> Result<Self, LoadError> {
        match file.str("tokenizer.ggml.model")? {
            Some("gpt2") => {}
            Some(_) => return Err(LoadError::unsupported("a tokenizer other than byte-level BPE")),
            None => return Err(LoadError::missing("tokenizer.ggml.model")),
        }
        let splitter = Splitter::named(file.str("tokenizer.ggml.pre")?.unwrap_or("default"))?;
        let tokens = strings(file, "tokenizer.ggml.tokens")?;
        let types = file.array("tokenizer.ggml.token_type")?.unwrap_or_default();
        if !types.is_empty() && types.len() != tokens.len() {
            return Err(LoadError::malformed("as many token types as tokens are needed"));
        }
        let alphabet = bpe::alphabet();
        let mut pieces = Vec::with_capacity(tokens.len());
        let mut vocabulary = HashMap::with_capacity(tokens.len());
        let mut specials = Vec::new();
        let mut is_control = Vec::with_capacity(tokens.len());
        for (id, token) in (0u32..).zip(&tokens) {
            let kind = types.get(id as usize).and_then(Value::as_usize).unwrap_or(NORMAL);
            let special = matches!(kind, CONTROL | USER_DEFINED) && !token.is_empty();
            is_control.push(special && kind == CONTROL);
            if special {
                specials.push(((*token).to_owned(), id));
                pieces.push(token.as_bytes().to_vec());
            } else {
                let bytes = bpe::to_bytes(&alphabet, token);
                if kind == NORMAL {
                    vocabulary.insert(bytes.clone(), id);
                }
                pieces.push(bytes);
            }
        }
        // Of two control tokens that begin alike, the longer is meant.
        specials.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        let merges = strings(file, "tokenizer.ggml.merges")?;
        let merges = Merges::new(&alphabet, &vocabulary, &merges)?;

        let id_of = |key: &str| -> Result<Option<u32>, LoadError> {
            match file.usize(key)? {
                Some(id) if id < tokens.len() => Ok(u32::try_from(id).ok()),
                Some(_) => Err(LoadError::malformed(format!("{key} is not a token"))),
                None => Ok(None),
            }
        };
        let add_begin = file.get("tokenizer.ggml.add_bos_token").and_then(Value::as_bool);
        let begin = match add_begin {
            Some(true) => id_of("tokenizer.ggml.bos_token_id")?,
            _ => None,
        };
        let mut ends = Vec::new();
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
            ends.extend(id_of(key)?);
        }
        // Files made from a base model may name its end of text where chats end otherwise.
        for (text, id) in &specials {
            if matches!(text.as_str(), "<|im_end|>" | "<|eot_id|>" | "<|endoftext|>") {
                ends.push(*id);
            }
        }
        Ok(Self { pieces, specials, is_control, merges, splitter, begin, ends })
    }

    /// Tokens in the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.pieces.len()
    }

    /// The token that opens every sequence, for models that want one.
    pub fn begin(&self) -> Option<u32> {
        self.begin
    }

    /// Whether `id` ends an answer.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.contains(&id)
    }

    /// Whether `id` is a control token, which has no place in an answer's text.
    pub fn is_control(&self, id: u32) -> bool {
        self.is_control.get(id as usize).copied().unwrap_or(false)
    }

    /// The id of a control token, by its text.
    pub fn special(&self, text: &str) -> Option<u32> {
        self.specials.iter().find(|(special, _)| special == text).map(|(_, id)| *id)
    }

    /// The text of a token, for templates; lossy where the token is not whole characters.
    pub fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.bytes(id)).into_owned()
    }

    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// Token ids of a plain text, in which nothing is a control token.
    pub fn encode_text(&self, text: &str) -> Vec<u32> {
        self.encode(&[Segment::Content(text)])
    }

    /// Token ids of a prompt. Adjacent segments are tokenised as one text, exactly as if they had
    /// never been apart, except that control tokens are found in template segments only.
    pub fn encode(&self, segments: &[Segment<'_>]) -> Vec<u32> {
        let mut out = Vec::new();
        let mut plain = String::new();
        for segment in segments {
            let mut text = segment.text();
            if matches!(segment, Segment::Template(_)) {
                while let Some((at, length, id)) = self.find_special(text) {
                    plain.push_str(&text[..at]);
                    self.encode_plain(&plain, &mut out);
                    plain.clear();
                    out.push(id);
                    text = &text[at + length..];
                }
            }
            plain.push_str(text);
        }
        self.encode_plain(&plain, &mut out);
        out
    }

    /// The first control token in `text`: where, how long, which.
    fn find_special(&self, text: &str) -> Option<(usize, usize, u32)> {
        self.specials
            .iter()
            .filter_map(|(special, id)| text.find(special).map(|at| (at, special.len(), *id)))
            .min_by_key(|(at, length, _)| (*at, usize::MAX - length))
    }

    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) {
        self.splitter.split(text, |word| self.merges.encode(word.as_bytes(), out));
    }
}

fn strings<'a>(file: &'a Gguf, key: &str) -> Result<Vec<&'a str>, LoadError> {
    let array = file.array(key)?.ok_or_else(|| LoadError::missing(key))?;
    array
        .iter()
        .map(|value| value.as_str())
        .collect::<Option<_>>()
        .ok_or_else(|| LoadError::malformed(format!("{key} holds something other than strings")))
}
