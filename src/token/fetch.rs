//! Key sets that are fetched from a URL: when, and what becomes of them.
//!
//! ```text
//!              start, every hour, after a failure, a `kid` that no key has
//!                 │
//! wish() ─► Query::Submit ─► the engine runs it like a question: name, proxy, TLS, deadlines
//!   ▲                            └─► download ─► found ─┐
//!   └── KeySource::replace() ◄── the run is over ◄──────┘
//! ```
//!
//! A fetch is a run of the engine in a chat channel whose name nobody can guess; its events say
//! that it began and how it ended, nothing about keys. So it is over when nobody but the fetcher
//! holds the place for what was found, however it ended: refused, failed, cancelled or whole.
//!
//! A set that cannot be fetched or read leaves the former one in place. Anybody can make up a
//! `kid`, so fetches because of one begin [`PAUSE`] apart.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lmserver_runtime::plugin::provider::{BaseUrl, InvalidUrl};
use lmserver_runtime::plugin::service::{NO_KEY, Query, Submission, WishCx};
use lmserver_runtime::routing::{Instance, Plan, ProviderTimers, Proxy, Resilience, Target};
use lmserver_runtime::time::Moment;
use lmserver_runtime::tls::Trust;

use super::KeySource;

mod download;

use download::{Download, Found};

/// Where a key set comes from, and the way there.
#[derive(Clone, Debug)]
pub struct KeyServer {
    url: Box<str>,
    base: BaseUrl,
    trust: Trust,
    proxy: Option<Proxy>,
}

impl KeyServer {
    /// The server of a URL. `proxy` is what HTTPS goes through.
    ///
    /// # Errors
    ///
    /// What is no URL of `http` or `https`.
    pub fn new(url: &str, trust: Trust, proxy: Option<Proxy>) -> Result<Self, InvalidUrl> {
        Ok(Self {
            url: url.into(),
            base: BaseUrl::parse(url)?,
            trust,
            proxy,
        })
    }

    /// The URL, as a [`KeySource`] names it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Path and query as they were written: a slash at the end is part of the name.
    fn target(&self) -> String {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find(['/', '?']).and_then(|at| rest.get(at..));
        match path {
            None => "/".to_owned(),
            Some(path) if path.starts_with('?') => format!("/{path}"),
            Some(path) => path.to_owned(),
        }
    }

    /// A provider whose only answer is the set, which it puts into `found`.
    fn instance(&self, found: &Found) -> Instance {
        Instance {
            name: "jwks_public_endpoint".into(),
            provider: Box::new(Download::new(
                self.base.endpoint.clone(),
                &self.base.host_field(),
                &self.target(),
                Arc::clone(found),
            )),
            timers: TIMERS,
            trust: self.trust.clone(),
            proxy: self.proxy.clone(),
            // The schedule says when to try again.
            resilience: Resilience::NONE,
            warm_connections: 0,
        }
    }
}

/// Fetches key sets, each on its own schedule.
#[derive(Debug, Default)]
pub struct Fetcher {
    /// One for each URL: at most two, as there are two kinds of tokens.
    sets: Vec<Fetched>,
}

/// A key set that is fetched.
#[derive(Debug)]
struct Fetched {
    server: KeyServer,
    schedule: Schedule,
    fetch: Option<Fetch>,
}

/// A fetch that goes on.
#[derive(Debug)]
struct Fetch {
    channel: Box<str>,
    found: Found,
    is_cancelled: bool,
}

impl Fetcher {
    /// Fetches from these servers; one that is named twice is asked once.
    #[must_use]
    pub fn new(servers: impl IntoIterator<Item = KeyServer>) -> Self {
        let mut sets: Vec<Fetched> = Vec::new();
        for server in servers {
            if !sets.iter().any(|set| set.server.url == server.url) {
                sets.push(Fetched {
                    server,
                    schedule: Schedule::default(),
                    fetch: None,
                });
            }
        }
        Self { sets }
    }

    /// Puts what was fetched into the sources of its URL, and says what to ask the engine. It is
    /// called at most once a turn; there are at most two sources, one for each kind of token.
    pub fn wish<'a>(
        &mut self,
        sources: impl IntoIterator<Item = &'a mut KeySource>,
        cx: &mut WishCx<'_>,
    ) -> Option<Query> {
        if self.sets.is_empty() {
            return None;
        }
        let mut sources = sources.into_iter();
        let mut sources = [sources.next(), sources.next()];
        for set in &mut self.sets {
            set.attend(&mut sources, cx.now);
        }
        self.sets.iter_mut().find_map(|set| set.wish(cx))
    }

    /// When the next fetch is due, or the end of one to be attended to; never while all go on.
    #[must_use]
    pub fn wish_at(&self) -> Option<Moment> {
        self.sets.iter().filter_map(Fetched::wish_at).min()
    }
}

