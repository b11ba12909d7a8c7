//! The program `r1-frames` from outside.
//!
//! That this file is here also makes cargo build the program with the tests.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result};

fn frames(body: &str) -> Result<Output> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_r1-frames"));
    let mut program = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    program.stdin.take().context("its input")?.write_all(body.as_bytes())?;
    Ok(program.wait_with_output()?)
}

#[test]
fn it_gives_ids_and_data_as_they_stand_and_doubts_the_rest() -> Result<()> {
    let id = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f:1.1";
    let body = format!("retry: 5\n\nid: {id}\ndata: {{\"type\": \"x\", \"y\":  \"\\u00e9\u{2028}\"}}\n\n: beat\n\n");
    let output = frames(&body)?;
    assert!(output.status.success());
    let line: (String, String) = serde_json::from_slice(&output.stdout)?;
    assert_eq!(line, (id.to_owned(), "{\"type\": \"x\", \"y\":  \"\\u00e9\u{2028}\"}".to_owned()));
    for fault in [format!("id: {id}\ndata: {{}}\n"), format!("event: x\n{body}"), format!("{body}{body}")] {
        assert!(!frames(&fault)?.status.success(), "{fault}");
    }
    Ok(())
}
