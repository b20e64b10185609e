//! Where a test can stop the store: every change of the file tree passes here first.
//!
//! In the shipped program this is nothing at all. Under test, the environment of a helper process
//! or a thread-local plan says at which change the process is to be killed or the disk is to be full.

/// Before a change.
#[cfg(not(test))]
#[inline(always)]
pub(super) fn before_change() -> Result<(), rustix::io::Errno> {
    Ok(())
}

#[cfg(test)]
pub(crate) use under_test::{Plan, before_change, with_plan};

#[cfg(test)]
mod under_test {
    use std::cell::Cell;

    use rustix::io::Errno;

    /// What happens at a change.
    #[derive(Clone, Copy)]
    pub(crate) enum Plan {
        /// Nothing.
        None,
        /// The process is killed before the change with this number, counted down to 0.
        Kill(u32),
        /// The change with this number, counted down to 0, fails; later ones do not.
        Full(u32),
    }

    thread_local!(static PLAN: Cell<Plan> = const { Cell::new(Plan::None) });

    /// Carries `plan` out during `work`; true when its change was reached.
    pub(crate) fn with_plan<T>(plan: Plan, work: impl FnOnce() -> T) -> (T, bool) {
        PLAN.set(plan);
        let done = work();
        let reached = !matches!(PLAN.replace(Plan::None), Plan::Kill(_) | Plan::Full(_));
        (done, reached)
    }

    pub(crate) fn before_change() -> Result<(), Errno> {
        match PLAN.get() {
            Plan::None => {}
            Plan::Kill(0) => {
                let me = rustix::process::getpid();
                rustix::process::kill_process(me, rustix::process::Signal::KILL)?;
            }
            Plan::Kill(left) => PLAN.set(Plan::Kill(left - 1)),
            Plan::Full(0) => {
                PLAN.set(Plan::None);
                return Err(Errno::NOSPC);
            }
            Plan::Full(left) => PLAN.set(Plan::Full(left - 1)),
        }
        Ok(())
    }
}
