//! The contracts between the engine and what plugs into it.
//!
//! ```text
//!   Service    the application behind HTTP          one per reactor
//!   Transport  opens a Session per subscription     factory, shared
//!   Provider   starts a Generation per attempt      factory, shared
//! ```
//!
//! Factories are immutable and `Send + Sync`. Machines (`Session`, `Generation`) live and die on
//! one thread. None of them sees a socket, a clock or another plugin.

pub mod access;
pub mod plain;
pub mod provider;
pub mod query;
pub mod service;
pub mod stage;
pub mod transport;
