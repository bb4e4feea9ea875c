//! How an answer is to go: the words in a requested model's name, or on the command line.
//!
//! ```text
//!   settings = setting *( "," setting )
//!   setting  = name [ "=" value ] [ "@" place ]
//!   place    = "start" | "head" | "body" | N | N ".5" | "finish" | "end" | "last"
//! ```
//!
//! Nothing of it needs percent-encoding in the path of a URL (RFC 3986 §3.3). The first word may
//! be any name, so that `gpt-4o` and `gpt-4o,cut@3` are models too.

use std::time::Duration;

/// How one answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Numbered words instead of the question's own.
    pub(super) words: Option<u32>,
    /// Are the numbered words made of characters of several bytes?
    pub(super) is_unicode: bool,
    /// Words of reasoning before the answer.
    pub(super) reasoning: u32,
    /// Tool calls, asked for or not.
    pub(super) calls: u32,
    /// Does it refuse?
    pub(super) refuses: bool,
    /// Does the answer never end?
    pub(super) is_endless: bool,
    /// Bytes of the first word.
    pub(super) huge: usize,
    /// Why the answer ends.
    pub(super) finish: Finish,
    /// Is the usage told?
    pub(super) has_usage: bool,
    /// Does the format's end marker follow?
    pub(super) has_mark: bool,
    /// Before the first token.
    pub(super) first: Duration,
    /// Before each further token.
    pub(super) delay: Duration,
    /// Where writes are cut.
    pub(super) split: Split,
    /// Between two writes of what was cut.
    pub(super) gap: Duration,
    /// What happens, and where.
    pub(super) faults: Vec<(Place, Fault)>,
    /// An answer of this status instead of a stream.
    pub(super) status: Option<u16>,
    /// Is the error a page instead of the provider's own?
    pub(super) is_html: bool,
    /// What `Retry-After` says.
    pub(super) retry_after: Option<Duration>,
    /// So many requests of this model get the faults, the others do not.
    pub(super) fail_first: Option<u32>,
    /// The content type, instead of the format's own; an empty one is left out.
    pub(super) content_type: Option<&'static str>,
    /// Is the body compressed?
    pub(super) is_gzip: bool,
    /// Does the end of the connection end the body?
    pub(super) until_close: bool,
    /// Does the connection end behind the answer?
    pub(super) closes: bool,
    /// Fields of the head that mean nothing.
    pub(super) fields: u32,
    /// Do interim responses stand before the head (RFC 9110 §15.2)?
    pub(super) has_interim: bool,
    /// Does a sign of life stand before each token?
    pub(super) has_comments: bool,
    /// The line end of event streams, instead of the format's own.
    pub(super) line_end: Option<&'static str>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            words: None,
            is_unicode: false,
            reasoning: 0,
            calls: 0,
            refuses: false,
            is_endless: false,
            huge: 0,
            finish: Finish::Stop,
            has_usage: true,
            has_mark: true,
            first: Duration::ZERO,
            delay: Duration::ZERO,
            split: Split::None,
            gap: Duration::ZERO,
            faults: Vec::new(),
            status: None,
            is_html: false,
            retry_after: None,
            fail_first: None,
            content_type: None,
            is_gzip: false,
            until_close: false,
            closes: false,
            fields: 0,
            has_interim: false,
            has_comments: false,
            line_end: None,
        }
    }
}

/// Why an answer ends, in no provider's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    Calls,
    Filter,
    /// It is not said.
    None,
}

/// Where writes are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Split {
    None,
    /// After so many bytes.
    Every(usize),
    /// Inside each character of several bytes.
    Utf8,
    /// Between CR and LF, and between two LF.
    LineEnds,
}

/// A place in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the head.
    Start,
    /// Inside the head.
    Head,
    /// Behind the head.
    Body,
    /// Behind so many tokens.
    Behind(u32),
    /// Inside the event behind so many tokens.
    Inside(u32),
    /// Before the finish reason.
    Finish,
    /// Before the end marker.
    Mark,
    /// Before the last chunk.
    Last,
}

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is closed.
    Cut,
    /// The connection is reset.
    Reset,
    /// Nothing comes for this time; none: for good.
    Stall(Option<Duration>),
    /// Nothing but signs of life comes, for good.
    Murmur,
    /// An error in the stream, of the kind that has this status.
    Error(u16),
    /// The body ends as if it were whole.
    Truncate,
    /// Bytes without meaning; the answer goes on.
    Garbage,
    /// An event that is no JSON; the answer goes on.
    BadJson,
    /// A broken chunk size; the answer goes on.
    BadChunk,
}

impl Settings {
    /// Reads words over these settings.
    ///
    /// # Errors
    ///
    /// What is wrong with which word.
    pub(crate) fn with_words(mut self, words: &str) -> Result<Self, String> {
        for word in words.split(',') {
            self.set(word)?;
        }
        Ok(self)
    }

