// What changed: the page for three in the morning. The newest stands first.

import { clock, count, el, heading, instanceHref, memberHref, say, serviceHref } from "./dom.js";
import { MAX_LINES, newestFirst, ofHistory } from "./events.js";
import { ask } from "./stream.js";
import { List, badgeColumn, textColumn } from "./table.js";

const HOUR_MS = 3_600_000;
const WINDOWS = [
	["", "the last 15 minutes"],
	[HOUR_MS, "the last hour"],
	[6 * HOUR_MS, "the last 6 hours"],
	[24 * HOUR_MS, "the last day"],
	["all", "all that is kept"]
];

const timeOf = one => one.at;
const levelOf = one => one.level;
const subjectOf = ({ instance, member, datacenter, service, to }) => instance ?? member ?? datacenter ?? service ?? to;
const changeOf = ({ from, to, count: times }) =>
	to == null ? "" : `${from ?? ""} → ${to}${times > 1 ? ` ×${count(times)}` : ""}`;

export class Changes {
	constructor(store, route) {
		Object.assign(this, { store, title: "Changes", older: [], failed: "" });
		this.heading = heading("What changed");
		this.summary = el("p.fresh");
		const options = WINDOWS.map(([value, word]) => el("option", { value }, word));
		const choice = el("select", { "aria-label": "Time", onchange: () => this.choose(choice.value) }, options);
		this.list = new List(route, {
			title: "Changes",
			name: "changes",
			beside: choice,
			also: one => [one.member, one.check],
			worst: newestFirst,
			keyOf: one => one.id,
			href: one => this.hrefOf(one),
			empty: () => "Nothing changed.",
			columns: [
				textColumn("time n2", "When", one => clock(one.at), timeOf),
				badgeColumn("what n1", "What", levelOf, one => one.what),
				textColumn("subject n3", "Of", subjectOf),
				textColumn("change n4", "From and to", changeOf),
				textColumn("service", "Service"),
				textColumn("by", "By"),
				textColumn("why", "Why")
			]
		});
		this.element = el("div", el("div.well", this.heading, this.summary), this.list.element);
	}

	close() {
		this.isClosed = true;
	}

	/** Asks for the history of a longer time. The last fifteen minutes come by themselves. */
	async choose(value) {
		Object.assign(this, { chosen: value, failed: "", older: [] });
		const told = value && (await ask("history", value === "all" ? {} : { since_ms: value }).catch(error => error));
		if (this.isClosed || this.chosen !== value) return;
		if (told instanceof Error) this.failed = ` The longer history did not come: ${told.message}`;
		else if (told) this.older = told.events.map(ofHistory);
		this.draw();
	}

	update(topics) {
		if (topics.has("history") || topics.has("instances")) this.draw();
	}

	draw() {
		const { events } = this.store;
		const recent = events.recent();
		const known = new Set(recent.map(one => one.id));
		const since = clock(events.openedAt);
		const text = `The history of this agent, and what this page saw of instances of other agents since ${since}.`;
		const cut =
			recent.length < MAX_LINES ? "" : ` They are many: the list has the newest and goes back to ${clock(recent.at(-1).at)}.`;
		say(this.summary, text + cut + this.failed);
		this.list.set([...recent, ...this.older.filter(one => !known.has(one.id))]);
	}

	/** The page of the subject of a change. The instances of the history are those of this agent. */
	hrefOf({ instance, nodeId, member, service, namespace }) {
		const { instances, members, services, agent } = this.store;
		const found = instances.get(`${nodeId ?? agent?.info.node_id}/${instance}`);
		if (found) return instanceHref(found);
		const named = [...members.values()].find(one => one.name === member);
		if (named) return memberHref(named.node_id);
		const of = [...services.values()].find(one => one.service === service && (!namespace || one.namespace === namespace));
		return of ? serviceHref(of) : location.hash;
	}
}
