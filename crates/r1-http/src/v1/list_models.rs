use axum::extract::State;
use r1_domain::provider::{Abilities, ModelInfo};
use serde::Serialize;

use crate::{app::App, session::Caller};

/// A model that can be asked.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelBody {
    /// As `provider/model`.
    id: String,
    /// The provider.
    provider: String,
    /// What to show in place of the id, where the provider says so. It is never asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Whether a question without a model goes here.
    default: bool,
    /// What a person should know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Tokens of question, history and answer together, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    context_tokens: Option<u32>,
    /// Tokens that an answer can have at most, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens: Option<u32>,
    /// Whether it can see pictures, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    images: Option<bool>,
    /// Whether it can call tools, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<bool>,
    /// Whether it thinks before it answers, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<bool>,
}

impl From<ModelInfo> for ModelBody {
    fn from(model: ModelInfo) -> Self {
        let ModelInfo { id, provider, name, is_default, description, abilities } = model;
        let Abilities { context_tokens, output_tokens, images, tools, reasoning } = abilities;
        Self {
            id,
            provider,
            name,
            default: is_default,
            description,
            context_tokens,
            output_tokens,
            images,
            tools,
            reasoning,
        }
    }
}

/// All models.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ModelList {
    /// The default first.
    models: Vec<ModelBody>,
}

/// Lists what can be asked: of each provider the models for chat, as it listed them last. A provider that has
/// not listed any yet is waited for for two seconds at most. Others can be asked by their names too.
#[utoipa::path(
    get, path = "/models", tag = "models",
    responses(
        (status = 200, description = "The models.", body = ModelList),
    )
)]
pub(crate) async fn list_models(State(app): State<App>, _caller: Caller) -> axum::Json<ModelList> {
    let mut models: Vec<ModelBody> = app.models.list().await.into_iter().map(ModelBody::from).collect();
    models.sort_by_key(|model| !model.default);
    axum::Json(ModelList { models })
}
