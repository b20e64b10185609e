//! The calls to systemd's manager (org.freedesktop.systemd1(5)).

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::properties::Property;
use super::unit::{Manager, Unit};
use crate::dbus::{Address, BusError, Connection, End, Message, Value};
use crate::error::{Error, Result};

/// How long systemd may take for one request; runc's time.
const PATIENCE: Duration = Duration::from_secs(30);

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
/// A job has ended.
const JOB_REMOVED: &str = "type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
/// What systemd says to a property that it does not know: an older one than we reckon with.
const UNKNOWN_PROPERTY: &str = "org.freedesktop.DBus.Error.PropertyReadOnly";
const INVALID: &str = "org.freedesktop.DBus.Error.InvalidArgs";

/// An open line to a manager, on which things are done to one unit.
pub(super) struct Line<'a> {
    unit: &'a Unit,
    connection: Connection,
}

impl<'a> Line<'a> {
    /// Opens it: to the manager's own socket where the caller may, which saves the bus in between,
    /// otherwise to the bus.
    pub fn open(unit: &'a Unit) -> Result<Self> {
        let mut tried = Vec::new();
        for (address, end) in places(unit.manager) {
            match Connection::open(&address, end, &[JOB_REMOVED], PATIENCE) {
                Ok(connection) => return Ok(Self { unit, connection }),
                Err(error) => tried.push(format!("{address}: {error}")),
            }
        }
        Err(Error::NoSystemd { manager: unit.manager, tried: tried.join(", ") })
    }

    /// Starts the scope around `pid`, and returns when that is in it.
    pub fn start(&mut self, pid: i32, properties: &[Property]) -> Result<()> {
        match self.start_once(pid, properties) {
            // One that failed stays until somebody has taken note of it.
            Err(Error::Systemd { source: BusError::Answer { name, .. }, .. }) if name == UNIT_EXISTS => {
                self.reset_failed()?;
                self.start_once(pid, properties)
            }
            other => other,
        }
    }

    fn start_once(&mut self, pid: i32, properties: &[Property]) -> Result<()> {
        let attempt = |line: &mut Self, properties: Vec<Value>| {
            let pids = Value::Array("u".into(), vec![Value::U32(pid.unsigned_abs())]);
            let pids = Value::Struct(vec![Value::text("PIDs"), pids.variant()]);
            let properties = Value::Array("(sv)".into(), properties.into_iter().chain([pids]).collect());
            let companions = Value::Array("(sa(sv))".into(), Vec::new());
            let unit = Value::text(&*line.unit.name);
            line.call("StartTransientUnit", vec![unit, Value::text("replace"), properties, companions])
        };
        let reply = self.with_or_without_optional(properties, attempt);
        let job = reply.map_err(|error| self.failed("start", error))?;
        self.finish("start", &job)
    }

    /// Sets properties of the unit, until the machine is booted again.
    pub fn set(&mut self, properties: &[Property]) -> Result<()> {
        let attempt = |line: &mut Self, properties: Vec<Value>| {
            let unit = Value::text(&*line.unit.name);
            let properties = Value::Array("(sv)".into(), properties);
            line.call("SetUnitProperties", vec![unit, Value::Bool(true), properties])
        };
        let reply = self.with_or_without_optional(properties, attempt);
        reply.map(drop).map_err(|error| self.failed("change", error))
    }

    /// Stops the unit and forgets that it failed, if it did. One that is gone is fine.
    pub fn stop(&mut self) -> Result<()> {
        let unit = Value::text(&*self.unit.name);
        match self.call("StopUnit", vec![unit, Value::text("replace")]) {
            Ok(job) => self.finish("stop", &job)?,
            Err(BusError::Answer { name, .. }) if name == NO_SUCH_UNIT => return Ok(()),
            Err(error) => return Err(self.failed("stop", error)),
        }
        self.reset_failed()
    }

