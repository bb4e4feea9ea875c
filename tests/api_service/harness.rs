//! The API with a scripted engine behind it and transports that only take note.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use lmserver::access::{
    Access, ChannelOptions, DataFormat, History, Namespaces, Policy, PolicySettings,
};
use lmserver::api::{Api, ApiKey, ApiSettings};
use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Limits, Method, Response};
use lmserver_runtime::channel::{Backlog, Placement, Published, Snapshot};
use lmserver_runtime::directory::{Members, Signal, Target as Addressee};
use lmserver_runtime::event::{After, ErrorCode, Position};
use lmserver_runtime::metrics::Metrics;
use lmserver_runtime::plugin::provider::{
    ChatRequest, Provider, ProviderError, Secret, Start, StartCx,
};
use lmserver_runtime::plugin::query::{Publish, Range};
use lmserver_runtime::plugin::service::{
    Answer, Continuation, Query, Reply, Service, Submission, Unread,
};
use lmserver_runtime::plugin::stage::{Stage, Wish};
use lmserver_runtime::plugin::transport::{
    Admission, Disconnect, Opening, Session, SessionCx, Transport,
};
use lmserver_runtime::routing::{Instance, Plan, ProviderTimers, Resilience, Routing, Target};
use lmserver_runtime::time::Moment;
use lmserver_runtime::tls::Trust;
use serde_json::Value;

/// What the engine will say to every query.
pub(crate) enum Script {
    Submitted,
    Repeated(&'static str),
    Conflict,
    Overloaded,
    Draining,
    Snapshot(Box<Snapshot>, &'static str),
    Cancelled(bool),
    Published(&'static str),
    TooLarge(usize),
    Unknown,
    Expired,
    Metrics,
    Done,
    Unrecoverable,
    Signalled(usize),
    Channels(Vec<(Box<str>, u32)>),
    /// Nobody is there.
    Presence,
}

/// What the engine was asked.
pub(crate) enum Asked {
    Submit(Box<Submission>),
    Snapshot(Box<str>),
    Cancel(Box<str>),
    Forget(Box<str>),
    Publish(Publish),
    History(Range),
    RemoveHistory(Box<str>),
    Presence(Box<str>),
    Channels,
    Signal(Addressee, Signal),
    Metrics,
}

/// What a transport was given.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) transport: &'static str,
    pub(crate) method: Method,
    pub(crate) channel: String,
    pub(crate) after: After,
    pub(crate) admission: Admission,
    pub(crate) may_cancel: bool,
    pub(crate) may_create: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) fields: Vec<(Cow<'static, str>, String)>,
}

/// What the client got.
#[derive(Debug)]
pub(crate) enum Got {
    Response(Response),
    Session(Opened),
    /// A session of another API, which asked for this.
    Told(Vec<Wish>),
}

pub(crate) struct Server {
    api: Api,
    pub(crate) unix_time: Duration,
    pub(crate) draining: bool,
    pub(crate) full: bool,
    routing: Arc<Routing>,
    stage: Stage,
    pub(crate) script: Script,
    pub(crate) asked: Vec<Asked>,
    opened: Receiver<Opened>,
}

/// The settings of a test, as few as it needs.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) keys: &'static [&'static str],
    /// Without keys: is the server API closed?
    pub(crate) closed: bool,
    pub(crate) secret: Option<&'static str>,
    pub(crate) origins: Option<&'static [&'static str]>,
    pub(crate) no_page: bool,
    pub(crate) open_channels: bool,
    pub(crate) no_transports: bool,
    /// Are there transports of clients that name their channels themselves?
    pub(crate) clients: bool,
    /// Are there the namespaces `news`, which keeps a history and lists members, `bare`, which
    /// does neither, and `json` and `object`, which take such data only?
    pub(crate) namespaces: bool,
}

/// The id of the process.
pub(crate) const NODE: &str = "6c84fb90-12c4-11e1-840d-7b25c5ee775a";

