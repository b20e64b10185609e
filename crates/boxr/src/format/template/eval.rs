//! Carrying a template out.

use std::borrow::Cow;
use std::rc::Rc;

use serde_json::Value;

use super::Object;
use super::error::{Located, Reason};
use super::functions::{self, Function};
use super::parser::{Command, Node, Operand, Pipeline, Term};
use super::value::{kind, truth, write_value};

/// Something a template can stand on.
#[derive(Clone)]
enum Datum<'a> {
    /// The data itself, of which only the fields asked for are made.
    Root(&'a dyn Object),
    /// A value.
    Json(Cow<'a, Value>),
    /// A field that the data does not have, and may lack: printed as Go does.
    Missing,
}

impl<'a> Datum<'a> {
    fn into_value(self) -> Value {
        match self {
            Self::Root(object) => object.all(),
            Self::Json(value) => value.into_owned(),
            Self::Missing => Value::Null,
        }
    }

    fn truth(&self) -> bool {
        match self {
            Self::Root(_) => true,
            Self::Json(value) => truth(value),
            Self::Missing => false,
        }
    }

    fn field(self, name: &str) -> Result<Self, Reason> {
        match self {
            Self::Root(object) => match object.field(name) {
                Some(value) => Ok(Self::Json(value)),
                None => Err(unknown(name, &object.names())),
            },
            Self::Json(Cow::Borrowed(value)) => match member(value, name)? {
                Some(value) => Ok(Self::Json(Cow::Borrowed(value))),
                None => Ok(Self::Missing),
            },
            Self::Json(Cow::Owned(value)) => match member(&value, name)? {
                Some(value) => Ok(Self::Json(Cow::Owned(value.clone()))),
                None => Ok(Self::Missing),
            },
            Self::Missing => Err(Reason::NotAnObject { kind: "nil", name: name.to_owned() }),
        }
    }
}

/// A field of a map. One with a capital is a field of a record and has to be there; others are
/// keys, such as those of labels, which may be missing.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> Result<Option<&'v Value>, Reason> {
    let Value::Object(map) = value else {
        return Err(Reason::NotAnObject { kind: kind(value), name: name.to_owned() });
    };
    match map.get(name) {
        Some(value) => Ok(Some(value)),
        None if name.starts_with(char::is_uppercase) => {
            let names: Vec<&str> = map.keys().map(String::as_str).collect();
            Err(unknown(name, &names))
        }
        None => Ok(None),
    }
}

fn unknown(name: &str, known: &[&str]) -> Reason {
    let same = known.iter().find(|known| known.eq_ignore_ascii_case(name)).copied();
    let nearest = same.or_else(|| crate::cli::nearest(name, known.iter().copied()));
    Reason::UnknownField { name: name.to_owned(), nearest: nearest.map(|name| format!(".{name}")) }
}

/// Whether the nearest range goes on.
#[derive(PartialEq)]
enum Flow {
    On,
    Continue,
    Break,
}

/// One carrying out.
pub(super) struct Evaluation<'a> {
    root: Datum<'a>,
    variables: Vec<(Rc<str>, Datum<'a>)>,
    header: bool,
}

impl<'a> Evaluation<'a> {
    /// With `header`, functions leave the words of a table's heading as they are.
    pub(super) fn new(root: &'a dyn Object, header: bool) -> Self {
        Self { root: Datum::Root(root), variables: Vec::new(), header }
    }

