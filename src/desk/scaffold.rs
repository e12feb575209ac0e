//! Working starts: a check, a plan or a fixture that passes as it is written and is there to be changed.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The language of a new check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// A Python script.
    Python,
    /// A JavaScript script.
    JavaScript,
    /// A WebAssembly component in the text format.
    Wat,
}

impl Language {
    fn extension(self) -> &'static str {
        match self {
            Self::Python => "py",
            Self::JavaScript => "js",
            Self::Wat => "wat",
        }
    }

    fn template(self) -> &'static str {
        match self {
            Self::Python => include_str!("scaffold/check.py"),
            Self::JavaScript => include_str!("scaffold/check.js"),
            Self::Wat => include_str!("scaffold/check.wat"),
        }
    }
}

/// Where a start is written.
pub struct Places {
    /// `graders/plans`
    pub plans: PathBuf,
    /// `graders/checks`
    pub checks: PathBuf,
    /// `tests/fixtures`
    pub fixtures: PathBuf,
}

/// Files that are to be written together.
#[derive(Debug)]
pub struct Scaffold {
    files: Vec<(PathBuf, String)>,
    fixtures: PathBuf,
}

/// A start that was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaffoldError {
    /// The name is none.
    #[error("`{name}` is no name for a {what}: use letters, digits, `-` and `_`{}", if *.folders { ", with `/` between folders" } else { "" })]
    Name {
        /// What was to be made.
        what: &'static str,
        /// The name.
        name: String,
        /// Whether the name may hold folders.
        folders: bool,
    },
    /// A file is there already.
    #[error("{} exists already and is left as it is: choose another name", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

const SENTENCE: &str = "The harbour bridge opened in 1932 and carries 140000 cars a day.";

struct Fixture<'a> {
    id: String,
    description: String,
    plan: &'a str,
    expect: &'a str,
    output: &'a str,
    expected: bool,
}

impl Scaffold {
    /// A check, a plan that runs it, a fixture that it accepts and one that it rejects.
    ///
    /// # Errors
    /// Where the name is none.
    pub fn check(name: &str, language: Language, places: &Places) -> Result<Self, ScaffoldError> {
        plain("check", name, false)?;
        let script = format!("{name}.{}", language.extension());
        let mut scaffold = Self::empty(places.fixtures.join(name));
        scaffold.add(
            places.checks.join(&script),
            language.template(),
            &[("name", name)],
        );
        let plan = include_str!("scaffold/check.toml");
        // The check in WAT reads no parameters.
        let plan = match language {
            Language::Wat => plan.replace("params = { min_words = 5 }\n", ""),
            Language::Python | Language::JavaScript => plan.to_owned(),
        };
        scaffold.add(
            places.plans.join(format!("{name}.toml")),
            &plan,
            &[("grader", name), ("script", &script)],
        );
        scaffold.pair(name, false);
        Ok(scaffold)
    }

    /// A plan, a fixture that it accepts and one that it rejects.
    ///
    /// # Errors
    /// Where the name is none.
    pub fn plan(name: &str, places: &Places) -> Result<Self, ScaffoldError> {
        plain("plan", name, false)?;
        let mut scaffold = Self::empty(places.fixtures.join(name));
        let path = places.plans.join(format!("{name}.toml"));
        scaffold.add(path, include_str!("scaffold/plan.toml"), &[]);
        scaffold.pair(name, true);
        Ok(scaffold)
    }

    /// A fixture with a plan of its own beside it.
    ///
    /// # Errors
    /// Where the name is none.
    pub fn fixture(name: &str, places: &Places) -> Result<Self, ScaffoldError> {
        plain("fixture", name, true)?;
        let folder = places.fixtures.join(name);
        let mut scaffold = Self::empty(folder.clone());
        scaffold.add(folder.join("plan.toml"), include_str!("scaffold/plan.toml"), &[]);
        scaffold.job(
            &folder,
            &Fixture {
                id: format!("job_{}", name.replace(['/', '-'], "_")),
                description: "What this fixture shows: say it here in one line".to_owned(),
                plan: "plan.toml",
                expect: "verified",
                output: SENTENCE,
                expected: true,
            },
        );
        Ok(scaffold)
    }

    fn empty(fixtures: PathBuf) -> Self {
        Self {
            files: Vec::new(),
            fixtures,
        }
    }

