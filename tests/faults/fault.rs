//! The definition of a fault, and one run of one or several faults.

use std::pin::Pin;

use crate::scene::{Counted, Scene, Terms};
use support::Dice;
use support::node::RabbitNode;
use support::process::ProcessGateway;

/// Applies or ends a fault in a scene.
pub(crate) type Step = for<'a> fn(&'a mut Scene) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A value in [`Fault::turned_away`]: the request got no response.
pub(crate) const UNANSWERED: u16 = 0;
/// The status when the journal cannot store a delivery.
pub(crate) const UNAVAILABLE: u16 = 503;

/// One kind of damage, with its permitted effects.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// One sentence for `--list`.
    pub(crate) says: &'static str,
    /// Statuses other than 200 that a webhook may get because of the fault. If empty, no webhook may be rejected and
    /// the gateway must stay ready.
    pub(crate) turned_away: &'static [u16],
    /// `true` if the fault may cause an event to arrive twice. It is `false` if neither the gateway nor its broker
    /// connection breaks.
    pub(crate) may_repeat: bool,
    /// Number of broker nodes that the fault needs.
    pub(crate) nodes: usize,
    /// `true` if the fault runs only in the long version, because it is slow and the short version has a similar one.
    pub(crate) only_long: bool,
    /// `true` for an attack by one sender: an honest second store sends beside it, and its delays are measured.
    pub(crate) has_honest_store: bool,
    /// Changes the gateway before its first start.
    pub(crate) prepare: Option<fn(&mut ProcessGateway)>,
    pub(crate) begin: Step,
    /// Ends the fault and restores normal operation.
    pub(crate) end: Step,
}

impl Fault {
    /// `true` if the fault stops the gateway process.
    fn stops_gateway(&self) -> bool {
        self.turned_away.contains(&UNANSWERED)
    }
}

/// A step without an effect.
pub(crate) fn nothing(_: &mut Scene) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(async {})
}

/// Applies all of the faults at once to a scene, at random moments, ends them, and counts the events.
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
    // Faults that stop the gateway begin last and end last, because another active fault could prevent the gateway's
    // start.
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
            assert!(
                scene.gateway.is_ready().await,
                "the gateway should stay ready"
            );
        }
        for fault in &all {
            (fault.end)(&mut scene).await;
        }
        scene.some_moment().await;
    }
    scene.count().await
}
