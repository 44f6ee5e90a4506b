//! What was typed, read; and the texts of the help, laid out for the terminal that they are read on.

use super::arguments::{self, Arguments};
use clap::parser::ValueSource;
use clap::{Command, CommandFactory, FromArgMatches};
use std::ffi::OsString;

/// The arguments, or the end of the program with help or an error.
pub(super) fn parse(words: Vec<OsString>) -> Arguments {
    let matches = reflowed(Arguments::command()).get_matches_from(words);
    let mut arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Some(arguments::Command::Run(run)), Some((_, of_run))) = (&mut arguments.command, matches.subcommand()) {
        let is_given = |id: &&clap::Id| of_run.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        run.sampling.given = of_run.ids().filter(is_given).map(ToString::to_string).collect();
    }
    arguments
}

/// The texts below the options without the line ends of the source: clap wraps them to the terminal, and lines that are
/// wrapped twice are torn.
fn reflowed(command: Command) -> Command {
    // As llama.cpp has it: of an option that is given twice, the last one counts.
    let command = command.args_override_self(true).mut_subcommands(reflowed);
    let Some(text) = command.get_after_help().map(ToString::to_string) else { return command };
    command.after_help(without_line_ends(&text))
}

/// Paragraphs in one line each; indented lines, which are examples and lists, stay.
fn without_line_ends(text: &str) -> String {
    let flows = |line: &str| !line.is_empty() && !line.starts_with(' ');
    let mut flowing = String::with_capacity(text.len());
    let mut before = "";
    for line in text.lines() {
        if !flowing.is_empty() {
            let goes_on = flows(before) && flows(line) && !before.ends_with(':');
            flowing.push(if goes_on { ' ' } else { '\n' });
        }
        flowing.push_str(line);
        before = line;
    }
    flowing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_flow_and_examples_stay() {
        let text = "One sentence that\ngoes on.\n\nExamples:\n  headstart run\n  headstart bench\nMore\nof it";
        let flowing = "One sentence that goes on.\n\nExamples:\n  headstart run\n  headstart bench\nMore of it";
        assert_eq!(without_line_ends(text), flowing);
        assert_eq!(without_line_ends(flowing), flowing);
    }

    #[test]
    fn no_line_of_a_help_is_torn() {
        let mut command = reflowed(Arguments::command());
        command.build();
        for command in command.get_subcommands_mut() {
            let help = command.clone().term_width(72).render_help().to_string();
            let lines: Vec<&str> = help.lines().collect();
            // A torn line leaves a word or two, and then a full line goes on.
            for pair in lines.windows(2).filter(|pair| pair.iter().all(|line| line.starts_with(char::is_alphabetic))) {
                let next_word = pair[1].split(' ').next().unwrap_or_default();
                let fits = pair[0].chars().count() + 1 + next_word.chars().count() <= 72;
                assert!(!fits || pair[0].ends_with(':'), "{}: {pair:?}", command.get_name());
            }
        }
    }
}
