//! Moments as answers show them.

use time::OffsetDateTime;

/// A moment, in milliseconds since 1970, as in RFC 3339, in UTC: `2026-11-29T14:03:07.120Z`. One that no calendar has is the beginning of 1970.
pub(crate) fn timestamp(ms: u64) -> String {
    let nanos = i128::from(ms).saturating_mul(1_000_000);
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_with_milliseconds() {
        assert_eq!(timestamp(1_700_000_000_007), "2023-11-14T22:13:20.007Z");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(u64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
