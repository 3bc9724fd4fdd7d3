"""Trials of what is carried: encodings, sizes, many recipients, chunks, and reports.

Each is a function (demo, mark, folder) whose docstring says what it shows.
"""

import base64
import email
import email.policy
import hashlib
import json
import os
import pathlib
import smtplib
import socket
import ssl
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
POSTERN = ROOT / "target/debug/postern"


def session(demo):
    """An authenticated session on 465."""
    peer = smtplib.SMTP_SSL(*demo.host("submissions"), timeout=60,
                            context=ssl.create_default_context(cafile=demo.ca))
    peer.ehlo("client.test")
    peer.login(demo.user, demo.password)
    return peer


def head(demo, mark, to=None):
    return (f"From: Billing <{demo.said['from']}>\r\nTo: {to or demo.accepts}\r\n"
            f"Subject: {mark}\r\n").encode()


def body_of(octets):
    return octets.split(b"\r\n\r\n", 1)[1]


def facts(demo, identity):
    """What the gateway tells about a message, by `message trace --json`."""
    done = subprocess.run([POSTERN, "--json", "--socket", demo.control, "message", "trace",
                           identity], capture_output=True, text=True, timeout=30, check=True)
    told = json.loads(done.stdout)
    return told if isinstance(told, list) else told["rows"]


def identity_in(reply):
    """The queue id in `250 2.0.0 Ok: queued as ID`."""
    return reply[1].decode().rsplit(" ", 1)[1]


def login(demo, mark, folder):
    """Python's smtplib with AUTH LOGIN, after STARTTLS."""
    with smtplib.SMTP(*demo.host("submission"), timeout=30) as peer:
        peer.starttls(context=ssl.create_default_context(cafile=demo.ca))
        peer.ehlo()
        peer.user, peer.password = demo.user, demo.password
        peer.auth("LOGIN", peer.auth_login, initial_response_ok=False)
        peer.sendmail(demo.said["from"], [demo.accepts], head(demo, mark) + b"\r\nHello.\r\n")
    assert body_of(demo.delivered(mark)) == b"Hello.\r\n"


