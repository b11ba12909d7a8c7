use std::net::SocketAddr;

use anyhow::Result;

use super::{Cut, Place, Proxy, place::Scanner};
use crate::upstream::{Script, Upstream};

const RESPONSE: &str =
    "HTTP/1.1 200 OK\r\na: b\r\n\r\n1c\r\nid: 1\ndata: {\"x\": \"\u{e4}\"}\n\n\r\n4\r\n: x\n\r\n0\r\n\r\n";

fn all(place: Place) -> Vec<usize> {
    let found = |after| Scanner::new().find(RESPONSE.as_bytes(), after as u64, Some(place)).map(|(at, _)| at);
    let mut all: Vec<_> = (0..RESPONSE.len()).filter_map(found).collect();
    all.dedup();
    all
}

#[test]
fn every_byte_is_some_place() {
    let at = |text: &str| RESPONSE.find(text).unwrap();
    assert_eq!(all(Place::Head), (0..at("1c\r\n")).collect::<Vec<_>>());
    assert_eq!(all(Place::Character), [at("\u{e4}") + 1]);
    assert_eq!(all(Place::Id), (at("d: 1")..at("1\ndata") + 1).collect::<Vec<_>>());
    assert_eq!(all(Place::BlankLine), [at("\n\n") + 1]);
    let border = all(Place::ChunkBorder);
    assert!(
        [at("1c\r\n"), at("1c\r\n") + 2, at("id: 1"), at("4\r\n")].iter().all(|at| border.contains(at)),
        "{border:?}"
    );
    let known: usize = Place::ALL.iter().map(|place| all(*place).len()).sum();
    assert_eq!(known, RESPONSE.len());
}

#[test]
fn what_is_cut_does_not_depend_on_the_reads() {
    for place in Place::ALL {
        for after in [0, 30, 41] {
            let whole = Scanner::new().find(RESPONSE.as_bytes(), after, Some(place));
            let mut scanner = Scanner::new();
            let single = RESPONSE
                .bytes()
                .enumerate()
                .find_map(|(at, byte)| scanner.find(&[byte], after, Some(place)).map(|(_, place)| (at, place)));
            assert_eq!(whole, single, "{place:?} after {after}");
        }
    }
}

#[tokio::test]
async fn it_leads_where_it_is_told_and_cuts_there() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("one two three"));
    let address: SocketAddr = upstream.base_url().trim_start_matches("http://").trim_end_matches("/v1").parse()?;
    let proxy = Proxy::start().await?;
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    let ask = || client.post(format!("{}/v1/chat/completions", proxy.url())).json(&serde_json::json!({})).send();
    assert!(ask().await.is_err(), "it leads nowhere");
    proxy.lead_to(Some(address));
    let whole = ask().await?.text().await?;
    assert!(whole.contains("three") && whole.ends_with("[DONE]\n\n"));

    let cut = Cut { in_request: false, after: 300, place: Some(Place::BlankLine), reset: false };
    proxy.cut_with(move |_| Some(cut));
    let mut response = ask().await?;
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        body.extend_from_slice(&bytes);
    }
    assert!(body.len() < whole.len() && whole.as_bytes().starts_with(&body));
    assert_eq!(proxy.cuts().get(&Place::BlankLine), Some(&1));

    proxy.cut_with(move |_| Some(Cut { in_request: true, after: 20, ..cut }));
    assert!(ask().await.is_err(), "cut before it was asked");
    assert_eq!(upstream.counters().requests, 2);
    Ok(())
}
