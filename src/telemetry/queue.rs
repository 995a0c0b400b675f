//! The queue of log lines for standard error.
//!
//! A reader of the log that hangs fills its pipe, and a write to a full pipe waits for ever. So a separate thread writes. A log
//! call puts the line into a bounded queue. If the queue is full, the line is dropped and counted. A line with the number of
//! dropped lines comes before the next line.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// Maximum number of waiting lines.
const QUEUE_LINES: usize = 4_096;

enum Message {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(mpsc::Sender<()>),
}

/// Puts lines into the queue. Cheap to clone.
#[derive(Clone)]
pub(super) struct LogQueue {
    messages: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl LogQueue {
    /// Starts the thread that writes to standard error.
    pub(super) fn start() -> io::Result<Self> {
        // Without the library's handle, because its lock stays locked while a write waits.
        let error = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::writing_to(error, QUEUE_LINES)
    }

    fn writing_to(output: impl Write + Send + 'static, lines: usize) -> io::Result<Self> {
        let (messages, waiting) = sync_channel(lines);
        let dropped = Arc::new(AtomicU64::new(0));
        let missing = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(output, &waiting, &missing))?;
        Ok(Self { messages, dropped })
    }

    /// Waits until all lines so far are written, for a limited time.
    pub(super) fn flush(&self, longest: Duration) {
        let deadline = Instant::now() + longest;
        let (written, is_written) = channel();
        let mut message = Message::Flush(written);
        while let Err(TrySendError::Full(again)) = self.messages.try_send(message) {
            if Instant::now() >= deadline {
                return;
            }
            message = again;
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = is_written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn write_all(mut output: impl Write, messages: &Receiver<Message>, dropped: &AtomicU64) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let _ = output.write_all(&line);
                let missing = dropped.swap(0, Ordering::Relaxed);
                if missing > 0 {
                    // Through the same queue, so that the line has the same form as all others.
                    tracing::warn!(
                        lines = missing,
                        "log lines dropped because the reader of the log was too slow"
                    );
                }
            }
            Message::Flush(written) => {
                let _ = output.flush();
                let _ = written.send(());
            }
        }
    }
}

/// One line on its way into the queue.
pub(super) struct Line<'a>(&'a LogQueue);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self
            .0
            .messages
            .try_send(Message::Line(line.to_vec()))
            .is_err()
        {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("cartwire_log_lines_dropped_total").increment(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogQueue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes nothing while it is locked.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the pipe").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_hangs_costs_lines_and_no_time() {
        let pipe = Pipe::default();
        let queue = LogQueue::writing_to(pipe.clone(), 8).expect("started");
        let hung = pipe.0.lock().expect("the pipe");
        for _ in 0..100 {
            queue.make_writer().write_all(b"line\n").expect("taken");
        }
        queue.flush(Duration::from_millis(20));
        assert!(queue.dropped.load(Ordering::Relaxed) >= 91);
        drop(hung);
        queue.flush(Duration::from_secs(10));
        let written = pipe.0.lock().expect("the pipe").len() / b"line\n".len();
        assert!((8..=9).contains(&written), "{written} lines");
    }
}
