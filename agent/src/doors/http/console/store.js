// All that the agent told: instances by service, members, the agent itself, and what changed.

import { printable } from "./dom.js";

/** Changes that this page remembers. Beyond it the oldest go. */
const MAX_SEEN = 5_000;
/** A further change of one instance within this time counts in the entry of the one before. */
const TOGETHER_MS = 60_000;
/** The time that the page of changes covers. */
export const RECENT_MS = 15 * 60_000;

/** How an instance does: `ok`, `warn` (healthy, a check warns), `bad`, `lost` (was healthy, its member is down), `new`, `out`. */
export function standing(instance) {
	if (instance.basis === "maintenance" || instance.basis === "drained") return "out";
	if (instance.status === "healthy") return instance.check === "warning" ? "warn" : "ok";
	if (instance.status === "unhealthy") return "bad";
	return instance.basis === "last_known" ? "lost" : "new";
}

const WORDS = { warn: "healthy, warning", lost: "last known", new: "not checked yet" };

/** The standing of an instance in words. */
export function standingWords(instance) {
	const at = standing(instance);
	if (at === "out") return instance.basis === "drained" ? "drained" : "maintenance";
	if (instance.draining) return `${instance.status}, draining`;
	if (at === "ok" && instance.basis === "unanswered") return "healthy, unanswered";
	return WORDS[at] ?? instance.status;
}

export const instanceKey = (one) => `${one.node_id}/${one.id}`;
export const serviceKey = (one) => `${one.namespace}/${one.service}`;

/** Below this share of healthy instances the rest is overloaded, as the agent's picks take it. */
const ENOUGH = 0.71;

/** How a service does. One instance that fails makes no service `bad`: only one without any healthy instance is. */
export function level({ total, out, healthy, bad, lost }) {
	const wanted = total - out;
	if (wanted === 0) return "out";
	if (healthy === 0) return bad + lost > 0 ? "bad" : "new";
	if (healthy / wanted < ENOUGH) return "warn";
	return bad + lost > 0 ? "note" : "ok";
}

const RANKS = { bad: 0, warn: 1, new: 2, out: 3, note: 4, ok: 5 };

/** The order of services: the worst first. */
export function worseFirst(a, b) {
	const share = (one) => one.healthy / Math.max(1, one.total - one.out);
	return RANKS[a.level] - RANKS[b.level] || share(a) - share(b) || b.bad - a.bad || (a.key < b.key ? -1 : 1);
}

const STANDINGS = { bad: 0, lost: 1, new: 2, out: 3, warn: 4, ok: 5 };

/** The place of an instance in the order that has the worst first. */
export const rankOf = (instance) => (instance.rank ??= STANDINGS[standing(instance)]);

let revisions = 0;

class Service {
	constructor({ namespace, service }) {
		Object.assign(this, { namespace, service, key: `${namespace}/${service}`, all: new Map() });
		Object.assign(this, { ok: 0, warn: 0, bad: 0, lost: 0, new: 0, out: 0, offered: 0 });
	}

	get total() {
		return this.all.size;
	}

	get healthy() {
		return this.ok + this.warn;
	}

	get level() {
		return level(this);
	}

	count(instance, by) {
		this[standing(instance)] += by;
		this.offered += instance.offered ? by : 0;
		this.revision = revisions += 1;
	}
}

export class Store {
	constructor() {
		Object.assign(this, { instances: new Map(), services: new Map(), members: new Map(), massLosses: [] });
		Object.assign(this, {
			agent: null,
			isolated: false,
			history: new Map(),
			seen: [],
			latest: new Map(),
			openedAt: Date.now(),
			parts: new Map(),
		});
		/** Topics that have been told once: `agent`, `instances`, `members`, `history`. */
		this.known = new Set();
	}