    /// Reads a model's name over these settings. Its first word may be any name.
    ///
    /// # Errors
    ///
    /// What is wrong with which word.
    pub(super) fn with_model(mut self, name: &str) -> Result<Self, String> {
        let (first, rest) = name.split_once(',').unwrap_or((name, ""));
        match self.set(first) {
            Err(_) if !first.contains(['=', '@']) => {}
            other => other?,
        }
        if rest.is_empty() {
            return Ok(self);
        }
        self.with_words(rest)
    }

    /// Has this model failed often enough, that many requests having come before?
    pub(super) fn is_healed(&self, before: u32) -> bool {
        self.fail_first.is_some_and(|count| before >= count)
    }

    /// The settings of a request whose turn to fail is over: nothing goes wrong.
    pub(super) fn healed(mut self) -> Self {
        self.faults.clear();
        self.status = None;
        self.is_endless = false;
        self.content_type = None;
        self.has_mark = true;
        if self.finish == Finish::None {
            self.finish = Finish::Stop;
        }
        self
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        let (rest, place) = match word.split_once('@') {
            Some((rest, place)) => (rest, Some(place)),
            None => (word, None),
        };
        let (name, value) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (rest, None),
        };
        if let Some(fault) = fault(name, value, word)? {
            let Some(place) = place.map(|place| place_of(place, word)).transpose()? else {
                return Err(wrong(word, "it needs a place, as in cut@3"));
            };
            self.faults.push((place, fault));
            return Ok(());
        }
        if place.is_some() {
            return Err(wrong(word, "it has no place"));
        }
        match (name, value) {
            ("words", Some(value)) => self.words = Some(number(value, MOST_WORDS, word)?),
            ("reasoning", Some(value)) => self.reasoning = number(value, MOST_WORDS, word)?,
            ("fields", Some(value)) => self.fields = number(value, MOST_FIELDS, word)?,
            ("calls", Some(value)) => self.calls = number(value, MOST_CALLS, word)?,
            ("huge", Some(value)) => self.huge = size(value, word)?,
            ("status", Some(value)) => self.status = Some(status(value, word)?),
            ("fail_first", Some(value)) => self.fail_first = Some(number(value, u32::MAX, word)?),
            ("first", Some(value)) => self.first = duration(value, word)?,
            ("delay", Some(value)) => self.delay = duration(value, word)?,
            ("gap", Some(value)) => self.gap = duration(value, word)?,
            ("retry_after", Some(value)) => self.retry_after = Some(duration(value, word)?),
            ("split", Some(value)) => self.split = split(value, word)?,
            ("finish", Some(value)) => self.finish = finish(value, word)?,
            ("type", Some(value)) => self.content_type = Some(content_type(value, word)?),
            ("eol", Some(value)) => self.line_end = Some(line_end(value, word)?),
            // A name of one's own: requests are counted and listed by the whole name.
            ("id", Some(_)) => {}
            (_, None) => return self.switch(name, word),
            _ => return Err(wrong(word, "there is no such setting")),
        }
        Ok(())
    }

    fn switch(&mut self, name: &str, word: &str) -> Result<(), String> {
        match name {
            "unicode" => self.is_unicode = true,
            "refusal" => self.refuses = true,
            "endless" => self.is_endless = true,
            "no_usage" => self.has_usage = false,
            "no_mark" => self.has_mark = false,
            "html" => self.is_html = true,
            "gzip" => self.is_gzip = true,
            "until_close" => self.until_close = true,
            "close" => self.closes = true,
            "interim" => self.has_interim = true,
            "comments" => self.has_comments = true,
            _ => return Err(wrong(word, "there is no such setting, or it needs a value")),
        }
        Ok(())
    }
}

fn wrong(word: &str, why: &str) -> String {
    format!("{word:?}: {why}; `lmserver fake --help` lists what there is")
}

/// The fault of this name, if it is one.
fn fault(name: &str, value: Option<&str>, word: &str) -> Result<Option<Fault>, String> {
    Ok(Some(match (name, value) {
        ("cut", None) => Fault::Cut,
        ("reset", None) => Fault::Reset,
        ("stall", None) => Fault::Stall(None),
        ("stall", Some(value)) => Fault::Stall(Some(duration(value, word)?)),
        ("murmur", None) => Fault::Murmur,
        ("error", None) => Fault::Error(500),
        ("error", Some(value)) => Fault::Error(status(value, word)?),
        ("truncate", None) => Fault::Truncate,
        ("garbage", None) => Fault::Garbage,
        ("bad_json", None) => Fault::BadJson,
        ("bad_chunk", None) => Fault::BadChunk,
        _ => return Ok(None),
    }))
}

fn place_of(text: &str, word: &str) -> Result<Place, String> {
    Ok(match text {
        "start" => Place::Start,
        "head" => Place::Head,
        "body" => Place::Body,
        "finish" => Place::Finish,
        "end" => Place::Mark,
        "last" => Place::Last,
        _ => match text.strip_suffix(".5") {
            Some(text) => Place::Inside(number(text, u32::MAX, word)?),
            None => Place::Behind(number(text, u32::MAX, word)?),
        },
    })
}

fn number(text: &str, most: u32, word: &str) -> Result<u32, String> {
    let value = text.parse().ok().filter(|value| *value <= most);
    value.ok_or_else(|| wrong(word, &format!("{text:?} is no number of at most {most}")))
}

