use std::io::Read;

use super::*;

const INDEX: Asset = Asset {
    name: "index.html",
    mime: "text/html; charset=utf-8",
    hash: "1d",
    raw: b"<!doctype html>",
    br: Some(b"br"),
    gzip: Some(b"gzip"),
};
const SITE: Site = Site(&[
    Asset { name: "assets/app-1a2b.js", mime: "text/javascript; charset=utf-8", hash: "a5", ..INDEX },
    Asset { name: "diagram.html", hash: "d1", ..INDEX },
    Asset { name: "favicon.svg", mime: "image/svg+xml", hash: "fa", br: None, gzip: None, ..INDEX },
    INDEX,
]);

fn request(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Response<Bytes> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    SITE.serve(method, path, &map)
}

fn get(path: &str, headers: &[(&'static str, &str)]) -> Response<Bytes> {
    request(&Method::GET, path, headers)
}

#[track_caller]
fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn paths_of_the_page_get_its_html() {
    for path in ["/", "/index.html", "/login", "/c/0190b5f0-0000-7000-8000-000000000000", "/apiary", "/assetsx", ""] {
        let response = get(path, &[]);
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.body(), "<!doctype html>", "{path}");
        assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&response, "cache-control"), "no-cache");
    }
}

#[test]
fn what_is_missing_under_assets_and_api_is_404() {
    for path in ["/assets/app-old.js", "/assets/", "/api", "/api/", "/api/v1/nothing", "//api/v1"] {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let response = request(&method, path, &[]);
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            assert_eq!(header(&response, "cache-control"), "no-store");
            assert!(!header(&response, "content-type").contains("html"));
        }
    }
}

#[test]
fn only_get_and_head() {
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let response = request(&method, "/", &[]);
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&response, "allow"), "GET, HEAD");
    }
    let (get, head) = (get("/", &[]), request(&Method::HEAD, "/", &[]));
    assert_eq!(head.headers(), get.headers());
    assert_eq!(header(&head, "content-length"), "15");
    assert!(head.body().is_empty());
}

#[test]
fn files_with_a_hash_in_their_name_are_kept_for_ever() {
    let response = get("/assets/app-1a2b.js", &[]);
    assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let response = get("/favicon.svg", &[]);
    assert_eq!(header(&response, "cache-control"), "no-cache");
    assert_eq!(header(&response, "access-control-allow-origin"), "");
}

#[test]
fn the_client_gets_the_form_that_it_likes_best() {
    for (wish, encoding) in [
        ("", ""),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("br;q=0", ""),
        ("br;q=0, *", "gzip"),
        ("*", "br"),
        ("*;q=0, gzip", "gzip"),
        ("identity", ""),
        ("identity;q=0.8, gzip;q=0.2", ""),
        ("gzip;q=0.001", "gzip"),
        ("br ; q=0.5 , gzip ; q=0.4", "br"),
        ("br;q=nonsense, gzip;q=2", ""),
        ("brotli, xgzip", ""),
        ("*;q=0", ""),
    ] {
        let response = get("/", &[("accept-encoding", wish)]);
        assert_eq!(header(&response, "content-encoding"), encoding, "{wish}");
        assert_eq!(header(&response, "vary"), "accept-encoding");
        let body: &[u8] = if encoding.is_empty() { INDEX.raw } else { encoding.as_bytes() };
        assert_eq!(response.body(), body, "{wish}");
        assert_eq!(header(&response, "content-length"), body.len().to_string());
    }
    let response = get("/", &[("accept-encoding", "gzip;q=0.5"), ("accept-encoding", "br")]);
    assert_eq!(header(&response, "content-encoding"), "br", "a second header line counts too");
    let response = get("/favicon.svg", &[("accept-encoding", "br, gzip")]);
    assert_eq!(header(&response, "content-encoding"), "", "not every file has every form");
}

