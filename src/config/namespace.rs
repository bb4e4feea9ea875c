//! `[namespace.*]` and `[without_namespace]`: options of channels by their names.

use std::time::Duration;

use lmserver_runtime::limits::ChannelLimits;
use lmserver_runtime::plugin::access::Feature;

use super::keys::Keys;
use super::report::Report;
use super::section::Section;
use super::value::Wrong;
use crate::access::namespace::{CHAT, is_namespace_name};
use crate::access::{Access, ChannelOptions, DataFormat, History, Namespaces, RecoveryMode};

mod doubts;

/// Reads all of them. `[channels]` has the history of open channels.
pub(super) fn read(
    root: &mut Section<'_>,
    open: Option<&ChannelLimits>,
    keys: &mut Keys,
    report: &mut Report,
) -> Namespaces {
    let mut namespaces = Namespaces::new(open.map(|limits| History {
        size: limits.history_size,
        ttl: limits.history_ttl,
        meta_ttl: META_TTL.max(limits.history_ttl),
    }));
    if root.has("without_namespace") {
        let section = root.section("without_namespace");
        namespaces.without = Some(options(section, keys, report));
    }
    root.note("without_namespace");
    for (name, mut section) in root.sections("namespace") {
        if name == CHAT {
            namespaces.chat = chat(section, keys, report);
            continue;
        }
        if !is_namespace_name(&name) {
            section.mistake(
                section.header().clone(),
                "a namespace's name has two or more letters, digits, `-`, `_` or `.`",
                "rename it, like [namespace.news]",
            );
        }
        let options = options(section, keys, report);
        namespaces.named.insert(name.into(), options);
    }
    namespaces
}

fn options(mut section: Section<'_>, keys: &mut Keys, report: &mut Report) -> ChannelOptions {
    let section_of = &mut section;
    let options = ChannelOptions {
        history: history(section_of),
        recovery: switch(section_of, "force_recovery", "allow_recovery"),
        recovery_mode: section_of
            .parsed("force_recovery_mode", recovery_mode)
            .unwrap_or_default(),
        positioning: switch(section_of, "force_positioning", "allow_positioning"),
        presence: is_on(section_of, "presence"),
        join_leave: is_on(section_of, "join_leave"),
        force_push_join_leave: is_on(section_of, "force_push_join_leave"),
        subscribe: Access {
            subscriber: false,
            client: is_on(section_of, "allow_subscribe_for_client"),
            anonymous: is_on(section_of, "allow_subscribe_for_anonymous"),
        },
        publish: access(section_of, "allow_publish"),
        ask_presence: access(section_of, "allow_presence"),
        read_history: access(section_of, "allow_history"),
        allow_user_limited_channels: is_on(section_of, "allow_user_limited_channels"),
        allow_fossil_delta: fossil_delta(section_of),
        delta_publish: is_on(section_of, "delta_publish"),
        allow_tags_filter: is_on(section_of, "allow_tags_filter"),
        allow_channel_compaction: is_on(section_of, "allow_channel_compaction"),
        publication_data_format: section_of
            .parsed("publication_data_format", data_format)
            .unwrap_or_default(),
    };
    unsupported(section_of);
    doubts::warn(section_of, &options, options.history.is_some());
    section.finish(keys, report);
    options
}

/// The options of `[namespace.chat]` that are not settled by what a chat is.
fn chat(mut section: Section<'_>, keys: &mut Keys, report: &mut Report) -> ChannelOptions {
    let all = ChannelOptions::chat();
    let options = ChannelOptions {
        presence: is_on(&mut section, "presence"),
        join_leave: is_on(&mut section, "join_leave"),
        force_push_join_leave: is_on(&mut section, "force_push_join_leave"),
        ask_presence: access(&mut section, "allow_presence"),
        read_history: access_or(&mut section, "allow_history", all.read_history),
        allow_channel_compaction: is_on(&mut section, "allow_channel_compaction"),
        ..all
    };
    for (keys, why, fix) in SETTLED_FOR_CHATS {
        for key in *keys {
            section.unsupported(key, why, fix);
        }
    }
    unsupported(&mut section);
    doubts::warn(&mut section, &options, true);
    section.finish(keys, report);
    options
}

fn history(section: &mut Section<'_>) -> Option<History> {
    let size = section.integer("history_size", 0, 1 << 20);
    let ttl = section.duration("history_ttl");
    let meta_ttl = section.duration("history_meta_ttl");
    let (size, ttl) = (size.filter(|size| *size > 0)?, ttl?);
    if meta_ttl.is_some_and(|meta_ttl| meta_ttl < ttl) {
        section.mistake_at(
            "history_meta_ttl",
            "publications would outlive the channel's position",
            "make `history_meta_ttl` at least `history_ttl`",
        );
    }
    Some(History {
        size,
        ttl,
        meta_ttl: meta_ttl.unwrap_or_else(|| META_TTL.max(ttl)),
    })
}

