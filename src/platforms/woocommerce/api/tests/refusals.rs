//! Everything that keeps a store from being connected has a finding of its own.

use secrecy::ExposeSecret;

use super::*;
use crate::platforms::api::{Severity, TlsFault};
use crate::platforms::oauth1::Placement;

const SHOP: &str = "https://shop.example";

/// The first finding of a store that answers so.
fn first(store: &mut Store, context: &ConnectionContext) -> (&'static str, Severity) {
    let report = drive(store, context, CheckMode::Fix);
    let finding = report.findings.first().expect("something is found");
    for text in [&finding.cause, &finding.remedy] {
        assert!(text.ends_with('.') || text.ends_with("apache."), "{text}");
        assert!(
            !text.contains(KEY) && !text.contains(SECRET) && !text.contains("  "),
            "{text}"
        );
    }
    assert!(store.webhooks.is_empty(), "nothing was registered");
    (finding.code.as_str(), finding.severity)
}

fn found(fault: impl Fn(&ApiRequest) -> Option<CallResult> + 'static) -> (&'static str, Severity) {
    first(&mut Store::with(fault), &context(SHOP))
}

/// For each address of the REST API.
fn rest(answer: StoreResponse) -> (&'static str, Severity) {
    found(move |request| {
        request
            .url
            .contains("/wp-json/")
            .then(|| Ok(answer.clone()))
    })
}

/// Wherever keys are needed.
fn keyed(answer: StoreResponse) -> (&'static str, Severity) {
    found(move |request| (!matches!(request.auth, Auth::None)).then(|| Ok(answer.clone())))
}

#[test]
fn a_store_that_does_not_answer() {
    use Severity::{Broken, Unavailable};
    for (failure, code, severity) in [
        (CallFailure::AddressInvalid, "url_invalid", Broken),
        (
            CallFailure::AddressRefused("10.0.0.1".to_owned()),
            "private_address",
            Broken,
        ),
        (CallFailure::HostUnknown, "host_unknown", Unavailable),
        (CallFailure::Unreachable, "unreachable", Unavailable),
        (CallFailure::Tls(TlsFault::Expired), "tls_broken", Broken),
        (CallFailure::TimedOut, "timed_out", Unavailable),
        (CallFailure::CutOff, "cut_off", Unavailable),
        (CallFailure::TooLarge, "answer_too_large", Broken),
    ] {
        assert_eq!(found(move |_| Some(Err(failure.clone()))), (code, severity));
    }
}

#[test]
fn store_without_tls_is_reported_if_the_scheme_was_assumed() {
    let mut store = Store::with(|request| {
        let plain = Ok(page(200, "A shop"));
        Some(if request.url.starts_with("https:") {
            Err(CallFailure::Unreachable)
        } else {
            plain
        })
    });
    let report = drive(&mut store, &context(SHOP), CheckMode::Check);
    let finding = &report.findings[0];
    assert_eq!(finding.code.as_str(), "unreachable");
    assert!(
        finding.remedy.starts_with("http://shop.example answers"),
        "{}",
        finding.remedy
    );
}

