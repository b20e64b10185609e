//! How results are written: tables, templates, sizes and times.
