//! Hosts that say back whatever they hear, on TCP and UDP.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::space::{Space, Ticket};

/// Echoes at these places, TCP and UDP each, until the ticket is dropped.
pub(crate) fn echo(space: &Space, places: Vec<SocketAddr>) -> Ticket {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let ticket = space.serve(move || async move {
        for place in places {
            let listener = TcpListener::bind(place).await.unwrap();
            let socket = UdpSocket::bind(place).await.unwrap();
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    tokio::spawn(async move {
                        let mut octets = [0; 512];
                        while let Ok(count @ 1..) = stream.read(&mut octets).await {
                            if stream.write_all(&octets[..count]).await.is_err() {
                                break;
                            }
                        }
                    });
                }
            });
            tokio::spawn(async move {
                let mut octets = [0; 512];
                loop {
                    // A port that is unreachable is its owner's trouble.
                    if let Ok((count, from)) = socket.recv_from(&mut octets).await {
                        let _ = socket.send_to(&octets[..count], from).await;
                    }
                }
            });
        }
        ready.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    is_ready.recv().unwrap();
    ticket
}
