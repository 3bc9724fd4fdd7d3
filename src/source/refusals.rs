//! What a peer hears when it could not show who it is, or may not send at this moment.

use crate::mail::source::SourceState;
use crate::smtp::reply::{Refusal, Reply};

/// MAIL from a session that speaks for nobody (RFC 4954 section 6).
#[must_use]
pub const fn unidentified() -> Refusal {
    Refusal::new(
        "not-identified",
        Reply::new(
            530,
            (5, 7, 0),
            "Authentication required: this gateway relays for known sources",
        ),
    )
}

/// Wrong user, wrong password, wrong proof: one reply for all (RFC 4954 section 6).
pub(super) const CREDENTIALS: Refusal = Refusal::new(
    "credentials-invalid",
    Reply::new(535, (5, 7, 8), "Authentication credentials invalid"),
);

/// The credential is right, the address is not in the source's networks.
pub(super) const NETWORK_LOCK: Refusal = Refusal::new(
    "network-not-allowed",
    Reply::new(535, (5, 7, 8), "This source may not submit from your network"),
);

/// As `NETWORK_LOCK`, for identities that did not come from AUTH.
pub(super) const NETWORK_LOCK_AT_MAIL: Refusal = Refusal::new(
    "network-not-allowed",
    Reply::new(550, (5, 7, 1), "This source may not submit from your network"),
);

/// No source has this certificate.
pub(super) const CERTIFICATE: Refusal = Refusal::new(
    "certificate-unknown",
    Reply::new(550, (5, 7, 1), "No source has this client certificate"),
);

/// Too many failures from this address or for this account.
pub(super) const THROTTLED: Refusal = Refusal::new(
    "auth-throttled",
    Reply::new(454, (4, 7, 0), "Too many failed authentications: wait a minute and try again"),
);

/// After AUTH, with the right credential, for a source in a state that accepts nothing.
pub(super) const fn state_at_auth(state: SourceState) -> Refusal {
    match state {
        SourceState::Revoked => Refusal::new(
            "source-revoked",
            Reply::new(535, (5, 7, 8), "This credential was revoked: ask the administrator"),
        ),
        SourceState::Expired => Refusal::new(
            "source-expired",
            Reply::new(535, (5, 7, 8), "This source has expired: ask the administrator"),
        ),
        _ => Refusal::new(
            "source-disabled",
            Reply::new(454, (4, 7, 0), "This source is disabled for now: try again later"),
        ),
    }
}

/// At MAIL, for identities that did not come from AUTH.
pub(super) const fn state_at_mail(state: SourceState) -> Refusal {
    match state {
        SourceState::Revoked => Refusal::new(
            "source-revoked",
            Reply::new(550, (5, 7, 1), "This source was revoked: ask the administrator"),
        ),
        SourceState::Expired => Refusal::new(
            "source-expired",
            Reply::new(550, (5, 7, 1), "This source has expired: ask the administrator"),
        ),
        _ => Refusal::new(
            "source-disabled",
            Reply::new(450, (4, 7, 1), "This source is disabled for now: try again later"),
        ),
    }
}

/// In the middle of a session: the session ends (RFC 5321 3.8).
pub(super) const fn state_in_session(state: SourceState) -> Refusal {
    let rule = match state {
        SourceState::Revoked => "source-revoked",
        SourceState::Expired => "source-expired",
        _ => "source-disabled",
    };
    Refusal::new(rule, Reply::new(421, (4, 7, 0), "This source may not submit any more: closing"))
}
