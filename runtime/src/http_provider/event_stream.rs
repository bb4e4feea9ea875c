//! A body of server-sent events that hold JSON: bytes in, events to the plugin.
//!
//! ```text
//!   first byte that is neither blank nor of a comment
//!     '{' or '['  ──► a JSON document: an error, or the whole answer of a server that cannot stream
//!     other       ──► an event stream ──► Events::event, for each
//!                                     ──► [DONE] ──► Events::done
//!                                     ──► a field named `error`, an error outside of events ──► ProviderError
//!   end of the body, no end yet ──► Events::end
//! ```

use lmserver_proto::sse;
use serde_json::Value;

use crate::event::ErrorCode;
use crate::http_provider::error::Speaker;
use crate::http_provider::generation::Format;
use crate::http_provider::json;
use crate::http_provider::stray::Stray;
use crate::plugin::provider::{Output, ProviderError};

/// What a plugin makes of the events of a stream.
pub trait Events {
    /// Takes one event. `name` is its type (`message` where none is given); `data` is trimmed, not
    /// empty, and not `[DONE]`.
    ///
    /// False: the data is nothing that this format knows. An event named `error` then becomes an
    /// error of that text, a list of errors the error in it, several events without blank lines
    /// between them one after the other; all else is logged, counted and ignored.
    ///
    /// # Errors
    ///
    /// What the event reports. Whatever else it says is in `out` by then.
    fn event(
        &mut self,
        name: &str,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError>;

    /// Takes the end mark `[DONE]`; unless said otherwise it is no more than the end of the body.
    ///
    /// # Errors
    ///
    /// As for [`end`](Self::end).
    fn done(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        self.end(speaker, out)
    }

    /// Takes the one JSON document that came instead of a stream: an error, or a whole answer, of
    /// which `End` is in `out` then. `data` is its text.
    ///
    /// False: it is neither, which is reported.
    ///
    /// # Errors
    ///
    /// The error that it is.
    fn document(
        &mut self,
        document: &Value,
        data: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<bool, ProviderError>;

    /// The body is over and `End` is not out.
    ///
    /// # Errors
    ///
    /// `provider_truncated` unless this is a proper end, in which case `End` is in `out`.
    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError>;

    /// True once `End` is out; nothing more is handed over then.
    fn has_ended(&self) -> bool;
}

/// The body of one answer, as far as it has come.
pub struct EventStream {
    body: Body,
    events: Box<dyn Events>,
}

enum Body {
    /// At most [`MAX_EVENT`] bytes of a line and of an event are kept.
    Events {
        decoder: sse::Decoder,
        lead: Lead,
        stray: Stray,
    },
    /// At most [`MAX_EVENT`] bytes.
    Document(Vec<u8>),
}

/// What of the body has come that says nothing: servers send comments while a question waits, and
/// may answer with a document all the same.
#[derive(Clone, Copy)]
enum Lead {
    /// Blanks, the last of them maybe the end of a line.
    Blank,
    /// The beginning of a comment.
    Comment,
    /// It is over: this is an event stream.
    Over,
}

impl Lead {
    /// Takes bytes, cut anywhere; where the document begins among them, if this is one.
    fn document(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            *self = match (*self, byte) {
                (Self::Over, _) => return None,
                (Self::Comment, b'\r' | b'\n') => Self::Blank,
                (Self::Comment, _) => Self::Comment,
                (Self::Blank, byte) if BLANK.contains(byte) => Self::Blank,
                (Self::Blank, b':') => Self::Comment,
                (Self::Blank, b'{' | b'[') => return Some(index),
                (Self::Blank, _) => Self::Over,
            };
        }
        None
    }
}

impl EventStream {
    /// A body of which nothing has come.
    #[must_use]
    pub fn new(events: Box<dyn Events>) -> Self {
        Self {
            body: Body::Events {
                decoder: sse::Decoder::new(MAX_EVENT),
                lead: Lead::Blank,
                stray: Stray::default(),
            },
            events,
        }
    }
}

impl Format for EventStream {
    fn feed(
        &mut self,
        mut bytes: &[u8],
        speaker: Speaker<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), ProviderError> {
        if let Body::Events { lead, .. } = &mut self.body
            && let Some(start) = lead.document(bytes)
        {
            bytes = bytes.get(start..).unwrap_or_default();
            self.body = Body::Document(Vec::new());
        }
        match &mut self.body {
            Body::Document(document) if document.len() + bytes.len() > MAX_EVENT => {
                let what = format!(
                    "answered with a JSON document of more than {MAX_EVENT} bytes instead of an \
                     event stream"
                );
                Err(speaker.own_error(ErrorCode::ProviderError, &what))
            }
            Body::Document(document) => {
                document.extend_from_slice(bytes);
                Ok(())
            }
            Body::Events { decoder, stray, .. } => {
                while !self.events.has_ended() {
                    match decoder.next_item(&mut bytes) {
                        Ok(Some(item)) => take(&mut *self.events, item, stray, speaker, out)?,
                        Ok(None) => break,
                        Err(error) => {
                            let what = format!("sent what cannot be kept: {error}");
                            return Err(speaker.own_error(ErrorCode::TooLarge, &what));
                        }
                    }
                }
                Ok(())
            }
        }
    }

