//! What the head of a refusal says about trying again.

use std::time::Duration;

use lmserver_proto::http1::Fields;

use crate::http_provider::error::{Hints, seconds};

/// Reads the hints of a response.
pub(super) fn read(status: u16, fields: &Fields) -> Hints {
    Hints {
        status: Some(status),
        retry_after: retry_after(fields),
        should_retry: match fields.get("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        },
        kind: fields.get("x-amzn-errortype").map(Into::into),
    }
}

/// `retry-after-ms`, else `retry-after` in seconds or as a date. What is not positive says nothing:
/// Azure sends zero milliseconds beside a second.
fn retry_after(fields: &Fields) -> Option<Duration> {
    if let Some(millis) = fields.get("retry-after-ms").and_then(seconds) {
        return Some(millis / 1000);
    }
    let text = fields.get("retry-after")?;
    // RFC 9110 §10.2.3. A date is compared with the server's own clock, not with ours.
    seconds(text).or_else(|| {
        let wait = unix_time(text)?.checked_sub(unix_time(fields.get("date")?)?)?;
        (wait > 0).then(|| Duration::from_secs(wait))
    })
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn unix_time(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words
        .next()?
        .parse()
        .ok()
        .filter(|day| (1..=31).contains(day))?;
    let month = words.next()?;
    let month = (1_u64..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    let year: u64 = words
        .next()?
        .parse()
        .ok()
        .filter(|year| (1970..10_000).contains(year))?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    if hour > 23 || minute > 59 || second > 60 || words.next() != Some("GMT") {
        return None;
    }
    // Years counted from March, so that the leap day comes last.
    let (year, month) = if month < 3 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(fields: &[(&str, &str)]) -> Option<u128> {
        let fields = fields
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        read(429, &fields).retry_after.map(|wait| wait.as_millis())
    }

    #[test]
    fn a_wait_is_read_in_all_its_forms() {
        let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (fields, want) in [
            (&[("retry-after", "2")][..], Some(2000)),
            (&[("Retry-After", "0.25")], Some(250)),
            (
                &[("retry-after-ms", "1500"), ("retry-after", "2")],
                Some(1500),
            ),
            (&[("retry-after-ms", "0"), ("retry-after", "1")], Some(1000)),
            (&[("retry-after", "0")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "1e300")], None),
            (
                &[date, ("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")],
                Some(23_000),
            ),
            (
                &[date, ("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")],
                None,
            ),
            (&[("retry-after", "Sun, 06 Nov 1994 08:50:00 GMT")], None),
            (&[], None),
        ] {
            assert_eq!(wait(fields), want, "{fields:?}");
        }
    }

    #[test]
    fn dates_are_counted_from_1970() {
        for (text, want) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1969 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 25:49:37 GMT", None),
            ("", None),
        ] {
            assert_eq!(unix_time(text), want, "{text}");
        }
    }
}
