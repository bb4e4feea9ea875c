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

#[cfg(feature = "llm-api")]
use lmserver_llm_api::anthropic_messages::Messages;
use lmserver_proto::http1::{Method, Request, Response};
use lmserver_runtime::plugin::access::Access;
use lmserver_runtime::plugin::provider::Secret;
use lmserver_runtime::plugin::service::{Answer, Query, Reply, Service, ServiceCx, Unread, WishCx};
use lmserver_runtime::plugin::transport::Transport;
use lmserver_runtime::routing::Routing;
use lmserver_runtime::time::Moment;

use crate::access::Policy;
use crate::token::Fetcher;

mod auth;
mod centrifugo;
mod chat;
mod connection;
mod emulation;
#[cfg(feature = "llm-api")]
mod llm;
mod metrics;
#[cfg(feature = "llm-api")]
mod openai;
mod ops;
mod origin;
mod page;
mod refusal;
mod route;
mod token;
#[cfg(feature = "llm-api")]
mod ui;

pub use auth::ApiKey;
use auth::Auth;
use centrifugo::{Desk, Remembered};
use connection::{Listening, Transports};
use emulation::Emulation;
use origin::{Origin, Origins};
use refusal::{Code, Refusal, Shape, clip, error_body};
use route::Route;

/// What the application is built from.
pub struct ApiSettings {
    /// The keys of those who may ask and publish; with none, anybody may ask.
    pub api_keys: Vec<ApiKey>,
    /// Without keys: may anybody publish, and whatever else the server API does? Else nobody may.
    pub is_server_api_open: bool,
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
    /// What channels there are, and who may do what with them.
    pub policy: Policy,
    /// The transports by the last part of their path: `sse` is `/connection/sse`. The one named
    /// `sse` also answers `POST /api/chat` where the stream itself is wanted.
    pub transports: Vec<(Box<str>, Box<dyn Transport>)>,
    /// The transports of clients that name their channels themselves, under `/connection/` too.
    /// Where a name is in both tables, a request that names a channel is for the other one.
    pub client_transports: Vec<(Box<str>, Box<dyn Transport>)>,
    /// The id of this process, which those clients name in requests beside their connection.
    pub node: Box<str>,
    /// How long an answer that was asked for in the words of another API goes on with nobody
    /// listening.
    pub llm_patience: Patience,
    /// Fetches the key sets of tokens.
    pub fetcher: Fetcher,
    /// Reads the configuration again.
    pub reload: Box<dyn FnMut() -> Option<Arc<Routing>>>,
}

/// How long answers go on with nobody listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Those of programs, which do not come back.
    pub llm: Duration,
    /// Those of pages, which may be loaded anew.
    pub ui: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            llm: Duration::ZERO,
            ui: Duration::from_secs(30),
        }
    }
}

/// The least time for which a token is good: longer than an answer takes.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// The application.
pub struct Api {
    auth: Arc<Auth>,
    origins: Origins,
    transports: Transports,
    clients: Transports,
    node: Box<str>,
    #[cfg_attr(
        not(feature = "llm-api"),
        expect(dead_code, reason = "such an API is what it is for")
    )]
    llm_patience: Patience,
    #[cfg(feature = "llm-api")]
    conversations: ui::Conversations,
    policy: Policy,
    remembered: Remembered,
    fetcher: Fetcher,
    page: bool,
    reload: Box<dyn FnMut() -> Option<Arc<Routing>>>,
}

impl Api {
    /// The application with these settings.
    pub fn new(settings: ApiSettings) -> Self {
        let secret = settings.token_secret.as_ref();
        let auth = Auth::new(
            &settings.api_keys,
            settings.is_server_api_open,
            secret,
            settings.token_lifetime,
        );
        let shared = |transports: Vec<(Box<str>, Box<dyn Transport>)>| {
            let mut by_name = BTreeMap::new();
            for (name, opener) in transports {
                by_name.insert(name, Arc::from(opener));
            }
            by_name
        };
        Self {
            auth: Arc::new(auth),
            origins: Origins::new(settings.allowed_origins),
            transports: shared(settings.transports),
            clients: shared(settings.client_transports),
            node: settings.node,
            llm_patience: settings.llm_patience,
            #[cfg(feature = "llm-api")]
            conversations: ui::Conversations::default(),
            policy: settings.policy,
            remembered: Remembered::default(),
            fetcher: settings.fetcher,
            page: settings.page,
            reload: settings.reload,
        }
    }

    fn answer(
        &mut self,
        request: &Request,
        body: &[u8],
        origin: &Origin,
        cx: &mut ServiceCx<'_>,
    ) -> Outcome {
        let path = request.path();
        let route = self.find(request);
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
        self.handle(route, request, body, origin, cx)
    }

