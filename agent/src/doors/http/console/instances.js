// The instances of a service or of all services, and one of them in full.

import {
	badge,
	clock,
	command,
	copyable,
	count,
	el,
	eventList,
	facts,
	heading,
	instanceHref,
	labelsOf,
	many,
	memberHref,
	placeOf,
	printable,
	redraw,
	say,
	serviceHref,
	span
} from "./dom.js";
import { newestFirst, ofHistory } from "./events.js";
import { partsOf, rankOf, standing, standingWords } from "./standing.js";
import { TOPICS, instanceKey } from "./store.js";
import { Asking, ask } from "./stream.js";
import { List, badgeColumn, nameColumn, textColumn } from "./table.js";

/** The most lines of a timeline. */
const TIMELINE = 100;

const worst = (a, b) => rankOf(a) - rankOf(b) || (a.service < b.service ? -1 : a.service > b.service ? 1 : a.id < b.id ? -1 : 1);

const addressOf = one => `${printable(one.address)}:${one.port}`;

const columns = ofService => [
	nameColumn("id n1", "Instance", one => one.id, instanceHref),
	badgeColumn("state n2", "Status", standing, standingWords, rankOf),
	...(ofService ? [] : [textColumn("service", "Service", one => printable(one.service))]),
	textColumn("offered", "Offered", one => (one.offered ? "yes" : "no")),
	textColumn("address n3", "Address", addressOf),
	textColumn("node n4", "Member", one => printable(one.node)),
	textColumn("zone", "Zone", placeOf),
	textColumn("weight", "Weight", one => one.weight),
	textColumn("tags", "Tags", one => printable(labelsOf(one).join(" ")))
];

export class Instances {
	constructor(store, route) {
		const [namespace, service, nodeId, id] = route.parts;
		const isOne = service !== undefined;
		Object.assign(this, {
			store,
			namespace,
			service,
			key: isOne ? `${namespace}/${service}` : null,
			title: isOne ? printable(service) : "Instances"
		});
		this.heading = heading(this.title);
		this.health = el("span");
		this.summary = el("p.fresh", this.health, isOne && [" ", copyable(command("history", service))]);
		this.aside = el("div.aside");
		const empty = () => "No instance is known.";
		this.list = new List(route, {
			title: "Instances",
			name: isOne ? "instances of-service" : "instances",
			also: ({ service, namespace, basis, offered }) => [service, namespace, basis, offered ? "offered" : "unoffered"],
			worst,
			columns: columns(isOne),
			keyOf: instanceKey,
			href: instanceHref,
			empty
		});
		const crumbs = el("nav.crumbs", { "aria-label": "Above" }, el("a", { href: "#/" }, "Services"));
		this.element = el(
			isOne ? "div.split" : "div",
			el("div.well", isOne && crumbs, this.heading, this.summary),
			isOne && this.aside,
			this.list.element
		);
		if (isOne) this.open(nodeId, id);
	}

	/** Shows an instance beside the list, or without one the timeline of the service. */
	open(nodeId, id) {
		this.detail?.close();
		const { store, namespace, service, key } = this;
		const isOurs = line => `${line.namespace}/${line.service}` === key;
		this.detail = id === undefined ? new Timeline(store, service, isOurs) : new Detail(store, { namespace, service, nodeId, id });
		this.aside.replaceChildren(this.detail.element);
		this.detail.update(TOPICS);
	}

	/** Goes on at another address. Returns whether it is one of this page. */
	follow({ page, parts: [namespace, service, nodeId, id] }) {
		if (page !== "service" || `${namespace}/${service}` !== this.key) return false;
		this.open(nodeId, id);
		return true;
	}

	close() {
		this.list.close();
		this.detail?.close();
	}

	update(topics) {
		const { services, instances } = this.store;
		if (topics.has("instances")) {
			if (this.key) this.summarize(services.get(this.key));
			else say(this.health, `${many(instances.size, "instance")} of ${many(services.size, "service")}.`);
			this.list.set([...((this.key ? services.get(this.key)?.all : instances) ?? new Map()).values()]);
		}
		this.detail?.update(topics);
	}

	summarize(one) {
		const text = one
			? `${count(one.healthy)} of ${count(one.total)} healthy, ${count(one.offered)} offered${partsOf(one, ", ")}.`
			: "No instance of this service is known.";
		redraw(this.health, text, () => badge(one?.level ?? "gone", text));
	}
}

/** What happened to a subject: the history of this agent, and what this page saw. */
class Timeline {
	constructor(store, subject, isMeant) {
		Object.assign(this, { store, subject, isMeant, told: [] });
		this.latest = this.latestOf(store);
		this.body = el("div");
		this.element = el("section.timeline", el("h2", "Timeline"), this.body);
		this.load();
	}

	close() {
		this.isClosed = true;
	}

	async load() {
		const told = await ask("history", { subject: this.subject, limit: TIMELINE }).catch(error => error);
		this.failed = told instanceof Error ? `The history did not come: ${printable(told.message)}` : "";
		if (!this.failed) this.told = told.events.map(ofHistory);
		if (!this.isClosed) this.draw();
	}

	/** The newest line of the history that has the subject. */
	latestOf({ events }) {
		return [...events.recorded.values()].findLast(line => [line.instance, line.service, line.member].includes(this.subject));
	}

	update(topics) {
		const latest = topics.has("history") ? this.latestOf(this.store) : this.latest;
		if (latest !== this.latest) {
			this.latest = latest;
			this.load();
		}
		if (topics.has("history") || topics.has("instances")) this.draw();
	}