def pipelined(demo, mark, folder):
    """swaks with PIPELINING."""
    host, port = demo.host("submissions")
    done = subprocess.run(
        ["swaks", "--server", host, "--port", str(port), "--tls-on-connect", "--pipeline",
         "--auth", "PLAIN", "--auth-user", demo.user, "--auth-password", demo.password,
         "--from", demo.said["from"], "--to", f"{demo.accepts},bob@inbox.example",
         "--header", f"Subject: {mark}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    demo.delivered(mark)


def eight_bits(demo, mark, folder):
    """BODY=8BITMIME: octets above 127 arrive as they were sent."""
    body = "Grüße, naïve façade: ½ €\r\n".encode() + bytes(range(128, 256)) + b"\r\n"
    fields = (b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
              b"Content-Transfer-Encoding: 8bit\r\n")
    with session(demo) as peer:
        peer.sendmail(demo.said["from"], [demo.accepts], head(demo, mark) + fields + b"\r\n" + body,
                      mail_options=["BODY=8BITMIME"])
    assert body_of(demo.delivered(mark)) == body


def international(demo, mark, folder):
    """SMTPUTF8: an address and a Subject: in UTF-8 go through unchanged."""
    content = (f"From: {demo.said['from']}\r\nTo: jörg@inbox.example\r\n"
               f"Subject: {mark} Überweisung\r\n\r\nHallo Jörg.\r\n").encode()
    with session(demo) as peer:
        peer.sendmail(demo.said["from"], ["jörg@inbox.example"], content,
                      mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    octets = demo.delivered(mark)
    assert "Überweisung".encode() in octets and "To: jörg@inbox.example".encode() in octets
    assert b"with UTF8SMTPSA" in octets, octets[:3000]


def twenty_five_megabytes(demo, mark, folder):
    """25,000,000 octets arrive unchanged; more than SIZE allows is refused with 552 5.3.4."""
    line = base64.b64encode(os.urandom(57)) + b"\r\n"
    body = line * (25_000_000 // len(line))
    with session(demo) as peer:
        peer.sendmail(demo.said["from"], [demo.accepts], head(demo, mark) + b"\r\n" + body)
        arrived = body_of(demo.delivered(mark, 60))
        assert hashlib.sha256(arrived).digest() == hashlib.sha256(body).digest(), len(arrived)
        over = peer.docmd("MAIL", f"FROM:<{demo.said['from']}> SIZE=30000000")
        assert over[0] == 552 and over[1].startswith(b"5.3.4"), over
        peer.mail(demo.said["from"])
        peer.rcpt(demo.accepts)
        over = peer.data(head(demo, mark) + b"\r\n" + line * (27_000_000 // len(line)))
        assert over[0] == 552 and over[1].startswith(b"5.3.4"), over


def hundred_recipients(demo, mark, folder):
    """100 recipients in ten domains: one outcome for each, and one message per domain."""
    people = [f"p{n}@d{n % 10}.example" for n in range(100)]
    with session(demo) as peer:
        peer.mail(demo.said["from"])
        for person in people:
            assert peer.rcpt(person)[0] == 250
        identity = identity_in(peer.data(head(demo, mark, "many:;") + b"\r\nHello all.\r\n"))

    def complete():
        return any(fact["event"] == "message_completed" for fact in facts(demo, identity))

    demo.wait("100 outcomes", complete)
    told = [fact["text"] for fact in facts(demo, identity)
            if fact["event"] == "recipient_delivered"]
    assert len(told) == 100, len(told)
    for person in people:
        assert sum(f"to=<{person}>" in text for text in told) == 1, person
    demo.delivered(mark)


def chunks(demo, mark, folder):
    """BDAT by hand: three chunks, cut anywhere, with lines of one dot that are not the end."""
    content = head(demo, mark) + b"\r\n.\r\n..\r\n.leading\r\nlast\r\n"
    context = ssl.create_default_context(cafile=demo.ca)
    host, port = demo.host("submissions")
    with context.wrap_socket(socket.create_connection((host, port), timeout=30),
                             server_hostname=host) as peer:
        replies = peer.makefile("rb")

        def reply(expected):
            while True:
                line = replies.readline()
                if line[3:4] == b" ":
                    assert line.startswith(expected), line
                    return line

        reply(b"220")
        peer.sendall(b"EHLO client.test\r\n")
        reply(b"250")
        secret = base64.b64encode(f"\0{demo.user}\0{demo.password}".encode())
        peer.sendall(b"AUTH PLAIN " + secret + b"\r\n")
        reply(b"235")
        at = len(content) - 12
        peer.sendall(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n" % (
            demo.said["from"].encode(), demo.accepts.encode()))
        peer.sendall(b"BDAT %d\r\n" % 7 + content[:7] + b"BDAT %d\r\n" % (at - 7) + content[7:at]
                     + b"BDAT %d LAST\r\n" % (len(content) - at) + content[at:] + b"QUIT\r\n")
        for expected in (b"250", b"250", b"250", b"250", b"250 2.0.0", b"221"):
            reply(expected)
    assert body_of(demo.delivered(mark)) == body_of(content)


def report_about(demo, identity):
    """The report on a message, as Python's parser sees it."""
    octets = demo.delivered(f"X-Postern-Queue-ID: {identity}")
    return email.message_from_bytes(octets, policy=email.policy.default)


def parts_of(report):
    """The three parts of a report, after the rules of RFC 6522 and 3464 are checked."""
    assert report.get_content_type() == "multipart/report", report["Content-Type"]
    assert report["Content-Type"].params["report-type"] == "delivery-status"
    assert report["Auto-Submitted"] == "auto-replied" and not report.defects
    words, status, original = report.iter_parts()
    assert words.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    return words.get_content(), status.get_payload(), original


def report(demo, mark, folder):
    """A refusal becomes one report: RFC 3464 fields right, the header of the message only."""
    refused, unknown = "refuse-bob@inbox.example", "bob@nowhere.example"
    with session(demo) as peer:
        peer.mail(demo.said["from"], ["RET=HDRS", "ENVID=order+2B7"])
        peer.rcpt(refused, ["ORCPT=rfc822;bob+2Bx@old.example", "NOTIFY=FAILURE,DELAY"])
        peer.rcpt("refuse-quiet@inbox.example", ["NOTIFY=NEVER"])
        peer.rcpt(demo.accepts)
        identity = identity_in(peer.data(head(demo, mark) + b"\r\nSecret words.\r\n"))
    words, (of_message, of_recipient), original = parts_of(report_about(demo, identity))
    assert refused in words and "What to do" in words and identity in words, words
    assert of_message["Reporting-MTA"] == "dns; gateway.shop.example"
    assert of_message["Original-Envelope-Id"] == "order+7", of_message.as_string()
    assert of_message["Arrival-Date"]
    expected = {"Original-Recipient": "rfc822;bob+x@old.example", "Action": "failed",
                "Final-Recipient": f"rfc822; {refused}", "Status": "5.1.1",
                "Remote-MTA": "dns; mx.internet.example"}
    for name, value in expected.items():
        assert of_recipient[name].replace("; ", ";") == value.replace("; ", ";"), (
            name, of_recipient[name])
    assert of_recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1"), of_recipient.as_string()
    assert original.get_content_type() == "text/rfc822-headers"
    assert mark in original.as_string() and "Secret words" not in original.as_string()

    with session(demo) as peer:
        peer.mail(demo.said["from"])
        peer.rcpt(unknown)
        identity = identity_in(peer.data(head(demo, mark) + b"\r\nHello.\r\n"))
    _, (_, of_recipient), _ = parts_of(report_about(demo, identity))
    assert of_recipient["Status"] == "5.1.2" and of_recipient["Remote-MTA"] is None


def owner_report(demo, mark, folder):
    """Mail with the null reverse-path: the owner of its source hears of the refusal, once."""
    with session(demo) as peer:
        assert peer.docmd("MAIL", "FROM:<>")[0] == 250
        peer.rcpt("refuse-ann@inbox.example")
        identity = identity_in(peer.data(head(demo, mark) + b"\r\nHello.\r\n"))
    told = report_about(demo, identity)
    assert told["To"] == "owner@shop.example", told["To"]
    parts_of(told)


def deferred(demo, mark, folder):
    """A recipient who is put off twice gets the message at the third attempt, once."""
    with session(demo) as peer:
        peer.mail(demo.said["from"])
        peer.rcpt(f"defer-{mark}@inbox.example")
        identity = identity_in(peer.data(head(demo, mark) + b"\r\nHello.\r\n"))
    demo.delivered(mark, 60)
    time.sleep(0.2)
    names = [fact["event"] for fact in facts(demo, identity)]
    assert names.count("recipient_deferred") == 2 and names.count("recipient_delivered") == 1


LETTERS = {
    "smtplib-login": login,
    "swaks-pipelined": pipelined,
    "8bitmime": eight_bits,
    "smtputf8": international,
    "25-megabytes": twenty_five_megabytes,
    "100-recipients": hundred_recipients,
    "bdat": chunks,
    "report": report,
    "report-to-owner": owner_report,
    "deferred": deferred,
}
