//! Who sends a request: a bearer token, or the page's cookie.

use std::{convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use http::{HeaderMap, header, request::Parts};
use r1_auth::{AuthError, Watch};
use r1_domain::{
    id::{GenerationId, SessionId, UserId},
    session::Session,
    user::User,
};

use crate::{app::App, error::ApiError, in_flight::Sender, origin::check_site};

/// A signed-in caller.
pub(crate) struct Caller {
    session: Arc<Session>,
    is_by_cookie: bool,
}

impl Caller {
    pub(crate) fn id(&self) -> UserId {
        self.session.user.id
    }

    pub(crate) fn user(&self) -> &User {
        &self.session.user
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn session_id(&self) -> SessionId {
        self.session.id
    }

    /// Whether it is the page: a cookie, and no token, said who it is.
    pub(crate) fn is_by_cookie(&self) -> bool {
        self.is_by_cookie
    }

    /// How what follows this generation for the caller learns that it may not go on.
    pub(crate) fn watch(&self, app: &App, generation: GenerationId) -> Watch {
        app.auth.watch(self.session_id(), self.id(), generation)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = authenticate(parts, app).await?;
        tracing::Span::current().record("user_id", tracing::field::display(caller.id()));
        app.requests.check(caller.id())?;
        // Whose body it is that is read next.
        parts.extensions.insert(Sender::User(caller.id()));
        // Somebody is here: a model that went to sleep may wake while they type.
        app.models.warm();
        Ok(caller)
    }
}

/// Whoever sends a request, signed in or not: a missing, stale or foreign proof is nobody. Every other fault (a
/// limit, a database that is away) is an error, so that nobody is never said in place of "unknown".
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

impl FromRequestParts<App> for MaybeCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, app).await {
            Ok(caller) => Ok(Self(Some(caller))),
            Err(error) if error.is_unauthenticated() => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

/// Whether an administrator asks. Who only watches the server is not counted, and wakes no model.
pub(crate) struct IsAdmin(pub(crate) bool);

impl FromRequestParts<App> for IsAdmin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        // Who can't be told from a stranger, be it that the database does not work, is one.
        Ok(Self(authenticate(parts, app).await.is_ok_and(|caller| caller.user().is_admin)))
    }
}

async fn authenticate(parts: &Parts, app: &App) -> Result<Caller, ApiError> {
    if let Some(token) = bearer(&parts.headers) {
        let session = app.auth.authenticate_bearer(token.trim()).await?;
        return Ok(Caller { session, is_by_cookie: false });
    }
    let cookies = app.settings.session_cookies(&parts.headers);
    if !cookies.is_some {
        return Err(ApiError::unauthenticated());
    }
    check_site(parts)?;
    for secret in cookies.secrets {
        match app.auth.authenticate_cookie(secret).await {
            Ok(session) => return Ok(Caller { session, is_by_cookie: true }),
            // One that is over, or somebody else's of the same name: the right one may stand behind it.
            Err(AuthError::SessionEnded) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(AuthError::SessionEnded.into())
}

/// The token of a request. What other schemes say is for a proxy before this server, not for it.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
