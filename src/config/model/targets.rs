//! `targets` of a model: who is asked in order, and who shares the work.
//!
//! ```toml
//! targets = ["a/m", ["b/m", { target = "c/m", weight = 3 }], "d/m"]
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use lmserver_runtime::routing::{Instance, MOST_TARGETS, Plan, Target};

use crate::config::keys::Keys;
use crate::config::nearest;
use crate::config::report::{Place, Report};
use crate::config::section::{Item, Kind, Section};

/// Joins the targets of models with the providers.
pub(super) struct Targets<'a> {
    pub(super) instances: &'a BTreeMap<Box<str>, Arc<Instance>>,
    pub(super) declared: &'a BTreeMap<String, Place>,
    pub(super) keys: &'a mut Keys,
    pub(super) report: &'a mut Report,
}

impl Targets<'_> {
    /// Reads one `[model.NAME]`.
    pub(super) fn read(&mut self, name: &str, mut section: Section<'_>) -> Plan {
        let fix = format!("write {FORM}");
        let written = section.items("targets", "a list of targets", &fix);
        if written.as_ref().map_or_else(
            || !section.has("targets") && section.is_whole(),
            Vec::is_empty,
        ) {
            section.mistake_at(
                "targets",
                format!("model `{name}` has no targets"),
                fix.clone(),
            );
        }
        let mut groups = Vec::new();
        let mut count = 0;
        for item in written.unwrap_or_default() {
            let (group, written) = self.group(&item, &mut section);
            count += written;
            groups.push(group);
        }
        if count > MOST_TARGETS {
            let problem = format!("model `{name}` has {count} targets");
            let fix = format!("name at most {MOST_TARGETS}");
            section.mistake_at("targets", problem, fix);
        }
        section.finish(self.keys, self.report);
        Plan::of_groups(groups)
    }

    /// Reads what is asked at one place in the order: a target, or those of a group. Says how many
    /// are written there.
    fn group(&mut self, item: &Item<'_>, section: &mut Section<'_>) -> (Vec<(Target, u32)>, usize) {
        let Kind::List(members) = item.kind() else {
            if let Kind::Table(_) = item.kind() {
                let problem = "a weight says how a group shares the work, and this stands alone";
                let fix = "write [{ target = \"provider/model\", weight = 3 }, \"other/model\"]";
                section.mistake(item.place(), problem, fix);
                return (Vec::new(), 1);
            }
            return (self.member(item, section).into_iter().collect(), 1);
        };
        if members.is_empty() {
            let problem = "a group without targets";
            section.mistake(item.place(), problem, "name its targets, or remove it");
        }
        let group = members.iter().filter_map(|it| self.member(it, section));
        (group.collect(), members.len())
    }

    /// Reads one target with its weight.
    fn member(&mut self, item: &Item<'_>, section: &mut Section<'_>) -> Option<(Target, u32)> {
        match item.kind() {
            Kind::Text(text) => Some((self.target(item.place(), text, section)?, 1)),
            Kind::Table(mut table) => {
                let weight = table.integer("weight", 1, HEAVIEST);
                let text = table.placed_string("target");
                if text.is_none() && !table.has("target") && table.is_whole() {
                    table.mistake_at("target", "a target without `target`", MEMBER);
                }
                let (has_weight, place) = (table.has("weight"), item.place());
                let target = text.and_then(|(_, text)| self.target(place, &text, &mut table));
                table.finish(self.keys, self.report);
                let weight = weight.or_else(|| (!has_weight).then_some(1))?;
                Some((target?, u32::try_from(weight).ok()?))
            }
            Kind::List(_) => {
                let problem = "a group inside a group";
                let fix = "write its targets into the outer one, or behind it in the order";
                section.mistake(item.place(), problem, fix);
                None
            }
            Kind::Other(found) => {
                let problem = format!("expected a target, found {found}");
                section.mistake(item.place(), problem, format!("write {FORM}"));
                None
            }
        }
    }

    fn target(&self, place: Place, text: &str, section: &mut Section<'_>) -> Option<Target> {
        let Some((provider, model)) = split(text) else {
            let problem = format!("{text:?} is not provider/model");
            section.mistake(place, problem, format!("write {FORM}"));
            return None;
        };
        if !self.declared.contains_key(provider) {
            if section.is_whole() {
                let near = nearest(provider, self.declared.keys().map(String::as_str));
                let fix = match near {
                    Some(near) => format!("did you mean \"{near}/{model}\"?"),
                    None => format!("add [provider.{provider}], or use another provider"),
                };
                section.mistake(place, format!("there is no provider `{provider}`"), fix);
            }
            return None;
        }
        target(self.instances, provider, model)
    }
}

/// The target of these names, if the provider could be opened.
pub(super) fn target(
    instances: &BTreeMap<Box<str>, Arc<Instance>>,
    provider: &str,
    model: &str,
) -> Option<Target> {
    let instance = Arc::clone(instances.get(provider)?);
    Some(Target {
        instance,
        model: model.into(),
    })
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (provider, model) = text.trim().split_once('/')?;
    (!provider.is_empty() && !model.is_empty()).then_some((provider, model))
}

/// What a list of targets looks like.
const FORM: &str = "targets = [\"provider/model\"]";

/// What a target with a weight looks like.
const MEMBER: &str = "write { target = \"provider/model\", weight = 3 }";

/// The largest weight.
const HEAVIEST: u64 = 1_000_000;
