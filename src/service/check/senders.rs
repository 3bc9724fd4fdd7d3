//! What the domains of our senders publish: SPF for every egress address, the DKIM keys that we
//! hold, DMARC.

use std::collections::BTreeSet;
use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream;

use super::{Finding, Grade, Round, addresses, cause, of_family, pass, unknown, wrong};
use crate::config::checked::{DkimKey, Egress};
use crate::route::LookupError;
use crate::sign::keys::DnsRecord;
use crate::sign::spf::{Answers, Known, Outcome, Question, Sender, Verdict, evaluate};

/// Domains that one check looks at; a gateway for more customers checks them in their own pages.
const DOMAINS_MAX: usize = 200;
/// Look-ups side by side.
const SIDE_BY_SIDE: usize = 8;
/// Questions of one SPF evaluation: ten terms, ten hosts each, and the records.
const QUESTIONS_MAX: usize = 130;

pub(super) async fn check(round: &Round<'_>) -> Vec<Finding> {
    let (mut envelope, mut authors) = (BTreeSet::new(), BTreeSet::new());
    for pair in round.config.sources.values().flat_map(|source| &source.pairs) {
        authors.insert(pair.from.domain.as_str());
        envelope.extend(pair.reverse_path.as_ref().map(|path| path.domain.as_str()));
    }
    let left =
        envelope.len().saturating_sub(DOMAINS_MAX) + authors.len().saturating_sub(DOMAINS_MAX);
    // The EHLO name speaks for reports, whose reverse-path is null (RFC 7208 2.3).
    envelope.insert(round.egress.ehlo.as_str());
    let mut spf_checks = Vec::new();
    for address in addresses(round.egress) {
        let each = envelope.iter().take(DOMAINS_MAX);
        spf_checks.extend(each.map(|domain| spf(round, address, domain)));
    }
    let dkim_checks = round.config.dkim.iter().map(|key| dkim(round, key)).collect();
    let each = authors.iter().take(DOMAINS_MAX);
    let dmarc_checks = each.map(|domain| dmarc(round, domain)).collect();
    let mut findings = few_at_once(spf_checks).await;
    findings.extend(few_at_once(dkim_checks).await);
    findings.extend(few_at_once(dmarc_checks).await);
    if left > 0 {
        let text = format!("{left} more domains of senders were not looked at");
        findings.push(unknown("senders", "others", text));
    }
    findings
}

/// Does the work of all, a few at a time; findings in the order of the work.
async fn few_at_once(work: Vec<impl Future<Output = Finding>>) -> Vec<Finding> {
    stream::iter(work).buffered(SIDE_BY_SIDE).collect().await
}

async fn spf(round: &Round<'_>, address: IpAddr, domain: &str) -> Finding {
    let subject = format!("{domain} from {address}");
    let ehlo = round.egress.ehlo.as_str();
    let sender = Sender { address, local_part: "postmaster", domain, ehlo };
    let egress = of_family(round.egress, address);
    let mut answers = Answers::new();
    while answers.len() < QUESTIONS_MAX {
        match evaluate(&sender, &answers) {
            Ok(verdict) => return judge(&subject, address, domain, ehlo, &verdict),
            Err(question) => {
                let known = ask(round, &egress, &question).await;
                answers.insert(question, known);
            }
        }
    }
    unknown("spf", subject, "the record asks for more than can be looked up")
}

async fn ask(round: &Round<'_>, egress: &Egress, question: &Question) -> Known {
    let names = round.names;
    let some = |words: Vec<String>| {
        if words.is_empty() { Known::Nothing } else { Known::Words(words) }
    };
    let answer = match question {
        Question::Txt(name) => names.txt(egress, name).await.map(some),
        Question::Names(address) => names.names(egress, *address).await.map(some),
        Question::Mx(name) => names.mx(egress, name).await.map(|answer| {
            let hosts = answer.hosts.into_iter().map(|(_, host)| host);
            some(hosts.filter(|host| !host.is_empty()).collect())
        }),
        // `exists` asks for A records also of IPv6 senders (RFC 7208 5.7); an egress without IPv4
        // gets them when there is no AAAA, which names of `exists` never have.
        Question::Addresses(name) | Question::Exists(name) => {
            names.addresses(egress, name).await.map(|found| {
                let v4 = found.v4.into_iter().map(IpAddr::V4);
                let all: Vec<IpAddr> = v4.chain(found.v6.into_iter().map(IpAddr::V6)).collect();
                if all.is_empty() { Known::Nothing } else { Known::Addresses(all) }
            })
        }
    };
    match answer {
        Ok(known) => known,
        Err(LookupError::NoSuchDomain) => Known::Nothing,
        Err(error) => Known::Unknown(cause(&error)),
    }
}

