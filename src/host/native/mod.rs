//! The native program: files on disk, the command line, the terminal.

pub mod source;
