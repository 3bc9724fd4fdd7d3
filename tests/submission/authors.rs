//! Spoofed authors: ways to write From, or what readers take for it, as somebody else.

#![allow(dead_code, reason = "shared by several test programs, each of which needs a part")]

/// Whom nobody may be.
pub(crate) const VICTIM: &str = "ceo@bank.example";

/// A source: name, (reverse-path, From) pairs, a reverse-path that it may use.
pub(crate) type Pretender = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// Sources that may all do something, and none of which may be the victim.
pub(crate) const PRETENDERS: &[Pretender] = &[
    ("wide", &[("*@own.example", "*@own.example")], "me@own.example"),
    ("narrow", &[("me@own.example", "me@own.example")], "me@own.example"),
    (
        "near",
        &[
            ("*@sub.bank.example", "*@sub.bank.example"),
            ("*@bank.example.own.example", "*@own.example"),
        ],
        "me@sub.bank.example",
    ),
    ("envelope", &[("*@bank.example", "*@own.example")], VICTIM),
    ("local", &[("*@own.example", "me@own.example"), ("<>", "ceo@own.example")], "me@own.example"),
];

/// The forms: `{V}` is the victim's address, `{O}` one that the source may well own.
pub(crate) const FORMS: &[&str] = &[
    // The plain truth, and white space around it.
    "From: {V}",
    "From:{V}",
    "From: <{V}>",
    "From:\t<{V}>",
    "From:\r\n {V}",
    "From:\r\n\t<{V}>\r\n ",
    "from: {V}",
    "FROM: {V}",
    "fROM: {V}",
    "From: Boss <{V}>",
    "From: \"Boss\" <{V}>",
    "From: \"{O}\" <{V}>",
    "From: {O} <{V}>",
    "From: <{O}> <{V}>",
    "From: =?utf-8?Q?Boss?= <{V}>",
    "From: (comment) {V}",
    "From: {V} (comment)",
    "From: {V} ({O})",
    "From: ({O}) {V}",
    "From: Boss (nested (comment)) <{V}>",
    // Case, quotes, labels.
    "From: CEO@BANK.EXAMPLE",
    "From: ceo@Bank.Example",
    "From: \"ceo\"@bank.example",
    "From: <\"ceo\"@bank.example>",
    "From: \"c\\e\\o\"@bank.example",
    "From: ceo@bank.example.",
    "From: ceo@[192.0.2.1]",
    "From: ceo@[IPv6:2001:db8::1]",
    "From: ceo@192.0.2.1",
    "From: ceo@bank%2eexample",
    "From: ceo@bank\\.example",
    "From: ceo @bank.example",
    "From: ceo@ bank.example",
    "From: ceo@bank .example",
    "From: ceo@bank. example",
    "From: ceo(x)@bank.example",
    "From: ceo@(x)bank.example",
    "From: ceo@bank(x).example",
    "From: ceo@bank.example(x)",
    "From: ceo\r\n @bank.example",
    "From: c.e.o@bank.example, {O}",
    // Lists and groups.
    "From: {O}, {V}",
    "From: {V}, {O}",
    "From: {O},{V}",
    "From: Me <{O}>, Boss <{V}>",
    "From: {O}, , {V}",
    "From: ,{V}",
    "From: {V},",
    "From: {O}; {V}",
    "From: {O} {V}",
    "From: {O}\t{V}",
    "From: {O}\r\n {V}",
    "From: Board: {V};",
    "From: Board: {O};, {V}",
    "From: Board: {O}, {V};",
    "From: Board:;",
    "From: {V}: {O};",
    "From: undisclosed:;, {V}",
    "From: A: B: {V};;",
    // Routes, percent, bang.
    "From: <@own.example:{V}>",
    "From: <@own.example,@x.example:{V}>",
    "From: <@bank.example:{O}>",
    "From: ceo%bank.example@own.example@bank.example",
    "From: {V}@own.example",
    "From: {O}@bank.example",
    "From: <{O}@bank.example>",
    "From: \"{O}\"@bank.example",
    "From: <\"{O}\"@bank.example>",
    "From: ceo@bank.example@own.example",
    "From: own.example!ceo@bank.example",
    // Brackets gone wrong.
    "From: <{V}",
    "From: {V}>",
    "From: <<{V}>>",
    "From: <{O}><{V}>",
    "From: <{O}>, <{V}",
    "From: <{V}> {O}",
    "From: {O} <{V}> tail",
    "From: Me <{O}> <{V}>",
    "From: <{O}>{V}",
    "From: <>",
    "From: <> {V}",
    "From: Me <>",
    "From: [{V}]",
    "From: `{V}`",
    "From: '{V}'",
    "From: mailto:{V}",
    "From: <mailto:{V}>",
    "From:",
    "From: ",
    "From: Boss",
    "From: \"{V}\"",
    "From: \"Boss <{V}>\"",
    "From: \"Me\" <{O}\" <{V}>",
    "From: \"Me <{O}>",
    "From: (Me <{O}>",
    "From: Me) <{V}>",
    "From: \\\"Boss\\\" <{V}>",
    // Encoded words, in and around addresses.
    "From: =?utf-8?Q?ceo=40bank.example?=",
    "From: =?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZQ==?=",
    "From: =?utf-8?Q?ceo=40bank.example?= <{O}>",
    "From: =?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZQ==?= <{O}>",
    "From: =?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZQ?= <{O}>",
    "From: =?utf-8?Q?=3Cceo=40bank.example=3E?= <{O}>",
    "From: =?utf-8?q?ceo?= =?utf-8?q?=40bank.example?= <{O}>",
    "From: =?utf-8?q?ceo=40ba?=\r\n =?utf-8?q?nk.example?= <{O}>",
    "From: =?iso-8859-1?q?ceo@bank.example?= <{O}>",
    "From: =?utf-7?q?ceo+AEA-bank.example?= <{O}>",
    "From: =?utf-16?B?AGMAZQBvAEAAYgBhAG4AawAuAGUAeABhAG0AcABsAGU=?= <{O}>",
    "From: =?utf-8?q?ceo=EF=BC=A0bank.example?= <{O}>",
    "From: =?utf-8?q?ceo=E2=80=AE=40x?= <{O}>",
    "From: =?utf-8?q?ceo=00=40bank.example?= <{O}>",
    "From: =?utf-8?q?ceo=0d=0aFrom:_x?= <{O}>",
    "From: \"=?utf-8?q?ceo=40bank.example?=\" <{O}>",
    "From: <=?utf-8?q?ceo=40bank.example=3e?=@own.example>",
    "From: =?utf-8?q?ceo=40bank.example=00?=@own.example",
    "From: =?x?q?ceo?=@bank.example",
    "From: ceo@=?utf-8?q?bank?=.example",
    "From: =?utf-8?Q?Boss_=3C?={V}=?utf-8?Q?=3E?= <{O}>",
    // Display names that show the victim.
    "From: \"{V}\" <{O}>",
    "From: \"Boss ({V})\" <{O}>",
    "From: \"Boss <{V}>\" <{O}>",
    "From: \"{V} via Own\" <{O}>",
    "From: {O} ({V})",
    "From: {O} (Boss, {V})",
    "From: <{O}> ({V})",
    "From: ({V}) <{O}>",
    "From: \"CEO@BANK.EXAMPLE\" <{O}>",
    "From: \"ceo @ bank.example\" <{O}>",
    "From: \"ceo@bank.example.\" <{O}>",
    "From: \"<ceo@bank.example\" <{O}>",
    "From: \"ceo\\@bank.example\" <{O}>",
    "From: \"ceo@bank.example\\\" <x>\" <{O}>",
    "From: \"a@@bank.example\" <{O}>",
    // Several fields, and fields that are none.
    "From: {O}\r\nFrom: {V}",
    "From: {V}\r\nFrom: {O}",
    "From: {O}\r\nfrom: {V}",
    "From: {O}\r\nFROM : {V}",
    "From: {O}\r\nFrom : {V}",
    "From: {O}\r\nFrom\t: {V}",
    "From: {O}\r\n From: {V}",
    "From: {O}\r\nFr om: {V}",
    "From: {O}\r\n:From: {V}",
    "From: {O}\r\nFrom {V}",
    "From {V}\r\nFrom: {O}",
    " From: {V}\r\nFrom: {O}",
    "\tx\r\nFrom: {O}",
    "From: {O}\r\n\u{fffe}From: {V}",
    "From: {O}\r\nFrom\u{a0}: {V}",
    "From: {O}\r\n\u{feff}From: {V}",
    "Subject: x\r\n \r\nFrom: {V}\r\nFrom: {O}",
    "Subject: x\r\n\t\r\n {V}\r\nFrom: {O}",
    "Subject: x\rFrom: {V}\r\nFrom: {O}",
    "Subject: x\nFrom: {V}\r\nFrom: {O}",
    "Subject: x\0\r\nFrom: {O}",
    "From: {O}\0{V}",
    "From: {O}\u{b}, {V}",
    "From: {O}\u{7f}",
    "no field\r\nFrom: {O}",
    "From: {O}\r\nno field",
    "Subject: only",
    "X-From: {O}",
    // Fields that programs show instead of From.
    "From: {O}\r\nSender: {V}",
    "From: {O}\r\nsender: Boss <{V}>",
    "From: {O}\r\nSender: {O}, {V}",
    "From: {O}\r\nSender: Board: {V};",
    "From: {O}\r\nSender: {O}\r\nSender: {V}",
    "From: {O}\r\nSender:",
    "From: {O}\r\nSender: \"{V}\" <{O}>",
    "From: {O}\r\nResent-From: {V}",
    "From: {O}\r\nResent-From: {O}\r\nResent-From: {V}",
    "From: {O}\r\nResent-Sender: {V}",
    "From: {O}\r\nResent-From: {O}, {V}",
    "From: {O}\r\nResent-From: Board: {V};",
    "From: {O}\r\nReply-To: {V}\r\nReply-To: {O}",
    "From: {O}\r\nReply-To: <{V}",
    "From: {O}, {O}",
    // Beyond ASCII.
    "From: ceo＠bank.example",
    "From: \"ceo＠bank.example\" <{O}>",
    "From: ceo@ｂank.example",
    "From: ceo@bank。example",
    "From: ceo@bаnk.example",
    "From: ceo@xn--bnk-7cd.example",
    "From: \"elpmaxe.knab@oec\u{202e}\" <{O}>",
    "From: Boss\u{200b} <{O}>",
    "From: Boss\u{2028}<{V}>",
    "From: \u{a0}{V}",
    "From: çeo@bank.example",
    "From: ｃｅｏ@bank.example",
];

