//! One course of events, and all that the client is to read then.

use std::sync::Arc;

use lmserver_llm_api::{About, Teller, names};
use lmserver_proto::http1::Response;
use lmserver_runtime::event::{ErrorCode, Failure};

use crate::client::{Client, next_request};
use crate::scene::{SPOKE, Scene};
use crate::speech::{CHANNEL, Speech, chat, hello, snapshot, told};

/// How long the provider thinks, in milliseconds.
pub(crate) const THOUGHT: u64 = 250;

/// A course of events, and what the client reads then.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) speech: Speech,
    pub(crate) is_stream: bool,
    pub(crate) after: Option<u64>,
    pub(crate) answers: usize,
    pub(crate) play: fn(&mut Scene),
    pub(crate) status: &'static str,
    pub(crate) date: &'static str,
    pub(crate) elapsed: u64,
    pub(crate) want: Want,
    /// Does the connection close, however long the client would stay?
    pub(crate) closes: bool,
}

pub(crate) enum Want {
    Stream(String),
    Whole {
        fields: &'static [&'static str],
        body: Vec<u8>,
    },
}

impl Case {
    /// A stream of chat completions.
    pub(crate) fn stream(name: &'static str, play: fn(&mut Scene)) -> Self {
        Self {
            name,
            speech: chat(),
            is_stream: true,
            after: None,
            answers: 1,
            play,
            status: "HTTP/1.1 200 OK",
            date: SPOKE,
            elapsed: THOUGHT,
            want: Want::Stream(told(&chat(), CHANNEL, &hello())),
            closes: false,
        }
    }

    /// A stream of another dialect.
    pub(crate) fn by(name: &'static str, speech: Speech, play: fn(&mut Scene)) -> Self {
        let want = Want::Stream(told(&speech, CHANNEL, &hello()));
        Self {
            speech,
            want,
            ..Self::stream(name, play)
        }
    }

    /// A whole answer that came to its end.
    pub(crate) fn whole(name: &'static str, speech: Speech, play: fn(&mut Scene)) -> Self {
        let snapshot = snapshot(&hello());
        let about = About {
            channel: CHANNEL,
            model: "m",
        };
        Self {
            is_stream: false,
            want: Want::Whole {
                fields: &["Content-Type: application/json", "Cache-Control: no-store"],
                body: speech.telling.whole(&[&snapshot], &about),
            },
            ..Self::by(name, speech, play)
        }
    }

    /// The session of such a case.
    pub(crate) fn open(&self, client: &Client) -> Scene {
        let channels = (0..self.answers).map(|index| names::sibling(CHANNEL, index).into());
        let teller = Teller {
            telling: Arc::clone(&self.speech.telling),
            model: "m".into(),
            channels: channels.collect(),
            is_stream: self.is_stream,
            after: self.after,
        };
        Scene::open(client, &teller)
    }

    /// A failure, and nothing else.
    pub(crate) fn failure(self, status: &'static str, code: ErrorCode, message: &str) -> Self {
        let failure = Failure::new(code, message);
        let Response { body, .. } = self.speech.telling.failure(&failure);
        let fields: &[_] = if failure.retryable {
            &[
                "Content-Type: application/json",
                "Cache-Control: no-store",
                "x-should-retry: true",
                "Retry-After: 5",
            ]
        } else {
            &[
                "Content-Type: application/json",
                "Cache-Control: no-store",
                "x-should-retry: false",
            ]
        };
        Self {
            status,
            want: Want::Whole { fields, body },
            ..self
        }
    }

    /// The failure of [`crate::speech::failed`], and nothing else.
    pub(crate) fn failed(self) -> Self {
        let status = "HTTP/1.1 429 Too Many Requests";
        let code = ErrorCode::ProviderRateLimited;
        self.failure(status, code, "too many questions")
    }

    /// The lines of the head that this client is to get, in the order of the alphabet.
    pub(crate) fn head(&self, client: &Client) -> Vec<String> {
        let mut lines = vec![
            format!("Date: {}", self.date),
            "Vary: Origin".to_owned(),
            self.speech.field.to_owned(),
        ];
        if self.speech.tells_elapsed {
            lines.push(format!("openai-processing-ms: {}", self.elapsed));
        }
        let [behind_stream, behind_whole] = client.connection;
        let connection = match &self.want {
            Want::Stream(_) => {
                lines.push("Content-Type: text/event-stream".to_owned());
                lines.push("Cache-Control: no-store, no-transform".to_owned());
                lines.push("X-Accel-Buffering: no".to_owned());
                if client.reads_chunks {
                    lines.push("Transfer-Encoding: chunked".to_owned());
                }
                behind_stream
            }
            Want::Whole { fields, body } => {
                lines.extend(fields.iter().map(|&it| it.to_owned()));
                lines.push(format!("Content-Length: {}", body.len()));
                behind_whole
            }
        };
        let connection = if self.closes {
            Some("close")
        } else {
            connection
        };
        lines.extend(connection.map(|it| format!("Connection: {it}")));
        lines.sort();
        lines.insert(0, self.status.to_owned());
        lines
    }

    /// Is there to be another request?
    fn keeps(&self, client: &Client) -> bool {
        let [behind_stream, behind_whole] = client.connection;
        let connection = match self.want {
            Want::Stream(_) => behind_stream,
            Want::Whole { .. } => behind_whole,
        };
        !self.closes && connection != Some("close")
    }

    /// Plays it, and holds what the client reads against what it is to read.
    pub(crate) fn check(&self, client: &Client) {
        let case = format!("{}, {}", client.name, self.name);
        let mut scene = self.open(client);
        (self.play)(&mut scene);
        let (head, body) = split(&scene.wire);
        assert_eq!(head, self.head(client), "{case}");
        let want = match &self.want {
            _ if !client.reads_body => String::new(),
            Want::Stream(text) if client.reads_chunks => format!("{text}<end>"),
            Want::Stream(text) => text.clone(),
            Want::Whole { body, .. } => String::from_utf8_lossy(body).into_owned(),
        };
        let is_chunked = matches!(self.want, Want::Stream(_)) && client.reads_chunks;
        let body = if is_chunked {
            unchunked(body)
        } else {
            String::from_utf8_lossy(body).into_owned()
        };
        assert_eq!(body, want, "{case}");
        let mut http = scene
            .http
            .unwrap_or_else(|| panic!("{case}: the connection is the session's yet"));
        let next = next_request(&mut http);
        assert_eq!(next.is_some(), self.keeps(client), "{case}");
        assert_eq!(http.is_closed(), !self.keeps(client), "{case}");
    }
}

/// What was written: the lines of the head, all but the first in the order of the alphabet, and
/// what stands behind them.
pub(crate) fn split(wire: &[u8]) -> (Vec<String>, &[u8]) {
    let end = wire.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = wire.split_at(end.expect("a head"));
    let head = String::from_utf8_lossy(head).into_owned();
    let mut lines: Vec<_> = head.split("\r\n").map(str::to_owned).collect();
    lines[1..].sort();
    (lines, &body[4..])
}

/// A body without its chunks.
pub(crate) fn unchunked(body: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = body;
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        if size == 0 {
            assert_eq!(&rest[end..], b"\r\n\r\n", "nothing follows the last chunk");
            text.push_str("<end>");
            return text;
        }
        text.push_str(&String::from_utf8_lossy(&rest[end + 2..end + 2 + size]));
        assert_eq!(&rest[end + 2 + size..end + 4 + size], b"\r\n");
        rest = &rest[end + 4 + size..];
    }
    assert!(rest.is_empty());
    text
}
