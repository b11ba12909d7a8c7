//! The API document, and what of it no single handler says.
//!
//! A handler describes what is its own. What follows from the kind of an operation (that it needs a
//! session, takes a body, changes something) is added here to all of that kind, so that a new one
//! can't lack it.

use http::StatusCode;
use utoipa::{
    OpenApi,
    openapi::{
        Content, HeaderBuilder, Object, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder, Type,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

const PROBLEM: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "GPT.R1",
        description = "A self-hosted ChatGPT whose streams never break. Errors are problem documents (RFC 9457) with a stable `code`; times are RFC 3339 in UTC; ids are UUIDs.",
        license(name = "MIT OR Apache-2.0")
    ),
    security(("bearer" = []), ("cookie" = [])),
    modifiers(&Sessions)
)]
pub(crate) struct ApiDocument;

/// The two ways to prove a session.
struct Sessions;

impl utoipa::Modify for Sessions {
    fn modify(&self, document: &mut Document) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let cookie = ApiKeyValue::with_description(
            "gpt-r1-INSTANCE",
            "The page's session. INSTANCE is a word of each server's own; with an https `public_url` the name starts with `__Host-`. Unsafe methods need a same-origin Sec-Fetch-Site or Origin.",
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// What kind of operation it is.
struct Kind {
    /// It needs a session.
    secured: bool,
    /// It takes a body.
    has_body: bool,
    /// Its method is unsafe.
    changes: bool,
    /// An EventSource may ask for it: passing refusals are a 200 that asks to come back.
    comes_back: bool,
}

impl Kind {
    fn of(operation: &Operation, changes: bool) -> Self {
        let streams = operation.responses.responses.get("200").is_some_and(|response| match response {
            RefOr::T(response) => response.content.contains_key("text/event-stream"),
            RefOr::Ref(_) => false,
        });
        Self {
            secured: operation.security.is_none(),
            has_body: operation.request_body.is_some(),
            changes,
            comes_back: streams && !changes,
        }
    }

    /// Only health has neither, and looks after its own faults.
    fn needs_storage(&self) -> bool {
        self.secured || self.has_body
    }
}

/// A refusal that operations of some kind have.
struct Refusal {
    status: StatusCode,
    name: &'static str,
    description: &'static str,
    applies: fn(&Kind) -> bool,
}

const REFUSALS: [Refusal; 12] = [
    Refusal {
        status: StatusCode::BAD_REQUEST,
        name: "Malformed",
        description: "The body can't be read as what its Content-Type says.",
        applies: |kind| kind.has_body,
    },
    Refusal {
        status: StatusCode::UNAUTHORIZED,
        name: "Unauthenticated",
        description: "Not signed in, or not any more: `code` is `unauthenticated`, `token_expired` (refresh it), `token_invalid` or `session_ended`.",
        applies: |kind| kind.secured,
    },
    Refusal {
        status: StatusCode::FORBIDDEN,
        name: "CrossSite",
        description: "The session is a cookie's, and the request does not come from this server's own pages.",
        applies: |kind| kind.secured && kind.changes,
    },
    Refusal {
        status: StatusCode::REQUEST_TIMEOUT,
        name: "RequestTimeout",
        description: "The body did not arrive in time.",
        applies: |kind| kind.has_body,
    },
    Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        name: "BodyTooLarge",
        description: "The body is too large. Questions and new conversations may have 2.5 MiB where the server is not configured otherwise, enough for 200,000 characters even if all are escaped; other bodies 64 KiB.",
        applies: |kind| kind.has_body,
    },
    Refusal {
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        name: "UnsupportedMediaType",
        description: "The Content-Type is missing, or none that is taken here.",
        applies: |kind| kind.has_body,
    },
    Refusal {
        status: StatusCode::MISDIRECTED_REQUEST,
        name: "UnknownHost",
        description: "The server listens for this machine only and does not go by the name in Host: `code` is `unknown_host`. `server.public_url` gives it one.",
        applies: |_| true,
    },
    Refusal {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        name: "Invalid",
        description: "Fields are missing, unknown or not valid: `errors` names each.",
        applies: |kind| kind.has_body,
    },
    Refusal {
        status: StatusCode::TOO_MANY_REQUESTS,
        name: "RateLimited",
        description: "Too many requests; or (`code` is `too_many_bodies`) too much that this account, or this address, has sent is still being read.",
        applies: |kind| (kind.secured || kind.has_body) && !kind.comes_back,
    },
    Refusal {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        name: "Internal",
        description: "A fault of the server's; its log has the details under `request_id`.",
        applies: Kind::needs_storage,
    },
    Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        name: "Unavailable",
        description: "The server is shutting down, is overloaded, or its database does not answer; nothing was changed, unless `code` is `storage_unconfirmed`: then repeat it with its Idempotency-Key.",
        applies: |kind| kind.needs_storage() && !kind.comes_back,
    },
    Refusal {
        status: StatusCode::INSUFFICIENT_STORAGE,
        name: "StorageFull",
        description: "The server's disk is full; nothing was changed.",
        applies: |kind| kind.needs_storage() && kind.changes,
    },
];

