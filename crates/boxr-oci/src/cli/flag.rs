//! What a flag is: static data that feeds the parser and help.

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing; `--flag=false` takes it back.
    Nothing,
    /// A value, as the next word or behind `=`.
    Value,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Long name, without dashes.
    pub long: &'static str,
    /// Short name.
    pub short: Option<char>,
    /// What follows it.
    pub takes: Takes,
    /// One line for help.
    pub help: &'static str,
}

impl Flag {
    /// A flag without a value.
    pub const fn switch(long: &'static str, help: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Nothing, help }
    }

    /// A flag with a value.
    pub const fn value(long: &'static str, help: &'static str) -> Self {
        Self { long, short: None, takes: Takes::Value, help }
    }

    /// The same with a short name.
    pub const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }
}
