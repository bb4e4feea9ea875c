//! Names of channels, and the options that follow from them.
//!
//! ```text
//! name         options
//! ──────────── ─────────────────────────────────────────────────────────────────────────
//! chat:6c9f…   chat: the answers of models
//! news:today   [namespace.news], or with [channels] open the open ones, or unknown
//! $news:today  the same, and only with a subscription token
//! today        [without_namespace], or with [channels] open the open ones, or unknown
//! today#42,43  the same, and the users 42 and 43 may subscribe without a token, if
//!              `allow_user_limited_channels` is on
//! news:#42     the channel of the user 42 in [namespace.news]
//! ```
//!
//! The namespace is what stands before the first `:`. Nothing here knows whether a channel
//! exists.

use std::collections::BTreeMap;
use std::time::Duration;

use lmserver_runtime::plugin::access::Feature;

/// The options of all namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespaces {
    /// Of chat channels.
    pub chat: ChannelOptions,
    /// Of channels whose name has no namespace: `[without_namespace]`.
    pub without: Option<ChannelOptions>,
    /// Of the namespaces: `[namespace.NAME]`.
    pub named: BTreeMap<Box<str>, ChannelOptions>,
    /// Of channels for which nothing else is configured: `[channels] open`.
    pub open: Option<ChannelOptions>,
}

/// What is kept of a channel, what its subscribers get and who may use it.
///
/// By default nothing is kept and nobody may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelOptions {
    /// `history_size`, `history_ttl` and `history_meta_ttl`: what is kept. None: nothing, and
    /// publications have no offset. A chat keeps its whole answer, whatever stands here.
    pub history: Option<History>,
    /// `force_recovery` or `allow_recovery`: whether a subscriber gets what it missed.
    pub recovery: Feature,
    /// `force_recovery_mode`: what it gets then.
    pub recovery_mode: RecoveryMode,
    /// `force_positioning` or `allow_positioning`: whether a subscriber is told positions.
    pub positioning: Feature,
    /// `presence`: whether it is known who is there.
    pub presence: bool,
    /// `join_leave`: whether there are notices of who comes and goes.
    pub join_leave: bool,
    /// `force_push_join_leave`: whether subscribers get those notices unasked.
    pub force_push_join_leave: bool,
    /// `allow_subscribe_for_client` and `…_for_anonymous`; `subscriber` is never set.
    pub subscribe: Access,
    /// `allow_publish_for_subscriber` and so on.
    pub publish: Access,
    /// `allow_presence_for_subscriber` and so on: who may ask who is there.
    pub ask_presence: Access,
    /// `allow_history_for_subscriber` and so on: who may read what is kept.
    pub read_history: Access,
    /// `allow_user_limited_channels`: whether a `#` in the name lists users.
    pub allow_user_limited_channels: bool,
    /// `allowed_delta_types` has `fossil`: whether a subscriber may get differences.
    pub allow_fossil_delta: bool,
    /// `delta_publish`: whether every publication is made into one, not only those that ask.
    pub delta_publish: bool,
    /// `allow_tags_filter`: whether a subscriber may choose publications by their tags.
    pub allow_tags_filter: bool,
    /// `allow_channel_compaction`: whether a number may stand for the channel's name.
    pub allow_channel_compaction: bool,
    /// `publication_data_format`: what may be published.
    pub publication_data_format: DataFormat,
}

/// What is kept of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// Publications; at least 1.
    pub size: u64,
    /// How long after the last publication.
    pub ttl: Duration,
    /// How long the channel's epoch and offset outlive that.
    pub meta_ttl: Duration,
}

/// What a subscriber gets that comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Everything that it missed.
    #[default]
    Stream,
    /// The last publication only.
    Cache,
}

/// What the data of a publication may be; it is never empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataFormat {
    /// Anything. Receivers that need JSON get what is none as a string.
    #[default]
    Any,
    /// Any JSON.
    Json,
    /// A JSON object.
    JsonObject,
}

/// Who may do something without a token for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Those who are subscribed.
    pub subscriber: bool,
    /// All who are connected.
    pub client: bool,
    /// Users without a name are not left out of those.
    pub anonymous: bool,
}

