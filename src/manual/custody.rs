//! The legal states of a stored message, and what a power cut in each of them means.
//!
//! The **ledger** is the truth; sled (the *state*) follows it once a second and may always be
//! thrown away. "L" is a record in the ledger, "S" an entry in the state: `+` it exists, `-` it
//! must not exist, `?` it may.
//!
//! | # | State | Message L | Change L | S | After a cut | Shown by |
//! |---|---|---|---|---|---|---|
//! | 1 | Nothing yet | - | - | - | nothing; the peer has no 250 and comes again | `row_1_nothing_is_nothing` |
//! | 2 | Written, not synced | ? | - | - | whole or nothing; a whole one is delivered, a torn one is dropped; the peer has no 250 | `row_2_a_torn_message_is_dropped` |
//! | 3 | Custody | + | - | ? | it is there, octet for octet, everyone due | `row_3_custody_survives` |
//! | 4 | An attempt is open | + | - | ? | as 3: the recipient may get it twice (RFC 1047) | `row_4_an_open_attempt_is_forgotten` |
//! | 5 | Outcome written, not synced | + | ? | ? | as 4 or as 6 | `row_5_an_unsynced_outcome_is_either` |
//! | 6 | Outcome recorded, others open | + | + | ? | only the others are due | `row_6_a_recorded_outcome_stays` |
//! | 7 | Deferred, noticed or held | + | + | ? | attempts, date, notice and hold are as recorded | `row_7_dates_and_holds_stay` |
//! | 8 | A report and its outcome | + | same record | ? | both or none | `row_8_a_report_and_its_outcome_are_one` |
//! | 9 | Complete | ? | + | ? | it never comes back | `row_9_what_is_complete_stays_away` |
//! | 10 | Copied on | + twice | ? | ? | the younger record counts, with the state it carries | `row_10_a_copied_message_is_one_message` |
//! | 11 | Its segment is given back | - | ? | ? | it stays away: the floor was recorded first | `row_11_a_freed_segment_stays_freed` |
//! | 12 | The state is behind, damaged, missing or foreign | + | ? | any | the ledger is read again: as in 3 to 11 | `row_12_no_state_is_needed` |
//! | 13 | A record is damaged | damaged | ? | ? | what was hit is named and kept in the quarantine; everything else as above | `row_13_damage_is_named_and_costs_only_itself` |
//!
//! Rules that make the table true:
//! * One group is written in one piece and synced once; custody is made from the proof of that
//!   sync (`spool::custody::Synced`). A sync that failed is never tried again: the spool latches.
//! * A segment is given back only from the oldest end, so every change of a message that still
//!   lives stands in a segment that still exists. That the floor rises is recorded before a file
//!   is unlinked, and what lies below the floor does not count even if the file is back.
//! * At the start the last segments are synced before they are believed: after `kill -9` they may
//!   exist in the kernel's memory alone.
//! * A record tells up to where its segment was durable when it was written: damage before that
//!   point hit something acknowledged and is reported; damage behind it is a torn group.
