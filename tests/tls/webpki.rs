//! Certificates before the Web's authorities, and before nobody.

use postern::net::tls_client::{TlsClient, TlsFailure, Verify};

use crate::zoo::{Authority, HOST, Shown, early, expired, good, old_style, shake};

fn web(names: &[&str]) -> Verify {
    Verify::WebPki { names: names.iter().map(|name| (*name).to_owned()).collect() }
}

#[tokio::test]
async fn a_certificate_must_be_good_in_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("root");
    let middle = root.below("middle");
    let stranger = Authority::root("stranger");
    let client = TlsClient::new(Some(&root.file(&folder))).unwrap();
    let no_middle = {
        let mut shown = middle.issue(&good(&[HOST]));
        shown.chain.truncate(1);
        shown
    };
    let host: &[&str] = &[HOST];
    let table: &[(&str, Shown, &[&str], &str)] = &[
        ("good", middle.issue(&good(host)), host, ""),
        ("right below the root", root.issue(&good(host)), host, ""),
        ("absolute name", middle.issue(&good(host)), &["mx.example.net."], ""),
        ("one of two", middle.issue(&good(host)), &["example.net", HOST], ""),
        ("wildcard", middle.issue(&good(&["*.example.net"])), host, ""),
        ("capitals", middle.issue(&good(&["MX.Example.NET"])), host, ""),
        ("other name", middle.issue(&good(&["mx.example.org"])), host, "certificate-host-mismatch"),
        ("none asked", middle.issue(&good(host)), &[], "certificate-host-mismatch"),
        (
            "wildcard of two labels",
            middle.issue(&good(&["*.net"])),
            host,
            "certificate-host-mismatch",
        ),
        ("common name", middle.issue(&old_style(HOST)), host, "certificate-host-mismatch"),
        ("expired", middle.issue(&expired(host)), host, "certificate-expired"),
        ("early", middle.issue(&early(host)), host, "certificate-expired"),
        ("self-signed", Shown::itself(&good(host)), host, "certificate-not-trusted"),
        ("stranger", stranger.issue(&good(host)), host, "certificate-not-trusted"),
        ("no middle", no_middle, host, "certificate-not-trusted"),
        ("stolen", middle.issue(&good(host)).stolen(), host, "certificate-not-trusted"),
    ];
    for (case, shown, names, expected) in table {
        let outcome = shake(&client, shown, &web(names)).await;
        let said = outcome.as_ref().err().map_or("", TlsFailure::result_type);
        assert_eq!(said, *expected, "{case}: {outcome:?}");
        // Nobody who asks for nothing is refused; the fact is told all the same.
        let vouched = shake(&client, shown, &Verify::Nothing).await.unwrap();
        let good = expected.is_empty() || *case == "none asked";
        assert_eq!(vouched, good, "{case}");
    }
}

#[tokio::test]
async fn authorities_of_the_site_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = Authority::root("root");
    let client = TlsClient::new(None).unwrap();
    let shown = root.issue(&good(&[HOST]));
    let refused = shake(&client, &shown, &web(&[HOST])).await;
    assert!(matches!(refused, Err(TlsFailure::NotTrusted(_))), "{refused:?}");
    client.reload(Some(&root.file(&folder))).unwrap();
    assert_eq!(shake(&client, &shown, &web(&[HOST])).await, Ok(true));
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    assert!(client.reload(Some(&empty)).is_err());
    assert!(client.reload(Some(&folder.path().join("nosuch.pem"))).is_err());
    assert_eq!(shake(&client, &shown, &web(&[HOST])).await, Ok(true));
}

#[tokio::test]
async fn a_host_that_breaks_off_is_told_from_one_that_disagrees() {
    use tokio::io::AsyncWriteExt as _;
    let client = TlsClient::new(None).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"454 4.7.0 TLS not available\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let lost = crate::zoo::talk(&client, address, &Verify::Nothing).await.unwrap_err();
    assert!(lost.is_silence(), "{lost:?}");
    let refused = crate::zoo::talk(&client, address, &Verify::Nothing).await.unwrap_err();
    assert!(matches!(refused, TlsFailure::Refused(_)), "{refused:?}");
    assert_eq!(refused.result_type(), "validation-failure");
    server.await.unwrap();
}
