//! Patterns of names: `*` and `**` stand for any characters, `?` for one, `[abc]`, `[a-z]` and
//! `[!a-z]` for one of some, `{news,chat}:*` for one of some texts, `\` takes the next literally.
//!
//! ```text
//! {a,b}:* ─ expand ─► a:*, b:* ─ each ─► Part, Part, … ─ matches(name), no deeper than one star
//! ```

/// A pattern that is understood.
#[derive(Debug)]
pub(super) struct Pattern {
    /// At most [`MOST`]; a name has to match one of them.
    choices: Vec<Vec<Part>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(char),
    AnyOne,
    Any,
    OneOf {
        ranges: Vec<(char, char)>,
        is_negated: bool,
    },
}

impl Pattern {
    /// Reads a pattern; none if it makes no sense or has too many choices.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let mut choices = vec![Vec::new()];
        let mut rest: Vec<char> = text.chars().rev().collect();
        while let Some(character) = rest.pop() {
            if character == '{' {
                choices = multiply(&choices, &alternatives(&mut rest)?)?;
                continue;
            }
            let part = part(character, &mut rest)?;
            for choice in &mut choices {
                choice.push(part.clone());
            }
        }
        Some(Self { choices })
    }

    /// Whether the name is one of those that are meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        self.choices.iter().any(|choice| fits(choice, &name))
    }
}

/// Every choice followed by every ending.
fn multiply(choices: &[Vec<Part>], endings: &[Vec<Part>]) -> Option<Vec<Vec<Part>>> {
    let joined = |choice: &Vec<Part>| {
        let choice = choice.clone();
        endings
            .iter()
            .map(move |ending| [choice.as_slice(), ending].concat())
    };
    let all: Vec<_> = choices.iter().flat_map(joined).take(MOST + 1).collect();
    (all.len() <= MOST).then_some(all)
}

/// What stands between braces. They do not stand within each other.
fn alternatives(rest: &mut Vec<char>) -> Option<Vec<Vec<Part>>> {
    let mut all = Vec::new();
    let mut one = Vec::new();
    loop {
        match rest.pop()? {
            '}' => {
                all.push(one);
                return Some(all);
            }
            ',' => all.push(std::mem::take(&mut one)),
            '{' => return None,
            other => one.push(part(other, rest)?),
        }
    }
}

fn part(first: char, rest: &mut Vec<char>) -> Option<Part> {
    Some(match first {
        '*' => Part::Any,
        '?' => Part::AnyOne,
        '\\' => Part::One(rest.pop()?),
        '[' => class(rest)?,
        other => Part::One(other),
    })
}

/// What stands between brackets.
fn class(rest: &mut Vec<char>) -> Option<Part> {
    let is_negated = rest.last() == Some(&'!');
    if is_negated {
        rest.pop();
    }
    let mut ranges = Vec::new();
    loop {
        let first = match rest.pop()? {
            ']' if ranges.is_empty() => return None,
            ']' => return Some(Part::OneOf { ranges, is_negated }),
            '\\' => rest.pop()?,
            other => other,
        };
        let is_range = rest.last() == Some(&'-');
        if is_range {
            rest.pop();
        }
        let last = if is_range { rest.pop()? } else { first };
        if last < first || (is_range && last == ']') {
            return None;
        }
        ranges.push((first, last));
    }
}

/// Whether the parts are those of the whole name. Only the last star is ever tried again, which
/// suffices: an earlier one has taken as little as it can.
fn fits(parts: &[Part], name: &[char]) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (parts.get(part), name.get(at)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                star = Some((part + 1, at));
                part += 1;
            }
            (Some(one), Some(character)) if one.is(*character) => {
                part += 1;
                at += 1;
            }
            _ => match &mut star {
                Some((behind, from)) if *from < name.len() => {
                    *from += 1;
                    (part, at) = (*behind, *from);
                }
                _ => return false,
            },
        }
    }
}

impl Part {
    fn is(&self, character: char) -> bool {
        match self {
            Self::One(own) => *own == character,
            Self::AnyOne | Self::Any => true,
            Self::OneOf { ranges, is_negated } => {
                let is_in = |(first, last): &(char, char)| (*first..=*last).contains(&character);
                ranges.iter().any(is_in) != *is_negated
            }
        }
    }
}

/// Bytes of a pattern.
const LONGEST: usize = 255;

/// Texts that the braces of a pattern may make.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_names_and_no_others() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("news", &["news"], &["new", "newss", "News"]),
            ("*", &["", "a", "chat:1"], &[]),
            ("**", &["", "a:b"], &[]),
            ("chat:*", &["chat:", "chat:1"], &["chat", "xchat:1"]),
            ("*a*b", &["ab", "xaxb", "aabb"], &["abx", "b", "a"]),
            ("*aab", &["aaab", "aabaab"], &["aaba"]),
            ("a?c", &["abc", "a\u{e9}c"], &["ac", "abbc"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "x"]),
            ("[!a-c]x", &["dx"], &["ax", "x"]),
            ("[a\\]]", &["a", "]"], &["\\"]),
            ("{news,chat}:*", &["news:1", "chat:"], &["other:1", "news"]),
            ("{a,b}{c,d}", &["ac", "bd"], &["ab"]),
            ("{a*,}", &["", "a", "ab"], &["b"]),
            ("\\*", &["*"], &["a"]),
            ("\u{e9}*", &["\u{e9}t\u{e9}"], &["e"]),
        ] {
            let read = Pattern::read(pattern).unwrap();
            for name in yes {
                assert!(read.matches(name), "{pattern} {name}");
            }
            for name in no {
                assert!(!read.matches(name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let many = "{a,b}".repeat(7);
        let long = "a".repeat(256);
        for pattern in [
            "{a", "[a", "[]", "[z-a]", "[a-", "[a-]", "{a{b}}", "\\", &many, &long,
        ] {
            assert!(Pattern::read(pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_one() {
        let pattern = Pattern::read(&"*a".repeat(100)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(255))));
    }
}
