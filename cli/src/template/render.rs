//! Renders a template, and finds what it asks for by that.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use super::functions;
use super::topic::{Topic, View};

/// The result of a rendering.
#[derive(Debug)]
pub(super) struct Rendered {
    /// The text, or the error with the file and the line. It means something only when `is_complete`.
    pub(super) text: Result<String, String>,
    /// What the template asked for.
    pub(super) asked: BTreeSet<Topic>,
    /// Whether all of that was known.
    pub(super) is_complete: bool,
    /// The services of which nothing was found, and other things that people should know.
    pub(super) notes: Notes,
}

/// What people should know of a rendering.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The services of which nothing can be offered.
    pub(super) without_instances: BTreeSet<String>,
    /// The services of which what is offered is not known to be healthy.
    pub(super) not_healthy: BTreeSet<String>,
}

/// A rendering under way. What is asked for is looked up in a view, and noted.
#[derive(Debug)]
pub(super) struct Rendering {
    pub(super) view: View,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    asked: BTreeSet<Topic>,
    is_incomplete: bool,
    notes: Notes,
}

impl Rendering {
    /// Notes that the template asks for a topic.
    pub(super) fn asks(&self, topic: Topic) {
        self.found().asked.insert(topic);
    }

    /// Notes that something that was asked for is not known yet.
    pub(super) fn misses(&self) {
        self.found().is_incomplete = true;
    }

    /// Notes something for people.
    pub(super) fn note(&self, note: impl FnOnce(&mut Notes)) {
        note(&mut self.found().notes);
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The steps of one rendering: a loop over 100,000 instances with a dozen fields of each takes 5 million.
const MAX_STEPS: u64 = 50_000_000;

/// Renders a template with what is known. Of what is not known it shows nothing and goes on, so that one rendering finds as much
/// as possible of what the template asks for.
pub(super) fn render(template: &Path, source: &str, view: View) -> Rendered {
    let rendering = Arc::new(Rendering { view, found: Mutex::default() });
    let text = text(template, source, &rendering);
    let mut found = std::mem::take(&mut *rendering.found());
    if found.asked.contains(&Topic::Services) {
        // All services tell of each.
        found.asked.retain(|topic| !matches!(topic, Topic::Service(_)));
    }
    let Found { asked, is_incomplete, notes } = found;
    Rendered { text, asked, is_complete: !is_incomplete, notes }
}

/// Checks the syntax of a template.
///
/// # Errors
/// The first mistake, with the file and the line.
pub(super) fn check(template: &Path, source: &str) -> Result<(), String> {
    let name = template.display().to_string();
    let environment = environment();
    environment.template_from_named_str(&name, source).map(drop).map_err(|error| told(&error))
}

fn text(template: &Path, source: &str, rendering: &Arc<Rendering>) -> Result<String, String> {
    let name = template.display().to_string();
    let mut environment = environment();
    let of = rendering.clone();
    environment.add_function("service", move |name: &str, options: Kwargs| {
        functions::service(&of, name, &options)
    });
    let of = rendering.clone();
    environment.add_function("services", move || functions::services(&of));
    let of = rendering.clone();
    environment.add_function("members", move |options: Kwargs| functions::members(&of, &options));
    environment.add_function("env", |name: &str, options: Kwargs| functions::env(name, &options));
    environment.add_function("fail", |text: &str| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, text.to_owned()))
    });
    let template = environment.template_from_named_str(&name, source);
    template.and_then(|template| template.render(())).map_err(|error| told(&error))
}

/// Text as it is, not HTML; blocks leave no empty lines behind; a name that nothing has is an error.
fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(MAX_STEPS));
    // With it, an error says which name is undefined.
    environment.set_debug(true);
    environment
}

/// An error, with the file and the line before it.
fn told(error: &Error) -> String {
    let place = match (error.name(), error.line()) {
        (Some(name), Some(line)) => format!("{name}:{line}: "),
        (Some(name), None) => format!("{name}: "),
        _ => String::new(),
    };
    match (error.kind(), error.detail()) {
        // The text of `fail`, or of a function here.
        (ErrorKind::InvalidOperation, Some(detail)) => format!("{place}{detail}"),
        (ErrorKind::OutOfFuel, _) => {
            format!("{place}it takes more than {MAX_STEPS} steps: a loop in it is too long")
        }
        (kind, Some(detail)) => format!("{place}{kind}: {detail}"),
        (kind, None) => format!("{place}{kind}"),
    }
}