/// Adds to each operation what it shares with others, where its handler says nothing itself.
pub(crate) fn complete(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    for refusal in &REFUSALS {
        components.responses.insert(refusal.name.to_owned(), RefOr::T(response(refusal)));
    }
    for item in document.paths.paths.values_mut() {
        for (operation, changes) in operations(item) {
            let kind = Kind::of(operation, changes);
            let responses = &mut operation.responses.responses;
            responses.values_mut().for_each(problem_type);
            for refusal in REFUSALS.iter().filter(|refusal| (refusal.applies)(&kind)) {
                let reference = || RefOr::Ref(Ref::from_response_name(refusal.name));
                responses.entry(refusal.status.as_str().to_owned()).or_insert_with(reference);
            }
        }
    }
}

/// A path's operations, and whether their methods are unsafe.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    let safe = [&mut item.get, &mut item.head];
    let unsafe_ = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    let safe = safe.into_iter().flatten().map(|operation| (operation, false));
    safe.chain(unsafe_.into_iter().flatten().map(|operation| (operation, true)))
}

fn response(refusal: &Refusal) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    let response = ResponseBuilder::new().description(refusal.description).content(PROBLEM, content);
    let says_when = matches!(
        refusal.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE
    );
    if !says_when {
        return response.build();
    }
    let seconds = Object::with_type(Type::Integer);
    let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds until it may go better."));
    response.header("Retry-After", header.build()).build()
}

/// A handler names the body of a refusal; what media type that is, is the same for all.
fn problem_type(response: &mut RefOr<Response>) {
    let RefOr::T(response) = response else { return };
    let is_problem = |content: &RefOr<Content>| {
        let RefOr::T(content) = content else { return false };
        matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location.ends_with("/Problem"))
    };
    if response.content.get("application/json").is_some_and(is_problem)
        && let Some(content) = response.content.shift_remove("application/json")
    {
        response.content.insert(PROBLEM.to_owned(), content);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    fn document() -> Value {
        serde_json::to_value(crate::openapi()).unwrap()
    }

    fn statuses(document: &Value, method: &str, path: &str) -> Vec<String> {
        let responses = document["paths"][format!("/api/v1{path}")][method]["responses"].as_object().unwrap();
        responses.keys().cloned().collect()
    }

    #[test]
    fn each_operation_names_its_refusals() {
        let document = document();
        for (method, path, expected) in [
            ("post", "/chat/stream", "200 400 401 403 404 408 409 413 415 421 422 429 500 503 507"),
            ("get", "/chat/stream", "200 204 400 401 404 421 500"),
            ("post", "/chat", "200 400 401 403 404 408 409 413 415 421 422 429 500 503 507"),
            ("post", "/chat/generations/{id}/stop", "200 401 403 404 421 429 500 503 507"),
            ("post", "/chat/generations/{id}/continue", "200 400 401 403 404 408 409 413 415 421 422 429 500 503 507"),
            ("post", "/chat/generations/{id}/retry", "200 400 401 403 404 408 409 413 415 421 422 429 500 503 507"),
            ("post", "/auth/register", "201 400 403 408 409 413 415 421 422 429 500 503 507"),
            ("post", "/auth/login", "200 400 401 403 408 413 415 421 422 429 500 503 507"),
            ("post", "/auth/refresh", "200 400 401 408 413 415 421 422 429 500 503 507"),
            ("get", "/auth/me", "200 401 421 429 500 503"),
            ("delete", "/conversations/{id}", "204 401 403 404 421 429 500 503 507"),
            ("get", "/conversations", "200 400 401 421 429 500 503"),
            ("get", "/health", "200 421 503"),
            ("get", "/health/live", "204 421"),
        ] {
            assert_eq!(statuses(&document, method, path).join(" "), expected, "{method} {path}");
        }
    }

    #[test]
    fn every_refusal_is_a_problem_document() {
        let document = document();
        let mut refusals = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let response = match response["$ref"].as_str() {
                        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
                        None => response,
                    };
                    assert!(!response["description"].as_str().unwrap().is_empty(), "{method} {path} {status}");
                    if status.as_str() >= "400" && !path.contains("/health") {
                        let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                        assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}: {response}");
                        refusals += 1;
                    }
                }
            }
        }
        assert!(refusals > 100, "{refusals}");
    }

    #[test]
    fn a_session_is_a_token_or_a_cookie() {
        let document = document();
        assert_eq!(document["security"], serde_json::json!([{"bearer": []}, {"cookie": []}]));
        let schemes = &document["components"]["securitySchemes"];
        assert_eq!((&schemes["bearer"]["scheme"], &schemes["cookie"]["in"]), (&"bearer".into(), &"cookie".into()));
        let anonymous = &document["paths"]["/api/v1/auth/login"]["post"]["security"];
        assert_eq!(*anonymous, serde_json::json!([{}]));
    }
}
