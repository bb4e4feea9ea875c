//! What is said, token by token. It is the same for the same request, and nothing of it is kept
//! that can be made when its turn comes.

use super::asked::Asked;
use super::schema;
use super::settings::{Finish, Settings};

/// One answer.
#[derive(Debug)]
pub(super) struct Script {
    reasoning: u32,
    text: Text,
    refuses: bool,
    /// The calls, and how many fragments the arguments of each come in.
    pub(super) calls: Vec<Call>,
    huge: usize,
    /// Words of the question, as its tokens.
    pub(super) input_tokens: usize,
    pub(super) finish: Finish,
}

/// The words of the answer.
#[derive(Debug)]
enum Text {
    /// These.
    Words(Vec<Box<str>>),
    /// So many numbered ones.
    Numbered(u32, bool),
}

/// A tool call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
}

/// One token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Reasoning(String),
    Text(String),
    Refusal(String),
    /// This call begins.
    Call(usize),
    /// A fragment of this call's arguments.
    Arguments(usize, String),
}

impl Script {
    pub(super) fn new(settings: &Settings, asked: &Asked) -> Self {
        let calls = calls(settings, asked);
        let text = if settings.is_endless {
            Text::Numbered(u32::MAX, settings.is_unicode)
        } else if let Some(count) = settings.words {
            Text::Numbered(count, settings.is_unicode)
        } else if !calls.is_empty() {
            Text::Words(Vec::new())
        } else {
            Text::Words(words(&said(asked)))
        };
        let finish = match settings.finish {
            Finish::Stop if !calls.is_empty() => Finish::Calls,
            other => other,
        };
        Self {
            reasoning: settings.reasoning,
            text,
            refuses: settings.refuses,
            calls,
            huge: settings.huge,
            input_tokens: asked.message.split_whitespace().count().max(1),
            finish,
        }
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> u32 {
        let calls = self.calls.iter().map(|call| 1 + call.fragments());
        let calls = calls.sum::<u32>();
        let text = if self.refuses { 0 } else { self.text.len() };
        let all = self.reasoning.saturating_add(text).saturating_add(calls);
        all.saturating_add(u32::from(self.refuses))
    }

    /// The token of this number, from 0.
    pub(super) fn token(&self, at: u32) -> Option<Token> {
        if at < self.reasoning {
            return Some(Token::Reasoning(format!("r{} ", at + 1)));
        }
        let mut at = at - self.reasoning;
        if self.refuses {
            if at == 0 {
                return Some(Token::Refusal(REFUSAL.to_owned()));
            }
            at -= 1;
        } else if at < self.text.len() {
            return Some(Token::Text(self.word(at)));
        } else {
            at -= self.text.len();
        }
        for (index, call) in self.calls.iter().enumerate() {
            if at == 0 {
                return Some(Token::Call(index));
            }
            if at <= call.fragments() {
                return Some(Token::Arguments(index, call.fragment(at - 1)));
            }
            at -= 1 + call.fragments();
        }
        None
    }

    fn word(&self, at: u32) -> String {
        if at == 0 && self.huge > 0 {
            return "x".repeat(self.huge);
        }
        match &self.text {
            Text::Words(words) => {
                let word = usize::try_from(at).ok().and_then(|at| words.get(at));
                word.map(|word| word.to_string()).unwrap_or_default()
            }
            Text::Numbered(_, false) => format!("w{} ", u64::from(at) + 1),
            Text::Numbered(_, true) => format!("wört😀{} ", u64::from(at) + 1),
        }
    }
}

impl Text {
    fn len(&self) -> u32 {
        match self {
            Self::Words(words) => u32::try_from(words.len()).unwrap_or(u32::MAX),
            Self::Numbered(count, _) => *count,
        }
    }
}

impl Call {
    fn fragments(&self) -> u32 {
        let count = self.arguments.chars().count().div_ceil(FRAGMENT);
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn fragment(&self, at: u32) -> String {
        let skipped = usize::try_from(at).unwrap_or(usize::MAX);
        let skipped = skipped.saturating_mul(FRAGMENT);
        self.arguments
            .chars()
            .skip(skipped)
            .take(FRAGMENT)
            .collect()
    }
}

/// What is said where no words are numbered: a document of the schema asked for, or the question.
fn said(asked: &Asked) -> String {
    match &asked.schema {
        Some(schema) => schema::sample(schema, &asked.message).to_string(),
        None if asked.message.trim().is_empty() => "done".to_owned(),
        None => asked.message.clone(),
    }
}

/// Cuts behind each run of blank space, so that the words are the text.
fn words(text: &str) -> Vec<Box<str>> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let body = rest.trim_start();
        let lead = rest.len() - body.len();
        let word = body.find(char::is_whitespace).unwrap_or(body.len());
        let behind = body.get(word..).unwrap_or_default();
        let blank = behind.len() - behind.trim_start().len();
        let (one, others) = rest.split_at(lead + word + blank);
        words.push(one.into());
        rest = others;
    }
    words
}

