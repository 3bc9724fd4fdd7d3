//! What a server offers, over HTTPS, by the interface for administrators.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use postern::config::checked::{UpdateConfig, UpdateUrl};
use postern::service::update::{Settings, Source, Wishes, check, stage};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::machine::{Machine, not_shown, tree};

/// A server of files over TLS; the port, and the certificate in PEM.
fn server(folder: PathBuf) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut octet = [0];
                match stream.read(&mut octet) {
                    Ok(1..) => request.extend(octet),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let answer = match fs::read(folder.join(path)) {
                Ok(octets) => {
                    let head =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", octets.len());
                    [head.into_bytes(), octets].concat()
                }
                Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
            };
            // A client that has had enough hangs up.
            let _ = stream.write_all(&answer).and_then(|()| stream.flush());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, made.cert.pem())
}

#[test]
fn a_server_offers_and_the_machine_takes() {
    let Some(tree) = tree() else { return not_shown() };
    let machine = Machine::new(&tree);
    let shop = machine.at("shop/stable");
    let release = machine.release("1.1.0", &["--offer", shop.to_str().unwrap()]);
    fs::copy(&release.bundle, shop.join("postern-1.1.0.pbu")).unwrap();
    let (port, pem) = server(machine.at("shop"));
    fs::write(machine.at("roots.pem"), pem).unwrap();
    let mut settings = Settings { manage: Some("lo".to_owned()), lab: true, ..Settings::default() };
    let url = UpdateUrl::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
    settings.updates.url = Some(url.clone());
    settings.updates.roots = Some(machine.at("roots.pem"));

    let offer = check(&machine.places, &settings).unwrap();
    assert_eq!((offer.version.to_string().as_str(), offer.fit), ("1.1.0", true));
    assert_eq!(offer.keys.len(), 2);

    // Nobody vouches for the server, or the interface is not there: nothing is asked.
    let updates = UpdateConfig { url: Some(url.clone()), ..UpdateConfig::default() };
    let strange = Settings { updates, ..settings.clone() };
    let refused = check(&machine.places, &strange).unwrap_err().to_string();
    assert!(refused.contains("fetching"), "{refused}");
    let gone = Settings { manage: Some("nobody0".to_owned()), ..settings.clone() };
    assert!(check(&machine.places, &gone).unwrap_err().to_string().contains("nobody0"));
    let nowhere = Settings { manage: None, ..settings.clone() };
    assert!(check(&machine.places, &nowhere).unwrap_err().to_string().contains("no interface"));

    // A manifest with one other letter is not believed.
    let manifest = shop.join("manifest.json");
    let good = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, good.replacen("1.1.0", "1.1.1", 1)).unwrap();
    assert!(check(&machine.places, &settings).unwrap_err().to_string().contains("believing"));
    fs::write(&manifest, good).unwrap();

    // A bundle that breaks off, one by its own URL, and the one that is offered.
    let whole = fs::read(&release.bundle).unwrap();
    fs::write(shop.join("torn.pbu"), &whole[..whole.len() / 2]).unwrap();
    let mut tell = |what: &str| println!("    {what}");
    let wishes = Wishes::default();
    let torn = Source::Url(url.join("stable/torn.pbu"));
    let refused = stage(&machine.places, &settings, &torn, &wishes, &mut tell).unwrap_err();
    assert!(refused.to_string().contains("cut short"), "{refused}");
    assert_eq!(machine.entries(), ["postern_1.0.0.efi"]);
    let version = stage(&machine.places, &settings, &Source::Offered, &wishes, &mut tell).unwrap();
    assert_eq!(version.to_string(), "1.1.0");
    assert_eq!(machine.entries(), ["postern_1.0.0.efi", "postern_1.1.0.staged"]);
}
