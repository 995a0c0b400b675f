//! The doctor's inspection of the broker: shows whether all events can be published.
//!
//! It creates nothing, with one exception: under `create` it sets missing bindings of existing queues, as `serve` does, because
//! AMQP cannot show a binding. The permission to publish is tested in a transaction that is rolled back, so that no consumer
//! gets a message. The arguments of a queue are read from the broker's refusals to declare the queue with others.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ExchangeKind};

use super::declare::{Declarer, dead_letter_policy, is_soft};
use super::session::Endpoints;
use super::topology::{Queue, Topology, TopologyMode};
use crate::report::ErrorChain;

/// Time limit of the inspection, after the connection is open.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of arguments of a queue.
const MAX_ARGUMENTS: usize = 16;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InspectionSeverity {
    /// No problem.
    Ok,
    /// Events can be published. The operator should know something.
    Warning,
    /// Events cannot be published, or are lost.
    Trouble,
}

/// A finding of the inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerFinding {
    pub severity: InspectionSeverity,
    /// The cause.
    pub what: String,
    /// The remedy; empty without a problem.
    pub remedy: String,
}

#[derive(Default)]
struct Findings(Vec<BrokerFinding>);

impl Findings {
    fn add(
        &mut self,
        severity: InspectionSeverity,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(BrokerFinding {
            severity,
            what: what.into(),
            remedy: remedy.into(),
        });
    }
}

/// Inspects the broker. `is_served` is `true` if a gateway runs, which declares missing parts under `create`.
///
/// # Errors
/// The reason if the broker cannot be reached.
pub async fn look(
    endpoints: &Endpoints,
    topology: &Topology,
    is_served: bool,
) -> Result<Vec<BrokerFinding>, String> {
    let session = endpoints
        .connect("cartwire doctor")
        .await
        .map_err(|error| error.to_string())?;
    let looking = inspect(&session.connection, topology, is_served);
    match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
        Ok(found) => {
            session.close().await;
            found.map_err(|error| ErrorChain(&error).to_string())
        }
        Err(_) => Err("the broker answers no question in time".to_owned()),
    }
}

async fn inspect(
    connection: &Connection,
    topology: &Topology,
    is_served: bool,
) -> lapin::Result<Vec<BrokerFinding>> {
    let mut findings = Findings::default();
    let mut declarer = Declarer::new(connection);
    if exchange(&mut declarer, topology, is_served, &mut findings).await? {
        may_publish(connection, topology, &mut findings).await?;
    }
    for queue in &topology.queues {
        let name = &queue.name;
        match declarer.queue(name, FieldTable::default(), true).await {
            Ok(()) => existing_queue(&mut declarer, topology, queue, &mut findings).await?,
            Err(error) if is_soft(&error, AMQPSoftError::NOTFOUND) => {
                missing(topology, &format!("queue {name}"), is_served, &mut findings);
            }
            Err(error) if is_soft(&error, AMQPSoftError::ACCESSREFUSED) => findings.add(
                InspectionSeverity::Warning,
                format!("the broker's user may not see the queue {name}"),
                "",
            ),
            Err(error) => return Err(error),
        }
    }
    declarer.close().await;
    Ok(findings.0)
}

fn missing(topology: &Topology, name: &str, is_served: bool, findings: &mut Findings) {
    match topology.mode {
        TopologyMode::Create if is_served => findings.add(
            InspectionSeverity::Trouble,
            format!("{name} is not there, although a gateway runs"),
            format!("the gateway declares the {name} again within half a minute; if it does not, its log says why"),
        ),
        TopologyMode::Create => findings.add(
            InspectionSeverity::Warning,
            format!("{name} is not there; `serve` makes it"),
            "",
        ),
        TopologyMode::Check => findings.add(
            InspectionSeverity::Trouble,
            format!("{name} is not there"),
            format!("make the {name}, or use --topology create"),
        ),
        TopologyMode::Leave => findings.add(InspectionSeverity::Warning, format!("{name} is not there"), ""),
    }
}

