//! How long a browser keeps a file, and what the page may do.
//!
//! A model's words are hostile input. The page never makes markup of them; these headers are the
//! second wall: no inline script or style, no string that becomes a script (Trusted Types), no
//! image, request or frame from elsewhere.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::asset::Asset;

/// For the page. `svelte-trusted-html` is the policy that Svelte makes for its own templates.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    font-src 'self'; connect-src 'self'; manifest-src 'self'; frame-src 'self'; form-action 'self'; \
    base-uri 'none'; frame-ancestors 'none'; object-src 'none'; \
    require-trusted-types-for 'script'; trusted-types svelte-trusted-html";
/// The file that draws diagrams: shown in a frame of the page, with an origin of its own.
const DIAGRAM: &str = "diagram.html";
/// For that file: its library needs inline styles, and the sandbox makes them harmless.
const DIAGRAM_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; \
    object-src 'none'; sandbox allow-scripts";
/// What the page does not do, whatever is injected into it.
const PERMISSIONS: &str = "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), \
    gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

pub(crate) fn describe(headers: &mut HeaderMap, asset: &Asset) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::VARY, "accept-encoding");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_DNS_PREFETCH_CONTROL, "off");
    set(CROSS_ORIGIN_OPENER_POLICY, "same-origin");
    set(PERMISSIONS_POLICY, PERMISSIONS);
    set(header::CONTENT_SECURITY_POLICY, if asset.name == DIAGRAM { DIAGRAM_POLICY } else { POLICY });
    if asset.is_immutable() {
        set(header::CACHE_CONTROL, "public, max-age=31536000, immutable");
        // The frame of diagrams has an origin of its own and asks across origins.
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        set(header::CACHE_CONTROL, "no-cache");
    }
}
