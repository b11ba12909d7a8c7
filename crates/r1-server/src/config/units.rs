//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads "250ms", "15s", "30m", "1h" or "30d".
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Reads "512B", "64KiB", "1MiB" or "2GiB".
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// The shortest way to write a duration.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// The shortest way to write a size.
pub(crate) fn size_text(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in ["250ms", "15s", "90s", "30m", "1h", "30d"] {
            let read = duration(text).unwrap();
            assert_eq!(duration(&duration_text(read)), Some(read), "{text}");
        }
        for text in ["512B", "64KiB", "1MiB", "2GiB", "1500KiB"] {
            let read = size(text).unwrap();
            assert_eq!(size(&size_text(read)), Some(read), "{text}");
        }
        assert_eq!(duration(" 15 s "), Some(Duration::from_secs(15)));
        assert_eq!(duration_text(Duration::from_secs(86_400)), "1d");
        for bad in ["", "15", "s", "-1s", "1.5h", "15 sec", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in ["", "15", "1MB", "1mib", "KiB", "18446744073709551615GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