/// `true` if the exchange exists.
async fn exchange(
    declarer: &mut Declarer<'_>,
    topology: &Topology,
    is_served: bool,
    findings: &mut Findings,
) -> lapin::Result<bool> {
    let name = topology.exchange.as_str();
    match declarer.exchange(name, ExchangeKind::Topic, true).await {
        Err(error) if is_soft(&error, AMQPSoftError::NOTFOUND) => {
            missing(topology, &format!("exchange {name}"), is_served, findings);
            return Ok(false);
        }
        Err(error) if !is_soft(&error, AMQPSoftError::ACCESSREFUSED) => return Err(error),
        _ => {}
    }
    // The exchange exists, so this declaration creates nothing.
    match declarer.exchange(name, ExchangeKind::Topic, false).await {
        Ok(()) => findings.add(
            InspectionSeverity::Ok,
            format!("the exchange {name} is a durable topic exchange"),
            "",
        ),
        Err(error) if is_soft(&error, AMQPSoftError::PRECONDITIONFAILED) => findings.add(
            InspectionSeverity::Trouble,
            format!("the exchange {name} exists with another type or other properties than a durable topic exchange: {}", refusal(&error)),
            format!("delete the exchange {name}, so that `serve` declares it, or give --exchange another name"),
        ),
        Err(error) if is_soft(&error, AMQPSoftError::ACCESSREFUSED) => match topology.mode {
            TopologyMode::Create => findings.add(
                InspectionSeverity::Trouble,
                format!("the broker's user may not declare the exchange {name}: `serve` cannot publish with --topology create"),
                "grant the user the right to configure it (`rabbitmqctl set_permissions`), or use --topology check",
            ),
            TopologyMode::Check | TopologyMode::Leave => findings.add(
                InspectionSeverity::Ok,
                format!("the exchange {name} is there; its type cannot be seen without the right to configure it"),
                "",
            ),
        },
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Tests the permission to publish, in a transaction that is rolled back.
async fn may_publish(
    connection: &Connection,
    topology: &Topology,
    findings: &mut Findings,
) -> lapin::Result<()> {
    let exchange = topology.exchange.as_str();
    let probe = async {
        let channel = connection.create_channel().await?;
        channel.tx_select().await?;
        let published = channel.basic_publish(
            exchange.into(),
            "doctor.order.created.probe".into(),
            BasicPublishOptions::default(),
            b"",
            BasicProperties::default(),
        );
        drop(published.await?);
        channel.tx_rollback().await?;
        channel.close(200, "done".into()).await
    };
    match probe.await {
        Ok(()) => findings.add(
            InspectionSeverity::Ok,
            format!("the broker's user may publish to the exchange {exchange}"),
            "",
        ),
        Err(error) if is_soft(&error, AMQPSoftError::ACCESSREFUSED) => findings.add(
            InspectionSeverity::Trouble,
            format!("the broker's user may not publish to the exchange {exchange}: {}", refusal(&error)),
            "grant the user the right to write to it (`rabbitmqctl set_permissions`, and topic permissions where they are used)",
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn existing_queue(
    declarer: &mut Declarer<'_>,
    topology: &Topology,
    queue: &Queue,
    findings: &mut Findings,
) -> lapin::Result<()> {
    let name = &queue.name;
    match arguments(declarer, name).await? {
        Learned::Arguments(arguments) => {
            if !judge(topology, name, &arguments, findings) {
                findings.add(InspectionSeverity::Ok, format!("the queue {name} is there"), "");
            }
        }
        Learned::NotDurable => findings.add(
            InspectionSeverity::Trouble,
            format!("the queue {name} is not durable: a restart of the broker deletes it with its events"),
            format!("delete the queue {name} and declare it as a durable quorum queue"),
        ),
        Learned::Unseen => findings.add(
            InspectionSeverity::Ok,
            format!("the queue {name} is there; its properties cannot be seen without the right to configure it"),
            "",
        ),
    }
    if topology.mode != TopologyMode::Create {
        findings.add(
            InspectionSeverity::Ok,
            format!("whether the queue {name} is bound cannot be seen over AMQP; events that find no queue become unrouted"),
            "",
        );
        return Ok(());
    }
    let exchange = topology.exchange.as_str();
    match declarer.bind(name, exchange, &queue.pattern).await {
        Ok(()) => findings.add(
            InspectionSeverity::Ok,
            format!("the queue {name} is bound by {}", queue.pattern),
            "",
        ),
        // The finding about the exchange says this already.
        Err(error) if is_soft(&error, AMQPSoftError::NOTFOUND) => {}
        Err(error) if is_soft(&error, AMQPSoftError::ACCESSREFUSED) => findings.add(
            InspectionSeverity::Trouble,
            format!(
                "the broker's user may not bind the queue {name}: {}",
                refusal(&error)
            ),
            "grant the user write on the queue and read on the exchange, or use --topology check",
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Reports problems of a queue with these arguments. `false` for a queue without problems.
fn judge(topology: &Topology, name: &str, arguments: &FieldTable, findings: &mut Findings) -> bool {
    let before = findings.0.len();
    let get = |key: &str| arguments.inner().get(key);
    let is = |key: &str, value: &str| matches!(get(key), Some(AMQPValue::LongString(text)) if text.as_bytes() == value.as_bytes());
    let is_limited = get("x-max-length").is_some() || get("x-max-length-bytes").is_some();
    let refuses = is("x-overflow", "reject-publish") || is("x-overflow", "reject-publish-dlx");
    if is_limited && !refuses {
        findings.add(
            InspectionSeverity::Trouble,
            format!("the queue {name} has a length limit and drops its oldest events when it is full"),
            format!("delete the queue {name} when it is empty and declare it with x-overflow reject-publish, or set that by a policy"),
        );
    }
    for (key, what) in [
        ("x-message-ttl", "events expire in it"),
        ("x-expires", "it is deleted when it is unused for a time"),
    ] {
        if get(key).is_some() {
            findings.add(
                InspectionSeverity::Trouble,
                format!("the queue {name} has {key}: {what}"),
                format!("delete the queue {name} when it is empty and declare it without {key}"),
            );
        }
    }
    if !is("x-queue-type", "quorum") && !is("x-queue-type", "stream") {
        findings.add(
            InspectionSeverity::Warning,
            format!("the queue {name} is a classic queue: it is not replicated, and a lost node takes its events along"),
            "",
        );
    }
    if is("x-queue-type", "quorum") && get("x-dead-letter-exchange").is_none() {
        findings.add(
            InspectionSeverity::Warning,
            format!(
                "the queue {name} was declared without a dead-letter queue: RabbitMQ 4 drops an event after 20 returns, unless a policy says otherwise: {}",
                dead_letter_policy(&topology.exchange, name)
            ),
            "",
        );
    }
    findings.0.len() > before
}

enum Learned {
    Arguments(FieldTable),
    NotDurable,
    /// The user may not declare the queue.
    Unseen,
}

/// Declares the existing queue again and again with corrected arguments, until the broker agrees.
async fn arguments(declarer: &mut Declarer<'_>, name: &str) -> lapin::Result<Learned> {
    let mut arguments = super::declare::with_dead_letters("", name);
    for _ in 0..MAX_ARGUMENTS {
        let error = match declarer.queue(name, arguments.clone(), false).await {
            Ok(()) => return Ok(Learned::Arguments(arguments)),
            Err(error) => error,
        };
        if is_soft(&error, AMQPSoftError::ACCESSREFUSED) {
            return Ok(Learned::Unseen);
        }
        if !is_soft(&error, AMQPSoftError::PRECONDITIONFAILED) {
            return Err(error);
        }
        let Some((key, current)) = inequivalent(&refusal(&error)) else {
            return Ok(Learned::Unseen);
        };
        if key == "durable" {
            return Ok(Learned::NotDurable);
        }
        let mut inner = arguments.inner().clone();
        match current {
            Some(value) => inner.insert(key.as_str().into(), value),
            None => inner.remove(key.as_str()),
        };
        arguments = FieldTable::from(inner);
    }
    Ok(Learned::Unseen)
}

/// Reads `inequivalent arg 'KEY' for queue …: received … but current is …`: the key, and the current value.
fn inequivalent(text: &str) -> Option<(String, Option<AMQPValue>)> {
    let (_, rest) = text.split_once("inequivalent arg '")?;
    let (key, rest) = rest.split_once('\'')?;
    let (_, current) = rest.rsplit_once("but current is ")?;
    if current.starts_with("none") {
        return Some((key.to_owned(), None));
    }
    let (_, value) = current.split_once('\'')?;
    let (value, kind) = value.split_once('\'')?;
    let value = if kind.contains("longstr") {
        AMQPValue::LongString(value.into())
    } else if let Ok(number) = value.parse::<i64>() {
        AMQPValue::LongLongInt(number)
    } else if let Ok(flag) = value.parse::<bool>() {
        AMQPValue::Boolean(flag)
    } else {
        AMQPValue::LongString(value.into())
    };
    Some((key.to_owned(), Some(value)))
}

/// The broker's message.
fn refusal(error: &lapin::Error) -> String {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(found) => found.get_message().to_string(),
        _ => ErrorChain(error).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_argument_and_its_value() {
        let refusal = "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but current is the value '20' of type 'signedint'";
        assert_eq!(
            inequivalent(refusal),
            Some(("x-max-length".to_owned(), Some(AMQPValue::LongLongInt(20))))
        );
        let refusal = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none";
        assert_eq!(
            inequivalent(refusal),
            Some(("x-queue-type".to_owned(), None))
        );
        assert_eq!(inequivalent("PRECONDITION_FAILED - fast reply"), None);
    }
}
