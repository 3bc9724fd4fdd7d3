//! Why a handshake failed, in the distinctions of RFC 8460 4.3.

use std::io;

use rustls::CertificateError;

/// Why there is no TLS connection. Each carries the cause in words for the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The certificate is for other names.
    #[error("the certificate is for another host: {0}")]
    HostMismatch(String),
    /// The certificate is no longer, or not yet, valid.
    #[error("the certificate is out of date: {0}")]
    Expired(String),
    /// Nobody whom we trust vouches for the certificate.
    #[error("the certificate is not trusted: {0}")]
    NotTrusted(String),
    /// No TLSA record matches what the host showed.
    #[error("no TLSA record matches: {0}")]
    TlsaInvalid(String),
    /// The hosts do not agree on TLS, or one of them broke its rules.
    #[error("TLS handshake: {0}")]
    Refused(String),
    /// The connection ended before the handshake did.
    #[error("TLS handshake: {cause}")]
    Lost {
        /// The cause in words.
        cause: String,
        /// Not a word of TLS was said: the host, or a box before it, may be one that cannot bear
        /// a `ClientHello` in two segments.
        silent: bool,
    },
}

impl TlsFailure {
    /// The caller's patience ended before the handshake.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::from(&io::Error::from(io::ErrorKind::TimedOut))
    }

    /// The `result-type` of RFC 8460 4.3.
    #[must_use]
    pub fn result_type(&self) -> &'static str {
        match self {
            Self::HostMismatch(_) => "certificate-host-mismatch",
            Self::Expired(_) => "certificate-expired",
            Self::NotTrusted(_) => "certificate-not-trusted",
            Self::TlsaInvalid(_) => "tlsa-invalid",
            Self::Refused(_) | Self::Lost { .. } => "validation-failure",
        }
    }

    /// Whether a classical handshake may succeed where this one did not.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Lost { silent: true, .. })
    }
}

impl From<&io::Error> for TlsFailure {
    fn from(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(inner) = inner {
            return Self::from(inner);
        }
        let silent = matches!(
            error.kind(),
            Kind::TimedOut
                | Kind::UnexpectedEof
                | Kind::ConnectionReset
                | Kind::ConnectionAborted
                | Kind::BrokenPipe
        );
        Self::Lost { cause: error.to_string(), silent }
    }
}

impl From<&rustls::Error> for TlsFailure {
    fn from(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(wrong) = error else {
            return Self::Refused(error.to_string());
        };
        let cause = wrong.to_string();
        match wrong {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::HostMismatch(cause)
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired(cause),
            // What the verifier of DANE says, see `dane`.
            CertificateError::ApplicationVerificationFailure => {
                Self::TlsaInvalid("another certificate and key were shown".to_owned())
            }
            _ => Self::NotTrusted(cause),
        }
    }
}
