//! The socket: who calls, one line in, one line out.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::desk::{HostDesk, Visitor};
use crate::base::fault::Fault;
use crate::base::limits::{HOST_CONNECTIONS_MAX, HOST_IDLE_TIMEOUT, HOST_REQUEST_OCTETS_MAX};
use crate::control::answer::{Trouble, TroubleKind};
use crate::control::host::{HostAnswer, HostRequest};
use crate::host::peer::user_name;

/// Opens the socket at `path`, where no service manager passed one. Everyone may connect; the desk
/// decides whom it hears.
///
/// # Errors
/// The path is taken by something else, or the folder is missing.
pub(super) fn open(path: &Path) -> Result<UnixListener, Fault> {
    let fault = |cause: String| Fault::new("opening the host socket", path.display(), cause);
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(fault("something that is no socket has this name".to_owned()));
        }
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(fault("another host role serves it".to_owned()));
            }
            std::fs::remove_file(path).map_err(|e| fault(e.to_string()))?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(|e| fault(e.to_string()))?;
    let everyone = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path, everyone).map_err(|e| fault(e.to_string()))?;
    Ok(listener)
}

/// Serves `listener` until the task is dropped.
pub(super) async fn serve(listener: UnixListener, desk: Arc<HostDesk>) {
    let places = Arc::new(Semaphore::new(HOST_CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: wait for one instead of turning in circles.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let desk = desk.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = attend(stream, desk).await;
        });
    }
}

/// One caller, until it leaves.
async fn attend(stream: UnixStream, desk: Arc<HostDesk>) -> io::Result<()> {
    let credentials = stream.peer_cred()?;
    let uid = credentials.uid();
    let mut visitor = Visitor::new(uid, user_name(uid), credentials.pid());
    let mut stream = BufReader::new(stream);
    if !desk.receives(&visitor) {
        let text = format!("{visitor} has no business here");
        return send(&mut stream, &trouble(TroubleKind::Forbidden, text)).await;
    }
    loop {
        // It may hold a passphrase.
        let mut line = Zeroizing::new(Vec::new());
        let mut bounded = (&mut stream).take(HOST_REQUEST_OCTETS_MAX as u64 + 1);
        match timeout(HOST_IDLE_TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(octets)) if octets > 0 => {}
            _ => return Ok(()),
        }
        if !line.ends_with(b"\n") {
            let text = format!("a request is one line of at most {HOST_REQUEST_OCTETS_MAX} octets");
            return send(&mut stream, &trouble(TroubleKind::Invalid, text)).await;
        }
        let answer = match serde_json::from_slice::<HostRequest>(&line) {
            Ok(request) => {
                let desk = desk.clone();
                let mut caller = visitor.clone();
                let done = tokio::task::spawn_blocking(move || {
                    let answer = desk.handle(&mut caller, request);
                    (answer, caller)
                });
                match done.await {
                    Ok((answer, caller)) => {
                        visitor = caller;
                        answer
                    }
                    Err(cause) => trouble(TroubleKind::Fault, format!("the deed ended: {cause}")),
                }
            }
            // The cause may repeat a piece of the line, and the line may hold a passphrase.
            Err(cause) => {
                let place = format!("the request cannot be read (column {})", cause.column());
                trouble(TroubleKind::Invalid, place)
            }
        };
        send(&mut stream, &answer).await?;
    }
}

async fn send(stream: &mut BufReader<UnixStream>, answer: &HostAnswer) -> io::Result<()> {
    let mut octets = serde_json::to_vec(answer).map_err(io::Error::other)?;
    octets.push(b'\n');
    match timeout(HOST_IDLE_TIMEOUT, stream.get_mut().write_all(&octets)).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn trouble(kind: TroubleKind, text: String) -> HostAnswer {
    HostAnswer::Trouble(Trouble::new(kind, text))
}
