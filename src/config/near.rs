//! The nearest of the names that would have been right.

/// Returns the candidate that `wrong` was most likely meant to be, if any is near enough.
///
/// Near means at most a third of the letters changed (two letters for a short name), or one
/// being the beginning of the other. Case, `-` and `_` do not count.
pub(crate) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = plain(wrong);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let plain = plain(candidate);
            let longest = wanted.len().max(plain.len());
            let distance = distance(&wanted, &plain);
            let close = distance <= (longest / 3).max(2) && distance < longest;
            let prefix = wanted.len() >= 3
                && plain.len() >= 3
                && (plain.starts_with(&wanted[..]) || wanted.starts_with(&plain[..]));
            (close || prefix).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn plain(name: &str) -> Vec<char> {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_'));
    letters
        .flat_map(char::to_lowercase)
        .take(LONGEST_NAME)
        .collect()
}

/// Edit distance in which swapping two neighbours is one step (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = above[j] + usize::from(x != y);
            let mut best = change.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

/// Letters of a name that are compared; the comparison is quadratic in them.
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_hand_is_recognised() {
        let keys = [
            "listen",
            "allowed_origins",
            "tls",
            "page",
            "api_key",
            "api_keys",
        ];
        for (wrong, want) in [
            ("lisen", Some("listen")),
            ("listne", Some("listen")),
            ("allowed-origins", Some("allowed_origins")),
            ("allowedOrigins", Some("allowed_origins")),
            ("allowed_origin", Some("allowed_origins")),
            ("apikey", Some("api_key")),
            ("tsl", Some("tls")),
            ("zzz", None),
            ("", None),
            ("completely_different", None),
        ] {
            assert_eq!(nearest(wrong, keys), want, "{wrong}");
        }
    }

    #[test]
    fn a_very_long_name_is_compared_in_bounded_time() {
        let long = "x".repeat(1 << 20);
        assert_eq!(
            nearest(&long, ["listen", long.as_str()]),
            None.or(Some(long.as_str()))
        );
    }
}