/// Forms that a source may use, so that the test above cannot pass by refusing everything.
pub(crate) const HONEST: &[&str] = &[
    "From: {O}",
    "From: <{O}>",
    "From: Me <{O}>",
    "From: \"Me, and you\" <{O}>",
    "From: Me Q. Public <{O}>",
    "From: {O} (Me)",
    "From: =?utf-8?Q?M=C3=BCller?= <{O}>",
    "From: =?utf-8?B?TcO8bGxlcg==?=\r\n =?utf-8?Q?_GmbH?= <{O}>",
    "From: \"{O}\" <{O}>",
    "From: Me <{O}>\r\nSender: {O}",
    "From: Me <{O}>\r\nReply-To: {V}",
    "From: Me <{O}>\r\nTo: {V}\r\nCc: {V}",
    "From: \"Prices @ 5.00\" <{O}>",
    "From: \"Team @Own\" <{O}>",
    "FROM:{O}",
];

/// An address that a source of this name owns.
pub(crate) fn owned(name: &str) -> &'static str {
    match name {
        "near" => "me@sub.bank.example",
        _ => "me@own.example",
    }
}

/// A form as a source of this name would try it.
pub(crate) fn filled(form: &str, name: &str) -> String {
    form.replace("{V}", VICTIM).replace("{O}", owned(name))
}

/// A message with this form in its header.
pub(crate) fn letter(header: &str) -> String {
    // "Subject: only" and its like bring their own subject: ours must not be the reason.
    if header.to_lowercase().contains("subject") {
        format!("{header}\r\n\r\nbody\r\n")
    } else {
        format!("{header}\r\nSubject: hello\r\n\r\nbody\r\n")
    }
}
