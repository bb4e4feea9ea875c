//! Keeps keys out of messages.
//!
//! Servers repeat the key they refuse, whole (`Incorrect API key provided: sk-fake-key`) or masked
//! with its first and last characters left. A message goes to whoever may read the channel, so
//! every word that is or resembles a key is replaced.

use crate::plugin::provider::Secret;

/// Replaces, in `message`, the given secrets and every word that looks like a key.
pub(super) fn redact<'a>(message: &str, secrets: impl Iterator<Item = &'a Secret>) -> String {
    let mut text = message.to_owned();
    let mut masks = Vec::new();
    for secret in secrets {
        // A header field may hold a scheme before its key: each part is a secret of its own.
        for part in secret
            .expose()
            .split_ascii_whitespace()
            .filter(|part| part.len() >= SHORTEST)
        {
            text = text.replace(part, MASK);
            masks.push(part);
        }
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(is_key_character) {
        let (before, word) = rest.split_at(start);
        let end = word
            .find(|character| !is_key_character(character))
            .unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        // The full stop of a sentence is not part of a key.
        let bare = word.trim_end_matches('.');
        out.push_str(before);
        if looks_like_key(bare, &masks) {
            out.push_str(MASK);
            out.push_str(word.get(bare.len()..).unwrap_or_default());
        } else {
            out.push_str(word);
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

fn is_key_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '*' | '.' | '\u{2026}')
}

fn looks_like_key(word: &str, secrets: &[&str]) -> bool {
    if PREFIXES
        .iter()
        .any(|prefix| word.len() > prefix.len() + 2 && word.starts_with(prefix))
    {
        return true;
    }
    // A masked key: some of its beginning, dots or stars, some of its end.
    let is_mask = |character| matches!(character, '*' | '.' | '\u{2026}');
    let (Some(first), Some(last)) = (word.find(is_mask), word.rfind(is_mask)) else {
        return false;
    };
    let start = word.get(..first).unwrap_or_default();
    let end = word
        .get(last..)
        .unwrap_or_default()
        .trim_start_matches(is_mask);
    let shown = start.len() + end.len();
    shown >= 3
        && secrets.iter().any(|secret| {
            shown < secret.len() && secret.starts_with(start) && secret.ends_with(end)
        })
}

/// What stands where a key stood.
const MASK: &str = "[redacted]";

/// Shorter texts are no keys but words like `none`, which must stay readable.
const SHORTEST: usize = 6;

/// How the keys of the known providers begin.
const PREFIXES: [&str; 9] = [
    "sk-", "sk_", "gsk_", "xai-", "pplx-", "hf_", "AIza", "r8_", "fw_",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_replaced_and_all_else_stays() {
        let key = "sekret-abcd-1234-wxyz";
        for (message, want) in [
            (
                "Incorrect API key provided: sk-fake-key. Find",
                "Incorrect API key provided: [redacted]. Find",
            ),
            ("key=sekret-abcd-1234-wxyz!", "key=[redacted]!"),
            ("'Bearer sekret-abcd-1234-wxyz'", "'Bearer [redacted]'"),
            ("provided: sekr****wxyz.", "provided: [redacted]."),
            (
                "Your api key: ****wxyz is invalid",
                "Your api key: [redacted] is invalid",
            ),
            (
                "Your api key: ****-key is invalid",
                "Your api key: ****-key is invalid",
            ),
            ("sekr...wxyz", "[redacted]"),
            ("sk-proj-********************abcd", "[redacted]"),
            ("gsk_abc123 and xai-abc123", "[redacted] and [redacted]"),
            ("a sk-", "a sk-"),
            (
                "See https://x.example/a.b. Limit 2.5 … **bold**",
                "See https://x.example/a.b. Limit 2.5 … **bold**",
            ),
            ("", ""),
            ("é sekret-abcd-1234-wxyzé", "é [redacted]é"),
        ] {
            let secrets = [Secret::new(key.into()), Secret::new("a".into())];
            assert_eq!(redact(message, secrets.iter()), want, "{message}");
        }
    }
}
