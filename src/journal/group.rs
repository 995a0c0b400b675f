//! One commit: a group of commands in one transaction.

use rusqlite::{Transaction, TransactionBehavior};

use super::append::{FreeSpace, append};
use super::command::{Command, ResultSender, WriteWork};
use super::entry::Settlement;
use super::error::{Appended, JournalError};
use super::keys::KeyIndex;
use super::open_file::OpenFile;
use super::settle::settle;
use crate::platforms::VerifiedDelivery;

/// Reports the result of the commit to the sender of a command.
type Reply = Box<dyn FnOnce(Result<(), JournalError>)>;

/// What a group has done so far.
#[derive(Default)]
pub(super) struct GroupResult {
    /// Sent after the commit.
    pub(super) replies: Vec<Reply>,
    /// Number of new entries.
    pub(super) appended: u64,
    /// `true` if the event log has new events.
    pub(super) has_logged: bool,
}

/// A group of commands in its transaction.
struct Group<'a> {
    transaction: &'a Transaction<'a>,
    keys: &'a mut KeyIndex,
    free: &'a mut FreeSpace,
    result: &'a mut GroupResult,
    /// The first error. After it, no further command is executed.
    failed: Option<JournalError>,
}

/// Executes the commands in one transaction, and commits it.
pub(super) fn write_group(
    open: &mut OpenFile,
    commands: Vec<Command>,
    free: &mut FreeSpace,
    result: &mut GroupResult,
) -> Result<(), JournalError> {
    let OpenFile { sqlite, keys } = open;
    let transaction = match sqlite.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            let error = unwritable(error);
            commands
                .into_iter()
                .for_each(|command| command.fail(&error));
            return Err(error);
        }
    };
    let mut group = Group {
        transaction: &transaction,
        keys,
        free,
        result,
        failed: None,
    };
    for command in commands {
        match command {
            Command::Append(delivery, sender) => group.append(&delivery, sender),
            Command::Settle(settlements, sender) => group.settle(&settlements, sender),
            Command::Work(work) => group.work(work),
            Command::Close => {}
        }
    }
    group.index_keys();
    match group.failed {
        Some(error) => Err(error),
        None => transaction.commit().map_err(unwritable),
    }
}

impl Group<'_> {
    fn append(&mut self, delivery: &VerifiedDelivery, sender: ResultSender<Appended>) {
        let result = match &self.failed {
            Some(error) => Err(error.clone()),
            None => match append(self.transaction, self.keys, self.free, delivery) {
                Ok(result) => result,
                Err(error) => {
                    let error = unwritable(error);
                    self.failed = Some(error.clone());
                    Err(error)
                }
            },
        };
        self.result.appended += u64::from(matches!(result, Ok(Appended::New(_))));
        self.reply(result, sender);
    }

    fn settle(&mut self, settlements: &[Settlement], sender: ResultSender<()>) {
        let result = match &self.failed {
            Some(error) => Err(error.clone()),
            None => settlements
                .iter()
                .try_for_each(|settlement| settle(self.transaction, settlement))
                .map_err(unwritable),
        };
        let has_events = |settlement: &Settlement| !settlement.outcome.events().is_empty();
        self.result.has_logged |= settlements.iter().any(has_events);
        if self.failed.is_none() {
            self.failed = result.as_ref().err().cloned();
        }
        self.reply(result, sender);
    }

    fn work(&mut self, work: WriteWork) {
        if self.failed.is_some() {
            return;
        }
        match work(self.transaction) {
            // The work may have appended an announcement.
            Ok(on_committed) => {
                self.result.appended += 1;
                self.result.replies.push(Box::new(move |committed| {
                    if committed.is_ok() {
                        on_committed();
                    }
                }));
            }
            Err(error) => self.failed = Some(unwritable(error)),
        }
    }

    fn index_keys(&mut self) {
        if self.failed.is_none() {
            let indexed = self
                .keys
                .index(self.transaction, self.result.appended as usize);
            self.failed = indexed.err().map(unwritable);
        }
    }

    fn reply<T: 'static>(&mut self, result: Result<T, JournalError>, sender: ResultSender<T>) {
        self.result.replies.push(Box::new(move |committed| {
            drop(sender.send(committed.and(result)));
        }));
    }
}

fn unwritable(error: rusqlite::Error) -> JournalError {
    JournalError::unwritable(&error)
}