    /// Lets systemd put `pids` into the unit, for callers that may not themselves.
    pub fn attach(&mut self, pids: &[i32]) -> Result<()> {
        let pids = Value::Array("u".into(), pids.iter().map(|pid| Value::U32(pid.unsigned_abs())).collect());
        let unit = Value::text(&*self.unit.name);
        let reply = self.call("AttachProcessesToUnit", vec![unit, Value::text(""), pids]);
        reply.map(drop).map_err(|error| self.failed("put a process into", error))
    }

    fn reset_failed(&mut self) -> Result<()> {
        match self.call("ResetFailedUnit", vec![Value::text(&*self.unit.name)]) {
            Ok(_) => Ok(()),
            Err(BusError::Answer { name, .. }) if name == NO_SUCH_UNIT => Ok(()),
            Err(error) => Err(self.failed("reset", error)),
        }
    }

    /// What an older systemd does not know is left out where the files of the cgroup get it as well.
    fn with_or_without_optional(
        &mut self,
        properties: &[Property],
        attempt: impl Fn(&mut Self, Vec<Value>) -> std::result::Result<Vec<Value>, BusError>,
    ) -> std::result::Result<Vec<Value>, BusError> {
        match attempt(self, properties.iter().map(Property::to_value).collect()) {
            Err(BusError::Answer { name, .. })
                if (name == UNKNOWN_PROPERTY || name == INVALID)
                    && properties.iter().any(|property| property.optional) =>
            {
                let needed = properties.iter().filter(|property| !property.optional);
                attempt(self, needed.map(Property::to_value).collect())
            }
            other => other,
        }
    }

    /// Waits until the job that `reply` names has ended.
    fn finish(&mut self, action: &'static str, reply: &[Value]) -> Result<()> {
        let job = reply.first().and_then(Value::as_text).unwrap_or_default();
        let ended = self.connection.signal(|message| match &message.body[..] {
            [_, ended, _, result] if message.member == "JobRemoved" && ended.as_text() == Some(job) => {
                result.as_text().map(str::to_owned)
            }
            _ => None,
        });
        let result = ended.map_err(|error| self.failed(action, error))?;
        if result == "done" {
            return Ok(());
        }
        let error = Error::JobFailed { action, unit: self.unit.name.clone(), result };
        // A unit that failed keeps its name from the next container.
        match self.reset_failed() {
            Ok(()) => Err(error),
            Err(second) => Err(Error::Several { errors: vec![error, second] }),
        }
    }

    fn call(&mut self, member: &str, body: Vec<Value>) -> std::result::Result<Vec<Value>, BusError> {
        self.connection.call(Message::call(NAME, PATH, INTERFACE, member, body))
    }

    fn failed(&self, action: &'static str, source: BusError) -> Error {
        Error::Systemd { action, unit: self.unit.name.clone(), source }
    }
}

/// Where a manager may be reached, best first.
fn places(manager: Manager) -> Vec<(Address, End)> {
    let file = |path: &Path, end| (Address::from(path), end);
    let variable = |name| std::env::var(name).map(|text| Address::parse_list(&text)).unwrap_or_default();
    let named = |name| variable(name).into_iter().map(|address| (address, End::Bus));
    match manager {
        Manager::System => [file(Path::new("/run/systemd/private"), End::Peer)]
            .into_iter()
            .chain(named("DBUS_SYSTEM_BUS_ADDRESS"))
            .chain([file(Path::new("/run/dbus/system_bus_socket"), End::Bus)])
            .collect(),
        Manager::User => {
            let directory = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(
                || format!("/run/user/{}", rustix::process::getuid().as_raw()).into(),
                PathBuf::from,
            );
            [file(&directory.join("systemd/private"), End::Peer)]
                .into_iter()
                .chain(named("DBUS_SESSION_BUS_ADDRESS"))
                .chain([file(&directory.join("bus"), End::Bus)])
                .collect()
        }
    }
}
