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
