use std::{
    io::{Read, Write},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{asset::Stored, *};

/// [`HTML`], compressed.
const GZIP: &[u8] = &[
    31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 179, 81, 76, 201, 79, 46, 169, 44, 72, 85, 200, 40, 201, 205, 177, 3, 0, 72, 236,
    185, 135, 15, 0, 0, 0,
];
const HTML: &str = "<!doctype html>";
const INDEX: Asset = Asset {
    name: "index.html",
    mime: "text/html; charset=utf-8",
    hash: "1d",
    stored: Stored::Compressed { br: b"br", gzip: GZIP, length: HTML.len() },
};
const SITE: Site = Site(&[
    Asset { name: "assets/app-1a2b.js", mime: "text/javascript; charset=utf-8", hash: "a5", ..INDEX },
    Asset { name: "diagram.html", hash: "d1", ..INDEX },
    Asset { name: "favicon.svg", mime: "image/svg+xml", hash: "fa", stored: Stored::Raw(b"<svg/>") },
    INDEX,
]);

fn request(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Response<Bytes> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    SITE.serve(method, &path.parse().unwrap(), &map).map(|content| pieces(content).concat().into())
}

/// Of a body that never waits.
fn pieces(mut content: Content) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while let Poll::Ready(Some(frame)) = Pin::new(&mut content).poll_frame(&mut Context::from_waker(Waker::noop())) {
        pieces.push(frame.unwrap().into_data().ok().unwrap());
    }
    assert!(content.is_end_stream());
    pieces
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
    for path in [
        "/",
        "/index.html",
        "/login",
        "/c/0190b5f0-0000-7000-8000-000000000000",
        "/apiary",
        "/assetsx",
        "http://r1.example",
    ] {
        let response = get(path, &[]);
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.body(), HTML, "{path}");
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
        let body: &[u8] = match encoding {
            "br" => b"br",
            "gzip" => GZIP,
            _ => HTML.as_bytes(),
        };
        assert_eq!(response.body(), body, "{wish}");
        assert_eq!(header(&response, "content-length"), body.len().to_string());
    }
    let response = get("/", &[("accept-encoding", "gzip;q=0.5"), ("accept-encoding", "br")]);
    assert_eq!(header(&response, "content-encoding"), "br", "a second header line counts too");
    let response = get("/favicon.svg", &[("accept-encoding", "br, gzip")]);
    assert_eq!(header(&response, "content-encoding"), "", "not every file has every form");
    assert_eq!(response.body(), "<svg/>");
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

/// The policy of the diagrams' frame for a request to `target` with these `Host` headers.
fn diagram_policy(target: &str, hosts: &[&str]) -> String {
    let headers = hosts.iter().map(|host| ("host", *host)).collect::<Vec<_>>();
    header(&get(target, &headers), "content-security-policy").to_owned()
}

#[test]
fn the_sandbox_names_its_own_host_because_self_may_be_nothing_there() {
    for host in ["chat.example", "chat.example:8443", "127.0.0.1:3000", "LOCALHOST:1", "xn--bcher-kva.example", "my_pc"]
    {
        let policy = diagram_policy("/diagram.html", &[host]);
        for directive in ["script-src", "style-src", "font-src"] {
            let sources = format!("{directive} 'self' http://{host} https://{host}");
            assert!(
                policy.contains(&format!("{sources};")) || policy.contains(&format!("{sources} 'unsafe-inline';")),
                "{policy}"
            );
        }
    }
    let policy = diagram_policy("https://chat.example/diagram.html", &["other.example"]);
    assert!(policy.contains("script-src 'self' http://chat.example https://chat.example;"), "{policy}");
    assert!(!policy.contains("other.example"), "{policy}");
}

#[test]
fn what_is_no_plain_host_stays_out_of_the_sandbox() {
    let long = "a".repeat(300);
    for host in [
        "",
        ":3000",
        "a;script-src *",
        "a, b",
        "a b",
        "a\tb",
        "*",
        "*.example",
        "a:*",
        "a:b",
        "a:1:2",
        "a:70000",
        "a:+1",
        "a/b",
        "a?b",
        "'none'",
        "user@a",
        "[::1]:3000",
        "data:",
        &long,
    ] {
        let policy = diagram_policy("/diagram.html", &[host]);
        assert!(policy.contains("script-src 'self'; style-src 'self' 'unsafe-inline';"), "{host}: {policy}");
        assert!(policy.contains("font-src 'self';"), "{host}: {policy}");
    }
    assert!(diagram_policy("/diagram.html", &[]).contains("script-src 'self';"));
    let page = get("/", &[("host", "chat.example")]);
    assert!(!header(&page, "content-security-policy").contains("chat.example"), "the page itself has an origin");
}

fn gzip(bytes: &[u8]) -> &'static [u8] {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().leak()
}

#[test]
fn a_large_file_is_inflated_in_small_pieces() {
    let text: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect();
    let content = Content::inflated(gzip(&text), text.len());
    assert_eq!(content.size_hint().exact(), Some(text.len() as u64));
    let pieces = pieces(content);
    assert!(pieces.iter().all(|piece| (1..=32 * 1024).contains(&piece.len())));
    assert!(pieces.concat() == text);
}

#[test]
fn a_damaged_file_is_an_error_and_no_shorter_file() {
    let whole = gzip(&[b'x'; 100_000]);
    let mut content = Content::inflated(&whole[..whole.len() / 2], 100_000);
    let mut poll = || Pin::new(&mut content).poll_frame(&mut Context::from_waker(Waker::noop()));
    let mut polled = poll();
    while let Poll::Ready(Some(Ok(_))) = polled {
        polled = poll();
    }
    assert!(matches!(polled, Poll::Ready(Some(Err(_)))));
    assert!(matches!(poll(), Poll::Ready(None)));
}

#[test]
fn the_embedded_page_is_whole() {
    let assets = Site::EMBEDDED.0;
    assert!(assets.is_sorted_by(|a, b| a.name < b.name));
    assert!(Site::EMBEDDED.find("index.html").is_some());
    for asset in assets {
        if let Stored::Compressed { br, gzip, length } = asset.stored {
            assert!(br.len() < length && gzip.len() < length);
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(gzip).read_to_end(&mut text).unwrap();
            assert_eq!(text.len(), length, "{}", asset.name);
            let mut same = Vec::new();
            brotli::Decompressor::new(br, 4096).read_to_end(&mut same).unwrap();
            assert!(same == text, "{}", asset.name);
        }
    }
}

#[test]
fn the_embedded_html_keeps_to_its_own_policy() {
    let response = Site::EMBEDDED.serve(&Method::GET, &Uri::from_static("/"), &HeaderMap::new());
    let html = pieces(response.into_body()).concat();
    let html = std::str::from_utf8(&html).unwrap().to_lowercase();
    assert!(html.starts_with("<!doctype html>"));
    for forbidden in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(
        html.matches("<script").count(),
        html.matches("<script src=").count() + html.matches("<script type=\"module\"").count()
    );
}

#[tokio::test]
async fn the_router_falls_back_to_the_page() {
    let request = Request::get("/c/1").header("accept-encoding", "br").body(Body::empty()).unwrap();
    let response = page(request).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
}
