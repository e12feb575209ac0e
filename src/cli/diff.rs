//! `assay diff`: compares two files as the grader `diff` does.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::graders::diff::{Comparator, CompareOptions, Comparison, compare};

/// Compare an output with the expected text, as the grader `diff` does
///
/// Prints where they differ, then one line that sums it up. Nothing is printed of texts that are the same but for that line.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DiffArgs {
    /// How to compare: exact, lines, tokens, unordered, json, similarity
    #[arg(long, value_name = "COMPARATOR", default_value = "lines")]
    pub compare: Comparator,
    /// An option of the comparator, as in a plan; may be given again
    ///
    /// `ignore_case`, `ignore_space`, `ignore_trailing_space`, `ignore_blank_lines` (true or false), `abs_tol`, `rel_tol`
    /// (numbers), `ignore_paths` (a JSON Pointer, one each time), `min_ratio` (above 0 and at most 1).
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
    /// Print one JSON object instead: same, score, summary, difference
    #[arg(long)]
    pub json: bool,
    /// The expected text: a file, or - for standard input
    pub expected: PathBuf,
    /// The text to judge: a file, or - for standard input
    pub actual: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  assay diff expected.txt output.txt
  assay diff --compare tokens --set rel_tol=1e-6 expected.txt output.txt
  assay diff --compare json --set ignore_paths=/meta --set ignore_paths='/items/*/id' expected.json output.json
  solve < input.txt | assay diff --set ignore_trailing_space=true expected.txt -

Exit status: 0 the same, 1 different, 2 trouble.";

/// Compares and prints to standard output. `Ok(true)` if the texts are the same (exit 0), `Ok(false)` if not (exit 1).
///
/// # Errors
///
/// Files that cannot be read, options that do not fit, an expected text that cannot be used (exit 2, as diff(1)).
pub(super) fn run(args: &DiffArgs) -> anyhow::Result<bool> {
    let stdout = io::stdout();
    let styled = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
    match run_to(args, &mut io::stdin().lock(), &mut stdout.lock(), styled) {
        // A reader that has seen enough, as `head`, is no trouble.
        Err(error) if is_broken_pipe(&error) => Ok(false),
        result => result,
    }
}

fn run_to(args: &DiffArgs, stdin: &mut dyn Read, out: &mut dyn Write, styled: bool) -> anyhow::Result<bool> {
    let mut options = CompareOptions::default();
    for (key, value) in &args.set {
        options.set(key, value)?;
    }
    options.validate(args.compare)?;
    if is_stdin(&args.expected) && is_stdin(&args.actual) {
        bail!("only one of EXPECTED and ACTUAL can be standard input");
    }
    let expected = text_of(&args.expected, stdin)?;
    let actual = text_of(&args.actual, stdin)?;
    let comparison = compare(&expected, &actual, args.compare, &options)?;
    if args.json {
        print_json(&comparison, out)?
    } else {
        print_text(&comparison, out, styled)?
    }
    Ok(comparison.same)
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("write it as KEY=VALUE, as in ignore_case=true".to_owned()),
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn text_of(path: &Path, stdin: &mut dyn Read) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let read = if is_stdin(path) {
        stdin.read_to_end(&mut text)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn print_json(comparison: &Comparison, out: &mut dyn Write) -> anyhow::Result<()> {
    let object = json!({
        "same": comparison.same,
        "score": comparison.score,
        "summary": comparison.summary,
        "difference": comparison.difference.as_ref().map(|difference| difference.as_str()),
    });
    writeln!(out, "{object}")?;
    Ok(())
}

fn print_text(comparison: &Comparison, out: &mut dyn Write, styled: bool) -> anyhow::Result<()> {
    for row in comparison
        .difference
        .iter()
        .flat_map(|difference| difference.as_str().lines())
    {
        let style = if styled { style_of(row) } else { Style::new() };
        writeln!(out, "{style}{row}{style:#}")?;
    }
    writeln!(out, "{}", comparison.summary)?;
    Ok(())
}

fn style_of(row: &str) -> Style {
    if row.starts_with("--- ") || row.starts_with("+++ ") {
        return Style::new().bold();
    }
    match row.as_bytes().first() {
        Some(b'-') => AnsiColor::Red.on_default(),
        Some(b'+') => AnsiColor::Green.on_default(),
        Some(b'@') => AnsiColor::Cyan.on_default(),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: DiffArgs,
    }

    /// Runs the command on an expected text in a file and an actual one on standard input.
    fn run_on(args: &[&str], expected: &str, actual: &str, styled: bool) -> (anyhow::Result<bool>, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), expected).unwrap();
        let path = file.path().to_str().unwrap();
        let args = [&["diff"], args, &[path, "-"]].concat();
        let mut out = Vec::new();
        let result = run_to(
            &Cli::parse_from(args).args,
            &mut actual.as_bytes(),
            &mut out,
            styled,
        );
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_same_texts_get_one_line() {
        let (result, out) = run_on(
            &["--compare", "tokens", "--set", "abs_tol=0.1"],
            "A 1.0",
            "a\n1.05",
            false,
        );
        assert!(result.unwrap());
        insta::assert_snapshot!(out, @"the same 2 tokens");
    }

    #[test]
    fn different_texts_get_the_difference_and_the_summary() {
        let (result, out) = run_on(&[], "a\nb\n", "a\nc\n", false);
        assert!(!result.unwrap());
        insta::assert_snapshot!(out, @r"
        --- expected
        +++ actual
        @@ -1,2 +1,2 @@ lines
         a
        -b
        +c
        first difference at line 2 of the output: `c`; 1 of 2 lines agree, 2 lines expected
        ");
    }

    #[test]
    fn only_a_terminal_gets_colour() {
        assert!(run_on(&[], "b", "c", true).1.contains("\u{1b}[31m-b"));
        assert!(!run_on(&[], "b", "c", false).1.contains('\u{1b}'));
    }

    #[test]
    fn a_program_gets_one_object() {
        let (_, out) = run_on(&["--json", "--compare", "json"], "[1]", "[2]", false);
        let object: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(object["same"], false);
        assert_eq!(object["score"], 0.5);
        assert!(object["difference"].as_str().unwrap().contains("+2"));
    }

    #[test]
    fn trouble_is_an_error_that_says_what_to_do() {
        let error = |args: &[&str], expected| run_on(args, expected, "1", false).0.unwrap_err().to_string();
        insta::assert_snapshot!(error(&["--compare", "json"], "{"), @"the expected text is unusable for comparator json: it is not valid JSON (no key at line 1, column 2); correct it, or choose another comparator");
        insta::assert_snapshot!(error(&["--set", "abs_tol=1"], ""), @"option abs_tol has no effect on comparator lines, which takes ignore_case, ignore_space, ignore_trailing_space, ignore_blank_lines");
        let both = Cli::parse_from(["diff", "-", "-"]).args;
        assert!(run_to(&both, &mut io::empty(), &mut Vec::new(), false).is_err());
        let missing = Cli::parse_from(["diff", "no-such-file", "-"]).args;
        assert!(
            run_to(&missing, &mut io::empty(), &mut Vec::new(), false)
                .unwrap_err()
                .to_string()
                .contains("no-such-file")
        );
        assert!(Cli::try_parse_from(["diff", "--set", "x", "a", "b"]).is_err());
    }
}
