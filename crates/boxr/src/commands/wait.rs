//! `boxr wait`

use boxr_engine::lifecycle::wait::Waiter;
use boxr_engine::record::Exit;

use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, write_stdout};

/// Carries out `boxr wait`: a line with the exit status for each box, in the order given.
///
/// # Errors
/// When the store cannot be opened.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    // All are watched before the first is waited for: one that ends and removes itself meanwhile
    // is not missed.
    let waiters = invocation.positionals().iter().map(|name| {
        let waiter = boxes::find(&store, name).and_then(|dir| Ok(Waiter::new(&store, dir)?));
        (name, waiter)
    });
    let waiters: Vec<_> = waiters.collect();
    boxes::for_each(waiters, |(name, waiter)| match waiter?.wait()? {
        Exit::Unknown => {
            write_stdout("unknown\n")?;
            Err(Report::new(format!("{name}: nobody saw how it ended"))
                .detail("its monitor was killed, or it was removed, and this kernel does not tell")
                .status(1))
        }
        exit => write_stdout(&format!("{}\n", exit.status())),
    })
}
