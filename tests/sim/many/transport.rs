//! A transport whose sessions read many channels at once, in several encodings, with gates.
//!
//! ```text
//!   client  sub 3 chat:a packed 1 beginning   ─►
//!   server  ◄─  O "placed 3 chat:a …"   P […]   r […]   O "ended chat:a"   F "bye"
//! ```
//!
//! Commands are lines; each is told in order by frames of the session's own (`O`), so that a
//! client knows exactly what may come between them. `F` says that nothing follows.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use lmserver::proto::http1::{Method, Request, Response};
use lmserver::runtime::channel::{Backlog, Placement};
use lmserver::runtime::event::{After, ClientInfo, Position};
use lmserver::runtime::limits::Retention;
use lmserver::runtime::plugin::provider::{ChatRequest, Content, Message};
use lmserver::runtime::plugin::query::{Answer, Publish, Query, Range};
use lmserver::runtime::plugin::service::{NO_KEY, Reply, Service, ServiceCx, Submission, Unread};
use lmserver::runtime::plugin::transport::{
    Admission, Disconnect, Encoding, Entry, Envelope, Gate, Identity, Lost, Membership, Notice,
    Opening, Session, SessionCx, Subscription, Transport,
};
use lmserver::runtime::sys::sim::Random;
use lmserver::runtime::time::Moment;

/// Events as they are, each in a frame of its own.
struct Raw;
/// Messages of events, each with its length; the message's head is as long as its number.
struct Packed;
/// Messages of lines; the last line has no end.
struct Joined;

/// The encoding of a name.
fn encoding(name: &str) -> &'static dyn Encoding {
    match name {
        "raw" => &Raw,
        "packed" => &Packed,
        _ => &Joined,
    }
}

/// An event as clients see it, the same in every encoding.
fn payload(entry: &Entry<'_>) -> Vec<u8> {
    let mut out = format!(
        "{} {} {} {} {:x} ",
        entry.channel,
        entry.epoch,
        entry.offset,
        if entry.kind.is_terminal() {
            "last"
        } else {
            "more"
        },
        check_sum(&entry.json.whole()),
    )
    .into_bytes();
    entry.json.write(&mut out);
    out
}

/// FNV-1a.
pub(super) fn check_sum(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| (sum ^ u32::from(*byte)).wrapping_mul(16_777_619);
    bytes.iter().fold(2_166_136_261, step)
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap().to_be_bytes()
}

impl Encoding for Raw {
    fn name(&self) -> &'static str {
        "many/raw"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let payload = payload(entry);
        out.push(b'r');
        out.extend(length(payload.len()));
        out.extend(payload);
    }
}

impl Encoding for Packed {
    fn name(&self) -> &'static str {
        "many/packed"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        let payload = payload(entry);
        out.extend(length(payload.len()));
        out.extend(payload);
    }

    fn envelope(&self, length: usize) -> Option<Envelope> {
        let head = format!("P{length}:");
        Some(Envelope::new(head.as_bytes()).with_tail(b"!"))
    }
}

impl Encoding for Joined {
    fn name(&self) -> &'static str {
        "many/joined"
    }

    fn encode(&self, entry: &Entry<'_>, out: &mut Vec<u8>) {
        out.extend(payload(entry));
        out.push(b'\n');
    }

    fn envelope(&self, length: usize) -> Option<Envelope> {
        let head = format!("J{}:", length - 1);
        Some(Envelope::new(head.as_bytes()).dropping_last())
    }
}

/// The application: `GET /many?seed` opens a session, `POST /chat/NAME` starts a chat.
pub(super) struct Application {
    pub(super) retention: Retention,
    pub(super) opened: u64,
}

impl Service for Application {
    fn call(&mut self, request: &Request, body: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        if request.method == Method::Get {
            self.opened += 1;
            let transport = Many {
                retention: self.retention,
                seed: self.opened,
            };
            let opening = Opening {
                request,
                body,
                channel: "",
                after: After::Beginning,
                admission: Admission::Granted,
                may_cancel: true,
                create: None,
                fields: Vec::new(),
            };
            return cx.open(&transport, opening);
        }
        let name = request.path().trim_start_matches("/chat/");
        let message = Message {
            role: "user".into(),
            content: Content::Text(String::from_utf8(body.to_vec()).unwrap()),
            name: None,
            tool_calls: None,
            tool_call_id: None,
            reasoning: None,
        };
        let submission = Submission {
            channel: name.into(),
            model: "default".into(),
            request: Box::new(ChatRequest {
                messages: vec![message],
                ..ChatRequest::default()
            }),
            key: NO_KEY.into(),
            request_bytes: body.len(),
            plan: cx.routing.plan(None).unwrap(),
            idempotency: None,
            is_unattended: false,
            abandon_after: None,
            note: Box::default(),
        };
        let then = |_: Answer<'_>, _: &mut ServiceCx<'_>| Reply::Response(Response::empty(200));
        Reply::Ask(Query::Submit(Box::new(submission)), Box::new(then))
    }

