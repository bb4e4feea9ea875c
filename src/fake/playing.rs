//! An answer on its way: what is said, in pieces, each when its time has come.
//!
//! ```text
//!   Script ─► Voice ─► Frame (gzip, chunks) ─► Steps: bytes, waits, faults ─► the connection
//! ```
//!
//! The session has no channel. Its deadline is when the next step is due; a step is only taken
//! when all before it has left, so that what was cut apart is sent apart, and what is unsent is
//! never more than one piece.

use std::collections::VecDeque;
use std::time::Duration;

use lmserver_proto::http1::Response;
use lmserver_runtime::channel::{Backlog, Placement};
use lmserver_runtime::plugin::transport::{Disconnect, Session, SessionCx};
use lmserver_runtime::time::Moment;

use super::dialect::{Say, Voice};
use super::frame::Frame;
use super::pieces::cut;
use super::script::Script;
use super::seen::{End, Witness};
use super::settings::{Fault, Place, Settings};

/// What an answer consists of.
pub(super) enum Part {
    /// A stream of events, said by this voice.
    Stream { voice: Box<Voice>, script: Script },
    /// A whole response.
    Whole(Response),
}

/// One answer on its way.
pub(super) struct Playing {
    frame: Frame,
    settings: Settings,
    part: Part,
    witness: Witness,
    /// Where the answer stands.
    at: Stage,
    /// Has what stands before this stage happened?
    is_entered: bool,
    steps: VecDeque<Step>,
    /// When the next step is due.
    due: Moment,
    /// Steps taken at `due`.
    taken: u32,
    /// Is all said but signs of life?
    murmurs: bool,
    /// What the client sent behind its request.
    leftover: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Open,
    Token(u32),
    Finish,
    Mark,
    Last,
    Over,
}

enum Step {
    Write(Vec<u8>),
    Wait(Duration),
    Do(Fault),
}

impl Playing {
    pub(super) fn new(
        settings: Settings,
        part: Part,
        witness: Witness,
        cx: &SessionCx<'_>,
    ) -> Self {
        Self {
            frame: Frame::new(cx.answering, &settings),
            settings,
            part,
            witness,
            at: Stage::Head,
            is_entered: false,
            steps: VecDeque::new(),
            due: cx.now,
            taken: 0,
            murmurs: false,
            leftover: Vec::new(),
        }
    }

    /// Makes the steps of the next stage: first those before it, which may end the answer, then
    /// what it says.
    fn prepare(&mut self, date: &str) {
        let stage = self.at;
        let (before, inside) = self.places(stage);
        if !std::mem::replace(&mut self.is_entered, true) {
            for fault in self.faults(before) {
                self.steps.push_back(Step::Do(fault));
            }
            return self.pace(stage);
        }
        self.is_entered = false;
        let mut bytes = Vec::new();
        self.at = self.perform(stage, date, &mut bytes);
        let faults = self.faults(inside);
        if faults.is_empty() {
            return self.write(&bytes);
        }
        let (one, other) = bytes.split_at(bytes.len() / 2);
        self.write(one);
        self.steps.extend(faults.into_iter().map(Step::Do));
        self.write(other);
    }

    /// Writes what a stage consists of; the stage behind it.
    fn perform(&mut self, stage: Stage, date: &str, out: &mut Vec<u8>) -> Stage {
        if stage == Stage::Head && self.settings.has_interim {
            out.extend_from_slice(INTERIM);
        }
        match (stage, &mut self.part) {
            (Stage::Head, Part::Whole(response)) => {
                response.body = self.frame.whole(response, date, out);
                Stage::Open
            }
            (Stage::Head, Part::Stream { voice, .. }) => {
                let content_type = voice.content_type();
                self.frame.head(content_type, &self.settings, date, out);
                Stage::Open
            }
            (_, Part::Whole(response)) => {
                out.append(&mut response.body);
                Stage::Over
            }
            (Stage::Last | Stage::Over, Part::Stream { .. }) => {
                self.frame.end(out);
                Stage::Over
            }
            (_, Part::Stream { .. }) => {
                let mut said = Vec::new();
                let next = self.speak(stage, &mut said);
                self.frame.body(&said, out);
                next
            }
        }
    }

