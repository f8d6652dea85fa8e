// Elements, texts and times. Data reaches the page as text nodes and attributes only.

/**
 * An element: `el("a.back", { href }, "Close")`. Properties are attributes and `on...` listeners. `null`, `false` and empty
 * children are left out, and so are properties that are `null` or `false`.
 */
export function el(kind, ...children) {
	const [tag, ...classes] = kind.split(".");
	const made = document.createElement(tag);
	if (classes.length) made.className = classes.join(" ");
	const props = Object.getPrototypeOf(children[0] ?? 0) === Object.prototype ? children.shift() : {};
	for (const [name, value] of Object.entries(props)) {
		if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
		else if (value != null && value !== false) made.setAttribute(name, value === true ? "" : value);
	}
	made.append(...children.flat().filter(isShown));
	return made;
}

/** It takes the focus when its page is shown. */
export const heading = (...children) => el("h1", { tabindex: "-1" }, ...children);

const isShown = child => child != null && child !== false && child !== "";

/** Sets a text where it differs: nothing is laid out again for no reason. */
export function say(element, text) {
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

export const count = n => NUMBERS.format(n);

/** A number and its noun: `1 member`, `2 members`. */
export const many = (n, noun, nouns = `${noun}s`) => `${count(n)} ${n === 1 ? noun : nouns}`;

/** A duration in milliseconds, in two units at most. */
export function span(ms) {
	if (ms < 1_000) return `${(ms / 1_000).toFixed(1)} s`;
	const units = [
		[86_400_000, "d"],
		[3_600_000, "h"],
		[60_000, "min"],
		[1_000, "s"]
	];
	const at = units.findIndex(([size]) => ms >= size);
	const [size, unit] = units[at];
	const rest = units[at + 1] ? Math.floor((ms % size) / units[at + 1][0]) : 0;
	return `${Math.floor(ms / size)} ${unit}${rest > 0 ? ` ${rest} ${units[at + 1][1]}` : ""}`;
}

const isoOf = ms => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);

/** The time of day, by the clock of the browser: 14:03:07. The day stands before it when that is not today. */
export function clock(ms) {
	const [day, time] = isoOf(ms).split("T");
	return isoOf(Date.now()).startsWith(day) ? time : `${day} ${time}`;
}

/** The first of these names, and the number of the others. */
export function named(names, most = 5) {
	const shown = names.slice(0, most).map(printable).join(", ");
	return names.length > most ? `${shown} and ${count(names.length - most)} more` : shown;
}

/** A command in a box, with a button that copies it. */
export function copyable(text) {
	if (text == null) return null;
	const button = el("button", { type: "button", class: "copy", "aria-label": `Copy: ${text}` }, "Copy");
	button.addEventListener("click", async () => {
		try {
			await navigator.clipboard.writeText(text);
			button.textContent = "Copied";
		} catch {
			getSelection().selectAllChildren(button.previousSibling);
			button.textContent = "Press Ctrl+C";
		}
		setTimeout(() => (button.textContent = "Copy"), 2_000);
	});
	return el("span.command", el("code", text), button);
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

export const eventList = lines => el("ol.events", lines.map(eventLine));

function eventLine({ at, level, what, instance, member, datacenter, service, from, to, by, count: times, why }) {
	const change = to == null ? "" : ` ${from == null ? "" : `${printable(from)} → `}${printable(to)}`;
	const rest = ` by ${printable(by)}${times > 1 ? `, ${many(times, "time")}` : ""}`;
	return el(
		"li",
		el("time", clock(at)),
		" ",
		badge(level, printable(what)),
		` ${printable(instance ?? member ?? datacenter ?? service)}${change}`,
		el("span.faint", rest),
		why && el("p.note", printable(why))
	);
}

/** Whether a text has all words of a filter. A word with `-` before it must not be there. */
export function matcher(filter) {
	const words = filter
		.toLowerCase()
		.split(/\s+/)
		.filter(word => word && word !== "-");
	const wanted = words.filter(word => word[0] !== "-");
	const unwanted = words.filter(word => word[0] === "-").map(word => word.slice(1));
	return text => wanted.every(word => text.includes(word)) && !unwanted.some(word => text.includes(word));
}

export const placeOf = ({ datacenter, zone }) => printable([datacenter, zone].filter(Boolean).join("/"));

/** Tags and metadata of an instance as words. */
export const labelsOf = ({ tags, meta }) => [...tags, ...Object.entries(meta).map(([key, value]) => `${key}=${value}`)];

export function serviceHref({ namespace, service }) {
	return `#/service/${encodeURIComponent(namespace)}/${encodeURIComponent(service)}`;
}

export function instanceHref(one) {
	return `${serviceHref(one)}/${encodeURIComponent(one.node_id)}/${encodeURIComponent(one.id)}`;
}

export const memberHref = nodeId => `#/members/${encodeURIComponent(nodeId)}`;
