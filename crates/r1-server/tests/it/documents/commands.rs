//! Every command of the documents is run, or on a list that says why not.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    postgres::TestDatabase,
    upstream::{Script, Upstream},
};

use super::{Block, blocks, section};
use crate::{
    root::Root,
    support::{Setup, Signal},
};

const DEPLOYMENT: &str = "docs/deployment.md";
const OPERATIONS: &str = "docs/operations.md";
const README: &str = "README.md";

/// Blocks that a test can't run: the document, how the block begins, and why.
const LEFT_OUT: [(&str, &str, &str); 5] = [
    (README, "make run ", "builds a release and runs every test, this one too"),
    (DEPLOYMENT, "docker build ", "there may be no Docker engine"),
    (DEPLOYMENT, "cd deploy\ncat > .env", "there may be no Docker engine"),
    (DEPLOYMENT, "docker compose build", "there may be no Docker engine"),
    (OPERATIONS, "cargo build --release ", "builds all of it once more"),
];
/// What a block may be written in. No other is run, and none of these is a command that goes by another name.
const OTHERS: [&str; 4] = ["", "toml", "yaml", "json"];

fn is_left_out(document: &str, block: &Block) -> bool {
    LEFT_OUT.iter().any(|(of, begins, _)| *of == document && block.text.starts_with(begins))
}

/// The document's commands as one script, in which variables and functions live on; what it says on standard error
/// tells where it is.
fn script(document: &str) -> Result<String> {
    let mut script = String::new();
    for block in blocks(document)? {
        if block.language == "sh" && !is_left_out(document, &block) {
            script.push_str(&format!("echo '== {document}:{}' >&2\n{}", block.line, block.text));
        }
    }
    ensure!(!script.is_empty(), "{document} has no commands");
    Ok(script)
}

#[test]
fn every_block_is_run_or_on_the_list() -> Result<()> {
    let mut met = [false; LEFT_OUT.len()];
    for document in [README, DEPLOYMENT, OPERATIONS] {
        for block in blocks(document)? {
            let place = format!("{document}:{}", block.line);
            let is_known = block.language == "sh" || OTHERS.contains(&&*block.language);
            ensure!(is_known, "{place}: write ```sh for commands, which are run, not ```{}", block.language);
            for (met, (of, begins, reason)) in met.iter_mut().zip(LEFT_OUT) {
                ensure!(!reason.is_empty());
                *met |= of == document && block.language == "sh" && block.text.starts_with(begins);
            }
        }
    }
    let gone = met.iter().zip(LEFT_OUT).find(|(met, _)| !**met);
    ensure!(gone.is_none(), "nothing begins so any more: {gone:?}");
    Ok(())
}

#[tokio::test]
async fn a_line_that_fails_ends_a_script() -> Result<()> {
    let root = Root::new()?;
    for script in ["false\ntrue\n", "false | true\ntrue\n", "echo $UNSET\n", "sudo gpt-r1 nonsense\ntrue\n"] {
        let finished = root.run(script).await?;
        ensure!(!finished.ok, "{script}: {finished:?}");
    }
    root.succeeds("sudo install -m 0600 /dev/null /etc/gpt-r1.key\ntest -f /etc/gpt-r1.key\n").await?;
    ensure!(root.path("/etc/gpt-r1.key").is_file() && !std::path::Path::new("/etc/gpt-r1.key").exists());
    Ok(())
}

#[tokio::test]
async fn the_walk_through_runs() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("Quantum computing, in three short paragraphs."));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let said = Root::new()?.succeeds(&script(README)?.replace("http://localhost:8000", &server.api)).await?;
    ensure!(said.contains("\"username\":\"demo_user\""), "{said}");
    // Asked once, and followed once more.
    assert_eq!(said.matches("\"type\": \"end\"").count(), 2, "{said}");
    assert_eq!(upstream.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_commands_of_deployment_run() -> Result<()> {
    let upstream = Upstream::start().await?;
    let root = Root::new()?;
    root.machine("OPENAI_BASE_URL", &upstream.base_url())?;
    root.succeeds(&script(DEPLOYMENT)?).await?;
    for file in [
        "bash-completion/completions/gpt-r1",
        "zsh/site-functions/_gpt-r1",
        "fish/vendor_completions.d/gpt-r1.fish",
        "man/man1/gpt-r1.1",
        "man/man1/gpt-r1-user-add.1",
    ] {
        let text = std::fs::read_to_string(root.path("/usr/local/share").join(file)).context(file)?;
        ensure!(text.contains("gpt-r1") || text.contains("gpt\\-r1"), "{file}: {text}");
    }
    ensure!(root.client()?.get("/health/ready").await?.status() == 204);
    Ok(())
}

#[tokio::test]
async fn the_commands_of_operations_run() -> Result<()> {
    let upstream = Upstream::start().await?;
    // For pg_dump, a database that a server has used.
    let setup = Setup::with_upstream(&upstream)?.on_postgres()?;
    let server = setup.start().await?;
    server.user("ada").await?;
    server.signal(Signal::TERM)?;
    let (well, setup) = server.ended().await?;
    ensure!(well);
    let (before, after) = (setup.database().context("a database")?.url(), TestDatabase::empty().await?);

    let root = Root::new()?;
    root.machine("OPENAI_BASE_URL", &upstream.base_url())?;
    let [install, ..] = section::<3>(DEPLOYMENT, "systemd")?;
    root.succeeds(&install).await?;
    let text =
        script(OPERATIONS)?.replace("NEW_DATABASE", &after.url()).replace(" DATABASE\n", &format!(" {before}\n"));
    let said = root.succeeds(&text).await?;
    ensure!(said.contains("DELETE "), "of psql: {said}");
    Ok(())
}
