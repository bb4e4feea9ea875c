//! The engine of lmserver: one reactor, channels as logs, subscribers as cursors, plugins.
//!
//! ```text
//!   ids time arena event encoding timers outbox limits accounts metrics sys tls   the ground floor
//!     channel                                                                     logs, views, registry
//!       effect routing plugin directory                                           contracts
//!         http_provider                                                           shared by plugins over HTTP
//!         run                                                                     attempts, idle connections
//!           conn                                                                  roles, links, writing
//!             reactor                                                             the loop
//! ```
//!
//! A file imports from its own line and the lines above it, never from one below, and no two files
//! import each other.
//!
//! Start at [`reactor::Reactor`]: it owns everything, and its module shows the turn.

pub mod accounts;
mod arena;
pub mod channel;
mod conn;
pub mod directory;
mod effect;
mod encoding;
pub mod event;
pub mod http_provider;
pub mod ids;
pub mod limits;
pub mod metrics;
mod outbox;
pub mod plugin;
pub mod reactor;
pub mod routing;
mod run;
pub mod sys;
pub mod time;
mod timers;
pub mod tls;
