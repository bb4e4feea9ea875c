//! What the providers that speak HTTP have in common; a plugin adds its own words to it.
//!
//! ```text
//!   ChatRequest ──► Question (typed view) ──► the plugin's body ──► Instance::post ──► Upstream
//!
//!   bytes ──► HttpGeneration (HTTP, content coding, refusals) ──► dyn Format ──► outputs
//!                    │                                               └ EventStream ──► dyn Events, the plugin's
//!                    └──► ProviderError                                                   └ Answer
//! ```
//!
//! | part | does |
//! | --- | --- |
//! | [`Instance`] | reads the section: where the server is, which header fields every request has |
//! | [`Api`] | the plugin's two functions, of which [`Instance::provider`] makes a provider |
//! | [`Question`] | reads a request: turns, parts, tools; refuses what a provider cannot express |
//! | [`HttpGeneration`] | one generation: the HTTP exchange, the coding of its body, refusals, reuse |
//! | [`EventStream`] | a body of server-sent events, or the JSON document that came in its place |
//! | [`Answer`] | what every format keeps: tool calls, usage, the finish reason, the one end |
//! | [`Speaker`] | turns whatever reports an error into a [`ProviderError`](crate::plugin::provider::ProviderError) without keys in it |
//! | [`Template`] | what the events of one answer have in common, so that it is not read again |
//! | [`Patterns`] | the same for the answers of one server |
//! | [`json`] | JSON as servers really send it |
//!
//! A provider of another framing (lines of JSON, binary messages) implements [`Format`] instead of
//! [`Events`]; one that does not speak HTTP needs nothing of this module.

mod answer;
mod error;
mod event_stream;
mod finish;
mod generation;
mod hints;
mod instance;
pub mod json;
mod pattern;
mod provider;
mod question;
mod redact;
mod seeds;
mod stray;
mod template;
mod tool_calls;

pub use answer::Answer;
pub use error::{Hints, Speaker};
pub use event_stream::{EventStream, Events};
pub use finish::Finish;
pub use generation::{Format, HttpGeneration};
pub use instance::{Auth, Defaults, Instance};
pub use pattern::{Pattern, Patterns};
pub use provider::Api;
pub use question::{
    Call, Effort, Part, Question, ResponseFormat, Role, Source, Tool, ToolChoice, Turn, called_name,
};
pub use template::Template;
pub use tool_calls::Fragment;
