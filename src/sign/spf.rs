//! Is an address among those that a domain lets send? (SPF, RFC 7208.) Pure: what name servers
//! answered is an argument, and what is not yet known comes back as a question.
//!
//! ```text
//! evaluate(sender, answers) ─┬─► Err(question): ask, insert, once more
//!                            └─► Ok(verdict)
//! ```
//!
//! Limits of RFC 7208 4.6.4 hold: ten terms that cost look-ups, two of them void. Where receivers
//! differ, the strict reading counts.

mod macros;
mod record;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use macros::expand;
use record::{Mechanism, Qualifier, Record};

/// Terms of a whole evaluation that may cost look-ups (RFC 7208 4.6.4).
const LOOKUPS_MAX: usize = 10;
/// Look-ups that may find nothing (RFC 7208 4.6.4).
const VOIDS_MAX: usize = 2;
/// Hosts of one `mx`, names of one `ptr` (RFC 7208 4.6.4).
const HOSTS_MAX: usize = 10;
/// Includes in includes: each costs a look-up, so this only bounds the stack.
const DEPTH_MAX: usize = 12;

/// Something that a name server must be asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// TXT records of a name.
    Txt(String),
    /// Addresses of a name, in the family of the sender.
    Addresses(String),
    /// A records of a name, for `exists`.
    Exists(String),
    /// MX hosts of a name.
    Mx(String),
    /// Names of an address (PTR).
    Names(IpAddr),
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Texts of TXT records, hosts of MX records, names of PTR records.
    Words(Vec<String>),
    /// Addresses.
    Addresses(Vec<IpAddr>),
    /// The name does not exist, or has no such record.
    Nothing,
    /// Nobody knows.
    Unknown(String),
}

/// Everything that is known so far.
pub type Answers = BTreeMap<Question, Known>;

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// From where.
    pub address: IpAddr,
    /// The local part of the reverse-path; `postmaster` for the null one (RFC 7208 4.3).
    pub local_part: &'a str,
    /// The domain of the reverse-path, or the EHLO name for the null one.
    pub domain: &'a str,
    /// The EHLO name.
    pub ehlo: &'a str,
}

/// A result (RFC 7208 2.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The domain lets this address send.
    Pass,
    /// It does not.
    Fail,
    /// It probably does not.
    SoftFail,
    /// It does not say.
    Neutral,
    /// It has no record.
    None,
    /// A name server did not answer.
    TempError(String),
    /// The record is broken: receivers may refuse.
    PermError(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Fail => f.write_str("fail"),
            Self::SoftFail => f.write_str("softfail"),
            Self::Neutral => f.write_str("neutral"),
            Self::None => f.write_str("none"),
            Self::TempError(why) => write!(f, "temperror ({why})"),
            Self::PermError(why) => write!(f, "permerror ({why})"),
        }
    }
}

/// A result, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The result.
    pub outcome: Outcome,
    /// The term that decided, and in whose record it stands.
    pub by: String,
    /// Terms that cost look-ups, of ten.
    pub lookups: usize,
    /// What is legal and unwise: `ptr`, `+all`.
    pub concerns: Vec<String>,
}

/// Judges `sender` by what is known.
///
/// # Errors
/// Not an error: what must be asked first.
pub fn evaluate(sender: &Sender<'_>, answers: &Answers) -> Result<Verdict, Question> {
    let mut judge =
        Judge { sender, answers, lookups: 0, voids: 0, by: String::new(), concerns: Vec::new() };
    let outcome = match judge.host(sender.domain, 0) {
        Ok(outcome) => outcome,
        Err(Stop::Ask(question)) => return Err(question),
        Err(Stop::Broken(why)) => Outcome::PermError(why),
        Err(Stop::Unknown(why)) => Outcome::TempError(why),
    };
    let Judge { lookups, by, concerns, .. } = judge;
    Ok(Verdict { outcome, by, lookups, concerns })
}

/// Why an evaluation ends early.
enum Stop {
    Ask(Question),
    Broken(String),
    Unknown(String),
}

struct Judge<'a> {
    sender: &'a Sender<'a>,
    answers: &'a Answers,
    lookups: usize,
    voids: usize,
    by: String,
    concerns: Vec<String>,
}

