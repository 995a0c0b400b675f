//! Answers to requests that are not valid HTTP.
//!
//! The HTTP server answers them itself, with a head and nothing else: no route sees such a request. Here such a head is
//! found among the bytes that go out, and replaced by an answer like all others: JSON, with an `x-request-id`.

use super::request_id;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const START: &[u8] = b"HTTP/1.1 ";

/// Where a bare error answer begins that ends with these bytes. Every answer of a route carries an `x-request-id`, and a
/// body never contains a line break of HTTP, so nothing else is taken for one.
pub(super) fn find(bytes: &[u8]) -> Option<usize> {
    let heads = bytes.strip_suffix(END_OF_HEAD)?;
    let at = heads
        .windows(START.len())
        .rposition(|window| window == START)?;
    let head = std::str::from_utf8(&heads[at..]).ok()?;
    let mut lines = head.split("\r\n");
    status(lines.next()?)?;
    let mut is_empty = false;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("x-request-id") {
            return None;
        }
        is_empty |= name.eq_ignore_ascii_case("content-length") && value.trim() == "0";
    }
    is_empty.then_some(at)
}

/// The whole answer in place of a bare one.
pub(super) fn complete(bare: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(bare);
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = status(first).unwrap_or("400");
    metrics::counter!("cartwire_http_errors_total", "status" => status).increment(1);
    let body = match status {
        "408" => r#"{"error":"timeout"}"#,
        "413" => r#"{"error":"too_large"}"#,
        "431" => r#"{"error":"headers_too_large"}"#,
        "500" => r#"{"error":"internal"}"#,
        _ => r#"{"error":"bad_request","hint":"the request is not valid HTTP/1.1"}"#,
    };
    let mut answer = format!("{first}\r\n");
    for line in lines {
        let name = line.split(':').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case("content-length") {
            answer += line;
            answer += "\r\n";
        }
    }
    let length = body.len();
    let id = request_id::next();
    answer += &format!(
        "content-length: {length}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         x-content-type-options: nosniff\r\nx-request-id: {id}\r\n\r\n{body}"
    );
    answer.into_bytes()
}

/// The status of an error answer that the HTTP server makes.
fn status(line: &str) -> Option<&'static str> {
    let code = line.split(' ').nth(1)?;
    ["400", "408", "413", "431", "500"]
        .into_iter()
        .find(|status| *status == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str =
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\ndate: x\r\n\r\n";

    #[test]
    fn bare_error_answer_is_found_also_after_other_answers() {
        assert_eq!(find(BARE.as_bytes()), Some(0));
        let before = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(
            find(format!("{before}{BARE}").as_bytes()),
            Some(before.len())
        );
    }

    #[test]
    fn answers_of_routes_and_parts_of_answers_are_left_alone() {
        let named = BARE.replace("date: x", "x-request-id: x");
        let full = BARE.replace("content-length: 0", "content-length: 2");
        for other in [
            named.as_str(),
            &full,
            "",
            "\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "0\r\n\r\n",
            &BARE[..40],
            &BARE[10..],
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(find(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn completed_answer_keeps_the_status_and_says_its_length() {
        let answer = String::from_utf8(complete(BARE.as_bytes())).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains("connection: close") && head.contains("x-request-id: "));
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert_eq!(head.matches("content-length").count(), 1);
        assert_eq!(find(answer.as_bytes()), None);
    }
}