	draw() {
		const seen = [...this.store.events.seen.values()].filter(this.isMeant);
		const all = [...this.told, ...seen].sort(newestFirst).slice(0, TIMELINE);
		redraw(this.body, `${this.failed}${all.map(one => one.id + one.count)}`, () => [
			this.failed && el("p.none", this.failed),
			all.length
				? eventList(all)
				: el("p.none", "This agent recorded nothing of it. The agent of an instance knows most: ask there.")
		]);
	}
}

class Detail {
	constructor(store, { namespace, service, nodeId, id }) {
		Object.assign(this, { store, nodeId, id, key: `${nodeId}/${id}`, shown: null });
		[this.state, this.why, this.checks] = [el("div"), el("div"), el("div")];
		this.timeline = new Timeline(store, id, line => `${line.nodeId}/${line.instance}` === this.key);
		const head = el("div.list-head", el("h2", printable(id)), el("a", { href: serviceHref({ namespace, service }) }, "Close"));
		this.element = el(
			"section.detail",
			{ "aria-label": `Instance ${printable(id)}` },
			head,
			this.state,
			this.why,
			this.checks,
			this.timeline.element
		);
		this.asking = new Asking(
			"explain",
			{ subject: id },
			told => this.draw(told.instances.find(one => one.instance.node_id === nodeId)),
			message => this.fail(message)
		);
	}

	close() {
		this.asking.close();
		this.timeline.close();
	}

	update(topics) {
		const one = this.store.instances.get(this.key);
		if (one !== this.shown) {
			const isFirst = this.shown === null;
			this.shown = one;
			this.state.replaceChildren(
				...(one
					? stateOf(one)
					: [badge("gone", this.store.known.has("instances") ? "It is not registered any more." : "The catalog is on the way.")])
			);
			if (!isFirst) this.asking.now();
		}
		this.timeline.update(topics);
	}

	fail(message) {
		this.why.replaceChildren(el("p.none", printable(message)));
	}

	draw(found) {
		// A text that is selected, perhaps to be copied, is left as it is.
		const { type, anchorNode } = getSelection();
		if (type === "Range" && this.element.contains(anchorNode)) return;
		if (!found) {
			this.fail("The agent does not know it.");
			return;
		}
		const { reason, origin, standing: calls, registered_by: by, instance, health } = found;
		const trial = calls?.circuit_for_ms == null ? "" : ` for ${span(calls.circuit_for_ms)}`;
		const circuit = calls && calls.circuit !== "closed" && `${calls.circuit}${trial}`;
		const failures = calls && `${count(calls.failed_calls)} of ${count(calls.calls)} calls, ${count(calls.failed_picks)} picks`;
		const who =
			by && [by.file && `file ${by.file}`, `uid ${by.uid}`, by.pid != null && `pid ${by.pid}`].filter(Boolean).join(", ");
		this.why.replaceChildren(
			el("h3", found.offered ? "Why it is offered" : "Why it is not offered"),
			el("p.reason", printable(reason)),
			facts({
				"Checks say": health,
				"Age of this": span(instance.age_ms),
				"Its member": printable(origin.reason),
				Circuit: circuit,
				"Ejected for": calls?.ejected_for_ms == null ? null : span(calls.ejected_for_ms),
				Failed: calls?.failed_calls + calls?.failed_picks > 0 && failures,
				"Registered by": by && `${printable(who)}, ${clock(by.at_ms)}`
			})
		);
		this.checks.replaceChildren(el("h3", "Checks"), checksOf(found));
	}
}

function stateOf(one) {
	const { id, basis, draining } = one;
	const drains = draining || basis === "drained";
	const member = el("a", { href: memberHref(one.node_id) }, printable(one.node));
	return [
		el("p", badge(standing(one), standingWords(one)), one.offered ? ", offered" : ", not offered"),
		facts({
			Address: addressOf(one),
			Member: member,
			Zone: placeOf(one),
			Weight: String(one.weight),
			Labels: printable(labelsOf(one).join(" ")),
			Scope: one.scope,
			Basis: basis.replaceAll("_", " ")
		}),
		el("p", copyable(command("explain", id))),
		el("p", basis === "maintenance" && copyable(command("maintenance off", id)), drains && copyable(command("drain --stop", id)))
	];
}

const CHECKS = { passing: "ok", warning: "warn", critical: "bad" };

function checksOf({ checks, origin, checked }) {
	if (checks.length === 0) {
		return el(
			"p.none",
			origin.is_self || !checked
				? "It has no check."
				: `The output of its checks is known to its own agent, ${printable(origin.member.name)}.`
		);
	}
	const line = ({ name, kind, status, target, interval_ms: every, output, signal, ...more }) => [
		el(
			"p",
			badge(CHECKS[status] ?? "new", `${printable(name)}: ${status || "no result yet"}`),
			el("span.faint", ` ${kind} ${printable(target)}, every ${span(every)}`)
		),
		output && el("pre", printable(output)),
		more.changed_ago_ms != null &&
			el("p.note", `for ${span(more.changed_ago_ms)}${signal ? `, by the sign ${signal.replaceAll("_", " ")}` : ""}`),
		more.latest_output &&
			more.latest_output !== output &&
			el("p.note", `latest, ${span(more.latest_ago_ms ?? 0)} ago: ${printable(more.latest_output)}`)
	];
	return el(
		"ul.checks",
		checks.map(check => el("li", ...line(check)))
	);
}