/// `N`, `NK` or `NM`: bytes.
fn size(text: &str, word: &str) -> Result<usize, String> {
    let (digits, unit) = match text.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => text
            .strip_suffix('M')
            .map_or((text, 1), |digits| (digits, 1 << 20)),
    };
    let size = digits.parse().ok().and_then(|n: usize| n.checked_mul(unit));
    size.filter(|size| *size <= MOST_BYTES)
        .ok_or_else(|| wrong(word, "a size is 100, 64K or 1M, and at most 64M"))
}

fn duration(text: &str, word: &str) -> Result<Duration, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    let time = digits.parse::<u32>().ok().map(|n| u64::from(n) * millis);
    time.filter(|_| millis > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| wrong(word, "a time is 5ms, 2s or 1m"))
}

fn status(text: &str, word: &str) -> Result<u16, String> {
    let status = text.parse().ok();
    status
        .filter(|status| (200..600).contains(status))
        .ok_or_else(|| wrong(word, "a status is 200 to 599"))
}

fn split(text: &str, word: &str) -> Result<Split, String> {
    Ok(match text {
        "utf8" => Split::Utf8,
        "crlf" => Split::LineEnds,
        _ => Split::Every(size(text, word)?.max(1)),
    })
}

fn finish(text: &str, word: &str) -> Result<Finish, String> {
    Ok(match text {
        "stop" => Finish::Stop,
        "length" => Finish::Length,
        "filter" => Finish::Filter,
        "none" => Finish::None,
        _ => return Err(wrong(word, "it is stop, length, filter or none")),
    })
}

fn content_type(text: &str, word: &str) -> Result<&'static str, String> {
    Ok(match text {
        "json" => "application/json",
        "html" => "text/html",
        "text" => "text/plain",
        "sse" => "text/event-stream",
        "none" => "",
        _ => return Err(wrong(word, "it is json, html, text, sse or none")),
    })
}

fn line_end(text: &str, word: &str) -> Result<&'static str, String> {
    Ok(match text {
        "lf" => "\n",
        "crlf" => "\r\n",
        "cr" => "\r",
        _ => return Err(wrong(word, "it is lf, crlf or cr")),
    })
}

/// Words of an answer that has an end.
const MOST_WORDS: u32 = 1_000_000;

/// Tool calls of an answer.
const MOST_CALLS: u32 = 64;

/// Fields of a head.
const MOST_FIELDS: u32 = 100_000;

/// Bytes of one word.
const MOST_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Settings, String> {
        Settings::default().with_model(words)
    }

    #[test]
    fn a_plain_name_changes_nothing() {
        for name in ["gpt-4o", "claude-sonnet-4-5", "meta.llama3-8b:0", ""] {
            assert_eq!(read(name), Ok(Settings::default()), "{name}");
        }
    }

    #[test]
    fn words_set_what_they_say() {
        let read = read(
            "any,words=20,delay=5ms,first=2s,split=1,gap=1ms,cut@3,stall=1m@head,error=529@2.5,\
             huge=1M,finish=length,type=none,retry_after=2,fail_first=2,calls=1,gzip,id=r1",
        );
        let want = Settings {
            words: Some(20),
            delay: Duration::from_millis(5),
            first: Duration::from_secs(2),
            split: Split::Every(1),
            gap: Duration::from_millis(1),
            faults: vec![
                (Place::Behind(3), Fault::Cut),
                (Place::Head, Fault::Stall(Some(Duration::from_secs(60)))),
                (Place::Inside(2), Fault::Error(529)),
            ],
            huge: 1 << 20,
            finish: Finish::Length,
            content_type: Some(""),
            retry_after: Some(Duration::from_secs(2)),
            fail_first: Some(2),
            calls: 1,
            is_gzip: true,
            ..Settings::default()
        };
        assert_eq!(read, Ok(want));
    }

    #[test]
    fn a_mistake_names_the_word() {
        for (words, why) in [
            ("a,b", "no such setting"),
            ("cut", ""),
            ("a,cut", "needs a place"),
            ("cut@nowhere", "no number"),
            ("words=many", "no number"),
            ("words=3@2", "no place"),
            ("delay=5h", "a time is"),
            ("huge=100M", "at most 64M"),
            ("status=99", "200 to 599"),
            ("frobnicate=1", "no such setting"),
            ("a,gzip=1", "no such setting"),
        ] {
            match read(words) {
                // A first word without a value may be any name.
                Ok(_) => assert_eq!(why, "", "{words}"),
                Err(error) => assert!(!why.is_empty() && error.contains(why), "{words}: {error}"),
            }
        }
    }

    #[test]
    fn settings_of_the_command_line_hold_until_the_name_says_otherwise() {
        let defaults = read("words=5,delay=1s").unwrap();
        let both = defaults.clone().with_model("words=2").unwrap();
        assert_eq!((both.words, both.delay.as_secs()), (Some(2), 1));
        assert_eq!(defaults.clone().with_model("any"), Ok(defaults.clone()));
        assert!(defaults.with_words("any").is_err());
    }
}
