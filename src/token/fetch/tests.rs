use lmserver_runtime::plugin::provider::StartCx;

use super::*;

const URL: &str = "https://issuer.example/keys";
const JWKS: &str = include_str!("../../../tests/data/tokens/jwks.json");

fn server(url: &str) -> KeyServer {
    KeyServer::new(url, Trust::public(), None).unwrap()
}

fn at(seconds: u64) -> Moment {
    Moment(seconds * 1000)
}

/// A fetcher with a source, and the run that it has asked for.
struct Bench {
    fetcher: Fetcher,
    source: KeySource,
    running: Option<Box<Submission>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            fetcher: Fetcher::new([server(URL)]),
            source: KeySource::endpoint(URL),
            running: None,
        }
    }

    fn ask(&mut self, now: Moment, draining: bool) -> Option<Query> {
        let mut random = |out: &mut [u8]| out.fill(7);
        let mut cx = WishCx::new(now, draining, &mut random);
        self.fetcher.wish([&mut self.source], &mut cx)
    }

    /// A turn. Whether a fetch has begun.
    fn turn(&mut self, now: Moment) -> bool {
        match self.ask(now, false) {
            None => false,
            Some(Query::Submit(submission)) => {
                assert!(self.running.replace(submission).is_none());
                true
            }
            Some(_) => panic!("nothing else is asked for"),
        }
    }

    /// Ends the run with this answer, or none.
    fn end(&mut self, answer: Option<&str>) {
        let running = self.running.take().unwrap();
        let Some(answer) = answer else { return };
        let target = &running.plan.targets()[0].target;
        let provider = &target.instance.provider;
        let start = provider.start(&running.request, &target.model, StartCx::default());
        let mut generation = start.unwrap().generation;
        let length = answer.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}");
        generation
            .receive(answer.as_bytes(), &mut Vec::new())
            .unwrap();
    }

    /// The moment in whole seconds for which it waits; none while it fetches.
    fn due(&self) -> Option<u64> {
        self.fetcher.wish_at().map(|at| at.0 / 1000)
    }
}

#[test]
fn a_set_is_fetched_at_the_start_and_every_hour() {
    let mut bench = Bench::new();
    assert_eq!(bench.due(), Some(0));
    assert!(bench.turn(at(0)));
    assert_eq!(bench.due(), None, "nothing is due while it is fetched");
    assert!(!bench.turn(at(1)));
    bench.end(Some(JWKS));
    assert_eq!(bench.due(), Some(0), "its end is to be attended to at once");
    assert!(bench.source.keys().is_empty());
    assert!(!bench.turn(at(2)));
    assert!(!bench.source.keys().is_empty());
    assert_eq!(bench.due(), Some(3602));
    assert!(!bench.turn(at(3601)));
    assert!(bench.turn(at(3602)));
}

#[test]
fn failures_are_followed_by_longer_and_longer_waits() {
    let mut bench = Bench::new();
    let mut now = 0;
    for (wait, answer) in [
        (10, None),
        (20, Some("<html>")),
        (40, Some("{\"keys\":[]}")),
        (80, None),
        (160, Some("")),
        (300, None),
        (300, None),
    ] {
        assert!(bench.turn(at(now)));
        bench.end(answer);
        assert!(!bench.turn(at(now)));
        assert_eq!(bench.due(), Some(now + wait));
        now += wait;
    }
    assert!(bench.turn(at(now)));
    bench.end(Some(JWKS));
    assert!(!bench.turn(at(now)));
    assert!(bench.turn(at(now + 3600)));
    bench.end(None);
    assert!(!bench.turn(at(now + 3600)));
    assert_eq!(bench.due(), Some(now + 3610), "it is the first again");
    assert!(!bench.source.keys().is_empty(), "the former set stays");
}