#[test]
fn each_form_has_its_own_tag() {
    let tag = |wish| header(&get("/", &[("accept-encoding", wish)]), "etag").to_owned();
    assert_eq!((tag("br"), tag("gzip"), tag("")), ("\"1d-br\"".into(), "\"1d-gzip\"".into(), "\"1d\"".into()));
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    for (tags, status) in [
        ("\"1d-br\"", 304),
        ("W/\"1d-br\"", 304),
        ("\"x\", \"1d-br\"", 304),
        ("*", 304),
        ("\"1d\"", 200),
        ("\"1d-gzip\"", 200),
        ("1d-br", 200),
        ("", 200),
    ] {
        let response = get("/c/1", &[("accept-encoding", "br"), ("if-none-match", tags)]);
        assert_eq!(response.status(), status, "{tags}");
        if status == 304 {
            assert!(response.body().is_empty());
            assert_eq!(header(&response, "etag"), "\"1d-br\"");
            assert_eq!(header(&response, "cache-control"), "no-cache");
            assert_eq!(header(&response, "vary"), "accept-encoding");
            assert_eq!(header(&response, "content-length"), "");
        }
    }
}

#[test]
fn the_page_may_do_little() {
    let response = get("/", &[]);
    let policy = header(&response, "content-security-policy");
    for rule in [
        "default-src 'none';",
        "script-src 'self';",
        "style-src 'self';",
        "img-src 'self' data: blob:;",
        "connect-src 'self';",
        "base-uri 'none';",
        "frame-ancestors 'none';",
        "object-src 'none';",
        "require-trusted-types-for 'script';",
        "trusted-types svelte-trusted-html",
    ] {
        assert!(policy.contains(rule), "{rule} in {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("  "), "{policy}");
    assert_eq!(header(&response, "x-content-type-options"), "nosniff");
    assert_eq!(header(&response, "referrer-policy"), "no-referrer");
    assert_eq!(header(&response, "cross-origin-opener-policy"), "same-origin");
    assert_eq!(header(&response, "x-dns-prefetch-control"), "off");
    assert!(header(&response, "permissions-policy").contains("camera=()"));
}

#[test]
fn diagrams_are_drawn_in_a_sandbox() {
    let response = get("/diagram.html", &[]);
    let policy = header(&response, "content-security-policy");
    assert!(policy.ends_with("sandbox allow-scripts") && policy.contains("frame-ancestors 'self'"), "{policy}");
    assert!(!policy.contains("connect-src"), "a diagram asks nobody: {policy}");
}

#[test]
fn the_embedded_page_is_whole() {
    let assets = Site::EMBEDDED.0;
    assert!(assets.is_sorted_by(|a, b| a.name < b.name));
    assert!(Site::EMBEDDED.find("index.html").is_some());
    for asset in assets {
        if let Some(br) = asset.br {
            assert!(br.len() < asset.raw.len());
        }
        if let Some(gzip) = asset.gzip {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(gzip).read_to_end(&mut text).unwrap();
            assert!(text == asset.raw, "{}", asset.name);
        }
        if let Some(br) = asset.br {
            let mut text = Vec::new();
            brotli::Decompressor::new(br, 4096).read_to_end(&mut text).unwrap();
            assert!(text == asset.raw, "{}", asset.name);
        }
    }
}

#[test]
fn the_embedded_html_keeps_to_its_own_policy() {
    for asset in Site::EMBEDDED.0.iter().filter(|asset| asset.name == "index.html") {
        let html = std::str::from_utf8(asset.raw).unwrap().to_lowercase();
        for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
        assert_eq!(
            html.matches("<script").count(),
            html.matches("<script src=").count() + html.matches("<script type=\"module\"").count()
        );
    }
}

#[tokio::test]
async fn the_router_falls_back_to_the_page() {
    let request = Request::get("/c/1").header("accept-encoding", "br").body(Body::empty()).unwrap();
    let response = page(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
}
