//! What went wrong at the provider, in the words of the README's list.
//!
//! Three places report errors: a status other than 2xx, a JSON body where a stream was asked for,
//! and the stream itself. Of what class an error is, `class` decides, by status, codes and text, and
//! never by the content type.

mod class;
mod report;
mod words;

use std::time::Duration;

use serde_json::Value;

use class::classify;
use report::Report;
pub(super) use report::seconds;

use crate::event::ErrorCode;
use crate::http_provider::json;
use crate::http_provider::redact::redact;
use crate::plugin::provider::{ProviderError, Secret};

/// What the head of a response says about its error.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Hints {
    /// The status.
    pub status: Option<u16>,
    /// `retry-after-ms`, else `retry-after`.
    pub retry_after: Option<Duration>,
    /// `x-should-retry`: the provider knows better.
    pub should_retry: Option<bool>,
    /// `x-amzn-errortype`: the name of the kind of error, which the body does not give.
    pub kind: Option<Box<str>>,
}

/// Who says it, and what must not be repeated.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// The value of `Host`, which names the server in messages.
    pub host: &'a str,
    /// What must not appear in a message.
    pub secrets: &'a [Secret],
}

impl Speaker<'_> {
    /// The error in the body of a response.
    #[must_use]
    pub fn body_error(self, body: &[u8], hints: &Hints) -> ProviderError {
        let mut report = json::value(body)
            .as_ref()
            .and_then(|document| Report::read(document, true))
            .unwrap_or_else(|| Report::of_text(&json::lossy(body)));
        report.add_kind(hints.kind.as_deref().unwrap_or_default());
        self.error(&report, hints)
    }

    /// An error document of a stream. `None`: it reports nothing after all.
    ///
    /// `is_flat`: it is known to be an error as a whole.
    #[must_use]
    pub fn event_error(self, document: &Value, is_flat: bool) -> Option<ProviderError> {
        Some(self.error(&Report::read(document, is_flat)?, &Hints::default()))
    }

    /// An error that the stream states as text.
    #[must_use]
    pub fn text_error(self, text: &[u8]) -> ProviderError {
        self.error(&Report::of_text(&json::lossy(text)), &Hints::default())
    }

    /// An error whose kind is named apart from its message, which may be empty.
    #[must_use]
    pub fn kind_error(self, kind: &str, message: &str) -> ProviderError {
        let mut report = Report::of_text(message);
        report.add_kind(kind);
        self.error(&report, &Hints::default())
    }

    /// An error that is stated here, about this host.
    #[must_use]
    pub fn own_error(self, code: ErrorCode, what: &str) -> ProviderError {
        ProviderError::new(code, self.say(&format!("{} {what}", self.host)))
    }

    /// An answer that is no stream, by its media type and its first bytes.
    pub(super) fn foreign_error(self, media_type: &str, beginning: &[u8]) -> ProviderError {
        let shown = if media_type.is_empty() {
            "no content type"
        } else {
            media_type
        };
        let mut what = format!("answered with {shown} instead of a stream, check base_url");
        let text = self.say(&Report::of_text(&json::lossy(beginning)).message);
        let mut separator = "; it says: ";
        for word in text.split_whitespace() {
            what.push_str(separator);
            what.extend(word.chars().filter(|it| !it.is_control()));
            separator = " ";
        }
        if what.len() > MAX_QUOTED {
            what.truncate(what.floor_char_boundary(MAX_QUOTED));
            what.push('…');
        }
        self.own_error(ErrorCode::ProviderError, &what)
    }

    fn error(self, report: &Report, hints: &Hints) -> ProviderError {
        let code = classify(hints.status.or(report.status), report);
        let message = match (report.message.is_empty(), hints.status) {
            (false, _) => self.say(&report.message),
            (true, Some(status)) => format!("{} answered {status}", self.host),
            (true, None) => format!("{} reported an error without a message", self.host),
        };
        let retryable = hints.should_retry.unwrap_or_else(|| code.is_retryable());
        let retry_after = hints
            .retry_after
            .or(report.retry_after)
            .filter(|_| retryable);
        ProviderError {
            code,
            message: message.into(),
            retryable,
            retry_after,
        }
    }

    /// A text made fit to be shown: no key in it, and not endless.
    fn say(self, text: &str) -> String {
        let mut text = redact(text, self.secrets.iter());
        if text.len() > MAX_MESSAGE {
            text.truncate(text.floor_char_boundary(MAX_MESSAGE));
            text.push('…');
        }
        text
    }
}

/// Bytes of a provider's message that are shown.
const MAX_MESSAGE: usize = 2048;

/// Bytes that are said of an answer that is no stream.
const MAX_QUOTED: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const SPEAKER: Speaker<'_> = Speaker {
        host: "api.example",
        secrets: &[],
    };

    #[test]
    fn a_kind_may_be_named_apart_from_the_message() {
        let hints = Hints {
            status: Some(400),
            kind: Some("AccessDeniedException:http://x.example/".into()),
            ..Hints::default()
        };
        let error = SPEAKER.body_error(br#"{"message":"m"}"#, &hints);
        assert_eq!(
            (error.code, &*error.message),
            (ErrorCode::ProviderAuth, "m")
        );
        for (kind, code) in [
            ("throttlingException", "provider_rate_limited"),
            ("serviceUnavailableException", "provider_overloaded"),
            ("modelTimeoutException", "provider_timeout"),
            ("validationException", "provider_bad_request"),
            ("modelStreamErrorException", "provider_error"),
        ] {
            assert_eq!(SPEAKER.kind_error(kind, "m").code.as_str(), code, "{kind}");
        }
        let message = SPEAKER.kind_error("x", "").message;
        assert_eq!(&*message, "api.example reported an error without a message");
    }

    pub(super) fn with_status(status: u16, body: &str) -> ProviderError {
        let hints = Hints {
            status: Some(status),
            ..Hints::default()
        };
        SPEAKER.body_error(body.as_bytes(), &hints)
    }

    #[test]
    fn a_wait_is_handed_on_only_where_a_retry_may_help() {
        let wait = Some(Duration::from_secs(7));
        for (status, should_retry, retryable) in [
            (429, None, true),
            (429, Some(false), false),
            (400, None, false),
            (409, Some(true), true),
        ] {
            let hints = Hints {
                status: Some(status),
                retry_after: wait,
                should_retry,
                ..Hints::default()
            };
            let error = SPEAKER.body_error(b"x", &hints);
            assert_eq!(
                (error.retryable, error.retry_after.is_some()),
                (retryable, retryable)
            );
        }
    }

    #[test]
    fn a_message_names_the_host_where_there_is_none_and_has_an_end() {
        assert_eq!(&*with_status(502, "").message, "api.example answered 502");
        let long = with_status(500, &"é".repeat(5000));
        assert!(long.message.len() <= MAX_MESSAGE + '…'.len_utf8());
    }
}
