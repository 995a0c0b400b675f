//! Functions for the data folder that several commands use.

use super::output;
use crate::config::DataArgs;
use crate::database::is_read_only;
use crate::journal::{DataFile, Reader};

/// Opens the data folder for reading. A folder without data is often a typing error, so a hint is printed and the folder
/// is not created.
pub(super) fn open_data(data: &DataArgs) -> anyhow::Result<Reader> {
    let is_folder = data.data_dir.is_dir() || !data.data_dir.exists();
    if is_folder && !data.data_dir.join(crate::database::DATA_FILE).exists() {
        let folder = data.data_dir.display();
        let hint = format!(
            "there is no data in {folder}: check --data-dir. `serve` and `connections add` create the data"
        );
        output::note(&hint);
        return Ok(Reader::empty()?);
    }
    match Reader::open(&data.data_dir) {
        Ok(reader) if reader.is_current() => return Ok(reader),
        _ if is_read_only(&data.data_dir) => return Ok(Reader::open_copy(&data.data_dir)?),
        Ok(_) | Err(_) => {}
    }
    // Migrates an older file to the current format.
    DataFile::open(&data.data_dir)?;
    Ok(Reader::open(&data.data_dir)?)
}

/// Prints on standard error which rows are damaged and were skipped.
pub(super) fn note_damaged(reader: &Reader) {
    for damaged in reader.take_damaged() {
        output::note(&format!(
            "the row {} of {} is damaged and was skipped: {}",
            damaged.row, damaged.table, damaged.error
        ));
    }
}

/// A runtime for a command with asynchronous work.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
