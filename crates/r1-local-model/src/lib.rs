//! The local model: GGUF inference on the CPU, run as a child process of the same binary.
//!
//! From the bytes of a file to words on a socket: [`gguf`] reads the container, [`tokenizer`] and
//! [`template`] turn a conversation into token ids ([`prompt`] fits them into the context),
//! [`model`] turns token ids into logits, [`sampler`] logits into the next token, [`scheduler`]
//! does so for many answers at once, and [`child`] serves them over a Unix socket in the OpenAI
//! wire format. The engine knows one architecture, llama, and answers within a fraction of a
//! second on one core; any other model gets an error that says how to run it.
//!
//! **Invariant:** an answer is a function of file, prompt, parameters and seed: whoever else is
//! served at the time, and wherever it was interrupted and continued, its tokens are the same (on
//! the same kind of machine).

pub mod child;
pub mod error;
pub mod fetch;
pub mod gguf;
pub mod model;
pub mod prompt;
pub mod sampler;
pub mod scheduler;
mod server;
pub mod supervisor;
pub mod template;
mod tensor;
#[cfg(test)]
mod tiny;
pub mod tokenizer;

pub use child::{ChildError, ChildOptions, run_child};
