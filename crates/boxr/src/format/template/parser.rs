//! Tokens to a tree.

use std::rc::Rc;

use serde_json::Value;

use super::error::{Located, Reason};
use super::functions::{self, Function};
use super::lexer::{Part, Token};

/// Blocks and parentheses inside each other; more is no template but an attack on the stack.
const MAX_DEPTH: usize = 64;

/// A part of a template that is carried out.
#[derive(Debug)]
pub(super) enum Node {
    /// Copied.
    Text(String),
    /// Its value is printed, unless it sets a variable.
    Print(Pipeline),
    /// One of two lists.
    If(Pipeline, Vec<Node>, Vec<Node>),
    /// The same, with dot set to the value.
    With(Pipeline, Vec<Node>, Vec<Node>),
    /// Once for each element; the second list when there is none.
    Range(Pipeline, Vec<Node>, Vec<Node>),
    /// Leaves the nearest range.
    Break,
    /// Goes on with the next element of the nearest range.
    Continue,
}

/// Commands of which each gets the value of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Variables it sets: one, or two in a range.
    pub variables: Vec<Rc<str>>,
    /// Whether they exist already (`=` rather than `:=`).
    pub assign: bool,
    /// At least one.
    pub commands: Vec<Command>,
}

/// An operand with arguments, if it takes any.
#[derive(Debug)]
pub(super) struct Command {
    /// At least one: the first is called with the others.
    pub operands: Vec<Operand>,
}

/// A value, or a field of one.
#[derive(Debug)]
pub(super) struct Operand {
    /// Byte offset in the template.
    pub at: usize,
    /// What it begins with.
    pub term: Term,
    /// Fields, one of the other, and where each is.
    pub fields: Vec<(usize, String)>,
}

/// What an operand begins with.
#[derive(Debug)]
pub(super) enum Term {
    /// `.`
    Dot,
    /// `true`, `nil`, `"text"`, `3`
    Literal(Value),
    /// `$name`; the empty name is the data.
    Variable(Rc<str>),
    /// `json`
    Function(Function),
    /// `( … )`
    Group(Box<Pipeline>),
}

/// Tokens with their places.
type Tokens<'t> = &'t [(usize, Token)];

/// How a list of nodes ended.
enum Stop {
    End,
    Else { at: usize, rest: Vec<(usize, Token)> },
    Template,
}

/// Parses the parts of a template.
pub(super) fn parse(parts: Vec<Part>) -> Result<Vec<Node>, Located> {
    let mut parser = Parser { parts: parts.into_iter(), depth: 0, ranges: 0 };
    let (nodes, stop, at) = parser.nodes()?;
    match stop {
        Stop::Template => Ok(nodes),
        Stop::End => Err((at, Reason::Unexpected("end".to_owned()))),
        Stop::Else { at, .. } => Err((at, Reason::Unexpected("else".to_owned()))),
    }
}

struct Parser {
    parts: std::vec::IntoIter<Part>,
    depth: usize,
    ranges: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    If,
    With,
    Range,
}

impl Block {
    fn word(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

impl Parser {
    /// Nodes up to an `end`, an `else` or the end of the template, and where that is.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop, usize), Located> {
        let mut nodes = Vec::new();
        while let Some(part) = self.parts.next() {
            let (open, tokens) = match part {
                Part::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Part::Action(open, tokens) => (open, tokens),
            };
            let Some((at, first)) = tokens.first() else {
                return Err((open, Reason::Missing("a value between {{ and }}")));
            };
            let at = *at;
            let word = if let Token::Word(word) = first { word.as_str() } else { "" };
            match word {
                "end" => {
                    no_more(&tokens, 1)?;
                    return Ok((nodes, Stop::End, at));
                }
                "else" => {
                    let rest = tokens.into_iter().skip(1).collect();
                    return Ok((nodes, Stop::Else { at, rest }, at));
                }
                "if" => nodes.push(self.block(Block::If, open, at, &tokens[1..])?),
                "with" => nodes.push(self.block(Block::With, open, at, &tokens[1..])?),
                "range" => nodes.push(self.block(Block::Range, open, at, &tokens[1..])?),
                "break" | "continue" => {
                    no_more(&tokens, 1)?;
                    if self.ranges == 0 {
                        return Err((at, Reason::Unexpected(format!("{word} outside range"))));
                    }
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                "define" | "template" | "block" => {
                    return Err((at, Reason::Unsupported(word.to_owned())));
                }
                _ => nodes.push(Node::Print(self.pipeline(&tokens, open, false)?)),
            }
        }
        Ok((nodes, Stop::Template, 0))
    }

    fn enter(&mut self, at: usize) -> Result<(), Located> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err((at, Reason::TooDeep)) } else { Ok(()) }
    }

