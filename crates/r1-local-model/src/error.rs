//! Why a model file can't be used.
//!
//! One error for everything between the bytes of a file and a model that is ready to run: the
//! reader, the tokenizer and the weights meet the same file, and the person who reads the message
//! has the same choice in every case: get an intact file, or run this one elsewhere.

use std::path::PathBuf;

/// The sentence that names the way out for a file that is fine, only not for this engine.
const WAY_OUT: &str = "run it with `local_model.engine = \"llama-server\"`, or serve it with \
Ollama or vLLM and add that as a provider by URL";

/// A model file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be opened or mapped.
    #[error("cannot read model file {}", path.display())]
    Io {
        /// The file asked for.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The file does not start with the GGUF magic.
    #[error("this is not a GGUF model file")]
    NotGguf,
    /// The file ends before the thing it announces.
    #[error("the model file is truncated: it ends inside {0}; download it again")]
    Truncated(&'static str),
    /// The file contradicts itself.
    #[error("the model file is malformed: {0}; download it again")]
    Malformed(String),
    /// A key or tensor that the llama architecture needs is not there.
    #[error("the model file has no {0}")]
    Missing(String),
    /// A valid file that this engine does not run.
    #[error("the built-in engine does not support {0}: {WAY_OUT}")]
    Unsupported(String),
}

impl LoadError {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }

    pub(crate) fn missing(what: impl Into<String>) -> Self {
        Self::Missing(what.into())
    }
}
