//! Open-relay probes: two hundred ways to write a recipient or a sender.

#![allow(dead_code, reason = "shared by several test programs, each of which needs a part")]

/// The gateway's own name.
pub(crate) const SERVER: &str = "gateway.example";
/// The gateway's own address.
pub(crate) const SERVER_ADDRESS: &str = "192.0.2.25";
/// Whom the prober wants to reach.
pub(crate) const TARGET: &str = "relaytest";
/// See [`TARGET`].
pub(crate) const TARGET_DOMAIN: &str = "elsewhere.example";

/// The sixteen probes of nmap's smtp-open-relay, and the ways that other lists add.
#[expect(clippy::too_many_lines, reason = "a list reads best in one piece")]
pub(crate) fn recipients() -> Vec<String> {
    let (ip, server, user, domain) = (SERVER_ADDRESS, SERVER, TARGET, TARGET_DOMAIN);
    let mut list = vec![
        format!("{user}@{domain}"),
        format!("{user}%{domain}@[{ip}]"),
        format!("{user}%{domain}@{server}"),
        format!("\"{user}@{domain}\""),
        format!("\"{user}%{domain}\""),
        format!("{user}@{domain}@[{ip}]"),
        format!("\"{user}@{domain}\"@[{ip}]"),
        format!("{user}@{domain}@{server}"),
        format!("@[{ip}]:{user}@{domain}"),
        format!("@{server}:{user}@{domain}"),
        format!("{domain}!{user}"),
        format!("{domain}!{user}@[{ip}]"),
        format!("{domain}!{user}@{server}"),
        format!("@{server},@x.example:{user}@{domain}"),
        format!("{user}"),
        format!("{user}@"),
        format!("@{domain}"),
        format!("{user}%{domain}"),
        format!("{user}%{domain}%{server}"),
        format!("{user}%{domain}%x.example@{server}"),
        format!("{user}%{domain}@127.0.0.1"),
        format!("{user}%{domain}@[127.0.0.1]"),
        format!("{user}%{domain}@localhost"),
        format!("{user}@localhost"),
        format!("{user}@[127.0.0.1]"),
        format!("{user}@[IPv6:::1]"),
        format!("{user}@[IPv6:::ffff:{ip}]"),
        format!("{user}@{ip}"),
        format!("{user}@[{ip}"),
        format!("{user}@{ip}]"),
        format!("{user}@[[{ip}]]"),
        format!("{user}@#3221225985"),
        format!("{user}@3221225985"),
        format!("{user}@0xc0000219"),
        format!("{user}@[0xc0000219]"),
        format!("{user}@[{ip}].{domain}"),
        format!("{server}!{domain}!{user}"),
        format!("{server}!{user}%{domain}"),
        format!("{domain}!{user}%{server}@{server}"),
        format!("\"{domain}!{user}\"@{server}"),
        format!("\"{user}%{domain}\"@{server}"),
        format!("\"{user}@{domain}\"@{server}"),
        format!("\"{user}\"@{domain}"),
        format!("\"{user}\"%{domain}@{server}"),
        format!("{user}\\@{domain}@{server}"),
        format!("{user}\\%{domain}@{server}"),
        format!("({user}@{domain})@{server}"),
        format!("{user}@{domain}(@{server})"),
        format!("{user}(x)@{domain}"),
        format!("{user}@{server}({domain})"),
        format!("<{user}@{domain}>"),
        format!("<{user}@{domain}"),
        format!("{user}@{domain}>"),
        format!("{user}@{domain}> <x@{server}"),
        format!("{user}@{domain},x@{server}"),
        format!("x@{server},{user}@{domain}"),
        format!("{user}@{domain};x@{server}"),
        format!("{user}@{domain} x@{server}"),
        format!("{user}:{domain}@{server}"),
        format!("{user}@{server}:{domain}"),
        format!("{user}@{domain}:25"),
        format!("{user}@{server}:{user}@{domain}"),
        format!("@{server}:@x.example:{user}@{domain}"),
        format!("@{server}:{user}%{domain}@{server}"),
        format!("{user}={domain}@{server}"),
        format!("{user}+{domain}@{server}"),
        format!("{user}#{domain}@{server}"),
        format!("prvs=1234={user}@{domain}"),
        format!("SRS0=ABC=XY={domain}={user}@{server}"),
        format!("SRS1=ABC={server}==XY={domain}={user}@{server}"),
        format!("=?utf-8?q?{user}=40{domain}?=@{server}"),
        format!("=?utf-8?q?{user}=40{domain}=3e?=@{server}"),
        format!("=?utf-8?b?cmVsYXl0ZXN0QGVsc2V3aGVyZS5leGFtcGxl?=@{server}"),
        format!("=?x?q?{user}?=@{domain}"),
        format!("{user}=40{domain}@{server}"),
        format!("{user}%40{domain}@{server}"),
        format!("{user}&commat;{domain}@{server}"),
        format!("{user}@{domain}%00@{server}"),
        format!("{user}＠{domain}"),
        format!("{user}＠{domain}@{server}"),
        format!("{user}﹫{domain}@{server}"),
        format!("{user}％{domain}@{server}"),
        format!("{user}@ｅlsewhere.example@{server}"),
        format!("mailto:{user}@{domain}"),
        format!("smtp:{user}@{domain}"),
        format!("IMCEASMTP-{user}+40{domain}@{server}"),
        format!("{user}@{domain}."),
        format!("{user}@.{domain}"),
        format!("{user}@{domain}.."),
        format!("{user}@-{domain}"),
        format!("{user}@{domain}-"),
        format!(".{user}@{domain}"),
        format!("{user}.@{domain}"),
        format!("{user}..x@{domain}"),
        format!("|/bin/sh@{server}"),
        format!("/etc/passwd@{server}"),
        format!(":include:/etc/passwd@{server}"),
        format!("\"|/bin/sh\"@{server}"),
        format!("postmaster@{server}"),
        "postmaster".to_owned(),
        "POSTMASTER".to_owned(),
        String::new(),
        " ".to_owned(),
        "@".to_owned(),
        "@@".to_owned(),
        "<>".to_owned(),
        "\"\"".to_owned(),
        format!("\"\"@{domain}"),
        format!("{}@{domain}", "a".repeat(65)),
        format!("{user}@{}.example", "a".repeat(64)),
        format!("{user}@{}", ["abcdefgh"; 30].join(".")),
        format!("{}@{domain}", "a.".repeat(40)),
    ];
    // Each of the first forms again with an octet that some programs drop or stop at.
    let forms: Vec<String> = list.iter().take(14).cloned().collect();
    for form in forms {
        for odd in ["\0", "\r", "\n", "\r\n", "\t", " ", "\u{7f}", "\u{1b}"] {
            list.push(format!("{form}{odd}"));
            list.push(format!("{odd}{form}"));
        }
        list.push(form.replacen('@', "\0@", 1));
        list.push(form.replacen('@', "\r\n@", 1));
    }
    list
}
