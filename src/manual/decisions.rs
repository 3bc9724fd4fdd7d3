//! Decisions: context, choice and cost. Numbered, never renumbered; a reversed one says by which.
//!
//! # 1. A ledger in front of sled, and sled as a checkpoint
//! *Context.* sled 0.34's `flush` is not power-cut safe for values beyond a few KiB, gives no space
//! back, and loses records silently when bits flip. sled is a given of the product.
//! *Choice.* Custody is an append-only ledger of checksummed segments, synced once for a group.
//! sled holds the spool's *state* (who is queued, where in the ledger, attempts, holds), written on
//! a beat as a checkpoint "applied through position P" with a count and an order-independent
//! digest. At start the state is compared with its own digest; what does not agree is moved aside
//! and rebuilt from the ledger, and the ledger is replayed from P. A message that comes and goes
//! between two beats never touches sled.
//! *Cost.* Recovery reads every segment after P; a state folder that was lost costs a full read.
//!
//! # 2. Segments are freed from the oldest only
//! *Context.* A rebuild must not resurrect a message whose outcome stood in a segment that is gone.
//! *Choice.* Only the oldest segment is ever unlinked; its few survivors are first copied forward
//! with their present state. So for every message in the ledger all later facts exist.
//! *Cost.* A message that waits for days is copied a few times.
//!
//! # 3. The resolver is in-process, its sockets come from the broker
//! *Context.* DNS must leave by the egress too; a local unbound is the alternative.
//! *Choice.* hickory with our own socket provider over the broker: one path for every packet, no
//! second daemon to supervise, and the same tests.
//! *Cost.* One round trip to the broker per question that the cache cannot answer.
//!
//! # 4. mail-auth 0.13 with mail-parser 0.11
//! *Context.* Newer ones need rustc 1.98. This pair writes a relaxed body hash that verifiers
//! reject when the body ends in lines of white space, folds `b=` before its semicolon when it ends
//! at the margin (dkimpy rejects that), and reads `Fr om:` as From.
//! *Choice.* Such bodies are signed `relaxed/simple`, the margin is closed, and ownership is
//! decided by our own strict header reader, never by the parser. Each has a test named after it.
//! Body hash and canonical header are computed once for all keys of a message, so we call the
//! library's parts and not its signer.
//! *Cost.* Two header readers in the house.
//!
//! # 5. The demonstration's Internet shares no code with the gateway's server
//! *Context.* A receiver built from our own session machine would share its mistakes.
//! *Choice.* A small line reader of its own in `demo/internet.rs`.
//! *Cost.* About 150 lines.
//!
//! # 6. What is shown must belong to the source too
//! *Context.* People read display names, not addresses.
//! *Choice.* A display name or comment that shows a foreign address, hidden or direction-turning
//! characters or UTF-7 is refused; several authors need a Sender; several From: domains and groups
//! in From: are refused. Reply-To may name anybody.
//! *Cost.* Contact forms that put the visitor's address into the display name are refused and told
//! to use Reply-To.
//!
//! # 7. Signatures outlive the queue
//! *Choice.* `x=` is the later of seven days and the message's lifetime plus one day.
//! *Cost.* A captured message can be replayed for that long (oversigning keeps it unchanged).
//!
//! # 8. Content is never altered after the signature
//! *Choice.* 8-bit content without BODY= is marked 8BITMIME at submission; a host without 8BITMIME
//! or SMTPUTF8 means 5.6.3 or 5.6.7, never a conversion.
//! *Cost.* Mail to hosts without 8BITMIME fails although a conversion before signing could help.
//!
//! # 9. Hosts that are not the Internet
//! *Choice.* An MX whose only addresses are private, special or our own is permanent (5.4.4). A
//! doubtful name (4.4.3) or another host's transient failure outweighs it. A route's host given by
//! name may be private but not loopback; one given by address may be anything.
//! *Cost.* A domain whose DNS is wrong for an hour bounces instead of waiting.
//!
//! # 10. Of several setbacks, patience wins
//! *Choice.* Transient before suspended before permanent; within a class the furthest phase. 552 at
//! RCPT is 452 (RFC 5321 4.5.3.1.10). A 5xx greeting is transient, 521 and 556 are not.
//! *Cost.* A host that refuses everyone for good is tried until the mail expires.
//!
//! # 11. REQUIRETLS is 5.7.30 until TLS is authenticated
//! Reversed by 27.
//!
//! *Context.* RFC 8689 asks for an authenticated next hop; opportunistic TLS checks nothing.
//! *Choice.* Such mail is accepted and fails with 5.7.30; it is never sent on a lesser promise.
//! *Cost.* REQUIRETLS is of use only once DANE and MTA-STS are there.
//!
//! # 12. Opportunistic TLS accepts any certificate
//! *Choice.* Neither certificate nor handshake signature is checked: whoever could forge them could
//! have removed STARTTLS too, and a check only fails honest old hosts.
//! *Cost.* None against a passive listener; nothing against an active one, as before.
//!
//! # 13. Health of an egress is asked of the kernel's route lookup
//! *Context.* A UDP connect succeeds without a route on a socket that is bound to a device.
//! *Choice.* rtnetlink with `RTM_F_FIB_MATCH`, the interface's flags and its addresses.
//! *Cost.* The broker needs `AF_NETLINK`.
//!
//! # 14. Held mail does not grow old
//! *Choice.* Mail that is held, stopped or parked with its egress does not expire; it gets one
//! attempt when it is freed. Expiry is counted on the monotonic clock; recovered mail keeps at
//! least 15 minutes.
//! *Cost.* A forgotten hold keeps mail for ever; `status` and `queue list` show it.
//!
//! # 15. The breaker stands per destination, limits per provider
//! *Choice.* A destination whose connections fail is probed by one connection, 15 s doubling to
//! 10 min. Limits of connections are per provider. So a stranger's MX cannot stop a provider.
//! *Cost.* Many dead domains behind one provider are probed one by one.
//!
//! # 16. A reply that never came is not asked for again at once
//! *Choice.* After the final dot without a reply the recipient is in doubt: told, counted, and not
//! tried for ten minutes (RFC 1047).
//! *Cost.* Ten minutes when the host had not taken it.
//!
//! # 17. A failed ledger ends the process
//! *Context.* After a failed sync nobody knows what the disk holds; a retry may lie (fsyncgate).
//! *Choice.* The spool latches, peers hear 421, carriers get no more work, and within three seconds
//! the process exits with 1. The service manager starts it, and what is stored is compared.
//! *Cost.* Deliveries whose outcome was in flight come twice; with a dying disk it restarts again
//! and again.
//!
//! # 18. Only a process that dies of itself makes suspects
//! *Context.* A message in hand at two crashes shall be set aside. Hundreds are in hand at a time,
//! and most "crashes" are kills, power cuts and the kernel short of memory: nobody's fault.
//! *Choice.* What is in hand stands in a table in memory; a handler of SIGABRT, SIGSEGV, SIGBUS,
//! SIGILL and SIGFPE writes it down. After a restart these suspects are delivered one at a time;
//! whoever is in hand at the next such death, or at a carrier's second panic, is quarantined.
//! *Cost.* A message that makes the kernel kill the process for memory is never suspected.
//!
//! # 19. A damaged message fails
//! *Choice.* If label and envelope are whole, its recipients fail with 5.3.0 and the sender gets a
//! report without the content; else it is quarantined, and the event is all that can be said.
//! *Cost.* One report per destination.
//!
//! # 20. Names are proved in-process
//! *Context.* DANE needs DNSSEC (RFC 7672 1.3); the alternative is an unbound whose outgoing
//! interface is the egress, and trust in its AD bit.
//! *Choice.* hickory validates, per egress, over the broker's sockets: one path for every packet,
//! no second daemon, nobody's word is taken. Absence is judged by ourselves: a name in a signed
//! zone is only absent with a proof. Where the given name servers strip signatures, `dane = "auto"`
//! finds it out and says so, and proves nothing; `"on"` makes mail wait.
//! *Cost.* The first question to a signed domain asks for its keys too.
//!
//! # 21. A pool has a home for every source and domain
//! *Context.* Receivers judge addresses; mail of one sender that hops between them looks like a
//! botnet. Shares must follow weights without a memory that could be lost.
//! *Choice.* Weighted rendezvous hashing of (source, domain) names the home; queue, connections and
//! limits are kept by domain and home. A home that is not whole is stood in for by another member
//! of the same pool and by nobody else. A route's egress goes before a source's pool.
//! *Cost.* One busy source to one provider domain stays on one address, however the weights are.
//!
//! # 22. Each family of addresses is judged by itself
//! *Choice.* An egress whose IPv6 is gone goes on with IPv4, and hosts that have IPv6 alone wait
//! without an attempt.
//! *Cost.* A half-broken egress works and must be seen: an event, and `egress list`.
//!
//! # 23. Five walls around the way out
//! *Context.* Measured over 36 sets of walls: source bind alone leaks with everything well, the
//! usual `ip rule from` leaks in some states.
//! *Choice.* Device bind, source bind, rules by source, an unreachable end of every table, and a
//! guard by user, interface and source, all from one configuration (`postern egress plan`). A test
//! takes each away and must notice; any one may fall without a packet on another wire.
//! *Cost.* The guard belongs to the system: off the box somebody has to apply the plan, and
//! `postern egress check` says so until it is done.
//!
//! # 24. A reply is understood by provider, status and text
//! *Context.* "5.7.30" is a missing DKIM signature at one provider and a kind of login at another;
//! 421 may mean fewer connections, less mail or a blocked address.
//! *Choice.* A table of rules, the document's before the built-in ones, from replies to meanings.
//! Limits pause the lane (1 to 60 minutes while it is told so); a listed address is the way's
//! matter, and such mail waits even after a 5xx, because the message is not at fault.
//! *Cost.* The table ages; it is data, and a document can go over it.
//!
//! # 25. A fault of ours is held, not tried
//! *Context.* Every refused attempt for a missing PTR or a broken DMARC costs reputation.
//! *Choice.* Such mail is held with an alarm: the source's mail to that provider, or for a fault of
//! the way the whole lane. One message in four hours looks whether it is mended; an operator may
//! release it. The hold does not survive a restart: one message learns it again.
//! *Cost.* Mail waits without a bounce until somebody looks; `status` says so on every look.
//!
//! # 26. What counts as delivery with `BY=..;R`
//! *Context.* RFC 2852 4.1.4.1 forbids mode R towards hosts without DELIVERBY, and hardly any
//! offers it.
//! *Choice.* A source is granted `deliver_by = "strict"`, which obeys, or `"handover"`, which gives
//! the message to any host until the deadline and to none after it. Mode N tells of the delay once,
//! at the deadline.
//! *Cost.* `handover` breaks a MUST NOT; it is a named exception in the table of conformance.
//!
//! # 27. REQUIRETLS goes to hosts that somebody vouches for
//! *Context.* RFC 8689 4.2.1 asks for an authenticated host; a valid certificate for a name that an
//! unproved MX record gave proves nothing.
//! *Choice.* DANE, a policy of MTA-STS that names the host, or a valid certificate for a name that
//! DNSSEC or the administrator vouches for. Nobody vouches, or the host does not offer it: 5.7.30;
//! no STARTTLS or a bad certificate: 5.7.10. Reports about such mail ask for it, return the header
//! only, and are not lost for want of it.
//! *Cost.* Whoever strips STARTTLS causes an early bounce; the header in a report may travel with
//! less protection.
//!
//! # 28. MT-PRIORITY
//! *Context.* Nobody may be put first without authorization (RFC 6710 section 9.1).
//! *Choice.* The lower of what is asked and the source's `priority_max` (0 unless it is set), told
//! with 2.3.6; it orders the mail of one source. The MT-Priority header field (RFC 6758) is passed
//! on and never obeyed.
//! *Cost.* A priority ends at hosts without the extension.
//!
//! # 29. Segments carry the version of their records in their names
//! *Context.* A program of version 1 would set records of version 2 aside as damaged.
//! *Choice.* New segments end in `.v2`, which version 1 refuses to open; version 1 is still read.
//! *Cost.* No way back to version 1 with mail in the spool.
//!
//! # 30. An override lies over everything but REQUIRETLS
//! *Context.* One domain's broken policy must not need a switch for all.
//! *Choice.* `[[trust.override]]` lies over DANE, MTA-STS, memory and the route's floor, has a
//! reason and ends within a year. What happens under it is neither reported nor remembered.
//! *Cost.* Failures under an override are unseen.
//!
//! # 31. Memory of TLS warns, and refuses only where it is told to
//! *Context.* Opportunistic TLS promises nothing, so its loss is no proof of an attack.
//! *Choice.* An alarm, once an hour and domain, for clear text after TLS and for no policy after
//! one; `remember = "enforce"` keeps mail from clear text after thirty days of unbroken TLS. What
//! was not seen for thirty days is forgotten.
//! *Cost.* The loss of a certificate that was merely valid is no alarm.
//!
//! # 32. Our own 4.7.5 shuts the destination, not its provider
//! *Choice.* A host that is not as well known as the domain asks makes that domain wait; the lane
//! goes on for others behind the same MX.
//! *Cost.* A provider whose TLS is broken altogether is tried once for each domain.
//!
//! # 33. TLS sessions are not resumed towards receivers
//! *Context.* A resumed session proves no key, so "verified" would be a memory.
//! *Choice.* Every connection makes a full handshake; connections carry many messages.
//! *Cost.* About 0.3 ms of processor time a connection.
//!
//! # 34. Dead connections are found by keep-alives
//! *Context.* A session whose interface was replaced hung for minutes and kept its place in the
//! lane.
//! *Choice.* Probes after 20 s, four of them 5 s apart; not a limit on unacknowledged octets, which
//! could end a receiver that is only slow.
//! *Cost.* What is in flight still waits for the kernel to give up.
//!
//! # 35. A check that cannot know says so
//! *Context.* A list that refuses to answer, a dead name server or a firewall that only root may
//! read proves nothing.
//! *Choice.* UNKNOWN is a grade of its own: it neither raises nor ends an alarm.
//! *Cost.* Some checks stay unknown until somebody acts.
//!
//! # 36. An SPF evaluator of our own
//! *Context.* mail-auth's verifier brings its own resolver; ours asks through the broker.
//! *Choice.* A pure evaluator (RFC 7208 with macros, ten look-ups, two voids) that returns
//! questions.
//! *Cost.* 600 lines.
//!
//! # 37. A silent router suspends, and is asked again
//! *Context.* A router that is dead behind a live link looks like hosts that do not answer: every
//! message would burn its attempts and bounce for a fault of ours.
//! *Choice.* The kernel's neighbour table is a sign of health: a router that failed to answer, or
//! is still being asked for at three looks, suspends the family. While it is lost one question goes
//! to a name server every second, so that the kernel asks again.
//! *Cost.* It is noticed some seconds after somebody speaks; a router beyond the first is not seen.
//!
//! # 38. The broker is a unit of its own, and its user is the firewall's
//! *Context.* As a child it shared the gateway's user and had to share its network, so the gateway
//! could not be without one, and the guard could not tell the two apart.
//! *Choice.* `postern-egress.service` is started by a packet socket that only the gateway's user
//! may open; the gateway meets it there again and again, with the budget that a child had. The
//! newest channel counts. `network.egress_user` is `postern-egress` unless the document says
//! otherwise. As a child (`postern serve` without `--broker`) everything is as it was.
//! *Cost.* Whoever runs the gateway by hand behind the plan's guard sets `egress_user`; the check
//! of the egress says so. A hung broker is ended by the service manager, not by the gateway.
//!
//! # 39. A user namespace with the same numbers, where systemd knows it
//! *Context.* `PrivateUsers=yes` shows every other user as nobody: broker and control socket could
//! no longer tell who asks. Without it the gateway's exposure is 0.4, not 0.2.
//! *Choice.* `PrivateUsers=identity` (systemd 257) in a drop-in that the installer leaves out on
//! Debian 12; the limits of exposure hold for the box.
//! *Cost.* On Debian 12 one wall less: gateway 0.4, broker 1.3.
//!
//! # 40. `systemctl reload` asks the gateway, and waits for its answer
//! *Context.* `Type=notify-reload` sends SIGHUP and takes any READY=1 for success; a document that
//! was refused would look like one in force. systemd 252 does not know it.
//! *Choice.* `ExecReload=postern config reload`: a refused document fails the reload, with its
//! complaints. SIGHUP still reloads, and tells RELOADING=1 with its moment.
//! *Cost.* A reload needs the control socket.
//!
//! # 41. What needs more rights is a unit, not a child of the host role
//! *Context.* Mounts, disks, the network step and updates together cost 2.9 of exposure in one
//! process that speaks with everybody on the machine.
//! *Choice.* The host role writes no device, mounts nothing and has no Internet; it starts and
//! reloads `postern-network.service`, the updater and the stick's mount by the service manager. A
//! guard that cannot be loaded leaves the box closed (`closed.nft` comes first) and the broker
//! unstarted.
//! *Cost.* Faults of these come as the result of a unit; their words are in the journal.
//!
//! # 42. One plan for the ways out, and one for a whole machine
//! *Context.* On Debian others look after the network; on the appliance nobody else does.
//! *Choice.* `egress plan` keeps to the ways out and decides nothing else. `[interface.NAME]` and
//! `network apply` are for a machine that is ours alone: both chains drop by default, cards without
//! a part stay down, files lie below /run and are written again at each start. `network apply` does
//! nothing on a machine that is no appliance and whose document describes no interface.
//! *Cost.* Two guards to keep.
//!
//! # 43. The table `main` is not asked at all
//! *Context.* A default route that a lease, an advertisement or a person writes into `main` leads
//! sockets of everybody by the wrong interface.
//! *Choice.* Every part has a table, rules by source and by interface lead there, and a last rule
//! before `main` ends the search. Who is bound to nothing goes nowhere, but for root and chrony,
//! whose rule by user leads to manage. A leased address has no rule by source: sockets there are
//! bound to the interface, and `fib` rules of the guard stand in for the reverse path filter.
//! *Cost.* An intake with a lease does not answer pings.
//!
//! # 44. Cards are renamed by udev, and by us where udev has not
//! *Context.* Names are made before the document is read; a VLAN or bond shows its card's address.
//! *Choice.* `.link` files match the permanent address; at the start udev hears of all cards once
//! more; what still has another name is renamed by `ip link`. Without udev that alone works.
//! *Cost.* A card known by its kernel's name and plugged in later needs `network apply`.
//!
//! # 45. NTS where it is known to work, and no time from a lease
//! *Context.* chrony cannot ask first whether a server speaks NTS, and a lease is nobody's word.
//! *Choice.* `nts = "auto"` demands it of servers on a short list and prefers them to the others;
//! the usual servers are all on it. Certificates are not judged by date before the first
//! setting of the clock, because a dead battery would end in no time at all.
//! *Cost.* A thief of an expired key could set the clock of a box once, at its start.
//!
//! # 46. systemd-sysupdate writes the slot, and nothing else of an update
//! *Context.* Tried with 257.13 on a GPT in a file: it picks the partition that is not protected,
//! unpacks, writes, and sets label, UUID and flags last. It does not check local files, reads
//! nothing back, protects by label alone, empties a slot before it removes the slot's boot entry,
//! and would make the kernel image bootable in the run that wrote the slot. Its importer knows xz,
//! gzip and bzip2: a `.zst` it writes as it is and reports success, which only our reading back
//! has found.
//! *Choice.* It gets definitions made for the run, with disk, folder and protected version named
//! outright, for `vacuum` and for `update` of the two partitions. Ours: signatures and hashes
//! before; the old boot entry removed first and synced; labels held against the running root hash
//! before and after; the slot read back past the cache and compared with the signed hash of each
//! MiB; the kernel image. Files travel as xz.
//! *Cost.* About 900 lines, and xz unpacks slower than zstd.
//!
//! # 47. A staged update is no boot entry
//! *Context.* A kernel image with tries left is booted at the next power cut, whenever that is.
//! *Choice.* It lies in the ESP complete and read back, under a name that systemd-boot does not
//! read; `apply` is one rename. Going back by hand is done with names too and no EFI variable: the
//! other entry gets three tries, then the running one is marked bad, so that it is booted again
//! when the other slot does not come up.
//! *Cost.* What is counted in names stands in a file system without a journal; each deed is one
//! rename of one name and two syncs.
//!
//! # 48. What N writes N−1 reads, until N is confirmed
//! *Context.* A way back that loses mail is none (decision 29 had none).
//! *Choice.* A release names the spool formats that it reads and writes and the versions of the
//! document that it reads. It is taken only if it reads what is there, and can write something that
//! the running version reads; a trial boot is marked with that format, and a gateway that cannot
//! write it does not start, which ends the trial. Going back later is refused when the spool holds
//! what the other version cannot read.
//! *Cost.* Whoever adds a format keeps writing the one before for one release. Today there is one
//! that is written, so the choice is a check.
//!
//! # 49. Who may say what is a release
//! *Context.* One stolen key, one old release offered again or one clock set back must not be
//! enough.
//! *Choice.* Two different keys of the set in the image sign the octets of the manifest, which are
//! read only then; the next image brings the next set. They may sign one after the other, each
//! where it is kept. An expired release is refused by the clock while a time server keeps it, else
//! by the latest of the clock, the image's date and the time that is remembered: only a kept clock
//! is remembered, and may set it back. The floor rises with a release that became healthy, holds
//! for the way back by hand as well, and never falls. HTTPS only hides what is asked.
//! *Cost.* A machine that was off for a year needs a fresh release; one that never hears a time
//! server has the image's date alone. A reset to the factory's state forgets floor and time. A
//! record that is damaged leaves the running version as the floor, which may refuse a way back.
//!
//! # 50. A change of the configuration is one durable sentence before its first step
//! *Context.* Whoever changes a network may cut himself off, and the role may die between any two
//! steps.
//! *Choice.* `pending.json` says what is under way before anything is touched; every step may be
//! done twice; the next start goes on or back by what stands there. A trial does not survive the
//! end of the role: who restarts the box to get it back gets the old document.
//! *Cost.* A crash of the role during a trial takes a good change back.
//!
//! # 51. The console's user is nobody until it says the passphrase, and a new box has an owner
//! *Context.* A console cannot be root, there is no default password, and somebody must be able to
//! begin.
//! *Choice.* Root by the kernel's word; the console by the passphrase, on one connection. A box
//! with neither passphrase nor document is set up by whoever stands before it. Failures are written
//! down before the passphrase is looked at, the wait doubles up to five minutes and never locks.
//! *Cost.* Whoever finds a box before its owner may claim it; only a factory reset undoes that.
//!
//! # 52. A container of our own for backups
//! *Context.* The age crate (0.12, MIT or Apache-2.0) is called beta by its authors and brings
//! ciphers of its own beside aws-lc-rs, which is the only provider of cryptography here.
//! *Choice.* Argon2id, then AES-256-GCM in chunks with a counted nonce and a mark on the last one
//! (STREAM); the form is described where it is written, in forty lines.
//! *Cost.* Other programs do not open it without a script.
//!
//! # 53. A generation keeps the document; files that come with it are kept only where they replace
//! *Context.* Setup and import bring keys, and a trial that brings keys must take them back.
//! *Choice.* Such a generation carries its files and what they replaced, so that it can be undone
//! as a whole. `config rollback N` brings documents back, never keys: a rotated key that returns by
//! accident is worse than one that is missing.
//! *Cost.* Private keys lie a second time in a folder that only root reads, until fifty generations
//! have passed.
//!
//! # 54. The console asks in lines, and the kernel edits them
//! *Context.* A fresh serial line has no size, noise on it, 960 octets a second and perhaps a
//! screen reader or a script at its other end.
//! *Choice.* Questions and answers, a line each, without a moved cursor; the terminal stays in
//! canonical mode, where ctrl-C and ctrl-D are ends of line and no signals, so that no key can kill
//! the console or end in something else. What is asked and what is answered is a machine without
//! terminal or clock; pages with a moving cursor are another face of the same machine.
//! *Cost.* Nothing on the screen changes by itself: Enter asks again. (Pages: 81 to 83.)
//!
//! # 55. An answer of first boot is judged by the real check
//! *Context.* A wizard with rules of its own accepts what the daemon refuses, and the other way
//! round.
//! *Choice.* After every answer the whole document is made and checked as it would be at the end;
//! what is complained of under the keys of the question is the answer's problem. What comes out is
//! the same setup file that a headless box takes, with hashes and keys made on the spot, and it is
//! on trial for five minutes.
//! *Cost.* A key that two questions share complains at the later one. Some words of the check are
//! those of the document.
//!
//! # 56. The health gate has types of its own
//! *Context.* A synthetic message must take the real way: listener, identity, scan, signature,
//! spool, broker. Written as a network source with a route, it would need loopback, a shared
//! interface and an unbound port where the rules forbid them, and anybody on the machine could
//! relay with it.
//! *Choice.* `[health]` makes the check add a listener of a kind, a source of a proof and an
//! egress on `lo` that no document can write, after everything else was checked. At that
//! listener only the gate is known, and the gate nowhere else; it writes to `health.invalid`
//! alone, and nobody else does. `Config::outward` is the configuration without it: plan, guard,
//! checks and statements see that. The key is made by the daemon, and made anew when it is
//! damaged.
//! *Cost.* One more word in three enums; the broker's unit must let 127.0.0.1 pass. Counters leave
//! its letters out, or every start would show mail that was refused and failed.
//!
//! # 57. The gate is root with one capability
//! *Context.* It asks PID 1 about units without a message bus, reads the firewall, tells the
//! queue to try again and writes below `/var/lib/postern-host`. Each needs root's name or
//! `CAP_NET_ADMIN`.
//! *Choice.* A oneshot as root with `CAP_NET_ADMIN` and nothing else, a read-only system but for
//! its folder, `AF_UNIX`, `AF_NETLINK` and loopback. By hand it runs as anybody and says what it
//! may not see.
//! *Cost.* A score near 2 instead of 0.2, for minutes after a boot.
//!
//! # 58. What people decided or what was missing before fails no gate
//! *Context.* The gate decides whether a new version is kept. A way back because an operator
//! has stopped mail, or because a provider's line is down, would help nobody.
//! *Choice.* `stop-all`, a disabled gate, a suspended egress are states: told, and healthy.
//! What worked before the update and does not after four minutes fails; what did not work
//! before never does. A full spool fails unless it was full before. A failed gate blesses
//! nothing; whether the machine boots again is the unit's decision and meant for trials alone.
//! A machine without a configuration is healthy when what it has is.
//! *Cost.* A version whose mail is broken is kept if mail was stopped during its trial; the
//! line on the console says that no message was sent. Scanning for malware is not tried before
//! there are engines: the scan is shown by its rules of structure.
//!
//! # 59. The image is built by Debian 13's tools on any Debian
//! *Context.* mkosi, systemd-repart and ukify of Debian 12 differ from those of 13, and what they
//! build differs with them.
//! *Choice.* `image/tools` makes a small Debian 13 tree with mmdebstrap from the machine's own
//! mirrors and enters it by a pivot of the root; everything runs there, QEMU too.
//! *Cost.* 400 MB and about a minute and a half, once.
//!
//! # 60. What is in the box stands on a list
//! *Context.* Debian's essential packages bring shells, Perl and a package manager; purging them
//! one by one follows dependencies that nothing on the box has.
//! *Choice.* `image/kept` names every program that stays, and `image/trim` keeps the libraries they
//! need. No shell, no interpreter, no setuid file; `/etc` is the image's and the machine's identity
//! its firmware's. A fault before the root is verified reboots.
//! *Cost.* A new unit that calls a program must name it; the build fails when a listed one is
//! missing, and a unit whose program is gone goes too.
//!
//! # 61. Slot B begins empty
//! *Context.* A copy of slot A in slot B would be a fallback from the first day. But the partitions
//! are found by UUIDs that are halves of the root hash: two copies have the same ones, and a copy
//! under another hash needs another signed kernel.
//! *Choice.* Slot B is made at first boot and filled by the first update; the kernel of the first
//! slot has no boot counter.
//! *Cost.* Until the first update, a damaged slot A needs the image again.
//!
//! # 62. Disks are encrypted to PCR 7, with one recovery key for both
//! *Context.* A policy over the kernel's measurement asks for the recovery key after every update.
//! *Choice.* systemd-repart makes LUKS2 volumes that the TPM opens while Secure Boot's state is
//! what it was; systemd-cryptenroll makes one recovery key, which opens state and spool. Without a
//! TPM they are plain, and the box says so for ever; nobody has to type at every start. See 74.
//! *Cost.* Without Secure Boot the TPM ties the disk to the machine, not to our kernel.
//!
//! # 63. A factory reset is a file on the ESP
//! *Context.* What is to be destroyed is in use while the request is made.
//! *Choice.* The request is a word in `/efi/postern/factory-reset`; `postern disks` obeys it at the
//! next boot before anything is mounted: keys of encrypted volumes are erased, plain ones are
//! overwritten, systemd-repart makes them anew, and the file goes last. A word that is not
//! understood destroys nothing.
//! *Cost.* Whoever can write the ESP can reset the box; they could also remove its disk.
//!
//! # 64. Buildroot's long-term release, with a compiler of ours
//! *Context.* The newest LTS of Buildroot (2026.02) has Rust 1.88, and we ask for 1.95.
//! *Choice.* Stay on the LTS; `package/postern-rust` brings a newer compiler under a prefix of its
//! own, for our package alone. Sources are the checkout, crates one archive bound to Cargo.lock.
//! *Cost.* A second compiler in that build, and sums to renew with every new Rust.
//!
//! # 65. Buildroot's kernel has no modules and no initrd
//! *Choice.* Everything that a box needs is built in, and the root comes up by `dm-mod.create=`.
//! *Cost.* No microcode and no firmware that a driver asks for before the root is there.
//!
//! # 66. The image is tried by translation
//! *Context.* Nested virtualization that starts UEFI cannot be counted on.
//! *Choice.* `tests/image` uses TCG; `POSTERN_ACCEL=kvm` is a person's word. Every patience is six
//! times as long by translation. Taps are opened inside name spaces and passed as descriptors, so
//! that no packet of a test has a way to the machine's own network.
//! *Cost.* A boot takes one to two minutes.
//!
//! # 67. A diagnosis leaves by its own way or not at all
//! *Context.* A test that falls back to another interface says that all is well when it is not.
//! *Choice.* By an egress the broker opens the socket, pings among them, with the checks of mail;
//! by another interface a unit of its own runs the same code with that interface in its orders,
//! because the host role has no network (41). Echo requests are the only thing that the guard lets
//! out more than before: of the broker's user by an egress, of root by the others. The kernel lets
//! the broker's group have ping sockets and nobody else, so no right is needed. SMTP is tried by
//! ways out alone.
//! *Cost.* Only ports that mail and policies use can be tried by an egress, and HTTPS by others.
//!
//! # 68. One live trace, in memory, told apart before it is kept
//! *Context.* TLS hides the dialogue from a capture of packets, and a dialogue holds passwords and
//! letters.
//! *Choice.* A session looks once whether somebody traces. What AUTH, DATA and BDAT announce is
//! counted and forgotten as it passes, before the server has answered, and a line that is no
//! command is not shown. A source is known late: its first lines are kept until then, those of
//! others dropped. Beginning a trace is in the audit trail.
//! *Cost.* Connections that were open before are not seen.
//!
//! # 69. Ports of a box that belongs to nobody are switched on when somebody looks
//! *Context.* A card that is down does not say whether there is a cable.
//! *Choice.* Without a document networkd lets cards begin down and does not force them down again;
//! `ports` switches them on, without an address and without IPv6's own, behind the closed guard.
//! With a document, cards without a part stay down.
//! *Cost.* The other end of a cable sees a link before the box is set up.
//!
//! # 70. The host role hears the power button
//! *Context.* The box has no log-in daemon, which listens to the button elsewhere.
//! *Choice.* The role reads the input devices that have the key (`DeviceAllow=char-input r`), and
//! does what `power-off` does; its exposure stays at 2.0. A press is obeyed also when it cannot be
//! recorded: whoever stands there would pull the plug.
//! *Cost.* A keyboard with that key can switch the box off; so can the plug.
//!
//! # 71. chrony gets the whole of its settings from us
//! *Context.* Debian's file asks Debian's pool and reads no folder of ours: the document's servers
//! were written down and never asked, which a box with a dead clock in QEMU showed.
//! *Choice.* The unit names a file of ours, which reads the folder that the network step writes.
//! Authorities of the house (`time.roots`) come as a credential: chrony's user may not look into
//! the document's folder. The clock is set at once in the first three updates and never after.
//! *Cost.* What a later chrony adds to its defaults has to be taken over by hand; a machine that
//! slept for days creeps to the right time, or is restarted.
//!
//! # 72. The root hash is signed in the kernel's file, and nowhere else
//! *Context.* A signature of the root hash could have a partition of its own in each slot, for the
//! service manager or the kernel to check.
//! *Choice.* The hash stands in the command line of the unified kernel, whose signature the
//! firmware checks before anything of it runs; a second signature would prove the same word to
//! somebody who was started by it. Without Secure Boot neither proves anything.
//! *Cost.* A root cannot be changed without its kernel; ours never is.
