//! The contracts between the engine and what plugs into it.
//!
//! ```text
//!   Service    the application behind HTTP            one per reactor
//!   Transport  opens a Session per request to listen  factory, shared
//!   Provider   starts a Generation per attempt        factory, shared
//! ```
//!
//! Factories are immutable, but for what makes a machine cheaper and never shows, and `Send + Sync`. Machines
//! (`Session`, `Generation`) live and die on one thread. None of them sees a socket, a clock or another plugin.
//!
//! | module | has |
//! | --- | --- |
//! | [`service`], [`transport`], [`provider`] | the three contracts |
//! | [`query`] | what services and sessions ask the engine, and its answers |
//! | [`access`] | what transports of clients with commands ask the service |
//! | [`fast`] | the fast reader of the questions that most clients ask |
//! | [`stage`] | an engine for the tests of one session or service |

pub mod access;
pub mod fast;
pub mod provider;
pub mod query;
pub mod service;
pub mod stage;
pub mod transport;