#[test]
fn pages_in_front_of_the_store_are_diagnosed() {
    use Severity::{Broken, Unavailable};
    assert_eq!(rest(page(200, "Welcome")), ("rest_html", Broken));
    assert_eq!(
        rest(page(200, "<b>Warning</b>: x in y {\"name\":1}")),
        ("rest_html", Broken)
    );
    assert_eq!(
        rest(page(200, "Coming soon!")),
        ("maintenance", Unavailable)
    );
    assert_eq!(rest(page(403, "Forbidden")), ("rest_blocked", Broken));
    assert_eq!(rest(page(406, "Mod_Security")), ("rest_blocked", Broken));
    assert_eq!(
        rest(refusal(401, "rest_not_logged_in")),
        ("rest_disabled", Broken)
    );
    assert_eq!(
        rest(refusal(403, "rest_cannot_access")),
        ("rest_disabled", Broken)
    );
    assert_eq!(
        rest(page(500, "Critical error")),
        ("store_error", Unavailable)
    );
    assert_eq!(
        rest(page(503, "Briefly unavailable")),
        ("maintenance", Unavailable)
    );
    assert_eq!(
        rest(answer(429, &[("retry-after", "7")], "")),
        ("rate_limited", Unavailable)
    );
    let basic = answer(401, &[("www-authenticate", "Basic realm=\"Staging\"")], "");
    assert_eq!(
        found(move |_| Some(Ok(basic.clone()))),
        ("basic_auth_in_front", Broken)
    );
    let challenge = answer(
        403,
        &[("server", "cloudflare"), ("cf-mitigated", "challenge")],
        "<html></html>",
    );
    assert_eq!(
        found(move |_| Some(Ok(challenge.clone()))),
        ("cloudflare_blocked", Broken)
    );
    for (status, text, code, severity) in [
        (
            403,
            "<title>Attention Required! | Cloudflare</title>",
            "cloudflare_blocked",
            Broken,
        ),
        (
            503,
            "<title>Just a moment...</title>",
            "cloudflare_blocked",
            Broken,
        ),
        (403, "Wordfence", "rest_blocked", Broken),
        (503, "Briefly unavailable", "maintenance", Unavailable),
        (
            502,
            "<div id=\"cf-error-details\">Bad gateway</div>",
            "store_error",
            Unavailable,
        ),
    ] {
        let behind = answer(
            status,
            &[("server", "cloudflare"), ("cf-ray", "1-AMS")],
            &format!("<html>{text}</html>"),
        );
        assert_eq!(rest(behind), (code, severity), "{status} {text}");
    }
}

#[test]
fn the_wrong_address() {
    use Severity::Broken;
    assert_eq!(
        found(|_| Some(Ok(page(404, "Not found")))),
        ("url_wrong", Broken)
    );
    let other = |request: &ApiRequest| {
        Some(Ok(page(
            if request.call == "home" { 200 } else { 404 },
            "Some site",
        )))
    };
    assert_eq!(found(other), ("not_wordpress", Broken));
    assert_eq!(rest(page(404, "Not found")), ("rest_not_found", Broken));
    let mut plain = Store {
        link: Some("https://shop.example/index.php?rest_route=/"),
        root: "/none/",
        ..Store::default()
    };
    plain.fault = Some(Box::new(|request| {
        let root = json!({ "home": SHOP, "namespaces": ["wc/v3"] });
        request
            .url
            .contains("rest_route=")
            .then(|| Ok(reported(200, &root)))
    }));
    assert_eq!(
        first(&mut plain, &context(SHOP)),
        ("permalinks_plain", Broken)
    );
}

#[test]
fn a_redirect_that_keys_do_not_follow() {
    let to = |location: &'static str| {
        found(move |_| Some(Ok(answer(302, &[("location", location)], "")))).0
    };
    assert_eq!(to("https://other.example/"), "redirect_elsewhere");
    assert_eq!(to("http://shop.example/"), "redirect_to_http");
    assert_eq!(to("http://10.0.0.1/"), "private_address");
    assert_eq!(to("http://[::1]/"), "private_address");
    assert_eq!(to("/again"), "redirect_loop");
}

#[test]
fn the_wrong_software() {
    let without = Store {
        namespaces: &["wp/v2"],
        ..Store::default()
    };
    let older = Store {
        namespaces: &["wp/v2", "wc/v1", "wc/v2"],
        ..Store::default()
    };
    for (mut store, code) in [(without, "not_woocommerce"), (older, "woocommerce_too_old")] {
        assert_eq!(first(&mut store, &context(SHOP)).0, code);
    }
    let mut old = Store {
        version: "5.9.1",
        ..Store::default()
    };
    let report = drive(&mut old, &context(SHOP), CheckMode::Check);
    assert!(codes(&report).contains(&"woocommerce_too_old"));
}