    fn refuse(&mut self, unread: &Unread<'_>, _: &mut ServiceCx<'_>) -> Response {
        Response::empty(unread.status)
    }
}

struct Many {
    retention: Retention,
    seed: u64,
}

impl Transport for Many {
    fn open(&self, _: Opening<'_>, cx: &mut SessionCx<'_>) -> Result<Box<dyn Session>, Response> {
        say(cx, b'O', "hello");
        cx.register(Identity {
            client: u128::from(self.seed),
            user: "somebody".into(),
            session: None,
        });
        Ok(Box::new(Reader {
            retention: self.retention,
            random: Random::new(self.seed),
            client: self.seed,
            unread: Vec::new(),
            asked: HashMap::new(),
            closed_gates: HashMap::new(),
            questions: VecDeque::new(),
            last_beat: cx.now,
            is_over: false,
        }))
    }
}

/// Writes a frame of the session's own.
fn say(cx: &mut SessionCx<'_>, tag: u8, text: &str) {
    say_bytes(cx, tag, text.as_bytes());
}

fn say_bytes(cx: &mut SessionCx<'_>, tag: u8, bytes: &[u8]) {
    cx.out().push(tag);
    cx.out().extend(length(bytes.len()));
    cx.out().extend_from_slice(bytes);
}

/// A wish on its way.
struct Asked {
    serial: String,
    gated: bool,
    /// It was taken back since.
    is_void: bool,
}

struct Reader {
    retention: Retention,
    random: Random,
    client: u64,
    unread: Vec<u8>,
    /// The wishes of each channel that are not yet answered.
    asked: HashMap<String, VecDeque<Asked>>,
    /// Channels whose events it is asked about.
    closed_gates: HashMap<String, bool>,
    questions: VecDeque<String>,
    last_beat: Moment,
    is_over: bool,
}

impl Reader {
    fn obey(&mut self, line: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["sub", serial, channel, kind, gated, after] => {
                let gated = gated == "gated";
                let asked = self.asked.entry(channel.into()).or_default();
                asked.push_back(Asked {
                    serial: serial.into(),
                    gated,
                    is_void: false,
                });
                cx.subscribe(Subscription {
                    channel,
                    after: after_of(after),
                    encoding: encoding(kind),
                    create: (!channel.starts_with("chat:")).then_some(self.retention),
                    gated,
                    lost: Lost::Oldest,
                });
                if self.random.once_in(3) {
                    let info = ClientInfo {
                        user: "somebody".into(),
                        client: self.client.to_string().into(),
                        ..ClientInfo::default()
                    };
                    let membership = Membership {
                        info,
                        is_listed: true,
                        is_announced: true,
                        hears: self.random.once_in(2),
                    };
                    cx.join(channel, membership);
                }
            }
            ["unsub", serial, channel] => {
                say(cx, b'O', &format!("unsubscribed {serial} {channel}"));
                let asked = self.asked.get_mut(channel).into_iter().flatten();
                asked.for_each(|it| it.is_void = true);
                cx.unsubscribe(channel);
                cx.leave(channel);
            }
            ["pub", channel, size] => {
                let filler = "x".repeat(size.parse().unwrap());
                let publish = Publish {
                    channel: channel.into(),
                    data: format!("\"{}{filler}\"", self.random.below(1000))
                        .as_bytes()
                        .into(),
                    details: None,
                    retention: self.retention,
                    is_fleeting: false,
                };
                cx.ask(Query::Publish(publish), 0);
            }
            ["fleet", channel] => {
                let publish = Publish {
                    channel: channel.into(),
                    data: b"\"fleeting\"".as_slice().into(),
                    details: None,
                    retention: self.retention,
                    is_fleeting: true,
                };
                cx.ask(Query::Publish(publish), 0);
            }
            ["top", channel] => {
                self.questions.push_back(channel.into());
                let range = Range {
                    channel: channel.into(),
                    since: None,
                    epoch: None,
                    limit: 0,
                    reverse: false,
                    create: None,
                };
                cx.ask(Query::History(range), 1);
            }
            ["say", size] => {
                let filler = "y".repeat(size.parse().unwrap());
                say(cx, b'O', &format!("said {filler}"));
            }
            ["bye", "done"] => {
                self.is_over = true;
                say(cx, b'F', "done");
                return Err(Disconnect::Done);
            }
            ["bye", _] => return Err(Disconnect::Protocol("bye")),
            _ => panic!("what is {line:?}?"),
        }
        Ok(())
    }
}

