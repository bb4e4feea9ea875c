//! Key sets that are fetched from a URL: a server that only judges tokens, its issuer, and clients
//! that come with tokens of all kinds.

use std::net::SocketAddr;
use std::time::Duration;

use lmserver::proto::http1::{Method, Request, Response, client::write_request};
use lmserver::runtime::plugin::service::{Query, Reply, Service, ServiceCx, Unread, WishCx};
use lmserver::runtime::sys::Signal;
use lmserver::runtime::sys::sim::{Faults, Host, Name, PeerId, Weather};
use lmserver::runtime::time::Moment;
use lmserver::runtime::tls::Trust;
use lmserver::token::{Fetcher, KeyServer, KeySource, Reaction, Settings, Verifier};
use serde_json::json;

use crate::client::{Caller, Fetch};
use crate::issuer::Issuer;
use crate::scene::second;
use crate::script::Act;
use crate::signer::{Signer, key_set};
use crate::world::{Setup, World};

const URL: &str = "http://issuer.example/keys/";
const OTHER_URL: &str = "http://issuer.example/others";
const ADDRESS: &str = "192.0.2.9:80";

/// Accepted, to be tried again, refused.
const GOOD: u16 = 200;
const RETRY: u16 = 503;
const BAD: u16 = 401;

/// Judges the token of each request.
struct Judge {
    verifier: Verifier,
    fetcher: Fetcher,
}

impl Judge {
    fn new(urls: &[&str]) -> Self {
        let servers = urls
            .iter()
            .map(|url| KeyServer::new(url, Trust::public(), None));
        Self {
            verifier: Verifier::new(&Settings {
                key_source: Some(KeySource::endpoint(URL)),
                ..Settings::default()
            }),
            fetcher: Fetcher::new(servers.map(Result::unwrap)),
        }
    }
}

impl Service for Judge {
    fn call(&mut self, request: &Request, _: &[u8], cx: &mut ServiceCx<'_>) -> Reply {
        let token = request.fields.get("x-token").unwrap();
        let status = match self.verifier.connection(token, cx.unix_time) {
            Ok(_) => GOOD,
            Err(error) if error.reaction() == Reaction::Retry => RETRY,
            Err(_) => BAD,
        };
        Reply::Response(Response::json(status, b"{}".to_vec()))
    }

    fn refuse(&mut self, unread: &Unread<'_>, _: &mut ServiceCx<'_>) -> Response {
        Response::json(unread.status, b"{}".to_vec())
    }

    fn wish(&mut self, cx: &mut WishCx<'_>) -> Option<Query> {
        self.fetcher.wish(self.verifier.key_source(), cx)
    }

    fn wish_at(&self) -> Option<Moment> {
        self.fetcher.wish_at()
    }
}

/// A world with a judge and an issuer, which listens from the beginning.
struct Court {
    world: World,
    issuer: PeerId,
    asked: Vec<(PeerId, Moment, u16)>,
}

impl Court {
    fn new(issuer: Issuer) -> Self {
        Self::with(1, Faults::default(), Weather::default(), issuer)
    }

    fn with(seed: u64, faults: Faults, weather: Weather, issuer: Issuer) -> Self {
        let mut setup = Setup::new(seed);
        setup.faults = faults;
        Self::in_a_world(setup, &[URL], weather, issuer)
    }

    fn in_a_world(setup: Setup, urls: &[&str], weather: Weather, issuer: Issuer) -> Self {
        let mut world = setup.build_with(Box::new(Judge::new(urls)));
        let issuer = world.add(issuer);
        world.host("issuer.example", address(), issuer, weather);
        Self {
            world,
            issuer,
            asked: Vec::new(),
        }
    }

    /// Somebody comes with a token at a time, and is to be told this.
    fn bring(&mut self, at: Moment, token: &str, status: u16) {
        let mut request = Vec::new();
        let fields = [("X-Token", token), ("Connection", "close")];
        write_request(&mut request, &Method::Get, "/", "sim", fields, b"");
        let fetch = Fetch::raw(Method::Get, request, Weather::default());
        let caller = self.world.add(Caller { fetch, at });
        self.asked.push((caller, at, status));
    }