impl Setup {
    pub(crate) fn start(self) -> Server {
        let (sender, opened) = channel();
        let mut transports: BTreeMap<Box<str>, Box<dyn Transport>> = BTreeMap::new();
        if !self.no_transports {
            for name in ["sse", "websocket"] {
                let opened = sender.clone();
                transports.insert(name.into(), Box::new(Recorder { name, opened }));
            }
        }
        let mut client_transports: BTreeMap<Box<str>, Box<dyn Transport>> = BTreeMap::new();
        if self.clients {
            for (path, name) in CLIENTS {
                let opened = sender.clone();
                client_transports.insert(path.into(), Box::new(Recorder { name, opened }));
            }
        }
        let texts = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        let secret = |text: &str| Secret::new(text.to_owned());
        let named = |text: &str| ApiKey {
            name: format!("name of {text}").into(),
            secret: secret(text),
        };
        let api = Api::new(ApiSettings {
            api_keys: self.keys.iter().map(|key| named(key)).collect(),
            is_server_api_open: !self.closed,
            token_secret: self.secret.map(secret),
            token_lifetime: Duration::from_secs(600),
            allowed_origins: self.origins.map(texts),
            page: !self.no_page,
            policy: self.policy(),
            transports: transports.into_iter().collect(),
            client_transports: client_transports.into_iter().collect(),
            node: NODE.into(),
            llm_patience: lmserver::api::Patience::default(),
            fetcher: lmserver::token::Fetcher::default(),
            reload: Box::new(|| None),
        });
        Server {
            api,
            unix_time: Duration::from_secs(1_000_000),
            draining: false,
            full: false,
            routing: Arc::new(routing()),
            stage: Stage::default(),
            script: Script::Submitted,
            asked: Vec::new(),
            opened,
        }
    }
}

impl Setup {
    fn policy(&self) -> Policy {
        let history = History {
            size: 100,
            ttl: Duration::from_secs(300),
            meta_ttl: Duration::from_secs(3600),
        };
        let mut namespaces = Namespaces::new(self.open_channels.then_some(history));
        if self.namespaces {
            let news = ChannelOptions {
                history: Some(history),
                presence: true,
                ..ChannelOptions::default()
            };
            let public = ChannelOptions {
                subscribe: Access::ALL,
                ..news
            };
            let of_format = |publication_data_format| ChannelOptions {
                publication_data_format,
                ..ChannelOptions::default()
            };
            let named = [
                ("json", of_format(DataFormat::Json)),
                ("object", of_format(DataFormat::JsonObject)),
                ("news", news),
                ("public", public),
                ("bare", ChannelOptions::default()),
            ];
            let named = named
                .into_iter()
                .map(|(name, options)| (name.into(), options));
            namespaces.named = named.collect();
        }
        Policy::new(PolicySettings {
            free_secret: self.secret.map(|text| Secret::new(text.to_owned())),
            ..PolicySettings::new(namespaces)
        })
    }
}

impl Server {
    /// Sends a request; `Host` and `Content-Length` are added.
    pub(crate) fn send(&mut self, line: &str, fields: &[(&str, &str)], body: &[u8]) -> Got {
        let mut text = format!("{line} HTTP/1.1\r\n");
        if !fields.iter().any(|(name, _)| *name == "Host") {
            text.push_str("Host: lm.example\r\n");
        }
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut connection = Connection::new();
        connection.feed(&[text.as_bytes(), body].concat());
        let event = connection
            .next_event(&Limits::default())
            .expect(line)
            .expect(line);
        let Event::Request { head, body } = event else {
            panic!("{line}: {event:?}")
        };
        let mut cx = self.stage.service_cx(&self.routing, self.unix_time);
        (cx.draining, cx.full) = (self.draining, self.full);
        let reply = self.api.call(&head, &body, &mut cx);
        self.finish(reply)
    }

