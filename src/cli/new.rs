//! `assay new`: writes a working start for a check, a plan or a fixture.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{CliError, Exit, parts};
use crate::config::CommonArgs;
use crate::desk::{Language, Places, Scaffold};

/// Flags of `assay new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assay new check my-check                a Python check, a plan with it, a fixture it accepts and one it rejects
  assay new check my-check --lang wat     the same as a WebAssembly component
  assay new plan my-plan                  a plan with two fixtures
  assay new fixture csv/my-case           a fixture with a plan of its own

Nothing is overwritten. What is written passes as it is: run it with --watch, and change it.

Exit status: 0 written, 2 a file exists already or the name is none.")]
pub(super) struct NewArgs {
    #[command(subcommand)]
    what: What,
    /// Where fixtures are kept
    #[arg(long, global = true, value_name = "DIR", default_value = "tests/fixtures")]
    fixtures: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A check, a plan with it, a fixture that it accepts and one that it rejects
    #[command(after_help = "Example:\n  assay new check my-check --lang js")]
    Check {
        /// Letters, digits, `-` and `_`
        name: String,
        /// The language
        #[arg(long, value_enum, default_value_t = Lang::Py)]
        lang: Lang,
    },
    /// A plan, a fixture that it accepts and one that it rejects
    #[command(after_help = "Example:\n  assay new plan my-plan")]
    Plan {
        /// Letters, digits, `-` and `_`
        name: String,
    },
    /// A fixture with a plan of its own
    #[command(after_help = "Example:\n  assay new fixture csv/my-case")]
    Fixture {
        /// Letters, digits, `-` and `_`, with `/` between folders
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lang {
    /// Python
    Py,
    /// JavaScript
    Js,
    /// WebAssembly text, a component
    Wat,
}

pub(super) fn run(args: NewArgs, common: &CommonArgs) -> Result<Exit, CliError> {
    let folders = parts::folders(&parts::config(common)?);
    let places = Places {
        plans: folders.plans,
        checks: folders.checks,
        fixtures: args.fixtures,
    };
    let scaffold = match &args.what {
        What::Check { name, lang } => Scaffold::check(name, language(*lang), &places),
        What::Plan { name } => Scaffold::plan(name, &places),
        What::Fixture { name } => Scaffold::fixture(name, &places),
    };
    let scaffold = scaffold.map_err(CliError::usage)?;
    scaffold.write().map_err(CliError::usage)?;
    for path in scaffold.paths() {
        anstream::println!("wrote {}", path.display());
    }
    let graders = common
        .graders
        .as_ref()
        .map(|graders| format!(" --graders {}", graders.display()))
        .unwrap_or_default();
    anstream::println!(
        "\nnext: assay run {}{graders} --watch",
        scaffold.fixtures().display()
    );
    Ok(Exit::Good)
}

fn language(lang: Lang) -> Language {
    match lang {
        Lang::Py => Language::Python,
        Lang::Js => Language::JavaScript,
        Lang::Wat => Language::Wat,
    }
}
