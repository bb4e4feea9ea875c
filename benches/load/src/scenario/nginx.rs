//! A provider's answers through lmserver, beside nginx as a plain pass-through, in the same run.
//!
//! Windows of the ways alternate, each of which has a server of its own: none is warm from another
//! way's window. In each window all clients ask once, on connections that are kept, and read
//! their answers to the end; the server's CPU in the window, requests and ends included, is divided
//! by its tokens. All servers are started anew a few times: where a process happens to lie in memory
//! makes a tenth.

use std::net::SocketAddrV4;
use std::time::Duration;

use crate::mock::{self, Mock};
use crate::publisher::API_KEY;
use crate::stats::{median, percentile};
use crate::streams::{Seen, Streams};
use crate::subject::{Programs, Server};
use crate::table::Table;

const PAUSE: Duration = Duration::from_millis(20);
const TOKENS: usize = 100;
/// Streams where the provider pauses, starts of all servers, and rounds at each. Few tokens a window need
/// more of them.
const PACED: [(usize, usize, usize); 3] = [(1, 8, 3), (50, 4, 4), (500, 4, 4)];
/// Streams, and tokens of each where the provider never pauses; an answer has to fit a channel.
const EAGER: [(usize, usize); 3] = [(1, 40_000), (50, 1_200), (500, 120)];
const EAGER_ROUNDS: usize = 16;
/// Requests for one token, one after the other, in each of so many rounds: short ones, since the
/// machine is faster in some seconds than in others.
const FIRSTS: usize = 20;
const FIRST_ROUNDS: usize = 12;
const FIRST_STARTS: usize = 16;
/// How long lmserver keeps an answer after its end.
const KEPT: Duration = Duration::from_secs(1);
const MIB: f64 = 1024.0 * 1024.0;

/// How a client reaches the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// lmserver's `POST /v1/chat/completions`.
    Completions,
    /// lmserver's `POST /api/chat`, answered as an event stream.
    Chat,
    Nginx,
    Direct,
}

const WAYS: [Way; 4] = [Way::Completions, Way::Chat, Way::Nginx, Way::Direct];

/// The orders of the ways in the rounds. A window finds the machine as the one before it left it: behind
/// direct requests, for one, the core of the servers has slept. So none follows another by rule; shuffled
/// alike in each run.
#[derive(Default)]
struct Orders {
    state: u64,
    last: Option<usize>,
}

impl Orders {
    /// The order of the next round. No way follows itself.
    fn next(&mut self, ways: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..ways).collect();
        loop {
            for place in (1..ways).rev() {
                order.swap(place, self.number() as usize % (place + 1));
            }
            if order.first().copied() != self.last {
                self.last = order.last().copied();
                return order;
            }
        }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) >> 1
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Completions => "/v1/chat/completions",
            Self::Chat => "/api/chat and SSE",
            Self::Nginx => "nginx",
            Self::Direct => "direct",
        }
    }

    /// Most of nginx's CPU a token, with pauses and without.
    fn targets(self) -> [f64; 2] {
        match self {
            Self::Completions => [0.9, 1.2],
            _ => [1.1, 1.5],
        }
    }
}

/// The provider, the servers, and where each way begins.
struct Field {
    _mock: Mock,
    completions: Server,
    chat: Server,
    nginx: Server,
    provider: SocketAddrV4,
}

impl Field {
    fn start(programs: &Programs) -> Result<Self, String> {
        let mock = Mock::start()?;
        let provider = mock.address;
        let lmserver = || {
            Server::configured(programs, |address| {
                super::answering(address, provider, KEPT, "")
            })
        };
        Ok(Self {
            completions: lmserver()?,
            chat: lmserver()?,
            nginx: Server::nginx(provider)?,
            provider,
            _mock: mock,
        })
    }

    fn server(&self, way: Way) -> Option<&Server> {
        match way {
            Way::Completions => Some(&self.completions),
            Way::Chat => Some(&self.chat),
            Way::Nginx => Some(&self.nginx),
            Way::Direct => None,
        }
    }

    fn connect(&self, way: Way, count: usize) -> Result<Streams, String> {
        let address = self.server(way).map_or(self.provider, |it| it.address);
        Streams::connect(address, count)
    }
}

/// What one way's windows told.
#[derive(Default)]
struct Told {
    /// Nanoseconds a token, of each window.
    cpu: Vec<f64>,
    /// Median and p99 of the delays, in microseconds, of each window.
    medians: Vec<f64>,
    p99s: Vec<f64>,
    /// Tokens in one read of a client.
    batch: f64,
}

