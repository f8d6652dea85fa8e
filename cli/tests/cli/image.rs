//! The container file, and the examples that run its image. No container tool is needed: each path, user, package and name in
//! them is looked up in the repository and in the binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{hobnob, stderr, stdout};

/// The user of the images `distroless/*:nonroot`.
const NONROOT: &str = "65532";

/// The path of a file in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The container file: its comments, and its instructions with their arguments.
struct Image {
    comments: String,
    instructions: Vec<(String, String)>,
}

impl Image {
    fn read() -> Self {
        let text = text("cli/packaging/Containerfile");
        let (comments, code): (Vec<_>, Vec<_>) =
            text.lines().partition(|line| line.starts_with('#'));
        let code = code.join("\n").replace("\\\n", " ");
        let instructions = code.lines().filter_map(|line| line.split_once(' '));
        let instructions =
            instructions.map(|(word, arguments)| (word.to_owned(), arguments.trim().to_owned()));
        Self { comments: comments.join("\n"), instructions: instructions.collect() }
    }

    fn all(&self, word: &str) -> Vec<&str> {
        let found = self.instructions.iter().filter(|(own, _)| own == word);
        found.map(|(_, arguments)| arguments.as_str()).collect()
    }

    fn only(&self, word: &str) -> &str {
        let all = self.all(word);
        assert_eq!(all.len(), 1, "{word}: {all:?}");
        all[0]
    }

    /// The items of an instruction in the form of a JSON list.
    fn list(&self, word: &str) -> Vec<String> {
        serde_json::from_str(self.only(word)).unwrap()
    }

    fn variables(&self) -> BTreeMap<&str, &str> {
        let pairs = self.only("ENV").split_whitespace();
        pairs.map(|pair| pair.split_once('=').unwrap()).collect()
    }
}

#[test]
fn the_image_is_made_of_instructions_and_stages_that_there_are() {
    let image = Image::read();
    for (word, arguments) in &image.instructions {
        let known = ["FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "ENTRYPOINT", "CMD"];
        assert!(known.contains(&word.as_str()), "{word} {arguments}");
    }
    let bases = image.all("FROM");
    for base in &bases {
        let (_, tag) = base.split(' ').next().unwrap().rsplit_once(':').unwrap();
        assert_ne!(tag, "latest", "{base}");
    }
    let stages: Vec<&str> = bases.iter().filter_map(|base| base.split(" AS ").nth(1)).collect();
    for copy in image.all("COPY") {
        if let Some(from) = copy.split_whitespace().find_map(|word| word.strip_prefix("--from=")) {
            assert!(stages.contains(&from), "COPY {copy}");
        }
    }
    let manifest = text("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.unwrap().trim_matches('"');
    assert!(bases[0].contains(&format!("rust:{version}-")), "{} is not Rust {version}", bases[0]);
}

#[test]
fn the_image_holds_the_binary_that_its_build_makes() {
    let image = Image::read();
    let build = image.only("RUN");
    assert!(build.contains("cargo build --release --locked -p hobnob "), "{build}");
    assert!(text("cli/Cargo.toml").starts_with("[package]\nname = \"hobnob\"\n"));
    assert!(repository("Cargo.lock").exists(), "--locked needs it");
    let entry = image.list("ENTRYPOINT");
    let [workdir, binary] = [image.only("WORKDIR"), entry[0].as_str()];
    let made = format!("{workdir}/target/release/hobnob {binary}");
    assert!(image.all("COPY").iter().any(|copy| copy.ends_with(&made)), "no COPY of {made}");
    // What the context leaves out is not needed for the build.
    for left_out in text("cli/packaging/Containerfile.dockerignore").lines() {
        assert!(["target", "**/target", ".git"].contains(&left_out), "{left_out}");
    }
}

#[test]
fn the_image_starts_an_agent_whose_folders_belong_to_its_user() {
    let image = Image::read();
    let command = image.list("CMD");
    let help = hobnob(&[&command[0], "--help"]).output().unwrap();
    assert!(help.status.success(), "{}", stderr(&help));
    let help = stdout(&help);
    let variables = image.variables();
    for variable in variables.keys() {
        assert!(help.contains(&format!("[env: {variable}")), "the agent does not read {variable}");
    }
    let data_dir = variables["HOBNOB_DATA_DIR"];
    assert_eq!(image.list("VOLUME"), [data_dir]);
    let socket = Path::new(variables["HOBNOB_SOCKET"]);
    let folders = [Path::new(data_dir), socket.parent().unwrap()];
    let root = "/root-of-image";
    for folder in folders {
        let made = format!("{root}{}", folder.display());
        let is_made = image.only("RUN").split_whitespace().any(|word| word == made);
        assert!(is_made, "no mkdir of {made}");
        assert!(image.comments.contains(&format!(":{}", folder.display())), "{}", folder.display());
    }
    assert!(image.all("FROM")[1].ends_with(":nonroot"));
    let copied = format!("--chown=nonroot:nonroot {root} /");
    assert!(image.all("COPY").iter().any(|copy| copy.ends_with(&copied)), "no COPY {copied}");
    let owner = format!("-o {NONROOT} -g {NONROOT} {}", folders[1].display());
    assert!(image.comments.contains(&owner), "{}", image.comments);
    let words = image.comments.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    for variable in words.filter(|word| word.starts_with("HOBNOB_")) {
        assert!(help.contains(&format!("[env: {variable}")), "{variable} of the comment");
    }
}

/// The words of a text that begin so and have such characters only.
fn words<'t>(text: &'t str, begin: &str, is_part: impl Fn(char) -> bool) -> Vec<&'t str> {
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with(begin)).collect()
}

