//! What answers cost and how they ended, by key, provider and model: the counters with labels.
//!
//! ```text
//!   first content event of an attempt ─► first_event      a few buckets per provider
//!   an attempt fails                  ─► attempt_failed   provider, model, code
//!   a run ends                        ─► answered         provider, model, outcome
//!                                        spent            key, provider, model; eight counters
//! ```
//!
//! Nothing here is touched per token. A client may ask a provider for any model's name, so that
//! tables are bounded: after [`MOST_ROWS`] rows a new model is counted under [`OTHER`], and so is
//! a name longer than [`LONGEST_LABEL`].

use std::time::Duration;

use crate::event::{ErrorCode, Usage};

/// Rows of one table before models that have none are put together.
pub const MOST_ROWS: usize = 1000;

/// Rows for what was put together, beyond [`MOST_ROWS`], before everything is.
const SPARE_ROWS: usize = 100;

/// The longest name that is a label, in bytes.
pub const LONGEST_LABEL: usize = 128;

/// The label of all that has no row of its own.
pub const OTHER: &str = "other";

/// What the counters of [`Accounts::tokens`] count: the kind of token, and whether it was counted
/// here, because the provider did not say. Reasoning is a part of the output, and what was
/// cached is a part of the input.
pub const TOKEN_KINDS: [(&str, bool); 8] = [
    ("input", false),
    ("output", false),
    ("reasoning", false),
    ("cached", false),
    ("input", true),
    ("output", true),
    ("reasoning", true),
    ("cached", true),
];

/// The upper bounds of the buckets of [`FirstEvents`], in milliseconds.
pub const FIRST_EVENT_MILLIS: [u64; 9] = [50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];

/// All counters with labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    tokens: Table<8>,
    answers: Table<1>,
    failed_attempts: Table<1>,
    first_events: Vec<FirstEvents>,
}

/// Counters with the same three labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<const N: usize> {
    /// The values of the labels.
    pub labels: [Box<str>; 3],
    /// The counters.
    pub counts: [u64; N],
}

/// How long attempts at one provider waited for their first content event, from their beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstEvents {
    /// The provider's name.
    pub provider: Box<str>,
    /// How many fell into each bucket of [`FIRST_EVENT_MILLIS`] and into none before it.
    pub buckets: [u64; FIRST_EVENT_MILLIS.len()],
    /// How many there were.
    pub count: u64,
    /// How long all together waited.
    pub sum: Duration,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            tokens: Table::new(2),
            answers: Table::new(1),
            failed_attempts: Table::new(1),
            first_events: Vec::new(),
        }
    }
}

impl Accounts {
    /// An answer has cost this.
    pub(crate) fn spent(&mut self, key: &str, provider: &str, model: &str, usage: &Usage) {
        let Usage {
            input_tokens,
            output_tokens,
            reasoning_tokens,
            cached_tokens,
            estimated,
        } = *usage;
        let (reasoning, cached) = (reasoning_tokens, cached_tokens);
        let spent = [
            input_tokens,
            output_tokens,
            reasoning.unwrap_or(0),
            cached.unwrap_or(0),
        ];
        let Some(counts) = self.tokens.row([key, provider, model]) else {
            return;
        };
        let from = if estimated { spent.len() } else { 0 };
        for (count, spent) in counts.iter_mut().skip(from).zip(spent) {
            *count = count.saturating_add(spent);
        }
    }

    /// An answer has ended, with a finish reason or an error's code.
    pub(crate) fn answered(&mut self, provider: &str, model: &str, outcome: &str) {
        if let Some([count]) = self.answers.row([provider, model, outcome]) {
            *count += 1;
        }
    }

    /// An attempt has failed, whether or not another follows.
    pub(crate) fn attempt_failed(&mut self, provider: &str, model: &str, code: ErrorCode) {
        if let Some([count]) = self.failed_attempts.row([provider, model, code.as_str()]) {
            *count += 1;
        }
    }

    /// The first content event of an attempt has come after this time.
    pub(crate) fn first_event(&mut self, provider: &str, after: Duration) {
        let is_full = self.first_events.len() >= MOST_ROWS;
        let find =
            |waits: &[FirstEvents], provider| waits.iter().position(|it| &*it.provider == provider);
        let known = find(&self.first_events, provider);
        let provider = if is_full { OTHER } else { provider };
        let known = known.or_else(|| find(&self.first_events, provider));
        let index = known.unwrap_or_else(|| {
            self.first_events.push(FirstEvents {
                provider: provider.into(),
                buckets: [0; FIRST_EVENT_MILLIS.len()],
                count: 0,
                sum: Duration::ZERO,
            });
            self.first_events.len() - 1
        });
        let Some(waits) = self.first_events.get_mut(index) else {
            return;
        };
        waits.count += 1;
        waits.sum += after;
        let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let bucket = FIRST_EVENT_MILLIS.iter().position(|limit| millis <= *limit);
        if let Some(count) = bucket.and_then(|bucket| waits.buckets.get_mut(bucket)) {
            *count += 1;
        }
    }

    /// Tokens by key, provider and model, as [`TOKEN_KINDS`] says.
    #[must_use]
    pub fn tokens(&self) -> &[Row<8>] {
        &self.tokens.rows
    }

    /// Answers by provider, model and outcome.
    #[must_use]
    pub fn answers(&self) -> &[Row<1>] {
        &self.answers.rows
    }

    /// Failed attempts by provider, model and code.
    #[must_use]
    pub fn failed_attempts(&self) -> &[Row<1>] {
        &self.failed_attempts.rows
    }