    /// An `if`, `with` or `range` up to its `end`; `tokens` are those after the word.
    fn block(&mut self, kind: Block, open: usize, at: usize, tokens: Tokens<'_>) -> Result<Node, Located> {
        self.enter(at)?;
        let pipeline = self.pipeline(tokens, open, kind == Block::Range)?;
        self.ranges += usize::from(kind == Block::Range);
        let (then, stop, _) = self.nodes()?;
        self.ranges -= usize::from(kind == Block::Range);
        let otherwise = match stop {
            Stop::End => Vec::new(),
            Stop::Template => return Err((at, Reason::NoEnd(kind.word()))),
            Stop::Else { rest, .. } if rest.is_empty() => match self.nodes()? {
                (nodes, Stop::End, _) => nodes,
                (_, Stop::Template, _) => return Err((at, Reason::NoEnd(kind.word()))),
                (_, Stop::Else { at, .. }, _) => {
                    return Err((at, Reason::Unexpected("a second else".to_owned())));
                }
            },
            Stop::Else { rest, .. } => vec![self.else_if(kind, open, &rest)?],
        };
        self.depth -= 1;
        Ok(match kind {
            Block::If => Node::If(pipeline, then, otherwise),
            Block::With => Node::With(pipeline, then, otherwise),
            Block::Range => Node::Range(pipeline, then, otherwise),
        })
    }

    /// `else if …` and `else with …`: their `end` is also the outer one's.
    fn else_if(&mut self, outer: Block, open: usize, rest: Tokens<'_>) -> Result<Node, Located> {
        let Some((at, token)) = rest.first() else {
            return Err((open, Reason::Missing("what follows else")));
        };
        let kind = match token {
            Token::Word(word) if word == "if" && outer == Block::If => Block::If,
            Token::Word(word) if word == "with" && outer == Block::With => Block::With,
            token => return Err((*at, Reason::Unexpected(format!("{} after else", describe(token))))),
        };
        self.block(kind, open, *at, &rest[1..])
    }

    /// All of `tokens`.
    fn pipeline(&mut self, tokens: Tokens<'_>, open: usize, range: bool) -> Result<Pipeline, Located> {
        let (pipeline, rest) = self.pipeline_from(tokens, open, range)?;
        no_more(rest, 0)?;
        Ok(pipeline)
    }