#[test]
fn an_unknown_key_hastens_a_fetch_but_not_within_ten_seconds() {
    let mut bench = Bench::new();
    assert!(bench.turn(at(0)));
    bench.source.note_miss();
    bench.end(Some(JWKS));
    assert!(!bench.turn(at(1)));
    assert_eq!(bench.due(), Some(3601), "the fetch was for this key too");
    bench.source.note_miss();
    assert!(!bench.turn(at(2)));
    assert_eq!(bench.due(), Some(10));
    assert!(!bench.turn(at(9)));
    assert!(bench.turn(at(10)));
    bench.end(None);
    assert!(!bench.turn(at(11)));
    // It comes before its turn after failures too.
    for now in [21, 41, 81] {
        assert!(bench.turn(at(now)), "{now}");
        bench.end(None);
        assert!(!bench.turn(at(now)));
    }
    bench.source.note_miss();
    assert!(!bench.turn(at(90)));
    assert!(bench.turn(at(91)));
}

#[test]
fn a_stopping_server_ends_the_fetch_and_begins_none() {
    let mut bench = Bench::new();
    assert!(bench.turn(at(0)));
    let channel = bench.running.as_ref().unwrap().channel.clone();
    assert!(
        channel.starts_with("chat:") && channel.len() == 41,
        "{channel}"
    );
    let Some(Query::Cancel(cancelled)) = bench.ask(at(1), true) else {
        panic!("the run is ended");
    };
    assert_eq!(cancelled, channel);
    assert!(bench.ask(at(1), true).is_none(), "once");
    bench.end(None);
    assert!(bench.ask(at(9999), true).is_none());
}

#[test]
fn two_kinds_of_tokens_share_a_set_where_they_share_its_url() {
    let mut sources = [URL, URL].map(KeySource::endpoint);
    let mut fetcher = Fetcher::new([server(URL), server(URL)]);
    let mut random = |_: &mut [u8]| {};
    let mut cx = WishCx::new(at(0), false, &mut random);
    let Some(Query::Submit(running)) = fetcher.wish(&mut sources, &mut cx) else {
        panic!("a fetch");
    };
    assert!(fetcher.wish(&mut sources, &mut cx).is_none());
    let mut bench = Bench {
        running: Some(running),
        ..Bench::new()
    };
    bench.end(Some(JWKS));
    assert!(fetcher.wish(&mut sources, &mut cx).is_none());
    assert!(sources.iter().all(|source| !source.keys().is_empty()));
    // With two URLs there are two fetches, one a turn, and each set goes to its own.
    let other = "https://other.example/keys";
    let mut sources = [URL, other].map(KeySource::endpoint);
    let mut fetcher = Fetcher::new([server(URL), server(other)]);
    let Some(Query::Submit(_)) = fetcher.wish(&mut sources, &mut cx) else {
        panic!("the first");
    };
    assert_eq!(
        fetcher.wish_at(),
        Some(Moment(0)),
        "the second is due at once"
    );
    let Some(Query::Submit(running)) = fetcher.wish(&mut sources, &mut cx) else {
        panic!("the second");
    };
    bench.running = Some(running);
    bench.end(Some(JWKS));
    assert!(fetcher.wish(&mut sources, &mut cx).is_none());
    assert_eq!(
        sources.map(|source| source.keys().is_empty()),
        [true, false]
    );
}

#[test]
fn without_a_url_there_is_nothing_to_wish() {
    let mut fetcher = Fetcher::new([]);
    let mut random = |_: &mut [u8]| {};
    let mut cx = WishCx::new(at(0), false, &mut random);
    assert!(fetcher.wish([], &mut cx).is_none());
    assert_eq!(fetcher.wish_at(), None);
}

#[test]
fn the_document_is_named_as_it_was_written() {
    for (url, want) in [
        ("https://h", "/"),
        ("https://h/", "/"),
        ("https://h/keys/", "/keys/"),
        ("https://h:1/a/b?c=/d/", "/a/b?c=/d/"),
        ("https://h?c", "/?c"),
        ("http://[::1]:80/a", "/a"),
    ] {
        assert_eq!(server(url).target(), want, "{url}");
    }
    for url in ["", "h/keys", "ftp://h/", "https://u:p@h/", "https://h/#a"] {
        assert!(KeyServer::new(url, Trust::public(), None).is_err(), "{url}");
    }
}
