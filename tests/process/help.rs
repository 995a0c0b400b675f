//! The help text of each command, compared with the snapshots in `snapshots/`.
//!
//! `INSTA_UPDATE=always cargo test --test process help` writes the snapshots. Review the diff before the commit.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

const SNAPSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/process/snapshots");

/// The output of `--help`, without the values of the environment and of the terminal.
fn help(command: &[String]) -> String {
    let output = Command::new(support::program())
        .env_clear()
        .args(command)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The subcommands that a help text lists.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    lines
        .take_while(|line| !line.is_empty())
        // The description of a command may continue on lines that are indented further.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Each command with its help text, the program itself first.
fn commands() -> Vec<(Vec<String>, String)> {
    let mut open = vec![Vec::new()];
    let mut found = Vec::new();
    while let Some(command) = open.pop() {
        let text = help(&command);
        open.extend(
            subcommands(&text)
                .into_iter()
                .map(|name| [&command[..], &[name]].concat()),
        );
        found.push((command, text));
    }
    found
}

#[test]
fn help_of_every_command_matches_its_snapshot() {
    let commands = commands();
    assert!(commands.len() > 20, "{} commands", commands.len());
    let mut names = BTreeSet::new();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(SNAPSHOTS);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (command, text) in commands {
            let name = [&["help".to_owned()], &command[..]].concat().join("-");
            insta::assert_snapshot!(name.as_str(), text);
            names.insert(format!("{name}.snap"));
        }
    });
    let files = Path::new(SNAPSHOTS)
        .read_dir()
        .expect("the snapshots can be listed");
    let files = files.map(|file| file.expect("an entry").file_name());
    let unused: Vec<String> = files
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name.starts_with("help") && name.ends_with(".snap"))
        .filter(|name| !names.contains(name))
        .collect();
    assert!(
        unused.is_empty(),
        "snapshots of commands that do not exist: {unused:?}"
    );
}
