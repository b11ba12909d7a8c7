use axum::extract::State;
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
    /// Whether a question without a model goes here.
    default: bool,
    /// What a person should know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// All models.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ModelList {
    /// The default first.
    models: Vec<ModelBody>,
}

/// Lists what can be asked. Providers that don't answer in time are left out.
#[utoipa::path(
    get, path = "/models", tag = "models",
    responses(
        (status = 200, description = "The models.", body = ModelList),
    )
)]
pub(crate) async fn list_models(State(app): State<App>, _caller: Caller) -> axum::Json<ModelList> {
    let mut models: Vec<ModelBody> = app
        .models
        .list()
        .await
        .into_iter()
        .map(|m| ModelBody { id: m.id, provider: m.provider, default: m.is_default, description: m.description })
        .collect();
    models.sort_by_key(|model| !model.default);
    axum::Json(ModelList { models })
}
