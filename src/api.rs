//! The application behind HTTP: a table of routes, who may use them, and what is said to those
//! who may not.
//!
//! ```text
//! request ─► Origin ─► Route ─► 404, 405, 403 ─► handler ─► Reply ─► CORS fields
//!                                                  └─► Query ─► the engine ─► Answer ─┘
//! ```
//!
//! A handler is a function from a request to an `Outcome`. It never touches a channel: it asks
//! the engine and says what to make of the answer. Errors are JSON, and carry the CORS fields
//! too, so that a page can read what it did wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lmserver_proto::http1::{Method, Request, Response};
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::provider::Secret;
use lmserver_runtime::plugin::service::{Answer, Query, Reply, Service, ServiceCx};
use lmserver_runtime::plugin::transport::Transport;
use lmserver_runtime::routing::Routing;

mod auth;
mod chat;
mod connection;
mod metrics;
mod ops;
mod origin;
mod page;
mod publish;
mod refusal;
mod route;
mod token;

use auth::Auth;
use connection::{Listening, Transports};
use origin::{Origin, Origins};
use refusal::{Code, Refusal, Shape, clip, error_body};
use route::Route;

/// What the application is built from.
pub struct ApiSettings {
    /// The keys of those who may ask and publish; with none, anybody may.
    pub api_keys: Vec<Secret>,
    /// Signs and checks the tokens of listeners; without it nobody needs one.
    pub token_secret: Option<Secret>,
    /// How long a token is good that `POST /api/chat` gives: [`TOKEN_LIFETIME`] and the time for
    /// which a chat is kept.
    pub token_lifetime: Duration,
    /// Origins beside the server's own whose pages may use the API: `https://app.example`,
    /// `null` for pages from files, `*` for all.
    pub allowed_origins: Option<Vec<String>>,
    /// Is the chat page served at `/`?
    pub page: bool,
    /// What channels keep that exist as soon as somebody names them, if such are allowed.
    pub open_channels: Option<Retention>,
    /// The transports by the last part of their path: `sse` is `/connection/sse`. The one named
    /// `sse` also answers `POST /api/chat` where the stream itself is wanted.
    pub transports: BTreeMap<Box<str>, Box<dyn Transport>>,
    /// Reads the configuration again.
    pub reload: Box<dyn FnMut() -> Option<Arc<Routing>>>,
}

/// The least time for which a token is good: longer than an answer takes.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// The application.
pub struct Api {
    auth: Arc<Auth>,
    origins: Origins,
    transports: Transports,
    page: bool,
    open_channels: Option<Retention>,
    reload: Box<dyn FnMut() -> Option<Arc<Routing>>>,
}

impl Api {
    /// The application with these settings.
    pub fn new(settings: ApiSettings) -> Self {
        let secret = settings.token_secret.as_ref();
        let auth = Auth::new(&settings.api_keys, secret, settings.token_lifetime);
        let transports = settings.transports.into_iter();
        Self {
            auth: Arc::new(auth),
            origins: Origins::new(settings.allowed_origins),
            transports: transports
                .map(|(name, opener)| (name, Arc::from(opener)))
                .collect(),
            page: settings.page,
            open_channels: settings.open_channels,
            reload: settings.reload,
        }
    }

