//! What a subscription may do, by the options of its channel and what a token says.

use lmserver_runtime::plugin::access::{Expiry, Feature, SubscribeGrant};

use super::namespace::RecoveryMode;
use super::{Ruled, retention};
use crate::json;
use crate::token::{Overrides, SubscriptionClaims};

/// What is said about one subscription beside the options of its channel.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) info: Option<Box<[u8]>>,
    pub(crate) data: Option<Box<[u8]>>,
    pub(crate) overrides: Overrides,
    pub(crate) expires_at: Option<u64>,
    /// Does the client have a subscription token?
    pub(crate) by_token: bool,
    /// May the client ask to hear who comes and goes?
    pub(crate) may_hear: bool,
}

impl Extras {
    /// What a subscription token says; nothing if that cannot be told to others in JSON.
    pub(super) fn of_token(claims: SubscriptionClaims) -> Option<Self> {
        Some(Self {
            info: carried(claims.info)?,
            data: carried(claims.data)?,
            overrides: claims.overrides,
            expires_at: claims.expires_at,
            by_token: true,
            may_hear: false,
        })
    }
}

/// JSON of a token, in one line as it is sent; nothing if it is none.
pub(super) fn carried(bytes: Option<Box<[u8]>>) -> Option<Option<Box<[u8]>>> {
    match bytes {
        Some(bytes) => json::document(&bytes).map(Some),
        None => Some(None),
    }
}

/// The options of a subscription of the channel.
pub(super) fn grant(channel: Ruled<'_>, extras: Extras) -> SubscribeGrant {
    let Ruled {
        options, is_chat, ..
    } = channel;
    let Overrides {
        presence,
        join_leave,
        force_push_join_leave,
        force_recovery,
        force_positioning,
    } = extras.overrides;
    let has_history = is_chat || options.history.is_some();
    let in_history = |feature: Feature, forced: Option<bool>| {
        if has_history {
            overridden(feature, forced)
        } else {
            Feature::Off
        }
    };
    let hears = force_push_join_leave.unwrap_or(options.force_push_join_leave);
    SubscribeGrant {
        create: (!is_chat).then(|| retention(options)),
        from_beginning: is_chat,
        recovery: in_history(options.recovery, force_recovery),
        is_cache: options.recovery_mode == RecoveryMode::Cache,
        positioning: in_history(options.positioning, force_positioning),
        presence: presence.unwrap_or(options.presence),
        join_leave: join_leave.unwrap_or(options.join_leave),
        push_join_leave: match (hears, extras.may_hear) {
            (true, _) => Feature::Forced,
            (false, true) => Feature::Allowed,
            (false, false) => Feature::Off,
        },
        delta: options.allow_fossil_delta,
        tags_filter: options.allow_tags_filter,
        compaction: options.allow_channel_compaction,
        info: extras.info,
        data: extras.data,
        expiry: Expiry(extras.expires_at),
        by_token: extras.by_token,
    }
}

/// The channel's own choice, unless a token forces it. What a token does not force the client may
/// still ask for where the channel allows it.
fn overridden(own: Feature, forced: Option<bool>) -> Feature {
    match (own, forced) {
        (_, Some(true)) | (Feature::Forced, None) => Feature::Forced,
        (Feature::Forced | Feature::Off, Some(false)) | (Feature::Off, None) => Feature::Off,
        (Feature::Allowed, _) => Feature::Allowed,
    }
}