    /// Sends a request that must get a response.
    pub(crate) fn response(&mut self, line: &str, fields: &[(&str, &str)], body: &str) -> Response {
        match self.send(line, fields, body.as_bytes()) {
            Got::Response(response) => response,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Sends a request that must open a session of another API; what that asks for.
    pub(crate) fn told(&mut self, line: &str, fields: &[(&str, &str)], body: &str) -> Vec<Wish> {
        match self.send(line, fields, body.as_bytes()) {
            Got::Told(wishes) => wishes,
            Got::Response(response) => panic!("{line}: {}", describe(&response)),
            Got::Session(opened) => panic!("{line}: {opened:?}"),
        }
    }

    /// Sends a request that must open a session.
    pub(crate) fn session(&mut self, line: &str, fields: &[(&str, &str)], body: &str) -> Opened {
        match self.send(line, fields, body.as_bytes()) {
            Got::Session(opened) => opened,
            Got::Response(response) => panic!("{line}: {}", describe(&response)),
            Got::Told(wishes) => panic!("{line}: {wishes:?}"),
        }
    }

    /// Asks with a body that must be taken, and gives what the engine was handed.
    pub(crate) fn submission(&mut self, body: &str) -> Submission {
        let response = self.response("POST /api/chat", &[], body);
        assert_eq!(response.status, 200, "{body}: {}", describe(&response));
        match self.asked.pop() {
            Some(Asked::Submit(submission)) => *submission,
            _ => panic!("{body}: nothing was submitted"),
        }
    }

    pub(crate) fn refuse(&mut self, status: u16, code: &'static str, message: &str) -> Response {
        let unread = Unread {
            head: None,
            status,
            code,
            message,
        };
        let mut cx = self.stage.service_cx(&self.routing, self.unix_time);
        self.api.refuse(&unread, &mut cx)
    }

    fn finish(&mut self, mut reply: Reply) -> Got {
        loop {
            reply = match reply {
                Reply::Response(response) => return Got::Response(response),
                Reply::Session(_) => {
                    return match self.opened.try_recv() {
                        Ok(opened) => Got::Session(opened),
                        Err(_) => Got::Told(self.stage.take_wishes()),
                    };
                }
                Reply::Ask(query, then) => self.go_on(query, then),
            }
        }
    }

    fn go_on(&mut self, query: Query, then: Continuation) -> Reply {
        let name = match &query {
            Query::Submit(submission) => String::from(&*submission.channel),
            _ => String::new(),
        };
        self.asked.push(asked(query));
        let nobody = Members::default();
        let metrics = Metrics {
            events: 42,
            ..Metrics::default()
        };
        let answer = answer(&self.script, &name, &metrics, &nobody);
        let mut cx = self.stage.service_cx(&self.routing, self.unix_time);
        then(answer, &mut cx)
    }
}

fn asked(query: Query) -> Asked {
    match query {
        Query::Submit(submission) => Asked::Submit(submission),
        Query::Snapshot(channel) => Asked::Snapshot(channel),
        Query::Cancel(channel) => Asked::Cancel(channel),
        Query::Forget(channel) => Asked::Forget(channel),
        Query::Publish(publish) => Asked::Publish(publish),
        Query::History(range) => Asked::History(range),
        Query::RemoveHistory(channel) => Asked::RemoveHistory(channel),
        Query::Presence(channel) => Asked::Presence(channel),
        Query::Channels => Asked::Channels,
        Query::Signal(target, signal) => Asked::Signal(target, signal),
        Query::Metrics => Asked::Metrics,
    }
}

fn answer<'a>(
    script: &'a Script,
    name: &'a str,
    metrics: &'a Metrics,
    nobody: &'a Members,
) -> Answer<'a> {
    match script {
        Script::Submitted => Answer::Submitted {
            channel: name,
            repeated: false,
        },
        Script::Repeated(channel) => Answer::Submitted {
            channel,
            repeated: true,
        },
        Script::Conflict => Answer::Conflict,
        Script::Overloaded => Answer::Overloaded,
        Script::Draining => Answer::Draining,
        // A question that goes on from it.
        Script::Snapshot(..) if !name.is_empty() => Answer::Submitted {
            channel: name,
            repeated: false,
        },
        Script::Snapshot(snapshot, at) => Answer::Snapshot(snapshot, position(at)),
        Script::Cancelled(running) => Answer::Cancelled { running: *running },
        Script::Published(at) => Answer::Published(Published {
            position: position(at),
            is_kept: true,
        }),
        Script::TooLarge(limit) => Answer::TooLarge { limit: *limit },
        Script::Unknown => Answer::Unknown,
        Script::Expired => Answer::Expired,
        Script::Metrics => Answer::Metrics(metrics),
        Script::Done => Answer::Done,
        Script::Unrecoverable => Answer::Unrecoverable,
        Script::Signalled(count) => Answer::Signalled(*count),
        Script::Channels(channels) => Answer::Channels(channels),
        Script::Presence => Answer::Presence(nobody),
    }
}