    /// Up to a closing parenthesis or the end; gives what is left.
    fn pipeline_from<'t>(
        &mut self,
        tokens: Tokens<'t>,
        open: usize,
        range: bool,
    ) -> Result<(Pipeline, Tokens<'t>), Located> {
        let (variables, assign, mut tokens) = declaration(tokens, range);
        let mut commands = Vec::new();
        loop {
            let (command, rest) = self.command(tokens, open)?;
            commands.push(command);
            match rest.first() {
                Some((_, Token::Pipe)) => tokens = &rest[1..],
                _ => return Ok((Pipeline { variables, assign, commands }, rest)),
            }
        }
    }

    fn command<'t>(&mut self, mut tokens: Tokens<'t>, open: usize) -> Result<(Command, Tokens<'t>), Located> {
        let start = tokens.first().map_or(open, |(at, _)| *at);
        let mut operands = Vec::new();
        while let Some((_, token)) = tokens.first() {
            if matches!(token, Token::Pipe | Token::Close) {
                break;
            }
            let (operand, rest) = self.operand(tokens)?;
            operands.push(operand);
            tokens = rest;
        }
        if operands.is_empty() {
            Err((start, Reason::Missing("a value")))
        } else {
            Ok((Command { operands }, tokens))
        }
    }

    fn operand<'t>(&mut self, tokens: Tokens<'t>) -> Result<(Operand, Tokens<'t>), Located> {
        let Some(((at, token), mut rest)) = tokens.split_first() else {
            return Err((0, Reason::Missing("a value")));
        };
        let at = *at;
        let mut fields = Vec::new();
        let term = match token {
            Token::Dot => Term::Dot,
            Token::Field { name, .. } => {
                fields.push((at, name.clone()));
                Term::Dot
            }
            Token::Variable(name) => Term::Variable(name.as_str().into()),
            Token::Text(text) => Term::Literal(Value::String(text.clone())),
            Token::Integer(value) => Term::Literal(Value::from(*value)),
            Token::Float(value) => Term::Literal(Value::from(*value)),
            Token::Word(word) => word_term(word).map_err(|reason| (at, reason))?,
            Token::Open => {
                self.enter(at)?;
                let (pipeline, after) = self.pipeline_from(rest, at, false)?;
                self.depth -= 1;
                rest = match after.split_first() {
                    Some(((_, Token::Close), rest)) => rest,
                    _ => return Err((at, Reason::Unterminated("a parenthesis"))),
                };
                Term::Group(Box::new(pipeline))
            }
            token => return Err((at, Reason::Unexpected(describe(token)))),
        };
        while let Some(((at, Token::Field { name, chained: true }), after)) = rest.split_first() {
            fields.push((*at, name.clone()));
            rest = after;
        }
        Ok((Operand { at, term, fields }, rest))
    }
}

/// `$x :=`, `$x =`, and in a range `$i, $x :=`.
fn declaration(tokens: Tokens<'_>, range: bool) -> (Vec<Rc<str>>, bool, Tokens<'_>) {
    let sets = |token: &Token| match token {
        Token::Declare => Some(false),
        Token::Assign => Some(true),
        _ => None,
    };
    match tokens {
        [(_, Token::Variable(name)), (_, token), rest @ ..] if sets(token).is_some() => {
            (vec![name.as_str().into()], sets(token) == Some(true), rest)
        }
        [
            (_, Token::Variable(key)),
            (_, Token::Comma),
            (_, Token::Variable(value)),
            (_, token),
            rest @ ..,
        ] if range && sets(token).is_some() => {
            (vec![key.as_str().into(), value.as_str().into()], sets(token) == Some(true), rest)
        }
        tokens => (Vec::new(), false, tokens),
    }
}

fn word_term(word: &str) -> Result<Term, Reason> {
    Ok(match word {
        "true" => Term::Literal(Value::Bool(true)),
        "false" => Term::Literal(Value::Bool(false)),
        "nil" => Term::Literal(Value::Null),
        word => Term::Function(functions::find(word).ok_or_else(|| Reason::UnknownFunction {
            name: word.to_owned(),
            nearest: crate::cli::nearest(word, functions::names()).map(str::to_owned),
        })?),
    })
}

fn no_more(tokens: Tokens<'_>, from: usize) -> Result<(), Located> {
    match tokens.get(from) {
        Some((at, token)) => Err((*at, Reason::Unexpected(describe(token)))),
        None => Ok(()),
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Field { name, .. } => format!(".{name}"),
        Token::Dot => ".".to_owned(),
        Token::Variable(name) => format!("${name}"),
        Token::Text(text) => format!("{text:?}"),
        Token::Integer(value) => value.to_string(),
        Token::Float(value) => value.to_string(),
        Token::Pipe => "|".to_owned(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::Comma => ",".to_owned(),
        Token::Declare => ":=".to_owned(),
        Token::Assign => "=".to_owned(),
    }
}
