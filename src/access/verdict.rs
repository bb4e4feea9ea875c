//! The numbers of refusals.

use lmserver_runtime::plugin::access::Denial;

use crate::token::{Reaction, TokenError};

/// The numbers of the Centrifuge client protocol that verdicts use.
pub mod code {
    /// Something that may pass: the client tries again.
    pub const INTERNAL: u16 = 100;
    /// The channel's namespace does not exist.
    pub const UNKNOWN_CHANNEL: u16 = 102;
    /// It is not permitted.
    pub const PERMISSION_DENIED: u16 = 103;
    /// The data or the channel's name is not what it should be.
    pub const BAD_REQUEST: u16 = 107;
    /// The feature is off.
    pub const NOT_AVAILABLE: u16 = 108;
    /// The client fetches a new token.
    pub const TOKEN_EXPIRED: u16 = 109;
    /// A connection that ended because it expired.
    pub const EXPIRED: u16 = 3005;
    /// A token that is none, or not for this.
    pub const INVALID_TOKEN: u16 = 3500;
    /// A connection that may not be like this.
    pub const BAD_CONNECTION: u16 = 3501;
    /// More channels than a connection may have.
    pub const CHANNEL_LIMIT: u16 = 3505;
    /// A connection that is not permitted.
    pub const CONNECTION_DENIED: u16 = 3507;
}

pub(super) fn error(number: u16) -> Denial {
    Denial::Error(number)
}

pub(super) fn disconnect(number: u16) -> Denial {
    Denial::Disconnect(number)
}

/// What becomes of a token that is not accepted: `refused` where it will never be.
pub(super) fn of_token(problem: &TokenError, refused: Denial) -> Denial {
    match problem.reaction() {
        Reaction::Refuse => refused,
        Reaction::Renew => error(code::TOKEN_EXPIRED),
        Reaction::Retry => error(code::INTERNAL),
    }
}
