//! Which keys the program knows, and which of the file it does not.

use std::collections::BTreeSet;

use super::near::nearest;
use super::report::{Finding, Place, Report};

/// All keys that the program knows, and those of the file that it does not.
#[derive(Default)]
pub(crate) struct Keys {
    known: BTreeSet<(String, String)>,
    unknown: Vec<Unknown>,
}

struct Unknown {
    place: Place,
    section: String,
    key: String,
}

impl Keys {
    /// Adds a key of the file that is none of the known ones.
    pub(crate) fn miss(&mut self, place: Place, section: &str, key: &str) {
        let (section, key) = (section.to_owned(), key.to_owned());
        self.unknown.push(Unknown {
            place,
            section,
            key,
        });
    }

    /// Reports each unknown key with the nearest known one.
    pub(crate) fn report_unknown(&self, report: &mut Report) {
        for Unknown {
            place,
            section,
            key,
        } in &self.unknown
        {
            let title = if section.is_empty() {
                "the file".to_owned()
            } else {
                format!("[{section}]")
            };
            let problem = if section.is_empty() {
                format!("unknown section or key `{}`", printable(key))
            } else {
                format!("unknown key `{}` in {title}", printable(key))
            };
            report.add(Finding::mistake(
                place.clone(),
                problem,
                self.remedy(section, key, &title),
            ));
        }
    }

    /// The known keys as (section, key).
    pub(crate) fn known(&self) -> impl Iterator<Item = &(String, String)> {
        self.known.iter()
    }

    /// Adds known keys of a section.
    pub(crate) fn note(&mut self, section: &str, known: BTreeSet<String>) {
        self.known
            .extend(known.into_iter().map(|key| (section.to_owned(), key)));
    }

    fn remedy(&self, section: &str, key: &str, title: &str) -> String {
        let here = || {
            self.known
                .iter()
                .filter(|(of, _)| of == section)
                .map(|(_, key)| &**key)
        };
        if let Some(near) = nearest(key, here()) {
            return format!("did you mean `{near}`?");
        }
        let elsewhere = self
            .known
            .iter()
            .find(|(of, known)| known == key && !of.is_empty());
        if let Some((of, _)) = elsewhere {
            return format!("move it to [{of}]");
        }
        let all = || self.known.iter().filter(|(of, _)| !of.is_empty());
        if let Some(near) =
            nearest(key, all().map(|(_, key)| &**key)).filter(|_| section.is_empty())
            && let Some((of, near)) = all().find(|(_, key)| key == near)
        {
            return format!("did you mean `{near}` in [{of}]?");
        }
        let list: Vec<&str> = here().collect();
        if list.is_empty() {
            return "remove it".to_owned();
        }
        format!("{title} knows {}", list.join(", "))
    }
}

/// The name as it can stand in one line of a report.
fn printable(name: &str) -> String {
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    if name.chars().count() > 64 {
        format!("{shown}…")
    } else {
        shown
    }
}
