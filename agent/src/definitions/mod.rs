//! Services that files define: what the files say, and what they change.

mod consul;
pub(crate) mod duration;
mod folder;
mod native;
mod plain;
mod plan;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hobnob_api::{Check, Registration};

use crate::config::Problem;
use crate::registrations;

pub(crate) use consul::{LoneCheck, from_value as from_consul, plain_check_id};
pub(crate) use folder::SourceFile;
pub(crate) use plan::{Plan, plan};

/// An instance that a file defines.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The file.
    pub file: PathBuf,
    /// The line where it begins, if that is known.
    pub line: Option<usize>,
    /// The instance.
    pub registration: Registration,
}

/// All that the files of a directory define.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definitions {
    /// The instances.
    pub definitions: Vec<Definition>,
    /// The number of files.
    pub files: usize,
    /// What the files say and has no effect here.
    pub warnings: Vec<Problem>,
}

/// The content of one file.
#[derive(Debug, Default)]
struct Parsed {
    definitions: Vec<Definition>,
    warnings: Vec<Problem>,
    problems: Vec<Problem>,
}

impl Definition {
    fn new(file: &Path, line: Option<usize>, registration: Registration) -> Self {
        Self { file: file.to_owned(), line, registration }
    }

    /// The name of the file, without its directory.
    pub(crate) fn source(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// `FILE:LINE`.
    pub(crate) fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file.display()),
            None => self.file.display().to_string(),
        }
    }
}

impl Definitions {
    /// Reads every file of a directory. Without `script_checks` no check may be a script.
    ///
    /// # Errors
    /// All problems of all files.
    pub fn read(dir: &Path, script_checks: bool) -> Result<Self, Vec<Problem>> {
        let files = folder::read(dir)?;
        Self::parse(&files, script_checks)
    }

    /// Parses files, and checks the rules for what they define.
    pub(crate) fn parse(files: &[SourceFile], script_checks: bool) -> Result<Self, Vec<Problem>> {
        let mut all = Self { files: files.len(), ..Self::default() };
        let mut problems = Vec::new();
        for SourceFile { path, text } in files {
            let is_toml = path.extension().is_some_and(|extension| extension == "toml");
            let parsed =
                if is_toml { native::parse(path, text) } else { consul::parse(path, text) };
            all.warnings.extend(parsed.warnings);
            problems.extend(parsed.problems);
            all.definitions.extend(parsed.definitions);
        }
        problems.extend(all.definitions.iter().flat_map(|one| broken_rules(one, script_checks)));
        problems.extend(duplicates(&all.definitions));
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }
}

/// The rules that a definition breaks: of the instance itself, and of each check the first.
fn broken_rules(definition: &Definition, script_checks: bool) -> Vec<Problem> {
    let Definition { file, line, registration } = definition;
    let mut messages = Vec::new();
    for (is_given, key) in
        [(registration.ack.is_some(), "ack"), (registration.datacenter.is_some(), "datacenter")]
    {
        if is_given {
            messages.push(format!("`{key}` is for `hobnob register`, not for a file"));
        }
    }
    // Each check is looked at by itself, so that the fault of one hides none of another.
    let with = |checks: Vec<Check>| Registration { checks, ..registration.clone() };
    let one_by_one = registration.checks.iter().map(|check| with(vec![check.clone()]));
    let all = std::iter::once(with(Vec::new())).chain(one_by_one);
    for registration in all.chain([registration.clone()]) {
        if let Err(error) = registrations::check(&registration, script_checks)
            && !messages.contains(&error.message)
        {
            messages.push(error.message);
        }
    }
    messages.into_iter().map(|message| Problem::of(file, *line, message)).collect()
}

/// A problem for each id that is defined again.
fn duplicates(definitions: &[Definition]) -> Vec<Problem> {
    let mut first = BTreeMap::<&str, &Definition>::new();
    let mut problems = Vec::new();
    for definition in definitions {
        let id = definition.registration.instance_id();
        match first.get(id) {
            Some(other) => problems.push(Problem::of(
                &definition.file,
                definition.line,
                format!(
                    "the instance `{id}` is defined at {}, too: give one of them another `id`",
                    other.place()
                ),
            )),
            None => drop(first.insert(id, definition)),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(files: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
        let files: Vec<_> = files
            .iter()
            .map(|(path, text)| SourceFile { path: path.into(), text: (*text).to_owned() })
            .collect();
        let ids = |all: Definitions| {
            all.definitions.iter().map(|one| one.registration.instance_id().to_owned()).collect()
        };
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect();
        Definitions::parse(&files, false).map(ids).map_err(told)
    }

    #[test]
    fn both_forms_are_read() {
        let toml = "service = \"web\"\nport = 80\n";
        let json = r#"{"service": {"name": "db", "port": 5432}}"#;
        let ids = parse(&[("web.toml", toml), ("db.json", json)]);
        assert_eq!(ids, Ok(vec!["web".to_owned(), "db".to_owned()]));
    }

    #[test]
    fn an_id_that_two_files_define_names_both() {
        let toml = "service = \"web\"\nport = 80\n";
        let told = parse(&[("a.toml", toml), ("b.toml", toml)]).expect_err("a problem");
        assert_eq!(
            told,
            [
                "b.toml:1: the instance `web` is defined at a.toml:1, too: give one of them another `id`"
            ]
        );
    }

    #[test]
    fn the_problems_of_all_files_are_told() {
        let told = parse(&[
            ("a.toml", "service = \"web\"\nport = 80\nweight = 0\n"),
            ("b.toml", "service = \"db\"\nport = 1\naddress = \"0.0.0.0\"\n"),
            ("c.toml", "service = \"mq\"\nport = 1\ndatacenter = \"eu\"\n"),
            ("d.json", "{"),
        ]);
        let told = told.expect_err("problems");
        assert_eq!(told.len(), 4, "{told:?}");
        for (says, told) in
            ["d.json:1: ", "a.toml:1: ", "b.toml:1: ", "c.toml:1: `datacenter`"].iter().zip(&told)
        {
            assert!(told.starts_with(says), "{told}");
        }
    }

    #[test]
    fn the_problems_of_one_service_are_told_together() {
        let text = "service = \"web\"\nport = 80\nweight = 0\ndatacenter = \"eu\"\n\
                    [[checks]]\nname = \"a\"\nprobe.tcp.address = \"h\"\n\
                    [[checks]]\nname = \"b\"\nprobe.http.url = \"ftp://h/\"\n";
        let told = parse(&[("a.toml", text)]).expect_err("problems");
        for says in ["weight", "`datacenter`", "ftp"] {
            assert!(told.iter().any(|told| told.contains(says)), "{says}: {told:?}");
        }
    }

    #[test]
    fn no_damage_of_a_file_is_more_than_a_problem() {
        let toml = "[[services]]\nservice = \"w\"\nport = 8_0\n[[services.checks]]\nprobe.tcp.address = \"h:1\"\ninterval = \"1m2s\"\n";
        let json = r#"{"services":[{"Name":"w","Port":1,"Weights":{"Passing":2},"Check":{"HTTP":"http://h/","Interval":"1.5s"}}]}"#;
        for (path, text) in [("w.toml", toml), ("w.json", json)] {
            assert_eq!(parse(&[(path, text)]), Ok(vec!["w".to_owned()]));
            for at in 0..text.len() {
                let (before, after) = text.split_at(at);
                for damaged in [
                    before.to_owned(),
                    before.to_owned() + &after[1..],
                    format!("{before}\"{after}"),
                ] {
                    let _ = parse(&[(path, &damaged)]);
                }
            }
        }
    }
}
