//! Counts frequent occurrences, and logs one line a minute for each reason, so that a flood of one kind hides nothing else.
//! Details are logged at the debug level.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of subjects that are listed for one reason. Further subjects are only counted.
const SUBJECTS: usize = 10_000;

/// Counts of one kind of occurrence since the last line.
#[derive(Debug, Default)]
pub struct Summary(Mutex<BTreeMap<&'static str, Counted>>);

/// The counts for one reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Number of occurrences.
    pub count: u64,
    /// The connections, addresses or other subjects of the occurrences.
    subjects: HashSet<String>,
    /// The newest detail, if a detail was counted.
    pub detail: Option<String>,
}

impl Counted {
    /// The number of subjects; only a part of very many.
    #[must_use]
    pub fn subjects(&self) -> usize {
        self.subjects.len()
    }

    /// One of the subjects.
    #[must_use]
    pub fn example(&self) -> &str {
        self.subjects.iter().min().map_or("", String::as_str)
    }
}

impl Summary {
    /// No occurrence yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Counts an occurrence. `reason` is one of a few codes, `subject` is for example a connection.
    pub fn count(&self, reason: &'static str, subject: &str, detail: Option<String>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = all.entry(reason).or_default();
        counted.count += 1;
        if counted.subjects.len() < SUBJECTS && !counted.subjects.contains(subject) {
            counted.subjects.insert(subject.to_owned());
        }
        if detail.is_some() {
            counted.detail = detail;
        }
    }

    /// The counts since the last call.
    pub fn take(&self) -> BTreeMap<&'static str, Counted> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Logs the counts each minute and at the end. `log` writes the line for one reason.
    pub async fn log_each_minute(
        &self,
        mut shutdown: watch::Receiver<bool>,
        log: impl Fn(&'static str, &Counted),
    ) {
        loop {
            let ended = tokio::select! {
                () = tokio::time::sleep(INTERVAL) => false,
                _ = shutdown.wait_for(|shutdown| *shutdown) => true,
            };
            for (reason, counted) in self.take() {
                log(reason, &counted);
            }
            if ended {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn flood_of_one_reason_is_one_line_a_minute_and_the_rest_comes_at_the_end() {
        let summary = Summary::new();
        for number in 0..5000 {
            summary.count("signature_wrong", ["shop-b", "shop-a"][number % 2], None);
        }
        summary.count("journal_failing", "shop-a", Some("disk full".to_owned()));
        let (stop, shutdown) = watch::channel(false);
        let lines = Mutex::new(Vec::new());
        let log = |reason: &'static str, counted: &Counted| {
            let line = (
                reason,
                counted.count,
                counted.subjects(),
                counted.example().to_owned(),
            );
            lines.lock().expect("lines").push(line);
        };
        let logging = summary.log_each_minute(shutdown, log);
        let counting = async {
            tokio::time::sleep(INTERVAL * 3 / 2).await;
            assert_eq!(lines.lock().expect("lines").len(), 2, "one line a reason");
            summary.count("too_slow", "shop-c", None);
            stop.send_replace(true);
        };
        tokio::join!(logging, counting);
        let lines = lines.into_inner().expect("lines");
        let shop_a = "shop-a".to_owned();
        assert_eq!(
            lines,
            [
                ("journal_failing", 1, 1, shop_a.clone()),
                ("signature_wrong", 5000, 2, shop_a),
                ("too_slow", 1, 1, "shop-c".to_owned()),
            ]
        );
    }
}
