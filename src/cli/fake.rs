//! `lmserver fake`: serves the provider that misbehaves, until it is stopped.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1;
use lmserver_runtime::limits::{ChannelLimits, Limits};
use lmserver_runtime::reactor::Reactor;
use lmserver_runtime::routing::Routing;
use lmserver_runtime::sys::ListenAddr;
use lmserver_runtime::sys::mio::MioSys;

use super::{FAILURE, USAGE, report};
use crate::config::{Flags, Format, Log, show_listen};
use crate::fake::{Fake, Settings};

/// Serves answers that go as `words` say where the requested model's name does not.
pub(super) fn run(flags: &Flags, words: &[String]) -> ExitCode {
    let read = listen_addr(flags.listen.as_deref()).and_then(|at| {
        let level = flags.log.as_deref().unwrap_or("info");
        let level = level
            .parse()
            .map_err(|_| format!("--log {level}: no level; there are {LEVELS}"))?;
        let settings = words
            .iter()
            .try_fold(Settings::default(), |settings, words| {
                settings.with_words(words)
            })?;
        Ok((at, level, settings))
    });
    let (at, level, settings) = match read {
        Ok(read) => read,
        Err(mistake) => {
            report(&format!("lmserver fake: {mistake}\n"));
            return ExitCode::from(USAGE);
        }
    };
    crate::log::start(Log {
        level,
        format: Format::Text,
    });
    match serve(&at, settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            log::error!("{problem}");
            ExitCode::from(FAILURE)
        }
    }
}

fn listen_addr(given: Option<&str>) -> Result<ListenAddr, String> {
    let given = given.unwrap_or(DEFAULT_LISTEN);
    if let Some(path) = given.strip_prefix("unix:") {
        return Ok(ListenAddr::Unix(path.into()));
    }
    let address: Result<SocketAddr, _> = given.parse();
    address
        .map(ListenAddr::Tcp)
        .map_err(|_| format!("--listen {given}: an address is 127.0.0.1:9099 or unix:PATH"))
}

fn serve(listen: &ListenAddr, settings: Settings) -> Result<(), String> {
    let mut sys = MioSys::new().map_err(|error| format!("cannot open a poll: {error}"))?;
    sys.catch_signals()
        .map_err(|error| format!("cannot catch signals: {error}"))?;
    let limits = Limits {
        http: http1::Limits {
            body_bytes: BODY_BYTES,
            ..http1::Limits::default()
        },
        // A stalled answer is not waited for.
        drain: Duration::ZERO,
        ..Limits::default()
    };
    let mut reactor = Reactor::new(
        sys,
        Box::new(Fake::new(settings)),
        Arc::new(Routing::default()),
        limits,
        ChannelLimits::default(),
    );
    let at = reactor
        .listen(listen, None)
        .map_err(|error| format!("cannot listen on {}: {error}", show_listen(listen)))?;
    match at {
        ListenAddr::Tcp(address) => log::info!("listening on http://{address}"),
        ListenAddr::Unix(_) => log::info!("listening on {}", show_listen(&at)),
    }
    reactor
        .run_here()
        .map_err(|error| format!("the fake cannot go on: {error}"))
}

/// What `lmserver fake --help` prints; at most 80 columns.
pub(super) const HELP: &str = "\
lmserver fake is a provider that misbehaves on purpose, for tests

Usage: lmserver fake [SETTINGS] [--listen ADDR] [--log LEVEL]

It listens on 127.0.0.1:9099 unless told otherwise, takes any key, and answers
with the words of the last message. SETTINGS, and the name of the model that a
request asks for, say how: words separated by commas, as in

  words=20,delay=5ms,cut@3         20 words, one each 5 ms, cut after the third
  gpt-4o,status=429,fail_first=2   a name, then: two errors, then answers

Formats, by the path, as a stream or, where none is asked for, as a whole:
  .../chat/completions                   OpenAI Chat Completions
  .../deployments/MODEL/chat/completions Azure
  .../responses                          OpenAI Responses
  .../messages                           Anthropic
  .../models/MODEL:streamGenerateContent Gemini (:generateContent)
  /api/chat                              Ollama
  /v2/chat                               Cohere
  /model/MODEL/converse-stream           Bedrock (/converse)
  GET /v1/models, GET /health

What is said:
  words=N unicode        N numbered words; of characters of several bytes
  reasoning=N            N words of reasoning first
  calls=N                N tool calls; one comes by itself where the message has
                         the word `tool` or the name of a tool on offer
  refusal                a refusal
  huge=SIZE              the first word has this size: 64K, 1M
  endless                words without end
  finish=stop|length|filter|none   the finish reason
  no_usage no_mark       without the usage; without the format's end marker
  A JSON schema in the request is answered with a document that follows it.

Speed and writing:
  first=TIME delay=TIME  before the first, before each further token: 5ms, 2s
  split=N|utf8|crlf      writes of N bytes; cut inside characters; in line ends
  gap=TIME               between two such writes
  comments               a sign of life before each token
  eol=lf|crlf|cr         line ends of event streams
  gzip until_close close compressed; without chunks; without keeping alive
  interim fields=N       100 and 103 before the head; N more fields in it

Faults, each at a PLACE; several may be given:
  cut@PLACE reset@PLACE  the connection is closed; is reset
  stall@PLACE stall=TIME@PLACE     nothing comes for good; for this time
  murmur@PLACE           nothing but signs of life comes, for good
  error@PLACE error=STATUS@PLACE   an error in the stream, then its end
  truncate@PLACE         the body ends as if it were whole
  garbage@PLACE bad_json@PLACE bad_chunk@PLACE
                         bytes without meaning; an event that is no JSON; a
                         broken chunk size; then the answer goes on
  PLACE: start (before the head), head (inside it), body (behind it), N (behind
  N tokens), N.5 (inside the event behind those), finish (before the finish
  reason), end (before the end marker), last (before the last chunk)

Instead of a stream:
  status=STATUS          an error in the provider's form; 502 is a page, 3xx a
                         redirect, 200 an error under a status that is none
  html                   the error is a page
  retry_after=TIME       for whoever is refused [default for 429: 1s]
  type=json|html|text|sse|none     another content type
  fail_first=N           only the first N requests of this very name go wrong
  id=NAME                nothing: makes a name of one's own for counting

GET /fake/requests[?model=NAME] tells what came in: per model how often, and for
each request its header, its body, and whether the answer is open, complete,
cut by the fake or closed_by_client, and when. DELETE forgets all that.
";

const DEFAULT_LISTEN: &str = "127.0.0.1:9099";

const LEVELS: &str = "off, error, warn, info, debug and trace";

/// The largest request.
const BODY_BYTES: usize = 16 << 20;
