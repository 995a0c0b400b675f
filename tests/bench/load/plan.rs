//! The rows of the benchmark.

use std::cell::OnceCell;

use super::Options;
use super::broker::Broker;
use super::ceilings::{Ceiling, Loop, run_loop, serve};
use super::measure::{Row, maximum, measure};
use super::ours::{self, Before};
use super::peers::Peer;
use super::requests::Shop;
use super::sender::Plan;

/// Number of concurrent sockets of the senders.
const SENDERS: usize = 64;
/// Approximate size of an order in bytes.
const ORDER: usize = 3 << 10;
/// Number of different deliveries that are repeated as duplicates.
const REPEATED: u64 = 1000;
/// Number of different tokens for servers that store nothing and so cannot detect duplicates.
const TOKENS: u64 = 2000;

/// The shared configuration and broker of a run.
pub(crate) struct Run {
    seconds: f64,
    broker: OnceCell<Broker>,
}

impl Run {
    pub(crate) fn new(seconds: f64) -> Self {
        Self {
            seconds,
            broker: OnceCell::new(),
        }
    }

    /// The broker. It is started with the first row that needs it, and then runs during all further rows.
    fn broker(&self) -> &Broker {
        self.broker.get_or_init(Broker::start)
    }

    fn plan(&self, shop: Shop) -> Plan {
        Plan {
            port: 0,
            shop,
            bytes: ORDER,
            connections: 1,
            senders: SENDERS,
            seconds: self.seconds,
            rate: None,
            repeated: None,
            most: None,
            forged: false,
        }
    }
}

/// A row that can be measured.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) measure: Box<dyn Fn(&Run) -> Row>,
}

fn case(name: impl Into<String>, measure: impl Fn(&Run) -> Row + 'static) -> Case {
    Case {
        name: name.into(),
        measure: Box::new(measure),
    }
}

/// The rows that the options select, before filtering by name.
pub(crate) fn cases(options: &Options) -> Vec<Case> {
    let mut all = ceilings();
    all.extend(peers());
    all.extend(gateway());
    if !options.quick {
        all.extend(growth());
    }
    if let Some(seconds) = options.sustained {
        all.push(case("ours b woocommerce, sustained", move |run| {
            let server = ours::start(
                Shop::WooCommerce,
                Before::Connections(1),
                Some(run.broker()),
            );
            maximum(
                &Plan {
                    seconds,
                    ..run.plan(Shop::WooCommerce)
                },
                Some(run.broker()),
                server,
            )
        }));
    }
    all.retain(|case| {
        options.only.is_empty() || options.only.iter().any(|only| case.name.contains(only))
    });
    all
}

fn ceilings() -> Vec<Case> {
    let http = |name, ceiling, shop| {
        case(name, move |run: &Run| {
            let repeated = (shop == Shop::Wix).then_some(TOKENS);
            measure(
                &Plan {
                    repeated,
                    ..run.plan(shop)
                },
                None,
                || serve(ceiling),
            )
        })
    };
    let rs256 = |name, threads| {
        case(name, move |run: &Run| {
            Row::of_loop(run_loop(Loop::Rs256 {
                threads,
                seconds: run.seconds,
            }))
        })
    };
    let lapin = |shop: Shop| {
        case(
            format!("ceiling: lapin, {}", shop.name()),
            move |run: &Run| {
                let broker = run.broker();
                broker.purge();
                let before = broker.usage();
                let done = run_loop(Loop::Lapin {
                    shop,
                    bytes: ORDER,
                    seconds: run.seconds,
                    url: broker.url(),
                });
                broker.wait_for(done.many);
                let cpu = broker.usage().cpu - before.cpu;
                Row {
                    broker_cpu_us: cpu.as_secs_f64() * 1e6 / done.many as f64,
                    ..Row::of_loop(done)
                }
            },
        )
    };
    vec![
        http("ceiling: empty", Ceiling::Empty, Shop::WooCommerce),
        http("ceiling: empty + HMAC", Ceiling::Hmac, Shop::WooCommerce),
        http("ceiling: empty + RS256", Ceiling::Rs256, Shop::Wix),
        rs256("ceiling: RS256 on one thread", 1),
        rs256("ceiling: RS256 on two threads", 2),
        case("ceiling: SQLite, 64 deliveries a commit", |run: &Run| {
            let which = Loop::Sqlite {
                shop: Shop::WooCommerce,
                bytes: ORDER,
                seconds: run.seconds,
            };
            Row::of_loop(run_loop(which))
        }),
        lapin(Shop::WooCommerce),
        lapin(Shop::Wix),
    ]
}

