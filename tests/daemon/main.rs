//! The daemon from outside: each test starts `postern serve` with a configuration of its own, and
//! sees only what a peer, an operator or a service manager can see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

#[path = "../submission/authors.rs"]
mod authors;
mod client;
#[path = "../transcripts/player.rs"]
mod player;
#[path = "../submission/probes.rs"]
mod probes;
mod sink;
mod stage;
#[path = "../transcripts/wire.rs"]
mod wire;

mod a_certificate_identifies;
mod a_dialogue_is_traced;
mod a_reload_is_all_or_nothing;
mod a_source_is_stopped_at_once;
mod authors_are_not_spoofed;
mod bombs_are_bounded;
mod damage_is_set_aside;
mod dates_are_kept;
mod deadlines_are_kept;
mod deeds_are_recorded;
mod it_looks_after_itself;
mod reports_come_back;
mod secrets_rotate;
mod sigterm_drains;
mod stop_all_survives;
mod strangers_relay_nothing;
mod systemd_is_told;
mod the_broker_is_replaced;
mod the_queue_obeys;
mod transcripts_hold;
mod walls_stand;
