//! The engine of lmserver: one reactor, channels as logs, subscribers as cursors, plugins.
//!
//! ```text
//!   ids arena time event outbox timers limits metrics sys tls     the ground floor
//!     channel                                                      logs, views, registry
//!       effect plugin routing                                      contracts
//!         conn run                                                 connections, generations
//!           reactor                                                the loop
//! ```
//!
//! Start at [`reactor::Reactor`]: it owns everything, and its module shows the turn.

mod arena;
pub mod channel;
mod conn;
mod effect;
pub mod event;
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
