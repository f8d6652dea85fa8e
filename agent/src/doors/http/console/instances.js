// The instances of a service or of all services, and one of them in full.

import {
	badge,
	byWord,
	clock,
	command,
	copyable,
	count,
	detail,
	el,
	eventList,
	facts,
	heading,
	instanceHref,
	labelsOf,
	many,
	memberHref,
	placeOf,
	redraw,
	say,
	serviceHref,
	span
} from "./dom.js";
import { newestFirst, ofHistory } from "./events.js";
import { CHECKS, partsOf, rankOf, standing, standingWords } from "./standing.js";
import { TOPICS, instanceKey } from "./store.js";
import { Asking, ask } from "./stream.js";
import { List, badgeColumn, nameColumn, textColumn } from "./table.js";

const MAX_TIMELINE = 100;

const worst = (a, b) => rankOf(a) - rankOf(b) || byWord(a.service, b.service) || byWord(a.id, b.id);

const addressOf = one => `${one.address}:${one.port}`;

const columns = ofService => [
	nameColumn("id n1", "Instance", one => one.id, instanceHref),
	badgeColumn("state n2", "Status", standing, standingWords, rankOf),
	...(ofService ? [] : [textColumn("service", "Service")]),
	textColumn("offered", "Offered", one => (one.offered ? "yes" : "no")),
	textColumn("address n3", "Address", addressOf),
	textColumn("node n4", "Member"),
	textColumn("zone", "DC/zone", placeOf),
	textColumn("weight", "Weight"),
	textColumn("tags", "Tags", labelsOf)
];

export class Instances {
	constructor(store, route) {
		const [namespace, service, nodeId, id] = route.parts;
		const isOne = service !== undefined;
		Object.assign(this, { store, namespace, service, title: service ?? "Instances" });
		this.key = isOne ? `${namespace}/${service}` : null;
		this.heading = heading(this.title);
		this.health = el("span");
		this.summary = el("p.fresh", this.health, isOne && [" ", copyable(command("history", service))]);
		this.aside = el("div.aside");
		this.list = new List(route, {
			title: "Instances",
			name: isOne ? "instances of-service" : "instances",
			also: ({ service, namespace, basis, offered }) => [service, namespace, basis, offered ? "offered" : "unoffered"],
			worst,
			columns: columns(isOne),
			keyOf: instanceKey,
			href: instanceHref,
			empty: () => "No instance is known."
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
		this.detail?.close();
	}

	update(topics) {
		const { services, instances } = this.store;
		if (topics.has("instances")) {
			if (this.key) this.summarize(services.get(this.key));
			else say(this.health, `${many(instances.size, "instance")} of ${many(services.size, "service")}.`);
			const shown = this.key ? services.get(this.key)?.all : instances;
			this.list.set([...(shown?.values() ?? [])]);
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
		// Its scrolled part has nothing else that takes the focus.
		this.element = el("section.timeline", { tabindex: "0", "aria-label": "Timeline" }, el("h2", "Timeline"), this.body);
		this.load();
	}

	close() {
		this.isClosed = true;
	}

	async load() {
		const told = await ask("history", { subject: this.subject, limit: MAX_TIMELINE }).catch(error => error);
		this.failed = told instanceof Error ? `The history did not come: ${told.message}` : "";
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
		const all = [...this.told, ...seen].sort(newestFirst).slice(0, MAX_TIMELINE);
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
		const parts = [this.state, this.why, this.checks, this.timeline.element];
		this.element = detail("Instance", el("h2", id), serviceHref({ namespace, service }), ...parts);
		const draw = ({ instances }) => this.draw(instances.find(one => one.instance.node_id === nodeId));
		this.asking = new Asking("explain", { subject: id }, draw, message => this.fail(message));
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
			const gone = this.store.known.has("instances") ? "It is not registered any more." : "The catalog is on the way.";
			this.state.replaceChildren(...(one ? stateOf(one) : [badge("gone", gone)]));
			if (!isFirst) this.asking.now();
		}
		this.timeline.update(topics);
	}

	fail(message) {
		this.why.replaceChildren(el("p.none", message));
	}

	draw(found) {
		// A text that is selected, perhaps to be copied, is left as it is.
		const { type, anchorNode } = getSelection();
		if (type === "Range" && this.element.contains(anchorNode)) return;
		if (!found) return this.fail("The agent does not know it.");
		const { reason, origin, standing: calls, registered_by: by, instance, health } = found;
		const trial = calls?.circuit_for_ms == null ? "" : ` for ${span(calls.circuit_for_ms)}`;
		const circuit = calls && calls.circuit !== "closed" && `${calls.circuit}${trial}`;
		const failures = calls && `${count(calls.failed_calls)} of ${count(calls.calls)} calls, ${count(calls.failed_picks)} picks`;
		const who = by && [by.file && `file ${by.file}`, `uid ${by.uid}`, by.pid != null && `pid ${by.pid}`, clock(by.at_ms)];
		this.why.replaceChildren(
			el("h3", found.offered ? "Why it is offered" : "Why it is not offered"),
			el("p.reason", reason),
			facts({
				"Checks say": health,
				"Age of this": span(instance.age_ms),
				"Its member": origin.reason,
				Circuit: circuit,
				"Ejected for": calls?.ejected_for_ms == null ? null : span(calls.ejected_for_ms),
				Failed: calls?.failed_calls + calls?.failed_picks > 0 && failures,
				"Registered by": who?.filter(Boolean).join(", ")
			})
		);
		this.checks.replaceChildren(el("h3", "Checks"), checksOf(found));
	}
}

function stateOf(one) {
	const { id, basis, draining } = one;
	const drains = draining || basis === "drained";
	const commands = [
		command("explain", id),
		basis === "maintenance" && command("maintenance off", id),
		drains && command("drain --stop", id)
	];
	const member = el("a", { href: memberHref(one.node_id) }, one.node);
	return [
		el("p", badge(standing(one), standingWords(one)), one.offered ? ", offered" : ", not offered"),
		facts({
			Address: addressOf(one),
			Member: member,
			"DC/zone": placeOf(one),
			Weight: String(one.weight),
			Labels: labelsOf(one),
			Scope: one.scope,
			Basis: basis.replaceAll("_", " ")
		}),
		el("p", commands.map(copyable))
	];
}

function checksOf({ checks, origin, checked }) {
	if (checks.length > 0) return el("ul.checks", checks.map(checkLine));
	const elsewhere = `The output of its checks is known to its own agent, ${origin.member.name}.`;
	return el("p.none", origin.is_self || !checked ? "It has no check." : elsewhere);
}

function checkLine({ name, kind, status, target, interval_ms: every, output, signal, ...more }) {
	const { changed_ago_ms: changed, latest_output: latest, latest_ago_ms: ago = 0 } = more;
	const by = signal ? `, by the sign ${signal.replaceAll("_", " ")}` : "";
	return el(
		"li",
		badge(CHECKS[status] ?? "new", `${name}: ${status || "no result yet"}`),
		el("span.faint", ` ${kind} ${target ?? ""}, every ${span(every)}`),
		output && el("pre", output),
		changed != null && el("p.note", `for ${span(changed)}${by}`),
		latest && latest !== output && el("p.note", `latest, ${span(ago)} ago: ${latest}`)
	);
}