    fn end(&mut self, speaker: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
        match &mut self.body {
            Body::Document(data) => document(&mut *self.events, data, speaker, out)?,
            Body::Events { decoder, stray, .. } => {
                // Some servers forget the last blank line: a complete event is taken all the same,
                // half of one is none.
                while let Some(item) = decoder.finish() {
                    take(&mut *self.events, item, stray, speaker, out)?;
                    out.pop_if(|output| *output == Output::Unread);
                }
            }
        }
        if self.events.has_ended() {
            return Ok(());
        }
        self.events.end(speaker, out)
    }

    fn has_ended(&self) -> bool {
        self.events.has_ended()
    }
}

fn take(
    events: &mut dyn Events,
    item: sse::Item<'_>,
    stray: &mut Stray,
    speaker: Speaker<'_>,
    out: &mut Vec<Output>,
) -> Result<(), ProviderError> {
    match item {
        sse::Item::Event {
            event_type, data, ..
        } => {
            stray.forget();
            event(events, event_type, data.trim_ascii(), speaker, out)
        }
        // llama.cpp and GPUStack report failures in a field instead of an event.
        sse::Item::Field {
            name: b"error",
            value,
        } if !value.trim_ascii().is_empty() => Err(match json::value(value) {
            Some(document) => speaker
                .event_error(&document, true)
                .unwrap_or_else(|| speaker.text_error(value)),
            None => speaker.text_error(value),
        }),
        sse::Item::Field { name, value } => {
            let document = stray.take(name, value);
            let error = document.and_then(|it| speaker.event_error(&it, false));
            error.map_or(Ok(()), Err)
        }
        sse::Item::Comment(_) => Ok(()),
    }
}

fn event(
    events: &mut dyn Events,
    name: &str,
    data: &[u8],
    speaker: Speaker<'_>,
    out: &mut Vec<Output>,
) -> Result<(), ProviderError> {
    if data.is_empty() || events.has_ended() {
        return Ok(());
    }
    if data == DONE {
        return events.done(speaker, out);
    }
    if events.event(name, data, speaker, out)? {
        return Ok(());
    }
    unknown_event(events, name, data, speaker, out)
}

/// Takes an event that is not as the provider's protocol has them.
#[cold]
fn unknown_event(
    events: &mut dyn Events,
    name: &str,
    data: &[u8],
    speaker: Speaker<'_>,
    out: &mut Vec<Output>,
) -> Result<(), ProviderError> {
    if name == "error" {
        return Err(speaker.text_error(data));
    }
    if data.starts_with(b"[")
        && let Some(error) = json::value(data).and_then(|list| speaker.event_error(&list, false))
    {
        return Err(error);
    }
    // A server that forgets the blank lines between its events: every line is one.
    if data.contains(&b'\n') && data.split(|byte| *byte == b'\n').all(is_event_of_its_own) {
        for line in data.split(|byte| *byte == b'\n') {
            event(events, MESSAGE, line.trim_ascii(), speaker, out)?;
        }
        return Ok(());
    }
    log::debug!(
        "{} sent an event of {} bytes that cannot be read",
        speaker.host,
        data.len()
    );
    out.push(Output::Unread);
    Ok(())
}

/// The whole body was one JSON document.
fn document(
    events: &mut dyn Events,
    data: &[u8],
    speaker: Speaker<'_>,
    out: &mut Vec<Output>,
) -> Result<(), ProviderError> {
    let Some(document) = json::value(data) else {
        return Err(speaker.own_error(
            ErrorCode::ProviderTruncated,
            "closed the connection inside a JSON document",
        ));
    };
    if events.document(&document, data, speaker, out)? {
        return Ok(());
    }
    Err(speaker.own_error(
        ErrorCode::ProviderError,
        "answered with a JSON document that is neither an answer nor an error",
    ))
}

fn is_event_of_its_own(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line == DONE || (line.starts_with(b"{") && line.ends_with(b"}"))
}

/// The longest line, event or document: some hold images or repeat search results.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// What may stand before a document: blanks and a byte order mark.
const BLANK: &[u8] = b" \t\r\n\xEF\xBB\xBF";

/// The end mark of most streams.
const DONE: &[u8] = b"[DONE]";

/// The type of an event that has none (HTML, server-sent events, "dispatch the event").
const MESSAGE: &str = "message";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::FinishReason;

    /// Takes objects as events, and `[DONE]` as the end.
    #[derive(Default)]
    struct Objects {
        has_ended: bool,
    }

