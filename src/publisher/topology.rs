//! The exchange and the queues that must exist before the first event, as plain data. [`super::declare`] declares and checks
//! them. A user without the permission to declare uses `check` or `none`.

use std::str::FromStr;

/// What to do about the topology at a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyMode {
    /// Declare missing parts.
    Create,
    /// Fail if a part is missing.
    Check,
    /// Do nothing.
    Leave,
}

impl FromStr for TopologyMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "create" => Ok(TopologyMode::Create),
            "check" => Ok(TopologyMode::Check),
            "none" => Ok(TopologyMode::Leave),
            _ => Err("one of create, check, none".to_owned()),
        }
    }
}

/// A queue and its binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// A topic pattern: `*` matches one word, `#` any number.
    pub pattern: String,
}

impl FromStr for Queue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let right = || "NAME=PATTERN, for example orders=*.order.*.*".to_owned();
        let (name, pattern) = text.split_once('=').ok_or_else(right)?;
        let (name, pattern) = (name.trim(), pattern.trim());
        if name.is_empty() || pattern.is_empty() || name.len() > 255 || pattern.len() > 255 {
            return Err(right());
        }
        Ok(Self {
            name: name.to_owned(),
            pattern: pattern.to_owned(),
        })
    }
}

/// The exchange, the queues, and how they are declared or checked.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The topic exchange for all events.
    pub exchange: String,
    /// The queues bound to it.
    pub queues: Vec<Queue>,
    /// How they are declared or checked.
    pub mode: TopologyMode,
    /// Bindings of an earlier configuration, which are removed under `create`.
    pub obsolete: Vec<Queue>,
}

impl Topology {
    /// `true` if a queue is bound for this routing key.
    #[must_use]
    pub fn is_wanted(&self, routing_key: &str) -> bool {
        let words: Vec<&str> = routing_key.split('.').collect();
        self.queues.iter().any(|queue| {
            let pattern: Vec<&str> = queue.pattern.split('.').collect();
            is_match(&pattern, &words)
        })
    }
}

/// AMQP's topic matching: `*` is one word, `#` any number of words.
fn is_match(pattern: &[&str], words: &[&str]) -> bool {
    match pattern.split_first() {
        None => words.is_empty(),
        Some((&"#", rest)) => (0..=words.len()).any(|skipped| is_match(rest, &words[skipped..])),
        Some((first, rest)) => match words.split_first() {
            Some((word, words)) => (*first == "*" || first == word) && is_match(rest, words),
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_written_as_name_and_pattern() {
        let queue: Queue = "orders=*.order.*.*".parse().expect("a queue");
        assert_eq!(
            queue,
            Queue {
                name: "orders".to_owned(),
                pattern: "*.order.*.*".to_owned()
            }
        );
        for wrong in ["orders", "=x", "orders=", ""] {
            assert!(wrong.parse::<Queue>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_matches_as_a_topic_exchange_does() {
        let wanted = |pattern: &str, key: &str| {
            let queue = Queue {
                name: "q".to_owned(),
                pattern: pattern.to_owned(),
            };
            let topology = Topology {
                exchange: "e".to_owned(),
                queues: vec![queue],
                mode: TopologyMode::Create,
                obsolete: Vec::new(),
            };
            topology.is_wanted(key)
        };
        let key = "one.order.created.shop-a";
        for pattern in [
            "#",
            "*.order.*.*",
            "#.shop-a",
            "one.#",
            "#.order.#",
            key,
            "*.*.*.*",
            "#.#",
        ] {
            assert!(wanted(pattern, key), "{pattern}");
        }
        for pattern in [
            "*",
            "*.order.*",
            "#.shop-b",
            "two.#",
            "*.order.*.*.*",
            "#.order",
        ] {
            assert!(!wanted(pattern, key), "{pattern}");
        }
    }
}
