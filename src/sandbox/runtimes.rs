//! The interpreters that scripts are run by: one component for each language, built by `make runtimes`.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::sync::OnceCell;

use super::{Limits, Module, ModuleSource};

/// Where `make runtimes` puts them.
pub(super) const FOLDER: &str = ".assay/runtimes";

/// A language that checks may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// `.py`
    Python,
    /// `.js`
    JavaScript,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::Python, Self::JavaScript];

    /// The language of a script, by the end of its file name.
    #[must_use]
    pub fn of(file_name: &str) -> Option<Self> {
        match Path::new(file_name).extension()?.to_str()? {
            "py" => Some(Self::Python),
            "js" => Some(Self::JavaScript),
            _ => None,
        }
    }

    /// Name of its runtime's file.
    #[must_use]
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Python => "python.wasm",
            Self::JavaScript => "javascript.wasm",
        }
    }

    /// Limits of a script, unless its plan says otherwise.
    #[must_use]
    pub fn limits(self) -> Limits {
        // Measured: 8 MiB of CSV read into lists take 2.6 billion units of fuel and 92 MB, 8 MiB of JSON half of
        // that; 5 billion units burn in 0.5 to 1.2 s, whatever the script does.
        match self {
            Self::Python | Self::JavaScript => Limits {
                fuel: 5_000_000_000,
                memory_bytes: 128 << 20,
                ..Limits::default()
            },
        }
    }

    /// What `make runtimes` needs to build its runtime.
    fn needs(self) -> &'static str {
        match self {
            Self::Python => "python3 with its venv module",
            Self::JavaScript => "node and npm",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        })
    }
}

/// Why scripts of a language cannot be run.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// It has not been built.
    #[error(
        "the {language} runtime is missing ({} does not exist): run `make runtimes`, which needs {}",
        path.display(),
        language.needs()
    )]
    Missing {
        /// Of which language.
        language: Language,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is there and cannot be read.
    #[error("the {language} runtime {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Of which language.
        language: Language,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The digest beside it is another's.
    #[error("the {language} runtime {} is not what was built: run `make runtimes` again", path.display())]
    Changed {
        /// Of which language.
        language: Language,
        /// Its file.
        path: PathBuf,
    },
}

/// The runtimes of one folder, each read when it is first needed.
#[derive(Debug)]
pub(super) struct Runtimes {
    folder: PathBuf,
    python: OnceCell<Module>,
    javascript: OnceCell<Module>,
}

impl Runtimes {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            python: OnceCell::new(),
            javascript: OnceCell::new(),
        }
    }

    /// Where the runtime of that language is kept once it is prepared.
    pub(super) fn cell(&self, language: Language) -> &OnceCell<Module> {
        match language {
            Language::Python => &self.python,
            Language::JavaScript => &self.javascript,
        }
    }

    /// Reads a runtime and compares it with the digest that was written beside it when it was built.
    pub(super) fn read(&self, language: Language) -> Result<ModuleSource, RuntimeError> {
        let path = self.folder.join(language.file_name());
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RuntimeError::Missing { language, path });
            }
            Err(source) => {
                return Err(RuntimeError::Unreadable {
                    language,
                    path,
                    source,
                });
            }
        };
        let module = ModuleSource::new(bytes);
        let stated = fs::read_to_string(path.with_extension("wasm.sha256"));
        match stated {
            Ok(text) if text.split_whitespace().next() == Some(&module.digest().to_string()) => Ok(module),
            Ok(_) => Err(RuntimeError::Changed { language, path }),
            Err(_) => Err(RuntimeError::Missing {
                language,
                path: path.with_extension("wasm.sha256"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_file_name_says_its_language() {
        assert_eq!(Language::of("a/word-count.py"), Some(Language::Python));
        assert_eq!(Language::of("a.b.js"), Some(Language::JavaScript));
        for other in ["a.wat", "a.PY", "py", ".js", ""] {
            assert_eq!(Language::of(other), None, "{other}");
        }
    }

    #[test]
    fn a_runtime_that_is_missing_says_what_to_run() {
        let runtimes = Runtimes::new("nowhere".into());
        let error = |language| runtimes.read(language).unwrap_err().to_string();
        insta::assert_snapshot!(
            error(Language::Python),
            @"the Python runtime is missing (nowhere/python.wasm does not exist): run `make runtimes`, which needs python3 with its venv module"
        );
        insta::assert_snapshot!(
            error(Language::JavaScript),
            @"the JavaScript runtime is missing (nowhere/javascript.wasm does not exist): run `make runtimes`, which needs node and npm"
        );
    }

    #[test]
    fn a_runtime_that_is_not_what_was_built_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let runtimes = Runtimes::new(folder.path().to_owned());
        let file = folder.path().join("python.wasm");
        fs::write(&file, b"one").unwrap();
        assert!(matches!(
            runtimes.read(Language::Python),
            Err(RuntimeError::Missing { .. })
        ));
        let digest = ModuleSource::new(&b"one"[..]).digest();
        fs::write(
            folder.path().join("python.wasm.sha256"),
            format!("{digest}  python.wasm\n"),
        )
        .unwrap();
        assert_eq!(runtimes.read(Language::Python).unwrap().digest(), digest);
        fs::write(&file, b"two").unwrap();
        assert!(matches!(
            runtimes.read(Language::Python),
            Err(RuntimeError::Changed { .. })
        ));
    }
}