/// The transports of clients: their paths, and their names here.
const CLIENTS: [(&str, &str); 6] = [
    ("websocket", "client websocket"),
    ("sse", "client sse"),
    ("http_stream", "client http_stream"),
    ("uni_websocket", "client uni_websocket"),
    ("uni_sse", "client uni_sse"),
    ("uni_http_stream", "client uni_http_stream"),
];

pub(crate) fn position(text: &str) -> Position {
    text.parse().expect("a position")
}

pub(crate) fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let mut values = response
        .fields
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let value = values.next().map(|(_, value)| value.as_str());
    assert!(
        values.next().is_none(),
        "{name} stands twice: {}",
        describe(response)
    );
    value
}

pub(crate) fn json(response: &Response) -> Value {
    assert_eq!(field(response, "Content-Type"), Some("application/json"));
    serde_json::from_slice(&response.body).expect("JSON")
}

/// Checks that a response is this error, and gives its message.
pub(crate) fn error(response: &Response, status: u16, code: &str) -> String {
    let body = json(response);
    assert_eq!(
        (response.status, body["error"]["code"].as_str()),
        (status, Some(code)),
        "{}",
        describe(response)
    );
    body["error"]["message"]
        .as_str()
        .expect("a message")
        .to_owned()
}

pub(crate) fn describe(response: &Response) -> String {
    let Response {
        status,
        fields,
        body,
        ..
    } = response;
    format!("{status} {fields:?} {}", String::from_utf8_lossy(body))
}

struct Recorder {
    name: &'static str,
    opened: Sender<Opened>,
}

impl Transport for Recorder {
    fn open(
        &self,
        opening: Opening<'_>,
        _cx: &mut SessionCx<'_>,
    ) -> Result<Box<dyn Session>, Response> {
        if self.name == "websocket" && !opening.request.wants_upgrade("websocket") {
            let response = Response::empty(426);
            return Err(opening
                .fields
                .into_iter()
                .fold(response, |response, (name, value)| {
                    response.with_field(name, value)
                }));
        }
        let opened = Opened {
            transport: self.name,
            method: opening.request.method.clone(),
            channel: opening.channel.to_owned(),
            after: opening.after,
            admission: opening.admission,
            may_cancel: opening.may_cancel,
            may_create: opening.create.is_some(),
            body: opening.body.to_vec(),
            fields: opening.fields,
        };
        self.opened.send(opened).expect("the test listens");
        Ok(Box::new(Deaf))
    }
}

struct Deaf;

impl Session for Deaf {
    fn receive(&mut self, _: &[u8], _: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Ok(())
    }

    fn placed(
        &mut self,
        _: &str,
        _: &Placement,
        _: &mut Backlog<'_>,
        _: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        Ok(())
    }

    fn ended(&mut self, _: &str, _: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Err(Disconnect::Done)
    }

    fn deadline(&self, _: Moment) -> Option<Moment> {
        None
    }

    fn expire(&mut self, _: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        Ok(())
    }
}

struct Mute;

impl Provider for Mute {
    fn start(&self, _: &ChatRequest, _: &str, _: StartCx) -> Result<Start, ProviderError> {
        Err(ProviderError::new(ErrorCode::Internal, "never asked"))
    }
}

/// One provider `local`, and `default` at it.
fn routing() -> Routing {
    let instance = Arc::new(Instance {
        name: "local".into(),
        provider: Box::new(Mute),
        timers: ProviderTimers::default(),
        trust: Trust::public(),
        proxy: None,
        resilience: Resilience::NONE,
        warm_connections: 0,
    });
    let mut routing = Routing::default();
    let target = Target {
        instance: Arc::clone(&instance),
        model: "small".into(),
    };
    routing
        .models
        .insert("default".into(), Plan::in_order([target]));
    routing.providers.insert("local".into(), instance);
    routing
}
