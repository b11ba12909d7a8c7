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
/// The longest name of a host with its port that is put into a policy.
const MAX_HOST: usize = 260;
/// What the page does not do, whatever is injected into it.
const PERMISSIONS: &str = "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), \
    gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()";

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Describes `asset` to a browser that asked `host` for it (name and port, as the request says; `None` where it does
/// not).
pub(crate) fn describe(headers: &mut HeaderMap, asset: &Asset, host: Option<&str>) {
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::VARY, "accept-encoding");
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_DNS_PREFETCH_CONTROL, "off");
    set(CROSS_ORIGIN_OPENER_POLICY, "same-origin");
    set(PERMISSIONS_POLICY, PERMISSIONS);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    if asset.is_immutable() {
        set(header::CACHE_CONTROL, "public, max-age=31536000, immutable");
        // The frame of diagrams has an origin of its own and asks across origins.
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    } else {
        set(header::CACHE_CONTROL, "no-cache");
    }
    if asset.name == DIAGRAM
        && let Ok(policy) = HeaderValue::try_from(diagram_policy(host))
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
}

/// For the file that draws diagrams: its library needs inline styles, and the sandbox makes them harmless.
///
/// The sandbox also takes the file's origin away, and WebKit then finds that `'self'` is nothing (its bug 316847, in
/// Safari and in every browser on iOS): the page's own origin is named beside it. With both schemes, because only a
/// proxy in front of this server knows which one the browser uses; the browser asks nobody but this host either way.
fn diagram_policy(host: Option<&str>) -> String {
    let own = match host.filter(|host| is_plain_host(host)) {
        Some(host) => format!("'self' http://{host} https://{host}"),
        None => "'self'".to_owned(),
    };
    format!(
        "default-src 'none'; script-src {own}; style-src {own} 'unsafe-inline'; img-src data:; font-src {own}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'self'; object-src 'none'; sandbox allow-scripts"
    )
}

/// Whether this is a name or an IPv4 address, with a port or without: nothing else may stand in a policy, where `;`,
/// `,`, `*` or white space would say more than a host. (IPv6 addresses have no form there.)
fn is_plain_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    host.len() <= MAX_HOST
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && port.parse::<u16>().is_ok()
        && port.bytes().all(|byte| byte.is_ascii_digit())
}
