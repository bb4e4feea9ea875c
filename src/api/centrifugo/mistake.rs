//! What went wrong with a command, by the numbers of the server API.

use lmserver_proto::json::Error;
use serde::Serialize;

use crate::api::refusal::clip;

/// A mistake with its number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Mistake {
    pub(super) code: Code,
    message: String,
}

/// The numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// No room, or the server stops: try again.
    Internal,
    /// No such channel, or no such namespace.
    UnknownChannel,
    /// The channel is the server's own.
    PermissionDenied,
    /// No such method.
    NotFound,
    /// The request is not what the method takes.
    BadRequest,
    /// The feature is off for the channel.
    NotAvailable,
    /// The position is one of another incarnation of the channel.
    UnrecoverablePosition,
}

impl Mistake {
    #[inline(never)]
    pub(super) fn new(code: Code, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
        }
    }

    /// 107, with what is wrong.
    pub(super) fn bad(why: impl std::fmt::Display) -> Self {
        Self::bad_for(&why)
    }

    #[inline(never)]
    fn bad_for(why: &dyn std::fmt::Display) -> Self {
        Self::new(Code::BadRequest, &format!("bad request: {why}"))
    }

    /// 100: an answer that the engine gives to other questions.
    pub(super) fn internal() -> Self {
        debug_assert!(false, "an answer fits its query");
        Self::new(Code::Internal, "internal server error")
    }

    /// The value of `error`.
    pub(super) fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            code: u16,
            message: &'a str,
        }
        let body = Body {
            code: self.code.number(),
            message: &self.message,
        };
        // Strings into a Vec: it cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl From<Error> for Mistake {
    fn from(error: Error) -> Self {
        match error {
            Error::NotAnObject => Self::bad("send a JSON object"),
            error => Self::bad(clip(&error.to_string())),
        }
    }
}

impl Code {
    /// The number on the wire.
    pub(super) fn number(self) -> u16 {
        match self {
            Self::Internal => 100,
            Self::UnknownChannel => 102,
            Self::PermissionDenied => 103,
            Self::NotFound => 104,
            Self::BadRequest => 107,
            Self::NotAvailable => 108,
            Self::UnrecoverablePosition => 112,
        }
    }

    /// The HTTP status, for those who ask for one.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            Self::UnknownChannel | Self::NotFound => 404,
            Self::PermissionDenied => 403,
            Self::BadRequest | Self::NotAvailable => 400,
            Self::UnrecoverablePosition => 416,
        }
    }
}
