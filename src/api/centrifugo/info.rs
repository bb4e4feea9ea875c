//! `info`: the one node that there is.

use std::time::Duration;

use lmserver_runtime::metrics::Metrics;
use lmserver_runtime::plugin::service::{Answer, Query};
use serde::Serialize;

use super::Desk;
use super::mistake::Mistake;
use super::task::Task;

#[derive(Serialize)]
struct Nodes<'a> {
    nodes: [Node<'a>; 1],
}

#[derive(Serialize)]
struct Node<'a> {
    uid: &'a str,
    name: &'static str,
    version: &'static str,
    num_clients: u64,
    num_users: u64,
    num_subs: u64,
    num_channels: u64,
    /// Seconds.
    uptime: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
}

/// What the operating system says of this process.
#[derive(Debug, PartialEq, Serialize)]
struct Process {
    /// Percent of one processor, over the whole life of the process.
    cpu: f64,
    /// Bytes in memory.
    rss: u64,
}

/// `info`.
pub(super) fn info(desk: &Desk<'_>) -> Result<Task, Mistake> {
    let (uid, uptime) = (Box::from(desk.node), Duration::from_millis(desk.now.0));
    Ok(Task::ask(Query::Metrics, move |answer| match answer {
        Answer::Metrics(metrics) => Ok(write(&uid, uptime, metrics, Process::read(uptime))),
        _ => Err(Mistake::internal()),
    }))
}

fn write(uid: &str, uptime: Duration, metrics: &Metrics, process: Option<Process>) -> Vec<u8> {
    let node = Node {
        uid,
        name: "lmserver",
        version: env!("CARGO_PKG_VERSION"),
        num_clients: metrics.clients,
        num_users: metrics.users,
        num_subs: metrics.subscriptions,
        num_channels: metrics.channels,
        uptime: uptime.as_secs(),
        process,
    };
    serde_json::to_vec(&Nodes { nodes: [node] }).unwrap_or_default()
}

impl Process {
    /// Reads it where Linux shows it: two short files that are no files.
    fn read(uptime: Duration) -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let schedule = std::fs::read_to_string("/proc/self/schedstat").ok()?;
        Self::of(&status, &schedule, uptime)
    }

    fn of(status: &str, schedule: &str, uptime: Duration) -> Option<Self> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let on_processor: u64 = schedule.split_whitespace().next()?.parse().ok()?;
        let share = Duration::from_nanos(on_processor).as_secs_f64() / uptime.as_secs_f64();
        Some(Self {
            cpu: if share.is_finite() {
                share * 100.0
            } else {
                0.0
            },
            rss: kibibytes.saturating_mul(1024),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_read_where_it_is_shown() {
        let status = "Name:\tlmserver\nVmRSS:\t    5120 kB\nThreads:\t1\n";
        let ten = Duration::from_secs(10);
        for (status, schedule, uptime, want) in [
            (status, "5000000000 1 2\n", ten, Some((50.0, 5_242_880))),
            (status, "0 0 0", Duration::ZERO, Some((0.0, 5_242_880))),
            ("", "0 0 0", ten, None),
            (status, "", ten, None),
            ("VmRSS: x kB", "0", ten, None),
        ] {
            let read = Process::of(status, schedule, uptime);
            assert_eq!(read, want.map(|(cpu, rss)| Process { cpu, rss }));
        }
    }

    #[test]
    fn the_node_is_written_without_what_is_not_known() {
        let metrics = Metrics {
            clients: 3,
            users: 2,
            subscriptions: 5,
            channels: 4,
            ..Metrics::default()
        };
        let written = write("u", Duration::from_millis(2500), &metrics, None);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            String::from_utf8(written).unwrap(),
            format!(
                r#"{{"nodes":[{{"uid":"u","name":"lmserver","version":"{version}","num_clients":3,"num_users":2,"num_subs":5,"num_channels":4,"uptime":2}}]}}"#
            )
        );
    }
}