fn after_of(text: &str) -> After {
    match text {
        "beginning" => After::Beginning,
        "now" => After::Now,
        position => After::Position(position.parse().unwrap()),
    }
}

impl Session for Reader {
    fn receive(&mut self, bytes: &[u8], cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is served after its end");
        self.unread.extend_from_slice(bytes);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            let line = String::from_utf8(line).unwrap();
            self.obey(line.trim_end(), cx)?;
        }
        Ok(())
    }

    fn placed(
        &mut self,
        channel: &str,
        placement: &Placement,
        backlog: &mut Backlog<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is told of a place after its end");
        let asked = self.asked.get_mut(channel).and_then(VecDeque::pop_front);
        let Asked {
            serial,
            gated,
            is_void,
        } = asked.unwrap();
        if is_void {
            say(cx, b'O', &format!("refused {serial} {channel} void"));
            return Ok(());
        }
        let Placement::Placed {
            position,
            reset,
            behind,
        } = placement
        else {
            let why = format!("{placement:?}").replace('(', " ");
            say(cx, b'O', &format!("refused {serial} {channel} {why}"));
            return Ok(());
        };
        assert_eq!(*behind, !backlog.is_empty());
        let Position { epoch, offset } = position;
        let reset = reset.is_some();
        let gate = if gated { "gated" } else { "open" };
        say(
            cx,
            b'O',
            &format!("placed {serial} {channel} {epoch} {offset} {reset} {gate}"),
        );
        self.closed_gates.insert(channel.into(), gated);
        let most = self.random.pick(&[0, 0, 1, 3, 100]);
        for entry in backlog.take(most) {
            let mut told = b"took ".to_vec();
            told.extend(payload(&entry));
            say_bytes(cx, b'O', &told);
        }
        if self.random.once_in(200) {
            return Err(Disconnect::Protocol("it does not like the place"));
        }
        Ok(())
    }

    fn gate(&mut self, channel: &str, entry: &Entry<'_>, cx: &mut SessionCx<'_>) -> Gate {
        assert!(!self.is_over, "it is asked after its end");
        let closed = self.closed_gates.get_mut(channel).unwrap();
        assert!(*closed, "it is asked about a gate that is gone");
        let offset = entry.offset;
        match self.random.below(8) {
            0..=2 => {
                say(cx, b'O', &format!("pass {channel} {offset}"));
                Gate::Pass
            }
            3..=5 => {
                say(cx, b'O', &format!("skip {channel} {offset}"));
                Gate::Skip
            }
            6 => {
                *closed = false;
                say(cx, b'O', &format!("open {channel} {offset}"));
                Gate::Open
            }
            _ => {
                *closed = false;
                let mut told = b"replaced ".to_vec();
                told.extend(payload(entry));
                say_bytes(cx, b'O', &told);
                Gate::Replaced
            }
        }
    }

    fn answered(
        &mut self,
        tag: u64,
        answer: Answer<'_>,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is answered after its end");
        if tag == 1 {
            let channel = self.questions.pop_front().unwrap();
            match answer {
                Answer::History(history) => {
                    let Position { epoch, offset } = history.position();
                    say(cx, b'O', &format!("top {channel} {epoch} {offset}"));
                }
                _ => say(cx, b'O', &format!("top {channel} - 0")),
            }
        }
        Ok(())
    }

    fn noticed(
        &mut self,
        channel: &str,
        _: &Notice,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is told something after its end");
        say(cx, b'O', &format!("noticed {channel}"));
        Ok(())
    }

    fn ended(&mut self, channel: &str, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is told of an end after its own");
        say(cx, b'O', &format!("ended {channel}"));
        Ok(())
    }

    fn lagged(
        &mut self,
        channel: &str,
        oldest: Position,
        cx: &mut SessionCx<'_>,
    ) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is told of a lag after its end");
        say(cx, b'O', &format!("lagged {channel} {}", oldest.offset));
        Ok(())
    }

    fn deadline(&self, last_write: Moment) -> Option<Moment> {
        Some(last_write.max(self.last_beat) + Duration::from_secs(15))
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        assert!(!self.is_over, "it is called after its end");
        self.last_beat = cx.now;
        say(cx, b'O', "alive");
        Ok(())
    }

    fn farewell(&mut self, why: &Disconnect, cx: &mut SessionCx<'_>) {
        assert!(!self.is_over, "it says goodbye twice");
        self.is_over = true;
        let text = format!("{why:?}").replace(' ', "-");
        say(cx, b'F', &text);
    }
}
