// The first page: is it well, what is wrong, the services with the worst first, and what changed last.

import { badge, copyable, count, el, eventList, facts, heading, many, placeOf, redraw, say, serviceHref, span } from "./dom.js";
import { freshness, verdict } from "./judge.js";
import { worseFirst } from "./standing.js";
import { List, badgeColumn, nameColumn, textColumn } from "./table.js";

const MAX_LATEST = 8;

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

const beyondDefault = ({ namespace }) => (namespace === "default" ? "" : namespace);
const healthyOf = one => `${count(one.healthy)}/${count(one.total)}`;
const share = one => one.healthy / one.total;
const levelOf = one => one.level;

const COLUMNS = [
	nameColumn("name n1", "Service", one => one.service, serviceHref, beyondDefault),
	textColumn("health n4", "Healthy", healthyOf, share),
	{ id: "bar n3", head: "Instances", fill: fillBar },
	badgeColumn("state n2", "State", levelOf, one => WORDS[one.level]),
	textColumn("offered", "Offered")
];

export class Overview {
	constructor(store, route) {
		Object.assign(this, { store, title: "Overview" });
		this.heading = heading();
		[this.wrongHead, this.problems] = [el("h2"), new ProblemList()];
		this.wrong = el("section.wrong", { hidden: true }, this.wrongHead, this.problems.element);
		[this.fresh, this.latest, this.about] = [el("p.fresh"), el("section.latest"), el("section.about")];
		this.list = new List(route, {
			title: "Services",
			name: "services",
			also: one => one.namespace,
			worst: worseFirst,
			columns: COLUMNS,
			keyOf: one => one.key,
			stampOf: one => one.revision,
			href: serviceHref,
			empty: () => (store.known.has("instances") ? "No service is registered." : "The catalog is on the way.")
		});
		const side = el("div.side", this.wrong, this.latest, this.about);
		this.element = el("div.overview", el("div.well", this.heading, this.fresh), side, this.list.element);
	}

	update(topics, found) {
		const { store } = this;
		const { level, text } = verdict(store, found);
		redraw(this.heading, level + text, () => badge(level, text));
		if (topics.has("instances")) this.list.set([...store.services.values()]);
		if (topics.has("instances") || topics.has("history")) this.updateLatest();
		if (!store.agent) return;
		this.wrong.hidden = false;
		say(this.wrongHead, found.length ? `What is wrong (${count(found.length)})` : "Nothing is wrong");
		this.problems.set(found);
		const alive = [...store.members.values()].filter(one => one.status === "alive").length;
		const [instances, services] = [many(store.instances.size, "instance"), many(store.services.size, "service")];
		say(this.fresh, `${freshness(store)} ${many(alive, "member")} alive, ${instances} of ${services}.`);
		this.updateAbout(store.agent.info);
	}

	updateLatest() {
		const latest = this.store.events.recent().slice(0, MAX_LATEST);
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
				Member: info.name,
				"DC/zone": placeOf(info),
				"Gossip address": info.gossip_address,
				Version: info.version,
				"Up for": span(info.uptime_ms),
				Sealed: sealed
			})
		]);
	}
}

/** What is wrong. An entry stays in the document while only its numbers change, so that it can be pressed and selected. */
class ProblemList {
	constructor() {
		this.entries = new Map();
		this.element = el("ul.problems");
	}

	set(found) {
		this.entries = new Map(found.map(one => [keyOf(one), this.entries.get(keyOf(one)) ?? entryOf(one)]));
		found.forEach(one => this.entries.get(keyOf(one)).show(one));
		const now = [...this.entries.values()].map(({ element }) => element);
		const { children } = this.element;
		if (now.length !== children.length || now.some((entry, n) => entry !== children[n])) this.element.replaceChildren(...now);
	}
}

const keyOf = ({ level, title, href, command }) => [level, command ?? title, href].join(" ");

function entryOf({ level, href, command }) {
	const [head, note] = [href ? el("a", { href }) : el("span"), el("p.note")];
	return {
		element: el("li", { "data-level": level }, el("p.title", badge(level, ""), head), note, copyable(command)),
		show: ({ title, detail }) => {
			say(head, title);
			say(note, detail);
		}
	};
}
