//! The options and the faults of a shop.

use std::net::SocketAddr;
use std::time::Duration;

/// The default consumer key.
pub const KEY: &str = "ck_0123456789abcdef0123456789abcdef01234567";
/// The default consumer secret.
pub const SECRET: &str = "cs_76543210fedcba9876543210fedcba9876543210";

/// The configuration of a shop.
#[derive(Clone, Debug)]
pub struct Options {
    /// WooCommerce's version. A shop before 10.9 rejects `product.published`, a later one `customer.restored`. Before
    /// 9.0, an unknown webhook id is answered 400.
    pub version: &'static str,
    /// The valid consumer key.
    pub consumer_key: String,
    /// The valid consumer secret.
    pub consumer_secret: String,
    /// What the key may do.
    pub permission: Permission,
    /// `true` if the key's user may manage the shop. Otherwise every request is answered 403.
    pub manager: bool,
    /// The folder of the shop in its URL: `""` or `"/shop"`.
    pub folder: &'static str,
    /// The form of the REST API's URLs.
    pub permalinks: Permalinks,
    /// The URL that WordPress is configured with, such as `http://shop.example`, if it differs from the called URL.
    pub home: Option<String>,
    /// `true` if `POST webhooks/batch` works. Some hosts block it.
    pub batch: bool,
    /// Topics that are rejected in every version.
    pub refused_topics: &'static [&'static str],
    /// `true` if the shop links to its REST API. WordPress does, but caches and plugins may remove the link.
    pub link: bool,
    /// `true` if the shop posts the unsigned ping after a webhook was created.
    pub pings: bool,
    /// The address that receives requests to `https://hooks.example.com`, usually the gateway's public port.
    pub hooks_at: Option<SocketAddr>,
    /// Seconds by which the shop's clock is ahead.
    pub clock_lead: i64,
    /// `true` if a webhook's `date_modified` is the real time. Otherwise it is the shop's own counter.
    pub real_times: bool,
    /// `true` if error messages are in German.
    pub german: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: "11.0.1",
            clock_lead: 0,
            consumer_key: KEY.to_owned(),
            consumer_secret: SECRET.to_owned(),
            permission: Permission::ReadWrite,
            manager: true,
            folder: "",
            permalinks: Permalinks::Pretty,
            home: None,
            batch: true,
            refused_topics: &[],
            link: true,
            pings: true,
            hooks_at: None,
            real_times: false,
            german: false,
        }
    }
}

/// The permission of a REST key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    ReadWrite,
    Read,
    Write,
}

/// The form of the REST API's URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permalinks {
    /// `/wp-json/`.
    Pretty,
    /// `/index.php/wp-json/`.
    Index,
    /// `?rest_route=/`, where WooCommerce accepts no keys; `/index.php/wp-json/` works as well.
    Plain,
    /// Only `?rest_route=/`: the web server does not pass the path after `index.php` to PHP.
    PlainOnly,
}

/// The current fault of a shop.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The REST API responds with 200 and an HTML page.
    Html,
    /// A firewall responds with 403 and an HTML page.
    Forbidden,
    /// Cloudflare's challenge page.
    Cloudflare,
    /// The web server requires Basic authentication.
    BasicAuth,
    /// A plugin disabled the REST API for users who are not logged in.
    RestDisabled,
    /// WordPress is being updated: 503 with an HTML page.
    Maintenance,
    /// Every response is delayed by this time.
    Slow(Duration),
    /// Every response is cut off in the middle.
    CutOff,
    /// Every request is redirected to this origin with its path: `https://www.shop.example`, `http://10.0.0.1`.
    RedirectTo(String),
    /// 429, with this `Retry-After` in seconds.
    RateLimited(u32),
    /// Another web site: HTML pages, and 404 for the REST API.
    NotWordPress,
    /// WordPress without WooCommerce.
    WithoutWooCommerce,
    /// PHP fails with 500.
    ServerError,
    /// The web server does not pass the Authorization header to PHP.
    AuthorizationStripped,
    /// Every request that changes data succeeds, but is answered 500.
    WritesUnheard,
    /// Lists lack the entity with this id. A request for the entity itself returns it.
    HiddenInLists(u64),
    /// The list of this resource answers with a page.
    HtmlFor(&'static str),
    /// Lists are wrong.
    InLists(ListFault),
}

/// A fault of the pages of all lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFault {
    /// Each page after the first is a captcha with status 202.
    Captcha,
    /// Each page after the first is cut off.
    Cut,
    /// Each page after the first is a PHP error with status 500.
    ServerError,
    /// The rows of each page have the reverse order.
    Reversed,
    /// Each row comes twice, so that a page has the double number of rows.
    Repeated,
    /// Each page lacks its first row.
    Short,
    /// The store counts no rows and no pages.
    CountsNone,
    /// The store counts a thousand pages.
    CountsTooMany,
}
