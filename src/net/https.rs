//! HTTPS through an egress, as little of it as policies (RFC 8461 3.3) and reports (RFC 8460 5.4)
//! need: one request on a connection of its own.
//!
//! **Invariant:** no redirect is followed, nothing is asked of a host whose certificate is not
//! valid for its name, and size and time are bounded.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::egress::{EgressClient, EgressError};
use super::tls_client::{Rung, TlsClient, TlsFailure, Verify};
use crate::base::limits::TLS_HANDSHAKE_TIMEOUT;
use crate::base::time::Instant;

/// How we call ourselves.
const AGENT: &str = "Postern";

/// The header of a response; those of policy hosts have a few hundred octets.
const HEADER_OCTETS_MAX: usize = 32 * 1024;

/// The port that is not named in `Host:` (RFC 9110 4.2.2).
const DEFAULT_PORT: u16 = 443;

/// Bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the response's content at most.
    pub octets_max: usize,
    /// For everything, from the connection to the last octet.
    pub wait: Duration,
}

/// What came back: a status of the 2xx class, and content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// `Content-Type`, as it was sent.
    pub content_type: Option<String>,
    /// The content.
    pub body: Bytes,
}

/// What is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// `Content-Type`.
    pub kind: &'a str,
    /// `Content-Encoding`, if there is one.
    pub encoding: Option<&'a str>,
    /// The octets.
    pub body: Bytes,
}

/// Who takes content piece by piece; an error says why it wants no more.
pub type Taker<'t> = dyn FnMut(&[u8]) -> Result<(), String> + 't;

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpsError {
    /// The host has no address to ask.
    #[error("the host has no address")]
    NoAddress,
    /// Our own way out is suspended.
    #[error("the egress is suspended: {0}")]
    Suspended(String),
    /// No address of the host could be connected to.
    #[error("{0}")]
    Unreachable(String),
    /// The broker does not allow the address or the port.
    #[error("destination not allowed: {0}")]
    NotAllowed(String),
    /// No TLS, or not with the host.
    #[error(transparent)]
    Tls(TlsFailure),
    /// The host answered, and not with a status of the 2xx class. Redirects are among them
    /// (RFC 8461 3.3 forbids to follow one).
    #[error("HTTP status {0}")]
    Status(u16),
    /// The content has more octets than this.
    #[error("more than {0} octets")]
    TooLarge(usize),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// Whoever takes the content will have no more of it.
    #[error("{0}")]
    Unwanted(String),
    /// The host does not speak HTTP, broke off, or was asked for something that cannot be written.
    #[error("HTTP: {0}")]
    Protocol(String),
}

