//! One question to one provider: what most directed worlds are about.

use std::net::SocketAddr;

use lmserver::runtime::sys::sim::{PeerId, Weather};
use lmserver::runtime::time::Moment;

use crate::client::{Fetch, Question};
use crate::script::{Act, Framing, blocks, response};
use crate::upstream::Upstream;
use crate::watcher::{Leg, Seen, Via, Watcher};
use crate::world::{Setup, World};

/// Where the provider's server is.
pub(crate) const UPSTREAM: &str = "192.0.2.1:80";

/// A world with one question.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) question: PeerId,
    pub(crate) upstream: PeerId,
}

/// Who asks, and what the provider plays.
pub(crate) fn scene(
    tune: impl FnOnce(&mut Setup),
    acts: Vec<Act>,
    question: impl FnOnce(Fetch) -> Question,
) -> Scene {
    let mut setup = Setup::new(1);
    tune(&mut setup);
    setup.openai("up", "up.example");
    setup.model("default", &["up/m".into()]);
    let mut world = setup.build();
    let upstream = world.add(Upstream::new().plays("m", acts));
    let addr: SocketAddr = UPSTREAM.parse().unwrap();
    world.host("up.example", addr, upstream, Weather::default());
    let ask = Fetch::post_chat("default", "hi", Weather::default());
    let question = world.add(question(ask));
    Scene {
        world,
        question,
        upstream,
    }
}

/// As [`scene`], watched by SSE, as the server is by default.
pub(crate) fn watched(acts: Vec<Act>) -> Scene {
    scene(
        |_| {},
        acts,
        |ask| Question::new(ask, vec![Watcher::new(vec![Leg::new(Via::Sse11)])]),
    )
}

impl Scene {
    pub(crate) fn question(&self) -> &Question {
        let id = self.question;
        self.world.peer(id)
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        let id = self.upstream;
        self.world.peer(id)
    }

    /// The last event that the first watcher saw.
    pub(crate) fn last(&self) -> Seen {
        self.question().watchers[0].seen.last().unwrap().clone()
    }

    pub(crate) fn channel(&self) -> String {
        self.question().channel.clone().unwrap()
    }
}

/// A whole answer in one piece.
pub(crate) fn whole(pieces: &[&str]) -> Vec<u8> {
    let body = blocks(pieces, true, true).concat();
    response("200 OK", "text/event-stream", Framing::Chunked, &body)
}

/// A head and events in chunks; the body goes on.
pub(crate) fn begun(pieces: &[&str]) -> Vec<u8> {
    let mut out =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    out.extend(chunk(&blocks(pieces, false, false).concat()));
    out
}

/// One chunk.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend(bytes);
    out.extend(b"\r\n");
    out
}

/// One delta in a chunk of its own.
pub(crate) fn delta(text: &str) -> Vec<u8> {
    chunk(&blocks(&[text], false, false)[1])
}

/// The end of a body that was [`begun`].
pub(crate) fn ending() -> Vec<u8> {
    let mut out = chunk(&blocks(&[], true, true)[1..].concat());
    out.extend(b"0\r\n\r\n");
    out
}

/// Seconds as a moment.
pub(crate) fn second(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}