pub fn run(programs: &Programs) -> Result<Table, String> {
    let mut table = Table::new("A provider's answers, beside nginx", ["lmserver", "nginx"]);
    first_tokens(programs, &mut table)?;
    for (streams, starts, rounds) in PACED {
        let mut told: [Told; 4] = Default::default();
        let mut orders = Orders::default();
        for _ in 0..starts {
            let field = Field::start(programs)?;
            let load = (streams, TOKENS, PAUSE);
            windows(&field, load, rounds, &mut orders, &mut told)?;
        }
        let what = format!("{streams} streams, 20 ms");
        cpu_rows(&mut table, &what, &told, 0);
        delay_rows(&mut table, &what, &told);
    }
    let field = Field::start(programs)?;
    for (streams, tokens) in EAGER {
        let mut told: [Told; 4] = Default::default();
        let mut orders = Orders::default();
        let load = (streams, tokens, Duration::ZERO);
        windows(&field, load, EAGER_ROUNDS, &mut orders, &mut told)?;
        let what = format!("{streams} streams, no delay");
        cpu_rows(&mut table, &what, &told, 1);
    }
    drop(field);
    memory(programs, &mut table)?;
    Ok(table)
}

/// Alternating windows of all ways, with a load of streams, tokens of each, and the pause between them.
/// Of the way without a server only times are of interest.
fn windows(
    field: &Field,
    (streams, tokens, pause): (usize, usize, Duration),
    rounds: usize,
    orders: &mut Orders,
    told: &mut [Told; 4],
) -> Result<(), String> {
    let mut clients = Vec::new();
    for way in WAYS {
        clients.push(field.connect(way, streams)?);
    }
    // The odd step keeps the streams' tokens apart from each other.
    let spread = Duration::from_micros(1013) * streams as u32;
    let spread = if pause.is_zero() {
        Duration::ZERO
    } else {
        spread
    };
    // Without pauses the way without a server has no times to tell.
    let ways = WAYS.len() - usize::from(pause.is_zero());
    for round in 0..=rounds {
        for at in orders.next(ways) {
            let (way, told) = (WAYS[at], &mut told[at]);
            let request = request(way, &mock::model(tokens, pause, pause));
            let server = field.server(way);
            let before = server.map_or(0, Server::settled_cpu);
            let seen = clients[at]
                .ask(&request, tokens, spread)
                .map_err(|e| format!("{}: {e}", way.name()))?;
            let spent = server.map_or(0, Server::settled_cpu) - before;
            if std::env::var_os("VERBOSE").is_some() {
                println!(
                    "{:22} {streams} streams: {:.2} us a token, {:.2} tokens a read, {} bytes",
                    way.name(),
                    spent as f64 / seen.tokens as f64 / 1e3,
                    seen.tokens as f64 / seen.reads as f64,
                    seen.bytes
                );
            }
            // The first round opens connections and warms up.
            if round > 0 {
                told.take(&seen, spent);
            }
        }
    }
    Ok(())
}

impl Told {
    fn take(&mut self, seen: &Seen, spent: u64) {
        self.cpu.push(spent as f64 / seen.tokens as f64);
        self.medians.push(median(&seen.delays));
        self.p99s.push(percentile(&seen.delays, 0.99));
        self.batch = seen.tokens as f64 / seen.reads as f64;
    }
}

fn cpu_rows(table: &mut Table, what: &str, told: &[Told; 4], target: usize) {
    let nginx = &told[2];
    for (way, own) in WAYS.iter().zip(told).take(2) {
        let ratios: Vec<f64> = own.cpu.iter().zip(&nginx.cpu).map(|(a, b)| a / b).collect();
        let ratio = median(&ratios);
        let cell = |told: &Told| format!("{:.2} us", median(&told.cpu) / 1e3);
        let cells = [cell(own), cell(nginx), format!("{ratio:.2}")];
        let what = format!("{what}: CPU a token, {}", way.name());
        table.at_most(&what, cells, ratio, way.targets()[target]);
        let cell = |told: &Told| format!("{:.2}", told.batch);
        table.note(
            "  tokens in one read",
            [cell(own), cell(nginx), String::new()],
        );
    }
}

/// Of the windows' percentiles the medians: in a percentile of all tokens stand the machine's own hiccups of
/// milliseconds, each of which comes to one server or the other.
fn delay_rows(table: &mut Table, what: &str, told: &[Told; 4]) {
    for (way, own) in WAYS.iter().zip(told).take(2) {
        let all = [own, &told[2], &told[3]];
        let medians = all.map(|told| median(&told.medians));
        let p99s = all.map(|told| median(&told.p99s));
        for (name, [own, nginx, direct]) in [("median", medians), ("p99", p99s)] {
            let what = format!("{what}: a token's added time, {name}, {}", way.name());
            added_row(table, &what, [own - direct, nginx - direct], 1.1);
        }
    }
}