/// What is wrong with the keys of a store that answers as WooCommerce does, in a language of its own.
#[derive(Clone, Copy)]
enum Keyed {
    Unknown,
    SecretWrong,
    WriteOnly,
    NotSeen,
}

fn refuses_keys(wrong: Keyed) -> impl Fn(&ApiRequest) -> Option<CallResult> {
    move |request| {
        let says = |code: &str, message: &str| {
            let body = json!({ "code": code, "message": message, "data": { "status": 401 } });
            Some(Ok(reported(401, &body)))
        };
        let by_oauth = match &request.auth {
            Auth::None | Auth::Token(_) => return None,
            Auth::Header(..) => None,
            Auth::OAuth1(oauth) => Some(KEY.contains(oauth.key.expose_secret())),
        };
        let error = "woocommerce_rest_authentication_error";
        match (wrong, by_oauth) {
            (Keyed::NotSeen, _) | (Keyed::Unknown, None) => {
                says("woocommerce_rest_cannot_view", "Nicht erlaubt.")
            }
            (Keyed::Unknown, Some(_)) | (_, Some(false)) => {
                says(error, "Der Konsumentenschl\u{fc}ssel ist falsch.")
            }
            (Keyed::WriteOnly, _) if request.method == Method::Post => {
                Some(Ok(refusal(400, "rest_missing_callback_param")))
            }
            (Keyed::WriteOnly, _) => says(error, "Dem Schl\u{fc}ssel fehlt das Leserecht."),
            (Keyed::SecretWrong, _) => says(error, "Die Signatur ist falsch."),
        }
    }
}

#[test]
fn refused_keys_are_distinguished_in_any_language_and_scheme() {
    for (wrong, code) in [
        (Keyed::Unknown, "key_unknown"),
        (Keyed::SecretWrong, "key_secret_wrong"),
        (Keyed::WriteOnly, "key_write_only"),
        (Keyed::NotSeen, "key_not_seen"),
    ] {
        assert_eq!(found(refuses_keys(wrong)), (code, Severity::Broken));
        let mut http = Store {
            url: "http://shop.example",
            home: "http://elsewhere.example",
            ..Store::with(refuses_keys(wrong))
        };
        let plain = first(&mut http, &context("http://shop.example"));
        assert_eq!(plain, (code, Severity::Broken), "http");
        assert!(
            http.requested
                .iter()
                .all(|requested| requested.contains("http://"))
        );
    }
}

#[test]
fn a_key_without_rights_and_a_key_that_was_cut() {
    use Severity::Broken;
    assert_eq!(
        keyed(refusal(403, "woocommerce_rest_cannot_view")),
        ("key_role", Broken)
    );
    let mut cut = context(SHOP);
    cut.secrets
        .insert("consumer-secret".to_owned(), "cs_76543210fe".into());
    let mut store = Store::with(refuses_keys(Keyed::SecretWrong));
    assert_eq!(first(&mut store, &cut), ("key_cut", Broken));
}

#[test]
fn a_dropped_authorization_header_leads_to_a_signature_in_the_query() {
    let dropped = |request: &ApiRequest| match &request.auth {
        Auth::OAuth1(oauth) if oauth.placement == Placement::Query => None,
        Auth::None | Auth::Token(_) => None,
        Auth::Header(..) | Auth::OAuth1(_) => {
            Some(Ok(refusal(401, "woocommerce_rest_cannot_view")))
        }
    };
    let (mut store, mut context) = (Store::with(dropped), context(SHOP));
    let report = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(codes(&report), ["authorization_dropped"]);
    assert_eq!(context.setting("auth"), Some("oauth1_query"));
    let report = drive(&mut store, &context, CheckMode::Check);
    assert_eq!(codes(&report), ["authorization_dropped"]);
    assert_eq!(store.requested.len(), 2, "the way is remembered");
}

