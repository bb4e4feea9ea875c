//! The counters with labels: tokens, answers, failed attempts, and how long first events took.
//!
//! A label's value may hold anything, as a model's name is what a client made of it: backslash,
//! quote and line break are escaped, as Prometheus's text format wants it.

use lmserver_runtime::accounts::{Accounts, FIRST_EVENT_MILLIS, FirstEvents, Row, TOKEN_KINDS};
use lmserver_runtime::metrics::TargetLoad;

/// Writes all of them.
pub(super) fn write(accounts: &Accounts, out: &mut String) {
    tokens(accounts.tokens(), out);
    head(
        "answers_total",
        "counter",
        "Answers, by how they ended.",
        out,
    );
    for row in accounts.answers() {
        counter("answers_total", ["provider", "model", "outcome"], row, out);
    }
    let help = "Attempts that failed, whether or not another followed.";
    head("attempts_failed_total", "counter", help, out);
    for row in accounts.failed_attempts() {
        counter(
            "attempts_failed_total",
            ["provider", "model", "code"],
            row,
            out,
        );
    }
    let help = "Time from an attempt's beginning to its first content event.";
    head("first_event_seconds", "histogram", help, out);
    for waits in accounts.first_events() {
        histogram(waits, out);
    }
}

/// Writes how the targets stand that are asked, waited for or left alone.
pub(super) fn targets(loads: &[TargetLoad], out: &mut String) {
    type Read = fn(&TargetLoad) -> usize;
    let gauges: [(&str, &str, Read); 3] = [
        ("target_requests", "Requests of a target now.", |it| {
            it.requests
        }),
        (
            "target_queued",
            "Answers that wait for their turn at a target now.",
            |it| it.queued,
        ),
        (
            "target_breaker_open",
            "Whether a target's breaker is open, or tries a probe.",
            |it| usize::from(it.is_open),
        ),
    ];
    for (name, help, read) in gauges {
        head(name, "gauge", help, out);
        for load in loads {
            let labels = [("provider", &*load.provider), ("model", &load.model)];
            sample(name, &labels, &read(load).to_string(), out);
        }
    }
}

fn tokens(rows: &[Row<{ TOKEN_KINDS.len() }>], out: &mut String) {
    let help = "Tokens; reasoning is part of output, cached of input.";
    head("tokens_total", "counter", help, out);
    for row in rows {
        for ((kind, estimated), count) in TOKEN_KINDS.iter().zip(row.counts) {
            if count == 0 {
                continue;
            }
            let [key, provider, model] = &row.labels;
            let estimated = if *estimated { "true" } else { "false" };
            let labels = [
                ("key", &**key),
                ("provider", provider),
                ("model", model),
                ("kind", kind),
                ("estimated", estimated),
            ];
            sample("tokens_total", &labels, &count.to_string(), out);
        }
    }
}

fn counter(name: &str, names: [&str; 3], row: &Row<1>, out: &mut String) {
    let [a, b, c] = names;
    let [x, y, z] = &row.labels;
    let [count] = row.counts;
    sample(name, &[(a, x), (b, y), (c, z)], &count.to_string(), out);
}

/// A histogram's buckets hold what fell into those before them too.
fn histogram(waits: &FirstEvents, out: &mut String) {
    let provider = &*waits.provider;
    let bucket = |limit: &str, count: u64, out: &mut String| {
        let labels = [("provider", provider), ("le", limit)];
        sample(
            "first_event_seconds_bucket",
            &labels,
            &count.to_string(),
            out,
        );
    };
    let mut so_far = 0;
    for (limit, count) in FIRST_EVENT_MILLIS.iter().zip(waits.buckets) {
        so_far += count;
        bucket(&seconds(*limit), so_far, out);
    }
    bucket("+Inf", waits.count, out);
    let labels = [("provider", provider)];
    let sum = u64::try_from(waits.sum.as_millis()).unwrap_or(u64::MAX);
    sample("first_event_seconds_sum", &labels, &seconds(sum), out);
    let count = waits.count.to_string();
    sample("first_event_seconds_count", &labels, &count, out);
}

fn head(name: &str, kind: &str, help: &str, out: &mut String) {
    for text in [
        "# HELP lmserver_",
        name,
        " ",
        help,
        "\n# TYPE lmserver_",
        name,
        " ",
        kind,
        "\n",
    ] {
        out.push_str(text);
    }
}

fn sample(name: &str, labels: &[(&str, &str)], value: &str, out: &mut String) {
    out.push_str("lmserver_");
    out.push_str(name);
    let mut before = '{';
    for (label, text) in labels {
        out.push(before);
        out.push_str(label);
        out.push_str("=\"");
        escape(text, out);
        out.push('"');
        before = ',';
    }
    out.push_str("} ");
    out.push_str(value);
    out.push('\n');
}

fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// Milliseconds as seconds without needless zeros.
fn seconds(millis: u64) -> String {
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_escaped_as_the_format_demands() {
        let mut out = String::new();
        sample("x", &[("model", "a\"b\\c\nd é"), ("n", "")], "7", &mut out);
        assert_eq!(out, "lmserver_x{model=\"a\\\"b\\\\c\\nd é\",n=\"\"} 7\n");
    }

    #[test]
    fn a_target_has_a_line_in_each_of_its_gauges() {
        let load = TargetLoad {
            provider: "openai".into(),
            model: "m".into(),
            requests: 2,
            queued: 0,
            is_open: true,
        };
        let mut out = String::new();
        targets(&[load], &mut out);
        for (name, value) in [("requests", 2), ("queued", 0), ("breaker_open", 1)] {
            let line =
                format!("\nlmserver_target_{name}{{provider=\"openai\",model=\"m\"}} {value}\n");
            assert!(out.contains(&line), "{out}");
        }
    }

    #[test]
    fn seconds_are_written_without_needless_zeros() {
        for (millis, want) in [
            (0, "0"),
            (50, "0.05"),
            (100, "0.1"),
            (2500, "2.5"),
            (30_000, "30"),
            (61_001, "61.001"),
        ] {
            assert_eq!(seconds(millis), want);
        }
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_all() {
        let waits = FirstEvents {
            provider: "openai".into(),
            buckets: [1, 0, 2, 0, 0, 0, 0, 0, 0],
            count: 4,
            sum: std::time::Duration::from_millis(40_250),
        };
        let mut out = String::new();
        histogram(&waits, &mut out);
        let counts: Vec<_> = out
            .lines()
            .map(|line| line.rsplit_once(' ').unwrap().1)
            .collect();
        assert_eq!(
            counts,
            [
                "1", "1", "3", "3", "3", "3", "3", "3", "3", "4", "40.25", "4"
            ]
        );
        let last_bucket =
            "lmserver_first_event_seconds_bucket{provider=\"openai\",le=\"+Inf\"} 4\n";
        assert!(out.contains(last_bucket), "{out}");
    }
}