fn added_row(table: &mut Table, what: &str, [own, nginx]: [f64; 2], target: f64) {
    let ratio = own / nginx;
    let cells = [
        format!("+{own:.1} us"),
        format!("+{nginx:.1} us"),
        format!("{ratio:.2}"),
    ];
    table.at_most(what, cells, ratio, target);
}

/// Short answers one after the other: what is added before the first token. Of the slow ones the
/// slowest of a round is told, and of those the median, as of the tokens' percentiles.
fn first_tokens(programs: &Programs, table: &mut Table) -> Result<(), String> {
    let mut first: [Vec<f64>; 4] = Default::default();
    let mut slowest: [Vec<f64>; 4] = Default::default();
    let mut orders = Orders::default();
    for _ in 0..FIRST_STARTS {
        let field = Field::start(programs)?;
        let mut clients = Vec::new();
        for way in WAYS {
            clients.push(field.connect(way, 1)?);
        }
        for round in 0..=FIRST_ROUNDS {
            for at in orders.next(WAYS.len()) {
                let mut seen = ask_for_firsts(&mut clients[at], WAYS[at])?;
                // The first round opens connections and warms up.
                if round > 0 {
                    slowest[at].push(percentile(&seen, 1.0));
                    first[at].append(&mut seen);
                }
            }
        }
    }
    let direct = median(&first[3]);
    for (name, lists) in [("median", &first), ("slowest of 20", &slowest)] {
        let at = lists.each_ref().map(|list| median(list));
        for way in [0, 1] {
            let what = format!("first token's added time, {name}, {}", WAYS[way].name());
            added_row(table, &what, [at[way] - direct, at[2] - direct], 1.0);
        }
    }
    Ok(())
}

/// The times to the first tokens of one round.
fn ask_for_firsts(client: &mut Streams, way: Way) -> Result<Vec<f64>, String> {
    let pause = Duration::from_millis(5);
    let request = request(way, &mock::model(1, pause, pause));
    let mut seen = Vec::with_capacity(FIRSTS);
    for _ in 0..FIRSTS {
        let answer = client.ask(&request, 1, Duration::ZERO);
        let answer = answer.map_err(|e| format!("{}: {e}", way.name()))?;
        seen.extend(answer.first);
    }
    Ok(seen)
}

/// The most memory of fresh servers with 500 streams open at once.
fn memory(programs: &Programs, table: &mut Table) -> Result<(), String> {
    let mut rss = Vec::new();
    for way in [Way::Completions, Way::Chat, Way::Nginx] {
        let field = Field::start(programs)?;
        let mut clients = field.connect(way, 500)?;
        let request = request(way, &mock::model(TOKENS, PAUSE, PAUSE));
        clients.ask(&request, TOKENS, Duration::from_millis(500))?;
        let server = field.server(way).ok_or("no server")?;
        rss.push(server.memory().peak as f64 / MIB);
    }
    let cell = |value: f64| format!("{value:.2} MiB");
    for way in [0, 1] {
        let cells = [cell(rss[way]), cell(rss[2]), String::new()];
        let what = format!("500 streams at once: RSS, {}", WAYS[way].name());
        table.at_most(&what, cells, rss[way], 12.0);
    }
    Ok(())
}

/// The same question on each way.
fn request(way: Way, model: &str) -> String {
    let messages = "[{\"role\":\"user\",\"content\":\"Hello\"}]";
    let (path, body) = match way {
        Way::Chat => (
            "/api/chat",
            format!("{{\"message\":\"Hello\",\"model\":\"mock/{model}\"}}"),
        ),
        Way::Completions | Way::Nginx | Way::Direct => {
            let prefix = if way == Way::Completions { "mock/" } else { "" };
            let body = format!(
                "{{\"model\":\"{prefix}{model}\",\"stream\":true,\"messages\":{messages}}}"
            );
            ("/v1/chat/completions", body)
        }
    };
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {API_KEY}\r\n\
         Authorization: Bearer {API_KEY}\r\nAccept: text/event-stream\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_follows_each_other_one_about_as_often_and_never_itself() {
        let mut orders = Orders::default();
        let mut after = [[0; 4]; 4];
        let mut last = None;
        for _ in 0..FIRST_STARTS * (FIRST_ROUNDS + 1) {
            for way in orders.next(4) {
                if let Some(last) = last {
                    after[way][last] += 1;
                }
                last = Some(way);
            }
        }
        for (way, after) in after.iter().enumerate() {
            for (other, count) in after.iter().enumerate() {
                let want = if way == other { 0..=0 } else { 50..=90 };
                assert!(want.contains(count), "{way} after {other}: {count}");
            }
        }
    }
}
