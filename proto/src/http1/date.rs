//! Dates as HTTP writes them.

/// A moment as IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// Seconds since 1970-01-01 without leap seconds; what lies behind the year 9999 is shown as its
/// last second, since the format has four digits.
#[must_use]
pub fn imf_fixdate(unix_seconds: u64) -> String {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = unix_seconds.min(LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = WEEKDAYS
        .iter()
        .cycle()
        .nth((days % 7) as usize)
        .copied()
        .unwrap_or_default();
    let (year, month, day) = civil(days);
    let month = MONTHS.get(month).copied().unwrap_or_default();
    let mut date = String::with_capacity(29);
    date.push_str(weekday);
    date.push_str(", ");
    push_two_digits(day, &mut date);
    date.push(' ');
    date.push_str(month);
    date.push(' ');
    push_two_digits(year / 100, &mut date);
    push_two_digits(year % 100, &mut date);
    for (before, number) in [
        (' ', second / 3600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        date.push(before);
        push_two_digits(number, &mut date);
    }
    date.push_str(" GMT");
    date
}

/// Appends a number below 100. Every answer has a date, so it is put together without a formatter.
fn push_two_digits(number: u64, out: &mut String) {
    for digit in [number / 10, number % 10] {
        out.push(char::from_digit((digit % 10) as u32, 10).unwrap_or('0'));
    }
}

/// A moment in the basic format of ISO 8601, as request signatures carry it: `19941106T084937Z`.
///
/// Seconds since 1970-01-01 as for [`imf_fixdate`], up to the year 9999.
#[must_use]
pub fn basic_date_time(unix_seconds: u64) -> String {
    let seconds = unix_seconds.min(LAST);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let month = month + 1;
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Year, month from 0 and day from 1 of a day since 1970-01-01.
///
/// Counted in years that begin in March, so that the leap day is the last one, and in eras of
/// 400 years, after which the Gregorian calendar repeats.
fn civil(days: u64) -> (u64, usize, u64) {
    const ERA_DAYS: u64 = 146_097;
    const DAYS_TO_1970: u64 = 719_468;
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let next_year = u64::from(month_from_march >= 10);
    (
        (year_of_era + era * 400) + next_year,
        ((month_from_march + 2) % 12) as usize,
        day,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basic_format_has_the_same_digits() {
        for (seconds, want) in [
            (0, "19700101T000000Z"),
            (784_111_777, "19941106T084937Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (u64::MAX, "99991231T235959Z"),
        ] {
            assert_eq!(basic_date_time(seconds), want);
        }
    }

    #[test]
    fn known_moments_are_written_as_rfc_9110_writes_them() {
        for (seconds, want) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(imf_fixdate(seconds), want, "{seconds}");
        }
    }

    #[test]
    fn days_follow_each_other() {
        let lengths = |year: u64| {
            let leap =
                year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
            [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ]
        };
        let mut days = 0;
        for year in 1970..2410 {
            for (month, length) in lengths(year).into_iter().enumerate() {
                for day in 1..=length {
                    assert_eq!(civil(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }
}