    /// Runs until everybody was answered, and looks at what.
    fn run(&mut self) {
        self.world.run(Duration::from_secs(20_000));
        for (caller, at, status) in &self.asked {
            let caller: &Caller = self.world.peer(*caller);
            assert_eq!(caller.fetch.status, Some(*status), "at {} ms", at.0);
        }
    }

    fn issuer(&self) -> &Issuer {
        self.world.peer(self.issuer)
    }

    /// When the issuer was asked, in whole seconds.
    fn fetches(&self) -> Vec<u64> {
        self.issuer().asked.iter().map(|at| at.0 / 1000).collect()
    }
}

fn address() -> SocketAddr {
    ADDRESS.parse().unwrap()
}

fn says(status: &str, fields: &str, body: &str) -> Vec<Act> {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n\r\n{body}");
    vec![Act::Send(answer.into_bytes())]
}

fn keys(signers: &[&Signer]) -> Vec<Act> {
    says(
        "200 OK",
        "Content-Type: application/json\r\n",
        &key_set(signers),
    )
}

fn after(millis: u64, mut acts: Vec<Act>) -> Vec<Act> {
    acts.insert(0, Act::Wait(millis));
    acts
}

fn token(signer: &Signer) -> String {
    signer.sign(&json!({"sub": "42"}))
}

#[test]
fn a_token_is_to_be_tried_again_until_its_key_was_fetched() {
    let signer = Signer::new("a", 1);
    let stranger = Signer::new("a", 2);
    let mut court = Court::new(Issuer::new(after(3000, keys(&[&signer]))));
    court.bring(second(1), &token(&signer), RETRY);
    court.bring(second(1), &token(&stranger), RETRY);
    court.bring(second(4), &token(&signer), GOOD);
    court.bring(second(4), &token(&stranger), BAD);
    court.bring(second(5), "none", BAD);
    court.run();
    assert_eq!(court.fetches(), [0]);
    let request = &court.issuer().request;
    assert!(request.starts_with("GET /keys/ HTTP/1.1\r\nHost: issuer.example\r\n"));
    assert!(!request.contains("eyJ"), "no token is told: {request}");
    let metrics = court.world.reactor.metrics();
    assert_eq!((metrics.runs_started, metrics.runs_completed), (1, 1));
    court.world.pass(Duration::from_secs(3500));
    assert_eq!(court.world.reactor.metrics().runs, 0);
    court.world.pass(Duration::from_secs(200));
    assert_eq!(court.fetches(), [0, 3600 + 3], "every hour");
}

#[test]
fn a_key_that_is_new_is_fetched_when_its_first_token_comes() {
    let (old, new) = (Signer::new("old", 1), Signer::new("new", 2));
    let issuer = Issuer::new(keys(&[&old]))
        .then(second(60), keys(&[&old, &new]))
        .then(second(200), keys(&[&new]));
    let mut court = Court::new(issuer);
    court.bring(second(50), &token(&new), RETRY);
    court.bring(second(55), &token(&new), RETRY);
    court.bring(second(61), &token(&new), GOOD);
    court.bring(second(61), &token(&old), GOOD);
    // The old one is withdrawn, which is noticed with the next fetch.
    court.bring(second(250), &token(&old), GOOD);
    court.bring(second(260), &token(&Signer::new("made up", 3)), RETRY);
    court.bring(second(262), &token(&old), RETRY);
    court.bring(second(262), &token(&new), GOOD);
    court.run();
    assert_eq!(court.fetches(), [0, 50, 60, 260]);
}

#[test]
fn made_up_keys_do_not_make_the_server_ask_more_than_every_ten_seconds() {
    let signer = Signer::new("a", 1);
    let mut court = Court::new(Issuer::new(keys(&[&signer])));
    for n in 0..600 {
        let stranger = Signer::new("made up", 2);
        court.bring(Moment(1000 + n * 100), &token(&stranger), RETRY);
    }
    court.run();
    assert_eq!(court.fetches(), [0, 10, 20, 30, 40, 50, 60]);
}

