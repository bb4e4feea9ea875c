//! A transport of one's own in a binary of one's own: one JSON object a line over chunked HTTP,
//! for programs that read lines and know nothing of server-sent events.
//!
//! ```sh
//! cargo run --example custom_transport
//! curl -N "http://127.0.0.1:8080/connection/ndjson?channel=chat:…"
//! ```
use std::borrow::Cow;
use std::io::Write as _;
use std::process::ExitCode;

use lmserver::Plugins;
use lmserver::proto::http1::server::Answering;
use lmserver::proto::http1::{LAST_CHUNK, Response, Version, write_chunk};
use lmserver::runtime::channel::{Backlog, Placement};
use lmserver::runtime::plugin::transport::*;
use lmserver::runtime::time::Moment;

/// The built-in plugins and this one, which serves `/connection/ndjson`.
pub(crate) fn plugins() -> Plugins {
    let mut plugins = Plugins::builtin();
    plugins.transport("ndjson", || Box::new(Ndjson));
    plugins
}

/// How an event looks on the wire. This runs once per event, however many subscribers read it:
/// the engine keeps the bytes and writes them to each of them, from its own place on.
struct Line;

impl Encoding for Line {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let mut line = Vec::new();
        let _ = write!(line, r#"{{"id":"{}","event":"#, entry.position());
        entry.json.write(&mut line);
        line.extend_from_slice(b"}\n");
        write_chunk(out, &line);
    }
}

/// The factory: says which requests it serves and asks for their subscription.
struct Ndjson;

impl Transport for Ndjson {
    fn open(
        &self,
        opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        if let Admission::Unauthorized(why) | Admission::Forbidden(why) = opening.admission {
            return Err(Response::text(403, why));
        }
        if cx.answering.version != Version::Http11 || cx.answering.head_only {
            return Err(Response::text(400, "use GET and HTTP/1.1\n"));
        }
        cx.subscribe(Subscription {
            channel: opening.channel,
            after: opening.after,
            encoding: &Line,
            create: opening.create,
            gated: false,
            lost: Lost::Oldest,
        });
        Ok(Box::new(Subscriber(cx.answering, opening.fields, cx.now)))
    }
}

/// One client: how its request is to be answered, fields for the head, and the last sign of life.
/// What it has been sent is not here: that is a cursor in the engine.
struct Subscriber(Answering, Vec<(Cow<'static, str>, String)>, Moment);

impl Session for Subscriber {
    /// The engine has looked for the channel. A refusal gives the connection back to HTTP.
    fn placed(
        &mut self,
        _: &str,
        to: &Placement,
        _: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        let status = match to {
            Placement::Placed { .. } => 200,
            Placement::Finished(_) => 204,
            Placement::Unknown => 404,
            Placement::Gone | Placement::Expired => 410,
            Placement::Busy => 503,
        };
        let mut response = Response::empty(status);
        response.fields.append(&mut self.1);
        if status != 200 {
            cx.hand_back(self.0, Some(response), Vec::new());
            return Ok(());
        }
        let date = cx.date();
        response = response.with_field("Content-Type", "application/x-ndjson");
        self.0.begin_stream(&response, &date, cx.out());
        if let Placement::Placed { reset: Some(_), .. } = to {
            // The client's position was of no use: all comes again, so what it has must go.
            write_chunk(cx.out(), b"{\"event\":{\"type\":\"reset\"}}\n");
        }
        Ok(())
    }

    /// The terminal event is written: the last chunk, and the connection may serve on.
    fn ended(&mut self, _: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        cx.out().extend_from_slice(LAST_CHUNK);
        cx.hand_back(self.0, None, Vec::new());
        Ok(())
    }

    /// A client has nothing to say before the last chunk.
    fn receive(&mut self, _: &[u8], _: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Err(Disconnect::Protocol("a request came too early"))
    }

    /// An empty line after silence, so that proxies keep the connection.
    fn deadline(&self, last_write: Moment) -> Option<Moment> {
        Some(self.2.max(last_write) + std::time::Duration::from_secs(15))
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.2 = cx.now;
        if !cx.unsent {
            write_chunk(cx.out(), b"\n");
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    lmserver::run(plugins(), std::env::args_os())
}