    /// Writes what `nodes` make of the data.
    pub(super) fn run(&mut self, nodes: &'a [Node], out: &mut String) -> Result<(), Located> {
        let root = self.root.clone();
        self.nodes(nodes, &root, out).map(|_| ())
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Datum<'a>, out: &mut String) -> Result<Flow, Located> {
        let scope = self.variables.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot, out)?;
            if flow != Flow::On {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn node(&mut self, node: &'a Node, dot: &Datum<'a>, out: &mut String) -> Result<Flow, Located> {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    print(value, out);
                } else {
                    self.set(pipeline, value)?;
                }
            }
            Node::If(pipeline, then, otherwise) | Node::With(pipeline, then, otherwise) => {
                return self.choice(node, pipeline, [then, otherwise], dot, out);
            }
            Node::Range(pipeline, body, otherwise) => return self.range(pipeline, body, otherwise, dot, out),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn choice(
        &mut self,
        node: &'a Node,
        pipeline: &'a Pipeline,
        [then, otherwise]: [&'a [Node]; 2],
        dot: &Datum<'a>,
        out: &mut String,
    ) -> Result<Flow, Located> {
        let scope = self.variables.len();
        let value = self.pipeline(pipeline, dot)?;
        if !pipeline.variables.is_empty() {
            self.set(pipeline, value.clone())?;
        }
        let flow = match (value.truth(), node) {
            (true, Node::With(..)) => self.nodes(then, &value, out),
            (true, _) => self.nodes(then, dot, out),
            (false, _) => self.nodes(otherwise, dot, out),
        }?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(
        &mut self,
        pipeline: &'a Pipeline,
        body: &'a [Node],
        otherwise: &'a [Node],
        dot: &Datum<'a>,
        out: &mut String,
    ) -> Result<Flow, Located> {
        let at = pipeline.commands.first().and_then(|c| c.operands.first()).map_or(0, |operand| operand.at);
        let pairs = pairs(self.pipeline(pipeline, dot)?).map_err(|reason| (at, reason))?;
        if pairs.is_empty() {
            return self.nodes(otherwise, dot, out);
        }
        let scope = self.variables.len();
        for (key, value) in pairs {
            let key = Datum::Json(Cow::Owned(key));
            let value = Datum::Json(value);
            let set = match pipeline.variables.as_slice() {
                [] => vec![],
                [name] => vec![(name.clone(), value.clone())],
                [index, name, ..] => vec![(index.clone(), key), (name.clone(), value.clone())],
            };
            if pipeline.assign {
                for (name, value) in set {
                    self.assign(&name, value).map_err(|reason| (at, reason))?;
                }
            } else {
                self.variables.extend(set);
            }
            let flow = self.nodes(body, &value, out)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn set(&mut self, pipeline: &Pipeline, value: Datum<'a>) -> Result<(), Located> {
        let at = pipeline.commands.first().and_then(|c| c.operands.first()).map_or(0, |operand| operand.at);
        for name in &pipeline.variables {
            if pipeline.assign {
                self.assign(name, value.clone()).map_err(|reason| (at, reason))?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Datum<'a>) -> Result<(), Reason> {
        match self.variables.iter_mut().rev().find(|(known, _)| &**known == name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => Err(Reason::UnknownVariable(name.to_owned())),
        }
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Datum<'a>) -> Result<Datum<'a>, Located> {
        let mut last = None;
        for command in &pipeline.commands {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or(Datum::Missing))
    }

    fn command(
        &mut self,
        command: &'a Command,
        piped: Option<Datum<'a>>,
        dot: &Datum<'a>,
    ) -> Result<Datum<'a>, Located> {
        let Some((first, rest)) = command.operands.split_first() else {
            return Ok(Datum::Missing);
        };
        if let Term::Function(function @ (Function::And | Function::Or)) = &first.term {
            return self.short_circuit(*function, first, rest, piped, dot);
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        let is_call = matches!(first.term, Term::Function(_)) || !first.fields.is_empty();
        if is_call {
            for operand in rest {
                arguments.push(self.operand(operand, dot)?.into_value());
            }
            arguments.extend(piped.clone().map(Datum::into_value));
        }
        if let Term::Function(function) = &first.term {
            let value = self.call(*function, &arguments).map_err(|reason| (first.at, reason))?;
            return self.fields(Datum::Json(Cow::Owned(value)), &first.fields);
        }
        if rest.is_empty() && piped.is_none() {
            return self.operand(first, dot);
        }
        self.method(first, &arguments, dot)
    }

    fn call(&self, function: Function, arguments: &[Value]) -> Result<Value, Reason> {
        if self.header {
            functions::call_for_header(function, arguments)
        } else {
            functions::call(function, arguments)
        }
    }

    /// `.Label "key"`: the data's own functions.
    fn method(
        &mut self,
        operand: &'a Operand,
        arguments: &[Value],
        dot: &Datum<'a>,
    ) -> Result<Datum<'a>, Located> {
        let (at, name) = match operand.fields.last() {
            Some((at, name)) => (*at, format!(".{name}")),
            None => (operand.at, "this value".to_owned()),
        };
        let start = match &operand.term {
            Term::Dot => Some(dot.clone()),
            Term::Variable(name) => self.variable(name),
            _ => None,
        };
        if let (Some(Datum::Root(object)), [(_, only)]) = (start, operand.fields.as_slice()) {
            if let Some(value) = object.method(only, arguments) {
                return Ok(Datum::Json(Cow::Owned(value)));
            }
            if object.field(only).is_none() {
                return Err((at, unknown(only, &object.names())));
            }
        }
        Err((at, Reason::NotAFunction(name)))
    }

    /// `and` and `or` look only as far as they need to.
    fn short_circuit(
        &mut self,
        function: Function,
        first: &Operand,
        rest: &'a [Operand],
        piped: Option<Datum<'a>>,
        dot: &Datum<'a>,
    ) -> Result<Datum<'a>, Located> {
        let decided = |datum: &Datum<'_>| datum.truth() == (function == Function::Or);
        let mut last = None;
        for operand in rest {
            let value = self.operand(operand, dot)?;
            if decided(&value) {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or((
            first.at,
            Reason::ArgumentCount { function: function.name(), wanted: "at least 1 argument", got: 0 },
        ))
    }

    fn variable(&self, name: &str) -> Option<Datum<'a>> {
        if name.is_empty() {
            return Some(self.root.clone());
        }
        self.variables.iter().rev().find(|(known, _)| &**known == name).map(|(_, value)| value.clone())
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Datum<'a>) -> Result<Datum<'a>, Located> {
        let start = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Literal(value) => Datum::Json(Cow::Borrowed(value)),
            Term::Variable(name) => {
                self.variable(name).ok_or_else(|| (operand.at, Reason::UnknownVariable(name.to_string())))?
            }
            Term::Function(function) => {
                let value = self.call(*function, &[]).map_err(|reason| (operand.at, reason))?;
                Datum::Json(Cow::Owned(value))
            }
            Term::Group(pipeline) => self.pipeline(pipeline, dot)?,
        };
        self.fields(start, &operand.fields)
    }

    fn fields(&self, mut value: Datum<'a>, fields: &[(usize, String)]) -> Result<Datum<'a>, Located> {
        for (at, name) in fields {
            value = value.field(name).map_err(|reason| (*at, reason))?;
        }
        Ok(value)
    }
}

fn print(value: Datum<'_>, out: &mut String) {
    match value {
        Datum::Root(object) => write_value(&object.all(), out),
        Datum::Json(value) => write_value(&value, out),
        Datum::Missing => out.push_str("<no value>"),
    }
}

/// Keys or indexes with the values of what `range` goes over.
#[allow(clippy::type_complexity)]
fn pairs(datum: Datum<'_>) -> Result<Vec<(Value, Cow<'_, Value>)>, Reason> {
    let value = match datum {
        Datum::Root(object) => Cow::Owned(object.all()),
        Datum::Json(value) => value,
        Datum::Missing => return Ok(Vec::new()),
    };
    Ok(match value {
        Cow::Borrowed(Value::Array(list)) => {
            list.iter().enumerate().map(|(index, item)| (index.into(), Cow::Borrowed(item))).collect()
        }
        Cow::Owned(Value::Array(list)) => {
            list.into_iter().enumerate().map(|(index, item)| (index.into(), Cow::Owned(item))).collect()
        }
        Cow::Borrowed(Value::Object(map)) => {
            map.iter().map(|(key, item)| (key.as_str().into(), Cow::Borrowed(item))).collect()
        }
        Cow::Owned(Value::Object(map)) => {
            map.into_iter().map(|(key, item)| (key.into(), Cow::Owned(item))).collect()
        }
        Cow::Borrowed(Value::Null) | Cow::Owned(Value::Null) => Vec::new(),
        other => return Err(Reason::NotIterable(kind(&other))),
    })
}
