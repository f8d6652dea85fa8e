// The document: the address says which page is shown, and the stream keeps it up to date.

import { clock, printable, say, span } from "./dom.js";
import { Changes } from "./changes.js";
import { Instances } from "./instances.js";
import { problems } from "./judge.js";
import { Keys } from "./keys.js";
import { Members } from "./members.js";
import { Overview } from "./overview.js";
import { Store, TOPICS } from "./store.js";
import { Stream } from "./stream.js";

const PAGES = { overview: Overview, instances: Instances, service: Instances, members: Members, changes: Changes, keys: Keys };

const byId = id => document.getElementById(id);
const [main, link, leave, said, stale, form, refused] = ["main", "link", "leave", "said", "stale", "key", "refused"].map(byId);
const store = new Store();

/** The address follows the filter by so much: a browser limits how often it changes. */
const KEEP_MS = 200;

/** A failure stands in the button for so long. */
const SAID_MS = 5_000;

let page;
let keeping;
let state = { live: false, since: null };
const dirty = new Set();

/** The address as a page with its parts and its filter: `#/service/default/web?q=unhealthy`. */
function route() {
	const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
	const [name, ...parts] = path.split("/").filter(Boolean).map(decoded);
	return {
		page: Object.hasOwn(PAGES, name) ? name : "overview",
		parts,
		query: new URLSearchParams(query),
		go: address => (location.hash = address),
		keep: filter => {
			clearTimeout(keeping);
			keeping = setTimeout(keep, KEEP_MS, filter);
		}
	};
}

/** Keeps the filter in the address, without an entry in the history of the browser. */
function keep(filter) {
	const query = filter && `?q=${encodeURIComponent(filter)}`;
	history.replaceState(null, "", `${location.hash.split("?")[0] || "#/"}${query}`);
}

function decoded(text) {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}

function show() {
	clearTimeout(keeping);
	const to = route();
	const isFirst = !page;
	if (page?.follow?.(to)) {
		// A narrow window shows the detail above the list.
		if (to.parts.length > 0 && matchMedia("(max-width: 60rem)").matches) page.element.querySelector(".aside")?.scrollIntoView();
	} else {
		page?.list.close();
		page?.close?.();
		page = new PAGES[to.page](store, to);
		main.replaceChildren(page.element);
		if (!isFirst) {
			scrollTo(0, 0);
			page.heading.focus({ preventScroll: true });
		}
		page.update(TOPICS, problems(store));
	}
	document.title = printable(`${page.title} - Hobnob`);
	const marked = to.page === "service" ? "overview" : to.page;
	const anchors = document.querySelectorAll("nav [data-page]");
	anchors.forEach(anchor => (anchor.ariaCurrent = anchor.dataset.page === marked ? "page" : null));
}

function draw() {
	const topics = new Set(dirty);
	dirty.clear();
	const found = problems(store);
	page.update(topics, found);
	if (!store.agent) return;
	const { info } = store.agent;
	say(byId("agent"), `${info.name}, ${info.datacenter}, ${info.cluster}`);
	// Read out when another problem is the worst, and not with each number.
	if (store.known.has("instances")) say(said, found[0]?.title ?? "All is well");
}

/** Says whether the page is live, and else since when it is not. */
function drawState() {
	say(link, state.live ? "live" : state.needsKey ? "signed out" : state.since ? "stale" : "connecting");
	link.dataset.state = state.live ? "live" : "stale";
	document.body.classList.toggle("is-stale", !state.live && store.agent !== null);
	stale.hidden = state.live || !state.why || (state.needsKey && !state.since);
	form.hidden = !state.needsKey;
	main.hidden = state.needsKey && !store.agent;
	// In clear the agent asks for no key, so there is none to give back.
	leave.hidden = !state.live || location.protocol !== "https:";
	if (stale.hidden) return;
	const since = state.since ? `Stale since ${clock(state.since)}` : "No answer from the agent";
	say(byId("why"), `${since}: ${state.why}.`);
	const left = Math.ceil((state.againAt - Date.now()) / 1_000);
	const again = left > 0 ? `Connecting again in ${left} s.` : "Connecting again.";
	say(byId("next"), `${state.since ? `That is ${span(Date.now() - state.since)} ago. ` : ""}${state.needsKey ? "" : again}`);
}

const stream = new Stream(
	(name, data) => {
		const topic = store.take(name, data);
		if (!topic) return;
		if (dirty.size === 0) requestAnimationFrame(draw);
		dirty.add(topic);
	},
	now => {
		const wasLive = state.live;
		if (now.live) state = { live: true, heardAt: Date.now() };
		else {
			store.disconnected();
			state = { ...now, since: state.since ?? state.heardAt ?? null };
			say(refused, state.since ? "The agent takes the key no more." : "This agent answers those who have an access key.");
		}
		if (!wasLive || !now.live) drawState();
	}
);

setInterval(() => state.live || drawState(), 1_000);
addEventListener("hashchange", show);
addEventListener("keydown", event => {
	const field = main.querySelector("input.filter");
	if (!field || event.ctrlKey || event.metaKey || event.altKey) return;
	if (event.key === "/" && !event.target.matches("input, select")) field.select();
	else if (event.target === field && ["Escape", "ArrowDown"].includes(event.key)) {
		if (event.key === "Escape") {
			field.value = "";
			field.dispatchEvent(new Event("input"));
		}
		main.querySelector("[role=grid]").focus();
	} else return;
	event.preventDefault();
});

/** Begins or ends the session, which is a cookie that no script reads. Returns why that failed; nothing when it did not. */
async function session(method, headers) {
	try {
		const answer = await fetch("/ui/session", { method, headers });
		return answer.ok ? "" : (await answer.text()).trim() || `The agent answered ${answer.status}.`;
	} catch {
		return "The agent does not answer.";
	}
}

form.addEventListener("submit", async event => {
	event.preventDefault();
	const { key } = form.elements;
	const failure = await session("POST", { Authorization: `Bearer ${key.value.trim()}` });
	key.value = "";
	if (failure) say(refused, failure);
	else stream.wake();
});
leave.addEventListener("click", async () => {
	const failure = await session("DELETE");
	if (!failure) return location.reload();
	say(leave, `${failure} You are still signed in.`);
	setTimeout(say, SAID_MS, leave, "Sign out");
});
document.querySelector(".skip").addEventListener("click", event => {
	event.preventDefault();
	main.focus();
});
show();