fn calls(settings: &Settings, asked: &Asked) -> Vec<Call> {
    let count = settings.calls.max(u32::from(asked.wants_call));
    let named = asked
        .tools
        .iter()
        .find(|(name, _)| asked.message.contains(name.as_str()));
    (0..count)
        .map(|at| {
            let next = usize::try_from(at).unwrap_or_default() % asked.tools.len().max(1);
            let tool = if count == 1 { named } else { None };
            let tool = tool.or_else(|| asked.tools.get(next));
            let (name, arguments) = match tool {
                Some((name, schema)) => (name.as_str(), schema::sample(schema, "fake")),
                None => ("lookup", serde_json::json!({"query": "fake"})),
            };
            Call {
                id: format!("call_{}", at + 1),
                name: name.to_owned(),
                arguments: arguments.to_string(),
            }
        })
        .collect()
}

/// What a refusal says.
const REFUSAL: &str = "I cannot help with that.";

/// Characters of a fragment of arguments.
const FRAGMENT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn script(words: &str, message: &str) -> Script {
        let settings = Settings::default().with_model(words).unwrap();
        let asked = Asked {
            message: message.to_owned(),
            ..Asked::default()
        };
        Script::new(&settings, &asked)
    }

    fn all(script: &Script) -> Vec<Token> {
        (0..script.len()).map_while(|at| script.token(at)).collect()
    }

    #[test]
    fn the_words_of_the_question_are_the_question() {
        for text in ["a", " a  b\n", "grüße 😀 x", "\u{3000}z\u{3000}"] {
            let script = script("", text);
            let said: String = all(&script)
                .into_iter()
                .map(|token| match token {
                    Token::Text(text) => text,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(said, text);
        }
        assert_eq!(all(&script("", "  ")), [Token::Text("done".into())]);
    }

    #[test]
    fn tokens_stand_in_one_order_and_their_number_is_known() {
        let script = script("words=2,reasoning=1,calls=1", "hi");
        let tokens = all(&script);
        assert_eq!(tokens.len(), usize::try_from(script.len()).unwrap());
        assert_eq!(script.token(script.len()), None);
        assert_eq!(
            tokens[..4],
            [
                Token::Reasoning("r1 ".into()),
                Token::Text("w1 ".into()),
                Token::Text("w2 ".into()),
                Token::Call(0)
            ]
        );
        let arguments = tokens[4..].iter().map(|token| match token {
            Token::Arguments(0, text) => text.as_str(),
            other => panic!("{other:?}"),
        });
        assert_eq!(arguments.collect::<String>(), r#"{"query":"fake"}"#);
        assert_eq!(script.finish, Finish::Calls);
    }

    #[test]
    fn an_endless_answer_has_a_token_for_every_number() {
        let script = script("endless,reasoning=2", "hi");
        assert_eq!(script.len(), u32::MAX);
        let last = script.token(u32::MAX - 1);
        assert_eq!(last, Some(Token::Text("w4294967293 ".into())));
    }
}
