//! The socket itself: who calls, one line in, one line out.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{Answer, Trouble, TroubleKind};
use super::keeper::{Caller, Keeper};
use super::office::Office;
use crate::base::fault::Fault;
use crate::base::limits::{
    CONTROL_CONNECTIONS_MAX, CONTROL_IDLE_TIMEOUT, CONTROL_REQUEST_OCTETS_MAX,
};

/// Opens the control socket at `path`. A socket that a dead daemon left is replaced, one that
/// somebody still serves is not. Everyone may connect; the role decides what they may do.
///
/// # Errors
/// The path is taken by something else, or the folder is missing or not ours.
pub fn open(path: &Path) -> Result<UnixListener, Fault> {
    let fault = |cause: String| Fault::new("opening the control socket", path.display(), cause);
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(fault("something that is no socket has this name".to_owned()));
        }
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(fault("another daemon serves it".to_owned()));
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

/// Serves `listener` until the task is dropped. `name_of` gives the user name of a user id.
pub async fn serve<O: Office>(
    listener: UnixListener,
    keeper: Arc<Keeper<O>>,
    name_of: fn(u32) -> String,
) {
    let places = Arc::new(Semaphore::new(CONTROL_CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: wait for one instead of turning in circles.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let keeper = keeper.clone();
        tokio::spawn(async move {
            let _place = place;
            let _ = attend(stream, &keeper, name_of).await;
        });
    }
}

/// One caller, until it leaves.
async fn attend<O: Office>(
    stream: UnixStream,
    keeper: &Keeper<O>,
    name_of: fn(u32) -> String,
) -> io::Result<()> {
    let credentials = stream.peer_cred()?;
    let uid = credentials.uid();
    let caller = Caller { uid, name: name_of(uid), pid: credentials.pid() };
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let limit = CONTROL_REQUEST_OCTETS_MAX as u64 + 1;
        let mut bounded = (&mut stream).take(limit);
        let read = bounded.read_until(b'\n', &mut line);
        match timeout(CONTROL_IDLE_TIMEOUT, read).await {
            Ok(Ok(octets)) if octets > 0 => {}
            _ => return Ok(()),
        }
        let whole = line.ends_with(b"\n");
        let answer = if whole {
            answer_line(&line, &caller, keeper).await
        } else {
            invalid(format!("a request is one line of at most {CONTROL_REQUEST_OCTETS_MAX} octets"))
        };
        let mut octets = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        octets.push(b'\n');
        let wrote = timeout(CONTROL_IDLE_TIMEOUT, stream.get_mut().write_all(&octets)).await;
        if !whole || !matches!(wrote, Ok(Ok(()))) {
            return Ok(());
        }
    }
}

async fn answer_line<O: Office>(line: &[u8], caller: &Caller, keeper: &Keeper<O>) -> Answer {
    match serde_json::from_slice(line) {
        Ok(request) => keeper.handle(caller, request).await,
        Err(cause) => invalid(format!("the request cannot be read: {cause}")),
    }
}

fn invalid(text: String) -> Answer {
    Answer::Trouble(Trouble::new(TroubleKind::Invalid, text))
}
