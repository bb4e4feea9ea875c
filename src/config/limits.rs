//! `[limits]`, `[channels]` and `[log]`: bounds of connections and channels, and what is said.

use std::time::Duration;

use lmserver_runtime::limits::{ChannelLimits, Limits};
use log::LevelFilter;

use super::keys::Keys;
use super::report::{Finding, Place, Report};
use super::section::Section;
use super::{Flags, value};
use crate::api::Patience;

/// `[log]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// `level`. Default info.
    pub level: LevelFilter,
    /// `format`. Default text.
    pub format: Format,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(
        mut section: Section<'_>,
        flags: &Flags,
        keys: &mut Keys,
        report: &mut Report,
    ) -> Self {
        let mut level = section
            .parsed("level", value::level)
            .unwrap_or(LevelFilter::Info);
        let format = section.parsed("format", format).unwrap_or(Format::Text);
        section.finish(keys, report);
        match flags.log.as_deref().map(value::level) {
            Some(Ok(flag)) => level = flag,
            Some(Err(wrong)) => {
                report.add(Finding::mistake(
                    Place::Flag("--log"),
                    wrong.problem,
                    wrong.fix,
                ));
            }
            None => {}
        }
        Self { level, format }
    }
}

pub(super) fn connections(
    mut section: Section<'_>,
    keys: &mut Keys,
    report: &mut Report,
) -> Limits {
    let mut limits = Limits::default();
    count(&mut section, "connections", 1, &mut limits.connections);
    bytes(
        &mut section,
        "head_bytes",
        1 << 10,
        &mut limits.http.head_bytes,
    );
    bytes(
        &mut section,
        "body_bytes",
        1 << 10,
        &mut limits.http.body_bytes,
    );
    count(
        &mut section,
        "header_count",
        8,
        &mut limits.http.header_count,
    );
    time(&mut section, "head_timeout", &mut limits.head_timeout);
    time(&mut section, "idle_timeout", &mut limits.idle_timeout);
    time(&mut section, "write_timeout", &mut limits.write_timeout);
    time(&mut section, "heartbeat", &mut limits.heartbeat);
    time(&mut section, "drain", &mut limits.drain);
    section.finish(keys, report);
    limits
}

pub(super) fn channels(
    mut section: Section<'_>,
    keys: &mut Keys,
    report: &mut Report,
) -> (ChannelLimits, bool) {
    let mut limits = ChannelLimits::default();
    let open = section.bool("open").unwrap_or(false);
    limits.history_size = section
        .integer("history_size", 1, 1 << 20)
        .unwrap_or(limits.history_size);
    time(&mut section, "history_ttl", &mut limits.history_ttl);
    time(&mut section, "ttl", &mut limits.ttl);
    time(&mut section, "tombstone_ttl", &mut limits.tombstone_ttl);
    limits.cancel_when_abandoned = section.duration("cancel_when_abandoned");
    bytes(
        &mut section,
        "max_channel_bytes",
        1 << 10,
        &mut limits.max_channel_bytes,
    );
    bytes(
        &mut section,
        "max_total_bytes",
        1 << 10,
        &mut limits.max_total_bytes,
    );
    if limits.max_total_bytes < limits.max_channel_bytes {
        section.mistake_at(
            if section.has("max_total_bytes") {
                "max_total_bytes"
            } else {
                "max_channel_bytes"
            },
            format!(
                "all channels may hold {} bytes, one channel alone {}",
                limits.max_total_bytes, limits.max_channel_bytes
            ),
            "make `max_total_bytes` at least `max_channel_bytes`",
        );
    }
    section.finish(keys, report);
    (limits, open)
}

/// `[llm_api]`: how long an answer goes on with nobody listening.
pub(super) fn llm_patience(
    mut section: Section<'_>,
    keys: &mut Keys,
    report: &mut Report,
) -> Patience {
    let Patience { llm, ui } = Patience::default();
    let patience = Patience {
        llm: section.patience("cancel_when_abandoned").unwrap_or(llm),
        ui: section.patience("ui_cancel_when_abandoned").unwrap_or(ui),
    };
    section.finish(keys, report);
    patience
}

fn count(section: &mut Section<'_>, key: &str, least: u64, limit: &mut usize) {
    let read = section.integer(key, least, 10_000_000);
    *limit = read
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(*limit);
}

fn bytes(section: &mut Section<'_>, key: &str, least: u64, limit: &mut usize) {
    let read = section.size(key, least, u64::try_from(isize::MAX).unwrap_or(u64::MAX));
    *limit = read
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(*limit);
}

fn time(section: &mut Section<'_>, key: &str, limit: &mut Duration) {
    *limit = section.duration(key).unwrap_or(*limit);
}

fn format(text: &str) -> Result<Format, value::Wrong> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err(value::Wrong::new(
            format!("{text:?} is not a log format"),
            "write \"text\" or \"json\"",
        )),
    }
}
