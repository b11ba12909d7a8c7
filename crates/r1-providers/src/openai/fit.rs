//! What fits which model, as its provider has shown it: parameters that it refuses, the role that it does not know, how
//! it sends what it thinks.
//!
//! A refusal (400, 422, and 500 where it is the template's of a model) that names something of the request that can be left out or said otherwise is answered by one
//! corrected request, and the correction is remembered for that model, so that no model is sent twice what it has
//! refused. What only does not fit this once, a value out of bounds say, is corrected and forgotten.
//!
//! **Invariant:** each correction changes the request, and none is made twice for one question: the number of requests
//! is bounded by the number of corrections. What is remembered is bounded by [`MODELS`].

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    error::ErrorWords,
    parameters::{MaxTokensField, Parameters, SystemRole},
};

#[cfg(test)]
mod tests;

/// Models that something is remembered of. A further one takes the place of any.
const MODELS: usize = 500;

/// What is learned of a provider's models.
#[derive(Debug, Default)]
pub(super) struct Fits(Mutex<HashMap<Arc<str>, Fit>>);

impl Fits {
    /// What is known of this model.
    pub(super) fn of(&self, model: &str) -> Fit {
        self.0.lock().get(model).cloned().unwrap_or_default()
    }

    /// Remembers a correction.
    pub(super) fn learn(&self, model: &Arc<str>, correction: Correction) {
        self.update(model, |fit| fit.apply(correction));
    }

    /// Whether this model is to be expected to send the closing tag of its thinking without an opening one: it has
    /// done so, or it is of a family that does where the server does not take its thinking out.
    pub(super) fn closes_thinking(&self, model: &str) -> bool {
        self.of(model).closes_thinking.unwrap_or_else(|| {
            let name = model.to_ascii_lowercase();
            ["deepseek-r1", "deepseek-reasoner", "qwq", "minimax-m2", "-thinking"]
                .iter()
                .any(|family| name.contains(family))
        })
    }

    /// Remembers whether it did.
    pub(super) fn learn_thinking(&self, model: &Arc<str>, closes: bool) {
        if self.of(model).closes_thinking != Some(closes) {
            self.update(model, |fit| fit.closes_thinking = Some(closes));
        }
    }

    fn update(&self, model: &Arc<str>, change: impl FnOnce(&mut Fit)) {
        let mut models = self.0.lock();
        if models.len() >= MODELS
            && !models.contains_key(model)
            && let Some(any) = models.keys().next().cloned()
        {
            models.remove(&any);
        }
        change(models.entry(model.clone()).or_default());
    }
}

/// What fits one model.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Fit {
    corrections: Vec<Correction>,
    closes_thinking: Option<bool>,
}

impl Fit {
    /// Whether it has this correction.
    pub(super) fn has(&self, correction: Correction) -> bool {
        self.corrections.contains(&correction)
    }

    /// Adds a correction.
    pub(super) fn apply(&mut self, correction: Correction) {
        if !self.has(correction) {
            self.corrections.push(correction);
        }
    }

    /// The settings, corrected. Of two names for the limit on length, the one that was not refused.
    pub(super) fn corrected(&self, mut settings: Parameters) -> Parameters {
        for correction in &self.corrections {
            match correction {
                Correction::Without(name) => settings.unsupported.push((*name).to_owned()),
                Correction::Name(field) => settings.max_tokens_field = Some(*field),
                Correction::System(role) => settings.system_role = Some(*role),
                Correction::Whole => {}
            }
        }
        settings
    }
}

/// One thing that is done otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Correction {
    /// A parameter is left out.
    Without(&'static str),
    /// The limit on an answer's length has this name.
    Name(MaxTokensField),
    /// A system turn is sent in this way.
    System(SystemRole),
    /// The answer is asked for in one piece.
    Whole,
}

/// What can be said of a request that was refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// What it was corrected by.
    pub(super) fit: &'a Fit,
    /// The optional parameters that it had, by name.
    pub(super) parameters: &'a [&'static str],
    /// How its system turn was sent, if it had one.
    pub(super) system: Option<SystemRole>,
}

/// What to do otherwise after a refusal with these words, and whether to remember it. None: nothing that would help.
pub(super) fn correction(words: &ErrorWords, asked: Asked<'_>) -> Option<(Correction, bool)> {
    // Whatever they name, these are no parameter's fault.
    if words.is_content() || words.is_no_credit() || words.is_key() {
        return None;
    }
    let limit = asked.parameters.iter().copied().find(|name| is_limit(name));
    if let Some(limit) = limit
        && words.is_about_the_answers_length()
        && !words.is_unknown_parameter()
    {
        // The server knows how much room there is; a limit that leaves none is no fault of the conversation's.
        return Some((Correction::Without(limit), false));
    }
    if words.is_context() {
        return None;
    }
    let refuses = words.is_refusal_of_a_parameter();
    let is_about_the_system_role = words.is_about_the_system_role();
    let own = |name: &str| words.parameters().iter().any(|parameter| parameter.rsplit('.').next() == Some(name));
    // The names that are also everyday words count between quotes only, and where it is not about roles.
    let names = |name: &str| {
        let is_common = matches!(name, "user" | "seed");
        let is_word = words.has_word(name, is_common) && !(name == "user" && is_about_the_system_role);
        own(name) || ((refuses || words.is_about_a_value()) && is_word)
    };
    if let Some(limit) = limit.filter(|limit| names(limit)) {
        let other = match limit {
            "max_tokens" => MaxTokensField::MaxCompletionTokens,
            _ => MaxTokensField::MaxTokens,
        };
        let was_renamed = asked.fit.corrections.iter().any(|made| matches!(made, Correction::Name(_)));
        return Some(match words.is_about_a_value() && !words.is_unknown_parameter() {
            true => (Correction::Without(limit), false),
            false if was_renamed => (Correction::Without(limit), true),
            false => (Correction::Name(other), true),
        });
    }
    let named = asked.parameters.iter().copied().filter(|name| !is_limit(name)).find(|name| names(name));
    if let Some(name) = named {
        let known = refuses || !words.is_about_a_value();
        return Some((Correction::Without(name), known));
    }
    if let Some(role) = asked.system.filter(|_| is_about_the_system_role) {
        let next = match role {
            SystemRole::System if words.has_word("developer", true) => SystemRole::Developer,
            SystemRole::System | SystemRole::Developer => SystemRole::Merge,
            SystemRole::Merge => return None,
        };
        return Some((Correction::System(next), true));
    }
    let is_stream = own("stream") || words.has_word("stream", true) || words.has_word("stream=true", false);
    if refuses && (is_stream || words.has_word("streaming", false)) {
        return Some((Correction::Whole, true));
    }
    None
}

/// Whether this names the limit on an answer's length.
fn is_limit(name: &str) -> bool {
    matches!(name, "max_tokens" | "max_completion_tokens")
}
