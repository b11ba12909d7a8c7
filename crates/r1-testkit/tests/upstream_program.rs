//! The program `r1-upstream` from outside: what the browser suite rests on.
//!
//! That this file is here also makes cargo build the program with the tests.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result};
use futures::StreamExt;
use serde_json::json;

#[tokio::test]
async fn it_waits_at_gates_and_ends_with_its_input() -> Result<()> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_r1-upstream"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("r1-upstream")?;
    let mut input = program.stdin.take().context("its input")?;
    let mut url = String::new();
    BufReader::new(program.stdout.take().context("its output")?).read_line(&mut url)?;

    let question = json!({"messages": [{"role": "user", "content": "words 3 hold 2 gate"}]});
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client.post(format!("{}/chat/completions", url.trim())).json(&question).send().await?;
    let mut body = answer.bytes_stream();
    let mut text = String::new();
    while !text.contains("w2") {
        text.push_str(std::str::from_utf8(&body.next().await.context("two words")??)?);
    }
    assert!(!text.contains("w3"), "{text}");

    writeln!(input, "open gate")?;
    while let Some(more) = body.next().await {
        text.push_str(std::str::from_utf8(&more?)?);
    }
    assert!(text.contains("w3") && text.contains("[DONE]"), "{text}");

    drop(input);
    assert!(program.wait()?.success());
    Ok(())
}