    impl Events for Objects {
        fn event(
            &mut self,
            name: &str,
            data: &[u8],
            _: Speaker<'_>,
            out: &mut Vec<Output>,
        ) -> Result<bool, ProviderError> {
            let object = json::value(data).filter(Value::is_object);
            let is_known = object.is_some();
            out.extend(object.map(|object| Output::Chunk(format!("{name} {object}").into())));
            Ok(is_known)
        }

        fn done(&mut self, _: Speaker<'_>, out: &mut Vec<Output>) -> Result<(), ProviderError> {
            self.has_ended = true;
            out.push(Output::End {
                finish_reason: FinishReason::Stop,
                usage: None,
            });
            Ok(())
        }

        fn document(
            &mut self,
            document: &Value,
            _: &[u8],
            speaker: Speaker<'_>,
            out: &mut Vec<Output>,
        ) -> Result<bool, ProviderError> {
            if document.get("whole").is_none() {
                return Ok(false);
            }
            self.done(speaker, out).map(|()| true)
        }

        fn end(&mut self, speaker: Speaker<'_>, _: &mut Vec<Output>) -> Result<(), ProviderError> {
            Err(speaker.own_error(ErrorCode::ProviderTruncated, "stopped"))
        }

        fn has_ended(&self) -> bool {
            self.has_ended
        }
    }

    const SPEAKER: Speaker<'_> = Speaker {
        host: "h",
        secrets: &[],
    };

    /// The texts, `.` for the end, and the message of the error, for pieces of a size.
    fn outcome(body: &str, size: usize) -> Vec<String> {
        let mut stream = EventStream::new(Box::<Objects>::default());
        let mut out = Vec::new();
        let mut result = Ok(());
        for piece in body.as_bytes().chunks(size) {
            result = result.and_then(|()| stream.feed(piece, SPEAKER, &mut out));
        }
        if result.is_ok() && !stream.has_ended() {
            result = stream.end(SPEAKER, &mut out);
        }
        let mut seen: Vec<_> = out
            .into_iter()
            .map(|output| match output {
                Output::Chunk(text) => text.into(),
                Output::End { .. } => ".".to_owned(),
                Output::Unread => "?".to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        seen.extend(result.err().map(|error| error.message.into()));
        seen
    }

    #[test]
    fn a_body_is_what_it_looks_like_however_it_is_cut() {
        let neither = "h answered with a JSON document that is neither an answer nor an error";
        for (body, want) in [
            (
                "event: a\ndata: {\"b\": 1}\n\ndata: [DONE]\n\ndata: {}\n\n",
                &["a {\"b\":1}", "."][..],
            ),
            (
                "\u{FEFF}\r\n\r\ndata: {}\r\n\r\n",
                &["message {}", "h stopped"],
            ),
            ("data: {}", &["message {}", "h stopped"]),
            ("data: {", &["h stopped"]),
            ("data: 7\n\ndata: \n\n: c\n\ndata: [DONE]\n\n", &["?", "."]),
            (
                "data: {}\ndata: {}\ndata: [DONE]\n\n",
                &["message {}", "message {}", "."],
            ),
            ("event: error\ndata: busy\n\n", &["busy"]),
            ("data: [{\"error\": \"m\"}]\n\n", &["m"]),
            ("error: {\"message\": \"m\"}\n\n", &["m"]),
            ("error: busy\n\n", &["busy"]),
            (
                "data: {}\r\n\r\n{\r\n  \"error\": {\r\n    \"message\": \"m: n\"\r\n  }\r\n}\r\n",
                &["message {}", "m: n"],
            ),
            (
                "data: {}\n\n[{\"error\": {\"message\": \"m\"}}]",
                &["message {}", "m"],
            ),
            (
                "data: {}\n\n{\"error\": {\ndata: {}\n\n}}\n",
                &["message {}", "message {}", "h stopped"],
            ),
            ("data: {}\n\n{\"id\": 1}\n", &["message {}", "h stopped"]),
            (" {\"whole\": 1}", &["."]),
            (": c\n\n:\r\n\r\n {\"whole\":\n 1}\n", &["."]),
            (": {c\r{\"id\": 1}", &[neither]),
            (": c\n\nx\n{\"whole\": 1}\n\n", &["h stopped"]),
            (": c\n\ndata: {}\n\n", &["message {}", "h stopped"]),
            ("{\"id\": 1}", &[neither]),
            (
                "{\"id\":",
                &["h closed the connection inside a JSON document"],
            ),
            ("", &["h stopped"]),
        ] {
            for size in [1, 2, 3, 7, 4096] {
                let got = outcome(body, size);
                assert_eq!(got, want, "{body:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_endless_document_is_given_up() {
        let mut stream = EventStream::new(Box::<Objects>::default());
        let mut out = Vec::new();
        assert!(stream.feed(b"{", SPEAKER, &mut out).is_ok());
        let filler = vec![b' '; MAX_EVENT];
        let error = stream.feed(&filler, SPEAKER, &mut out).unwrap_err();
        assert!(error.message.contains("more than 4194304 bytes"), "{error}");
    }
}
