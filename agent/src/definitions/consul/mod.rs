//! Definitions in Consul's form: `{"service": {...}}` and `{"services": [...]}`, in `snake_case` and in `CamelCase`.
//!
//! They become values in the form of the API, so that the same code reads both. A key that Consul has and that would
//! change what happens here is an error; one that changes nothing is a warning.

mod check;
mod checks_of_services;
mod object;
mod service;
#[cfg(test)]
mod tests;

use std::path::Path;

use hobnob_api::{Check, Registration};
use serde_json::Value;

use super::shape;
use super::{Definition, Parsed};
use crate::config::{Problem, nearest};
use object::Object;

/// What was found in a file beside its services.
#[derive(Debug, Default)]
struct Notes {
    warnings: Vec<String>,
    problems: Vec<String>,
}

/// The instance that a service in Consul's form is, as `agent/service/register` takes it, and what of it has no effect.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn from_value(service: &Value) -> Result<(Registration, Vec<String>), Vec<String>> {
    let mut notes = Notes::default();
    let Some(mut object) = Object::of("service", service, &mut notes) else {
        return Err(notes.problems);
    };
    let made = service::to_api(&mut object, &mut notes);
    if !notes.problems.is_empty() {
        return Err(notes.problems);
    }
    match shape::registration(made) {
        Ok(registration) => Ok((registration, notes.warnings)),
        Err(faults) => Err(faults.into_iter().map(|fault| fault.within("service")).collect()),
    }
}

/// A check that stands alone, as `agent/check/register` takes it.
#[derive(Debug)]
pub(crate) struct LoneCheck {
    /// The id of the instance that it belongs to; `None` for a check of the whole host.
    pub(crate) instance: Option<String>,
    pub(crate) check: Check,
    /// What of it has no effect.
    pub(crate) warnings: Vec<String>,
}

impl LoneCheck {
    /// The check that a value in Consul's form is. Its name is its id.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn from_value(check: &Value) -> Result<Self, Vec<String>> {
        let mut notes = Notes::default();
        let Some(mut object) = Object::of("check", check, &mut notes) else {
            return Err(notes.problems);
        };
        let instance = object.text("service_id", &mut notes);
        let made = check::to_api(&mut object, &mut notes);
        if made.as_ref().is_some_and(|made| made["name"].is_null()) {
            notes.problems.push("check: `Name` is missing".to_owned());
        }
        let Some(made) = made.filter(|_| notes.problems.is_empty()) else {
            return Err(notes.problems);
        };
        match shape::check(made) {
            Ok(check) => Ok(Self { instance, check, warnings: notes.warnings }),
            Err(faults) => Err(faults.into_iter().map(|fault| fault.within("check")).collect()),
        }
    }
}

/// The id of a check, as this agent takes it: a name without spaces and commas.
pub(crate) fn plain_check_id(id: &str) -> String {
    check::plain_name(id)
}

/// Parses the text of a file.
pub(super) fn parse(file: &Path, text: &str) -> Parsed {
    let mut value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            let message = error.to_string();
            let message =
                message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
            let problems = vec![Problem::of(file, Some(error.line()), message)];
            return Parsed { problems, ..Parsed::default() };
        }
    };
    let mut notes = Notes::default();
    let mut definitions = Vec::new();
    checks_of_services::assign(&mut value);
    for (path, value) in services(&value, &mut notes) {
        let Some(mut object) = Object::of(&path, value, &mut notes) else { continue };
        let before = notes.problems.len();
        let made = service::to_api(&mut object, &mut notes);
        if notes.problems.len() > before {
            continue;
        }
        match shape::registration(made) {
            Ok(registration) => {
                let line = line_of_service(text, &registration.service, registration.id.as_deref());
                definitions.push(Definition::new(file, line, registration));
            }
            Err(faults) => {
                notes.problems.extend(faults.into_iter().map(|fault| fault.within(&path)));
            }
        }
    }
    let of = |messages: Vec<String>| {
        messages.into_iter().map(|message| Problem::of(file, None, message)).collect()
    };
    Parsed { definitions, warnings: of(notes.warnings), problems: of(notes.problems) }
}

/// The services of a file, each with the path that leads to it.
fn services<'a>(value: &'a Value, notes: &mut Notes) -> Vec<(String, &'a Value)> {
    let Some(fields) = value.as_object() else {
        notes.problems.push("the file is no object with `service` or `services`".to_owned());
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in fields {
        match &*key.to_ascii_lowercase() {
            "service" => found.push((key.clone(), value)),
            "services" => match value {
                Value::Array(items) => {
                    let items = items.iter().enumerate();
                    found.extend(items.map(|(place, item)| (format!("{key}[{place}]"), item)));
                }
                _ => notes.problems.push(format!("{key}: expected a list of services")),
            },
            "check" | "checks" => {
                notes.problems.push(format!(
                    "{key}: a check belongs to a service of the same file: move it into that, or name one there with `service_id`. \
                     A check of the whole host has no meaning here"
                ));
            }
            _ => {
                let meant = nearest(key, ["service", "services"]);
                let meant = meant.map(|meant| format!("; did you mean `{meant}`?"));
                notes.problems.push(format!(
                    "there is no key `{key}` beside `service` and `services`{}",
                    meant.unwrap_or_default()
                ));
            }
        }
    }
    if fields.is_empty() {
        notes.problems.push("the file has neither `service` nor `services`".to_owned());
    }
    found
}

/// The line that names the id of a service, else the service, if only one line does.
fn line_of_service(text: &str, service: &str, id: Option<&str>) -> Option<usize> {
    let quoted = format!("\"{}\"", id.unwrap_or(service));
    let mut lines = text.lines().enumerate().filter(|(_, line)| line.contains(&quoted));
    let (line, _) = lines.next()?;
    lines.next().is_none().then_some(line + 1)
}
