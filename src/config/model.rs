//! `[model.*]`: names that clients use, and the targets that stand behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lmserver_runtime::routing::{Instance, Plan, Routing};

use super::keys::Keys;
use super::provider::{Configured, Providers};
use super::report::{Finding, Place, Report};
use super::section::Section;

mod targets;

use targets::{Targets, target};

/// Reads the model names and joins them with the providers.
pub(super) fn read(
    sections: Vec<(String, Section<'_>)>,
    providers: Providers,
    root: &Section<'_>,
    keys: &mut Keys,
    report: &mut Report,
) -> (Routing, Vec<Configured>, bool) {
    let Providers {
        opened,
        declared,
        is_offline,
    } = providers;
    let (instances, configured): (Vec<_>, Vec<_>) = opened.into_iter().unzip();
    let mut by_name: BTreeMap<Box<str>, Arc<Instance>> = BTreeMap::new();
    by_name.extend(instances.into_iter().map(|i| (i.name.clone(), Arc::new(i))));
    let instances = by_name;
    let has_default = sections.iter().any(|(name, _)| name == DEFAULT);
    let mut models = BTreeMap::new();
    let mut targets = Targets {
        instances: &instances,
        declared: &declared,
        keys,
        report,
    };
    for (name, section) in sections {
        let plan = targets.read(&name, section);
        models.insert(name.into_boxed_str(), plan);
    }
    if !has_default {
        let own = configured.first().filter(|_| declared.len() == 1);
        let own = own.and_then(|only| Some((only, only.model.as_deref()?)));
        match own.and_then(|(only, model)| target(&instances, &only.name, model)) {
            Some(target) => {
                models.insert(DEFAULT.into(), Plan::of_one(target));
            }
            None if root.is_whole() => report.extend(no_default(&declared, &configured, root)),
            None => {}
        }
    }
    (
        Routing {
            providers: instances,
            models,
        },
        configured,
        is_offline,
    )
}

/// The mistake of having no default, unless it only follows from another one.
fn no_default(
    declared: &BTreeMap<String, Place>,
    configured: &[Configured],
    root: &Section<'_>,
) -> Option<Finding> {
    let mut names = declared.iter();
    let (first, place) = names.next()?;
    if names.next().is_none() {
        let problem = format!("provider `{first}` has no `model`, and there is no [model.default]");
        let fix = format!("add model = \"…\" to [provider.{first}]");
        let was_opened = !configured.is_empty();
        return was_opened.then(|| Finding::mistake(place.clone(), problem, fix));
    }
    let named = |(name, place): (&String, &Place)| match place {
        Place::Environment(variable) => format!("{name} (from {variable})"),
        _ => name.clone(),
    };
    let list = declared.iter().map(named).collect::<Vec<_>>().join(", ");
    let model = configured
        .iter()
        .find(|c| c.name == *first)
        .and_then(|c| c.model.as_deref());
    Some(Finding::mistake(
        root.header().clone(),
        format!("several providers ({list}) and no [model.default]"),
        format!(
            "add [model.default] with targets = [\"{first}/{}\"]",
            model.unwrap_or("MODEL")
        ),
    ))
}

/// The model of a request that names none.
const DEFAULT: &str = "default";
