//! Decisions: context, choice and cost. Numbered, never renumbered; a reversed one says by which.
//!
//! # 1. A ledger in front of sled, and sled as a checkpoint
//! *Context.* sled 0.34's `flush` is not power-cut safe for values beyond a few KiB, gives no space
//! back, and loses records silently when bits flip. The user fixed sled for the spool.
//! *Choice.* Custody is an append-only ledger of checksummed segments, synced once for a whole group.
//! sled holds the spool's *state* (who is queued, where in the ledger, attempts, holds), written on
//! a beat as a checkpoint "applied through position P" with a count and an order-independent digest.
//! At start the state is compared with its own digest; what does not agree is moved aside and
//! rebuilt from the ledger, and the ledger is replayed from P. A message that comes and goes between
//! two beats never touches sled.
//! *Cost.* Recovery reads every segment after P; a state folder that was lost costs one full read.
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
//! *Context.* Newer ones need rustc 1.98. This pair writes a relaxed body hash that verifiers reject
//! when the body ends in lines of white space, and reads `Fr om:` as From.
//! *Choice.* Such bodies are signed `relaxed/simple`; ownership is decided by our own strict header
//! reader, never by the parser. Both have tests named after them.
//! *Cost.* Two header readers in the house.
//!
//! # 5. The demonstration's Internet shares no code with the gateway's server
//! *Context.* A receiver built from our own session machine would share its mistakes.
//! *Choice.* A small line reader of its own in `demo/internet.rs`.
//! *Cost.* About 150 lines.