#[test]
fn the_examples_that_run_the_image_name_variables_and_paths_that_it_has() {
    let image = Image::read();
    let help = stdout(&hobnob(&["agent", "--help"]).output().unwrap());
    let variables = image.variables();
    let run = Path::new(variables["HOBNOB_SOCKET"]).parent().unwrap();
    let folders = [variables["HOBNOB_DATA_DIR"], run.to_str().unwrap()];
    let binary = &image.list("ENTRYPOINT")[0];
    for example in ["docs/examples/compose.yaml", "docs/examples/kubernetes.yaml"] {
        let text = text(example);
        let named = words(&text, "HOBNOB_", |c| c.is_ascii_uppercase() || c == '_');
        assert!(named.contains(&"HOBNOB_BIND"), "{example}: {named:?}");
        for variable in named {
            let is_option = help.contains(&format!("[env: {variable}]"));
            // The token has no option, since the arguments of a process are no secret.
            assert!(is_option || variable == "HOBNOB_TOKEN", "{example}: {variable}");
        }
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        for folder in folders {
            assert!(words(&text, folder, is_path).contains(&folder), "{example}: {folder}");
        }
        for path in words(&text, "/usr/", is_path) {
            assert_eq!(path, binary, "{example}");
        }
    }
    assert!(text("docs/examples/kubernetes.yaml").contains(&format!("runAsUser: {NONROOT}\n")));
}

#[test]
fn the_service_definitions_of_the_examples_are_valid() {
    let text = text("docs/examples/kubernetes.yaml");
    let (_, definition) = text.split_once("  web.toml: |\n").unwrap();
    let (definition, _) = definition.split_once("\n---\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.toml"), definition.replace("\n    ", "\n")).unwrap();
    for folder in [folder.path(), &repository("docs/examples/services.d")] {
        let output = hobnob(&["validate", "--config-dir"]).arg(folder).output().unwrap();
        assert!(output.status.success(), "{}: {}", folder.display(), stderr(&output));
        assert!(stdout(&output).contains("(1 file, 1 instance)"), "{}", stdout(&output));
    }
}
