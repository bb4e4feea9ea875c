//! The engine's part, played: a clock, channels, and a client that reads.

use std::time::Duration;

use lmserver_llm_api::Teller;
use lmserver_proto::http1::server::Connection;
use lmserver_runtime::channel::{Backlog, Placement};
use lmserver_runtime::event::{After, Event};
use lmserver_runtime::plugin::query::{Answer, Query};
use lmserver_runtime::plugin::stage::{Stage, Wish};
use lmserver_runtime::plugin::transport::{
    Admission, Encoder, Gate, Opening, Session, Transport as _,
};
use lmserver_runtime::time::Moment;

use crate::client::{Client, NEXT};
use crate::speech::{position, snapshot, with_entry};

/// When the sessions are opened: a tenth of a second before the second that is RFC 9110's example.
const OPENED: Duration = Duration::from_millis(784_111_776_900);

/// The date a moment later.
pub(crate) const SPOKE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The date when the session has been silent for as long as the limits let it be.
pub(crate) const SILENT: &str = "Sun, 06 Nov 1994 08:49:51 GMT";

/// A subscription of the session.
struct Cursor {
    channel: Box<str>,
    /// None: in an encoding that says nothing.
    encoder: Option<Box<dyn Encoder>>,
    is_open: bool,
    told: Vec<Event>,
}

impl Cursor {
    /// What a session has asked to listen to.
    fn subscribed(teller: &Teller, stage: &mut Stage) -> Vec<Self> {
        let is_stream = teller.is_stream;
        let encoding = teller.telling.encoding(stage.answering.version);
        let wishes = teller.channels.iter().map(|channel| Wish::Subscribe {
            channel: channel.clone(),
            after: After::Beginning,
            encoding: if is_stream {
                encoding.name()
            } else {
                "llm/silent"
            },
            create: None,
            gated: is_stream,
        });
        assert_eq!(stage.take_wishes(), wishes.collect::<Vec<_>>());
        let channels = teller.channels.iter();
        channels
            .map(|channel| Self {
                channel: channel.clone(),
                encoder: encoding.encoder().filter(|_| is_stream),
                is_open: !is_stream,
                told: Vec::new(),
            })
            .collect()
    }
}

/// One session, the clock, the channels that it listens to, and its client.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    pub(crate) session: Option<Box<dyn Session>>,
    cursors: Vec<Cursor>,
    /// What the client reads.
    pub(crate) wire: Vec<u8>,
    /// What the connection is once the session has handed it back.
    pub(crate) http: Option<Connection>,
}

impl Scene {
    /// A client's request becomes a session, which says nothing yet.
    pub(crate) fn open(client: &Client, teller: &Teller) -> Self {
        let (request, connection) = client.ask();
        let mut stage = Stage::default();
        stage.now = Moment(1000);
        stage.unix_time = OPENED;
        stage.answering = connection.answering();
        let opening = Opening {
            request: &request,
            channel: &teller.channels[0],
            after: After::Beginning,
            admission: Admission::Granted,
            may_cancel: true,
            create: None,
            body: b"",
            fields: vec![("Vary".into(), "Origin".into())],
        };
        let Ok(session) = teller.open(opening, &mut stage.cx()) else {
            panic!("refused")
        };
        let cursors = Cursor::subscribed(teller, &mut stage);
        assert_eq!(stage.take_out(), b"", "nothing is known yet");
        let mut scene = Self {
            stage,
            session: Some(session),
            cursors,
            wire: Vec::new(),
            http: None,
        };
        scene.receive(NEXT);
        scene
    }

    /// Time goes by.
    pub(crate) fn wait(&mut self, millis: u64) {
        let time = Duration::from_millis(millis);
        self.stage.now = self.stage.now + time;
        self.stage.unix_time += time;
    }

