//! The console at `/ui`: a page that shows what this agent knows, and the stream of events that it follows. `docs/CONSOLE.md` describes
//! it.
//!
//! The page is a few files of plain JavaScript and CSS in the binary. It asks what every client may ask, and changes nothing.

mod links;
pub(super) mod session;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LINK, REFERRER_POLICY,
};
use axum::response::IntoResponse;
use axum::routing::{get, post};

use super::routes::Routes;

/// Nothing but files of this door is loaded, nothing in the page is run as a script but these, and no other page shows this one in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file of the page.
#[derive(Clone, Copy, Debug)]
struct PageFile {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

macro_rules! page_file {
    ($name:literal, $content_type:expr) => {
        PageFile {
            path: concat!("/ui/", $name),
            content_type: $content_type,
            text: include_str!($name),
        }
    };
}

const INDEX: PageFile = page_file!("index.html", "text/html; charset=utf-8");

const FILES: &[PageFile] = &[
    page_file!("console.css", "text/css; charset=utf-8"),
    page_file!("icon.svg", "image/svg+xml"),
    page_file!("changes.js", SCRIPT),
    page_file!("dom.js", SCRIPT),
    page_file!("events.js", SCRIPT),
    page_file!("instances.js", SCRIPT),
    page_file!("judge.js", SCRIPT),
    page_file!("keys.js", SCRIPT),
    page_file!("main.js", SCRIPT),
    page_file!("map.js", SCRIPT),
    page_file!("members.js", SCRIPT),
    page_file!("overview.js", SCRIPT),
    page_file!("standing.js", SCRIPT),
    page_file!("store.js", SCRIPT),
    page_file!("stream.js", SCRIPT),
    page_file!("table.js", SCRIPT),
];

/// The page and its files, which tell nothing of this agent, and the trade of a key for a cookie.
pub(super) fn page() -> Router<Arc<Routes>> {
    let page = || async { ([(LINK, preloads())], answer(INDEX)) };
    let files = FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(move || async move { answer(*file) }))
    });
    files
        .route("/ui", get(page))
        .route("/ui/", get(page))
        .route("/ui/session", post(session::begin).delete(session::end))
}

/// What needs a key wherever questions need one.
pub(super) fn questions() -> Router<Arc<Routes>> {
    Router::new().route("/ui/events", get(stream::events))
}

/// The scripts, which a browser then loads beside the page, before it knows which of them needs which.
fn preloads() -> String {
    let scripts = FILES.iter().filter(|file| file.content_type == SCRIPT);
    let links: Vec<String> =
        scripts.map(|file| format!("<{}>; rel=modulepreload", file.path)).collect();
    links.join(", ")
}

fn answer(PageFile { content_type, text, .. }: PageFile) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, content_type),
        // Another version of the agent has other files.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most bytes of the page and all of its files.
    const MAX_BYTES: usize = 100_000;

    fn all() -> impl Iterator<Item = &'static PageFile> {
        [&INDEX].into_iter().chain(FILES)
    }

    #[test]
    fn the_page_is_small() {
        let bytes: usize = all().map(|file| file.text.len()).sum();
        assert!(bytes < MAX_BYTES, "{bytes} bytes");
    }

    #[test]
    fn no_data_is_read_as_html_and_no_script_or_style_is_inline() {
        for PageFile { path, text, .. } in all() {
            let unsafe_words = [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
            ];
            for word in unsafe_words.into_iter().chain([
                "<style",
                " style=\"",
                "javascript:",
                "http://",
                "https://",
            ]) {
                // The name of a namespace in a picture is no address that is loaded.
                let text = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(word), "{word} in {path}");
            }
        }
        for script in INDEX.text.split("<script").skip(1) {
            let is_module = ["main.js\"></script>", "stream.js\" async></script>"]
                .iter()
                .any(|end| script.starts_with(&format!(" type=\"module\" src=\"/ui/{end}")));
            assert!(is_module, "<script{script}");
        }
    }

    #[test]
    fn every_file_that_is_named_is_there_and_every_file_is_named() {
        let scripts = FILES.iter().filter(|file| file.content_type == SCRIPT);
        for file in scripts {
            let imports = file.text.split("from \"./").skip(1);
            for name in imports.filter_map(|rest| rest.split('"').next()) {
                let path = format!("/ui/{name}");
                assert!(FILES.iter().any(|file| file.path == path), "{path}, in {}", file.path);
            }
        }
        for PageFile { path, .. } in FILES {
            let name = path.trim_start_matches("/ui/");
            let (loaded, imported) = (format!("\"{path}\""), format!("from \"./{name}\""));
            let is_named =
                all().any(|file| file.text.contains(&loaded) || file.text.contains(&imported));
            assert!(is_named, "nothing loads {path}");
        }
    }
}
