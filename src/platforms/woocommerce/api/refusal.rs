//! Findings for a store that cannot be reached, and for responses of something in front of WooCommerce: firewalls, security
//! plugins, maintenance pages, logins.
//!
//! Errors of the REST API itself are elsewhere. Pages are in any language, so status and headers identify them. The few texts
//! that are searched for are names of products.

use url::Url;

use super::body::json;
use super::outcome::{SET_URL, finding};
use super::urls::origin;
use crate::platforms::api::{CallFailure, Finding, FindingCode, Severity, StoreResponse, TlsFault};
use crate::platforms::lenient::Node;

/// Error codes of plugins that close the REST API, or allow it only to logged-in users.
const TURNED_OFF: [&str; 9] = [
    "rest_cannot_access",
    "rest_not_logged_in",
    "rest_login_required",
    "rest_forbidden",
    "rest_disabled",
    "rest_api_disabled",
    "rest_unauthorized",
    "rest_api_authentication_required",
    "itsec_rest_api_access_restricted",
];

/// The finding for a request without a response.
pub(super) fn of_failure(failure: &CallFailure, url: &str) -> Finding {
    let at = Url::parse(url).map_or_else(|_| url.to_owned(), |url| origin(&url));
    let (severity, code, cause, remedy) = match failure {
        CallFailure::AddressInvalid => (
            Severity::Broken,
            FindingCode::UrlInvalid,
            format!("{at} is no address that can be called."),
            "Give the store's URL, as in https://shop.example.".to_owned(),
        ),
        CallFailure::AddressRefused(address) => (
            Severity::Broken,
            FindingCode::PrivateAddress,
            format!("{at} leads to {address}, which is in a private network; Cartwire does not call there."),
            "Correct the store's URL or its DNS entry. If the store really is inside your own network, start Cartwire with \
             --allow-private-stores."
                .to_owned(),
        ),
        CallFailure::HostUnknown => (
            Severity::Unavailable,
            FindingCode::HostUnknown,
            format!("{at} has no address: its host name is not known to DNS."),
            "Look for a typing mistake in the URL; if it is right, the store's domain has expired or its DNS entry is missing."
                .to_owned(),
        ),
        CallFailure::Unreachable => (
            Severity::Unavailable,
            FindingCode::Unreachable,
            format!("{at} takes no connections."),
            "See whether the store opens in a browser from outside its network; if it does, its firewall has to let this \
             machine in."
                .to_owned(),
        ),
        CallFailure::Tls(fault) => return of_tls(fault, &at),
        CallFailure::TimedOut => (
            Severity::Unavailable,
            FindingCode::TimedOut,
            format!("{at} did not answer in time."),
            "Try again later; if it stays so, ask the store's host why its REST API is slow, or lets this machine wait."
                .to_owned(),
        ),
        CallFailure::CutOff => (
            Severity::Unavailable,
            FindingCode::CutOff,
            format!("{at} ended the connection in the middle of its answer."),
            "Try again later; if it stays so, look into the store's PHP error log: a crash or a memory limit ends answers like \
             this."
                .to_owned(),
        ),
        CallFailure::TooLarge => (
            Severity::Broken,
            FindingCode::AnswerTooLarge,
            format!("{at} answered with more than Cartwire takes."),
            "Open the address in a browser and see what is sent in place of a short answer.".to_owned(),
        ),
        CallFailure::RateLimited(rest) => (
            Severity::Unavailable,
            FindingCode::RateLimited,
            format!("{at} got too many requests, and asks to wait {} seconds.", rest.as_secs()),
            "Try again later; if it stays so, ask the store's host or its security plugin to let this machine in.".to_owned(),
        ),
        CallFailure::TokenRefused(_) => (
            Severity::Broken,
            FindingCode::TokenRefused,
            format!("{at} gave no access token."),
            "Check the credentials of this connection.".to_owned(),
        ),
    };
    finding(severity, code, cause, remedy)
}

