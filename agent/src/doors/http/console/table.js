// A table of any number of rows, of which only those in the window are in the document. It scrolls with the page.

import { badge, byWord, count, el, matcher, memberHref, say } from "./dom.js";

/** Rows beyond the edges of the window that are drawn, too. */
const MARGIN = 6;

let tables = 0;

/**
 * A grid whose rows open by Enter or by a click. `columns` have an `id` (the class of their cells, with `n1` to `n4` for those of
 * a narrow window), a `head`, `fill(cell, row)` and perhaps `order(row)`, by which a click on the head sorts. `keyOf(row)`
 * tells rows apart, `stampOf(row)` changes whenever a row looks different.
 */
class Table {
	constructor({ name, label, columns, keyOf, stampOf = row => row, onOpen, empty }) {
		Object.assign(this, { columns, keyOf, stampOf, onOpen, empty, given: [], rows: [], drawn: new Map(), made: 0 });
		Object.assign(this, { active: -1, activeKey: null, sort: null, id: `t${(tables += 1)}` });
		this.heads = columns.map(column => this.head(column));
		const head = el("div.head", { role: "rowgroup" }, el("div.row", { role: "row", "aria-rowindex": "1" }, this.heads));
		this.body = el("div.body", { role: "rowgroup" });
		this.body.addEventListener("click", event => this.click(event));
		const grid = { role: "grid", tabindex: "0", "aria-label": label, "aria-colcount": columns.length, "aria-readonly": "true" };
		const firstShown = () => Math.ceil(-this.body.getBoundingClientRect().top / this.height);
		const onfocus = () => this.active < 0 && this.rows.length && this.activate(firstShown(), false);
		this.grid = el("div", { class: `grid ${name}`, ...grid, onkeydown: event => this.key(event), onfocus }, head, this.body);
		this.none = el("p.none", { hidden: true });
		this.element = el("div", this.grid, this.none);
		this.closing = new AbortController();
		const { signal } = this.closing;
		addEventListener("scroll", () => this.later(), { passive: true, signal });
		const onResize = () => {
			this.measured = undefined;
			this.later();
		};
		addEventListener("resize", onResize, { signal });
	}

	close() {
		this.closing.abort();
		cancelAnimationFrame(this.frame);
	}

	/** Shows these rows, in this order unless a head was clicked. */
	set(rows) {
		this.given = rows;
		this.rows = this.sort ? sorted(rows, this.sort) : rows;
		if (this.activeKey != null) this.active = this.rows.findIndex(row => this.keyOf(row) === this.activeKey);
		this.grid.setAttribute("aria-rowcount", this.rows.length + 1);
		this.none.hidden = this.rows.length > 0;
		say(this.none, this.empty());
		this.draw();
	}

	head(column) {
		const { id, head: word, order } = column;
		const kind = { class: `cell c-${id}`, role: "columnheader", "aria-sort": order && "none" };
		const button = order && el("button", { type: "button", onclick: () => this.sortBy(column, head) }, word);
		const head = el("span", kind, button ?? word);
		return head;
	}

	/** Sorts upwards, then downwards, then as given. */
	sortBy(column, head) {
		const was = head.getAttribute("aria-sort");
		const now = { none: "ascending", ascending: "descending", descending: "none" }[was];
		this.heads.forEach(other => other.hasAttribute("aria-sort") && other.setAttribute("aria-sort", "none"));
		head.setAttribute("aria-sort", now);
		this.sort = now === "none" ? null : { order: column.order, sign: now === "ascending" ? 1 : -1 };
		this.set(this.given);
	}

	later() {
		this.frame ??= requestAnimationFrame(() => {
			this.frame = undefined;
			this.draw();
		});
	}

	/** The height of a row in pixels. It changes with the window alone. */
	get height() {
		const pixels = (element, property) => parseFloat(getComputedStyle(element).getPropertyValue(property));
		return (this.measured ??= pixels(this.grid, "--row") * pixels(document.documentElement, "font-size"));
	}

