//! The fixtures of a run: found, loaded, and loaded again where their files change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::fixture::{Fixture, FixtureError, discover};
use super::judge::JudgeChoice;
use crate::plan::{Plan, PlanFolders};

/// Where fixtures are looked for, and how they are loaded.
#[derive(Clone)]
pub struct Search {
    /// Folders or files to search.
    pub paths: Vec<PathBuf>,
    /// Only fixtures whose name holds one of these; all, where none is given.
    pub filters: Vec<String>,
    /// The plan to judge by instead of the fixtures' own.
    pub plan: Option<String>,
    /// Where plans, checks and prompts are.
    pub folders: PlanFolders,
    /// Where the judge's answers come from.
    pub judge: JudgeChoice,
}

/// A fixture that was found, and what loading it came to.
pub struct Found {
    /// Its path below the folder that was searched.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The fixture, or what is wrong with its files.
    pub fixture: Result<Fixture, FixtureError>,
}

/// The fixtures of a run.
pub struct Suite {
    search: Search,
    found: Vec<Found>,
}

/// What a change of files touches.
#[derive(Default)]
pub struct Touched {
    /// Folders of the fixtures that were loaded again, or for the first time.
    pub loaded: BTreeSet<PathBuf>,
    /// The fixtures that are no more.
    pub gone: Vec<Found>,
}

impl Suite {
    /// Finds and loads.
    ///
    /// # Errors
    /// Where a path does not exist; what is wrong with a fixture is said by [`Found::fixture`].
    pub fn load(search: Search) -> Result<Self, FixtureError> {
        let mut suite = Self {
            search,
            found: Vec::new(),
        };
        suite.reload(&BTreeSet::new())?;
        Ok(suite)
    }

    /// All fixtures, in the order of their names.
    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// Every file and folder that decides about the suite.
    pub fn roots(search: &Search) -> Vec<PathBuf> {
        let folders = &search.folders;
        let shared = [&folders.plans, &folders.checks, &folders.prompts];
        let mut roots: Vec<_> = search.paths.iter().chain(shared).cloned().collect();
        // A plan named as a file has its scripts beside it.
        let plan = search.plan.as_ref().filter(|plan| plan.ends_with(".toml"));
        roots.extend(plan.map(|plan| match Path::new(plan).parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            Some(_) | None => PathBuf::from(plan),
        }));
        roots
    }

    /// Looks for fixtures again, and loads those that are new or that the changed files touch.
    ///
    /// # Errors
    /// Where a searched path is no more.
    pub fn reload(&mut self, changed: &BTreeSet<PathBuf>) -> Result<Touched, FixtureError> {
        let search = &self.search;
        let wanted = |name: &str| {
            search.filters.is_empty() || search.filters.iter().any(|text| name.contains(text.as_str()))
        };
        let mut before = std::mem::take(&mut self.found);
        let mut touched = Touched::default();
        let found = match discover(&search.paths) {
            Ok(found) => found,
            Err(error) => {
                self.found = before;
                return Err(error);
            }
        };
        for (name, folder) in found {
            if !wanted(&name) {
                continue;
            }
            let known = before.iter().position(|one| one.folder == folder);
            let known = known.map(|index| before.swap_remove(index));
            let one = match known {
                Some(known) if !known.is_touched(changed) => known,
                Some(_) | None => {
                    touched.loaded.insert(folder.clone());
                    let plan = search.plan.as_deref();
                    let fixture = Fixture::load(name.clone(), &folder, plan, &search.folders, &search.judge);
                    Found {
                        name,
                        folder,
                        fixture,
                    }
                }
            };
            self.found.push(one);
        }
        touched.gone = before;
        Ok(touched)
    }
}

impl Found {
    fn is_touched(&self, changed: &BTreeSet<PathBuf>) -> bool {
        if changed.iter().any(|path| path.starts_with(&self.folder)) {
            return true;
        }
        match &self.fixture {
            Ok(fixture) => files(&fixture.plan).any(|path| changed.contains(&path)),
            // What would mend it is not known.
            Err(_) => !changed.is_empty(),
        }
    }
}

/// The files that a plan was made from, and those that would have come first had they been there.
fn files(plan: &Plan) -> impl Iterator<Item = PathBuf> {
    let folder = plan.path.as_deref().and_then(Path::parent);
    let named = plan.graders.iter().flat_map(|grader| grader.files.values());
    let beside = named.filter_map(move |file| Some(folder?.join(&file.name)));
    plan.paths().cloned().chain(beside)
}
