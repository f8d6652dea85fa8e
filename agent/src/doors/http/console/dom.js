// Elements, texts and times. Data reaches the page as text nodes and attributes only, and always printable.

/**
 * An element: `el("a.back", { href }, "Close")`. Properties are attributes and `on...` listeners. What is `null` or
 * `false` is left out, and so are empty children.
 */
export function el(kind, ...children) {
	const [tag, ...classes] = kind.split(".");
	const made = document.createElement(tag);
	if (classes.length) made.className = classes.join(" ");
	const props = Object.getPrototypeOf(children[0] ?? 0) === Object.prototype ? children.shift() : {};
	for (const [name, value] of Object.entries(props)) {
		if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
		else if (value != null && value !== false) made.setAttribute(name, value === true ? "" : printable(value));
	}
	for (const child of children.flat().filter(isShown)) made.append(child.nodeType ? child : printable(child));
	return made;
}

/** It takes the focus when its page is shown. */
export const heading = text => el("h1", { tabindex: "-1" }, text);

const isShown = child => child != null && child !== false && child !== "";

/** Sets a text where it differs, so that nothing is laid out for no reason. */
export function say(element, words) {
	const text = printable(words);
	if (element.textContent !== text) element.textContent = text;
}

/** Replaces the children of an element when `key` differs from that of the last time. */
export function redraw(element, key, draw) {
	if (element.drawnFor === key) return;
	element.drawnFor = key;
	element.replaceChildren(...[draw()].flat().filter(isShown));
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A text of another host, with control and direction characters escaped. */
export function printable(text) {
	return String(text ?? "").replace(UNPRINTABLE, c => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A word for a shell. `null` for one that cannot be pasted safely. */
export function quoted(word) {
	if (word.search(UNPRINTABLE) >= 0) return null;
	return /^[\w@+:./-][\w@%+=:./-]*$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command with words of others. `null` if one of them cannot be pasted safely. */
export function command(verb, ...words) {
	const safe = words.map(quoted);
	if (safe.includes(null)) return null;
	const ends = words.some(word => word.startsWith("-")) ? ["--"] : [];
	return ["hobnob", verb, ...ends, ...safe].join(" ");
}

const NUMBERS = new Intl.NumberFormat("en");

export const byWord = (a, b) => (a < b ? -1 : Number(a > b));

export const count = n => NUMBERS.format(n);

/** A number and its noun: `1 member`, `2 members`. */
export const many = (n, noun, nouns = `${noun}s`) => `${count(n)} ${n === 1 ? noun : nouns}`;

/** A duration in milliseconds, in two units at most. */
export function span(ms) {
	if (ms < 1_000) return `${(ms / 1_000).toFixed(1)} s`;
	const s = Math.floor(ms / 1_000);
	const parts = Object.entries({ d: s / 86_400, h: (s / 3_600) % 24, min: (s / 60) % 60, s: s % 60 });
	const words = parts.map(([unit, n]) => (n < 1 ? "" : `${Math.floor(n)} ${unit}`));
	const first = words.findIndex(Boolean);
	return words
		.slice(first, first + 2)
		.join(" ")
		.trim();
}

const isoOf = ms => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

/** The time of day, by the clock of the browser: 14:03:07. The day stands before it when that is not today. */
export function clock(ms) {
	const [day, time] = isoOf(ms).split("T");
	return isoOf(Date.now()).startsWith(day) ? time : `${day} ${time}`;
}

/** The first of these names, and the number of the others. */
export function named(names, most = 5) {
	const shown = names.slice(0, most).join(", ");
	return names.length > most ? `${shown} and ${count(names.length - most)} more` : shown;
}

/** A command in a box, with a button that copies it. */
export function copyable(text) {
	if (!text) return null;
	const code = el("code", text);
	const copy = async ({ target }) => {
		try {
			await navigator.clipboard.writeText(text);
			say(target, "Copied");
		} catch {
			getSelection().selectAllChildren(code);
			say(target, "Press Ctrl+C");
		}
		setTimeout(say, 2_000, target, "Copy");
	};
	return el("span.command", code, el("button.copy", { type: "button", "aria-label": `Copy: ${text}`, onclick: copy }, "Copy"));
}

/** The sign of a standing stands beside its colour, for those who see none. */
const SIGNS = { ok: "●", warn: "▲", bad: "✕", lost: "?", new: "…", out: "‖", note: "△", gone: "○" };

export function badge(standing, text) {
	return el("span.badge", { "data-standing": standing }, el("span", { "aria-hidden": "true" }, SIGNS[standing]), ` ${text}`);
}

/** Terms with what is known of each. */
export function facts(all) {
	const known = Object.entries(all).filter(([, value]) => isShown(value) && value !== 0);
	return el(
		"dl.facts",
		known.map(([term, value]) => el("div", el("dt", term), el("dd", value)))
	);
}

/** One of the rows of a list in full, beside it. */
export function detail(kind, title, listHref, ...children) {
	const head = el("div.list-head", title, el("a", { href: listHref }, "Close"));
	return el("section.detail", { "aria-label": kind }, head, children);
}

export const eventList = lines => el("ol.events", lines.map(eventLine));

function eventLine({ at, level, what, instance, member, datacenter, service, from, to, by, count: times, why }) {
	const change = to == null ? "" : ` ${from == null ? "" : `${from} → `}${to}`;
	const rest = ` by ${by}${times > 1 ? `, ${many(times, "time")}` : ""}`;
	const subject = ` ${instance ?? member ?? datacenter ?? service ?? ""}`;
	const [time, reason] = [el("time", clock(at)), why && el("p.note", why)];
	return el("li", time, " ", badge(level, what), subject + change, el("span.faint", rest), reason);
}

/** Whether a text has all words of a filter. A word with `-` before it must not be there. */
export function matcher(filter) {
	const words = filter
		.toLowerCase()
		.split(/\s+/)
		.filter(word => word && word !== "-");
	return text => words.every(word => (word[0] === "-" ? !text.includes(word.slice(1)) : text.includes(word)));
}

export const placeOf = ({ datacenter, zone }) => [datacenter, zone].filter(Boolean).join("/");

export const labelsOf = ({ tags, meta }) => [...tags, ...Object.entries(meta).map(pair => pair.join("="))].join(" ");

const href = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export const serviceHref = ({ namespace, service }) => href("service", namespace, service);
export const instanceHref = ({ namespace, service, node_id: node, id }) => href("service", namespace, service, node, id);
export const memberHref = nodeId => href("members", nodeId);
