//! Providers: whoever runs models and speaks the OpenAI chat-completions wire format.
//!
//! [`openai::OpenAi`] is the one client, for OpenAI itself and for everything that imitates it, over
//! TCP or a Unix socket; [`catalog::Catalog`] knows all configured ones, finds a model by its name
//! and says how each provider is. Retrying and failing over are the caller's: only it knows whether
//! a token has been shown.
//!
//! **Invariant:** nothing that a provider says about a failure goes further than this crate. It is
//! read, bounded, to classify the failure; users and logs get our own sentence, in which no key, no
//! address and no upstream text can be.

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
mod sse;