#[test]
fn an_issuer_that_is_down_is_asked_again_until_it_is_up() {
    let signer = Signer::new("a", 1);
    for down in [Host::Refuses(1), Host::Silent, Host::Unreachable] {
        let mut court = Court::new(Issuer::new(keys(&[&signer])));
        court.world.sys().host(address(), down);
        court.bring(second(1), &token(&signer), RETRY);
        court.run();
        court.world.pass(Duration::from_secs(24));
        assert!(court.issuer().asked.is_empty());
        let up = Host::Accepts(court.issuer, 1, Weather::default());
        court.world.sys().host(address(), up);
        court.bring(second(26), &token(&signer), RETRY);
        court.bring(second(50), &token(&signer), GOOD);
        court.run();
        assert_eq!(court.issuer().asked.len(), 1, "{down:?}");
    }
}

#[test]
fn waits_after_failures_grow_to_five_minutes() {
    let mut court = Court::new(Issuer::new(says("500 Internal Server Error", "", "no")));
    court.world.pass(Duration::from_secs(1300));
    let want = [0, 10, 30, 70, 150, 310, 610, 910, 1210];
    let fetches = court.fetches();
    assert_eq!(fetches, want);
    let metrics = court.world.reactor.metrics();
    assert_eq!((metrics.runs_started, metrics.runs_failed), (9, 9));
}

#[test]
fn a_name_that_does_not_resolve_is_a_failure_like_others() {
    let signer = Signer::new("a", 1);
    let mut court = Court::new(Issuer::new(keys(&[&signer])));
    let takes = Some(Duration::from_millis(1));
    let nobody = Name {
        addrs: Err(std::io::ErrorKind::NotFound),
        takes,
    };
    court.world.sys().name("issuer.example", nobody);
    court.bring(second(5), &token(&signer), RETRY);
    court.run();
    let addrs = Ok(vec![address().ip()]);
    court
        .world
        .sys()
        .name("issuer.example", Name { addrs, takes });
    court.bring(second(11), &token(&signer), GOOD);
    court.run();
    assert_eq!(court.fetches(), [10]);
}

#[test]
fn an_answer_of_no_use_leaves_the_former_set_in_force() {
    let (signer, other) = (Signer::new("a", 1), Signer::new("b", 2));
    let large = " ".repeat(300_000);
    let whole = String::from_utf8(match &keys(&[&other])[0] {
        Act::Send(bytes) => bytes.clone(),
        _ => panic!("bytes"),
    });
    let whole = whole.unwrap();
    let cut = |at: usize| vec![Act::Send(whole.as_bytes()[..at].to_vec()), Act::Close];
    let moved = "Location: http://issuer.example/elsewhere\r\n";
    for (what, acts) in [
        ("no JSON", says("200 OK", "", "<html>")),
        ("no keys", says("200 OK", "", "{\"keys\":[]}")),
        ("nothing", says("200 OK", "", "")),
        ("too large", says("200 OK", "", &large)),
        ("a redirect", says("302 Found", moved, &key_set(&[&other]))),
        ("an error", says("404 Not Found", "", &key_set(&[&other]))),
        ("no HTTP", vec![Act::Send(b"SSH-2.0\r\n\r\n".to_vec())]),
        ("cut in the head", cut(30)),
        ("cut in the body", cut(whole.len() - 1)),
        ("closed", vec![Act::Close]),
        ("reset", vec![Act::Reset]),
        ("silence", vec![Act::Stall]),
    ] {
        let issuer = Issuer::new(keys(&[&signer]))
            .then(second(100), acts)
            .then(second(3595), keys(&[&other]));
        let mut court = Court::new(issuer);
        court.bring(second(200), &token(&other), RETRY);
        court.bring(second(209), &token(&signer), GOOD);
        // By then it is over, whatever it was, and tried once more.
        court.bring(second(222), &token(&other), RETRY);
        court.bring(second(222), &token(&signer), GOOD);
        court.run();
        let again = if what == "silence" { 220 } else { 210 };
        assert_eq!(court.fetches()[..3], [0, 200, again], "{what}");
        court.bring(second(4000), &token(&other), GOOD);
        court.bring(second(4000), &token(&signer), RETRY);
        court.run();
        assert_eq!(court.world.reactor.metrics().panics, 0);
    }
}