    /// Answers a request that is as it should be.
    fn handle(
        &mut self,
        route: Route<'_>,
        request: &Request,
        body: &[u8],
        origin: &Origin,
        cx: &mut ServiceCx<'_>,
    ) -> Outcome {
        match route {
            Route::Server(method) => {
                self.auth.backend(request)?;
                Ok(self.desk(cx).call(method, request, body))
            }
            Route::ServerNamed => {
                self.auth.backend(request)?;
                Ok(self.desk(cx).call_named(request, body))
            }
            Route::Emulation => self.emulation().call(request, body),
            Route::Init => respond(Response::json(200, "{}")),
            Route::Connection(name) => self.listening().open(name, request, body, origin, cx),
            Route::Client(name) => self
                .listening()
                .open_client(name, request, body, origin, cx),
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
            #[cfg(feature = "llm-api")]
            Route::OpenAi(_) | Route::Messages | Route::Ui | Route::UiStream(_) => {
                let asking = llm::Asking {
                    auth: &self.auth,
                    origin,
                    request,
                    patience: match route {
                        Route::Ui | Route::UiStream(_) => self.llm_patience.ui,
                        _ => self.llm_patience.llm,
                    },
                };
                match route {
                    Route::OpenAi(path) => openai::answer(path, &asking, body, cx),
                    Route::Messages => llm::ask(&Messages, &asking, body, cx),
                    Route::UiStream(id) if request.method == Method::Delete => {
                        ui::cancel(&self.conversations, &asking, id, cx.unix_time)
                    }
                    Route::UiStream(id) => {
                        ui::resume(&self.conversations, &asking, id, cx.unix_time)
                    }
                    _ => ui::post(&mut self.conversations, &asking, body, cx),
                }
            }
            Route::Page => respond(page::page()),
            Route::Health => respond(ops::health()),
            Route::Ready => ops::ready(cx.draining).map(Reply::Response),
            Route::Metrics => Ok(ask(Query::Metrics, |answer, _| match answer {
                Answer::Metrics(metrics) => respond(metrics::page(metrics)),
                _ => Err(Refusal::internal()),
            })),
        }
    }

    /// The route of a request. What is switched off is not there.
    fn find<'a>(&self, request: &'a Request) -> Option<Route<'a>> {
        match Route::find(request.path())? {
            Route::Page if !self.page => None,
            Route::Emulation | Route::Init if self.clients.is_empty() => None,
            Route::Connection(name) if self.is_client(name, request) => Some(Route::Client(name)),
            route => Some(route),
        }
    }

    /// Whether the request is for a transport of clients that name their channels themselves.
    fn is_client(&self, name: &str, request: &Request) -> bool {
        let names_channel = connection::named_channel(request).is_some();
        self.clients.contains_key(name) && !(names_channel && self.transports.contains_key(name))
    }

    fn signature(&self, request: &Request, shape: Shape) -> Signature {
        Signature {
            origin: self.origins.judge(request),
            request_id: shape.request_id_field(),
        }
    }

    fn listening(&mut self) -> Listening<'_> {
        Listening {
            transports: &self.transports,
            clients: &self.clients,
            auth: &self.auth,
            policy: &mut self.policy,
        }
    }

    fn desk(&mut self, cx: &ServiceCx<'_>) -> Desk<'_> {
        Desk {
            policy: &self.policy,
            remembered: &mut self.remembered,
            node: &self.node,
            now: cx.now,
        }
    }

    fn emulation(&self) -> Emulation<'_> {
        Emulation {
            node: &self.node,
            body_bytes: self.policy.settings().message_bytes,
        }
    }
}

impl Service for Api {
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let shape = Shape::of(request.path());
        let signature = self.signature(request, shape);
        let reply = self
            .answer(request, body, &signature.origin, cx)
            .unwrap_or_else(|refusal| Reply::Response(refusal.response(shape)));
        sign(reply, signature, cx)
    }

    fn refuse(&mut self, unread: &Unread<'_>, cx: &mut ServiceCx<'_>) -> Response {
        let Unread {
            head,
            status,
            code,
            message,
        } = *unread;
        let shape = head.map_or(Shape::Own, |head| Shape::of(head.path()));
        let response = Response::json(status, error_body(shape, status, code, message, None))
            .with_field("Cache-Control", "no-store")
            .with_close();
        match head {
            Some(head) => {
                let signature = self.signature(head, shape);
                signature.sign(response, cx)
            }
            None => response,
        }
    }

    fn access(&mut self) -> Option<&mut dyn Access> {
        Some(&mut self.policy)
    }

    fn wish(&mut self, cx: &mut WishCx<'_>) -> Option<Query> {
        self.fetcher.wish(self.policy.key_sources(), cx)
    }

    fn wish_at(&self) -> Option<Moment> {
        self.fetcher.wish_at()
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
    ask_as(Shape::Own, query, then)
}

/// The same for clients that read errors in this shape.
fn ask_as(
    shape: Shape,
    query: Query,
    then: impl FnOnce(Answer<'_>, &mut ServiceCx<'_>) -> Outcome + 'static,
) -> Reply {
    let then = move |answer: Answer<'_>, cx: &mut ServiceCx<'_>| {
        then(answer, cx).unwrap_or_else(|refusal| Reply::Response(refusal.response(shape)))
    };
    Reply::Ask(query, Box::new(then))
}

fn respond(response: Response) -> Outcome {
    Ok(Reply::Response(response))
}

/// What every response carries, whenever it comes.
struct Signature {
    /// For CORS.
    origin: Origin,
    /// The field by which clients of other APIs know a request, where the response does not have
    /// it yet.
    request_id: Option<&'static str>,
}

impl Signature {
    fn sign(self, response: Response, cx: &mut ServiceCx<'_>) -> Response {
        let mut response = self.origin.sign(response);
        if let Some(name) = self.request_id
            && !response.fields.iter().any(|(other, _)| other == name)
        {
            let mut random = [0; 16];
            cx.random(&mut random);
            let id = uuid::Builder::from_random_bytes(random).into_uuid();
            let id = format!("req_{}", id.simple());
            response.fields.push((name.into(), id));
        }
        response
    }
}

fn sign(reply: Reply, signature: Signature, cx: &mut ServiceCx<'_>) -> Reply {
    match reply {
        Reply::Response(response) => Reply::Response(signature.sign(response, cx)),
        Reply::Ask(query, then) => Reply::Ask(
            query,
            Box::new(move |answer, cx| sign(then(answer, cx), signature, cx)),
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
