//! Sources: who may submit, how they prove it, and who they may send as.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::super::file::{Entry, Section};
use super::egress::network;
use super::keyword;
use crate::base::limits::CREDENTIAL_OCTETS_MAX;
use crate::base::time::WallTime;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::class::MessageClass;
use crate::mail::envelope::PRIORITIES;
use crate::mail::source::{
    Deadlines, MailboxPattern, Proof, SenderPair, Source, SourceLimits, SourceName, SourceState,
    Unsigned, Verifier,
};

/// What is not enforced in this version, and must therefore not be written.
const NOT_ENFORCED: &str = "is not enforced in this version";
const REMOVE: &str = "Remove it: a rule that is written here must hold";

/// Least memory of Argon2id in KiB: what `postern source hash` and `source rotate` spend on a
/// secret of 160 random bits; for a password that a person chose it spends 19 MiB.
const ARGON2_KIB_MIN: u32 = 1024;
/// Least iterations of SCRAM (RFC 7677 section 4).
const SCRAM_ITERATIONS_MIN: u32 = 4096;

/// All sources of the document that could be read.
pub(super) fn sources(
    top: &mut Section<'_>,
    message_octets_max: u64,
    recipients_max: u64,
) -> Vec<Source> {
    let remedy = "Add [source.NAME] with proof, user, password and pairs; without a source \
                  nobody may submit";
    let Some(mut section) = top.need("source", remedy).and_then(|entry| entry.section()) else {
        return Vec::new();
    };
    let mut sources = Vec::new();
    for (name, entry) in section.named() {
        let source_name = SourceName::new(&name);
        if source_name.is_none() {
            entry.complain("is no name for a source", super::PLAIN_NAME);
        }
        // A source with a bad name is still read, so that its other mistakes are seen.
        let read = entry
            .section()
            .and_then(|section| source(source_name, section, message_octets_max, recipients_max));
        sources.extend(read);
    }
    sources
}

fn source(
    name: Option<SourceName>,
    mut section: Section<'_>,
    message_octets_max: u64,
    recipients_max: u64,
) -> Option<Source> {
    let networks = section.list(
        "networks",
        "Write networks, for example [\"10.1.2.0/24\", \"2001:db8::/64\"]",
        network,
    );
    let proof = proof(&mut section);
    let pairs = pairs(&mut section);
    let (state, expires) = (state(&mut section), moment(&mut section, "expires"));
    let class = section
        .parsed(
            "class",
            "Write \"otp\", \"transactional\" or \"subscribed\"",
            keyword::<MessageClass>,
        )
        .unwrap_or_default();
    let message_octets_max = section.size("message_size_max", 1..=message_octets_max);
    let recipients = section.number("recipients_max", recipients_max, 1..=recipients_max);
    let recipients_max = section.find("recipients_max").and(usize::try_from(recipients).ok());
    let owner = section.parsed("owner", "Write a mail address", |text| Mailbox::parse(text, true));
    let unsigned = section
        .parsed("unsigned", "Write \"refuse\" or \"allow\"", keyword::<Unsigned>)
        .unwrap_or_default();
    unenforced(&mut section);
    let pool = section.parsed("pool", "Write the name of a pool or of an egress", pool);
    let priority_max = priority_max(&mut section);
    let deliver_by = section
        .parsed("deliver_by", "Write \"strict\", \"handover\", or \"refuse\"", keyword::<Deadlines>)
        .unwrap_or_default();
    let words = "Write a list of texts";
    let tags = section.list("tags", words, plain_text);
    let contacts = section.list("contacts", words, plain_text);
    let notes = section.text("notes", "Write a text").unwrap_or_default();
    section.close();
    Some(Source {
        name: name?,
        proof: proof?,
        networks,
        pairs,
        state,
        expires,
        class,
        message_octets_max,
        recipients_max,
        owner,
        unsigned,
        limits: SourceLimits::default(),
        pool,
        priority_max,
        deliver_by,
        internal_only: false,
        rewrite: BTreeMap::new(),
        unsubscribe_list: None,
        tags,
        contacts,
        notes,
    })
}

/// The name of a pool or of an egress; whether there is one is asked when all are known.
fn pool(text: &str) -> Result<String, &'static str> {
    if super::plain_name(text) { Ok(text.to_owned()) } else { Err("is no name of a pool") }
}

/// The ceiling of MT-PRIORITY= (RFC 6710 section 3).
fn priority_max(section: &mut Section<'_>) -> Option<i8> {
    let entry = section.find("priority_max")?;
    let remedy = "Write a number from -9 to 9; without it nobody is put before others";
    let number = entry.signed(remedy)?;
    let number = i8::try_from(number).ok().filter(|number| PRIORITIES.contains(number));
    if number.is_none() {
        entry.complain("is out of bounds", remedy);
    }
    number
}

