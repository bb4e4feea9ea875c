//! What can be written and does nothing, because something else is missing.

use lmserver_runtime::plugin::access::Feature;

use crate::access::{Access, ChannelOptions};
use crate::config::section::Section;

/// Warns of options without those that they need. Mistakes come first: what is missing may only
/// be written wrongly.
pub(super) fn warn(section: &mut Section<'_>, options: &ChannelOptions, has_history: bool) {
    if section.has_mistakes() {
        return;
    }
    half_a_history(section, has_history);
    for (is_idle, keys, problem, fix) in of_history(section, options, has_history)
        .into_iter()
        .chain(of_others(options))
    {
        if let Some(key) = keys.iter().find(|key| is_idle && section.has(key)) {
            section.warning_at(key, format!("`{key}`: {problem}"), fix);
        }
    }
    anonymous_alone(section, options);
}

/// Whether keys do nothing, which, what is missing, and what can be done.
type Doubt = (bool, &'static [&'static str], &'static str, &'static str);

fn of_history(section: &Section<'_>, options: &ChannelOptions, has_history: bool) -> [Doubt; 4] {
    [
        (
            !has_history && options.recovery != Feature::Off,
            &["force_recovery", "allow_recovery"][..],
            "without a history there is nothing to recover",
            ADD_HISTORY,
        ),
        (
            !has_history && options.positioning != Feature::Off,
            &["force_positioning", "allow_positioning"],
            "without a history there are no positions",
            ADD_HISTORY,
        ),
        (
            options.recovery == Feature::Off && section.has("force_recovery_mode"),
            &["force_recovery_mode"],
            "nothing is recovered in any mode",
            "add force_recovery = true, or allow_recovery = true",
        ),
        (
            !has_history && may_anybody(options.read_history),
            &HISTORY,
            "there is no history to read",
            ADD_HISTORY,
        ),
    ]
}

fn of_others(options: &ChannelOptions) -> [Doubt; 3] {
    [
        (
            options.force_push_join_leave && !options.join_leave,
            &["force_push_join_leave"],
            "there are no notices of who joins and leaves",
            "add join_leave = true",
        ),
        (
            !options.presence && may_anybody(options.ask_presence),
            &PRESENCE,
            "it is not known who is present",
            "add presence = true",
        ),
        (
            options.delta_publish && !options.allow_fossil_delta,
            &["delta_publish"],
            "nobody gets differences",
            "add allowed_delta_types = [\"fossil\"]",
        ),
    ]
}

fn anonymous_alone(section: &mut Section<'_>, options: &ChannelOptions) {
    for (what, access) in [
        ("subscribe", options.subscribe),
        ("publish", options.publish),
        ("presence", options.ask_presence),
        ("history", options.read_history),
    ] {
        let key = format!("allow_{what}_for_anonymous");
        if access.anonymous && !may_anybody(access) {
            let problem = format!("`{key}`: nobody may, so anonymous users may not either");
            let fix = format!("add allow_{what}_for_client = true");
            section.warning_at(&key, problem, fix);
        }
    }
}

fn half_a_history(section: &mut Section<'_>, has_history: bool) {
    if has_history || section.has("history_size") == section.has("history_ttl") {
        return;
    }
    let (key, missing) = if section.has("history_size") {
        ("history_size", "history_ttl = \"5m\"")
    } else {
        ("history_ttl", "history_size = 100")
    };
    let problem = format!("`{key}` alone: nothing is kept");
    section.warning_at(key, problem, format!("add {missing}"));
}

fn may_anybody(access: Access) -> bool {
    access.client || access.subscriber
}

const ADD_HISTORY: &str = "add history_size and history_ttl";

const PRESENCE: [&str; 2] = ["allow_presence_for_subscriber", "allow_presence_for_client"];

const HISTORY: [&str; 2] = ["allow_history_for_subscriber", "allow_history_for_client"];
