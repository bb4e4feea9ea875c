//! The application of the tests. Tokens and names of channels say what it decides.
//!
//! A token is a list of words, separated by `&`: `error:109` and `disconnect:3500` refuse,
//! `user:42` names the user, `ttl:60` lets it expire, `info` describes the client, and `sub:news`
//! subscribes it. A channel's name begins with the word for its options, such as `delta:`.

use std::collections::BTreeMap;
use std::time::Duration;

use lmserver_centrifuge::Centrifuge;
use lmserver_proto::centrifuge::{EmulationRequest, Protocol};
use lmserver_proto::http1::{Request, Response};
use lmserver_proto::percent::query_value;
use lmserver_runtime::event::{After, Details, payload};
use lmserver_runtime::limits::Retention;
use lmserver_runtime::plugin::access::{
    Access, ActAsk, ActGrant, Action, ClientSettings, ConnectAsk, ConnectGrant, Denial, Expiry,
    Feature, RefreshGrant, SubscribeAsk, SubscribeGrant,
};
use lmserver_runtime::plugin::query::{Publish, Query};
use lmserver_runtime::plugin::service::{Reply, Service, ServiceCx, Unread};
use lmserver_runtime::plugin::transport::{Admission, Opening, Signal, Target, Transport};
use uuid::Uuid;

/// The id of the node.
pub(crate) const NODE: &str = "07070707-0707-4707-8707-070707070707";

pub(crate) struct Site {
    transports: BTreeMap<&'static str, Box<dyn Transport>>,
    access: Verdicts,
}

impl Site {
    pub(crate) fn new(settings: ClientSettings) -> Self {
        let centrifuge = Centrifuge::new([7; 16]);
        assert_eq!(centrifuge.node(), NODE);
        Self {
            transports: centrifuge.transports().into_iter().collect(),
            access: Verdicts(settings),
        }
    }

    fn open(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let name = request.path().strip_prefix("/connection/").unwrap();
        let opening = Opening {
            request,
            body,
            channel: "",
            after: After::Beginning,
            admission: if request.query().is_some_and(|it| it.contains("forbidden")) {
                Admission::Forbidden("no".into())
            } else {
                Admission::Granted
            },
            may_cancel: false,
            create: None,
            fields: vec![("Access-Control-Allow-Origin".into(), "http://a".into())],
        };
        cx.open_client(&*self.transports[name], opening, &mut self.access)
    }
}

impl Service for Site {
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let query = match request.path() {
            "/emulation" => emulation(request, body),
            "/publish" => publication(request, body),
            "/signal" => signal(request, body),
            _ => return self.open(request, body, cx),
        };
        Reply::Ask(
            query,
            Box::new(|_, _| Reply::Response(Response::empty(204))),
        )
    }

    fn refuse(&mut self, unread: &Unread<'_>, _: &mut ServiceCx<'_>) -> Response {
        Response::text(unread.status, unread.message)
    }

    fn access(&mut self) -> Option<&mut dyn Access> {
        Some(&mut self.access)
    }
}

fn word(request: &Request, name: &str) -> Option<String> {
    query_value(request.query()?, name).map(Into::into)
}

fn emulation(request: &Request, body: &[u8]) -> Query {
    let is_binary = request.fields.get("Content-Type") == Some("application/octet-stream");
    let protocol = if is_binary {
        Protocol::Protobuf
    } else {
        Protocol::Json
    };
    let request = EmulationRequest::decode(protocol, body).unwrap();
    assert_eq!(request.node, NODE);
    let session: Uuid = request.session.parse().unwrap();
    let commands = Signal::Commands {
        bytes: request.data.into(),
        is_binary,
    };
    Query::Signal(Target::Session(session.as_u128()), commands)
}

fn publication(request: &Request, body: &[u8]) -> Query {
    let channel = word(request, "channel").unwrap();
    let tag = word(request, "tag").map(|tag| {
        let (name, value) = tag.split_once(':').unwrap();
        (name.into(), value.into())
    });
    let (data, binary) = payload(body);
    let details = Details {
        publisher: None,
        tags: tag.into_iter().collect(),
        as_delta: word(request, "delta").is_some(),
        binary,
    };
    Query::Publish(Publish {
        retention: retention(&channel),
        channel: channel.into(),
        data,
        details: Some(Box::new(details)),
        is_fleeting: word(request, "fleeting").is_some(),
    })
}

fn signal(request: &Request, body: &[u8]) -> Query {
    let channel = || word(request, "channel").unwrap().into();
    let code = || word(request, "code").unwrap().parse().unwrap();
    let signal = match &*word(request, "kind").unwrap() {
        "subscribe" => Signal::Subscribe {
            channel: channel(),
            grant: Box::new(options(&channel(), "")),
            since: word(request, "since").map(|since| (since.parse().unwrap(), "".into())),
        },
        "unsubscribe" => Signal::Unsubscribe {
            channel: channel(),
            code: code(),
            reason: "why not".into(),
        },
        "disconnect" => Signal::Disconnect {
            code: code(),
            reason: word(request, "reason").unwrap_or_default().into(),
        },
        "refresh" => Signal::Refresh {
            expired: word(request, "expired").is_some(),
            expires_at: word(request, "at").map(|at| at.parse().unwrap()),
            info: Some(br#"{"new":1}"#.as_slice().into()),
        },
        "message" => Signal::Message(body.into()),
        other => panic!("no such signal: {other}"),
    };
    let target = Target::User {
        user: word(request, "user").unwrap().into(),
        client: None,
        session: None,
        except: Vec::new(),
    };
    Query::Signal(target, signal)
}

/// The decisions.
struct Verdicts(ClientSettings);

/// The value of a word in a token.
fn said<'a>(token: &'a str, name: &str) -> Option<&'a str> {
    token
        .split('&')
        .filter_map(|word| word.split_once(':'))
        .find(|(other, _)| *other == name)
        .map(|(_, value)| value)
}

