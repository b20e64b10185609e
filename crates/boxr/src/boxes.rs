//! What commands about existing boxes share: the store, and several names in one line.

use boxr_engine::paths::Paths;
use boxr_engine::store::Store;

use crate::cli::Globals;
use crate::report::Report;

/// Opens the store that the command line means.
///
/// # Errors
/// When there is no usable directory.
pub fn open_store(globals: &Globals) -> Result<Store, Report> {
    let paths = Paths::find(globals.state.as_deref(), globals.root.as_deref())?;
    Ok(Store::open(paths)?)
}

/// Does something with each of several boxes. One that fails is reported at once and does not stop
/// the others; the status is then 1.
///
/// # Errors
/// None by itself: a silent report of `each` (the reader of stdout has gone) ends it.
pub fn for_each<T>(
    targets: impl IntoIterator<Item = T>,
    mut each: impl FnMut(T) -> Result<(), Report>,
) -> Result<u8, Report> {
    let mut status = 0;
    for target in targets {
        match each(target) {
            Ok(()) => {}
            Err(report) if report.silent => return Err(report),
            Err(report) => {
                report.print();
                status = 1;
            }
        }
    }
    Ok(status)
}

/// Finds a box by name, id or beginning of an id; failing is status 1, as with docker.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(store: &Store, wanted: &str) -> Result<boxr_engine::store::BoxDir, Report> {
    store.resolve(wanted).map_err(|error| Report::from(error).status(1))
}
