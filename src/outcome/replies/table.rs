//! The built-in rules, from what receivers publish about their replies (postmaster pages of Google,
//! Microsoft, Yahoo, Comcast, GMX and WEB.DE, `NetEase` and QQ; RFC 7372) and from replies that
//! administrators report in public. Each has a reply that it is for; it is also its test.

use std::time::Duration;

use super::{Found, Rule, parts};
use crate::mail::meaning::Defect::{Authentication, Dkim, Dmarc, Helo, Ptr, Spf, Tls};
use crate::mail::meaning::Meaning::{
    self, Greylisted, Listed, MailboxFull, Ordinary, OwnDefect, RateLimited, Spam, Throttled,
    TooManyConnections, UnknownRecipient,
};

/// Provider, code, status, text (each empty: any), meaning, pause in seconds (0: none), sample.
pub(super) type Row =
    (&'static str, &'static str, &'static str, &'static str, Meaning, u64, &'static str);

#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // Google. 4.7.x first warns (421), 5.7.x then refuses, for the same reason.
    ("google", "", "x.7.28", "rate limited", RateLimited, 0,
        "421 4.7.28 Gmail has detected an unusual rate of mail originating from your IP address. \
         To protect our users from spam, mail sent from your IP address has been temporarily rate \
         limited."),
    ("google", "", "x.7.28", "unsolicited", Listed, 0,
        "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from \
         your IP address, which has been temporarily blocked."),
    ("google", "", "x.7.28", "", RateLimited, 0,
        "450 4.7.28 Gmail has detected unusual activity from your DKIM domain"),
    ("google", "", "x.7.0", "unsolicited", Listed, 0,
        "421 4.7.0 Our system has detected an unusual rate of unsolicited mail originating from \
         your IP address."),
    ("google", "", "x.7.1", "rate of unsolicited", Listed, 0,
        "550 5.7.1 Our system has detected an unusual rate of unsolicited mail originating from \
         your IP address; blocked."),
    ("google", "", "x.7.1", "very low reputation", Listed, 0,
        "550 5.7.1 Gmail has detected that this message is likely suspicious due to the very low \
         reputation of the sending IP address."),
    ("google", "5xx", "x.7.1", "likely * unsolicited", Spam, 0,
        "550 5.7.1 Our system has detected that this message is likely suspicious or unsolicited \
         mail."),
    ("google", "", "x.7.0", "authentication information", OwnDefect(Authentication), 0,
        "421 4.7.0 This message does not have authentication information or fails to pass \
         authentication checks."),
    ("google", "4xx", "x.7.0", "tls required", OwnDefect(Tls), 0,
        "421 4.7.0 TLS required for RCPT domain, closing connection."),
    ("google", "421", "4.7.0", "try again later", Throttled, 0,
        "421 4.7.0 Try again later, closing connection. (EHLO)"),
    ("google", "421", "4.4.5", "", Throttled, 0, "421 4.4.5 Server busy, try again later."),
    ("google", "", "x.7.23", "", OwnDefect(Ptr), 0,
        "550 5.7.23 The sending IP address does not match the IP address of the hostname in the \
         PTR record."),
    ("google", "", "x.7.27", "", OwnDefect(Spf), 0,
        "421 4.7.27 Your email has been rate limited because SPF authentication did not pass."),
    ("google", "", "x.7.29", "", OwnDefect(Tls), 0,
        "421 4.7.29 This message was sent over an unsecured connection. Gmail requires TLS."),
    ("google", "", "x.7.30", "", OwnDefect(Dkim), 0,
        "550 5.7.30 Your email has been blocked because DKIM authentication did not pass."),
    ("google", "", "x.7.32", "", OwnDefect(Dmarc), 0,
        "421 4.7.32 From: header is not aligned with either the authenticated SPF or DKIM domain."),
    ("google", "", "x.7.40", "", OwnDefect(Dmarc), 0,
        "421 4.7.40 The sending domain does not have a DMARC record."),
    // The recipient's own bound, not ours: the message waits and the lane does not.
    ("google", "450", "4.2.1", "receiving mail", Greylisted, 600,
        "450 4.2.1 The user you are trying to contact is receiving mail too quickly."),

    // Microsoft's consumer mail. Not slowing down after 4xx is how an address gets on S3150.
    ("outlook", "", "", "s3140", Listed, 0,
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network \
         is on our block list (S3140)."),
    ("outlook", "", "", "s3150", Listed, 0,
        "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network \
         is on our block list (S3150)."),
    ("outlook", "4xx", "4.7.650-651", "", RateLimited, 0,
        "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP \
         reputation. (S775)"),
    ("outlook", "4xx", "4.7.652", "", TooManyConnections, 0,
        "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections. \
         (S3115)"),
    ("outlook", "4xx", "", "rp-001", RateLimited, 0,
        "421 RP-001 (BAY004) Unfortunately, some messages from 192.0.2.1 weren't sent. The \
         sending IP exceeded a rate limit."),
    ("outlook", "4xx", "", "rp-002", RateLimited, 0,
        "421 RP-002 (BAY004) The mail server IP connecting to Outlook.com exceeded the rate limit \
         allowed on this connection."),
    ("outlook", "4xx", "", "rp-003", TooManyConnections, 0,
        "421 RP-003 (BAY004) The mail server IP connecting to Outlook.com exceeded the connection \
         limit."),
    ("outlook", "5xx", "", "sc-00", Listed, 0,
        "550 SC-001 (BAY004) Unfortunately, messages from 192.0.2.1 weren't sent, for policy \
         reasons."),
    ("outlook", "5xx", "", "dy-00", Listed, 0,
        "550 DY-001 (BAY004) We generally do not accept email from dynamic IP's."),
    ("outlook", "5xx", "", "ou-00", Listed, 0,
        "550 OU-002 (BAY004) Mail rejected for policy reasons related to IP reputation."),
    ("outlook", "", "5.7.515", "", OwnDefect(Authentication), 0,
        "550 5.7.515 Access denied, sending domain example.com doesn't meet the required \
         authentication level."),
    ("outlook", "", "5.7.509", "", OwnDefect(Dmarc), 0,
        "550 5.7.509 Access denied, sending domain example.com does not pass DMARC verification."),
    ("outlook", "550", "5.5.0", "mailbox unavailable", UnknownRecipient, 0,
        "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302)."),

    // Exchange Online.
    ("exchange-online", "", "5.7.606-649", "", Listed, 0,
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal visit \
         https://sender.office.com/"),
    ("exchange-online", "", "5.7.511", "", Listed, 0,
        "550 5.7.511 Access denied, banned sender[192.0.2.1]. Forward this message to \
         delist@microsoft.com."),
    ("exchange-online", "", "5.7.708", "", Listed, 0,
        "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP."),
    ("exchange-online", "4xx", "4.7.500-699", "", Throttled, 0,
        "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)"),
    ("exchange-online", "", "5.7.509", "", OwnDefect(Dmarc), 0,
        "550 5.7.509 Access denied, sending domain example.com does not pass DMARC verification \
         and has a DMARC policy of reject."),
    ("exchange-online", "", "5.7.515", "", OwnDefect(Authentication), 0,
        "550 5.7.515 Access denied, sending domain example.com does not meet the required \
         authentication level."),
    // 5.7.30 speaks of Basic authentication there, and not of DKIM as at Google.
    ("exchange-online", "", "5.7.30", "", Ordinary, 0,
        "550 5.7.30 Basic authentication is not supported for Client Submission."),
    ("exchange-online", "550", "5.4.1", "recipient address rejected", UnknownRecipient, 0,
        "550 5.4.1 Recipient address rejected: Access denied."),
    ("exchange-online", "5xx", "5.2.121-122", "", Greylisted, 1800,
        "550 5.2.122 The recipient has exceeded their limit for the number of messages they can \
         receive per hour."),

    // Yahoo and AOL.
    ("yahoo", "4xx", "", "[tss04]", RateLimited, 900,
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume \
         or user complaints - 4.16.55.1"),
    ("yahoo", "4xx", "", "[tss07]", Listed, 0,
        "421 4.7.1 [TSS07] All messages from 192.0.2.1 will be permanently deferred; retrying \
         will not succeed."),
    ("yahoo", "4xx", "", "[ts03]", Listed, 0,
        "421 4.7.1 [TS03] All messages from 192.0.2.1 permanently deferred."),
    ("yahoo", "4xx", "", "[ts0", RateLimited, 900,
        "421 4.7.0 [TS02] Messages temporarily deferred due to user complaints."),
    ("yahoo", "4xx", "", "[ipts", RateLimited, 900,
        "421 4.7.0 [IPTS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"),
    ("yahoo", "5xx", "", "[bl2", Listed, 0,
        "553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1, because the ip is in \
         Spamhaus's list"),
    ("yahoo", "", "", "sender is unauthenticated", OwnDefect(Authentication), 0,
        "550 5.7.9 This mail has been blocked because the sender is unauthenticated. Yahoo \
         requires all senders to authenticate."),
    ("yahoo", "5xx", "5.7.9", "", Spam, 0,
        "554 5.7.9 Message not accepted for policy reasons. See \
         https://postmaster.yahooinc.com/error-codes"),
    ("yahoo", "4xx", "", "resources temporarily not available", Throttled, 0,
        "451 Resources temporarily not available - Please try again later [#4.16.5]."),
    ("yahoo", "5xx", "", "doesn't have a * account", UnknownRecipient, 0,
        "554 delivery error: dd This user doesn't have a yahoo.com account (nobody@yahoo.com) [0]"),

    // Apple.
    ("apple", "4xx", "4.7.1", "excessive volume", Greylisted, 600,
        "421 4.7.1 Messages to nobody@icloud.com deferred due to excessive volume. Try again \
         later"),
    ("apple", "451", "4.7.1", "service unavailable", Throttled, 0,
        "451 4.7.1 Service unavailable - try again later"),
    ("apple", "5xx", "", "due to local policy", Spam, 0,
        "554 5.7.1 [CS01] Message rejected due to local policy."),

    // Filters in front of companies.
    ("mimecast", "451", "", "internal resources * temporarily unavailable", Greylisted, 60,
        "451 Internal resources are temporarily unavailable - \
         https://community.mimecast.com/docs/DOC-1369#451"),
    ("mimecast", "5xx", "", "rejected due to security policies", Spam, 0,
        "554 Email rejected due to security policies - MCSpamSignature"),
    ("barracuda", "", "", "rate control", RateLimited, 0,
        "450 permanently deferred: rate control"),
    ("broadcom", "", "", "connection rejected by policy", Listed, 0,
        "501 Connection rejected by policy [7.7] 38105"),

    // Germany.
    ("gmx", "4xx", "", "reject due to policy violations", Listed, 0,
        "421 Requested action not taken: mailbox unavailable / Reject due to policy violations."),
    ("gmx", "", "", "bad dns ptr", OwnDefect(Ptr), 0,
        "554 gmx.net Nemesis ESMTP Service not available / No SMTP service / Bad DNS PTR resource \
         record."),
    ("gmx", "", "", "spf policy", OwnDefect(Spf), 0,
        "550 Requested action not taken: mailbox unavailable / Reject due to SPF policy."),
    ("t-online", "", "", "a problem occurred", Listed, 0,
        "554 IP=192.0.2.1 - A problem occurred. (Ask your postmaster for help or to contact \
         tosa@rx.t-online.de to clarify.) (BL)"),

    // France.
    ("orange", "", "", "ofr004_104", TooManyConnections, 0,
        "421 service refuse. Trop de connexions, veuillez verifier votre configuration. Too many \
         connections, slow down. OFR004_104 [104]"),
    ("orange", "4xx", "", "ofr004_105", Throttled, 0,
        "421 Service refuse. Veuillez essayer plus tard. Service refused, please try later. \
         OFR004_105 [105]"),
    ("orange", "", "", "ofr_999", Listed, 0,
        "421 Service refuse. Veuillez essayer plus tard. OFR_999 [999]"),
    ("orange", "5xx", "", "ofr_506", Spam, 0,
        "550 5.2.0 Mail rejete. Mail rejected. OFR_506 [506]"),
    ("orange", "5xx", "", "ofr_416", UnknownRecipient, 0,
        "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR_416 [416]"),
    ("free", "", "", "too many spam from your ip", Listed, 0,
        "421 Too many spam from your IP (192.0.2.1), please visit http://postmaster.free.fr/"),
    ("free", "4xx", "", "too many errors from your ip", Throttled, 0,
        "451 too many errors from your ip (192.0.2.1), please visit http://postmaster.free.fr/"),
    ("laposte", "", "", "lpn007_510", Listed, 0,
        "550 5.5.0 Service refuse. Veuillez essayer plus tard. Service refused, please try later. \
         LPN007_510"),

    // The Americas.
    ("comcast", "", "", "rl000", RateLimited, 0,
        "421 4.2.1 Reject due to rate limitation. Please see \
         http://postmaster.comcast.net/smtp-error-codes.php#RL000001"),
    ("comcast", "", "", "bl000", Listed, 0,
        "554 192.0.2.1 Comcast BL000000 Blocked for spam."),
    ("comcast", "", "", "es0000", Listed, 0,
        "554 192.0.2.1 Comcast dynamic/residential space. ES000010"),
    ("comcast", "", "", "pt0000", OwnDefect(Ptr), 0,
        "554 192.0.2.1 Comcast requires that all mail servers must have a PTR record. PT000001"),
    ("charter", "", "", "aup#cnct", TooManyConnections, 0,
        "421 4.7.1 - Connection refused - 192.0.2.1 - AUP#CNCT"),
    ("att", "", "", "_is_blocked", Listed, 0,
        "553 5.3.0 DNSBL:RBL 521< 192.0.2.1 >_is_blocked. Fwd this email to \
         abuse_rbl@abuse-att.net"),
    ("rackspace", "", "", "(g28)", RateLimited, 0,
        "451 4.7.1 Received too many messages from a new or untrusted IP (G28)"),

    // Russia and Asia.
    ("yandex", "4xx", "", "come back later", Greylisted, 300,
        "451 4.7.1 Sorry, the service is currently unavailable. Please come back later."),
    ("yandex", "5xx", "", "suspicion of spam", Spam, 0,
        "554 5.7.1 [2] Message rejected under suspicion of SPAM"),
    ("mail-ru", "", "", "generic dns ptr", OwnDefect(Ptr), 0,
        "550 We do not accept mail from hosts with dynamic IP or generic DNS PTR-records."),
    ("mail-ru", "", "", "access from ip address * blocked", Listed, 0,
        "550 Access from ip address 192.0.2.1 blocked. Visit http://mail.ru/notspam/"),
    ("qq", "", "", "frequency limited", RateLimited, 900, "550 Connection frequency limited"),
    ("qq", "", "", "suspected spam ip", Listed, 0,
        "550 Suspected spam ip https://service.mail.qq.com/"),
    ("netease", "", "", "hl:icc", TooManyConnections, 0, "421 HL:ICC 163 smtp12"),
    ("netease", "", "", "hl:ifc", RateLimited, 900, "421 HL:IFC 163 smtp12"),
    ("netease", "", "", "hl:rep", Listed, 0, "421 HL:REP 163 smtp12"),
    ("netease", "", "", "mi:sfq", RateLimited, 900, "451 MI:SFQ 163 smtp12"),
    ("netease", "", "", "dt:rbl", Listed, 0, "450 DT:RBL 163 smtp12"),
    // "Keep the message in your queue and try again in two minutes."
    ("netease", "4xx", "", "dt:spm", Greylisted, 120, "451 DT:SPM ,please try again"),
    ("netease", "5xx", "", "dt:spm", Spam, 0, "554 DT:SPM 163 smtp12"),
    ("naver", "", "", "ip blocked", Listed, 0, "421 4.3.2 Your ip blocked from this server"),

    // Everybody. A domain in the content that is on a list is the message's fault.
    ("", "5xx", "", "spamhaus dbl", Spam, 0,
        "550 5.7.1 Your email was rejected due to having a domain present in the Spamhaus DBL"),
    ("", "5xx", "", "surbl", Spam, 0, "554 5.7.1 URL listed in SURBL multi"),
    ("", "", "", "spamhaus", Listed, 0,
        "554 5.7.1 Service unavailable; see https://www.spamhaus.org/query/ip/192.0.2.1"),
    ("", "", "", "spamcop", Listed, 0, "554 5.7.1 rejected because of a listing at bl.spamcop.net"),
    ("", "", "", "barracuda reputation", Listed, 0,
        "554 Service unavailable; Barracuda Reputation 192.0.2.1"),
    ("", "", "", "barracudacentral", Listed, 0, "550 listed at b.barracudacentral.org"),
    ("", "", "", "proofpoint.com/dnsbl-lookup", Listed, 0,
        "550 5.7.0 Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1"),
    ("", "", "", "ipcheck.proofpoint.com", Listed, 0,
        "421 Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1"),
    ("", "", "", "trend micro email reputation", Listed, 0,
        "550 5.7.1 Mail from 192.0.2.1 deferred using Trend Micro Email Reputation database."),
    ("", "", "", "senderbase", Listed, 0,
        "554 Blocked by SenderBase, see http://www.senderbase.org/"),
    ("", "", "", "talosintelligence", Listed, 0,
        "554 see https://talosintelligence.com/reputation_center/lookup?search=192.0.2.1"),
    ("", "", "", "poor reputation", Listed, 0,
        "554 Your access to this mail system has been rejected due to the sending MTA's poor \
         reputation."),
    ("", "", "", "client host * blocked", Listed, 0,
        "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example.net"),
    ("", "", "", " ip * black*list", Listed, 0,
        "554 No SMTP service / IP address is black listed."),
    ("", "", "", " ip * block list", Listed, 0, "550 5.7.1 your IP 192.0.2.1 is on our block list"),

    // RFC 7372, and what Postfix and its relatives say.
    ("", "", "x.7.25", "", OwnDefect(Ptr), 0,
        "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]"),
    ("", "", "", "cannot find your * hostname", OwnDefect(Ptr), 0,
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]"),
    ("", "", "", "no ptr", OwnDefect(Ptr), 0, "450 4.7.1 Client host 192.0.2.1 has no PTR record"),
    ("", "5xx", "", "reverse dns", OwnDefect(Ptr), 0,
        "550 5.7.1 Fix your reverse DNS: no entry for 192.0.2.1"),
    ("", "", "", "helo command rejected", OwnDefect(Helo), 0,
        "504 5.5.2 <relay>: Helo command rejected: need fully-qualified hostname"),
    ("", "5xx", "", "bad helo", OwnDefect(Helo), 0, "550 5.7.1 bad HELO name"),
    ("", "", "x.7.10", "", OwnDefect(Tls), 0, "523 5.7.10 Encryption needed"),
    ("", "530", "", "starttls", OwnDefect(Tls), 0, "530 5.7.0 Must issue a STARTTLS command first"),
    ("", "", "x.7.20-22", "", OwnDefect(Dkim), 0, "550 5.7.20 No passing DKIM signature found"),
    ("", "", "x.7.23", "", OwnDefect(Spf), 0,
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation"),
    ("", "", "x.7.26", "", OwnDefect(Authentication), 0,
        "550 5.7.26 Your email has been blocked because the sender is unauthenticated."),
    ("", "5xx", "", "dmarc", OwnDefect(Dmarc), 0,
        "550 5.7.1 Your message was rejected due to example.com DMARC policy."),
    ("", "5xx", "", "spf*fail", OwnDefect(Spf), 0, "550 5.7.1 SPF check failed for example.com"),
    ("", "5xx", "", "dkim*fail", OwnDefect(Dkim), 0, "550 5.7.1 DKIM verification failed"),

    // Less mail, please.
    ("", "", "", "too many connections", TooManyConnections, 0,
        "421 4.7.0 Error: too many connections from 192.0.2.1"),
    ("", "", "", "too many concurrent", TooManyConnections, 0,
        "421 Too many concurrent SMTP connections from this client"),
    ("", "4xx", "", "maximum number of connections", TooManyConnections, 0,
        "421 4.3.2 The maximum number of connections is reached"),
    ("", "4xx", "", "connection rate limit", RateLimited, 0,
        "452 4.3.2 Connection rate limit exceeded."),
    ("", "", "", "rate limit", RateLimited, 0, "421 Rate limit reached. Please try again later"),
    ("", "", "", "ratelimit", RateLimited, 0, "451 Ratelimit for 192.0.2.1"),
    ("", "4xx", "", "throttl", Throttled, 0, "421 4.7.0 your address is being throttled"),
    ("", "4xx", "", "too much mail", RateLimited, 0, "450 4.7.1 too much mail from 192.0.2.1"),
    ("", "4xx", "", "too many messages", RateLimited, 0,
        "450 4.7.1 too many messages from 192.0.2.1 in the last minute"),
    ("", "4xx", "", "slow down", Throttled, 0, "421 4.7.0 slow down, please"),

    // The recipient and the message.
    ("", "4xx", "", "greylist", Greylisted, 0, "450 4.2.0 Recipient address rejected: Greylisted"),
    ("", "4xx", "", "grey-list", Greylisted, 0, "451 4.7.1 Grey-listed, try again in 300 seconds"),
    ("", "4xx", "", "graylist", Greylisted, 0,
        "451 4.7.1 graylisted, please try again in 5 minutes"),
    ("", "", "x.2.2", "", MailboxFull, 0,
        "452 4.2.2 The recipient's inbox is out of storage space."),
    ("", "", "", "over quota", MailboxFull, 0, "422 user is over quota"),
    ("", "", "", "mailbox full", MailboxFull, 0, "552 Mailbox full"),
    ("", "", "", "mailbox is full", MailboxFull, 0, "452 mailbox is full"),
    ("", "5xx", "5.1.1", "", UnknownRecipient, 0, "550 5.1.1 no such person"),
    ("", "5xx", "", "user unknown", UnknownRecipient, 0, "550 User unknown"),
    ("", "5xx", "", "no such user", UnknownRecipient, 0, "550 No such user here"),
    ("", "5xx", "", "user does not exist", UnknownRecipient, 0, "550 user does not exist"),
    ("", "5xx", "", "mailbox not found", UnknownRecipient, 0, "550 mailbox not found"),
    ("", "5xx", "", "as spam", Spam, 0, "571 5.7.1 message classified as spam"),
    ("", "5xx", "", "spam message", Spam, 0, "550 spam message rejected."),
    ("", "5xx", "", "considered spam", Spam, 0, "550 5.7.0 This mail is considered spam"),
    ("", "5xx", "", "looks like spam", Spam, 0, "550 5.7.1 This looks like spam"),
];

/// The rules of the table. What cannot be read is left out; a test says that nothing is.
pub(super) fn rules() -> impl Iterator<Item = Rule> {
    TABLE.iter().filter_map(|(provider, code, status, text, meaning, pause, _)| {
        let given = |text: &'static str| (!text.is_empty()).then_some(text);
        Some(Rule {
            provider: given(provider).map(Into::into),
            code: given(code).map(str::parse).transpose().ok()?,
            status: given(status).map(str::parse).transpose().ok()?,
            parts: parts(text),
            found: Found {
                meaning: *meaning,
                pause: (*pause > 0).then(|| Duration::from_secs(*pause)),
            },
        })
    })
}
