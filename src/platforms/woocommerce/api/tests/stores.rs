//! Healthy stores of every sort are found, and cost few calls once they are known.

use super::*;
use crate::platforms::woocommerce::api::webhooks::TOPICS;

/// Connects, and looks again: the second look must find nothing and ask little.
fn connects(mut store: Store, typed: &str, url: &str, root: &str, auth: &str) {
    let mut context = context(typed);
    let connected = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(codes(&connected), [] as [&str; 0], "{typed}");
    let setting = |name: &str| context.setting(name).unwrap_or("-").to_owned();
    assert_eq!(
        (
            setting("url").as_str(),
            setting("rest_root").as_str(),
            setting("auth").as_str()
        ),
        (url, root, auth)
    );
    assert_eq!(
        (
            setting("store_name").as_str(),
            setting("time_zone").as_str()
        ),
        ("Café & Shop", "-03:30")
    );
    assert_eq!(
        (
            setting("currency").as_str(),
            setting("key_permission").as_str()
        ),
        ("EUR", "read_write")
    );
    assert_eq!(setting("woocommerce_version"), store.version);
    for topic in TOPICS {
        let webhook = &store.webhooks[&store.id_of(topic)];
        assert_eq!(
            (&webhook["delivery_url"], &webhook["secret"]),
            (&json!(TARGET), &json!("ours")),
            "{topic}"
        );
    }
    let before = store.webhooks.clone();
    let again = drive(&mut store, &context, CheckMode::Check);
    assert_eq!(codes(&again), [] as [&str; 0]);
    assert_eq!(store.requested.len(), 2, "{:?}", store.requested);
    assert_eq!(store.webhooks, before, "a check changes nothing");
}

#[test]
fn a_store_of_today_is_connected() {
    connects(
        Store::default(),
        "https://shop.example",
        "https://shop.example",
        "https://shop.example/wp-json/",
        "basic",
    );
}

#[test]
fn a_store_of_6_0_is_connected() {
    let store = Store {
        version: "6.0.0",
        ..Store::default()
    };
    connects(
        store,
        "https://shop.example",
        "https://shop.example",
        "https://shop.example/wp-json/",
        "basic",
    );
}

#[test]
fn a_page_of_the_shop_leads_to_the_store_and_a_folder_is_a_store() {
    let link = Store {
        url: "https://shop.example",
        ..Store::default()
    };
    let page = |request: &ApiRequest| {
        let link = [(
            "link",
            "<https://shop.example/wp-json/>; rel=\"https://api.w.org/\"",
        )];
        (request.call == "home").then(|| Ok(answer(200, &link, "<html></html>")))
    };
    let store = Store {
        fault: Some(Box::new(page)),
        ..link
    };
    connects(
        store,
        "https://shop.example/shop",
        "https://shop.example",
        "https://shop.example/wp-json/",
        "basic",
    );
    let folder = "https://shop.example/store";
    let store = Store {
        url: folder,
        home: folder,
        ..Store::default()
    };
    connects(
        store,
        folder,
        folder,
        "https://shop.example/store/wp-json/",
        "basic",
    );
}

#[test]
fn a_store_that_names_no_root_is_found_in_the_folders_above() {
    let silent = |request: &ApiRequest| {
        (request.call == "home").then(|| Ok(answer(200, &[], "<html></html>")))
    };
    connects(
        Store::with(silent),
        "https://shop.example/a/b",
        "https://shop.example",
        "https://shop.example/wp-json/",
        "basic",
    );
    let element = r#"<html><link rel="https://api.w.org/" href="https://shop.example/index.php/wp-json/?a=1&#038;b" /></html>"#;
    let in_html =
        move |request: &ApiRequest| (request.call == "home").then(|| Ok(answer(200, &[], element)));
    let store = Store {
        root: "/index.php/wp-json/",
        fault: Some(Box::new(in_html)),
        ..Store::default()
    };
    let root = "https://shop.example/index.php/wp-json/";
    connects(
        store,
        "https://shop.example",
        "https://shop.example",
        root,
        "basic",
    );
}

