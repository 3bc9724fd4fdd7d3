//! Lists of addresses that send unwanted mail (RFC 5782): are ours on one?
//!
//! A list that refuses the question answers with an error code in 127.255.255.0/24 or not at all:
//! that is "not known", never "clean".

use std::net::{IpAddr, Ipv4Addr};

use futures_util::future::join_all;

use super::ptr::reverse_name;
use super::{Finding, Grade, Round, addresses, cause, of_family, pass, unknown, wrong};
use crate::mail::address::Domain;
use crate::route::LookupError;

pub(super) async fn check(round: &Round<'_>) -> Vec<Finding> {
    let lists = &round.config.checks.dnsbl;
    if lists.is_empty() {
        let text = "no list was asked: name some in checks.dnsbl";
        return vec![unknown("dnsbl", "none", text)];
    }
    let each = addresses(round.egress)
        .flat_map(|address| lists.iter().map(move |list| one(round, address, list)));
    join_all(each).await
}

async fn one(round: &Round<'_>, address: IpAddr, list: &Domain) -> Finding {
    let subject = format!("{address} on {list}");
    let name = reverse_name(address, list.as_str());
    // Lists answer with A records, also about IPv6 addresses.
    let mut asker = of_family(round.egress, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    asker.ipv4 = asker.ipv4.or(Some(Ipv4Addr::UNSPECIFIED));
    let codes = match round.names.addresses(&asker, &name).await {
        Ok(found) => found.v4,
        Err(LookupError::NoSuchDomain) => Vec::new(),
        Err(error) => {
            let text = format!("{list} gives no answer about {address}: {}", cause(&error));
            return unknown("dnsbl", subject, text);
        }
    };
    match judge(&codes) {
        Judged::Clean => pass("dnsbl", subject, format!("{address} is not on {list}")),
        Judged::Refused(code) => unknown(
            "dnsbl",
            subject,
            format!(
                "{list} refuses questions of these name servers ({code}): ask it through \
                     resolvers of your own, or register with it"
            ),
        ),
        Judged::Odd(code) => unknown(
            "dnsbl",
            subject,
            format!(
                "{list} answers {code}, which no list does: the name servers or the list are \
                     not what they should be"
            ),
        ),
        Judged::Listed(codes) => {
            // Why, in the list's own words; it may say nothing.
            let said = round.names.txt(&asker, &name).await.unwrap_or_default();
            let said = said.first().map_or_else(String::new, |text| format!(": {text}"));
            let text = format!("{address} is on {list} ({codes}){said}");
            let remedy = format!("find out why, end it, and then ask {list} to remove {address}");
            wrong("dnsbl", subject, Grade::Fail, text, remedy)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Clean,
    Refused(Ipv4Addr),
    Odd(Ipv4Addr),
    Listed(String),
}

fn judge(codes: &[Ipv4Addr]) -> Judged {
    if codes.is_empty() {
        return Judged::Clean;
    }
    if let Some(odd) = codes.iter().find(|code| !code.is_loopback()) {
        return Judged::Odd(*odd);
    }
    let refusal = |code: &&Ipv4Addr| matches!(code.octets(), [127, 255, 255, _]);
    if let Some(code) = codes.iter().find(refusal) {
        return Judged::Refused(*code);
    }
    Judged::Listed(codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_never_clean() {
        let judged = |codes: &[&str]| {
            judge(&codes.iter().map(|code| code.parse().unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(judged(&[]), Judged::Clean);
        assert_eq!(
            judged(&["127.0.0.2", "127.0.0.4"]),
            Judged::Listed("127.0.0.2, 127.0.0.4".into())
        );
        assert!(matches!(judged(&["127.255.255.254"]), Judged::Refused(_)));
        assert!(matches!(judged(&["203.0.113.9"]), Judged::Odd(_)));
    }
}