#[test]
fn a_rule_that_blocks_woocommerce_s_api_alone_is_named_with_its_path() {
    let blocked = |request: &ApiRequest| {
        request
            .url
            .contains("/wp-json/wc/")
            .then(|| Ok(page(403, "Forbidden")))
    };
    let report = drive(&mut Store::with(blocked), &context(SHOP), CheckMode::Check);
    let finding = &report.findings[0];
    assert_eq!(finding.code.as_str(), "rest_blocked");
    assert!(finding.cause.contains("/wp-json/wc/"), "{}", finding.cause);
}

#[test]
fn http_is_only_offered_where_the_port_does_not_speak_tls() {
    for (fault, is_offered) in [
        (TlsFault::NotTls, true),
        (TlsFault::Untrusted, false),
        (TlsFault::OwnAuthority, false),
        (TlsFault::Expired, false),
    ] {
        let mut store = Store::with(move |request| {
            Some(if request.url.starts_with("https:") {
                Err(CallFailure::Tls(fault.clone()))
            } else {
                Ok(page(200, "A shop"))
            })
        });
        let report = drive(&mut store, &context(SHOP), CheckMode::Check);
        let remedy = &report.findings[0].remedy;
        assert_eq!(remedy.starts_with("http://"), is_offered, "{remedy}");
    }
}

#[test]
fn refusals_of_others_than_woocommerce_do_not_blame_the_key() {
    for status in [401, 403] {
        assert_eq!(
            keyed(reported(status, &json!({ "message": "Forbidden" }))),
            ("rest_blocked", Severity::Broken)
        );
        assert_eq!(
            keyed(refusal(status, "jwt_auth_bad_auth_header")),
            ("rest_blocked", Severity::Broken)
        );
        let later = move |request: &ApiRequest| {
            (request.call == "webhooks.list")
                .then(|| Ok(reported(status, &json!({ "message": "Forbidden" }))))
        };
        assert_eq!(found(later), ("rest_blocked", Severity::Broken));
    }
    // What only dislikes Basic may take a signature.
    let basic = |request: &ApiRequest| {
        matches!(request.auth, Auth::Header(..))
            .then(|| Ok(refusal(401, "jwt_auth_bad_auth_header")))
    };
    let mut store = Store {
        notices_tls: false,
        home: "http://shop.example",
        ..Store::with(basic)
    };
    assert_eq!(
        codes(&drive(&mut store, &context(SHOP), CheckMode::Check)),
        ["webhook_missing"]
    );
}

#[test]
fn clocks_that_are_apart() {
    let late = |request: &ApiRequest| {
        let status = json!({ "environment": { "version": "11.0.1" }, "settings": {} });
        let mut answer = reported(200, &status);
        answer.headers.retain(|(name, _)| name != "date");
        answer.headers.push((
            "date".to_owned(),
            "Sat, 21 Nov 2026 00:50:00 GMT".to_owned(),
        ));
        (request.call == "system_status.get").then_some(Ok(answer))
    };
    let report = drive(&mut Store::with(late), &context(SHOP), CheckMode::Check);
    let clock = report
        .findings
        .iter()
        .find(|finding| finding.code.as_str() == "clock_off")
        .expect("found");
    assert_eq!(clock.severity, Severity::Note, "Basic has no time");
    assert!(clock.cause.contains("20 minutes ahead"), "{}", clock.cause);
}