/// The finding for a failed TLS handshake.
fn of_tls(fault: &TlsFault, at: &str) -> Finding {
    let (code, remedy) = match fault {
        TlsFault::Untrusted => (
            FindingCode::TlsBroken,
            "If an authority of your own signed the store's certificate, name it with --store-ca-file \
             (CARTWIRE_STORE_CA_FILE), both for this command and for `cartwire serve`. Otherwise let the store send its whole \
             chain of certificates: a browser that was there before may not show the mistake.",
        ),
        TlsFault::OwnAuthority => (
            FindingCode::TlsBroken,
            "Give the store a certificate that is no authority (basicConstraints CA:FALSE), signed by an authority of your own, \
             and name that authority with --store-ca-file (CARTWIRE_STORE_CA_FILE), both for this command and for `cartwire \
             serve`.",
        ),
        TlsFault::Expired => (FindingCode::TlsBroken, "Renew the store's certificate."),
        TlsFault::NotYetValid => (
            FindingCode::TlsBroken,
            "Set this machine's clock by NTP; if it is right, renew the store's certificate.",
        ),
        TlsFault::OtherName => (
            FindingCode::TlsBroken,
            "Use the host name that the certificate is for as the store's URL, or renew the certificate for this host name.",
        ),
        TlsFault::NotTls => (
            FindingCode::TlsMissing,
            "Look at scheme and port of the store's URL; https needs a port that speaks TLS.",
        ),
        TlsFault::Other(_) => (
            FindingCode::TlsBroken,
            "Have the store's certificate renewed for exactly this host name and with the whole chain.",
        ),
    };
    finding(
        Severity::Broken,
        code,
        format!("{at} cannot be trusted by TLS: {fault}."),
        remedy,
    )
}

/// The finding for a response that is not the REST API's; `None` if it is.
pub(super) fn of_answer(answer: &StoreResponse, url: &str) -> Option<Finding> {
    let at = Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |url| format!("{}{}", origin(&url), url.path()),
    );
    let document = json(answer);
    let code = document
        .as_ref()
        .and_then(|document| Node::root(document).get("code").str());
    if answer.status == 429 {
        return Some(rate_limited(answer, &at));
    }
    if answer.status == 401
        && answer
            .all("www-authenticate")
            .any(|value| value.trim_start().to_ascii_lowercase().starts_with("basic"))
    {
        return Some(finding(
            Severity::Broken,
            FindingCode::BasicAuthInFront,
            format!(
                "The web server in front of the store asks for a name and a password of its own at {at}."
            ),
            "Take the password protection (HTTP Basic Auth, often of a staging site) off /wp-json/: it uses the same header as \
             the REST API's keys, so both together cannot work.",
        ));
    }
    if is_of_cloudflare(answer) {
        return Some(finding(
            Severity::Broken,
            FindingCode::CloudflareBlocked,
            format!("Cloudflare asks for proof of a human at {at} and lets no program through."),
            "In Cloudflare, under Security > WAF > Custom rules, add a rule that skips managed challenges and bot fight mode for \
             paths that begin with /wp-json/wc/, or for this machine's address.",
        ));
    }
    if let Some(code) = code.filter(|code| TURNED_OFF.contains(code)) {
        return Some(finding(
            Severity::Broken,
            FindingCode::RestDisabled,
            format!(
                "A plugin of the store turned the REST API off for those who are not logged in ({code})."
            ),
            "In the store's security plugins, look for \"REST API\" and allow it; where single paths can be allowed, \
             /wp-json/wc/v3/ is what Cartwire uses.",
        ));
    }
    if matches!(answer.status, 500..=599) {
        return Some(server_error(answer, &at));
    }
    if document.is_some() {
        return None;
    }
    Some(page(answer, &at))
}

/// The finding for a refusal in JSON that is not WooCommerce's.
pub(super) fn of_other(answer: &StoreResponse, url: &str) -> Finding {
    let at = Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |url| format!("{}{}", origin(&url), url.path()),
    );
    let document = json(answer);
    let code = document
        .as_ref()
        .and_then(|document| Node::root(document).get("code").str());
    let words = code.map_or_else(
        || "an error without a code".to_owned(),
        |code| format!("the code {code}"),
    );
    finding(
        Severity::Broken,
        FindingCode::RestBlocked,
        format!(
            "{at} is blocked by something else than WooCommerce (status {}, {words}).",
            answer.status
        ),
        "Allow /wp-json/wc/v3/ in the store's security plugin or firewall (WAF), for this machine's address at least.",
    )
}

/// `true` if Cloudflare itself blocked the request. Its headers are on every response of a store behind it.
fn is_of_cloudflare(answer: &StoreResponse) -> bool {
    const PAGES: [&str; 3] = [
        "attention required! | cloudflare",
        "cf-error-details",
        "<title>just a moment...</title>",
    ];
    if answer.header("cf-mitigated").is_some() {
        return true;
    }
    let text = answer.text().to_ascii_lowercase();
    matches!(answer.status, 403 | 503) && PAGES.iter().any(|words| text.contains(words))
}

