//! The request's body (OpenAI API reference, "Create chat completion").
//!
//! **Invariant:** what was not asked for is not sent, and what the settings or an earlier refusal say that a model does
//! not take is not sent to it.

use std::borrow::Cow;

use r1_domain::{message::Role, provider::CompletionRequest};
use serde::Serialize;

use super::{
    config::{Continues, OpenAiConfig},
    fit::{Correction, Fit},
    parameters::{MaxTokensField, SystemRole},
};
use crate::continuation::Seam;

#[cfg(test)]
mod tests;

/// A request as it is sent.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_final_message: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_generation_prompt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_token_ids: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_token_ids: Option<&'a [u32]>,
    /// How its system turn is sent, if there is one.
    #[serde(skip)]
    system: Option<SystemRole>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Cow<'a, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prefix: bool,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl Body<'_> {
    /// The optional parameters that it has.
    pub(super) fn parameters(&self) -> Vec<&'static str> {
        let has = [
            ("stream_options", self.stream_options.is_some()),
            ("temperature", self.temperature.is_some()),
            ("max_tokens", self.max_tokens.is_some()),
            ("max_completion_tokens", self.max_completion_tokens.is_some()),
            ("seed", self.seed.is_some()),
            ("user", self.user.is_some()),
        ];
        has.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
    }

    /// How its system turn is sent, if there is one.
    pub(super) const fn system(&self) -> Option<SystemRole> {
        self.system
    }
}

/// The body for a request, and the seam to put its answer through, where it goes on from a partial
/// answer.
pub(super) fn encode<'a>(
    config: &OpenAiConfig,
    fit: &Fit,
    model: &'a str,
    request: &'a CompletionRequest,
) -> (Body<'a>, Option<Seam>) {
    let parameters = fit.corrected(config.parameters_for(model));
    let may_send = |name: &str| parameters.may_send(name);
    let has_system = request.turns.iter().any(|turn| turn.role == Role::System);
    let system = has_system.then(|| parameters.system_role.unwrap_or(SystemRole::System));
    let mut messages = messages(request, system.unwrap_or(SystemRole::System));
    let partial = request.partial_answer.as_deref().filter(|partial| !partial.is_empty());
    let mut seam = None;
    let mut vllm = None;
    if let Some(partial) = partial {
        let sent = if config.continues == Continues::Plain { partial.trim_end() } else { partial };
        // Where it goes on from its tokens a beginning that looks like an echo is none.
        seam = (!config.own_engine).then(|| Seam::new(partial, sent));
        if !sent.is_empty() {
            let role = Role::Assistant.as_str();
            messages.push(Message { role, content: sent.into(), prefix: config.continues == Continues::Prefix });
            vllm = (config.continues == Continues::Vllm).then_some(());
        }
    }
    let ids = request.partial_ids.as_deref().filter(|_| config.own_engine && vllm.is_some());
    let most = request.max_tokens.or(parameters.max_tokens);
    // Nothing left to write is a request only for who knows what is written.
    let most = if ids.is_some() { most } else { most.map(|most| most.max(1)) };
    let field = parameters.max_tokens_field.unwrap_or_default();
    let limit = |own: MaxTokensField| most.filter(|_| field == own && may_send(own.as_str()));
    let stream = !fit.has(Correction::Whole);
    let with_usage = stream && parameters.stream_options.unwrap_or(true) && may_send("stream_options");
    let body = Body {
        model,
        messages,
        stream,
        stream_options: with_usage.then_some(StreamOptions { include_usage: true }),
        temperature: request.temperature.or(parameters.temperature).filter(|_| may_send("temperature")),
        max_tokens: limit(MaxTokensField::MaxTokens),
        max_completion_tokens: limit(MaxTokensField::MaxCompletionTokens),
        seed: (parameters.send_seed.unwrap_or(false) && may_send("seed")).then_some(request.seed),
        user: (parameters.send_user.unwrap_or(false) && may_send("user")).then_some(request.user_key.as_str()),
        continue_final_message: vllm.map(|()| true),
        add_generation_prompt: vllm.map(|()| false),
        return_token_ids: config.own_engine.then_some(true),
        continue_token_ids: ids,
        system,
    };
    (body, seam)
}

/// The turns as messages, with system turns as this provider takes them.
fn messages(request: &CompletionRequest, system: SystemRole) -> Vec<Message<'_>> {
    let mut messages: Vec<Message<'_>> = Vec::with_capacity(request.turns.len() + 1);
    // Instructions that wait for the user's next turn.
    let mut instructions = String::new();
    for turn in &request.turns {
        let role = match (turn.role, system) {
            (Role::System, SystemRole::Merge) => {
                instructions.push_str(&turn.content);
                instructions.push_str("\n\n");
                continue;
            }
            (Role::System, SystemRole::Developer) => "developer",
            (role, _) => role.as_str(),
        };
        let content = match turn.role {
            Role::User if !instructions.is_empty() => (std::mem::take(&mut instructions) + &turn.content).into(),
            _ => turn.content.as_str().into(),
        };
        messages.push(Message { role, content, prefix: false });
    }
    if !instructions.is_empty() {
        messages.push(Message { role: Role::User.as_str(), content: instructions.into(), prefix: false });
    }
    messages
}