    fn answer(
        &self,
        request: &Request,
        body: &[u8],
        origin: &Origin,
        cx: &mut ServiceCx<'_>,
    ) -> Outcome {
        let path = request.path();
        let route = Route::find(path).filter(|route| self.page || *route != Route::Page);
        match request.method {
            Method::Connect => return Err(no_proxy()),
            Method::Options => {
                return respond(origin.preflight(request, route.map(Route::allow)));
            }
            _ => {}
        }
        let route = route.ok_or_else(|| nothing_at(path))?;
        if !route.allows(&request.method) {
            return Err(wrong_method(&request.method, route));
        }
        refuse_foreign(request, origin)?;
        match route {
            Route::Publish => publish::publish(&self.auth, self.open_channels, request, body),
            Route::Connection(name) => self.listening().open(name, request, body, origin, cx),
            Route::Chats => chat::post(
                &self.auth,
                self.transports.get("sse"),
                request,
                body,
                origin,
                cx,
            ),
            Route::Chat(id) if request.method == Method::Delete => {
                chat::delete(&self.auth, request, id, cx)
            }
            Route::Chat(id) => chat::get(&self.auth, request, id, cx),
            Route::Page => respond(page::page()),
            Route::Health => respond(ops::health()),
            Route::Ready => ops::ready(cx.draining).map(Reply::Response),
            Route::Metrics => Ok(ask(Query::Metrics, |answer, _| match answer {
                Answer::Metrics(metrics) => respond(metrics::page(metrics)),
                _ => Err(Refusal::internal()),
            })),
        }
    }

    fn listening(&self) -> Listening<'_> {
        Listening {
            transports: &self.transports,
            auth: &self.auth,
            open_channels: self.open_channels,
        }
    }
}

impl Service for Api {
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let origin = self.origins.judge(request);
        let shape = Shape::of(request.path());
        let reply = self
            .answer(request, body, &origin, cx)
            .unwrap_or_else(|refusal| Reply::Response(refusal.response(shape)));
        sign(reply, origin)
    }

    fn refuse(&mut self, status: u16, code: &'static str, message: &str) -> Response {
        Response::json(status, error_body(Shape::Own, status, code, message))
            .with_field("Cache-Control", "no-store")
            .with_close()
    }

    fn reload(&mut self) -> Option<Arc<Routing>> {
        (self.reload)()
    }
}

/// What a handler says.
type Outcome = Result<Reply, Refusal>;

/// A reply that depends on the engine.
fn ask(
    query: Query,
    then: impl FnOnce(Answer<'_>, &mut ServiceCx<'_>) -> Outcome + 'static,
) -> Reply {
    let then = |answer: Answer<'_>, cx: &mut ServiceCx<'_>| {
        then(answer, cx).unwrap_or_else(|refusal| Reply::Response(refusal.response(Shape::Own)))
    };
    Reply::Ask(query, Box::new(then))
}

/// Whether a JSON text can only be an object. A struct would be read from an array too.
fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

fn respond(response: Response) -> Outcome {
    Ok(Reply::Response(response))
}

/// Adds the CORS fields to the response, whenever it comes.
fn sign(reply: Reply, origin: Origin) -> Reply {
    match reply {
        Reply::Response(response) => Reply::Response(origin.sign(response)),
        Reply::Ask(query, then) => Reply::Ask(
            query,
            Box::new(move |answer, cx| sign(then(answer, cx), origin)),
        ),
        Reply::Session(session) => Reply::Session(session),
    }
}

/// Refuses what another site's page must not do: change something, or listen through a
/// WebSocket, which no browser keeps from it.
fn refuse_foreign(request: &Request, origin: &Origin) -> Result<(), Refusal> {
    let is_read = matches!(request.method, Method::Get | Method::Head);
    if *origin != Origin::Foreign || (is_read && !request.wants_upgrade("websocket")) {
        return Ok(());
    }
    let message = "pages of this origin may not use this server: list it in [server] \
                   allowed_origins, or start with --allow-origin";
    Err(Refusal::new(Code::Forbidden, message))
}

fn nothing_at(path: &str) -> Refusal {
    let message = format!(
        "nothing is at {:?}: ask with POST /api/chat, listen with GET /connection/sse?channel=…",
        clip(path)
    );
    Refusal::new(Code::NotFound, message)
}

fn wrong_method(method: &Method, route: Route<'_>) -> Refusal {
    let allow = route.allow();
    let message = format!(
        "{} is not for this path; {allow} are",
        clip(method.as_str())
    );
    Refusal::new(Code::MethodNotAllowed, message).with_field("Allow", allow)
}

fn no_proxy() -> Refusal {
    Refusal::invalid("this server is no proxy and knows no CONNECT").with_status(501)
}
