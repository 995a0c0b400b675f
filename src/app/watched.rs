//! Tasks that must not end. If one ends, the process ends, so that its supervisor starts a new one.
//!
//! A panic ends only its task. Without this module the process would go on without the task's work: webhooks would be stored and
//! never published.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A task of the gateway ended.
#[derive(Debug, thiserror::Error)]
#[error("{0} stopped by itself: this is a bug in cartwire, see the log before this line")]
pub struct TaskEnded(pub &'static str);

/// Starts tasks that must not end.
#[derive(Clone)]
pub(super) struct Watch(mpsc::UnboundedSender<&'static str>);

/// The tasks that ended.
pub(super) struct Ends(mpsc::UnboundedReceiver<&'static str>);

/// Reports when it is dropped: at the end of a task, also by a panic.
struct Report(mpsc::UnboundedSender<&'static str>, &'static str);

impl Drop for Report {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

impl Watch {
    pub(super) fn new() -> (Self, Ends) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Ends(receiver))
    }

    /// Starts a task.
    pub(super) fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let report = Report(self.0.clone(), name);
        tokio::spawn(async move {
            let _report = report;
            task.await
        })
    }
}

impl Ends {
    /// The name of the first task that ended.
    pub(super) async fn first(&mut self) -> TaskEnded {
        match self.0.recv().await {
            Some(name) => TaskEnded(name),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_reported_by_its_name() {
        let (watch, mut ends) = Watch::new();
        let _goes_on = watch.spawn("one", std::future::pending::<()>());
        let _panics = watch.spawn("another", async { panic!("on purpose") });
        assert_eq!(ends.first().await.0, "another");
    }
}
