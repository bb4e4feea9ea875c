//! Why a request is refused, and the JSON that says so.

use std::borrow::Cow;

use lmserver_proto::http1::Response;
use serde::Serialize;

/// A refusal on its way to the client: what was wrong, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) status: u16,
    message: Cow<'static, str>,
    /// The key of the body that it is about, where one is.
    param: Option<String>,
    fields: Vec<(&'static str, Cow<'static, str>)>,
}

/// The word for a program. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    /// To clients of OpenAI's API alone.
    #[cfg(feature = "llm-api")]
    ModelNotFound,
    Gone,
    MethodNotAllowed,
    TooLarge,
    UnsupportedMediaType,
    Overloaded,
    Draining,
    IdempotencyConflict,
    Internal,
}

/// Whose clients read the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"error":{"code":…,"message":…}}`.
    Own,
    /// What OpenAI's clients expect.
    OpenAi,
    /// What Anthropic's clients expect.
    #[cfg(feature = "llm-api")]
    Anthropic,
}

impl Refusal {
    /// A refusal with the status that its code usually has.
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            status: code.status(),
            message: message.into(),
            param: None,
            fields: Vec::new(),
        }
    }

    /// 400: the request is not what this server takes.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// 500: the engine gave an answer that does not belong to the question.
    pub(super) fn internal() -> Self {
        debug_assert!(false, "an answer fits its query");
        Self::new(Code::Internal, "the server has made a mistake; try again")
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same about a key of the body.
    #[cfg(feature = "llm-api")]
    pub(super) fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same with one more field in its response.
    pub(super) fn with_field(
        mut self,
        name: &'static str,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// The response.
    pub(super) fn response(self, shape: Shape) -> Response {
        let param = self.param.as_deref();
        let body = error_body(shape, self.status, self.code.as_str(), &self.message, param);
        let response = Response::json(self.status, body).with_field("Cache-Control", "no-store");
        self.fields
            .into_iter()
            .fold(response, |response, (name, value)| {
                response.with_field(name, value)
            })
    }
}

impl Code {
    /// The word on the wire.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            #[cfg(feature = "llm-api")]
            Self::ModelNotFound => "model_not_found",
            Self::Gone => "gone",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::Internal => "internal",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            #[cfg(feature = "llm-api")]
            Self::ModelNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Gone => 410,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::IdempotencyConflict => 422,
            Self::Internal => 500,
            Self::Overloaded | Self::Draining => 503,
        }
    }
}

impl Shape {
    /// The field by which such clients know a request.
    pub(super) fn request_id_field(self) -> Option<&'static str> {
        match self {
            Self::Own => None,
            Self::OpenAi => Some("x-request-id"),
            #[cfg(feature = "llm-api")]
            Self::Anthropic => Some("request-id"),
        }
    }

    /// The shape of errors at a path.
    pub(super) fn of(path: &str) -> Self {
        match path {
            #[cfg(feature = "llm-api")]
            "/v1/messages" => Self::Anthropic,
            #[cfg(feature = "llm-api")]
            _ if path.starts_with("/v1/messages/") => Self::Anthropic,
            "/v1" => Self::OpenAi,
            _ if path.starts_with("/v1/") => Self::OpenAi,
            _ => Self::Own,
        }
    }
}

/// The JSON of an error.
pub(super) fn error_body(
    shape: Shape,
    status: u16,
    code: &str,
    message: &str,
    param: Option<&str>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Body<E> {
        error: E,
    }
    #[derive(Serialize)]
    struct Own<'a> {
        code: &'a str,
        message: &'a str,
    }
    #[derive(Serialize)]
    struct OpenAi<'a> {
        message: &'a str,
        r#type: &'a str,
        param: Option<&'a str>,
        code: &'a str,
    }
    let written = match shape {
        #[cfg(feature = "llm-api")]
        Shape::Anthropic => Ok(lmserver_llm_api::anthropic_messages::error_body(
            code, message,
        )),
        Shape::Own => serde_json::to_vec(&Body {
            error: Own { code, message },
        }),
        Shape::OpenAi => {
            let kind = if status < 500 {
                "invalid_request_error"
            } else {
                "server_error"
            };
            let error = OpenAi {
                message,
                r#type: kind,
                param,
                code,
            };
            serde_json::to_vec(&Body { error })
        }
    };
    // Strings into a Vec: it cannot fail.
    written.unwrap_or_default()
}

/// The beginning of a peer's text, short enough to be repeated in a message.
pub(super) fn clip(text: &str) -> &str {
    text.get(..text.floor_char_boundary(CLIP)).unwrap_or(text)
}

/// Bytes of a peer's text that a message repeats.
const CLIP: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_shape_that_its_clients_read() {
        let refuse = |path| {
            let refusal = Refusal::new(Code::NotFound, "no \"such\" path").with_field("X-A", "b");
            let response = refusal.response(Shape::of(path));
            assert_eq!(response.status, 404);
            assert!(response.fields.contains(&("X-A".into(), "b".into())));
            String::from_utf8(response.body).unwrap()
        };
        let own = r#"{"error":{"code":"not_found","message":"no \"such\" path"}}"#;
        assert_eq!(refuse("/v1x"), own);
        assert_eq!(
            refuse("/v1/models"),
            r#"{"error":{"message":"no \"such\" path","type":"invalid_request_error","param":null,"code":"not_found"}}"#
        );
    }

    #[test]
    fn a_long_text_is_repeated_in_part() {
        assert_eq!(clip("short"), "short");
        assert_eq!(clip(&"é".repeat(60)), "é".repeat(50));
        assert_eq!(clip(&format!("a{}", "é".repeat(60))).len(), 99);
    }
}
