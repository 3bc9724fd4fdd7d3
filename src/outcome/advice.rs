//! What a status means for a person who sent an invoice and never heard of RFC 3463.

use crate::mail::status::EnhancedStatus;

/// Two sentences: what happened, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What happened.
    pub happened: &'static str,
    /// What to do.
    pub next: &'static str,
}

const fn advice(happened: &'static str, next: &'static str) -> Advice {
    Advice { happened, next }
}

/// The advice for a message that was given up or refused with `status`.
#[must_use]
pub fn for_failure(status: EnhancedStatus) -> Advice {
    match (status.subject, status.detail) {
        (1, detail) => about_address(detail),
        (4, 4) => about_address(2),
        (2, 1) => advice(
            "The mailbox exists, but it is disabled and takes no mail.",
            "Reach the recipient in another way.",
        ),
        (2, 2) => advice(
            "The mailbox of the recipient is full.",
            "Tell the recipient, and send the message again later.",
        ),
        (2, 3) | (3, 4) => advice(
            "The message is larger than the recipient may receive.",
            "Send it without large attachments, or give a link instead.",
        ),
        (4, 7) => advice(
            "The message could not be delivered in the time that was set for it. We tried \
             several times; it will not be tried again.",
            "If it still matters, send it again or reach the recipient in another way.",
        ),
        (3, 3) => advice(
            "The mail system of the recipient does not offer what the message asks for.",
            "Tell the people who run the application that sent it.",
        ),
        (4, 6) => advice(
            "The mail systems on the way pass the message round in a circle.",
            "Tell the administrator of the recipient's domain.",
        ),
        (3 | 4, _) => advice(
            "The mail system of the recipient could not be reached or did not work.",
            "Try again later; if it stays so, tell your administrator.",
        ),
        (6, 7) => advice(
            "The address has international characters and the mail system of the recipient does \
             not support them.",
            "Ask the recipient for an address without them.",
        ),
        (6, _) => advice(
            "The mail system of the recipient does not accept the form of this message.",
            "Tell the people who run the application that made it.",
        ),
        (7, detail) => about_policy(detail),
        (5, _) => advice(
            "The two mail systems did not understand each other.",
            "Tell your administrator; the answer above says what was not understood.",
        ),
        _ => REFUSED,
    }
}

const REFUSED: Advice = advice(
    "The mail system of the recipient refused the message.",
    "Its answer above may say why. If it does not help, tell your administrator.",
);

fn about_address(detail: u16) -> Advice {
    match detail {
        1 | 6 | 0 => advice(
            "The mail system of the recipient does not know this address.",
            "Check the address for typing errors, ask the recipient for the right one, and remove \
             it from your lists.",
        ),
        2 => advice(
            "The domain of this address does not exist or cannot receive mail.",
            "Check the part after the @ for typing errors.",
        ),
        3 => advice(
            "The mail system of the recipient says that this is not a valid address.",
            "Check the address for typing errors.",
        ),
        10 => advice(
            "The domain of this address declares that it never receives mail.",
            "Ask the recipient for an address in another domain.",
        ),
        7 | 8 => advice(
            "The mail system of the recipient refuses your sender address.",
            "Check that the sender address exists and can receive mail; tell your administrator.",
        ),
        _ => REFUSED,
    }
}

fn about_policy(detail: u16) -> Advice {
    match detail {
        5 | 10..=12 | 30 => advice(
            "The connection to the recipient's mail system could not be made as secure as it has \
             to be.",
            "Tell your administrator; do not send the content by an insecure way.",
        ),
        20..=26 => advice(
            "The mail system of the recipient could not verify that this message is really yours \
             (SPF, DKIM or DMARC).",
            "Tell your administrator: the DNS records of the sender's domain need attention.",
        ),
        _ => advice(
            "The mail system of the recipient refuses this message for reasons of policy: it may \
             take it for spam, or does not accept mail from you.",
            "Read its answer above; tell your administrator, or ask the recipient to allow you.",
        ),
    }
}

/// The advice for a message that still waits.
#[must_use]
pub fn for_delay() -> Advice {
    advice(
        "The message could not be delivered yet. It is kept and tried again on its own.",
        "You need not do anything; do not send it again. You will be told if it is given up.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_sentence_and_a_remedy() {
        for subject in 0..10 {
            for detail in 0..40 {
                let advice = for_failure(EnhancedStatus::new(5, subject, detail));
                assert!(advice.happened.ends_with('.') && advice.next.ends_with('.'));
                assert!(advice.happened.is_ascii() && !advice.happened.contains("  "));
            }
        }
        let unknown = for_failure(EnhancedStatus::new(5, 1, 1));
        assert!(unknown.next.contains("typing errors"));
    }
}
