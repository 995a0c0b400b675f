//! Parsers of option values. Each error says what a valid value is.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let right = || format!("an address and port such as 127.0.0.1:8080 or [::]:8080, not {text:?}");
    text.to_socket_addrs()
        .map_err(|_| right())?
        .next()
        .ok_or_else(right)
}

/// An http or https address, without the slash at its end.
pub(crate) fn web_address(text: &str) -> Result<String, String> {
    let right = || format!("an address such as https://hooks.example.com, not {text:?}");
    let url = url::Url::parse(text.trim()).map_err(|_| right())?;
    if !matches!(url.scheme(), "http" | "https")
        || url.host_str().is_none()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(right());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address without a user name or a password: it is shown to everybody who may see connections".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A number of bytes: `8388608`, `8MiB`, `16GiB`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let right =
        || format!("a number of bytes such as 1048576, 512KiB, 8MiB or 16GiB, not {text:?}");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return Err(right()),
    };
    digits
        .trim()
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .filter(|size| *size > 0)
        .ok_or_else(right)
}

/// A whole number within a range.
pub(super) fn number(text: &str, range: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let (least, most) = (range.start(), range.end());
    text.trim()
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("a whole number from {least} to {most}, not {text:?}"))
}

/// Reads a log filter from a file.
///
/// # Errors
/// The expected content of the file.
pub fn read_filter(path: &Path) -> Result<String, String> {
    let right = |error: &dyn std::fmt::Display| {
        format!("a file with a filter such as info or cartwire=debug ({error})")
    };
    let text = std::fs::read_to_string(path).map_err(|error| right(&error))?;
    let filter = text.trim();
    tracing_subscriber::EnvFilter::try_new(filter).map_err(|error| right(&error))?;
    Ok(filter.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512KiB"), Ok(512 << 10));
        assert_eq!(size("16GiB"), Ok(16 << 30));
        for wrong in ["", "0", "-1", "1.5MiB", "8 apples", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
