//! A provider that misbehaves on purpose: `lmserver fake`.
//!
//! ```text
//!   POST …/chat/completions …/responses …/messages /api/chat /v2/chat
//!        …/models/MODEL:streamGenerateContent /model/MODEL/converse-stream
//!     Dialect ─► Asked (the body, checked a little) ─► Settings (the model's name)
//!                  └► Script (what is said) ─► Playing (a session that says it, and fails)
//!   GET  /v1/models      names to try
//!   GET  /fake/requests  what came in, and how each connection ended; DELETE forgets it
//! ```
//!
//! It is a [`Service`] of its own on the same engine. The requested model's name holds settings
//! ([`settings`] has the grammar), so that one process serves a whole matrix of tests.

use lmserver_proto::http1::{Method, Request, Response};
use lmserver_proto::percent;
use lmserver_runtime::event::After;
use lmserver_runtime::plugin::service::{Reply, Service, ServiceCx, Unread};
use lmserver_runtime::plugin::transport::{Admission, Opening, Session, SessionCx, Transport};

mod asked;
mod dialect;
mod frame;
mod gzip;
mod pieces;
mod playing;
mod schema;
mod script;
mod seen;
mod settings;

use asked::Asked;
use dialect::{Dialect, Voice, error};
use playing::{Part, Playing};
use script::Script;
use seen::{End, Requests, Teller};
pub(crate) use settings::Settings;

/// The service.
pub(crate) struct Fake {
    /// How an answer goes for which the model's name says nothing else.
    defaults: Settings,
    requests: Requests,
}

impl Fake {
    pub(crate) fn new(defaults: Settings) -> Self {
        Self {
            defaults,
            requests: Requests::new(),
        }
    }

    fn ask(
        &mut self,
        dialect: Dialect,
        request: &Request,
        body: &[u8],
        cx: &mut ServiceCx<'_>,
    ) -> Reply {
        let query = request.query().unwrap_or_default();
        let asked = Asked::read(dialect, request.path(), query, body);
        let model = asked.as_ref().map_or("", |asked| asked.model.as_str());
        let (teller, before) = self.requests.note(request, body, model);
        let read = asked.and_then(|asked| {
            let settings = self.defaults.clone().with_model(&asked.model)?;
            Ok((asked, settings))
        });
        let (asked, settings) = match read {
            Ok((asked, settings)) if settings.is_healed(before) => (asked, settings.healed()),
            Ok(read) => read,
            Err(message) => {
                teller.witness().tell(End::Complete);
                return Reply::Response(error::bad_request(dialect, &message));
            }
        };
        let plan = Plan {
            dialect,
            asked,
            settings,
            teller,
        };
        let opening = Opening {
            request,
            body,
            channel: "",
            after: After::Beginning,
            admission: Admission::Granted,
            may_cancel: false,
            create: None,
            fields: Vec::new(),
        };
        cx.open(&plan, opening)
    }
}

impl Service for Fake {
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let path = request.path();
        let dialect = Dialect::at(path);
        Reply::Response(match (&request.method, path, dialect) {
            (Method::Post, _, Some(dialect)) => return self.ask(dialect, request, body, cx),
            (_, _, Some(_)) => not_allowed("POST"),
            (Method::Get, "/fake/requests", _) => {
                let query = request.query().unwrap_or_default();
                let model = percent::query_value(query, "model");
                let report = self.requests.report(model.as_deref());
                Response::json(200, report)
            }
            (Method::Delete, "/fake/requests", _) => {
                self.requests.clear();
                Response::empty(204)
            }
            (_, "/fake/requests", _) => not_allowed("GET, DELETE"),
            (Method::Get, "/health", _) => Response::text(200, "OK\n"),
            (Method::Get, _, _) if path.ends_with("/models") => Response::json(200, MODELS),
            _ => plain_error(
                404,
                "there is no such path; `lmserver fake --help` lists them",
            ),
        })
    }

    fn refuse(&mut self, unread: &Unread<'_>, _cx: &mut ServiceCx<'_>) -> Response {
        plain_error(unread.status, unread.message)
    }
}

fn not_allowed(methods: &str) -> Response {
    plain_error(405, "the method is not allowed here").with_field("Allow", methods)
}

fn plain_error(status: u16, message: &str) -> Response {
    let message = dialect::quote(message);
    let error = format!(r#"{{"error":{{"message":{message},"type":"invalid_request_error"}}}}"#);
    Response::json(status, error)
}

/// An answer that is about to begin.
struct Plan {
    dialect: Dialect,
    asked: Asked,
    settings: Settings,
    teller: Teller,
}

impl Plan {
    fn part(&self, created: u64) -> Part {
        let Self {
            dialect, settings, ..
        } = self;
        if let Some(status) = settings.status {
            let mut response = error::response(*dialect, status, settings);
            response.close = settings.closes;
            return Part::Whole(response);
        }
        let script = Script::new(settings, &self.asked);
        let model = &self.asked.model;
        let mut voice = Voice::new(
            *dialect,
            self.teller.number,
            model,
            created,
            settings,
            &script,
        );
        let is_chat = matches!(dialect, Dialect::Chat | Dialect::Azure);
        if self.asked.streams {
            voice.adapt(self.asked.wants_events, !is_chat || self.asked.wants_usage);
            return Part::Stream {
                voice: Box::new(voice),
                script,
            };
        }
        let mut response = Response::json(200, dialect::whole(&mut voice, &script));
        response.close = settings.closes;
        Part::Whole(response)
    }
}

impl Transport for Plan {
    fn open(
        &self,
        _opening: Opening<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        let part = self.part(cx.unix_time.as_secs());
        let witness = self.teller.witness();
        let playing = Playing::new(self.settings.clone(), part, witness, cx);
        Ok(Box::new(playing))
    }
}

/// Names to try.
const MODELS: &str = r#"{"object":"list","data":[{"id":"fake","object":"model","created":0,"owned_by":"lmserver"},{"id":"words=100,delay=20ms","object":"model","created":0,"owned_by":"lmserver"},{"id":"words=20,cut@10","object":"model","created":0,"owned_by":"lmserver"},{"id":"status=429","object":"model","created":0,"owned_by":"lmserver"}]}"#;
