//! The engine of lmserver: one reactor, channels as logs, subscribers as cursors, plugins.

mod arena;
pub mod event;
pub mod ids;
pub mod plugin;
pub mod time;
