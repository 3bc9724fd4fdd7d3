//! What the demonstration says: to people and to scripts.

use std::sync::Arc;

use serde_json::json;

use super::Stage;
use super::props::{FROM, USER};
use crate::event::herald::{Herald, Told};

/// Shows every fact as it is told.
pub(super) fn listen(herald: &Arc<Herald>) {
    herald.attach(Box::new(|told: &Arc<Told>| {
        let at = told.at.rfc3339();
        eprintln!("{}  {}", at.get(11..23).unwrap_or(&at), told.event.text());
        true
    }));
}

/// The first line of stdout for scripts.
pub(super) fn object(stage: &Stage) -> String {
    let props = &stage.props;
    json!({
        "submission": format!("localhost:{}", stage.submission.port()),
        "submissions": format!("localhost:{}", stage.submissions.port()),
        "user": USER,
        "password": props.password.expose(),
        "from": FROM,
        "accepts": "ann@inbox.example",
        "defers": "defer-ann@inbox.example",
        "refuses": "refuse-ann@inbox.example",
        "ca": props.ca,
        "sink": props.sink,
        "spool": props.spool,
        "control": props.control,
    })
    .to_string()
}

/// What to type.
pub(super) fn introduce(stage: &Stage) {
    let props = &stage.props;
    let (ca, password) = (props.ca.display(), props.password.expose());
    let (starttls, tls) = (stage.submission.port(), stage.submissions.port());
    println!(
        r"
Postern's demonstration runs: the gateway, its egress broker, a name server and an Internet.

  submission (STARTTLS)  localhost:{starttls}      source  {USER}
  submissions (TLS)      localhost:{tls}      password  {password}
  spool   {spool}
  sink    {sink}   (every delivered message, octet for octet)

Send a message with curl:

  printf 'From: {FROM}\r\nTo: ann@inbox.example\r\nSubject: Invoice 1\r\n\r\nHello Ann.\r\n' |
    curl --ssl-reqd --cacert {ca} --user '{USER}:{password}' \
      --mail-from {FROM} --mail-rcpt ann@inbox.example --upload-file - smtps://localhost:{tls}

or with swaks, to one recipient who is put off twice and one who is refused:

  swaks --server localhost:{starttls} --tls --auth PLAIN --auth-user {USER} \
    --auth-password {password} --from {FROM} --header 'Subject: Invoice 2' \
    --to defer-ann@inbox.example,refuse-bob@inbox.example

Ask the gateway (in another terminal):

  postern --socket {control} queue list
  postern --socket {control} status

Everything below *.example has a mailbox, except nowhere.example (no such domain) and nomail.example
(a domain without mail). Ctrl-C ends it. What happens:
",
        spool = props.spool.display(),
        sink = props.sink.display(),
        control = props.control.display(),
    );
}
