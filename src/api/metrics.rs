//! `GET /metrics`: the engine's counters in Prometheus's text format.

use std::fmt::Write as _;

use lmserver_proto::http1::Response;
use lmserver_runtime::metrics::Metrics;

mod labelled;

/// The page of all metrics.
pub(super) fn page(metrics: &Metrics) -> Response {
    Response {
        body: text(metrics).into_bytes(),
        ..Response::empty(200)
    }
    .with_field("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
    .with_field("Cache-Control", "no-store")
}

fn text(metrics: &Metrics) -> String {
    let mut text = String::with_capacity(4096);
    for Metric {
        name,
        kind,
        help,
        read,
    } in METRICS
    {
        let (kind, value) = (kind.as_str(), read(metrics));
        let name = format_args!("lmserver_{name}");
        // Writing into a String cannot fail.
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    }
    labelled::write(&metrics.accounts, &mut text);
    labelled::targets(&metrics.targets, &mut text);
    let version = env!("CARGO_PKG_VERSION");
    let _ = write!(
        text,
        "# HELP lmserver_build_info The version, as a label.\n# TYPE lmserver_build_info gauge\n\
         lmserver_build_info{{version=\"{version}\"}} 1\n"
    );
    text
}

struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&Metrics) -> u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

const fn counter(name: &'static str, help: &'static str, read: fn(&Metrics) -> u64) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        help,
        read,
    }
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&Metrics) -> u64) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        help,
        read,
    }
}

const METRICS: &[Metric] = &[
    counter("accepted_connections_total", "Connections accepted.", |m| {
        m.accepted
    }),
    counter(
        "accept_failures_total",
        "Accepts that failed for want of descriptors or memory.",
        |m| m.accept_failures,
    ),
    gauge("connections", "Client connections now.", |m| m.connections),
    counter(
        "requests_total",
        "Requests answered or handed to a session.",
        |m| m.requests,
    ),
    gauge("sessions", "Sessions of transports now.", |m| m.sessions),
    gauge(
        "clients",
        "Clients that are connected by commands now.",
        |m| m.clients,
    ),
    gauge("users", "Different users among them.", |m| m.users),
    gauge("subscriptions", "Subscriptions now.", |m| m.subscriptions),
    gauge("channels", "Channels now.", |m| m.channels),
    gauge("channel_bytes", "Bytes that all channels hold now.", |m| {
        m.channel_bytes
    }),
    counter("events_total", "Events appended to channels.", |m| m.events),
    counter(
        "delivered_bytes_total",
        "Bytes written to clients straight from logs.",
        |m| m.log_bytes_written,
    ),
    counter(
        "delivery_writes_total",
        "Writes of log bytes to clients.",
        |m| m.log_writes,
    ),
    counter(
        "slow_disconnects_total",
        "Connections closed because they took nothing.",
        |m| m.slow_disconnects,
    ),
    counter("runs_started_total", "Answers begun.", |m| m.runs_started),
    gauge("runs", "Answers running now.", |m| m.runs),
    counter(
        "runs_completed_total",
        "Answers that came to their end.",
        |m| m.runs_completed,
    ),
    counter("runs_failed_total", "Answers ended by an error.", |m| {
        m.runs_failed
    }),
    counter("runs_cancelled_total", "Answers cancelled.", |m| {
        m.runs_cancelled
    }),
    counter(
        "fallbacks_total",
        "Attempts followed by the next target.",
        |m| m.fallbacks,
    ),
    counter(
        "retries_total",
        "Attempts followed by another at the same target.",
        |m| m.retries,
    ),
    counter(
        "breaker_openings_total",
        "How often a target's breaker has opened.",
        |m| m.breaker_openings,
    ),
    gauge(
        "open_breakers",
        "Breakers of targets that are open now, or try a probe.",
        |m| m.open_breakers,
    ),
    gauge(
        "queued",
        "Answers that wait for their turn at a target now.",
        |m| m.queued,
    ),
    counter(
        "queue_refusals_total",
        "Answers that found a target's queue full, or waited too long.",
        |m| m.queue_refusals,
    ),
    counter(
        "unread_events_total",
        "Events of providers that could not be read, and were passed over.",
        |m| m.unread_events,
    ),
    counter(
        "upstream_connects_total",
        "Connections to providers opened.",
        |m| m.upstream_connects,
    ),
    counter(
        "upstream_reuses_total",
        "Connections to providers used again.",
        |m| m.upstream_reuses,
    ),
    counter(
        "upstream_spares_total",
        "Connections to providers made ahead of need.",
        |m| m.upstream_spares,
    ),
    counter(
        "upstream_spares_used_total",
        "Connections made ahead of need that were used.",
        |m| m.upstream_spares_used,
    ),
    counter(
        "panics_total",
        "Panics of plugins that were contained.",
        |m| m.panics,
    ),
    counter("turns_total", "Turns of the loop.", |m| m.turns),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_of_its_own_and_three_lines() {
        let metrics = Metrics {
            events: 7,
            runs: 2,
            ..Metrics::default()
        };
        let text = text(&metrics);
        assert!(text.contains("\nlmserver_events_total 7\n"), "{text}");
        assert!(
            text.contains("# TYPE lmserver_runs gauge\nlmserver_runs 2\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 3 * (METRICS.len() + 1) + 2 * 7);
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }
}