    /// Calls the session, if there is one yet; the client reads what it writes.
    pub(crate) fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Session, &mut Stage) -> T,
    ) -> Option<T> {
        let session = self.session.as_deref_mut()?;
        let returned = call(session, &mut self.stage);
        self.wire.append(&mut self.stage.take_out());
        Some(returned)
    }

    /// Carries out what the session has asked for.
    fn settle(&mut self) {
        for wish in self.stage.take_wishes() {
            match wish {
                Wish::Ask { tag } => self.answer(tag),
                Wish::HandBack {
                    answering,
                    response,
                    leftover,
                } => {
                    assert!(self.http.is_none(), "once");
                    self.session = None;
                    let mut http = Connection::resume(answering);
                    let date = self.stage.cx().date();
                    match response {
                        Some(response) => http.respond(&response, &date, &mut self.wire),
                        None => http.end_stream(),
                    };
                    http.feed(&leftover);
                    self.http = Some(http);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Answers the question of how a channel stands.
    fn answer(&mut self, tag: u64) {
        let questions = self.stage.take_questions();
        let [Query::Snapshot(channel)] = &questions[..] else {
            panic!("one question for each wish")
        };
        let cursor = self.cursors.iter().find(|it| it.channel == *channel);
        let snapshot = snapshot(&cursor.expect("a channel").told);
        let outcome = self.call(|session, stage| {
            let answer = Answer::Snapshot(&snapshot, position(9));
            session.answered(tag, answer, &mut stage.cx())
        });
        assert_eq!(outcome, Some(Ok(())));
        self.settle();
    }

    /// The client sends this behind its request.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let outcome = self.call(|session, stage| session.receive(bytes, &mut stage.cx()));
        assert_eq!(outcome, Some(Ok(())));
    }

    /// Every subscription has this outcome.
    pub(crate) fn place_at(&mut self, placement: &Placement) {
        for index in 0..self.cursors.len() {
            let channel = self.cursors[index].channel.clone();
            self.call(|session, stage| {
                let mut backlog = Backlog::empty();
                assert_eq!(
                    session.placed(&channel, placement, &mut backlog, &mut stage.cx()),
                    Ok(())
                );
            });
            self.settle();
        }
    }

    /// All subscriptions have their places.
    pub(crate) fn place(&mut self) {
        self.place_at(&Placement::Placed {
            position: position(0),
            reset: None,
            behind: false,
        });
    }

    /// An event comes in a channel; its bytes reach the client if the session lets them.
    pub(crate) fn tell(&mut self, index: usize, event: &Event) {
        let cursor = &mut self.cursors[index];
        cursor.told.push(event.clone());
        let offset = cursor.told.len() as u64;
        let Some(encoder) = cursor.encoder.as_mut() else {
            return;
        };
        let mut bytes = Vec::new();
        with_entry(&cursor.channel, offset, event, |entry| {
            encoder.encode(entry, &mut bytes);
        });
        // Nobody is asked about what says nothing.
        if bytes.is_empty() || self.session.is_none() {
            return;
        }
        let is_open = cursor.is_open;
        let channel = cursor.channel.clone();
        let gate = self.call(|session, stage| {
            if is_open {
                return Gate::Open;
            }
            with_entry(&channel, offset, event, |entry| {
                session.gate(&channel, entry, &mut stage.cx())
            })
        });
        if matches!(gate, Some(Gate::Open | Gate::Pass)) {
            self.wire.extend_from_slice(&bytes);
        }
        if matches!(gate, Some(Gate::Open | Gate::Replaced)) {
            self.cursors[index].is_open = true;
        }
        self.settle();
    }

    /// The last event of a channel has been written.
    pub(crate) fn end(&mut self, index: usize) {
        let channel = self.cursors[index].channel.clone();
        let outcome = self.call(|session, stage| session.ended(&channel, &mut stage.cx()));
        assert!(matches!(outcome, None | Some(Ok(()))));
        self.settle();
    }

    /// All of an answer comes.
    pub(crate) fn tell_all(&mut self, index: usize, events: &[Event]) {
        for event in events {
            self.tell(index, event);
        }
        self.end(index);
    }

    /// Nothing comes for as long as the session bears it.
    pub(crate) fn be_silent(&mut self) {
        let last_write = self.stage.now;
        self.wait(15_000);
        let now = self.stage.now;
        self.call(|session, stage| {
            assert_eq!(session.deadline(last_write), Some(now));
            assert_eq!(session.expire(&mut stage.cx()), Ok(()));
            let next = session.deadline(last_write);
            assert!(next.is_none_or(|next| next > now));
        });
        self.settle();
    }
}
