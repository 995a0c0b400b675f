//! Times on the command line: an instant, a date, or an age.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Reads a time, a date in UTC, or an age such as `7d`, `12h` or `30m`.
pub(super) fn past_time(text: &str) -> Result<Timestamp, String> {
    let age = |number: &str, seconds: i64| {
        let number: u32 = number.parse().ok()?;
        let age = SignedDuration::from_secs(i64::from(number).checked_mul(seconds)?);
        Timestamp::now().checked_sub(age).ok()
    };
    let by_unit = [("d", 86_400), ("h", 3600), ("m", 60)]
        .into_iter()
        .find_map(|(unit, seconds)| age(text.strip_suffix(unit)?, seconds));
    let date = || {
        let date: Date = text.parse().ok()?;
        Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    by_unit
        .or_else(|| text.parse().ok())
        .or_else(date)
        .ok_or_else(|| {
            "a time such as 2026-11-21T00:00:00Z, a date such as 2026-11-21, or an age such as 7d, 12h or 30m".to_owned()
        })
}

/// Reads `all` for the begin of time, `now`, and else as [`past_time`].
pub(super) fn begin(text: &str) -> Result<Timestamp, String> {
    match text {
        "all" => Ok(Timestamp::UNIX_EPOCH),
        "now" => Ok(Timestamp::now()),
        _ => past_time(text).map_err(|right| format!("now, all, {right}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_an_instant_a_date_or_an_age() {
        let now = Timestamp::now();
        for (text, seconds) in [("7d", 7 * 86_400), ("12h", 12 * 3600), ("30m", 1800)] {
            let time = past_time(text).expect("a time");
            let age = now.duration_since(time).as_secs();
            assert!((seconds - 5..=seconds + 5).contains(&age), "{text}: {age}");
        }
        let midnight = past_time("2026-11-21T00:00:00Z");
        assert!(midnight.is_ok());
        assert_eq!(past_time("2026-11-21"), midnight);
        for text in ["7", "d", "-1d", "yesterday", "99999999999d", "2026-13-01"] {
            assert!(past_time(text).is_err(), "{text}");
        }
        assert_eq!(begin("all"), Ok(Timestamp::UNIX_EPOCH));
        assert!(begin("now").is_ok_and(|time| time >= now));
        assert!(begin("later").is_err());
    }
}
