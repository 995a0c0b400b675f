//! What a fault is, and one run of one or several of them.

use std::pin::Pin;

use crate::scene::{Counted, Scene, Terms};
use support::Dice;
use support::node::RabbitNode;
use support::process::ProcessGateway;

/// Something done to a scene.
pub(crate) type Step = for<'a> fn(&'a mut Scene) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Among [`Fault::turned_away`]: no answer at all.
pub(crate) const UNANSWERED: u16 = 0;
/// The journal takes nothing.
pub(crate) const UNAVAILABLE: u16 = 503;

/// A fault.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) says: &'static str,
    /// How else than with 200 a webhook may be answered because of it: with nothing here, it costs no webhook, and the
    /// gateway stays ready.
    pub(crate) turned_away: &'static [u16],
    /// May an event arrive twice because of it? Where neither the gateway nor its link to the broker breaks, there is no
    /// reason to.
    pub(crate) may_repeat: bool,
    /// Nodes of the broker.
    pub(crate) nodes: usize,
    /// Only in the long version: it takes its time, and the short one has its like.
    pub(crate) only_long: bool,
    /// An attack by one sender: an honest second store sends beside it, and its delays are measured.
    pub(crate) has_honest_store: bool,
    /// What is done to the gateway before its first start.
    pub(crate) prepare: Option<fn(&mut ProcessGateway)>,
    pub(crate) begin: Step,
    /// Makes all well again.
    pub(crate) end: Step,
}

impl Fault {
    /// Takes down the gateway itself.
    fn stops_gateway(&self) -> bool {
        self.turned_away.contains(&UNANSWERED)
    }
}

/// Nothing has to be done.
pub(crate) fn nothing(_: &mut Scene) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(async {})
}

/// Injures a scene with all of these at once, at random moments, and counts.
pub(crate) async fn run(
    nodes: Vec<RabbitNode>,
    faults: Vec<&'static Fault>,
    dice: Dice,
    long: bool,
) -> (Vec<RabbitNode>, Counted) {
    let turned_away: Vec<u16> = faults
        .iter()
        .flat_map(|fault| fault.turned_away)
        .copied()
        .collect();
    let terms = Terms {
        refusals: turned_away.clone(),
        long,
        alone: faults.len() == 1,
        has_honest_store: faults.iter().any(|fault| fault.has_honest_store),
        preparations: faults.iter().filter_map(|fault| fault.prepare).collect(),
    };
    let mut scene = Scene::set(nodes, terms, dice).await;
    scene.some_moment().await;
    // The gateway is taken down last and comes back last: what stops it from starting is no fault of its.
    let (stops, others): (Vec<&Fault>, Vec<&Fault>) =
        faults.into_iter().partition(|fault| fault.stops_gateway());
    let all = [others, stops].concat();
    let rounds = if long { 2 } else { 1 };
    for _ in 0..rounds {
        for fault in &all {
            (fault.begin)(&mut scene).await;
            scene.last(600, 5_000).await;
        }
        if turned_away.is_empty() {
            assert!(scene.gateway.is_ready().await, "it stays ready");
        }
        for fault in &all {
            (fault.end)(&mut scene).await;
        }
        scene.some_moment().await;
    }
    scene.count().await
}
