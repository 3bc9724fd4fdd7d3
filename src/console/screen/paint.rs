//! A page in a grid: a heading, a body, a line that is typed in, and what the keys do.
//!
//! ```text
//!  Postern 0.1.0  relay.example.com                                          [OK]
//!  ------------------------------------------------------------------------------
//!  Sources                                                                 3 of 9
//!  > 1 source-list     all sources
//!    2 source-show     one source, whole
//!
//!  Sources (Enter lists it, 0 goes back): _
//!  Digit, word, or arrows and Enter; Esc: back; ctrl-K Enter: stop all mail
//! ```
//!
//! The last column stays empty: terminals differ in what happens behind it.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::{Position, Rect};
use ratatui_core::style::{Modifier, Style};

use super::Screen;
use crate::console::machine::Console;
use crate::console::page::{Kind, View};
use crate::console::paper;
use crate::console::words::Language;

/// Lines above the body, and below it.
const HEAD: u16 = 3;
const FOOT: u16 = 2;
/// From this width on answers stand beside the question.
const WIDE: u16 = 110;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// A line of the body.
struct Row {
    text: String,
    style: Style,
}

impl Row {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// The body, and the line of it that must be seen.
#[derive(Default)]
struct Body {
    rows: Vec<Row>,
    must: Option<usize>,
}

/// Draws a page; gives the place of the cursor.
pub(super) fn page(
    screen: &Screen,
    view: &View,
    console: &Console,
    buffer: &mut Buffer,
    area: Rect,
) -> Position {
    let language = console.language();
    let width = area.width.saturating_sub(1);
    let mut line = |y: u16, text: &str, style: Style| {
        if y < area.height {
            let text = paper::ascii(text);
            buffer.set_stringn(0, y, text, usize::from(width), style);
        }
    };
    let (name, health) = console.heading();
    line(0, &edges(&name, &health, width), BOLD);
    let home = view.kind == Kind::Home;
    if !home {
        let step = view
            .step
            .map_or_else(String::new, |(number, all)| language.fill("{} of {}", &[&number, &all]));
        line(2, &edges(&view.title, &step, width), BOLD);
    }
    let top = if home { HEAD - 1 } else { HEAD };
    let height = area.height.saturating_sub(top + FOOT);
    let beside = view.kind == Kind::Wizard && area.width >= WIDE && !view.answers.is_empty();
    let columns = if beside { width / 2 } else { width };
    let mut body = body(screen, view, columns);
    if !beside {
        answers(&mut body, view, language, usize::from(height));
    }
    let first = first_row(screen, view, &body, usize::from(height));
    for (y, row) in (top..).zip(body.rows.iter().skip(first).take(usize::from(height))) {
        line(y, &row.text, row.style);
    }
    let foot = area.height.saturating_sub(FOOT);
    let typed = typed(screen, view, language, width);
    line(foot, &typed, Style::new());
    let hidden = body.rows.len().saturating_sub(usize::from(height));
    line(foot + 1, &keys(screen, view, language, first, hidden), Style::new());
    if beside {
        aside(view, language, buffer, area, top, height);
    }
    rule(screen, buffer, width);
    let column = u16::try_from(typed.len()).unwrap_or(width).min(width);
    Position::new(column, foot)
}

/// The line below the heading.
fn rule(screen: &Screen, buffer: &mut Buffer, width: u16) {
    let sign = if screen.unicode { "\u{2500}" } else { "-" };
    buffer.set_string(0, 1, sign.repeat(usize::from(width)), Style::new());
}

/// One text at the left edge and one at the right.
fn edges(left: &str, right: &str, width: u16) -> String {
    let (left, right) = (paper::ascii(left), paper::ascii(right));
    let width = usize::from(width);
    let room = width.saturating_sub(right.len() + 1);
    let left = paper::cut(&left, room);
    format!("{left:<room$} {right}")
}

fn body(screen: &Screen, view: &View, width: u16) -> Body {
    let mut body = Body::default();
    let columns = usize::from(width);
    body.rows.extend(view.count.iter().map(|text| Row { text: text.clone(), style: BOLD }));
    match view.kind {
        Kind::Home => {
            body.rows.extend(view.text.iter().skip(1).map(Row::plain));
            body.rows
                .extend(screen.sheet.iter().map(|text| Row { text: text.clone(), style: BOLD }));
        }
        Kind::Wizard => {
            for text in &view.text {
                body.rows.extend(paper::fold_to(text, 0, columns).into_iter().map(Row::plain));
            }
            gap(&mut body);
            choices(&mut body, screen, view, columns);
            gap(&mut body);
            body.rows.extend(screen.sheet.iter().map(|text| {
                // A review is read; what was wrong with an answer must be seen.
                let style = if view.text.is_empty() { Style::new() } else { BOLD };
                Row { text: text.clone(), style }
            }));
        }
        Kind::Menu if screen.reads(view) => {
            body.rows.extend(screen.sheet.iter().map(Row::plain));
        }
        Kind::Menu | Kind::Form | Kind::Login | Kind::Watch => {
            body.rows.extend(screen.sheet.iter().map(Row::plain));
            if !view.choices.is_empty() {
                gap(&mut body);
                choices(&mut body, screen, view, columns);
            }
        }
    }
    body
}

/// The answers so far below the question, the last one first, as many as there is room for.
fn answers(body: &mut Body, view: &View, language: Language, height: usize) {
    let room = height.saturating_sub(body.rows.len() + 2);
    if room > 0 && !view.answers.is_empty() {
        gap(body);
        body.rows.push(Row::plain(language.tr("Answers so far:")));
        body.rows.extend(view.answers.iter().rev().take(room).map(Row::plain));
    }
}

/// An empty line, where something stands above.
fn gap(body: &mut Body) {
    if body.rows.last().is_some_and(|row| !row.text.is_empty()) {
        body.rows.push(Row::plain(""));
    }
}

fn choices(body: &mut Body, screen: &Screen, view: &View, columns: usize) {
    let word = view.choices.iter().map(|choice| choice.word.len()).max().unwrap_or(0);
    for (index, choice) in view.choices.iter().enumerate() {
        let here = screen.selected == Some(index);
        let mark = if here { '>' } else { ' ' };
        // In the wizard the word is what is typed; elsewhere a number does too.
        let text = match view.kind {
            Kind::Wizard => format!("{mark} {:<word$}  {}", choice.word, choice.label),
            _ => format!("{mark} {:2} {:<word$}  {}", index + 1, choice.word, choice.label),
        };
        if here {
            body.must = Some(body.rows.len());
        }
        let style = if here { REVERSED } else { Style::new() };
        body.rows.push(Row { text: paper::cut(&text, columns), style });
    }
}

/// The first line of the body that is seen.
fn first_row(screen: &Screen, view: &View, body: &Body, height: usize) -> usize {
    let last = body.rows.len().saturating_sub(height);
    // What runs is seen at its end.
    if view.kind == Kind::Watch {
        return last.saturating_sub(screen.scroll);
    }
    match body.must {
        Some(must) if must >= height => (must + 1 - height).min(last),
        Some(_) => 0,
        None => screen.scroll.min(last),
    }
}

/// The prompt and what was typed; of a secret only that it was.
fn typed(screen: &Screen, view: &View, language: Language, width: u16) -> String {
    if screen.kill {
        return language.tr("Stop all mail? Enter does it, any other key does not.").to_owned();
    }
    if view.waits {
        return language.tr("One moment..").to_owned();
    }
    let input = if screen.secret { "*".repeat(screen.input.len()) } else { screen.input.clone() };
    let room = usize::from(width).saturating_sub(screen.prompt.len() + 1);
    let shown = input.get(input.len().saturating_sub(room)..).unwrap_or_default();
    format!("{}{shown}", screen.prompt)
}

/// What the keys do.
fn keys(screen: &Screen, view: &View, language: Language, first: usize, hidden: usize) -> String {
    let text = match view.kind {
        Kind::Home => "L: line by line; ctrl-L: draw anew",
        Kind::Menu if screen.reads(view) => "Enter: on",
        Kind::Menu => "Digit, word, or arrows and Enter; Esc: back; ctrl-K Enter: stop all mail",
        Kind::Form | Kind::Login => "Enter: take; Esc: back; ctrl-K Enter: stop all mail",
        Kind::Wizard => "Enter: take; Esc: back; F1: explain; ctrl-C: leave, answers are kept",
        Kind::Watch => "Enter: end",
    };
    let text = language.tr(text);
    if hidden == 0 {
        return text.to_owned();
    }
    let more = language.fill("arrows, PgUp, PgDn: {} more lines", &[&(hidden - first.min(hidden))]);
    format!("{more}; {text}")
}

/// The answers so far, beside the question.
fn aside(view: &View, language: Language, buffer: &mut Buffer, area: Rect, top: u16, height: u16) {
    let left = area.width / 2 + 2;
    let room = usize::from(area.width.saturating_sub(left + 1));
    let title = paper::ascii(language.tr("Answers so far:"));
    buffer.set_stringn(left, top, title, room, BOLD);
    let shown = view.answers.iter().rev().take(usize::from(height.saturating_sub(1)));
    for (y, text) in (top + 1..).zip(shown) {
        buffer.set_stringn(left, y, paper::cut(text, room), room, Style::new());
    }
}