fn plain_text(text: &str) -> Result<String, &'static str> {
    let plain = !text.chars().any(char::is_control);
    if plain { Ok(text.to_owned()) } else { Err("holds control characters") }
}

/// Keys that belong to a source and that this version cannot keep.
fn unenforced(section: &mut Section<'_>) {
    for key in ["limits", "rewrite", "unsubscribe_list"] {
        if let Some(entry) = section.find(key) {
            entry.complain(NOT_ENFORCED, REMOVE);
        }
    }
    if section.flag("internal_only")
        && let Some(entry) = section.find("internal_only")
    {
        entry.complain(NOT_ENFORCED, REMOVE);
    }
}

fn state(section: &mut Section<'_>) -> SourceState {
    let remedy = "Write \"active\", \"hold\", \"disabled\" or \"revoked\"";
    let state = section.parsed("state", remedy, keyword::<SourceState>).unwrap_or_default();
    if state == SourceState::Expired
        && let Some(entry) = section.find("state")
    {
        entry.complain("is a matter of the date", "Write expires = \"2027-01-31T00:00:00Z\"");
    }
    state
}

pub(super) fn moment(section: &mut Section<'_>, key: &'static str) -> Option<WallTime> {
    let entry = section.find(key)?;
    let moment = entry.moment().and_then(|text| WallTime::parse_rfc3339(&text));
    if moment.is_none() {
        entry.complain(
            "is no date and time with an offset",
            "Write for example \"2027-01-31T00:00:00Z\"",
        );
    }
    moment
}

fn proof(section: &mut Section<'_>) -> Option<Proof> {
    let remedy = "Write proof = \"password\", \"certificate\" or \"network\"";
    let kind = section.needed("proof", remedy, |text| match text {
        "password" | "certificate" | "network" => Ok(text.to_owned()),
        "dkim" => Err(NOT_ENFORCED),
        _ => Err("is no kind of proof"),
    })?;
    let proof = match kind.as_str() {
        "password" => password(section),
        "certificate" => certificate(section),
        _ => {
            section.need(
                "networks",
                "Write the networks of this source; without them this would be an open relay",
            );
            Some(Proof::Network)
        }
    };
    for (key, belongs) in
        [("user", "password"), ("password", "password"), ("certificate_spki_sha256", "certificate")]
    {
        if let (true, Some(entry)) = (kind != belongs, section.find(key)) {
            entry.complain(
                format!("belongs to proof = \"{belongs}\", and this is \"{kind}\""),
                "Remove it, or change proof",
            );
        }
    }
    proof
}

fn password(section: &mut Section<'_>) -> Option<Proof> {
    let user = section.needed("user", "Write the user name of AUTH", |text| {
        let good = !text.is_empty()
            && text.len() <= CREDENTIAL_OCTETS_MAX
            && !text.chars().any(char::is_control);
        if good { Ok(text.to_owned()) } else { Err("is no user name") }
    });
    let remedy = "Let `postern source hash` make it from a password";
    let entry = section.need("password", remedy)?;
    let entries = if entry.is_list() { entry.items(remedy) } else { vec![entry.clone()] };
    if entries.is_empty() {
        entry.complain("has no verifier, so nobody could use this source", remedy);
    }
    let verifiers: Vec<_> = entries.iter().filter_map(verifier).collect();
    let complete = verifiers.len() == entries.len() && !verifiers.is_empty();
    complete.then_some(())?;
    Some(Proof::Password { user: user?, verifiers })
}

fn verifier(entry: &Entry<'_>) -> Option<Verifier> {
    if entry.is_text() {
        entry.complain(
            "is a text, and a password never stands in a configuration",
            "Let `postern source hash` make the verifiers from the password",
        );
        return None;
    }
    let remedy = "Let `postern source hash` make it from a password";
    let mut section = entry.section()?;
    let argon2id = section.needed("argon2id", remedy, argon2id);
    let scram_sha256 = section.parsed("scram_sha256", remedy, scram);
    let not_after = moment(&mut section, "not_after");
    section.close();
    Some(Verifier { argon2id: argon2id?, scram_sha256, not_after })
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
fn argon2id(text: &str) -> Result<String, &'static str> {
    let wrong = "is no Argon2id verifier in PHC form";
    let parts: Vec<&str> = text.split('$').collect();
    let ["", "argon2id", "v=19", costs, salt, hash] = parts.as_slice() else { return Err(wrong) };
    let cost = |name: &str| {
        costs.split(',').find_map(|c| c.strip_prefix(name)?.strip_prefix('=')?.parse::<u32>().ok())
    };
    let (Some(memory), Some(_), Some(_)) = (cost("m"), cost("t"), cost("p")) else {
        return Err(wrong);
    };
    let octets = |part: &&str| STANDARD_NO_PAD.decode(part).map_or(0, |octets| octets.len());
    if octets(salt) < 8 || octets(hash) < 16 {
        return Err(wrong);
    }
    if memory < ARGON2_KIB_MIN {
        return Err("is too weak: less than 1 MiB of memory");
    }
    Ok(text.to_owned())
}

