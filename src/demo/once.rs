//! One message through everything, with every step shown and every claim verified.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::Stage;
use super::live::{self, say};
use super::props::{FROM, USER};
use super::submit::{Submission, submit};
use crate::base::fault::Fault;
use crate::base::id::QueueId;
use crate::event::Event;
use crate::event::herald::Told;
use crate::host::clock;
use crate::sign::verify;

/// How long delivery on loopback may take before the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the sink.
const LOOK: Duration = Duration::from_millis(20);
/// The message.
const CONTENT: &str = "From: Shop <billing@shop.example>\r\nTo: ann@inbox.example\r\n\
    Subject: Invoice 1\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
    Hello Ann, this is your invoice.\r\n";

/// Sends, waits, verifies, and tells.
pub(super) async fn play(stage: &Stage) -> ExitCode {
    match perform(stage).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => super::failed(&fault),
    }
}

async fn perform(stage: &Stage) -> Result<(), Fault> {
    say("1. The application submits (TLS, AUTH, one message):");
    let ca = std::fs::read(&stage.props.ca)
        .map_err(|e| Fault::new("reading", stage.props.ca.display(), e))?;
    let submission = Submission {
        address: stage.submissions,
        server_name: "localhost",
        ca_pem: &ca,
        user: USER,
        password: stage.props.password.expose(),
        reverse_path: FROM,
        forward_path: "ann@inbox.example",
        content: CONTENT,
    };
    let accepted = submit(&submission, &mut |line| say(&format!("   {line}"))).await?;
    let id = accepted.split_whitespace().find_map(|word| word.parse::<QueueId>().ok());
    let id = id.ok_or_else(|| Fault::new("reading", "the reply", "it names no message"))?;
    say("2. What the gateway did:");
    for told in facts(stage, id).await? {
        for line in live::lines(&told) {
            say(&format!("   {line}"));
        }
    }
    let content = arrived(stage, id)?;
    say(&format!("3. What the Internet received ({} octets):", content.len()));
    let text = String::from_utf8_lossy(&content);
    for line in text.lines().take_while(|line| !line.is_empty()) {
        say(&format!("   {line}"));
    }
    say("4. Its signatures, against the keys that the name server publishes:");
    check_signatures(stage, &content)?;
    if !content.ends_with(b"Hello Ann, this is your invoice.\r\n") {
        return Err(Fault::new("comparing", "the body", "it was changed on the way"));
    }
    say("Delivered, signed and verified.");
    Ok(())
}

fn check_signatures(stage: &Stage, content: &[u8]) -> Result<(), Fault> {
    let record = |name: &str| {
        let found = stage.props.records.iter().find(|record| record.name == name);
        found.map(|record| record.value.clone())
    };
    let verified = verify(content, clock::wall(), record);
    for signature in &verified {
        let result = signature.result.as_ref().map_or_else(String::clone, |()| "good".to_owned());
        say(&format!("   {}: {result}", signature.name));
    }
    let good = verified.iter().filter(|signature| signature.result.is_ok()).count();
    if good == verified.len() && good == stage.props.records.len() {
        return Ok(());
    }
    Err(Fault::new("verifying", "the signatures", format!("{good} of {} are good", verified.len())))
}

/// What is told about a message until every recipient has an outcome.
async fn facts(stage: &Stage, id: QueueId) -> Result<Vec<Arc<Told>>, Fault> {
    let began = clock::now();
    loop {
        let facts = stage.gateway.herald().about(id);
        if facts.iter().any(|told| matches!(told.event, Event::MessageCompleted { .. })) {
            return Ok(facts);
        }
        if clock::now().since(began) > PATIENCE {
            return Err(Fault::new("waiting for", "delivery", "no outcome in 30 s"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The message in the sink; its id stands in its trace.
fn arrived(stage: &Stage, id: QueueId) -> Result<Vec<u8>, Fault> {
    let sink = &stage.props.sink;
    let fault = |e: std::io::Error| Fault::new("reading", sink.display(), e);
    let id = id.to_string();
    for entry in std::fs::read_dir(sink).map_err(fault)? {
        let content = std::fs::read(entry.map_err(fault)?.path()).map_err(fault)?;
        if memchr::memmem::find(&content, id.as_bytes()).is_some() {
            return Ok(content);
        }
    }
    Err(Fault::new("looking for", "the message", "it is not in the sink"))
}
