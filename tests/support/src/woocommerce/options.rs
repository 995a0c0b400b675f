//! The kinds of shops, and their faults.

use std::net::SocketAddr;
use std::time::Duration;

/// The consumer key of every shop, unless its options say otherwise.
pub const KEY: &str = "ck_0123456789abcdef0123456789abcdef01234567";
/// The consumer secret of every shop, unless its options say otherwise.
pub const SECRET: &str = "cs_76543210fedcba9876543210fedcba9876543210";

/// What shop it is.
#[derive(Clone, Debug)]
pub struct Options {
    /// WooCommerce's version. Before 10.9 it refuses `product.published`, from then on `customer.restored`; before 9.0 a
    /// webhook that is not there is a 400.
    pub version: &'static str,
    /// The key that counts.
    pub consumer_key: String,
    /// Its secret.
    pub consumer_secret: String,
    /// What the key may do.
    pub permission: Permission,
    /// May the key's user manage the shop? Otherwise every answer to him is a 403.
    pub manager: bool,
    /// The folder that the shop lies in: `""` or `"/shop"`.
    pub folder: &'static str,
    /// How its REST API is reached.
    pub permalinks: Permalinks,
    /// How WordPress knows itself where that is not the address that it is reached by: `http://shop.example`.
    pub home: Option<String>,
    /// Does `POST webhooks/batch` work? Some hosts block it.
    pub batch: bool,
    /// Topics that are refused whatever the version.
    pub refused_topics: &'static [&'static str],
    /// Does it say where its REST API is, as WordPress does unless a cache or a plugin takes it out?
    pub link: bool,
    /// Does it post the unsigned ping when a webhook is made?
    pub pings: bool,
    /// Where requests to `https://hooks.example.com` arrive: a gateway's port behind an address that shops may deliver to.
    pub hooks_at: Option<SocketAddr>,
    /// How far its clock is ahead, in seconds.
    pub clock_lead: i64,
    /// Does it show when its webhooks were really changed or tried, and not a clock of its own?
    pub real_times: bool,
    /// Are its messages in German?
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

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    ReadWrite,
    Read,
    Write,
}

/// How a REST API is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permalinks {
    /// `/wp-json/`.
    Pretty,
    /// `/index.php/wp-json/`.
    Index,
    /// `?rest_route=/`, where WooCommerce takes no keys; `/index.php/wp-json/` works as well.
    Plain,
    /// `?rest_route=/` alone: the web server does not hand on what follows `index.php`.
    PlainOnly,
}

/// What is wrong with the shop at the moment.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The REST API answers 200 with a page.
    Html,
    /// A firewall answers 403 with a page.
    Forbidden,
    /// Cloudflare asks for proof of a human.
    Cloudflare,
    /// The web server asks for a name and a password.
    BasicAuth,
    /// A plugin turned the REST API off for all who are not logged in.
    RestDisabled,
    /// WordPress is being updated: 503 with a page.
    Maintenance,
    /// Every answer takes that long.
    Slow(Duration),
    /// Every answer ends in the middle.
    CutOff,
    /// Every request is sent there, with its path: `https://www.shop.example`, `http://10.0.0.1`.
    RedirectTo(String),
    /// 429, with that many seconds to wait.
    RateLimited(u32),
    /// Some other web site: pages, and 404 for the REST API.
    NotWordPress,
    /// WordPress without WooCommerce.
    WithoutWooCommerce,
    /// PHP fails: 500.
    ServerError,
    /// The web server does not hand the Authorization header to PHP.
    AuthorizationStripped,
    /// Every request that would change something fails with 500 after it was done.
    WritesUnheard,
    /// Lists lack the entity with this id. A request for the entity itself returns it.
    HiddenInLists(u64),
}