/// `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803).
fn scram(text: &str) -> Result<String, &'static str> {
    let wrong = "is no SCRAM-SHA-256 verifier as RFC 5803 writes it";
    let parts: Vec<&str> = text.split(['$', ':']).collect();
    let ["SCRAM-SHA-256", iterations, salt, stored, server] = parts.as_slice() else {
        return Err(wrong);
    };
    let octets = |part: &str| STANDARD.decode(part).map_or(0, |octets| octets.len());
    let iterations: u32 = iterations.parse().map_err(|_| wrong)?;
    if octets(salt) < 8 || octets(stored) != 32 || octets(server) != 32 {
        return Err(wrong);
    }
    if iterations < SCRAM_ITERATIONS_MIN {
        return Err("is too weak: less than 4,096 iterations (RFC 7677)");
    }
    Ok(text.to_owned())
}

fn certificate(section: &mut Section<'_>) -> Option<Proof> {
    let remedy = "Write the SHA-256 of the certificate's public key (SPKI) in hex: openssl x509 \
                  -pubkey -noout -in FILE | openssl pkey -pubin -outform der | sha256sum";
    let entry = section.need("certificate_spki_sha256", remedy)?;
    let spki_sha256 = section.list("certificate_spki_sha256", remedy, |text| {
        let hex = text.replace(':', "").to_ascii_lowercase();
        let good = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if good { Ok(hex) } else { Err("is no SHA-256 in hex") }
    });
    if entry.is_list() && entry.items(remedy).is_empty() {
        entry.complain("names no key, so nobody could use this source", remedy);
    }
    (!spki_sha256.is_empty()).then_some(Proof::Certificate { spki_sha256 })
}

/// Pairs of envelope sender and author. Without one a source may send as nobody.
fn pairs(section: &mut Section<'_>) -> Vec<SenderPair> {
    let remedy = "Write pairs = [{ reverse_path = \"bounces@example.org\", from = \
                  \"*@example.org\" }]";
    let Some(list) = section.need("pairs", remedy) else { return Vec::new() };
    let items = list.items(remedy);
    if list.is_list() && items.is_empty() {
        list.complain("is empty: this source could send as nobody", remedy);
    }
    items.iter().filter_map(pair).collect()
}

fn pair(entry: &Entry<'_>) -> Option<SenderPair> {
    let mut section = entry.section()?;
    let reverse_path = section.needed(
        "reverse_path",
        "Write an address, \"*@example.org\", or \"<>\" for notifications",
        |text| if text == "<>" { Ok(None) } else { pattern(text).map(Some) },
    );
    let from = section.needed("from", "Write an address, or \"*@example.org\"", pattern);
    section.close();
    Some(SenderPair { reverse_path: reverse_path?, from: from? })
}

/// One mailbox, or all of one domain. A domain under which strangers register names (`*@co.uk`)
/// and a pattern for all domains would make an open relay.
fn pattern(text: &str) -> Result<MailboxPattern, String> {
    if text.trim_matches(['*', '@', '.']).is_empty() {
        return Err("would let this source send as anybody: an open relay".to_owned());
    }
    if text.matches('*').count() > usize::from(text.starts_with("*@")) {
        return Err(
            "may have one *, for the whole local part; domains are listed one by one".to_owned()
        );
    }
    if let Some(domain) = text.strip_prefix("*@") {
        let domain = super::host_name(domain)?;
        if public_suffix(&domain) {
            return Err(format!("{domain} is no domain of one owner: this is an open relay"));
        }
        return Ok(MailboxPattern { local_part: None, domain });
    }
    let mailbox = Mailbox::parse(text, true).map_err(|e| e.to_string())?;
    Ok(MailboxPattern {
        local_part: Some(mailbox.local_part().into()),
        domain: mailbox.domain().clone(),
    })
}

fn public_suffix(domain: &Domain) -> bool {
    psl::suffix(domain.as_str().as_bytes())
        .is_some_and(|suffix| suffix.is_known() && suffix.as_bytes().len() == domain.as_str().len())
}