/// A channel's name of which no options are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel's namespace is not configured")]
pub struct UnknownNamespace;

impl Namespaces {
    /// Only chats; with `history` also open channels, which keep that much.
    #[must_use]
    pub fn new(history: Option<History>) -> Self {
        Self {
            chat: ChannelOptions::chat(),
            without: None,
            named: BTreeMap::new(),
            open: history.map(ChannelOptions::open),
        }
    }

    /// Whether options are configured: more than whether channels are open.
    #[must_use]
    pub fn has_configured_options(&self) -> bool {
        !self.named.is_empty() || self.without.is_some() || self.chat != ChannelOptions::chat()
    }

    /// The options of a channel.
    ///
    /// # Errors
    ///
    /// That there are none: nobody can use such a channel.
    pub fn resolve(&self, channel: &str) -> Result<&ChannelOptions, UnknownNamespace> {
        let name = channel.strip_prefix(PRIVATE).unwrap_or(channel);
        let own = match name.split_once(':') {
            // There are no private chats: a chat's name is its secret already.
            Some((CHAT, _)) if is_private(channel) => return Err(UnknownNamespace),
            Some((CHAT, _)) => Some(&self.chat),
            Some((namespace, _)) => self.named.get(namespace),
            None => self.without.as_ref(),
        };
        own.or(self.open.as_ref()).ok_or(UnknownNamespace)
    }
}

impl ChannelOptions {
    /// Of a chat: who knows the name may listen, and only the server publishes.
    #[must_use]
    pub fn chat() -> Self {
        Self {
            recovery: Feature::Forced,
            positioning: Feature::Forced,
            subscribe: Access::ALL,
            read_history: Access::SUBSCRIBERS,
            ..Self::default()
        }
    }

    /// Of an open channel: anybody may listen, and only backends publish.
    #[must_use]
    pub fn open(history: History) -> Self {
        Self {
            history: Some(history),
            ..Self::chat()
        }
    }
}

impl Access {
    /// Everybody, whether subscribed or not.
    pub const ALL: Self = Self {
        subscriber: false,
        client: true,
        anonymous: true,
    };

    /// Everybody who is subscribed.
    pub const SUBSCRIBERS: Self = Self {
        subscriber: true,
        client: false,
        anonymous: true,
    };

    /// Whether this user may; the empty name is that of anonymous users.
    #[must_use]
    pub fn permits(self, user: &str, is_subscribed: bool) -> bool {
        (self.client || self.subscriber && is_subscribed) && (self.anonymous || !user.is_empty())
    }
}

/// Whether a channel needs a subscription token in any case.
#[must_use]
pub fn is_private(channel: &str) -> bool {
    channel.starts_with(PRIVATE)
}

/// The users to whom a name limits its channel: those that its last `#` is followed by.
///
/// It counts only where `allow_user_limited_channels` is on. The empty name is never among them,
/// so that a comma too many does not let anonymous users in.
#[must_use]
pub fn allowed_users(channel: &str) -> Option<impl Iterator<Item = &str>> {
    let (_, users) = channel.rsplit_once(USERS)?;
    Some(users.split(',').filter(|user| !user.is_empty()))
}

/// The channel of one user, in a namespace or, if that is empty, in none.
#[must_use]
pub fn personal_channel(namespace: &str, user: &str) -> String {
    if namespace.is_empty() {
        format!("{USERS}{user}")
    } else {
        format!("{namespace}:{USERS}{user}")
    }
}

/// Whether this can be the name of a namespace: `^[-a-zA-Z0-9_.]{2,}$`.
#[must_use]
pub fn is_namespace_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() >= 2 && name.bytes().all(is_good)
}

/// The namespace of the answers of models.
pub const CHAT: &str = "chat";

/// Begins the name of a channel that needs a token.
const PRIVATE: char = '$';

