//! Providers: whoever runs models and speaks the OpenAI chat-completions wire format.
//!
//! [`openai::OpenAi`] is the one client, for OpenAI itself and for everything that imitates it, over
//! TCP or a Unix socket; [`catalog::Catalog`] knows all configured ones, finds a model by its name
//! and says how each provider is. Retrying and failing over are the caller's: only it knows whether
//! a token has been shown.
//!
//! **Invariant:** what a provider says about a failure is read, bounded, to classify it; users and logs get our own
//! sentence, in which no key, no address and no upstream text can be. Its own message goes further only as
//! `ProviderError::detail`, without keys and addresses: see [`redaction`].

#[doc(hidden)]
pub mod bench;
pub mod catalog;
mod continuation;
mod document;
mod families;
mod health;
#[cfg(test)]
mod linear;
mod listing;
pub mod local_servers;
pub mod openai;
pub mod redaction;
mod sse;