	/** Draws the rows that the window shows. Those that it showed before are moved, and filled again only where they changed. */
	draw() {
		const { keyOf } = this;
		// An empty table needs no layout before the first paint.
		const height = this.rows.length ? this.height : 1;
		this.body.style.height = `${this.rows.length * height}px`;
		const top = this.rows.length ? this.body.getBoundingClientRect().top : 0;
		const first = Math.max(0, Math.floor(-top / height) - MARGIN);
		const last = Math.min(this.rows.length, Math.ceil((innerHeight - top) / height) + MARGIN);
		const keys = new Set(this.rows.slice(first, Math.max(first, last)).map(keyOf));
		const spare = [...this.drawn].filter(([key]) => !keys.has(key));
		let next = null;
		for (let index = last - 1; index >= first; index -= 1) {
			const key = keyOf(this.rows[index]);
			const row = this.drawn.get(key) ?? this.reuse(spare, key);
			// Those who have the page read to them hear the rows in the order of the document.
			if (row.parentNode !== this.body || row.nextSibling !== next) this.body.insertBefore(row, next);
			this.fill(row, index);
			next = row;
		}
		spare.forEach(([key, row]) => {
			this.drawn.delete(key);
			row.remove();
		});
		this.mark();
	}

	/** A row for a key, made of one that is not shown any more if there is one. */
	reuse(spare, key) {
		const [before, row] = spare.pop() ?? [null, this.newRow()];
		this.drawn.delete(before);
		this.drawn.set(key, row);
		return row;
	}

	newRow() {
		const cells = this.columns.map(column => el("span", { class: `cell c-${column.id}`, role: "gridcell" }));
		return el("div.row", { role: "row", id: `${this.id}-${(this.made += 1)}` }, cells);
	}

	fill(row, index) {
		const data = this.rows[index];
		const top = index * this.height;
		if (row.top !== top) {
			Object.assign(row, { top, index });
			row.style.transform = `translateY(${top}px)`;
			row.setAttribute("aria-rowindex", index + 2);
		}
		const [key, stamp] = [this.keyOf(data), this.stampOf(data)];
		if (row.key === key && row.stamp === stamp) return;
		Object.assign(row, { key, stamp });
		this.columns.forEach((column, n) => column.fill(row.children[n], data));
	}

	mark() {
		const active = this.active < 0 ? null : this.drawn.get(this.activeKey);
		if (active !== this.marked) this.marked?.removeAttribute("aria-selected");
		this.marked = active;
		active?.setAttribute("aria-selected", "true");
		this.grid.setAttribute("aria-activedescendant", active?.id ?? "");
	}

	/** Makes a row the active one, the nearest where there is none at this index, and scrolls to it. */
	activate(index, scrolls = true) {
		this.active = Math.max(0, Math.min(index, this.rows.length - 1));
		this.activeKey = this.keyOf(this.rows[this.active]);
		if (scrolls) {
			const top = this.body.getBoundingClientRect().top + this.active * this.height;
			const above = top - 2.5 * this.height;
			const below = top + 2 * this.height - innerHeight;
			scrollBy(0, Math.min(0, above) || Math.max(0, below));
		}
		this.draw();
	}

	key(event) {
		if (event.target !== this.grid || event.ctrlKey || event.altKey || event.metaKey) return;
		const page = Math.max(1, Math.floor(innerHeight / this.height) - 4);
		const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
		if (event.key in steps && this.rows.length) {
			event.preventDefault();
			this.activate(this.active + steps[event.key]);
		} else if (event.key === "Enter" && this.rows[this.active]) {
			event.preventDefault();
			this.onOpen(this.rows[this.active]);
		}
	}

	click(event) {
		const row = event.target.closest(".row");
		if (!row || getSelection().type === "Range") return;
		this.activate(row.index, false);
		this.onOpen(this.rows[row.index]);
	}
}