	/** Takes an event of the stream. Returns the topic that changed, or nothing while further parts follow. */
	take(name, data) {
		if (name === "agent") {
			this.agent = { ...data, at: Date.now() };
			this.isolated = data.info.isolated;
			return this.told("agent");
		}
		const whole = this.join(name, data);
		if (!whole) return undefined;
		const [kind, parts] = whole;
		this.isolated = parts.at(-1).isolated;
		if (kind === "history") {
			parts.forEach((part) => part.events.forEach((event) => this.history.set(event.number, event)));
			this.forget();
			return this.told("history");
		}
		const isMembers = kind === "members" || kind === "member_changes";
		if (kind === "instances") this.replaceInstances(parts.flatMap((part) => part.instances));
		else if (kind === "changes") parts.forEach((part) => part.instances.forEach((one) => this.change(one)));
		else this.takeMembers(kind, parts);
		return this.told(isMembers ? "members" : "instances");
	}

	told(topic) {
		this.known.add(topic);
		return topic;
	}

	/** Joins the parts of an event. The first one names its kind. */
	join(name, { response, more }) {
		const topic = name.startsWith("member") ? "members" : name === "history" ? "history" : "instances";
		const waiting = this.parts.get(topic) ?? [name, []];
		waiting[1].push(Object.values(response)[0]);
		if (more) {
			this.parts.set(topic, waiting);
			return undefined;
		}
		this.parts.delete(topic);
		return waiting;
	}

	/** A connection that ended takes the parts with it that were not whole. */
	disconnected() {
		this.parts.clear();
	}

	/** The whole picture takes the place of what was known before. */
	replaceInstances(all) {
		const now = new Set(all.map(instanceKey));
		const gone = [...this.instances].filter(([key]) => !now.has(key));
		gone.forEach(([, one]) => this.change({ ...one, status: "gone", offered: false }));
		all.forEach((one) => this.change(one));
	}

	change(one) {
		const key = instanceKey(one);
		const before = this.instances.get(key);
		if (before) {
			// The end of an instance in its earlier service may be told after it came to another.
			if (one.status === "gone" && serviceKey(before) !== serviceKey(one)) return;
			const service = this.services.get(serviceKey(before));
			service.count(before, -1);
			service.all.delete(key);
			if (service.total === 0) this.services.delete(service.key);
		}
		if (one.status === "gone") {
			this.instances.delete(key);
			if (before) this.note(before, null);
			return;
		}
		let service = this.services.get(serviceKey(one));
		if (!service) this.services.set(serviceKey(one), (service = new Service(one)));
		service.all.set(key, one);
		service.count(one, 1);
		this.instances.set(key, one);
		if (this.known.has("instances")) this.note(before, one);
	}

	/** Notes a change of an instance of another agent. Those of this agent are in its history. */
	note(before, after) {
		const one = after ?? before;
		if (one.node_id === this.agent?.info.node_id) return;
		const [from, to] = [before ? standingWords(before) : "absent", after ? standingWords(after) : "gone"];
		const what = !before ? "appeared" : !after ? "went" : from !== to ? "status" : differences(before, after);
		if (!what) return;
		const now = Date.now();
		const level = after ? standing(after) : "gone";
		const key = instanceKey(one);
		const last = this.latest.get(key);
		if (last && now - last.lastAt < TOGETHER_MS) {
			Object.assign(last, { what, to, lastAt: now, count: last.count + 1, level });
			return;
		}
		const entry = { key, at: now, lastAt: now, what, one, from, to, count: 1, level };
		this.latest.set(key, entry);
		this.seen.push(entry);
		const oldest = this.seen.length > MAX_SEEN ? this.seen.shift() : null;
		if (oldest && this.latest.get(oldest.key) === oldest) this.latest.delete(oldest.key);
	}

	takeMembers(kind, parts) {
		if (kind === "members") {
			this.members.clear();
			this.massLosses = [];
		}
		for (const part of parts) {
			part.members?.forEach((member) => this.members.set(member.node_id, dated(member)));
			part.changes?.forEach(({ event, member }) => {
				if (["left", "force_left", "replaced", "forgotten"].includes(event)) this.members.delete(member.node_id);
				else this.members.set(member.node_id, dated(member));
			});
			if (part.mass_losses || kind === "members") this.massLosses = part.mass_losses ?? this.massLosses;
		}
	}

