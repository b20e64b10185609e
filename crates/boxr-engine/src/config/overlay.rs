//! Laying what flags say over what a file says, field by field.

/// `flags`' word takes the place of `file`'s where there is one, for the fields before the semicolon; those after it
/// are lists, which are joined, the file's first.
macro_rules! overlay {
    ($file:ident, $flags:ident: $($scalar:ident)*; $($list:ident)*) => {
        $(if $flags.$scalar.is_some() { $file.$scalar = $flags.$scalar; })*
        $($file.$list.extend($flags.$list);)*
    };
}

pub(crate) use overlay;
