//! Reports the end of a thread.

use tokio::sync::watch;

/// Reports the end of its thread when it is dropped, also after a panic.
pub(crate) struct ThreadEnd {
    pub(crate) ended: watch::Sender<Option<&'static str>>,
    /// The name of the thread for the log.
    pub(crate) name: &'static str,
}

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        self.ended.send_replace(Some(self.name));
    }
}
