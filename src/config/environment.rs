//! The environment as a value, so that nothing reads it behind the configuration's back.

use std::collections::BTreeMap;
use std::fmt;

/// The variables that the configuration may look at. Their values are never printed.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process; variables that are not UTF-8 are left out.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let mut variables = BTreeMap::new();
        variables.extend(std::env::vars_os().filter_map(text));
        Self { variables }
    }

    /// The value of a variable. One that is set to nothing counts as not set, as container
    /// tools set what they were given no value for.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(variables: [(&str, &str); N]) -> Self {
        variables.into_iter().collect()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Environment {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(variables: I) -> Self {
        let owned = variables
            .into_iter()
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut variables = BTreeMap::new();
        variables.extend(owned);
        Self { variables }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
