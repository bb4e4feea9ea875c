//! The numbers by which a server says why: error codes in replies, unsubscribe codes in pushes,
//! disconnect codes in close frames and pushes.
//!
//! | range | of | the client |
//! | --- | --- | --- |
//! | 100 to 399 | errors, the server's | retries a temporary one, and 109 with a new token |
//! | 400 to 1999 | errors, the application's | the same |
//! | 2000 to 2499 | unsubscribing | stays unsubscribed |
//! | 2500 to 2999 | unsubscribing | subscribes again at once |
//! | 3000 to 3499 | disconnecting, the server's | reconnects |
//! | 3500 to 3999 | disconnecting, the server's | stays away |
//! | 4000 to 4499 | disconnecting, the application's | reconnects |
//! | 4500 to 4999 | disconnecting, the application's | stays away |

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::ws::close;

/// Defines an enum of numbers with their texts.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        $name:ident: $number:ty, $text:ident, $text_doc:literal;
        $($(#[$code_meta:meta])* $code:ident = $value:literal, $words:literal;)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$code_meta])* $code,)*
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> $number {
                match self { $(Self::$code => $value,)* }
            }

            #[doc = $text_doc]
            #[must_use]
            pub const fn $text(self) -> &'static str {
                match self { $(Self::$code => $words,)* }
            }
        }
    };
}

codes! {
    /// Why a command failed, as the `error` of its reply.
    ErrorCode: u32, message, "The text on the wire.";
    /// Something broke here; worth another try.
    Internal = 100, "internal server error";
    /// Nobody knows this client.
    Unauthorized = 101, "unauthorized";
    /// The channel, or its namespace, does not exist.
    UnknownChannel = 102, "unknown channel";
    /// Not for this client.
    PermissionDenied = 103, "permission denied";
    /// No such remote procedure.
    MethodNotFound = 104, "method not found";
    /// This connection has that subscription.
    AlreadySubscribed = 105, "already subscribed";
    /// More than this client may have.
    LimitExceeded = 106, "limit exceeded";
    /// A mistake in the data that does not deserve a disconnect.
    BadRequest = 107, "bad request";
    /// The feature is off.
    NotAvailable = 108, "not available";
    /// The client fetches a new token and tries again.
    TokenExpired = 109, "token expired";
    /// The connection or subscription would be over at once.
    Expired = 110, "expired";
    /// Try again later.
    TooManyRequests = 111, "too many requests";
    /// What follows the position is not all there.
    UnrecoverablePosition = 112, "unrecoverable position";
    /// The state changed between two pages.
    ConcurrentPagination = 113, "concurrent pagination";
}

codes! {
    /// Why the server took a subscription away.
    UnsubscribeCode: u32, reason, "The text on the wire.";
    /// Somebody asked for it.
    Server = 2000, "server unsubscribe";
    /// The subscriber's position cannot be followed any more.
    InsufficientState = 2500, "insufficient state";
    /// It was not refreshed in time.
    Expired = 2501, "subscription expired";
    /// The client drops its subscription token and what it knows of the channel.
    StateInvalidated = 2502, "state invalidated";
}

codes! {
    /// Why the server ended a connection.
    DisconnectCode: u16, reason, "The text on the wire.";
    /// The client went; this never reaches the wire as a push.
    ConnectionClosed = 3000, "connection closed";
    /// The server stops.
    Shutdown = 3001, "shutdown";
    /// Something broke here.
    Internal = 3004, "internal server error";
    /// It was not refreshed in time.
    Expired = 3005, "connection expired";
    /// A subscription that the server made was not refreshed in time.
    SubscriptionExpired = 3006, "subscription expired";
    /// More waits to be sent than the server keeps.
    Slow = 3008, "slow";
    /// The transport failed.
    WriteError = 3009, "write error";
    /// A subscription that the server made lost its position.
    InsufficientState = 3010, "insufficient state";
    /// Somebody asked for it.
    ForceReconnect = 3011, "force reconnect";
    /// A ping was not answered in time.
    NoPong = 3012, "no pong";
    /// Come back later.
    TooManyRequests = 3013, "too many requests";
    /// The client drops its connection token and its state first.
    StateInvalidated = 3014, "state invalidated";
    /// A token that is none, or somebody else's.
    InvalidToken = 3500, "invalid token";
    /// Against the protocol.
    BadRequest = 3501, "bad request";
    /// Connected, but never with a `connect` command.
    Stale = 3502, "stale";
    /// Somebody asked for it.
    ForceDisconnect = 3503, "force disconnect";
    /// More connections than this user may have.
    ConnectionLimit = 3504, "connection limit";
    /// More subscriptions that the server makes than a connection may have.
    ChannelLimit = 3505, "channel limit";
    /// Binary payloads do not go into JSON.
    InappropriateProtocol = 3506, "inappropriate protocol";
    /// Not for this client.
    PermissionDenied = 3507, "permission denied";
    /// The feature is off, and the command has no reply.
    NotAvailable = 3508, "not available";
    /// More errors than the server puts up with.
    TooManyErrors = 3509, "too many errors";
}

impl ErrorCode {
    /// Whether another try may succeed.
    #[must_use]
    pub const fn temporary(self) -> bool {
        matches!(
            self,
            Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination
        )
    }
}

impl UnsubscribeCode {
    /// Whether the client subscribes again, at once.
    #[must_use]
    pub const fn resubscribes(self) -> bool {
        self.number() >= 2500
    }
}

impl DisconnectCode {
    /// Whether the client reconnects.
    #[must_use]
    pub const fn reconnects(self) -> bool {
        reconnects(self.number())
    }
}