    /// Says what a stage of a stream consists of; the stage behind it.
    fn speak(&mut self, stage: Stage, said: &mut Vec<u8>) -> Stage {
        let count = self.count();
        match stage {
            Stage::Token(at) => {
                self.say_token(at, said);
                if at + 1 < count || self.settings.is_endless {
                    Stage::Token(at.wrapping_add(1))
                } else {
                    Stage::Finish
                }
            }
            Stage::Finish => {
                self.say(&Say::Finish, said);
                Stage::Mark
            }
            Stage::Mark => {
                if self.settings.has_mark {
                    self.say(&Say::Mark, said);
                }
                Stage::Last
            }
            _ => {
                self.say(&Say::Open, said);
                if count == 0 {
                    Stage::Finish
                } else {
                    Stage::Token(0)
                }
            }
        }
    }

    fn say(&mut self, say: &Say<'_>, out: &mut Vec<u8>) {
        if let Part::Stream { voice, .. } = &mut self.part {
            voice.say(say, out);
        }
    }

    fn say_token(&mut self, at: u32, out: &mut Vec<u8>) {
        let Part::Stream { voice, script } = &mut self.part else {
            return;
        };
        if self.settings.has_comments {
            voice.say(&Say::Comment, out);
        }
        if let Some(token) = script.token(at) {
            voice.say_token(&token, script, out);
        }
    }

    /// The time before a stage.
    fn pace(&mut self, stage: Stage) {
        let wait = match stage {
            Stage::Token(0) => self.settings.first,
            Stage::Open if self.is_whole() => self.settings.first,
            Stage::Token(_) => self.settings.delay,
            _ => Duration::ZERO,
        };
        if !wait.is_zero() {
            self.steps.push_back(Step::Wait(wait));
        }
    }

    /// Queues bytes, cut as the settings say.
    fn write(&mut self, bytes: &[u8]) {
        for piece in cut(bytes, self.settings.split) {
            if !self.settings.gap.is_zero() {
                self.steps.push_back(Step::Wait(self.settings.gap));
            }
            self.steps.push_back(Step::Write(piece.to_vec()));
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.part, Part::Whole(_))
    }

    fn count(&self) -> u32 {
        match &self.part {
            Part::Stream { script, .. } => script.len(),
            Part::Whole(_) => 0,
        }
    }

    /// The places before and inside a stage.
    fn places(&self, stage: Stage) -> (Place, Option<Place>) {
        match stage {
            Stage::Head => (Place::Start, Some(Place::Head)),
            Stage::Open => (Place::Body, self.is_whole().then_some(Place::Finish)),
            Stage::Token(at) => (Place::Behind(at), Some(Place::Inside(at))),
            Stage::Finish => (Place::Finish, None),
            Stage::Mark => (Place::Mark, None),
            Stage::Last | Stage::Over => (Place::Last, None),
        }
    }

    /// What happens at a place. Places behind the last token are before the finish reason, and all
    /// places of a whole response's body are in its middle.
    fn faults(&self, place: impl Into<Option<Place>>) -> Vec<Fault> {
        let Some(place) = place.into() else {
            return Vec::new();
        };
        let count = self.count();
        let moved = |of: Place| match of {
            Place::Start | Place::Head | Place::Body => of,
            _ if self.is_whole() => Place::Finish,
            Place::Behind(at) | Place::Inside(at) if at >= count => Place::Finish,
            _ => of,
        };
        let faults = self.settings.faults.iter();
        let faults = faults.filter(|(of, _)| moved(*of) == place);
        faults.map(|(_, fault)| *fault).collect()
    }
}

impl Playing {
    /// Takes steps until one has to wait.
    fn go_on(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        let Some(step) = self.steps.pop_front() else {
            if self.murmurs {
                self.murmur(cx);
            } else if self.at == Stage::Over {
                self.witness.tell(End::Complete);
                self.due = Moment::NEVER;
                cx.hand_back(
                    self.frame.answering,
                    None,
                    std::mem::take(&mut self.leftover),
                );
            } else {
                let date = cx.date();
                self.prepare(&date);
            }
            return Ok(());
        };
        match step {
            Step::Write(bytes) => cx.out().extend_from_slice(&bytes),
            Step::Wait(time) => self.wait(time, cx),
            Step::Do(fault) => return self.carry_out(fault, cx),
        }
        Ok(())
    }