fn peers() -> Vec<Case> {
    let peer = |peer: Peer, shop: Shop| {
        case(
            format!("peer: {}, {}", peer.name(), shop.name()),
            move |run: &Run| match peer.missing() {
                Some(why) => Row::missing(why),
                None => {
                    let repeated = (shop == Shop::Wix).then_some(TOKENS);
                    measure(
                        &Plan {
                            repeated,
                            ..run.plan(shop)
                        },
                        Some(run.broker()),
                        || peer.start(run.broker()),
                    )
                }
            },
        )
    };
    let shops = [Shop::WooCommerce, Shop::Wix];
    [Peer::Node, Peer::FastApi]
        .iter()
        .flat_map(|one| shops.map(|shop| peer(*one, shop)))
        .collect()
}

/// The configuration of one gateway row.
#[derive(Clone, Copy)]
struct Variant {
    shop: Shop,
    before: Before,
    /// `true` to measure deliveries in the queue; `false` to measure responses while the broker is unreachable.
    published: bool,
    bytes: usize,
    repeated: Option<u64>,
    forged: bool,
}

const PLAIN: Variant = Variant {
    shop: Shop::WooCommerce,
    before: Before::Connections(1),
    published: false,
    bytes: ORDER,
    repeated: None,
    forged: false,
};

fn ours(name: impl Into<String>, variant: Variant) -> Case {
    let Variant {
        shop,
        before,
        published,
        bytes,
        repeated,
        forged,
    } = variant;
    case(name, move |run: &Run| {
        let broker = published.then(|| run.broker());
        let plan = Plan {
            bytes,
            connections: before.connections(),
            repeated,
            forged,
            ..run.plan(shop)
        };
        measure(&plan, broker, || ours::start(shop, before, broker))
    })
}

fn gateway() -> Vec<Case> {
    let mut all = vec![case("ours idle", |run: &Run| {
        let server = ours::start(
            Shop::WooCommerce,
            Before::Connections(1),
            Some(run.broker()),
        );
        std::thread::sleep(std::time::Duration::from_secs_f64(run.seconds));
        let usage = server.usage();
        Row {
            resident: usage.resident,
            peak: usage.peak,
            ..Row::default()
        }
    })];
    for shop in [Shop::WooCommerce, Shop::Wix] {
        let (name, plain) = (shop.name(), Variant { shop, ..PLAIN });
        all.push(ours(format!("ours a {name}"), plain));
        all.push(ours(
            format!("ours b {name}"),
            Variant {
                published: true,
                ..plain
            },
        ));
        all.push(ours(
            format!("ours c {name}"),
            Variant {
                repeated: Some(REPEATED),
                ..plain
            },
        ));
        all.push(ours(
            format!("ours d {name}"),
            Variant {
                forged: true,
                repeated: (shop == Shop::Wix).then_some(TOKENS),
                ..plain
            },
        ));
    }
    all
}

fn growth() -> Vec<Case> {
    let mut all = Vec::new();
    let both = |all: &mut Vec<Case>, name: &str, variant: Variant| {
        all.push(ours(format!("ours a woocommerce, {name}"), variant));
        all.push(ours(
            format!("ours b woocommerce, {name}"),
            Variant {
                published: true,
                ..variant
            },
        ));
    };
    for many in [100, 10_000] {
        both(
            &mut all,
            &format!("{many} connections"),
            Variant {
                before: Before::Connections(many),
                ..PLAIN
            },
        );
    }
    for (name, bytes) in [
        ("1 KB", 1 << 10),
        ("30 KB", 30 << 10),
        ("300 KB", 300 << 10),
        ("1 MB", 1 << 20),
    ] {
        both(&mut all, name, Variant { bytes, ..PLAIN });
    }
    all.push(ours(
        "ours b woocommerce, 1000000 known",
        Variant {
            before: Before::Known {
                bytes: ORDER,
                many: 1_000_000,
            },
            published: true,
            ..PLAIN
        },
    ));
    both(
        &mut all,
        "1000000 settled",
        Variant {
            before: Before::Settled {
                bytes: ORDER,
                many: 1_000_000,
            },
            ..PLAIN
        },
    );
    all
}