#[test]
fn a_slow_issuer_has_ten_seconds() {
    let signer = Signer::new("a", 1);
    let bytes = match &keys(&[&signer])[0] {
        Act::Send(bytes) => bytes.clone(),
        _ => panic!("bytes"),
    };
    let drip = |millis: u64| -> Vec<Act> {
        let byte = |byte: &u8| [Act::Send(vec![*byte]), Act::Wait(millis)];
        bytes.iter().flat_map(byte).collect()
    };
    let fast = u64::try_from(bytes.len()).unwrap();
    for (pause, is_in_time) in [(8000 / fast, true), (14_000 / fast, false)] {
        let mut court = Court::new(Issuer::new(drip(pause)));
        court.bring(second(2), &token(&signer), RETRY);
        court.bring(
            second(9),
            &token(&signer),
            if is_in_time { GOOD } else { RETRY },
        );
        court.run();
        court.world.pass(Duration::from_secs(2));
        let failed = court.world.reactor.metrics().runs_failed;
        assert_eq!(failed, u64::from(!is_in_time), "{pause} ms a byte");
        assert_eq!(court.issuer().broken_off, usize::from(!is_in_time));
    }
}

#[test]
fn a_fetch_goes_on_where_chats_without_listeners_are_cancelled() {
    let signer = Signer::new("a", 1);
    let mut setup = Setup::new(1);
    setup.channels.cancel_when_abandoned = Some(Duration::from_secs(1));
    let issuer = Issuer::new(after(5000, keys(&[&signer])));
    let mut court = Court::in_a_world(setup, &[URL], Weather::default(), issuer);
    court.bring(second(6), &token(&signer), GOOD);
    court.run();
    assert_eq!(court.fetches(), [0]);
}

#[test]
fn a_fetch_that_finds_no_room_is_tried_again() {
    let signer = Signer::new("a", 1);
    let mut setup = Setup::new(1);
    setup.channels.max_total_bytes = 0;
    // The run of the first set leaves no room for that of the second.
    let issuer = Issuer::new(after(3000, keys(&[&signer])));
    let mut court = Court::in_a_world(setup, &[URL, OTHER_URL], Weather::default(), issuer);
    court.bring(second(4), &token(&signer), GOOD);
    court.run();
    assert_eq!(court.fetches(), [0]);
    court.world.pass(Duration::from_secs(10));
    assert_eq!(court.fetches(), [0, 10]);
    assert!(court.issuer().request.starts_with("GET /others "));
}

#[test]
fn a_server_that_stops_does_not_wait_for_a_key_set() {
    let mut court = Court::new(Issuer::new(vec![Act::Stall]));
    court.world.sys().signal(second(3), Signal::Stop);
    court.world.run_to_stop(Duration::from_secs(4));
    let metrics = court.world.reactor.metrics();
    assert_eq!((metrics.runs_started, metrics.runs_cancelled), (1, 1));
}

#[test]
fn in_unkind_worlds_a_new_key_comes_too() {
    for seed in 0..20 {
        let (old, new) = (Signer::new("old", 1), Signer::new("new", 2));
        let issuer = Issuer::new(keys(&[&old])).then(second(60), keys(&[&new]));
        let weather = Weather {
            window_to_peer: 40,
            window_to_server: 7,
            ..Weather::default()
        };
        let mut court = Court::with(seed, Faults::unkind(), weather, issuer);
        court.bring(second(30), &token(&old), GOOD);
        court.bring(second(100), &token(&new), RETRY);
        court.bring(second(120), &token(&new), GOOD);
        court.run();
        assert_eq!(court.fetches(), [0, 100], "seed {seed}");
    }
}