    fn carry_out(&mut self, fault: Fault, cx: &SessionCx<'_>) -> Result<(), Disconnect> {
        let mut said = Vec::new();
        let mut out = Vec::new();
        match fault {
            Fault::Cut => {
                self.witness.tell(End::Cut);
                return Err(Disconnect::Done);
            }
            Fault::Reset => {
                self.witness.tell(End::Cut);
                return Err(Disconnect::Reset);
            }
            Fault::Stall(Some(time)) => self.wait(time, cx),
            Fault::Stall(None) => self.due = Moment::NEVER,
            Fault::Murmur => {
                self.murmurs = true;
                self.steps.clear();
            }
            Fault::Error(status) => {
                self.say(&Say::Error(status), &mut said);
                self.skip_to_end();
            }
            Fault::Truncate => self.skip_to_end(),
            Fault::Garbage => said.extend_from_slice(GARBAGE),
            Fault::BadJson => self.say(&Say::BadJson, &mut said),
            Fault::BadChunk => out.extend_from_slice(b"not a size\r\n"),
        }
        self.frame.body(&said, &mut out);
        // What happens now stands before what is queued.
        for piece in cut(&out, self.settings.split).into_iter().rev() {
            self.steps.push_front(Step::Write(piece.to_vec()));
        }
        Ok(())
    }

    fn skip_to_end(&mut self) {
        self.steps.clear();
        // The places in between are not come to.
        self.settings
            .faults
            .retain(|(place, _)| *place == Place::Last);
        self.at = Stage::Last;
        self.is_entered = false;
    }

    fn murmur(&mut self, cx: &SessionCx<'_>) {
        let (mut said, mut out) = (Vec::new(), Vec::new());
        self.say(&Say::Comment, &mut said);
        self.frame.body(&said, &mut out);
        self.steps.push_back(Step::Write(out));
        self.wait(MURMUR, cx);
    }

    fn wait(&mut self, time: Duration, cx: &SessionCx<'_>) {
        self.due = cx.now + time;
        self.taken = 0;
    }
}

impl Session for Playing {
    fn receive(&mut self, bytes: &[u8], _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if self.leftover.len() + bytes.len() > LEFTOVER_BYTES {
            return Err(Disconnect::Protocol("too much was sent behind a request"));
        }
        self.leftover.extend_from_slice(bytes);
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
        Ok(())
    }

    fn closed(&mut self, _cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        self.witness.tell(End::Closed);
        Err(Disconnect::PeerClosed)
    }

    fn deadline(&self, _last_write: Moment) -> Option<Moment> {
        Some(self.due)
    }

    fn expire(&mut self, cx: &mut SessionCx<'_>) -> Result<(), Disconnect> {
        if cx.unsent {
            // The client is slow: what was said goes first.
            self.wait(RETRY, cx);
            return Ok(());
        }
        self.taken += 1;
        if self.due < cx.now || self.taken > STEPS {
            self.due = if self.taken > STEPS {
                cx.now + Duration::from_millis(1)
            } else {
                cx.now
            };
            self.taken = 0;
        }
        self.go_on(cx)
    }
}

/// Interim responses (RFC 9110 §15.2, RFC 8297).
const INTERIM: &[u8] =
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";

/// Bytes that are neither JSON nor UTF-8 nor lines of an event.
const GARBAGE: &[u8] = b"\xff\xfe\x00garbage\x80\r\n\r\n}{]\xc3\n\ndata\n: \xf0\x9f\n\n";

/// Between two signs of life of who says nothing else.
const MURMUR: Duration = Duration::from_millis(20);

/// How long what is unsent may take before it is looked at again.
const RETRY: Duration = Duration::from_millis(2);

/// Steps in one millisecond, so that others have their turn.
const STEPS: u32 = 64;

/// Bytes that a client may send behind its request while the answer runs.
const LEFTOVER_BYTES: usize = 64 * 1024;