fn rate_limited(answer: &StoreResponse, at: &str) -> Finding {
    let wait = crate::platforms::api::retry_after(answer)
        .map(|wait| format!(" for {} seconds", wait.as_secs()))
        .unwrap_or_default();
    finding(
        Severity::Unavailable,
        FindingCode::RateLimited,
        format!("The store's host takes no more requests{wait} ({at} answered 429)."),
        "Nothing needs to be done if it passes; if it comes again and again, ask the host to allow this machine more requests.",
    )
}

fn server_error(answer: &StoreResponse, at: &str) -> Finding {
    if answer.status == 503 {
        return finding(
            Severity::Unavailable,
            FindingCode::Maintenance,
            format!("The store is in maintenance or overloaded ({at} answered 503)."),
            "Wait for the maintenance to end; if it stays so, delete the file .maintenance in the WordPress folder, or turn the \
             maintenance mode off in the plugin that made it.",
        );
    }
    finding(
        Severity::Unavailable,
        FindingCode::StoreError,
        format!("The store fails: {at} answered {}.", answer.status),
        "See whether the store's pages open in a browser. If none does, its database may be down: ask the store's host. \
         Otherwise the PHP error log (WooCommerce > Status > Logs, fatal-errors) names what fails.",
    )
}

/// The finding for a page in place of a response.
fn page(answer: &StoreResponse, at: &str) -> Finding {
    let by = product(answer)
        .map(|product| format!(", by the look of it {product}"))
        .unwrap_or_default();
    match answer.status {
        404 | 410 => finding(
            Severity::Broken,
            FindingCode::RestNotFound,
            format!(
                "There is no REST API at {at}: it answered {}.",
                answer.status
            ),
            "In WordPress, open Settings > Permalinks, choose anything but \"Plain\" and save; that also writes the web server's \
             rules again.",
        ),
        300..=399 => finding(
            Severity::Broken,
            FindingCode::Redirected,
            format!(
                "{at} redirects (status {}) in place of an answer.",
                answer.status
            ),
            format!("To give this connection the URL that the store has now, {SET_URL}."),
        ),
        200..=299 => {
            let text = answer.text().to_ascii_lowercase();
            if ["coming soon", "coming-soon", "maintenance"]
                .iter()
                .any(|word| text.contains(word))
            {
                return finding(
                    Severity::Unavailable,
                    FindingCode::Maintenance,
                    format!(
                        "{at} answers with a page for visitors: the store is hidden behind a coming-soon or maintenance page."
                    ),
                    "Open the store to visitors, or except /wp-json/ in the plugin that hides it.",
                );
            }
            if text.contains("{\"")
                && (text.contains("<b>warning</b>")
                    || text.contains("<b>notice</b>")
                    || text.contains("<b>deprecated</b>"))
            {
                return finding(
                    Severity::Broken,
                    FindingCode::RestHtml,
                    format!(
                        "PHP writes warnings into the answers of {at}, so that they are no JSON."
                    ),
                    "Set WP_DEBUG_DISPLAY to false in the store's wp-config.php.",
                );
            }
            finding(
                Severity::Broken,
                FindingCode::RestHtml,
                format!("{at} answers with a page in place of JSON{by}."),
                "Open that address in a browser: it must show JSON. A security plugin, a cache or a rule of the web server puts \
                 the page there; except /wp-json/ from it.",
            )
        }
        status => finding(
            Severity::Broken,
            FindingCode::RestBlocked,
            format!(
                "{at} is blocked in front of WooCommerce{by} (status {status}, a page in place of JSON)."
            ),
            "Allow /wp-json/wc/v3/ in the store's security plugin, firewall (WAF), .htaccess or nginx rules, for this machine's \
             address at least.",
        ),
    }
}

/// The product that made the page.
fn product(answer: &StoreResponse) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 8] = [
        ("wordfence", "Wordfence"),
        ("sucuri", "Sucuri"),
        ("imunify360", "Imunify360"),
        ("mod_security", "ModSecurity"),
        ("modsecurity", "ModSecurity"),
        ("ithemes security", "Solid Security"),
        ("solid security", "Solid Security"),
        ("sgcaptcha", "SiteGround's bot protection"),
    ];
    let text = answer.text().to_ascii_lowercase();
    let server = answer
        .header("server")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let named = KNOWN
        .iter()
        .find(|(word, _)| text.contains(word) || server.contains(word))
        .map(|(_, name)| *name);
    named.or_else(|| answer.header("x-sucuri-id").map(|_| "Sucuri"))
}