    /// The waits for first events, by provider.
    #[must_use]
    pub fn first_events(&self) -> &[FirstEvents] {
        &self.first_events
    }
}

/// Rows in order of their labels, at most [`MOST_ROWS`] and a few more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table<const N: usize> {
    rows: Vec<Row<N>>,
    /// Which label is the model: the one that clients choose.
    model: usize,
}

impl<const N: usize> Table<N> {
    fn new(model: usize) -> Self {
        Self {
            rows: Vec::new(),
            model,
        }
    }

    /// The counters with these labels, or with those that take their place.
    fn row(&mut self, labels: [&str; 3]) -> Option<&mut [u64; N]> {
        let mut labels = labels.map(|label| {
            if label.len() > LONGEST_LABEL {
                OTHER
            } else {
                label
            }
        });
        let mut found = self.find(labels);
        if found.is_err() && self.rows.len() >= MOST_ROWS {
            if let Some(model) = labels.get_mut(self.model) {
                *model = OTHER;
            }
            found = self.find(labels);
        }
        if found.is_err() && self.rows.len() >= MOST_ROWS + SPARE_ROWS {
            labels = [OTHER; 3];
            found = self.find(labels);
        }
        let index = found.unwrap_or_else(|index| {
            let row = Row {
                labels: labels.map(Into::into),
                counts: [0; N],
            };
            self.rows.insert(index, row);
            index
        });
        self.rows.get_mut(index).map(|row| &mut row.counts)
    }

    fn find(&self, labels: [&str; 3]) -> Result<usize, usize> {
        let order = |row: &Row<N>| row.labels.each_ref().map(|label| &**label).cmp(&labels);
        self.rows.binary_search_by(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        input_tokens: 10,
        output_tokens: 5,
        reasoning_tokens: Some(3),
        cached_tokens: None,
        estimated: false,
    };

    #[test]
    fn tokens_are_added_up_by_key_provider_and_model() {
        let mut accounts = Accounts::default();
        let guess = Usage {
            estimated: true,
            cached_tokens: Some(4),
            ..USAGE
        };
        accounts.spent("b", "openai", "m", &USAGE);
        accounts.spent("a", "openai", "m", &guess);
        accounts.spent("b", "openai", "m", &USAGE);
        accounts.spent("b", "openai", "m", &guess);
        let rows: Vec<_> = accounts.tokens().iter().collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(&*rows[0].labels[0], "a");
        assert_eq!(rows[0].counts, [0, 0, 0, 0, 10, 5, 3, 4]);
        assert_eq!(rows[1].counts, [20, 10, 6, 0, 10, 5, 3, 4]);
    }

    #[test]
    fn counts_that_a_provider_invents_do_not_overflow() {
        let mut accounts = Accounts::default();
        let huge = Usage {
            input_tokens: u64::MAX,
            ..USAGE
        };
        accounts.spent("k", "p", "m", &huge);
        accounts.spent("k", "p", "m", &huge);
        assert_eq!(accounts.tokens()[0].counts[0], u64::MAX);
    }

    #[test]
    fn invented_models_do_not_make_the_tables_grow_for_ever() {
        let mut accounts = Accounts::default();
        for number in 0..3 * MOST_ROWS {
            let model = format!("model-{number}");
            accounts.spent("k", "p", &model, &USAGE);
            accounts.answered("p", &model, "stop");
            accounts.attempt_failed("p", &model, ErrorCode::ProviderNotFound);
        }
        accounts.answered("p", "model-1", "stop");
        assert_eq!(accounts.tokens().len(), MOST_ROWS + 1);
        let other = |row: &&Row<8>| &*row.labels[2] == OTHER;
        let other = accounts.tokens().iter().find(other).unwrap();
        assert_eq!(other.counts[0], 10 * 2 * MOST_ROWS as u64);
        assert_eq!(other.labels.each_ref().map(|it| &**it), ["k", "p", OTHER]);
        let known = |row: &&Row<1>| &*row.labels[1] == "model-1";
        let known = accounts.answers().iter().find(known).unwrap();
        assert_eq!(known.counts, [2]);
        let answers: u64 = accounts.answers().iter().map(|row| row.counts[0]).sum();
        assert_eq!(answers, 3 * MOST_ROWS as u64 + 1);
        // Nor do providers, were they to change with every reload.
        for number in 0..3 * MOST_ROWS {
            let provider = format!("provider-{number}");
            accounts.answered(&provider, "m", "stop");
            accounts.first_event(&provider, Duration::ZERO);
        }
        assert!(accounts.answers().len() <= MOST_ROWS + SPARE_ROWS + 1);
        assert_eq!(accounts.first_events().len(), MOST_ROWS + 1);
    }

    #[test]
    fn a_name_that_is_too_long_is_no_label() {
        let mut accounts = Accounts::default();
        accounts.answered("p", &"m".repeat(LONGEST_LABEL + 1), "stop");
        assert_eq!(&*accounts.answers()[0].labels[1], OTHER);
    }

    #[test]
    fn a_wait_falls_into_the_first_bucket_that_holds_it() {
        let mut accounts = Accounts::default();
        for millis in [0, 50, 51, 30_000, 30_001] {
            accounts.first_event("p", Duration::from_millis(millis));
        }
        let [waits] = accounts.first_events() else {
            panic!("one provider");
        };
        assert_eq!(waits.buckets, [2, 1, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((waits.count, waits.sum), (5, Duration::from_millis(60_102)));
    }
}
