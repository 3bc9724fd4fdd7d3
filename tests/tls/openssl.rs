//! OpenSSL as the server, with certificates of the first version, which the Web has forgotten.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use postern::net::tls_client::{Rung, TlsClient, TlsFailure, Verify};
use tokio::net::TcpStream;

use crate::zoo::{HOST, record};

struct Server(Child, SocketAddr);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn run(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

fn serve(folder: &Path, version: &str) -> Server {
    let mut child = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "leaf.pem", "-key", "key.pem"])
        .args(["-naccept", "4", version])
        .current_dir(folder)
        // At the end of its input the server would end too.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
    let address = said.unwrap().parse().unwrap();
    Server(child, address)
}

#[tokio::test]
async fn a_certificate_of_version_one_is_good_enough_for_dane() {
    let folder = tempfile::tempdir().unwrap();
    let client = TlsClient::new(None).unwrap();
    for key in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256"] {
        let request = "-keyout key.pem -nodes -out request.pem -subj /CN=old.example";
        run(folder.path(), &format!("req -newkey {key} {request}"));
        let sign = "-req -in request.pem -signkey key.pem -out leaf.pem -days 3";
        run(folder.path(), &format!("x509 {sign}"));
        run(folder.path(), "x509 -in leaf.pem -outform der -out leaf.der");
        let leaf = std::fs::read(folder.path().join("leaf.der")).unwrap();
        for version in ["-tls1_2", "-tls1_3"] {
            let server = serve(folder.path(), version);
            let connect = async |verify: Verify| {
                let stream = TcpStream::connect(server.1).await.unwrap();
                client.connect(HOST, Rung::Classical, &verify, stream).await.map(|s| s.verified)
            };
            let dane = |leaf: &[u8]| Verify::Dane {
                records: vec![record(3, 1, 1, leaf)],
                names: Vec::new(),
            };
            assert_eq!(connect(Verify::Nothing).await, Ok(false), "{key} {version}");
            assert_eq!(connect(dane(&leaf)).await, Ok(false), "{key} {version}");
            let mut other = dane(&leaf);
            if let Verify::Dane { records, .. } = &mut other {
                records[0].data[0] ^= 1;
            }
            let refused = connect(other).await;
            assert!(matches!(refused, Err(TlsFailure::TlsaInvalid(_))), "{refused:?}");
            let refused = connect(Verify::WebPki { names: vec![HOST.to_owned()] }).await;
            assert!(matches!(refused, Err(TlsFailure::NotTrusted(_))), "{refused:?}");
        }
    }
}