fn refusal(token: &str) -> Option<Denial> {
    let code = |name| said(token, name).map(|code| code.parse().unwrap());
    code("error")
        .map(Denial::Error)
        .or_else(|| code("disconnect").map(Denial::Disconnect))
}

fn expiry(token: &str, now: Duration) -> Expiry {
    let ttl = said(token, "ttl").map(|ttl| ttl.parse::<u64>().unwrap());
    Expiry(ttl.map(|ttl| now.as_secs() + ttl))
}

/// What a channel keeps.
fn retention(channel: &str) -> Retention {
    let size = match channel.split(':').next() {
        Some("plain") => return Retention::NONE,
        Some("small") => 3,
        _ => 100,
    };
    Retention {
        size,
        ttl: Duration::from_secs(300),
        position_ttl: Duration::from_secs(3000),
    }
}

fn options(channel: &str, token: &str) -> SubscribeGrant {
    let is = |name: &str| channel.starts_with(name);
    let forced = |on: bool| if on { Feature::Forced } else { Feature::Off };
    SubscribeGrant {
        create: Some(retention(channel)).filter(|_| !is("chat:")),
        from_beginning: is("chat:") || is("early:"),
        recovery: if is("asked:") {
            Feature::Allowed
        } else {
            forced(!is("plain:"))
        },
        is_cache: is("cache:"),
        positioning: if is("asked:") {
            Feature::Allowed
        } else {
            forced(!is("plain:"))
        },
        presence: is("members:"),
        join_leave: is("members:") || is("quiet:"),
        push_join_leave: if is("members:") {
            Feature::Forced
        } else {
            Feature::Allowed
        },
        delta: is("delta:") || is("plain:"),
        tags_filter: is("tags:"),
        compaction: is("id:"),
        info: token
            .contains("info")
            .then(|| br#"{"c":1}"#.as_slice().into()),
        data: token
            .contains("data")
            .then(|| br#"{"d":1}"#.as_slice().into()),
        expiry: Expiry(None),
        by_token: !token.is_empty(),
    }
}

impl Access for Verdicts {
    fn settings(&self) -> &ClientSettings {
        &self.0
    }

    fn connect(&mut self, ask: &ConnectAsk<'_>) -> Result<ConnectGrant, Denial> {
        if let Some(denial) = refusal(ask.token) {
            return Err(denial);
        }
        let words = ask.token.split('&');
        let mut channels: Vec<&str> = words.filter_map(|word| word.strip_prefix("sub:")).collect();
        if ask.is_unidirectional {
            channels.extend(ask.channels);
        }
        Ok(ConnectGrant {
            user: said(ask.token, "user").unwrap_or_default().into(),
            info: ask
                .token
                .contains("info")
                .then(|| br#"{"u":1}"#.as_slice().into()),
            expiry: expiry(ask.token, ask.unix_time),
            subscriptions: channels
                .into_iter()
                .map(|channel| {
                    let grant = SubscribeGrant {
                        expiry: match said(ask.token, "subttl") {
                            Some(ttl) => {
                                Expiry(Some(ask.unix_time.as_secs() + ttl.parse::<u64>().unwrap()))
                            }
                            None => Expiry(None),
                        },
                        ..options(channel, "")
                    };
                    (channel.into(), grant)
                })
                .collect(),
        })
    }

    fn refresh(&mut self, _: &str, token: &str, unix_time: Duration) -> Result<Expiry, Denial> {
        refusal(token).map_or_else(|| Ok(expiry(token, unix_time)), Err)
    }

    fn subscribe(&mut self, ask: &SubscribeAsk<'_>) -> Result<SubscribeGrant, Denial> {
        let denial = refusal(ask.token).or_else(|| refusal(ask.channel));
        denial.map_or_else(
            || {
                Ok(SubscribeGrant {
                    expiry: expiry(ask.token, ask.unix_time),
                    ..options(ask.channel, ask.token)
                })
            },
            Err,
        )
    }

    fn refresh_subscription(&mut self, ask: &SubscribeAsk<'_>) -> Result<RefreshGrant, Denial> {
        if let Some(denial) = refusal(ask.token) {
            return Err(denial);
        }
        let channel = match ask.channel {
            "" => said(ask.token, "only").unwrap_or_default(),
            channel => channel,
        };
        Ok(RefreshGrant {
            channel: channel.into(),
            expiry: expiry(ask.token, ask.unix_time),
        })
    }

    fn act(&mut self, ask: &ActAsk<'_>) -> Result<ActGrant, Denial> {
        if let Some(denial) = refusal(ask.channel) {
            return Err(denial);
        }
        let off = match ask.action {
            Action::Publish => false,
            Action::Presence => !ask.channel.starts_with("members:"),
            Action::History => ask.channel.starts_with("plain:"),
        };
        if off {
            return Err(Denial::Error(108));
        }
        if ask.channel.starts_with("own:") && !ask.is_subscribed {
            return Err(Denial::Error(103));
        }
        Ok(ActGrant {
            create: Some(retention(ask.channel)),
            as_delta: ask.channel.starts_with("delta:"),
        })
    }
}
