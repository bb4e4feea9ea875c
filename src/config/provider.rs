//! `[provider.*]`: named instances of the plugins, opened.
//!
//! The keys that every provider takes are read here; the rest of a section belongs to its
//! plugin. The `OPENAI_*` variables replace the keys of `[provider.openai]`, or make it.

use std::collections::BTreeMap;

use lmserver_runtime::routing::Instance;

use super::Inputs;
use super::environment::Environment;
use super::keys::Keys;
use super::outward::Shared;
use super::report::{Finding, Place, Report};
use super::section::Section;

mod reader;

use reader::Reader;

/// What was configured about a provider, to be told. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The name of the instance.
    pub name: String,
    /// The plugin.
    pub kind: String,
    /// Where it connects; none for one that needs no connection.
    pub endpoint: Option<String>,
    /// Its own default model.
    pub model: Option<String>,
}

/// All providers of a configuration.
pub(super) struct Providers {
    /// Those that could be opened, in the order of the file.
    pub(super) opened: Vec<(Instance, Configured)>,
    /// The names and places of all, opened or not.
    pub(super) declared: BTreeMap<String, Place>,
    /// Whether `echo` stands in because nothing is configured.
    pub(super) is_offline: bool,
}

impl Providers {
    pub(super) fn read<'a>(
        mut sections: Vec<(String, Section<'a>)>,
        root: &Section<'a>,
        inputs: Inputs<'_>,
        shared: &Shared,
        keys: &mut Keys,
        report: &mut Report,
    ) -> Self {
        sections.extend(from_environment(&sections, root, inputs.environment));
        let is_offline = sections.is_empty() && !root.is_present();
        if is_offline {
            sections.push((ECHO.to_owned(), root.absent("provider.echo")));
            report.add(offline(root.header().clone()));
        }
        if sections.is_empty() && root.is_whole() {
            report.add(silent(root.header().clone()));
        }
        let mut providers = Self {
            opened: Vec::new(),
            declared: BTreeMap::new(),
            is_offline,
        };
        for (name, section) in sections {
            providers
                .declared
                .insert(name.clone(), section.header().clone());
            let reader = Reader::new(name, section, inputs, shared);
            providers.opened.extend(reader.read(keys, report));
        }
        providers
    }
}

/// The section that a variable makes where the file has none of that name.
fn from_environment<'a>(
    sections: &[(String, Section<'a>)],
    root: &Section<'a>,
    environment: &Environment,
) -> Option<(String, Section<'a>)> {
    let makes = ["OPENAI_API_KEY", "OPENAI_BASE_URL"];
    let variable = makes
        .into_iter()
        .find(|name| environment.get(name).is_some())?;
    let is_there = sections.iter().any(|(name, _)| name == OPENAI);
    let section = root
        .absent("provider.openai")
        .at(Place::Environment(variable));
    (!is_there).then(|| (OPENAI.to_owned(), section))
}

fn silent(place: Place) -> Finding {
    let problem = "no provider is configured: nobody answers chats, only publishing works";
    let fix = "add [provider.openai] with its api_key, set OPENAI_API_KEY, or add [provider.echo] \
               to try it offline";
    Finding::warning(place, problem, fix)
}

fn offline(place: Place) -> Finding {
    Finding::warning(
        place,
        "no configuration file and no OPENAI_API_KEY: the built-in offline provider `echo` \
         answers with the user's own words",
        "set OPENAI_API_KEY, or write lmserver.toml (see lmserver.example.toml)",
    )
}

/// The provider that the `OPENAI_*` variables are about.
const OPENAI: &str = "openai";

/// Its default model.
const OPENAI_MODEL: &str = "gpt-4o-mini";

/// The provider that needs no account, and its only model.
const ECHO: &str = "echo";
