//! A server in its world, and the ways to run it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use lmserver::access::{History, Namespaces, Policy, PolicySettings};
use lmserver::api::{Api, ApiSettings, TOKEN_LIFETIME};
use lmserver::runtime::limits::{ChannelLimits, Limits};
use lmserver::runtime::plugin::provider::{
    BaseUrl, OpenProvider, PluginSection, ProviderSettings, Secret,
};
use lmserver::runtime::plugin::service::Service;
use lmserver::runtime::plugin::transport::Transport;
use lmserver::runtime::reactor::Reactor;
use lmserver::runtime::routing::{Instance, Plan, ProviderTimers, Resilience, Routing, Target};
use lmserver::runtime::sys::ListenAddr;
use lmserver::runtime::sys::sim::{Faults, Host, Name, Peer, PeerId, SimSys, Weather};
use lmserver::runtime::time::Moment;
use lmserver::runtime::tls::Trust;

/// Where the server listens.
pub(crate) const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Turns after which a world is taken to run for ever.
const MOST_TURNS: u64 = 2_000_000;

static TRUST: LazyLock<Trust> = LazyLock::new(Trust::public);

/// What a world is made of.
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    pub(crate) limits: Limits,
    pub(crate) channels: ChannelLimits,
    pub(crate) timers: ProviderTimers,
    /// How failures of the providers that are added from now on are dealt with. By default each
    /// target is tried once.
    pub(crate) resilience: Resilience,
    /// Do providers speak TLS?
    pub(crate) tls: bool,
    pub(crate) warm_connections: u32,
    /// The key of the providers that are added from now on.
    pub(crate) key: &'static str,
    /// What the configuration says when it is read again.
    pub(crate) reloads: Option<Arc<Routing>>,
    instances: BTreeMap<Box<str>, Arc<Instance>>,
    models: BTreeMap<Box<str>, Plan>,
}

impl Setup {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            faults: Faults::default(),
            limits: Limits::default(),
            channels: ChannelLimits::default(),
            timers: ProviderTimers::default(),
            resilience: Resilience {
                retries: 0,
                ..Resilience::default()
            },
            tls: false,
            key: "sk-sim",
            warm_connections: 0,
            reloads: None,
            instances: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }

    /// Adds the provider `echo`, which says a word every `delay`.
    pub(crate) fn echo(&mut self, delay: Duration) {
        self.instance("echo", lmserver_echo::open, None, delay);
    }

    /// Adds a provider that speaks Chat Completions with `host`.
    pub(crate) fn openai(&mut self, name: &str, host: &str) {
        let scheme = if self.tls { "https" } else { "http" };
        let url = BaseUrl::parse(&format!("{scheme}://{host}/v1")).unwrap();
        self.instance(name, lmserver_openai::open, Some(url), Duration::ZERO);
    }

    fn instance(
        &mut self,
        name: &str,
        open: OpenProvider,
        base_url: Option<BaseUrl>,
        delay: Duration,
    ) {
        let settings = ProviderSettings {
            name: name.into(),
            base_url,
            api_key: Some(Secret::new(self.key.into())),
            headers: BTreeMap::new(),
        };
        let provider = open(settings, &mut Keys { delay }).unwrap();
        let instance = Instance {
            name: name.into(),
            provider,
            timers: self.timers,
            trust: TRUST.clone(),
            proxy: None,
            warm_connections: self.warm_connections,
            resilience: self.resilience.clone(),
        };
        self.instances.insert(name.into(), Arc::new(instance));
    }

    /// A model's name stands for these targets, `provider/model` each.
    pub(crate) fn model(&mut self, name: &str, targets: &[String]) {
        let plan = Plan::in_order(targets.iter().map(|target| self.target(target)));
        self.models.insert(name.into(), plan);
    }

    /// A model's name stands for these groups of targets, each with its weight.
    pub(crate) fn balanced(&mut self, name: &str, groups: &[&[(&str, u32)]]) {
        let groups = groups.iter().map(|group| {
            let members = group.iter();
            let members = members.map(|(target, weight)| (self.target(target), *weight));
            members.collect()
        });
        let plan = Plan::of_groups(groups);
        self.models.insert(name.into(), plan);
    }

    fn target(&self, target: &str) -> Target {
        let (instance, model) = target.split_once('/').unwrap();
        Target {
            instance: Arc::clone(&self.instances[instance]),
            model: model.into(),
        }
    }

    /// The server, listening.
    pub(crate) fn build(self) -> World {
        let service = application(&self.channels, self.reloads.clone());
        self.build_with(Box::new(service))
    }

    /// The providers and models.
    pub(crate) fn routing(self) -> Arc<Routing> {
        Arc::new(Routing {
            providers: self.instances,
            models: self.models,
        })
    }

    /// The engine with another application, listening.
    pub(crate) fn build_with(self, service: Box<dyn Service>) -> World {
        let sys = SimSys::new(self.seed, self.faults);
        let (limits, channels) = (self.limits.clone(), self.channels.clone());
        let seed = self.seed;
        let mut reactor = Reactor::new(sys, service, self.routing(), limits, channels);
        reactor.listen(&ListenAddr::Tcp(SERVER), None).unwrap();
        World {
            reactor,
            blame: Blame(seed),
            turns: 0,
            checks: true,
        }
    }
}

