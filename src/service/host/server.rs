//! The socket: who calls, one line in, one line out.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{RwLock, Semaphore};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::desk::{HostDesk, Visitor};
use crate::base::fault::Fault;
use crate::base::limits::{
    HOST_CONNECTIONS_MAX, HOST_GUESTS_MAX, HOST_IDLE_TIMEOUT, HOST_REQUEST_OCTETS_MAX,
};
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

/// Patience with somebody who is turned away.
const TURNED_AWAY_TIMEOUT: Duration = Duration::from_secs(5);

/// Places for those who are heard at the same time.
struct Places {
    guests: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

/// Held for reading from a request to the end of its answer: whoever holds it for writing knows
/// that every request that was read is answered, and that no other one is begun.
pub(super) type InHand = Arc<RwLock<()>>;

/// Serves `listener` until the task is dropped.
pub(super) async fn serve(listener: UnixListener, desk: Arc<HostDesk>, in_hand: InHand) {
    let places = Arc::new(Places {
        guests: Arc::new(Semaphore::new(HOST_GUESTS_MAX)),
        others: Arc::new(Semaphore::new(HOST_CONNECTIONS_MAX - HOST_GUESTS_MAX)),
    });
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: wait for one instead of turning in circles.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (desk, places, in_hand) = (desk.clone(), places.clone(), in_hand.clone());
        tokio::spawn(async move {
            let _ = receive(stream, desk, &places, &in_hand).await;
        });
    }
}

/// Looks who it is and whether there is a place.
async fn receive(
    stream: UnixStream,
    desk: Arc<HostDesk>,
    places: &Places,
    in_hand: &RwLock<()>,
) -> io::Result<()> {
    let credentials = stream.peer_cred()?;
    let uid = credentials.uid();
    let visitor = Visitor::new(uid, user_name(uid), credentials.pid());
    let mut stream = BufReader::new(stream);
    let turned_away = |kind, text: &str| trouble(kind, format!("{visitor} {text}"));
    if !desk.receives(&visitor) {
        let answer = turned_away(TroubleKind::Forbidden, "has no business here");
        return send(&mut stream, &answer, TURNED_AWAY_TIMEOUT).await;
    }
    let kind = if desk.is_guest(&visitor) { &places.guests } else { &places.others };
    let Ok(_place) = kind.clone().try_acquire_owned() else {
        let answer = turned_away(TroubleKind::Conflict, "has too many connections here already");
        return send(&mut stream, &answer, TURNED_AWAY_TIMEOUT).await;
    };
    attend(stream, visitor, desk, in_hand).await
}

/// One caller, until it leaves.
async fn attend(
    mut stream: BufReader<UnixStream>,
    mut visitor: Visitor,
    desk: Arc<HostDesk>,
    in_hand: &RwLock<()>,
) -> io::Result<()> {
    loop {
        // It may hold a passphrase.
        let mut line = Zeroizing::new(Vec::new());
        let mut bounded = (&mut stream).take(HOST_REQUEST_OCTETS_MAX as u64 + 1);
        match timeout(HOST_IDLE_TIMEOUT, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(octets)) if octets > 0 => {}
            _ => return Ok(()),
        }
        let _answered = in_hand.read().await;
        if !line.ends_with(b"\n") {
            let text = format!("a request is one line of at most {HOST_REQUEST_OCTETS_MAX} octets");
            let answer = trouble(TroubleKind::Invalid, text);
            return send(&mut stream, &answer, HOST_IDLE_TIMEOUT).await;
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
        send(&mut stream, &answer, HOST_IDLE_TIMEOUT).await?;
    }
}

async fn send(
    stream: &mut BufReader<UnixStream>,
    answer: &HostAnswer,
    patience: Duration,
) -> io::Result<()> {
    let mut octets = serde_json::to_vec(answer).map_err(io::Error::other)?;
    octets.push(b'\n');
    match timeout(patience, stream.get_mut().write_all(&octets)).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn trouble(kind: TroubleKind, text: String) -> HostAnswer {
    HostAnswer::Trouble(Trouble::new(kind, text))
}
