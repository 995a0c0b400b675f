//! The `cartwire` program: parse, run, print the error chain once, exit code.
fn main() {}
