// The first page: is it well, what is wrong, the services with the worst first, and what changed last.

import {
	badge,
	copyable,
	count,
	el,
	eventList,
	facts,
	heading,
	many,
	placeOf,
	printable,
	redraw,
	say,
	serviceHref,
	span
} from "./dom.js";
import { freshness, verdict } from "./judge.js";
import { worseFirst } from "./standing.js";
import { List, badgeColumn, nameColumn, textColumn } from "./table.js";

/** Changes that are listed here. */
const LATEST = 8;

const WORDS = {
	bad: "nothing healthy",
	warn: "too few healthy",
	note: "enough healthy",
	ok: "all healthy",
	out: "out of service",
	new: "not checked yet"
};

/** A bar whose parts are the standings of the instances of a service. */
function fillBar(cell, service) {
	const piece = part => {
		const made = el("span", { "data-standing": part });
		made.style.flexGrow = service[part];
		return made;
	};
	const parts = ["ok", "warn", "new", "out", "lost", "bad"].filter(part => service[part] > 0);
	cell.replaceChildren(el("span.bar", { "aria-hidden": "true" }, parts.map(piece)));
}

const COLUMNS = [
	nameColumn(
		"name n1",
		"Service",
		one => one.service,
		serviceHref,
		one => (one.namespace === "default" ? "" : one.namespace)
	),
	textColumn(
		"health n4",
		"Healthy",
		one => `${count(one.healthy)}/${count(one.total)}`,
		one => one.healthy / one.total
	),
	{ id: "bar n3", head: "Instances", fill: fillBar },
	badgeColumn(
		"state n2",
		"State",
		one => one.level,
		one => WORDS[one.level]
	),
	textColumn("offered", "Offered", one => one.offered)
];

export class Overview {
	constructor(store, route) {
		Object.assign(this, { store, title: "Overview" });
		this.heading = heading();
		[this.wrongHead, this.problems] = [el("h2"), new ProblemList()];
		[this.fresh, this.wrong, this.latest, this.about] = [
			el("p.fresh"),
			el("section.wrong", { hidden: true }, this.wrongHead, this.problems.element),
			el("section.latest"),
			el("section.about")
		];
		const empty = () => (store.known.has("instances") ? "No service is registered." : "The catalog is on the way.");
		this.list = new List(route, {
			title: "Services",
			name: "services",
			also: one => one.namespace,
			worst: worseFirst,
			columns: COLUMNS,
			keyOf: one => one.key,
			stampOf: one => one.revision,
			href: serviceHref,
			empty
		});
		this.element = el(
			"div.overview",
			el("div.well", this.heading, this.fresh),
			el("div.side", this.wrong, this.latest, this.about),
			this.list.element
		);
	}

	close() {
		this.list.close();
	}

	update(topics, found) {
		const { store } = this;
		const { level, text } = verdict(store, found);
		redraw(this.heading, level + text, () => badge(level, text));
		if (topics.has("instances")) this.list.set([...store.services.values()]);
		if (topics.has("instances") || topics.has("history")) this.updateLatest();
		if (!store.agent) return;
		this.updateWrong(found);
		const alive = [...store.members.values()].filter(one => one.status === "alive").length;
		const [instances, services] = [many(store.instances.size, "instance"), many(store.services.size, "service")];
		say(this.fresh, `${freshness(store)} ${many(alive, "member")} alive, ${instances} of ${services}.`);
		this.updateAbout(store.agent.info);
	}

	updateWrong(found) {
		this.wrong.hidden = false;
		say(this.wrongHead, found.length ? `What is wrong (${count(found.length)})` : "Nothing is wrong");
		this.problems.set(found);
	}

	updateLatest() {
		const latest = this.store.events.recent().slice(0, LATEST);
		redraw(this.latest, latest.map(one => `${one.id}${one.count}${one.to}`).join(), () => [
			el("h2", "Last changes"),
			latest.length ? eventList(latest) : el("p.none", "Nothing in the last 15 minutes."),
			el("p", el("a", { href: "#/changes" }, "All changes of the last 15 minutes"))
		]);
	}

	updateAbout(info) {
		const sealed = info.sealed ? `generation ${info.sealed.generation ?? "none yet"}` : "no";
		redraw(this.about, [info.name, Math.floor(info.uptime_ms / 60_000), info.epoch, sealed].join(), () => [
			el("h2", "This agent"),
			facts({
				Member: printable(info.name),
				Zone: placeOf(info),
				"Gossip address": info.gossip_address,
				Version: printable(info.version),
				"Up for": span(info.uptime_ms),
				Sealed: sealed
			})
		]);
	}
}

/**
 * What is wrong, with the commands that help. The entry of a problem stays in the document while only its numbers change, so that
 * it can be pressed and selected meanwhile.
 */
class ProblemList {
	constructor() {
		this.entries = new Map();
		this.element = el("ul.problems");
	}

	set(found) {
		const before = [...this.entries.values()];
		this.entries = new Map(found.map(one => [keyOf(one), this.entries.get(keyOf(one)) ?? entryOf(one)]));
		found.forEach(one => this.entries.get(keyOf(one)).show(one));
		const now = [...this.entries.values()];
		if (now.length !== before.length || now.some((entry, n) => entry !== before[n]))
			this.element.replaceChildren(...now.map(({ element }) => element));
	}
}

const keyOf = ({ level, title, href, command }) => [level, command ?? title, href].join(" ");

function entryOf({ level, href, command }) {
	const [head, note] = [href ? el("a", { href }) : el("span"), el("p.note")];
	return {
		element: el("li", { "data-level": level }, el("p.title", badge(level, ""), head), note, copyable(command)),
		show: ({ title, detail }) => {
			say(head, title);
			say(note, printable(detail));
		}
	};
}
