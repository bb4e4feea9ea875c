//! Channels' names as answers' ids, and back. No table is kept: they are the same in other letters.
//!
//! ```
//! use lmserver_llm_api::names;
//!
//! let channel = "chat:6c9f0f66-8f1c-4a57-b2b4-6b1f3c1a9d00";
//! let id = names::id("resp_", channel);
//! assert_eq!(id, "resp_6c9f0f668f1c4a57b2b46b1f3c1a9d00");
//! assert_eq!(names::channel("resp_", &id).as_deref(), Some(channel));
//! // A second answer to the same question.
//! let second = names::sibling(channel, 1);
//! assert_eq!(names::index(&second), 1);
//! assert_eq!(names::id("resp_", &second), id);
//! ```

/// What all names of chat channels begin with.
const PREFIX: &str = "chat:";

/// The id of an answer; all answers to one question have the same.
#[must_use]
pub fn id(prefix: &str, channel: &str) -> String {
    let name = channel.strip_prefix(PREFIX).unwrap_or(channel);
    let mut id = String::with_capacity(prefix.len() + name.len());
    id.push_str(prefix);
    let letters = name.chars().take_while(|&letter| letter != '.');
    id.extend(letters.filter(|&letter| letter != '-'));
    id
}

/// The channel of an id; none if it is not such an id.
#[must_use]
pub fn channel(prefix: &str, id: &str) -> Option<String> {
    let digits = id.strip_prefix(prefix)?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 32 || !digits.bytes().all(is_hex) {
        return None;
    }
    let mut name = String::from(PREFIX);
    for (at, digit) in digits.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            name.push('-');
        }
        name.push(digit);
    }
    Some(name)
}

/// The channel of another answer to the same question, counted from 0.
#[must_use]
pub fn sibling(first: &str, index: usize) -> String {
    if index == 0 {
        first.to_owned()
    } else {
        format!("{first}.{index}")
    }
}

/// Which answer to its question a channel is, counted from 0.
#[must_use]
pub fn index(channel: &str) -> usize {
    let index = channel.rsplit_once('.').map(|(_, index)| index.parse());
    index.and_then(Result::ok).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_id_leads_nowhere() {
        let id = "resp_6c9f0f668f1c4a57b2b46b1f3c1a9d00";
        assert!(channel("resp_", id).is_some());
        for id in [
            "",
            "resp_",
            "6c9f0f668f1c4a57b2b46b1f3c1a9d00",
            "resp_6c9f0f668f1c4a57b2b46b1f3c1a9d0",
            "resp_6c9f0f668f1c4a57b2b46b1f3c1a9d000",
            "resp_6C9f0f668f1c4a57b2b46b1f3c1a9d00",
            "resp_6c9f0f668f1c4a57b2b46b1f3c1a9dé",
            "msg_6c9f0f668f1c4a57b2b46b1f3c1a9d00",
        ] {
            assert_eq!(channel("resp_", id), None, "{id}");
        }
    }
}
