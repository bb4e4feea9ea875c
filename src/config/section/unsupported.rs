//! Keys that users of other servers may expect, and that lmserver does not have.

use super::Section;

impl Section<'_> {
    /// Reports a key that is written and cannot be followed, with why, and what to do instead.
    /// It does not become a known key: nobody is pointed to it.
    pub(crate) fn unsupported(&mut self, key: &str, why: &str, fix: &str) {
        if self.has(key) {
            self.note(key);
            let problem = format!("`{key}` cannot be set here: {why}");
            let place = self.place(key);
            self.mistake(place, problem, fix.to_owned());
        }
    }
}