    /// One fixture that is accepted and one that is rejected.
    fn pair(&mut self, name: &str, expected: bool) {
        for (case, expect, output) in [("accepted", "verified", SENTENCE), ("rejected", "retry", "Done.")] {
            let fixture = Fixture {
                id: format!("job_{}_{case}", name.replace('-', "_")),
                description: format!(
                    "A hand-in that {name} must say {} to",
                    if expect == "retry" { "no" } else { "yes" }
                ),
                plan: name,
                expect,
                output,
                expected,
            };
            self.job(&self.fixtures.join(case), &fixture);
        }
    }

    fn job(&mut self, folder: &Path, fixture: &Fixture<'_>) {
        let words = [
            ("description", fixture.description.as_str()),
            ("plan", fixture.plan),
            ("expect", fixture.expect),
        ];
        self.add(
            folder.join("fixture.toml"),
            include_str!("scaffold/fixture.toml"),
            &words,
        );
        let attachments = if fixture.expected {
            r#"{ "name": "expected.txt", "url": "expected.txt" }"#
        } else {
            ""
        };
        let words = [
            ("id", fixture.id.as_str()),
            ("title", "Say something of the harbour bridge"),
            ("prompt", "Write one sentence about the harbour bridge."),
            ("output", fixture.output),
            ("attachments", attachments),
        ];
        self.add(folder.join("job.json"), include_str!("scaffold/job.json"), &words);
        if fixture.expected {
            self.add(folder.join("expected.txt"), &format!("{SENTENCE}\n"), &[]);
        }
    }

    fn add(&mut self, path: PathBuf, template: &str, words: &[(&str, &str)]) {
        let text = words.iter().fold(template.to_owned(), |text, (key, word)| {
            text.replace(&format!("{{{{{key}}}}}"), word)
        });
        self.files.push((path, text));
    }

    /// The files, in the order in which they are worth reading.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The folder whose fixtures show it.
    pub fn fixtures(&self) -> &Path {
        &self.fixtures
    }

    /// Writes every file, or none where one exists.
    ///
    /// # Errors
    /// Names the file that exists or cannot be written; nothing is ever overwritten.
    pub fn write(&self) -> Result<(), ScaffoldError> {
        if let Some(path) = self.paths().find(|path| path.symlink_metadata().is_ok()) {
            return Err(ScaffoldError::Exists(path.to_owned()));
        }
        for (path, text) in &self.files {
            let written = path
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| {
                    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
                    file.write_all(text.as_bytes())
                });
            written.map_err(|source| ScaffoldError::Unwritable {
                path: path.clone(),
                source,
            })?;
        }
        Ok(())
    }
}

/// Names become files, graders and job ids: nothing that any of them refuses.
fn plain(what: &'static str, name: &str, folders: bool) -> Result<(), ScaffoldError> {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=64).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('-')
    };
    let good = if folders {
        name.split('/').all(part)
    } else {
        part(name)
    };
    if good {
        return Ok(());
    }
    let name = name.to_owned();
    Err(ScaffoldError::Name { what, name, folders })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_or_refused_with_what_to_use() {
        for good in ["a", "my-check", "x_2"] {
            assert!(plain("check", good, false).is_ok(), "{good}");
        }
        for wrong in ["", "a b", "../a", "a/b", ".a", "-a", "é", "\"", &"a".repeat(65)] {
            assert!(plain("check", wrong, false).is_err(), "{wrong}");
        }
        assert!(plain("fixture", "csv/mine", true).is_ok());
        assert!(plain("fixture", "csv/../mine", true).is_err());
        let error = plain("check", "a/b", false).unwrap_err();
        insta::assert_snapshot!(error, @"`a/b` is no name for a check: use letters, digits, `-` and `_`");
    }

    #[test]
    fn no_template_word_is_left_over() {
        let places = Places {
            plans: "p".into(),
            checks: "c".into(),
            fixtures: "f".into(),
        };
        for language in [Language::Python, Language::JavaScript, Language::Wat] {
            let check = Scaffold::check("mine", language, &places).unwrap();
            for (path, text) in check.files {
                assert!(!text.contains("{{"), "{}", path.display());
            }
        }
        for (path, text) in Scaffold::plan("mine", &places).unwrap().files {
            assert!(!text.contains("{{"), "{}", path.display());
        }
        for (path, text) in Scaffold::fixture("a/mine", &places).unwrap().files {
            assert!(!text.contains("{{"), "{}", path.display());
        }
    }
}
