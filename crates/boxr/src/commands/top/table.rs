//! What the columns of ps(1) and those of podman have in common: words by which they are asked for, and a heading.

/// `NAME { COLUMN "HEADING" "word" "another word" … }` is an enum with one value for each column.
macro_rules! columns {
    ($(#[$doc:meta])* $kind:ident { $($name:ident $heading:literal $($word:literal)+)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $kind { $(#[doc = $heading] $name,)* }

        impl $kind {
            /// The column that a word means.
            pub(super) fn find(word: &str) -> Option<Self> {
                match word { $($($word)|+ => Some(Self::$name),)* _ => None }
            }

            /// All words.
            pub(super) fn words() -> impl Iterator<Item = &'static str> {
                [$($($word,)+)*].into_iter()
            }

            /// What is above it.
            pub(super) fn heading(self) -> &'static str {
                match self { $(Self::$name => $heading,)* }
            }
        }
    };
}

pub(super) use columns;
