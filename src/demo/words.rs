//! What the demonstration says before anything happens: to people and to scripts.

use std::path::Path;

use serde_json::json;

use super::Stage;
use super::props::{FROM, USER};

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
        "refuses": "refuse-bob@inbox.example",
        "ca": props.ca,
        "sink": props.sink,
        "spool": props.spool,
        "control": props.control,
    })
    .to_string()
}

/// What to type.
pub(super) fn introduction(stage: &Stage) -> String {
    let props = &stage.props;
    let (ca, control) = (quoted(&props.ca), quoted(&props.control));
    let (password, program) = (props.password.expose(), program());
    let (starttls, tls) = (stage.submission.port(), stage.submissions.port());
    format!(
        r"
Postern's demonstration runs: the gateway, its egress broker, a name server and an Internet.

  submission   localhost:{starttls} (STARTTLS)
  submissions  localhost:{tls} (TLS from the first octet)
  source       {USER}, password {password}
  spool        {spool}
  sink         {sink}  (each delivered message, octet for octet)

Send a message with curl:

  printf 'From: {FROM}\r\nTo: ann@inbox.example\r\nSubject: Hi\r\n\r\nHi Ann.\r\n' |
    curl smtps://localhost:{tls} --cacert {ca} \
      --user {USER}:{password} \
      --mail-from {FROM} --mail-rcpt ann@inbox.example --upload-file -

or with swaks, to one recipient who is put off twice and to one who is refused:

  swaks --server localhost:{starttls} --tls --auth PLAIN \
    --auth-user {USER} --auth-password {password} \
    --from {FROM} --to defer-ann@inbox.example,refuse-bob@inbox.example

Ask the gateway, in another terminal:

  {program} --socket {control} status
  {program} --socket {control} queue list

Everything below *.example has a mailbox, except nowhere.example (no such domain) and
nomail.example (a domain without mail). Ctrl-C ends it. What happens:
",
        spool = props.spool.display(),
        sink = props.sink.display(),
    )
}

/// This program as it can be typed here.
fn program() -> String {
    let Ok(program) = std::env::current_exe() else { return "postern".to_owned() };
    let searched = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&searched).any(|folder| program.parent() == Some(&folder)) {
        return "postern".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    quoted(program.strip_prefix(here).unwrap_or(&program))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_a_shell_where_they_must_be() {
        assert_eq!(quoted(Path::new("/tmp/a-b/c.pem")), "/tmp/a-b/c.pem");
        assert_eq!(quoted(Path::new("/tmp/it's me")), r"'/tmp/it'\''s me'");
    }
}
