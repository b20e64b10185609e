//! What a flag is: static data that feeds the parser, help, manual pages and completions.

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A switch: `--rm`, and `--rm=false` to take it back.
    Nothing,
    /// A value: `--name WORD` or `--name=WORD`. The placeholder that help shows.
    Value(&'static str),
    /// A value that only `=` can give: `--tty` is `--tty=implied`.
    Optional {
        /// The placeholder that help shows.
        placeholder: &'static str,
        /// The value of the flag alone.
        implied: &'static str,
    },
}

/// What a shell may offer for a value or a positional argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Complete {
    /// Nothing.
    #[default]
    Nothing,
    /// Any path.
    File,
    /// A directory.
    Directory,
    /// Names of boxes.
    Container,
    /// Names of images.
    Image,
    /// Commands of the host.
    Program,
    /// Names of boxr's commands.
    Command,
    /// One of these words.
    Words(&'static [&'static str]),
}

/// One flag. Made with [`Flag::switch`] and [`Flag::value`] in a static table.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Long name without `--`.
    pub long: &'static str,
    /// Other long names, which mean the same.
    pub aliases: &'static [&'static str],
    /// Short name.
    pub short: Option<char>,
    /// What follows it.
    pub takes: Takes,
    /// Whether it may be given several times, and all values count.
    pub repeat: bool,
    /// Whether a value that may be missing may also be the next word, if that is no flag.
    pub or_next: bool,
    /// One line for `--help`.
    pub help: &'static str,
    /// Further sentences for the manual page; may be empty.
    pub doc: &'static str,
    /// Heading under which help shows it; empty is the common one.
    pub group: &'static str,
    /// What a shell offers as value.
    pub complete: Complete,
    /// Parsed, but not shown.
    pub hidden: bool,
}

impl Flag {
    /// A flag without a value.
    pub const fn switch(long: &'static str, help: &'static str) -> Self {
        Self {
            long,
            aliases: &[],
            short: None,
            takes: Takes::Nothing,
            repeat: false,
            or_next: false,
            help,
            doc: "",
            group: "",
            complete: Complete::Nothing,
            hidden: false,
        }
    }

    /// A flag with a value, which help calls `placeholder`.
    pub const fn value(long: &'static str, placeholder: &'static str, help: &'static str) -> Self {
        let mut flag = Self::switch(long, help);
        flag.takes = Takes::Value(placeholder);
        flag
    }

    /// A flag whose value may only follow `=`, and is `implied` without.
    pub const fn optional(
        long: &'static str,
        placeholder: &'static str,
        implied: &'static str,
        help: &'static str,
    ) -> Self {
        let mut flag = Self::switch(long, help);
        flag.takes = Takes::Optional { placeholder, implied };
        flag
    }

    /// With a short name.
    pub const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    /// With other long names.
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// May be given several times.
    pub const fn repeat(mut self) -> Self {
        self.repeat = true;
        self
    }

    /// Its value, which may be missing, may also be the next word, if that is no flag.
    pub const fn or_next(mut self) -> Self {
        self.or_next = true;
        self
    }

    /// With more to say in the manual.
    pub const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Under a heading of its own.
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = group;
        self
    }

    /// With something to offer to a shell.
    pub const fn complete(mut self, complete: Complete) -> Self {
        self.complete = complete;
        self
    }

    /// Not shown.
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Whether `name` (without dashes) is its long name or another of it.
    pub fn is_long(&self, name: &str) -> bool {
        self.long == name || self.aliases.contains(&name)
    }

    /// How errors write it: `--memory`.
    pub fn spelled(&self) -> String {
        format!("--{}", self.long)
    }
}