fn judge(subject: &str, address: IpAddr, domain: &str, ehlo: &str, verdict: &Verdict) -> Finding {
    let term = if address.is_ipv4() { "ip4" } else { "ip6" };
    let add = format!("add {term}:{address} to the SPF record of {domain}");
    let bad =
        |grade: Grade, text: String, remedy: String| wrong("spf", subject, grade, text, remedy);
    match &verdict.outcome {
        Outcome::Pass if !verdict.concerns.is_empty() => {
            let concerns = verdict.concerns.join("; ");
            bad(Grade::Warn, format!("{domain} lets {address} send, but {concerns}"), add)
        }
        Outcome::Pass => {
            pass("spf", subject, format!("{domain} lets {address} send ({})", verdict.by))
        }
        Outcome::None if domain == ehlo => bad(
            Grade::Warn,
            format!("the EHLO name {domain} has no SPF record, which speaks for reports"),
            format!("publish: {domain}. IN TXT \"v=spf1 a -all\""),
        ),
        Outcome::None => bad(
            Grade::Fail,
            format!("{domain} has no SPF record"),
            format!("publish: {domain}. IN TXT \"v=spf1 {term}:{address} -all\""),
        ),
        Outcome::Neutral => {
            let text = format!("{domain} does not say whether {address} may send ({})", verdict.by);
            bad(Grade::Warn, text, add)
        }
        Outcome::Fail | Outcome::SoftFail => {
            let (outcome, by) = (&verdict.outcome, &verdict.by);
            bad(Grade::Fail, format!("{domain} does not let {address} send: {outcome}, {by}"), add)
        }
        Outcome::PermError(why) => bad(
            Grade::Fail,
            format!("the SPF record of {domain} is broken: {why}"),
            format!("correct the record of {domain}; it must also have {term}:{address}"),
        ),
        Outcome::TempError(why) => {
            unknown("spf", subject, format!("the SPF record of {domain} is not known: {why}"))
        }
    }
}

async fn dkim(round: &Round<'_>, key: &DkimKey) -> Finding {
    let subject = format!("{}._domainkey.{}", key.selector, key.domain);
    let file = key.file.clone();
    let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
    let Ok(Ok(pem)) = read else {
        let text = format!("the key {} cannot be read", key.file.display());
        return unknown("dkim", subject, text);
    };
    let record = match DnsRecord::of(key, &pem) {
        Ok(record) => record,
        Err(why) => return unknown("dkim", subject, format!("the key cannot be used: {why}")),
    };
    let texts = match round.names.txt(round.egress, &record.name).await {
        Ok(texts) => texts,
        Err(LookupError::NoSuchDomain) => Vec::new(),
        Err(error) => return unknown("dkim", subject, cause(&error)),
    };
    let publish = format!("publish: {}", record.zone_line());
    let bad = |text: String| wrong("dkim", &subject, Grade::Fail, text, &publish);
    match texts.as_slice() {
        [] => bad(format!("{subject} is not published: signatures with it are void")),
        [text] => {
            let published = tag(text, "p").unwrap_or_default();
            let held = tag(&record.value, "p").unwrap_or_default();
            if published.is_empty() {
                bad(format!("{subject} is revoked: its record has an empty p="))
            } else if published != held {
                bad(format!("{subject} is another key than the one that we sign with"))
            } else if tag(text, "t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y")) {
                let text = format!("{subject} says t=y: receivers treat signatures as a test");
                wrong("dkim", &subject, Grade::Warn, text, &publish)
            } else {
                pass("dkim", &subject, format!("{subject} is the key that we sign with"))
            }
        }
        many => bad(format!("{subject} has {} records: receivers take none or any", many.len())),
    }
}

/// The value of a tag of a tag list, without white space (RFC 6376 3.2).
fn tag(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let value = value.chars().filter(|c| !c.is_whitespace()).collect();
        (key.trim() == name).then_some(value)
    })
}

async fn dmarc(round: &Round<'_>, domain: &str) -> Finding {
    let organization = psl::domain_str(domain).unwrap_or(domain);
    let mut asked = vec![domain];
    asked.extend((organization != domain).then_some(organization));
    for owner in asked {
        let name = format!("_dmarc.{owner}");
        let texts = match round.names.txt(round.egress, &name).await {
            Ok(texts) => texts,
            Err(LookupError::NoSuchDomain) => continue,
            Err(error) => return unknown("dmarc", domain, cause(&error)),
        };
        let records: Vec<&String> =
            texts.iter().filter(|text| tag(text, "v").is_some_and(|v| v == "DMARC1")).collect();
        let correct = |why: &str| {
            let text = format!("{name} {why}: receivers ignore it");
            let remedy =
                format!("leave one record: {name}. IN TXT \"v=DMARC1; p=none\" or stricter");
            wrong("dmarc", domain, Grade::Fail, text, remedy)
        };
        match records.as_slice() {
            [] => {}
            [record] => match tag(record, "p").as_deref() {
                Some(policy @ ("none" | "quarantine" | "reject")) => {
                    return pass("dmarc", domain, format!("{name} says p={policy}"));
                }
                _ => return correct("has no valid p="),
            },
            _ => return correct("stands there more than once"),
        }
    }
    wrong(
        "dmarc",
        domain,
        Grade::Fail,
        format!("{domain} has no DMARC record: large receivers ask for one"),
        format!(
            "publish: _dmarc.{organization}. IN TXT \"v=DMARC1; p=none; \
             rua=mailto:postmaster@{organization}\""
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_with_their_white_space() {
        let record = "v=DKIM1; k=rsa;\tt = y:s ; p=AB CD\r\n EF";
        assert_eq!(tag(record, "p").as_deref(), Some("ABCDEF"));
        assert_eq!(tag(record, "t").as_deref(), Some("y:s"));
        assert_eq!(tag(record, "h"), None);
    }
}
