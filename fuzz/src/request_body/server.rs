//! The application, with an engine on stage that takes every question.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmserver::Plugins;
use lmserver::access::{Namespaces, Policy, PolicySettings};
use lmserver::api::{Api, ApiKey, ApiSettings, Patience};
use lmserver::config::{Config, Environment, Flags, Inputs};
use lmserver::token::Fetcher;
use lmserver_proto::http1::server::{Connection, Event};
use lmserver_proto::http1::{Limits, Request, Response};
use lmserver_runtime::channel::Snapshot;
use lmserver_runtime::event::Position;
use lmserver_runtime::plugin::service::{Answer, Query, Reply, Service, Submission};
use lmserver_runtime::plugin::stage::Stage;
use lmserver_runtime::routing::Routing;
use serde_json::Value;

use super::Refused;

/// Of the client, and of the server towards its provider.
pub(super) const SECRETS: [&str; 2] = ["sk-key-of-the-caller-0001", "sk-key-of-the-server-0002"];

const SETTINGS: &str = r#"
[auth]
api_keys = ["sk-key-of-the-caller-0001"]
[provider.openai]
api_key = "sk-key-of-the-server-0002"
[model.default]
targets = ["openai/m"]
[model.m]
targets = ["openai/m"]
"#;

/// Channels that one question may look up: those that it names, and the previous one.
const LOOKED_UP: usize = 129;

pub(super) struct Server {
    api_keys: Vec<ApiKey>,
    routing: Arc<Routing>,
    heads: Vec<Request>,
}

impl Server {
    /// A server whose paths are known by their places here.
    pub(super) fn start(paths: [&str; 5]) -> Self {
        let inputs = Inputs {
            flags: &Flags::default(),
            environment: &Environment::default(),
            plugins: &Plugins::builtin(),
        };
        let nowhere = Path::new("/nonexistent");
        let config = match Config::from_text("fuzz.toml", SETTINGS, nowhere, inputs) {
            Ok((config, _)) => config,
            Err(report) => panic!("{report}"),
        };
        Self {
            api_keys: config.auth.api_keys,
            routing: Arc::new(config.routing),
            heads: paths.map(head).into(),
        }
    }

    /// The head of a request.
    pub(super) fn head(&self, index: usize) -> &Request {
        &self.heads[index]
    }

    /// Sends a body, and gives the first question that comes of it. `previous` stands in every
    /// channel.
    pub(super) fn ask(
        &self,
        index: usize,
        body: &[u8],
        previous: &Snapshot,
    ) -> Result<Box<Submission>, Refused> {
        let mut stage = Stage::default();
        let now = Duration::from_secs(1_000_000);
        let mut cx = stage.service_cx(&self.routing, now);
        // One of its own: what it remembers of other bodies is not the subject.
        let mut reply = self.api().call(self.head(index), body, &mut cx);
        let Ok(position) = "abcdef-1".parse::<Position>() else {
            panic!("a position")
        };
        for _ in 0..=LOOKED_UP {
            reply = match reply {
                Reply::Ask(Query::Submit(submission), _) => {
                    assert_eq!(submission.key.as_ref(), &*self.api_keys[0].name);
                    return Ok(submission);
                }
                Reply::Ask(Query::Snapshot(channel), then) => {
                    assert!(channel.starts_with("chat:"), "{channel}");
                    then(Answer::Snapshot(previous, position), &mut cx)
                }
                Reply::Response(response) => return Err(refused(&response)),
                Reply::Ask(..) | Reply::Session(_) => panic!("a body is a question"),
            };
        }
        panic!("it goes on looking up")
    }

    fn api(&self) -> Api {
        Api::new(ApiSettings {
            api_keys: self.api_keys.clone(),
            is_server_api_open: false,
            token_secret: None,
            token_lifetime: Duration::from_secs(600),
            allowed_origins: None,
            page: false,
            policy: Policy::new(PolicySettings::new(Namespaces::new(None))),
            transports: Vec::new(),
            client_transports: Vec::new(),
            node: "n".into(),
            llm_patience: Patience::default(),
            fetcher: Fetcher::default(),
            reload: Box::new(|| None),
        })
    }
}

fn head(path: &str) -> Request {
    let [key, _] = SECRETS;
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Length: 0\r\n\r\n"
    );
    let mut connection = Connection::new();
    connection.feed(text.as_bytes());
    match connection.next_event(&Limits::default()) {
        Ok(Some(Event::Request { head, .. })) => head,
        other => panic!("{other:?}"),
    }
}

/// The error that a response is.
fn refused(response: &Response) -> Refused {
    let body: Value = match serde_json::from_slice(&response.body) {
        Ok(body) => body,
        Err(error) => panic!("{error}: {}", response.body.escape_ascii()),
    };
    let text = |key: &str| body["error"][key].as_str().map(str::to_owned);
    // 404: an unknown model, or what a question only names.
    assert!([400, 404].contains(&response.status), "{body}");
    Refused {
        message: text("message").unwrap_or_default(),
        param: text("param"),
    }
}