impl Fetched {
    /// Looks what the sources lack and what has become of the fetch.
    fn attend(&mut self, sources: &mut [Option<&mut KeySource>; 2], now: Moment) {
        let over = self.fetch.as_mut().and_then(Fetch::take_if_over);
        let mut replaced = Ok(false);
        for source in sources.iter_mut().flatten() {
            if source.url() != Some(self.server.url()) {
                continue;
            }
            if source.take_miss() {
                self.schedule.want();
            }
            if let Some(Some(json)) = &over {
                replaced = source.replace(json);
            }
        }
        let Some(found) = over else { return };
        self.fetch = None;
        let host = &self.server.base.endpoint.host;
        match (found, replaced) {
            (Some(_), Ok(is_other)) => {
                self.schedule.succeed(now);
                let level = if is_other {
                    log::Level::Info
                } else {
                    log::Level::Debug
                };
                log::log!(level, "the key set of {host} was fetched");
            }
            (found, replaced) => {
                let wait = self.schedule.fail(now).as_secs();
                // Why there is none was said when the run failed.
                let why = match (found, replaced) {
                    (Some(_), Err(problem)) => format!("is of no use: {problem}"),
                    _ => "was not fetched".to_owned(),
                };
                log::warn!("the key set of {host} {why}; the former stays, next try in {wait} s");
            }
        }
    }

    fn wish_at(&self) -> Option<Moment> {
        match &self.fetch {
            None => Some(self.schedule.due()),
            // A run that was refused is over without a turn in which it ends.
            Some(fetch) => fetch.is_over().then_some(Moment(0)),
        }
    }

    /// Begins a fetch if one is due; ends it if the server stops.
    fn wish(&mut self, cx: &mut WishCx<'_>) -> Option<Query> {
        if let Some(fetch) = &mut self.fetch {
            let is_to_end = cx.draining && !std::mem::replace(&mut fetch.is_cancelled, cx.draining);
            return is_to_end.then(|| Query::Cancel(fetch.channel.clone()));
        }
        if cx.draining || cx.now < self.schedule.due() {
            return None;
        }
        self.schedule.begin(cx.now);
        let found = Found::default();
        let mut random = [0; 16];
        cx.random(&mut random);
        let name = uuid::Builder::from_random_bytes(random).into_uuid();
        let channel: Box<str> = format!("chat:{name}").into();
        let model = &self.server.base.endpoint.host;
        let submission = Submission {
            channel: channel.clone(),
            model: model.clone(),
            request: Box::default(),
            key: NO_KEY.into(),
            request_bytes: 0,
            plan: Plan::of_one(Target {
                instance: Arc::new(self.server.instance(&found)),
                model: model.clone(),
            }),
            idempotency: None,
            is_unattended: true,
            abandon_after: None,
            note: Box::default(),
        };
        self.fetch = Some(Fetch {
            channel,
            found,
            is_cancelled: false,
        });
        Some(Query::Submit(Box::new(submission)))
    }
}

impl Fetch {
    /// Has the run let go of the place for what it finds?
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.found) == 1
    }

    /// What was found, if anything, once it is over.
    fn take_if_over(&mut self) -> Option<Option<Box<[u8]>>> {
        Arc::get_mut(&mut self.found).map(OnceLock::take)
    }
}

/// When to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Schedule {
    /// When the next fetch begins in any case.
    next: Moment,
    /// When it may begin at the earliest.
    earliest: Moment,
    /// Fetches that failed since the last that did not.
    failures: u32,
    /// A token has named a key that is not in the set.
    is_wanted: bool,
}

impl Schedule {
    fn due(&self) -> Moment {
        if self.is_wanted {
            self.next.min(self.earliest)
        } else {
            self.next
        }
    }

    fn want(&mut self) {
        self.is_wanted = true;
    }

    fn begin(&mut self, now: Moment) {
        self.earliest = now + PAUSE;
    }

    /// Whoever lacked a key and lacks it still will ask again.
    fn succeed(&mut self, now: Moment) {
        self.failures = 0;
        self.is_wanted = false;
        self.next = now + REFRESH;
    }

    /// Says how long it waits.
    fn fail(&mut self, now: Moment) -> Duration {
        let doublings = self.failures.min(MOST_DOUBLINGS);
        let wait = PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.is_wanted = false;
        self.next = now + wait;
        wait
    }
}

/// From the beginning of a fetch to that of the next for the sake of an unknown key, and from a
/// first failure to the next try.
const PAUSE: Duration = Duration::from_secs(10);

/// The longest wait after failures, each of which doubles it.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// As often is [`PAUSE`] doubled before it is over [`LONGEST_PAUSE`].
const MOST_DOUBLINGS: u32 = 5;

/// How old a set gets before it is fetched again.
const REFRESH: Duration = Duration::from_secs(3600);

/// A set is small, and comes at once.
const TIMERS: ProviderTimers = ProviderTimers {
    connect: Duration::from_secs(5),
    first_event: Duration::from_secs(10),
    between_events: Duration::from_secs(10),
    total: Duration::from_secs(10),
};

#[cfg(test)]
mod tests;
