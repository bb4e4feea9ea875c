//! Whole servers in a simulated world: fake sockets, a clock that jumps, faults by seed.
//!
//! ```text
//!   Question, Watcher, Upstream, …   peers: what browsers, curl and providers do
//!        │ lines with latency and tiny windows
//!   Reactor<SimSys>                  the engine, the transports and the providers themselves
//! ```
//!
//! `LMSERVER_WORLDS` sets how many random worlds are run, `LMSERVER_SEED` replays one.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

#[path = "sim/accept.rs"]
mod accept;
#[path = "sim/acknowledging.rs"]
mod acknowledging;
#[path = "sim/balance.rs"]
mod balance;
#[path = "sim/breaker.rs"]
mod breaker;
#[path = "sim/cancel.rs"]
mod cancel;
#[path = "sim/client.rs"]
mod client;
#[path = "sim/determinism.rs"]
mod determinism;
#[path = "sim/edge.rs"]
mod edge;
#[path = "sim/expiry.rs"]
mod expiry;
#[path = "sim/heartbeat.rs"]
mod heartbeat;
#[cfg(feature = "llm-api")]
#[path = "sim/ingress.rs"]
mod ingress;
#[path = "sim/issuer.rs"]
mod issuer;
#[path = "sim/keys.rs"]
mod keys;
#[path = "sim/kill.rs"]
mod kill;
#[path = "sim/many.rs"]
mod many;
#[path = "sim/open.rs"]
mod open;
#[path = "common/centrifugo_protobuf.rs"]
mod protobuf;
#[path = "sim/queue.rs"]
mod queue;
#[path = "sim/random.rs"]
mod random;
#[path = "sim/reach.rs"]
mod reach;
#[path = "sim/recorded.rs"]
mod recorded;
#[path = "sim/recovery.rs"]
mod recovery;
#[path = "sim/retry.rs"]
mod retry;
#[path = "sim/routes.rs"]
mod routes;
#[path = "sim/scene.rs"]
mod scene;
#[path = "sim/script.rs"]
mod script;
#[path = "sim/sdk.rs"]
mod sdk;
#[path = "common/signer.rs"]
mod signer;
#[path = "sim/slow.rs"]
mod slow;
#[path = "sim/stop.rs"]
mod stop;
#[path = "sim/timers.rs"]
mod timers;
#[path = "sim/town.rs"]
mod town;
#[path = "sim/upstream.rs"]
mod upstream;
#[path = "sim/usage.rs"]
mod usage;
#[path = "sim/warm.rs"]
mod warm;
#[path = "sim/watcher.rs"]
mod watcher;
#[path = "sim/world.rs"]
mod world;
