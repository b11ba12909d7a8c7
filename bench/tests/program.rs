//! The program from outside. The whole of it, `--quick`, is a check of `make test`'s own, beside the
//! server's binary.
//!
//! That this file is here also makes cargo build the program with the tests.

use std::process::Command;

#[test]
fn a_server_that_is_not_built_is_named() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_gpt-r1-bench"));
    let out = program.args(["--quick", "--server", "nowhere/gpt-r1"]).output().unwrap();
    assert!(!out.status.success() && out.stdout.is_empty());
    assert_eq!(String::from_utf8(out.stderr).unwrap(), "bench: there is no nowhere/gpt-r1: build it first\n");
}

#[test]
fn a_window_has_a_length() {
    for seconds in ["0", "-1", "nan", "soon"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_gpt-r1-bench"));
        let out = program.arg(format!("--seconds={seconds}")).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{seconds}");
    }
}