impl Judge<'_> {
    /// `check_host` (RFC 7208 section 4).
    fn host(&mut self, domain: &str, depth: usize) -> Result<Outcome, Stop> {
        if depth > DEPTH_MAX {
            return Err(Stop::Broken("records include each other without end".to_owned()));
        }
        let texts = match self.known(&Question::Txt(domain.to_owned()))? {
            Known::Words(texts) => texts.clone(),
            Known::Unknown(why) => return Err(Stop::Unknown(format!("{domain}: {why}"))),
            _ => Vec::new(),
        };
        let is_record = |text: &&String| {
            let version = text.get(..6).is_some_and(|v| v.eq_ignore_ascii_case("v=spf1"));
            version && (text.len() == 6 || text.as_bytes()[6] == b' ')
        };
        let mut records = texts.iter().filter(is_record);
        let (first, second) = (records.next(), records.next());
        let Some(text) = first else { return Ok(Outcome::None) };
        if second.is_some() {
            return Err(Stop::Broken(format!("{domain} has more than one SPF record")));
        }
        let record = Record::parse(text)
            .map_err(|why| Stop::Broken(format!("the record of {domain}: {why}")))?;
        self.judge(&record, domain, depth)
    }

    fn judge(&mut self, record: &Record, domain: &str, depth: usize) -> Result<Outcome, Stop> {
        for term in &record.terms {
            if self.matches(&term.mechanism, domain, depth)? {
                self.by = format!("{} in the record of {domain}", term.text);
                if term.mechanism == Mechanism::All && term.qualifier == Qualifier::Pass {
                    self.concerns.push(format!("{domain} lets the whole world send: +all"));
                }
                return Ok(match term.qualifier {
                    Qualifier::Pass => Outcome::Pass,
                    Qualifier::Fail => Outcome::Fail,
                    Qualifier::SoftFail => Outcome::SoftFail,
                    Qualifier::Neutral => Outcome::Neutral,
                });
            }
        }
        let Some(redirect) = &record.redirect else {
            self.by = format!("the end of the record of {domain}");
            return Ok(Outcome::Neutral);
        };
        self.spend()?;
        let target = self.target(Some(redirect), domain)?;
        match self.host(&target, depth + 1)? {
            Outcome::None => Err(Stop::Broken(format!("redirect={target} has no SPF record"))),
            outcome => Ok(outcome),
        }
    }

    fn matches(&mut self, mechanism: &Mechanism, domain: &str, depth: usize) -> Result<bool, Stop> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Network(network) => Ok(network.contains(&self.sender.address)),
            Mechanism::Include(target) => {
                self.spend()?;
                let target = self.target(Some(target), domain)?;
                match self.host(&target, depth + 1)? {
                    Outcome::Pass => Ok(true),
                    Outcome::None => {
                        Err(Stop::Broken(format!("include:{target} has no SPF record")))
                    }
                    _ => Ok(false),
                }
            }
            Mechanism::A { target, lengths } => {
                self.spend()?;
                let target = self.target(target.as_ref(), domain)?;
                let found = self.addresses(&target, true)?;
                Ok(found.iter().any(|address| lengths.covers(*address, self.sender.address)))
            }
            Mechanism::Mx { target, lengths } => {
                self.spend()?;
                let target = self.target(target.as_ref(), domain)?;
                let hosts = self.words(&Question::Mx(target.clone()))?;
                if hosts.len() > HOSTS_MAX {
                    return Err(Stop::Broken(format!("{target} has more than {HOSTS_MAX} MX")));
                }
                for host in hosts {
                    let found = self.addresses(&host, false)?;
                    if found.iter().any(|at| lengths.covers(*at, self.sender.address)) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(target) => self.ptr(target.as_ref(), domain),
            Mechanism::Exists(target) => {
                self.spend()?;
                let target = self.target(Some(target), domain)?;
                match self.known(&Question::Exists(target))? {
                    Known::Addresses(found) => Ok(!found.is_empty()),
                    Known::Unknown(why) => Err(Stop::Unknown(why.clone())),
                    _ => self.void().map(|()| false),
                }
            }
        }
    }

    /// RFC 7208 5.5; names that cannot be looked up are passed over.
    fn ptr(&mut self, target: Option<&String>, domain: &str) -> Result<bool, Stop> {
        self.spend()?;
        let concern = format!("{domain} uses ptr, which RFC 7208 5.5 advises against");
        if !self.concerns.contains(&concern) {
            self.concerns.push(concern);
        }
        let target = self.target(target, domain)?.to_ascii_lowercase();
        let names = match self.known(&Question::Names(self.sender.address))? {
            Known::Words(names) => names.clone(),
            _ => return Ok(false),
        };
        for name in names.iter().take(HOSTS_MAX) {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if name != target && !name.ends_with(&format!(".{target}")) {
                continue;
            }
            let Known::Addresses(found) = self.known(&Question::Addresses(name))? else {
                continue;
            };
            if found.contains(&self.sender.address) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn known(&self, question: &Question) -> Result<&Known, Stop> {
        self.answers.get(question).ok_or_else(|| Stop::Ask(question.clone()))
    }

    fn words(&mut self, question: &Question) -> Result<Vec<String>, Stop> {
        match self.known(question)? {
            Known::Words(words) => Ok(words.clone()),
            Known::Unknown(why) => Err(Stop::Unknown(why.clone())),
            _ => self.void().map(|()| Vec::new()),
        }
    }

    fn addresses(&mut self, name: &str, counts: bool) -> Result<Vec<IpAddr>, Stop> {
        match self.known(&Question::Addresses(name.to_owned()))? {
            Known::Addresses(found) => Ok(found.clone()),
            Known::Unknown(why) => Err(Stop::Unknown(format!("{name}: {why}"))),
            _ if counts => self.void().map(|()| Vec::new()),
            _ => Ok(Vec::new()),
        }
    }

    /// A term that costs look-ups.
    fn spend(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > LOOKUPS_MAX {
            return Err(Stop::Broken(format!("more than {LOOKUPS_MAX} look-ups are needed")));
        }
        Ok(())
    }

    fn void(&mut self) -> Result<(), Stop> {
        self.voids += 1;
        if self.voids > VOIDS_MAX {
            return Err(Stop::Broken(format!("more than {VOIDS_MAX} look-ups find nothing")));
        }
        Ok(())
    }

    /// The domain that a term names; its own if it names none.
    fn target(&self, target: Option<&String>, domain: &str) -> Result<String, Stop> {
        match target {
            None => Ok(domain.to_owned()),
            Some(text) => expand(text, self.sender, domain).map_err(Stop::Broken),
        }
    }
}

#[cfg(test)]
mod tests;
