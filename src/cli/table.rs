//! Tables for people: aligned columns, plain words, nothing that could upset a terminal.

use std::time::Duration;

use crate::base::time::WallTime;
use crate::config::measure::write_duration;
use crate::event::harmless;

/// On which side a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table. The last column is never padded.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these heads; one that ends in `#` is a column of numbers.
    #[must_use]
    pub fn new(heads: &[&'static str]) -> Self {
        let head = |head: &&'static str| match head.strip_suffix('#') {
            Some(name) => (name, Side::Right),
            None => (*head, Side::Left),
        };
        Self { heads: heads.iter().map(head).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }

    /// The table as text, every line with its end.
    #[must_use]
    pub fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let head = self.heads.get(column).map_or(0, |(head, _)| head.len());
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(head)
        };
        let widths: Vec<usize> = (0..self.heads.len()).map(width).collect();
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, side)) in row.iter().zip(&widths).zip(&self.heads) {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                match side {
                    Side::Left => line.extend([cell.as_str(), &gap, "  "]),
                    Side::Right => line.extend([gap.as_str(), cell, "  "]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Pairs of name and value, the values in one column.
#[must_use]
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in rows {
        let line = format!("{name:width$}  {}", harmless(value));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How long ago, or how far ahead, in at most two units: `3m12s`, `in 5m`.
#[must_use]
pub fn distance(from: WallTime, to: WallTime) -> String {
    if to > from { format!("in {}", span(to.since(from))) } else { span(from.since(to)) }
}

/// A duration in at most two units.
#[must_use]
pub fn span(duration: Duration) -> String {
    let secs = duration.as_secs();
    let rounded = match secs {
        0..3600 => secs,
        3600..86_400 => secs - secs % 60,
        _ => secs - secs % 3600,
    };
    write_duration(Duration::from_secs(rounded))
}

/// A number of octets in at most four characters and a unit.
#[must_use]
pub fn octets(octets: u64) -> String {
    let mut value = octets;
    for unit in ["", " kB", " MB", " GB"] {
        if value < 10_000 {
            return format!("{value}{unit}");
        }
        value = value.div_ceil(1000);
    }
    format!("{value} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_trails() {
        let mut table = Table::new(&["NAME", "QUEUED#", "STATE"]);
        table.row(["billing".to_owned(), "17".to_owned(), "active".to_owned()]);
        table.row(["crm\u{1b}[2J".to_owned(), "1234567".to_owned(), String::new()]);
        let expected = "NAME      QUEUED  STATE\nbilling       17  active\ncrm?[2J  1234567\n";
        assert_eq!(table.text().lines().count(), expected.lines().count());
        assert_eq!(
            table.text(),
            "NAME      QUEUED  STATE\nbilling       17  active\ncrm?[2J  1234567\n"
        );
    }

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!(span(Duration::from_secs(192)), "3m12s");
        assert_eq!(span(Duration::from_secs(90_061)), "1d1h");
        assert_eq!(span(Duration::from_secs(3661)), "1h1m");
        assert_eq!(span(Duration::ZERO), "0s");
        assert_eq!(distance(WallTime(0), WallTime(5000)), "in 5s");
        assert_eq!(octets(9999), "9999");
        assert_eq!(octets(26_214_400), "27 MB");
    }
}