fn switch(section: &mut Section<'_>, force: &str, allow: &str) -> Feature {
    match (is_on(section, force), is_on(section, allow)) {
        (true, _) => Feature::Forced,
        (false, true) => Feature::Allowed,
        (false, false) => Feature::Off,
    }
}

fn access(section: &mut Section<'_>, what: &str) -> Access {
    access_or(section, what, Access::default())
}

fn access_or(section: &mut Section<'_>, what: &str, default: Access) -> Access {
    let mut may = |who: &str, default: bool| {
        let written = section.bool(&format!("{what}_for_{who}"));
        written.unwrap_or(default)
    };
    Access {
        subscriber: may("subscriber", default.subscriber),
        client: may("client", default.client),
        anonymous: may("anonymous", default.anonymous),
    }
}

fn is_on(section: &mut Section<'_>, key: &str) -> bool {
    section.bool(key).unwrap_or(false)
}

fn fossil_delta(section: &mut Section<'_>) -> bool {
    let mut is_allowed = false;
    for (place, text) in section.strings("allowed_delta_types").unwrap_or_default() {
        if text == "fossil" {
            is_allowed = true;
        } else {
            let problem = format!("`allowed_delta_types`: {text:?} is not a type of delta");
            section.mistake(place, problem, "write allowed_delta_types = [\"fossil\"]");
        }
    }
    is_allowed
}

fn recovery_mode(text: &str) -> Result<RecoveryMode, Wrong> {
    match text {
        "stream" => Ok(RecoveryMode::Stream),
        "cache" => Ok(RecoveryMode::Cache),
        _ => Err(Wrong::new(
            format!("{text:?} is not a mode of recovery"),
            "write \"stream\" for all that was missed, \"cache\" for the last publication",
        )),
    }
}

fn data_format(text: &str) -> Result<DataFormat, Wrong> {
    match text {
        "json" => Ok(DataFormat::Json),
        "json_object" => Ok(DataFormat::JsonObject),
        "binary" => Err(Wrong::new(
            "no format is for bytes alone: receivers that need JSON get a string of other data",
            "remove it: without it anything may be published",
        )),
        _ => Err(Wrong::new(
            format!("{text:?} is not a format of data"),
            "write \"json\" or \"json_object\"",
        )),
    }
}

/// What a namespace has elsewhere and does not have here.
fn unsupported(section: &mut Section<'_>) {
    section.unsupported(
        "channel_regex",
        "lmserver has no regular expressions",
        "remove it, and bound who may subscribe and publish instead",
    );
    for key in [
        "subscribe_proxy_enabled",
        "publish_proxy_enabled",
        "sub_refresh_proxy_enabled",
        "subscribe_stream_proxy_enabled",
    ] {
        section.unsupported(
            key,
            "lmserver asks no backend",
            "remove it, and give clients subscription tokens",
        );
    }
    for key in ["subscription_type", "map", "shared_poll"] {
        let why = "there are stream subscriptions only";
        section.unsupported(key, why, "remove it");
    }
}

/// Keys with why they cannot be set in `[namespace.chat]`, and what can be done instead.
type Settled = (&'static [&'static str], &'static str, &'static str);

const SETTLED_FOR_CHATS: &[Settled] = &[
    (
        &["history_size", "history_ttl", "history_meta_ttl"],
        "a chat keeps its whole answer",
        "remove it; how long a chat is kept, `ttl` in [channels] says",
    ),
    (
        &[
            "force_recovery",
            "allow_recovery",
            "force_recovery_mode",
            "force_positioning",
            "allow_positioning",
        ],
        "a chat can always be recovered",
        "remove it",
    ),
    (
        &[
            "allow_subscribe_for_client",
            "allow_subscribe_for_anonymous",
            "allow_user_limited_channels",
        ],
        "who knows a chat's name may listen",
        "remove it; to ask for tokens too, set `token_secret` in [auth]",
    ),
    (
        &[
            "allow_publish_for_subscriber",
            "allow_publish_for_client",
            "allow_publish_for_anonymous",
            "publication_data_format",
        ],
        "only the server publishes to chats",
        "remove it, and publish to another namespace",
    ),
    (
        &["allowed_delta_types", "delta_publish", "allow_tags_filter"],
        "a chat's events are short, differ from each other and are all needed",
        "remove it",
    ),
];

/// How long positions are kept where nothing is said.
const META_TTL: Duration = Duration::from_secs(30 * 86_400);