/// The rule of all SDKs: everything reconnects but 3500 to 3999 and 4500 to 4999.
const fn reconnects(code: u16) -> bool {
    !matches!(code, 3500..=3999 | 4500..=4999)
}

/// What stands in the `error` of a reply: the server's or the application's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// 100 to 399 are the server's, 400 to 1999 the application's.
    pub code: u32,
    /// A short English text.
    pub message: Cow<'static, str>,
    /// Whether another try may succeed.
    pub temporary: bool,
}

impl Error {
    /// How the end of a unidirectional connection is named that fails to begin with this error:
    /// such a client sees no replies.
    #[must_use]
    pub fn unidirectional(&self) -> DisconnectCode {
        match self.code {
            103 => DisconnectCode::PermissionDenied,
            109 | 110 => DisconnectCode::Expired,
            111 => DisconnectCode::TooManyRequests,
            _ => DisconnectCode::Internal,
        }
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self {
            code: code.number(),
            message: code.message().into(),
            temporary: code.temporary(),
        }
    }
}

/// What stands in an unsubscribe push: the server's or the application's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// From 2500 on the client subscribes again.
    pub code: u32,
    /// A short English text. Some SDKs read it unconditionally.
    pub reason: Cow<'static, str>,
}

impl From<UnsubscribeCode> for Unsubscribe {
    fn from(code: UnsubscribeCode) -> Self {
        Self {
            code: code.number(),
            reason: code.reason().into(),
        }
    }
}

/// What stands in a close frame or a disconnect push: the server's or the application's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// 3000 to 3999 are the server's, 4000 to 4999 the application's.
    pub code: u16,
    /// A short English text.
    pub reason: Cow<'static, str>,
}

impl Disconnect {
    /// Whether the client reconnects.
    #[must_use]
    pub const fn reconnects(&self) -> bool {
        reconnects(self.code)
    }

    /// The reason as it may stand in a close frame: cut to its room, and `disconnect` in place of
    /// one that is empty or JSON.
    ///
    /// The JavaScript SDK looks at the code only where there is a reason, and takes one that is
    /// JSON for an advice of an older protocol.
    #[must_use]
    pub fn close_reason(&self) -> &str {
        let reason = close::fitting(&self.reason);
        if reason.is_empty() || serde_json::from_str::<IgnoredAny>(reason).is_ok() {
            "disconnect"
        } else {
            reason
        }
    }
}

impl From<DisconnectCode> for Disconnect {
    fn from(code: DisconnectCode) -> Self {
        Self {
            code: code.number(),
            reason: code.reason().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_errors_are_those_worth_another_try() {
        let temporary: Vec<u32> = ErrorCode::ALL
            .iter()
            .filter(|code| code.temporary())
            .map(|code| code.number())
            .collect();
        assert_eq!(temporary, [100, 111, 113]);
        let numbers: Vec<u32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, (100..=113).collect::<Vec<_>>());
    }

    #[test]
    fn a_code_becomes_what_goes_on_the_wire() {
        let error = Error::from(ErrorCode::PermissionDenied);
        assert_eq!((error.code, &*error.message), (103, "permission denied"));
        let unsubscribe = Unsubscribe::from(UnsubscribeCode::Server);
        assert_eq!(
            (unsubscribe.code, &*unsubscribe.reason),
            (2000, "server unsubscribe")
        );
        let disconnect = Disconnect::from(DisconnectCode::NoPong);
        assert_eq!((disconnect.code, &*disconnect.reason), (3012, "no pong"));
    }

    #[test]
    fn clients_reconnect_by_the_range_of_the_code() {
        for (code, want) in [
            (1000, true),
            (3000, true),
            (3499, true),
            (3500, false),
            (3999, false),
            (4000, true),
            (4499, true),
            (4500, false),
            (4999, false),
            (5000, true),
        ] {
            let disconnect = Disconnect {
                code,
                reason: "x".into(),
            };
            assert_eq!(disconnect.reconnects(), want, "{code}");
        }
        for code in DisconnectCode::ALL {
            assert_eq!(code.reconnects(), code.number() < 3500, "{code:?}");
            assert!(close::is_sendable(code.number()));
        }
        for code in UnsubscribeCode::ALL {
            assert_eq!(code.resubscribes(), code.number() != 2000, "{code:?}");
        }
    }

    #[test]
    fn a_close_reason_is_words_that_are_not_json() {
        for (reason, want) in [
            ("no pong", "no pong"),
            ("", "disconnect"),
            (r#"{"reason":"x","reconnect":true}"#, "disconnect"),
            ("42", "disconnect"),
            (" null ", "disconnect"),
            ("{half", "{half"),
        ] {
            let disconnect = Disconnect {
                code: 4000,
                reason: reason.into(),
            };
            assert_eq!(disconnect.close_reason(), want, "{reason:?}");
        }
        let long = Disconnect {
            code: 4000,
            reason: "é".repeat(100).into(),
        };
        assert_eq!(long.close_reason().len(), 122);
        for code in DisconnectCode::ALL {
            assert_eq!(Disconnect::from(*code).close_reason(), code.reason());
        }
    }

    #[test]
    fn an_error_at_the_start_has_a_name_without_replies() {
        for code in ErrorCode::ALL {
            let want = match code {
                ErrorCode::TokenExpired | ErrorCode::Expired => 3005,
                ErrorCode::TooManyRequests => 3013,
                ErrorCode::PermissionDenied => 3507,
                _ => 3004,
            };
            assert_eq!(Error::from(*code).unidirectional().number(), want);
        }
    }
}
