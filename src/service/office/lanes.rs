//! What the office sees of lanes, and their release.

use super::{Rooms, not_found};
use crate::control::answer::{Acted, Page};
use crate::control::lanes::{ByClass, HeldRow, LaneRow, TopDomain};
use crate::control::office::Done;
use crate::control::request::PageAsk;
use crate::event::{Delay, Event};
use crate::mail::class::MessageClass;
use crate::mail::source::SourceName;
use crate::queue::{self, LaneState};

impl Rooms {
    pub(super) fn lanes(&self, page: PageAsk) -> Page<LaneRow> {
        let (offset, limit) = page.bounds();
        let total = self.board.desk.counts().lanes as u64;
        let delays = self.board.herald.counters().delays();
        let rows = self.board.desk.page_lanes(offset, limit);
        let rows = rows.into_iter().map(|row| lane_row(row, &delays)).collect();
        Page { rows, total, offset: offset as u64 }
    }

    /// Ends holds and pauses of a lane; the deed is told with what it touched.
    pub(super) fn release_lane(
        &self,
        lane: &str,
        source: Option<&SourceName>,
        by: &str,
        dry_run: bool,
    ) -> Done<Acted> {
        let selection = queue::Selection {
            lane: Some(lane.to_owned()),
            source: source.cloned(),
            ..Default::default()
        };
        let messages = self.board.desk.count(&selection).messages;
        if dry_run {
            let held = self.board.desk.held_mail();
            let mine = held.iter().filter(|held| {
                held.lane == lane
                    && source.is_none_or(|source| held.source.as_ref() == Some(source))
            });
            let note = format!("{} holds would end", mine.count());
            return Ok(Acted { messages, dry_run, note });
        }
        let ended = self.board.desk.release_lane(lane, source);
        if ended == 0 {
            let whose = source.map_or_else(String::new, |source| format!(" for {source}"));
            return Err(not_found(format!("a hold or pause of the lane {lane}{whose}")));
        }
        self.board.herald.tell(Event::MessagesReleased { by: by.to_owned(), messages });
        let note = format!("{ended} holds and pauses ended");
        Ok(Acted { messages, dry_run, note })
    }

    pub(super) fn held_rows(&self) -> Vec<HeldRow> {
        let row = |held: queue::HeldMail| HeldRow {
            lane: held.lane,
            egress: held.home,
            source: held.source.map(|source| source.to_string()),
            what: held.defect.to_string(),
            remedy: held.defect.remedy().to_owned(),
            reply: held.reply.to_string(),
            since: held.since,
            probe: held.probe,
        };
        self.board.desk.held_mail().into_iter().map(row).collect()
    }

    /// Holds as reasons why the gateway is not well.
    pub(super) fn held_reasons(&self) -> Vec<String> {
        let reason = |row: HeldRow| {
            let whose =
                row.source.map_or_else(|| "all mail".to_owned(), |s| format!("mail of {s}"));
            format!("{whose} to {} is held: {} is wrong ({})", row.lane, row.what, row.reply)
        };
        self.held_rows().into_iter().map(reason).collect()
    }
}

fn lane_row(row: queue::LaneRow, delays: &[Delay]) -> LaneRow {
    let class = |class| row.classes.get(&class).copied().unwrap_or(0);
    let top = |(domain, messages): &(String, u64)| TopDomain {
        domain: domain.clone(),
        messages: *messages,
    };
    LaneRow {
        egress: row.home.clone(),
        state: match row.state {
            LaneState::Open => "open",
            LaneState::Slowed => "slowed",
            LaneState::Paused => "paused",
            LaneState::Held => "held",
        }
        .to_owned(),
        reason: row.reason.clone(),
        until: row.until,
        connections: row.connections,
        allowed: row.allowed,
        connections_max: row.connections_max,
        messages_per_connection: row.messages_per_connection,
        messages_per_minute: row.messages_per_minute,
        classes: ByClass {
            otp: class(MessageClass::Otp),
            transactional: class(MessageClass::Transactional),
            subscribed: class(MessageClass::Subscribed),
        },
        ready: row.ready,
        waiting: row.waiting,
        in_flight: row.busy,
        held: row.held,
        oldest: row.oldest,
        next: row.next_attempt,
        reply: row.last_reply.clone(),
        domains: row.domains.into(),
        shut: row.shut.into(),
        top: row.top.iter().map(top).collect(),
        delays: delays.iter().filter(|delay| delay.provider == row.lane).cloned().collect(),
        lane: row.lane,
    }
}