#[test]
fn a_store_is_not_looked_for_in_every_folder_of_a_deep_address() {
    let deep = format!("https://shop.example{}", "/a".repeat(1000));
    let silent = |request: &ApiRequest| {
        (request.call == "home").then(|| Ok(answer(200, &[], "<html></html>")))
    };
    connects(
        Store::with(silent),
        &deep,
        "https://shop.example",
        "https://shop.example/wp-json/",
        "basic",
    );
    let mut nothing = Store::with(|_| Some(Ok(page(404, "Not found"))));
    drive(&mut nothing, &context(&deep), CheckMode::Check);
    assert_eq!(
        nothing.count("rest.root"),
        14,
        "by two paths in seven folders"
    );
}

#[test]
fn plain_permalinks_work_by_index_php_and_are_noted() {
    let link = Some("https://shop.example/index.php?rest_route=/");
    let mut store = Store {
        root: "/index.php/wp-json/",
        link,
        ..Store::default()
    };
    let report = drive(&mut store, &context("https://shop.example"), CheckMode::Fix);
    assert_eq!(codes(&report), ["permalinks_plain"]);
    assert!(report.trouble().is_none());
}

#[test]
fn requests_through_a_tls_proxy_are_signed_for_the_store_s_address() {
    let mut store = Store {
        notices_tls: false,
        home: "http://inside.example:8000",
        ..Store::default()
    };
    let mut context = context("https://shop.example");
    let report = drive_on(&mut store, &mut context, CheckMode::Fix);
    assert_eq!(codes(&report), [] as [&str; 0]);
    assert_eq!(context.setting("auth"), Some("oauth1"));
    assert_eq!(
        context.setting("oauth_address"),
        Some("http://inside.example:8000/wp-json/")
    );
    drive(&mut store, &context, CheckMode::Check);
    assert_eq!(store.requested.len(), 2, "{:?}", store.requested);
}

#[test]
fn redirects_to_https_and_www_are_followed_and_remembered() {
    let redirect = |request: &ApiRequest| {
        let path = request.url.strip_prefix("http://shop.example")?;
        Some(Ok(answer(
            301,
            &[("location", &format!("https://www.shop.example{path}"))],
            "",
        )))
    };
    let www = "https://www.shop.example";
    let store = Store {
        url: www,
        home: www,
        fault: Some(Box::new(redirect)),
        ..Store::default()
    };
    connects(
        store,
        "http://shop.example",
        www,
        "https://www.shop.example/wp-json/",
        "basic",
    );
}

#[test]
fn characters_that_no_client_sends_are_not_part_of_a_url() {
    let named = |request: &ApiRequest| {
        let link = [(
            "link",
            "<https://me:mine@shop.example/wp-json/#top>; rel=\"https://api.w.org/\"",
        )];
        let redirect = [("location", "https://me:mine@www.shop.example/#top")];
        match request.url.as_str() {
            "https://shop.example/" => Some(Ok(answer(301, &redirect, ""))),
            "https://www.shop.example/" => Some(Ok(answer(200, &link, "<html></html>"))),
            _ => None,
        }
    };
    let store = Store {
        url: "https://www.shop.example",
        ..Store::with(named)
    };
    let root = "https://www.shop.example/wp-json/";
    connects(
        store,
        "https://shop.example",
        "https://www.shop.example",
        root,
        "basic",
    );
}

#[test]
fn a_store_that_moved_is_found_again() {
    let mut store = Store::default();
    let mut context = context("https://shop.example");
    drive_on(&mut store, &mut context, CheckMode::Fix);
    store.root = "/index.php/wp-json/";
    let report = drive_on(&mut store, &mut context, CheckMode::Check);
    assert_eq!(codes(&report), [] as [&str; 0]);
    assert_eq!(
        context.setting("rest_root"),
        Some("https://shop.example/index.php/wp-json/")
    );
}

#[test]
fn a_store_whose_pages_send_visitors_inside_is_reached_all_the_same() {
    let inside = |request: &ApiRequest| {
        let redirect = answer(301, &[("location", "http://shop.example:8000/")], "");
        (request.call == "home").then_some(Ok(redirect))
    };
    let (url, root) = ("https://shop.example", "https://shop.example/wp-json/");
    connects(
        Store {
            home: "http://shop.example:8000",
            ..Store::with(inside)
        },
        url,
        url,
        root,
        "basic",
    );
}
