//! Errors of what is done to boxes, told to a person.

use boxr_engine::lifecycle::remove::RemoveError;
use boxr_engine::lifecycle::wait::WaitError;

use super::{Explain, Report, errno_text};

impl Explain for RemoveError {
    fn report(&self) -> Report {
        match self {
            Self::Running { name, state } => Report::new(format!("cannot remove box {name}: it is {state}"))
                .suggest(format!("boxr rm -f {name}"))
                .suggest(format!("boxr stop {name}")),
            Self::Required { name, by } => {
                Report::new(format!("cannot remove box {name}: it is required by {}", by.join(", ")))
                    .suggest(format!("boxr rm --depend {name}"))
            }
            Self::Unkillable { name, pid, wchan, patience } => {
                let seconds = patience.as_secs();
                let report = Report::new(format!(
                    "cannot remove box {name}: process {pid} was killed and has not ended within {seconds} s"
                ));
                match wchan {
                    Some(wchan) => report.detail(format!("it sleeps in the kernel, in {wchan}")),
                    None => report,
                }
                .detail("it ends when the device or file system it waits for answers")
                .suggest(format!("boxr rm -f {name} later"))
            }
            Self::Elsewhere { name } => {
                Report::new(format!("cannot remove box {name}: its processes cannot be seen from here"))
                    .detail("it was started in another pid namespace, or processes of others are hidden here")
            }
            Self::Locked { name, patience } => Report::new(format!(
                "cannot remove box {name}: another boxr command has been at work on it for {} s",
                patience.as_secs()
            )),
            Self::System { name, action, errno } => {
                Report::new(format!("cannot {action} of box {name}: {}", errno_text(*errno)))
            }
            Self::Store(error) => error.report(),
            Self::Process(error) => error.report(),
            Self::Cgroup(error) => Report::new(error.to_string()),
        }
        .status(1)
    }
}

impl Explain for WaitError {
    fn report(&self) -> Report {
        match self {
            Self::Store(error) => error.report(),
            Self::Engine(error) => error.report(),
            Self::System { id, errno } => {
                Report::new(format!("cannot watch box {id}: {}", errno_text(*errno)))
            }
        }
        .status(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_box_is_refused_with_the_remedy() {
        let report = RemoveError::Running { name: "web".into(), state: "running" }.report();
        let expected = "error: cannot remove box web: it is running\n  \
                        try: boxr rm -f web      or: boxr stop web\n";
        assert_eq!((report.render(false).as_str(), report.status), (expected, 1));
    }
}