impl From<EgressError> for HttpsError {
    fn from(error: EgressError) -> Self {
        match error {
            EgressError::Suspended(cause) => Self::Suspended(cause),
            EgressError::NotAllowed(cause) => Self::NotAllowed(cause),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// A way to ask.
#[derive(Clone, Copy, Debug)]
pub struct Https<'a> {
    /// Where connections come from.
    pub sockets: &'a EgressClient,
    /// Name of the egress.
    pub egress: &'a str,
    /// TLS and its memory.
    pub tls: &'a TlsClient,
    /// For the memory.
    pub now: Instant,
}

impl Https<'_> {
    /// Asks `host`, at one of `addresses`, for `path` (with its query).
    ///
    /// # Errors
    /// See [`HttpsError`].
    pub async fn get(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        path: &str,
        limits: Limits,
    ) -> Result<Response, HttpsError> {
        let request = (Method::GET, None);
        self.ask(host, addresses, path, request, limits).await
    }

    /// Gives `content` to `path` of `host`, at one of `addresses`. Octets that the host has got
    /// are never sent to a second address.
    ///
    /// # Errors
    /// See [`HttpsError`].
    pub async fn post(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        path: &str,
        content: Content<'_>,
        limits: Limits,
    ) -> Result<Response, HttpsError> {
        let request = (Method::POST, Some(content));
        self.ask(host, addresses, path, request, limits).await
    }

    /// Asks as [`Https::get`] does and hands the content over as it arrives, for what is too large
    /// to be kept in memory. A host that sends nothing for `stall` is given up. Returns the octets.
    ///
    /// # Errors
    /// See [`HttpsError`].
    pub async fn fetch(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        path: &str,
        (limits, stall): (Limits, Duration),
        take: &mut Taker<'_>,
    ) -> Result<u64, HttpsError> {
        let port = addresses.first().ok_or(HttpsError::NoAddress)?.port();
        let request = request(host, port, path, Method::GET, None)?;
        let work = async {
            let short = Limits { wait: limits.wait.min(stall), ..limits };
            let stream = self.connect(host, addresses, short).await?;
            converse(stream, request, |response| pour(response, limits.octets_max, stall, take))
                .await
        };
        timeout(limits.wait, work).await.unwrap_or(Err(HttpsError::TimedOut))
    }

    async fn ask(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        path: &str,
        (method, content): (Method, Option<Content<'_>>),
        limits: Limits,
    ) -> Result<Response, HttpsError> {
        let port = addresses.first().ok_or(HttpsError::NoAddress)?.port();
        let request = request(host, port, path, method, content)?;
        let work = async {
            let stream = self.connect(host, addresses, limits).await?;
            converse(stream, request, |response| read(response, limits.octets_max)).await
        };
        timeout(limits.wait, work).await.unwrap_or(Err(HttpsError::TimedOut))
    }

    /// The first address that proves to be the host.
    async fn connect(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        limits: Limits,
    ) -> Result<Box<TlsStream<TcpStream>>, HttpsError> {
        // Half of the patience at most is for addresses that do not answer.
        let shares = u32::try_from(addresses.len() * 2).unwrap_or(u32::MAX);
        let share = limits.wait / shares;
        let mut last = HttpsError::NoAddress;
        for address in addresses {
            match self.connect_to(host, *address, share).await {
                Ok(stream) => return Ok(stream),
                Err(error @ HttpsError::Suspended(_)) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_to(
        &self,
        host: &str,
        address: SocketAddr,
        wait: Duration,
    ) -> Result<Box<TlsStream<TcpStream>>, HttpsError> {
        let rung = self.tls.rung(host, self.now);
        match self.handshake(host, address, rung, wait).await {
            Err(HttpsError::Tls(failure)) if rung == Rung::PostQuantum && failure.is_silence() => {
                self.tls.step_back(host, self.now);
                self.handshake(host, address, Rung::Classical, wait).await
            }
            other => other,
        }
    }

    async fn handshake(
        &self,
        host: &str,
        address: SocketAddr,
        rung: Rung,
        wait: Duration,
    ) -> Result<Box<TlsStream<TcpStream>>, HttpsError> {
        let stream = self.sockets.connect_tcp(self.egress, address, wait).await?;
        let verify = Verify::WebPki { names: vec![host.to_owned()] };
        let handshake = self.tls.connect(host, rung, &verify, stream);
        match timeout(wait.min(TLS_HANDSHAKE_TIMEOUT), handshake).await {
            Ok(Ok(secured)) => Ok(secured.stream),
            Ok(Err(failure)) => Err(HttpsError::Tls(failure)),
            Err(_) => Err(HttpsError::Tls(TlsFailure::timed_out())),
        }
    }
}

fn request(
    host: &str,
    port: u16,
    path: &str,
    method: Method,
    content: Option<Content<'_>>,
) -> Result<Request<Full<Bytes>>, HttpsError> {
    let bad = |error: &dyn std::fmt::Display| HttpsError::Protocol(error.to_string());
    let path: Uri = path.parse().map_err(|error| bad(&error))?;
    let path = path.path_and_query().ok_or_else(|| bad(&"no path"))?.as_str().to_owned();
    let authority = if port == DEFAULT_PORT { host.to_owned() } else { format!("{host}:{port}") };
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close");
    let mut body = Bytes::new();
    if let Some(content) = content {
        request = request.header(CONTENT_TYPE, content.kind);
        if let Some(encoding) = content.encoding {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        body = content.body;
    }
    request.body(Full::new(body)).map_err(|error| bad(&error))
}

async fn converse<T, F: Future<Output = Result<T, HttpsError>>>(
    stream: Box<TlsStream<TcpStream>>,
    request: Request<Full<Bytes>>,
    read: impl FnOnce(hyper::Response<Incoming>) -> F,
) -> Result<T, HttpsError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_OCTETS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let work = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        read(response).await
    };
    // The connection carries the request as long as it is asked; how it ends, the request hears.
    let carry = async {
        let _heard_by_the_request = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        response = work => response,
        () = carry => Err(HttpsError::Protocol("the connection ended".to_owned())),
    }
}

async fn read(
    response: hyper::Response<Incoming>,
    octets_max: usize,
) -> Result<Response, HttpsError> {
    let status = response.status();
    if !status.is_success() {
        return Err(HttpsError::Status(status.as_u16()));
    }
    let header = |name| text(response.headers(), &name);
    let content_type = header(CONTENT_TYPE);
    let announced = header(CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if announced.is_some_and(|length| length > octets_max) {
        return Err(HttpsError::TooLarge(octets_max));
    }
    match Limited::new(response.into_body(), octets_max).collect().await {
        Ok(body) => Ok(Response { status: status.as_u16(), content_type, body: body.to_bytes() }),
        Err(error) if error.is::<LengthLimitError>() => Err(HttpsError::TooLarge(octets_max)),
        Err(error) => Err(HttpsError::Protocol(error.to_string())),
    }
}

async fn pour(
    response: hyper::Response<Incoming>,
    octets_max: usize,
    stall: Duration,
    take: &mut Taker<'_>,
) -> Result<u64, HttpsError> {
    let status = response.status();
    if !status.is_success() {
        return Err(HttpsError::Status(status.as_u16()));
    }
    let mut body = Limited::new(response.into_body(), octets_max);
    let mut octets = 0;
    loop {
        let frame = match timeout(stall, body.frame()).await {
            Err(_) => return Err(HttpsError::TimedOut),
            Ok(None) => return Ok(octets),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) if error.is::<LengthLimitError>() => {
                return Err(HttpsError::TooLarge(octets_max));
            }
            Ok(Some(Err(error))) => return Err(HttpsError::Protocol(error.to_string())),
        };
        if let Ok(data) = frame.into_data() {
            octets += data.len() as u64;
            take(&data).map_err(HttpsError::Unwanted)?;
        }
    }
}

fn text(headers: &HeaderMap, name: &hyper::header::HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn broken(error: &hyper::Error) -> HttpsError {
    HttpsError::Protocol(error.to_string())
}