	/** Drops what is older than the page of changes shows. */
	forget() {
		const since = Date.now() - RECENT_MS;
		for (const [number, event] of this.history) {
			if (Date.parse(event.last_at ?? event.at) < since) this.history.delete(number);
		}
	}

	/** What changed lately, the newest first: the history of the agent, and what this page saw of other agents. */
	changes(limit = Infinity) {
		const since = Date.now() - RECENT_MS;
		const newest = (all) =>
			all
				.filter((one) => one.at >= since)
				.sort((a, b) => b.at - a.at)
				.slice(0, limit);
		const seen = newest(this.seen.map((entry) => ({ entry, at: entry.lastAt }))).map(({ entry }) => ofSeen(entry));
		return newest([...seen, ...[...this.history.values()].map(ofHistory)]);
	}
}

/** The fields in which two states of an instance differ, in a word. */
function differences(before, after) {
	const fields = ["weight", "address", "port", "draining", "zone", "scope"];
	const changed = fields.filter((field) => before[field] !== after[field]);
	const lists = ["tags", "meta"].filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
	return [...changed, ...lists].join(", ");
}

/** A member with the moments of what it tells as ages. */
function dated(member) {
	const ago = (ms) => (ms == null ? null : Date.now() - ms);
	return { ...member, downAt: ago(member.down_ago_ms), silentAt: ago(member.link_silent_ms) };
}

/** The parts of a service's instances that are not healthy, in words. */
export function partsOf(one, before = "") {
	const parts = { unhealthy: one.bad, "last known": one.lost, "not checked yet": one.new, "out of service": one.out };
	const words = Object.entries(parts).filter(([, n]) => n > 0);
	return words.length ? before + words.map(([word, n]) => `${n} ${word}`).join(", ") : "";
}

/** A change that this page saw, as a line of the page of changes. */
export function ofSeen({ key, at, lastAt, what, one, from, to, count, level }) {
	const words = { appeared: "instance appeared", went: "instance went", status: "instance changed" }[what];
	const { id: instance, node_id: nodeId, service, namespace, node: member } = one;
	const of = words ? { what: words, from, to, level, why: "" } : { what: "registration", level: "gone", why: `changed: ${what}` };
	return { ...of, instance, nodeId, service, namespace, member, count, id: `s${key}@${at}`, at: lastAt, by: "seen by this page" };
}

/** The subject of a change, in a word. */
export function subjectOf({ instance, member, datacenter, service, to }) {
	return printable(instance ?? member ?? datacenter ?? service ?? to);
}

const LEVELS = {
	bad: "member_down members_lost member_revoked datacenter_unreachable cut_off link_broken isolated declared_down gave_way",
	warn: "stalled duplicate reload_failed",
	ok: "member_back members_back datacenter_reachable link_mended connected resumed datacenter_rejoined",
};
const CHECKS = { critical: "bad", warning: "warn", passing: "ok" };

function levelOf({ what, to }) {
	if (what === "check_changed") return CHECKS[to] ?? "new";
	return Object.keys(LEVELS).find((level) => LEVELS[level].split(" ").includes(what)) ?? "gone";
}

/** An event of the history as a line of the page of changes. */
export function ofHistory(event) {
	const { number, what, by, why = "", count = 1 } = event;
	const at = Date.parse(event.last_at ?? event.at);
	return { ...event, id: `h${number}`, at, what: what.replaceAll("_", " "), by: byWords(by), why, count, level: levelOf(event) };
}

function byWords({ kind, program, pid, uid, file, member, agent }) {
	if (kind === "client") {
		const process = [program, pid == null ? null : `pid ${pid}`, uid == null ? null : `uid ${uid}`].filter(Boolean).join(", ");
		return (process || "a client") + (agent ? `, at agent ${agent}` : "");
	}
	if (kind === "file") return `file ${file ?? ""}`.trim();
	if (kind === "peer") return member ?? "another member";
	return kind === "check" ? "check" : "this agent";
}
