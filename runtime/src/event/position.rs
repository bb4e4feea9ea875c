//! Where an event stands, and from where a client wants to read.

use std::fmt;
use std::str::FromStr;

use lmserver_proto::decimal::write_decimal;

/// Marks one incarnation of a channel: six random letters and digits.
///
/// Clients hand it back as the first half of a position; another epoch means that their position
/// belongs to a log that is no longer there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch([u8; 6]);

impl Epoch {
    const ALPHABET: &'static [u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

    /// Makes an epoch of random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 6]) -> Self {
        Self(random.map(|byte| {
            Self::ALPHABET
                .get(usize::from(byte & 31))
                .copied()
                .unwrap_or(b'a')
        }))
    }

    /// The epoch as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where an event stands: `<epoch>-<offset>`, the offset dense from 1 in each channel.
///
/// Offset 0 is the place before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The incarnation of the channel.
    pub epoch: Epoch,
    /// The number of the event in it.
    pub offset: u64,
}

impl Position {
    /// Appends its text, as it is displayed: every event that is told carries one.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.epoch.0);
        out.push(b'-');
        write_decimal(self.offset, out);
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl FromStr for Position {
    type Err = UnreadablePosition;

    fn from_str(text: &str) -> Result<Self, UnreadablePosition> {
        let (epoch, offset) = text.split_once('-').ok_or(UnreadablePosition)?;
        let epoch: [u8; 6] = epoch
            .as_bytes()
            .try_into()
            .map_err(|_| UnreadablePosition)?;
        if !epoch.iter().all(|byte| Epoch::ALPHABET.contains(byte)) {
            return Err(UnreadablePosition);
        }
        if offset.is_empty() || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UnreadablePosition);
        }
        let offset = offset.parse().map_err(|_| UnreadablePosition)?;
        Ok(Self {
            epoch: Epoch(epoch),
            offset,
        })
    }
}

/// The text is not a position of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position of the form <epoch>-<offset>")]
pub struct UnreadablePosition;

/// From where a subscriber wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// No cursor: from the first event.
    Beginning,
    /// Only what comes from here on.
    Now,
    /// What follows this position.
    Position(Position),
    /// What follows this offset, of whichever incarnation of the channel there is.
    Offset(u64),
    /// The client was told that its answer is gone (`gone-0`) and came back all the same.
    Gone,
    /// A cursor that this server did not write: treated as one of another epoch.
    Unreadable,
}

impl After {
    /// Reads a client's cursor: `Last-Event-ID`, or its twin in the query.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "0" | "earliest" => Self::Beginning,
            "now" => Self::Now,
            "gone-0" => Self::Gone,
            _ => text.parse().map_or(Self::Unreadable, Self::Position),
        }
    }

    /// True if the client says that it has already seen something.
    #[must_use]
    pub fn is_cursor(self) -> bool {
        matches!(
            self,
            Self::Position(_) | Self::Offset(_) | Self::Gone | Self::Unreadable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_the_wire() {
        let epoch = Epoch::from_random([1, 2, 3, 250, 251, 252]);
        let position = Position { epoch, offset: 17 };
        assert_eq!(position.to_string().parse(), Ok(position));
        assert_eq!(
            After::parse(&position.to_string()),
            After::Position(position)
        );
    }

    #[test]
    fn a_position_is_written_as_it_is_displayed() {
        for offset in [0, 7, 10, 4_294_967_296, u64::MAX] {
            let epoch = Epoch::from_random([1, 2, 3, 4, 5, 6]);
            let position = Position { epoch, offset };
            let mut out = b"x".to_vec();
            position.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x{position}"));
        }
    }

    #[test]
    fn every_cursor_of_a_client_means_something() {
        for (text, want) in [
            ("", After::Beginning),
            ("0", After::Beginning),
            ("earliest", After::Beginning),
            ("now", After::Now),
            ("gone-0", After::Gone),
            ("17", After::Unreadable),
            ("abcdef", After::Unreadable),
            ("abcdef-", After::Unreadable),
            ("abcdef-+1", After::Unreadable),
            ("abcdef--1", After::Unreadable),
            ("abcdef-1x", After::Unreadable),
            ("abcde-1", After::Unreadable),
            ("abcdefg-1", After::Unreadable),
            ("ABCDEF-1", After::Unreadable),
            ("abcdef-99999999999999999999", After::Unreadable),
            ("\u{fc}bcde-1", After::Unreadable),
        ] {
            assert_eq!(After::parse(text), want, "{text:?}");
        }
    }
}
