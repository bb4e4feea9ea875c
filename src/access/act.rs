//! Verdicts on what else clients do with channels.

use lmserver_runtime::plugin::access::{ActAsk, ActGrant, Action, Denial};

use super::namespace::DataFormat;
use super::verdict::{code, error};
use super::{Policy, Ruled, retention};
use crate::json;

/// May this client do that?
pub(super) fn act(policy: &Policy, ask: &ActAsk<'_>) -> Result<ActGrant, Denial> {
    let channel = policy.rule(ask.channel)?;
    let options = channel.options;
    let who = match ask.action {
        Action::Publish => {
            check_data(channel, ask.data)?;
            options.publish
        }
        Action::Presence if !options.presence => return Err(error(code::NOT_AVAILABLE)),
        Action::Presence => options.ask_presence,
        Action::History if !channel.is_chat && options.history.is_none() => {
            return Err(error(code::NOT_AVAILABLE));
        }
        Action::History => options.read_history,
    };
    if !policy.connecting.is_insecure && !who.permits(ask.user, ask.is_subscribed) {
        return Err(error(code::PERMISSION_DENIED));
    }
    Ok(ActGrant {
        create: (!channel.is_chat).then(|| retention(options)),
        as_delta: options.delta_publish,
    })
}

/// Only the server writes a chat, in whatever mode it runs.
fn check_data(channel: Ruled<'_>, data: &[u8]) -> Result<(), Denial> {
    if channel.is_chat {
        return Err(error(code::PERMISSION_DENIED));
    }
    if is_acceptable(channel.options.publication_data_format, data) {
        Ok(())
    } else {
        Err(error(code::BAD_REQUEST))
    }
}

/// Whether data may be published in channels of that format.
pub(crate) fn is_acceptable(format: DataFormat, data: &[u8]) -> bool {
    match format {
        DataFormat::Any => !data.is_empty(),
        DataFormat::Json => json::document(data).is_some(),
        DataFormat::JsonObject => json::is_object(data) && json::document(data).is_some(),
    }
}
