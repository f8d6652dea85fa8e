// The first page: is it well, what is wrong, the services with the worst first, and what changed last.

import { badge, clock, copyable, count, el, facts, heading, many, printable, redraw, say, span, wordsOf } from "./dom.js";
import { freshness, problems, serviceHref, verdict } from "./judge.js";
import { subjectOf, worseFirst } from "./store.js";
import { List, badgeColumn, nameColumn, textColumn } from "./table.js";

/** Changes that are listed here. */
const LATEST = 8;

const WORDS = {
	bad: "nothing healthy",
	warn: "too few healthy",
	note: "enough healthy",
	ok: "all healthy",
	out: "out of service",
	new: "not checked yet",
};

/** A bar whose parts are the standings of the instances of a service. */
function fillBar(cell, service) {
	const piece = (part) => {
		const made = el("span", { "data-standing": part });
		made.style.flexGrow = service[part];
		return made;
	};
	const parts = ["ok", "warn", "new", "out", "lost", "bad"].filter((part) => service[part] > 0);
	cell.replaceChildren(el("span.bar", { "aria-hidden": "true" }, parts.map(piece)));
}

const COLUMNS = [
	nameColumn(
		"name",
		"Service",
		(one) => one.service,
		serviceHref,
		(one) => (one.namespace === "default" ? "" : one.namespace),
	),
	textColumn(
		"health",
		"Healthy",
		(one) => `${count(one.healthy)}/${count(one.total)}`,
		(one) => one.healthy / one.total,
	),
	{ id: "bar", head: "Instances", fill: fillBar },
	badgeColumn(
		"state",
		"State",
		(one) => one.level,
		(one) => WORDS[one.level],
	),
	textColumn("offered", "Offered", (one) => one.offered),
];

export class Overview {
	constructor(store, route) {
		Object.assign(this, { store, title: "Overview" });
		this.heading = heading();
		[this.fresh, this.wrong, this.latest, this.about] = [
			el("p.fresh"),
			el("section.wrong"),
			el("section.latest"),
			el("section.about"),
		];
		const words = (one) => wordsOf(one.namespace, one.service, WORDS[one.level]);
		const empty = () => (store.known.has("instances") ? "No service is registered." : "The catalog is on the way.");
		this.list = new List(route, {
			title: "Services",
			name: "services",
			words,
			worst: worseFirst,
			columns: COLUMNS,
			keyOf: (one) => one.key,
			stampOf: (one) => one.revision,
			href: serviceHref,
			empty,
		});
		this.element = el(
			"div.overview",
			el("div.well", this.heading, this.fresh),
			el("div.side", this.wrong, this.latest, this.about),
			this.list.element,
		);
	}

	close() {
		this.list.close();
	}

	update(topic) {
		const { store } = this;
		const found = problems(store);
		const { level, text } = verdict(store, found);
		redraw(this.heading, level + text, () => badge(level, text));
		redraw(this.wrong, JSON.stringify(found), () => store.agent && wrongList(found));
		if (!topic || topic === "instances") this.list.set([...store.services.values()]);
		if (topic !== "agent" && topic !== "members") this.updateLatest();
		if (!store.agent) return;
		const alive = [...store.members.values()].filter((one) => one.status === "alive").length;
		const [instances, services] = [many(store.instances.size, "instance"), many(store.services.size, "service")];
		say(this.fresh, `${freshness(store)} ${many(alive, "member")} alive, ${instances} of ${services}.`);
		this.updateAbout(store.agent.info);
	}

	updateLatest() {
		const latest = this.store.changes(LATEST);
		const line = (one) =>
			el(
				"li",
				el("time", clock(one.at)),
				" ",
				badge(one.level, one.what),
				` ${subjectOf(one)} `,
				el("span.faint", printable(one.to)),
			);
		redraw(this.latest, latest.map((one) => `${one.id}${one.count}${one.to}`).join(), () => [
			el("h2", "Last changes"),
			latest.length ? el("ol.events", latest.map(line)) : el("p.none", "Nothing in the last 15 minutes."),
			el("p", el("a", { href: "#/changes" }, "All changes of the last 15 minutes")),
		]);
	}

	updateAbout(info) {
		const sealed = info.sealed ? `generation ${info.sealed.generation ?? "none yet"}` : "no";
		redraw(this.about, [info.name, Math.floor(info.uptime_ms / 60_000), info.epoch, sealed].join(), () => [
			el("h2", "This agent"),
			facts({
				Member: printable(info.name),
				Cluster: printable(info.cluster),
				Datacenter: printable(info.datacenter),
				Zone: printable(info.zone),
				"Gossip address": info.gossip_address,
				Version: printable(info.version),
				"Up for": span(info.uptime_ms),
				Process: String(info.pid),
				Sealed: sealed,
			}),
		]);
	}
}

/** What is wrong, with the commands that help. */
function wrongList(found) {
	const line = ({ level, title, detail, href, command }) =>
		el(
			"li",
			{ "data-level": level },
			el("p.title", badge(level, ""), href ? el("a", { href }, title) : title),
			detail && el("p.note", printable(detail)),
			copyable(command),
		);
	return [
		el("h2", found.length ? `What is wrong (${count(found.length)})` : "Nothing is wrong"),
		found.length ? el("ul.problems", found.map(line)) : null,
	];
}
