//! The arguments of `hobnob template`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values;

const TEMPLATE_HELP: &str = "\
Examples:
  hobnob template nginx.conf.tmpl:/etc/nginx/conf.d/up.conf:'nginx -s reload'
  hobnob template hosts.tmpl:/etc/hosts haproxy.tmpl:/etc/haproxy/haproxy.cfg:'systemctl reload haproxy'
  hobnob template --once web.tmpl:/run/web.json
  hobnob template --dry-run nginx.conf.tmpl:/etc/nginx/conf.d/up.conf
  hobnob template --wait 1s:10s --command-timeout 2m web.tmpl:/run/web.conf:./restart

A template is text in the language of Jinja:
  {% for web in service(\"web\") %}
  server {{ web.endpoint }} weight={{ web.weight }};
  {% endfor %}
It asks by service(NAME, tag=, dc=, namespace=, selector=, healthy=, all=), services(), members(dc=), env(NAME) and fail(TEXT);
docs/TEMPLATES.md has all of them, with examples for nginx, HAProxy and /etc/hosts.
A colon in the path of a template or a destination is written as \\: and a backslash as \\\\.

The file is written when all that the template asks for is known, and again when that changes the text. It is replaced at once,
with the mode and the owner that it has. The command then runs by `sh -c`; a command that fails is tried again. While no agent
answers, all files stay as they are. SIGHUP reads the templates again.
Exits with 1 when --once cannot render, write or run something, and with 3 when nothing can be offered of a service that a
template asks for; the file is written all the same.";

/// `hobnob template`.
#[derive(Debug, Args)]
#[command(after_help = TEMPLATE_HELP)]
pub(crate) struct TemplateArgs {
    /// A template, the file to write, and a command to run when the file has changed; may be repeated
    #[arg(required = true, value_name = "TEMPLATE:DESTINATION[:COMMAND]", value_parser = spec)]
    pub(crate) templates: Vec<TemplateSpec>,

    /// Write the files, run the commands, and end
    #[arg(long)]
    pub(crate) once: bool,

    /// Print what would be written, and end: nothing is written, and no command runs
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// The time without a change after which a file is written, and the longest wait for such a time
    #[arg(long, value_name = "QUIET[:LONGEST]", default_value = "250ms:2s", value_parser = wait)]
    pub(crate) wait: Wait,

    /// The time after which a command is ended
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = values::duration)]
    pub(crate) command_timeout: Duration,

    /// Print each file that is written, and each command that ran, as a JSON object on a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// A template, where its text goes, and what runs then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateSpec {
    /// The file with the template.
    pub(crate) template: PathBuf,
    /// The file that is written.
    pub(crate) destination: PathBuf,
    /// The command for `sh -c`.
    pub(crate) command: Option<String>,
}

/// The wait of a template for the end of a burst of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The time without a change that ends a burst.
    pub(crate) quiet: Duration,
    /// The longest time from the first change of a burst to the rendering.
    pub(crate) longest: Duration,
}

/// The longest time, in multiples of the quiet one, where none is given.
const LONGEST_BY_DEFAULT: u32 = 4;

/// Reads `TEMPLATE:DESTINATION[:COMMAND]`. In the paths `\:` is a colon and `\\` a backslash; the command is taken as it is.
fn spec(text: &str) -> Result<TemplateSpec, String> {
    let expected = "expected TEMPLATE:DESTINATION[:COMMAND], such as web.tmpl:/etc/web.conf:'systemctl reload web'";
    let (template, rest) = path(text);
    let (destination, command) = path(rest.ok_or(expected)?);
    if template.is_empty() || destination.is_empty() {
        return Err(expected.to_owned());
    }
    if template == destination {
        return Err(format!("the template would be replaced by its own text: {expected}"));
    }
    if command.is_some_and(|command| command.trim().is_empty()) {
        return Err(format!("the command is empty: {expected}"));
    }
    let command = command.map(str::to_owned);
    Ok(TemplateSpec { template: template.into(), destination: destination.into(), command })
}

/// The path up to the first colon that is not escaped, and what stands behind that.
fn path(text: &str) -> (String, Option<&str>) {
    let mut path = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match (c, chars.peek()) {
            (':', _) => return (path, Some(&text[at + 1..])),
            ('\\', Some((_, next @ (':' | '\\')))) => {
                path.push(*next);
                chars.next();
            }
            (c, _) => path.push(c),
        }
    }
    (path, None)
}

/// Reads `QUIET[:LONGEST]`.
fn wait(text: &str) -> Result<Wait, String> {
    let (quiet, longest) = match text.split_once(':') {
        Some((quiet, longest)) => (values::duration(quiet)?, values::duration(longest)?),
        None => {
            let quiet = values::duration(text)?;
            (quiet, quiet * LONGEST_BY_DEFAULT)
        }
    };
    if longest < quiet {
        return Err(
            "expected a longest wait that is not below the quiet time, such as 250ms:2s".to_owned()
        );
    }
    Ok(Wait { quiet, longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<(String, String, Option<String>), String> {
        let TemplateSpec { template, destination, command } = spec(text)?;
        Ok((template.display().to_string(), destination.display().to_string(), command))
    }

    #[test]
    fn a_command_may_have_colons_and_a_path_escapes_them() {
        for (text, template, destination, command) in [
            ("a:b", "a", "b", None),
            ("a:b:nginx -s reload", "a", "b", Some("nginx -s reload")),
            (r"a:b:curl http://h:80/ \: x", "a", "b", Some(r"curl http://h:80/ \: x")),
            (r"a\:1:/b\:2\\:c", "a:1", r"/b:2\", Some("c")),
            (r"a\b:c\", r"a\b", r"c\", None),
        ] {
            let expected =
                (template.to_owned(), destination.to_owned(), command.map(str::to_owned));
            assert_eq!(parts(text), Ok(expected), "{text}");
        }
        for (wrong, says) in [
            ("", "such as web.tmpl"),
            ("a", "such as web.tmpl"),
            (r"a\:b", "such as web.tmpl"),
            (":b", "such as web.tmpl"),
            ("a::c", "such as web.tmpl"),
            ("a:b:", "the command is empty"),
            ("a:b: ", "the command is empty"),
            ("a:a:c", "replaced by its own text"),
        ] {
            let refused = spec(wrong).unwrap_err();
            assert!(refused.contains(says), "{wrong}: {refused}");
        }
    }

    #[test]
    fn a_wait_has_an_end() {
        let ms = Duration::from_millis;
        assert_eq!(wait("250ms:2s"), Ok(Wait { quiet: ms(250), longest: ms(2_000) }));
        assert_eq!(wait("1s"), Ok(Wait { quiet: ms(1_000), longest: ms(4_000) }));
        for wrong in ["", "2s:1s", "1", "1s:", ":1s", "0s:1s"] {
            assert!(wait(wrong).is_err(), "{wrong}");
        }
    }
}