/// Begins the list of users at the end of a name.
const USERS: char = '#';

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: History = History {
        size: 100,
        ttl: Duration::from_secs(300),
        meta_ttl: Duration::from_secs(3600),
    };

    /// Options that can be told apart by the size of their history.
    fn options(size: u64) -> ChannelOptions {
        ChannelOptions::open(History { size, ..HISTORY })
    }

    fn size(namespaces: &Namespaces, channel: &str) -> Option<u64> {
        let options = namespaces.resolve(channel).ok()?;
        Some(options.history.map_or(0, |history| history.size))
    }

    #[test]
    fn the_text_before_the_first_colon_is_the_namespace() {
        let closed = Namespaces {
            without: Some(options(1)),
            named: [("news".into(), options(2))].into(),
            ..Namespaces::new(None)
        };
        let open = Namespaces {
            open: Some(options(3)),
            ..closed.clone()
        };
        let bare = Namespaces::new(None);
        for (channel, in_closed, in_open, in_bare) in [
            ("news:today", Some(2), Some(2), None),
            ("news:", Some(2), Some(2), None),
            ("news:a:b", Some(2), Some(2), None),
            ("$news:today", Some(2), Some(2), None),
            ("news:#42", Some(2), Some(2), None),
            ("news", Some(1), Some(1), None),
            ("#42", Some(1), Some(1), None),
            ("$today", Some(1), Some(1), None),
            ("", Some(1), Some(1), None),
            ("News:today", None, Some(3), None),
            ("other:news:x", None, Some(3), None),
            ("#42:news", None, Some(3), None),
            ("$$news:x", None, Some(3), None),
            (":today", None, Some(3), None),
            ("chat:1", Some(0), Some(0), Some(0)),
            ("chat:", Some(0), Some(0), Some(0)),
            ("$chat:1", None, None, None),
            ("chat", Some(1), Some(1), None),
        ] {
            assert_eq!(size(&closed, channel), in_closed, "{channel}");
            assert_eq!(size(&open, channel), in_open, "{channel}, open");
            assert_eq!(size(&bare, channel), in_bare, "{channel}, bare");
        }
        assert_eq!(size(&Namespaces::new(Some(HISTORY)), "news"), Some(100));
    }

    #[test]
    fn permission_needs_a_name_unless_anonymous_users_are_let_in() {
        let access = |letters: &str| Access {
            subscriber: letters.contains('s'),
            client: letters.contains('c'),
            anonymous: letters.contains('a'),
        };
        for (letters, user, is_subscribed, want) in [
            ("", "42", true, false),
            ("a", "", true, false),
            ("a", "42", true, false),
            ("c", "42", false, true),
            ("c", "", false, false),
            ("ca", "", false, true),
            ("s", "42", false, false),
            ("s", "42", true, true),
            ("s", "", true, false),
            ("sa", "", true, true),
            ("sa", "", false, false),
            ("sca", "", false, true),
        ] {
            let permits = access(letters).permits(user, is_subscribed);
            assert_eq!(permits, want, "{letters:?} {user:?} {is_subscribed}");
        }
    }

    #[test]
    fn the_users_of_a_limited_channel_follow_the_last_hash() {
        for (channel, want) in [
            ("room#42", Some(&["42"][..])),
            ("room#42,43", Some(&["42", "43"])),
            ("news:#42", Some(&["42"])),
            ("a#b#c", Some(&["c"])),
            ("room#", Some(&[])),
            ("room#42,", Some(&["42"])),
            ("room", None),
        ] {
            let users = allowed_users(channel).map(Iterator::collect::<Vec<_>>);
            assert_eq!(users.as_deref(), want, "{channel}");
        }
        assert_eq!(personal_channel("", "42"), "#42");
        assert_eq!(personal_channel("news", "42"), "news:#42");
    }

    #[test]
    fn namespaces_have_names_of_two_letters_at_least() {
        for (name, want) in [
            ("news", true),
            ("a.b-C_9", true),
            ("ab", true),
            ("a", false),
            ("", false),
            ("a b", false),
            ("a:b", false),
            ("é.", false),
            ("$x", false),
        ] {
            assert_eq!(is_namespace_name(name), want, "{name:?}");
        }
    }
}