/// The application as it is by default, with open channels.
fn application(channels: &ChannelLimits, reloads: Option<Arc<Routing>>) -> Api {
    let transports: [(&str, Box<dyn Transport>); 2] = [
        ("sse", Box::new(lmserver_sse::Sse)),
        ("websocket", Box::new(lmserver_websocket::WebSocket)),
    ];
    let history = History {
        size: channels.history_size,
        ttl: channels.history_ttl,
        meta_ttl: channels.history_ttl,
    };
    let centrifuge = lmserver_centrifuge::Centrifuge::new([5; 16]);
    let clients = centrifuge.transports().into_iter();
    let mut settings = PolicySettings::new(Namespaces::new(Some(history)));
    settings.connecting.without_token = true;
    Api::new(ApiSettings {
        api_keys: Vec::new(),
        is_server_api_open: true,
        token_secret: None,
        token_lifetime: TOKEN_LIFETIME,
        allowed_origins: None,
        page: true,
        policy: Policy::new(settings),
        transports: transports.map(|(name, it)| (name.into(), it)).into(),
        client_transports: clients.map(|(name, it)| (name.into(), it)).collect(),
        node: centrifuge.node().into(),
        llm_patience: lmserver::api::Patience::default(),
        fetcher: lmserver::token::Fetcher::default(),
        reload: Box::new(move || reloads.clone()),
    })
}

/// A provider's own keys.
struct Keys {
    delay: Duration,
}

impl PluginSection for Keys {
    fn take_string(&mut self, _: &str) -> Option<String> {
        None
    }
    fn take_bool(&mut self, _: &str) -> Option<bool> {
        None
    }
    fn take_integer(&mut self, _: &str) -> Option<i64> {
        None
    }
    fn take_duration(&mut self, key: &str) -> Option<Duration> {
        (key == "delay").then_some(self.delay)
    }
    fn reject(&mut self, key: &str, mistake: &str) {
        panic!("{key}: {mistake}");
    }
}

/// Names the seed of a world that failed.
struct Blame(u64);

impl Drop for Blame {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("a world failed: its seed is {}", self.0);
        }
    }
}

/// A server in its world.
pub(crate) struct World {
    pub(crate) reactor: Reactor<SimSys>,
    blame: Blame,
    turns: u64,
    /// Are the tables checked after every turn?
    pub(crate) checks: bool,
}

impl World {
    pub(crate) fn sys(&mut self) -> &mut SimSys {
        self.reactor.sys_mut()
    }

    pub(crate) fn now(&mut self) -> Moment {
        use lmserver::runtime::sys::Sys;
        self.sys().now()
    }

    pub(crate) fn add(&mut self, peer: impl Peer) -> PeerId {
        self.sys().add(peer)
    }

    pub(crate) fn peer<T: Peer>(&self, id: PeerId) -> &T {
        self.reactor.sys().peer(id).unwrap()
    }

    /// A host of this name at `addr`, served by a peer.
    pub(crate) fn host(&mut self, name: &str, addr: SocketAddr, peer: PeerId, weather: Weather) {
        self.sys().host(addr, Host::Accepts(peer, 1, weather));
        let takes = Some(Duration::from_millis(1));
        self.sys().name(
            name,
            Name {
                addrs: Ok(vec![addr.ip()]),
                takes,
            },
        );
    }

    /// One turn. False: the server has stopped.
    pub(crate) fn turn(&mut self) -> bool {
        let goes_on = match self.reactor.turn() {
            Ok(goes_on) => goes_on,
            Err(error) => panic!("seed {}: {error}", self.blame.0),
        };
        self.turns += 1;
        if self.checks
            && let Err(mistake) = self.reactor.check()
        {
            panic!(
                "seed {}: {mistake}\n{}",
                self.blame.0,
                self.reactor.sys().dump()
            );
        }
        assert!(
            self.turns < MOST_TURNS,
            "it never ends: {}",
            self.reactor.sys().dump()
        );
        goes_on
    }

    /// Runs until every peer is done, at most until `limit`.
    pub(crate) fn run(&mut self, limit: Duration) {
        let limit = self.now() + limit;
        while !self.sys().all_done() {
            assert!(self.turn(), "the server stopped by itself");
            assert!(
                self.now() < limit,
                "not done in time: {}",
                self.reactor.sys().dump()
            );
        }
    }

    /// Runs for a time, whatever the peers do.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now() + time;
        self.sys().return_at(until);
        while self.now() < until {
            assert!(self.turn(), "the server stopped by itself");
        }
    }

    /// Runs until the server has stopped.
    pub(crate) fn run_to_stop(&mut self, limit: Duration) {
        let limit = self.now() + limit;
        while self.turn() {
            assert!(
                self.now() < limit,
                "it does not stop: {}",
                self.reactor.sys().dump()
            );
        }
    }

    /// After all peers are done: nothing may be left but what is kept for a time, and after that
    /// time nothing at all.
    pub(crate) fn expect_nothing_left(&mut self) {
        self.pass(Duration::from_secs(4000));
        let metrics = self.reactor.metrics();
        let left = (
            metrics.connections,
            metrics.sessions,
            metrics.runs,
            metrics.channels,
        );
        assert_eq!(
            left,
            (0, 0, 0, 0),
            "left: {metrics:?}\n{}",
            self.reactor.sys().dump()
        );
        assert_eq!(metrics.channel_bytes, 0);
        assert!(self.reactor.is_quiet(), "{}", self.reactor.sys().dump());
        assert_eq!(
            self.reactor.sys().open_sockets(),
            1,
            "{}",
            self.reactor.sys().dump()
        );
        assert_eq!(metrics.panics, 0);
    }
}