/** The rows by what `order` tells of each, which it is asked once. */
function sorted(rows, { order, sign }) {
	return rows
		.map(row => [order(row) ?? "", row])
		.sort(([x], [y]) => sign * byWord(x, y))
		.map(([, row]) => row);
}

/** A column that shows a text, which the filter looks at: the field of its name, or what `text(row)` says. */
export const textColumn = (id, head, text = row => row[id.split(" ")[0]], order = text) => ({
	...timeColumn(id, head, text, order),
	text
});

/** A column that shows a time that goes on. The filter looks at none of these. */
export function timeColumn(id, head, text, order) {
	return { id, head, order, fill: (cell, row) => say(cell, text(row)) };
}

export function badgeColumn(id, head, standingOf, text, order = text) {
	return { id, head, text, order, fill: (cell, row) => cell.replaceChildren(badge(standingOf(row), text(row))) };
}

/** A column with the name of a row, which leads to its page. The keys of the table open it, so it is no stop of its own. */
export const nameColumn = (id, head, text, hrefOf, restOf = () => "") => ({
	id,
	head,
	text,
	order: text,
	fill: (cell, row) => {
		const rest = restOf(row);
		const link = el("a", { href: hrefOf(row), tabindex: "-1" }, text(row));
		cell.replaceChildren(link, rest && el("span.faint", ` ${rest}`));
	}
});

const nameOf = ({ name }) => name;
const hrefOf = ({ node_id: id }) => memberHref(id);

export const memberColumn = restOf => nameColumn("id n1", "Member", nameOf, hrefOf, restOf);

/** What tables of members have in common. The order is by `rankOf(member)`, then by name. */
export const ofMembers = rankOf => ({
	worst: (a, b) => rankOf(a) - rankOf(b) || byWord(a.name, b.name),
	keyOf: one => one.node_id,
	href: hrefOf,
	empty: () => "No member is known."
});

/**
 * A table with a heading that counts its rows, and a field that leaves those with some words: of what the columns show, and of
 * what `also(row)` adds. `worst(a, b)` is the order unless a head was clicked. The address keeps the filter.
 */
export class List {
	constructor(route, { title, also, worst, beside, ...table }) {
		Object.assign(this, { title, also, worst, columns: table.columns, filter: route.query.get("q") ?? "", all: [] });
		const empty = () => (this.filter && this.all.length ? "Nothing has these words." : table.empty());
		this.table = new Table({ label: title, onOpen: row => route.go(table.href(row)), ...table, empty });
		this.heading = el("h2");
		const field = el("input.filter", {
			type: "search",
			placeholder: "Filter",
			autocomplete: "off",
			"aria-keyshortcuts": "/",
			"aria-label": `Filter: ${title}`,
			value: this.filter,
			// The first key need not wait for the words of all rows.
			onfocus: () => this.all.forEach(row => this.words(row)),
			oninput: () => {
				this.filter = field.value;
				route.keep(this.filter);
				this.draw();
			}
		});
		this.element = el("section.list", el("div.list-head", this.heading, beside, field), this.table.element);
	}

	/** Shows these rows, as far as the filter leaves them. */
	set(all) {
		this.all = all.sort(this.worst);
		this.draw();
	}

	/** The words of a row. It keeps them until it is replaced. */
	words(row) {
		return (row.words ??= [...this.columns.map(({ text }) => text?.(row)), this.also?.(row)].flat().join("\n").toLowerCase());
	}

	draw() {
		const { all, filter } = this;
		const matches = matcher(filter);
		const shown = filter ? all.filter(row => matches(this.words(row))) : all;
		say(this.heading, `${this.title} (${shown.length === all.length ? "" : `${count(shown.length)} of `}${count(all.length)})`);
		this.table.set(shown);
	}

	close() {
		this.table.close();
	}
}
