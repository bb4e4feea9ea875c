//! What is wrong with a configuration: every finding with its place and its remedy.
//!
//! ```text
//! lmserver.toml:3:1: error: unknown key `lisen` in [server]
//!     fix: did you mean `listen`?
//! ```

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Everything that was found in one reading of the configuration, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Adds a finding; the same finding is kept once.
    pub fn add(&mut self, finding: Finding) {
        if !self.findings.contains(&finding) && self.findings.len() < MOST_FINDINGS {
            self.findings.push(finding);
        }
    }

    /// Adds all of `findings`.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.add(finding));
    }

    /// Moves all findings of `other` here.
    pub fn merge(&mut self, other: Self) {
        self.extend(other.findings);
    }

    /// Puts the findings into the order of their places: file, environment, flags.
    pub fn sort(&mut self) {
        let mut sorted: Vec<Finding> = Vec::with_capacity(self.findings.len());
        for finding in self.findings.drain(..) {
            let at = sorted.partition_point(|other| other.place <= finding.place);
            sorted.insert(at, finding);
        }
        self.findings = sorted;
    }

    /// Whether anything in it keeps the server from starting.
    pub fn has_mistakes(&self) -> bool {
        self.mistakes() > 0
    }

    /// How many findings keep the server from starting.
    pub fn mistakes(&self) -> usize {
        let mistakes = self
            .findings
            .iter()
            .filter(|f| f.severity == Severity::Mistake);
        mistakes.count()
    }

    /// Whether a finding at `place` keeps the server from starting.
    pub fn has_mistake_at(&self, place: &Place) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|f| f.severity == Severity::Mistake && f.place == *place)
    }

    /// The findings that the server starts with, but says.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(|f| f.severity == Severity::Warning)
    }

    /// All findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings
            .iter()
            .try_for_each(|finding| writeln!(f, "{finding}"))
    }
}

/// One thing that is wrong, where it is, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the server starts all the same.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What is wrong. Never holds a secret.
    pub problem: Cow<'static, str>,
    /// What would be right, as an instruction.
    pub fix: Cow<'static, str>,
}

impl Finding {
    /// A finding that keeps the server from starting.
    pub fn mistake(
        place: Place,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            severity: Severity::Mistake,
            place,
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// A finding that the server starts with.
    pub fn warning(
        place: Place,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            place,
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

impl Finding {
    /// The finding as one line of a log.
    pub fn on_one_line(&self) -> String {
        let Self {
            place,
            problem,
            fix,
            ..
        } = self;
        match place {
            Place::Default => format!("{problem}; {fix}"),
            _ => format!("{place}: {problem}; {fix}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            place,
            problem,
            fix,
        } = self;
        write!(f, "{place}: {severity}: {problem}\n    fix: {fix}")
    }
}

/// Whether a finding keeps the server from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The server does not start.
    Mistake,
    /// The server starts and says it.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mistake => "error",
            Self::Warning => "warning",
        })
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A position in the file, both counted from 1; the column counts characters.
    File {
        /// The file as the user named it.
        name: Arc<str>,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// The file as a whole: it could not be read.
    WholeFile(Arc<str>),
    /// An environment variable.
    Environment(&'static str),
    /// A flag of the command line.
    Flag(&'static str),
    /// Nothing was said, so a default applies.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::WholeFile(name) => f.write_str(name),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
            Self::Default => f.write_str("configuration"),
        }
    }
}

/// Findings that are kept; a file with more is broken in a way that more lines do not explain.
const MOST_FINDINGS: usize = 1000;
