//! The program's log: text for people, or one JSON object a line; always on the standard error.

use std::borrow::Cow;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use log::{LevelFilter, Metadata, Record};
use simple_logger::SimpleLogger;

use crate::config::{Format, Log};

/// Starts the log. A second start in one process, as in a test, keeps the first.
pub(crate) fn start(settings: Log) {
    log::set_max_level(settings.level);
    let logger: Box<dyn log::Log> = match settings.format {
        Format::Text => Box::new(Text(SimpleLogger::new().with_level(settings.level))),
        Format::Json => Box::new(JsonLines {
            level: settings.level,
        }),
    };
    if log::set_boxed_logger(logger).is_err() {
        log::debug!("the log was started before");
    }
}

/// Lines for people. The logger below panics when the standard error is gone, as after the end of
/// a reader at the other end of a pipe; the server goes on without a log then.
///
/// A record is one line whatever a peer's text in it holds: nobody forges lines, or speaks to the
/// terminal.
struct Text(SimpleLogger);

impl log::Log for Text {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.0.log(
                &Record::builder()
                    .args(format_args!("{}", one_line(&message)))
                    .level(record.level())
                    .target(record.target())
                    .build(),
            );
        }));
    }

    fn flush(&self) {}
}

/// Writes each record as `{"time":…,"level":…,"target":…,"message":…}`.
struct JsonLines {
    level: LevelFilter,
}

impl log::Log for JsonLines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = json_line(unix_time(), record);
            // Nowhere is left to say that the log cannot be written.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Escapes control characters.
fn one_line(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return message.into();
    }
    let mut line = String::with_capacity(message.len() + 16);
    for c in message.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line.into()
}

fn json_line(time: Duration, record: &Record<'_>) -> String {
    let line = serde_json::json!({
        "time": rfc3339(time),
        "level": record.level().as_str().to_ascii_lowercase(),
        "target": record.target(),
        "message": record.args().to_string(),
    });
    format!("{line}\n")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a log line is no decision: it may ask the clock"
)]
fn unix_time() -> Duration {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// RFC 3339 §5.6 in UTC with milliseconds. The date is that of the proleptic Gregorian calendar,
/// counted in eras of 400 years that begin on 1 March.
fn rfc3339(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let milliseconds = time.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_line_is_that_of_the_calendar() {
        for (milliseconds, want) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_795_305_600_123, "2026-11-22T00:00:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_millis(milliseconds)), want);
        }
    }

    #[test]
    fn a_line_for_people_is_one_line_whatever_a_peer_says() {
        for (message, want) in [
            ("plain, grüße", "plain, grüße"),
            ("m\nERROR forged", "m\\nERROR forged"),
            ("m\r\u{1b}[31m\u{9b}2J", "m\\r\\u{1b}[31m\\u{9b}2J"),
        ] {
            assert_eq!(one_line(message), want);
        }
    }

    #[test]
    fn a_json_line_escapes_what_would_break_it() {
        let record = Record::builder()
            .level(log::Level::Warn)
            .target("lmserver")
            .args(format_args!("a \"quoted\"\nline"))
            .build();
        assert_eq!(
            json_line(Duration::ZERO, &record),
            "{\"level\":\"warn\",\"message\":\"a \\\"quoted\\\"\\nline\",\"target\":\"lmserver\",\
             \"time\":\"1970-01-01T00:00:00.000Z\"}\n"
        );
    }
}