#[test]
fn a_clock_is_blamed_before_the_secret() {
    let refuse = |date: &'static str, age: &'static str, message: &'static str| {
        move |request: &ApiRequest| {
            let body =
                json!({ "code": "woocommerce_rest_authentication_error", "message": message });
            let headers = [
                ("content-type", "application/json"),
                ("date", date),
                ("age", age),
            ];
            match &request.auth {
                Auth::None => None,
                Auth::OAuth1(oauth) if !KEY.contains(oauth.key.expose_secret()) => {
                    Some(Ok(refusal(401, "woocommerce_rest_authentication_error")))
                }
                _ => Some(Ok(answer(401, &headers, &body.to_string()))),
            }
        }
    };
    const SIGNATURE: &str = "Invalid signature - provided signature does not match.";
    const BEHIND: &str = "Sat, 21 Nov 2026 00:10:00 GMT";
    let http = |date, age, message| {
        let plain = Store {
            url: "http://shop.example",
            home: "http://shop.example",
            ..Store::with(refuse(date, age, message))
        };
        first(&mut { plain }, &context("http://shop.example")).0
    };
    assert_eq!(http(BEHIND, "0", SIGNATURE), "clock_off");
    assert_eq!(http(BEHIND, "0", "In der Sprache des Ladens."), "clock_off");
    assert_eq!(
        http(BEHIND, "1200", SIGNATURE),
        "key_secret_wrong",
        "a cache held it back"
    );
    assert_eq!(
        http("Sat, 21 Nov 2026 00:16:00 GMT", "0", SIGNATURE),
        "key_secret_wrong"
    );
    assert_eq!(
        found(refuse(BEHIND, "0", "x")).0,
        "key_secret_wrong",
        "Basic has no time"
    );
}

#[test]
fn a_store_that_is_too_slow_for_its_status_is_connected_all_the_same() {
    let slow = |request: &ApiRequest| {
        (request.call == "system_status.get").then_some(Err(CallFailure::TimedOut))
    };
    let report = drive(&mut Store::with(slow), &context(SHOP), CheckMode::Fix);
    assert_eq!(codes(&report), ["status_unknown"]);
}

#[test]
fn an_address_of_ours_that_the_store_cannot_use() {
    for (target, code) in [
        ("https://hooks.example:8443/x", "delivery_url_port"),
        ("http://hooks.example:9090/x", "delivery_url_port"),
        ("http://localhost:8080/x", "delivery_url_private"),
        ("https://192.168.1.7/x", "delivery_url_private"),
        ("https://[fd00::1]/x", "delivery_url_private"),
        ("nonsense", "delivery_url_invalid"),
        ("http://hooks.example/x", "delivery_url_http"),
    ] {
        let context = ConnectionContext {
            delivery_url: Some(target.to_owned()),
            ..context(SHOP)
        };
        let report = drive(&mut Store::default(), &context, CheckMode::Check);
        let found = report
            .findings
            .iter()
            .find(|finding| finding.code.as_str() == code)
            .expect(target);
        assert_eq!(
            found.severity == Severity::Note,
            code == "delivery_url_http"
        );
    }
    let unknown = ConnectionContext {
        delivery_url: None,
        ..context(SHOP)
    };
    let report = drive(&mut Store::default(), &unknown, CheckMode::Fix);
    assert_eq!(
        report.trouble().map(|found| found.code.as_str()),
        Some("public_url_missing")
    );
    let mut no_keys = context(SHOP);
    no_keys.secrets.remove("consumer-secret");
    assert_eq!(
        codes(&drive(&mut Store::default(), &no_keys, CheckMode::Fix)),
        ["no_keys"]
    );
}

#[test]
fn remedies_name_the_command_that_replaces_the_key_or_the_url() {
    let mut no_keys = context(SHOP);
    no_keys.secrets.remove("consumer-secret");
    let moved = |request: &ApiRequest| {
        (!matches!(request.auth, Auth::None)).then(|| Ok(answer(302, &[], "")))
    };
    for (report, code, command) in [
        (
            drive(&mut Store::default(), &no_keys, CheckMode::Check),
            "no_keys",
            "`cartwire connections set-credentials ID --consumer-key-file F --consumer-secret-file F`",
        ),
        (
            drive(&mut Store::with(moved), &context(SHOP), CheckMode::Check),
            "redirected",
            "`cartwire connections set-url ID URL`",
        ),
    ] {
        let remedy = &report.findings[0].remedy;
        assert_eq!(codes(&report), [code]);
        assert!(remedy.contains(command), "{remedy}");
    }
}
