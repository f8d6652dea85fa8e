// All that the agent told: instances by service, members, the agent itself, and what changed.

import { Events } from "./events.js";
import { level, standing } from "./standing.js";

/** What each event of the stream changes. */
const CHANGED = { agent: "agent", history: "history", members: "members", member_changes: "members", instances: "instances" };
export const TOPICS = new Set(Object.values(CHANGED));

export const instanceKey = one => `${one.node_id}/${one.id}`;
const serviceKey = one => `${one.namespace}/${one.service}`;

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
		return (this.judged ??= level(this));
	}

	count(instance, by) {
		this[standing(instance)] += by;
		this.offered += instance.offered ? by : 0;
		revisions += 1;
		Object.assign(this, { judged: null, words: null, revision: revisions });
	}
}

export class Store {
	constructor() {
		Object.assign(this, { instances: new Map(), services: new Map(), members: new Map(), massLosses: [] });
		Object.assign(this, { agent: null, isolated: false, events: new Events(), parts: new Map() });
		/** Topics that have been told once. */
		this.known = new Set();
	}

	/** Takes an event of the stream. Returns the topic that changed, or nothing while further parts follow. */
	take(name, data) {
		const topic = CHANGED[name] ?? "instances";
		if (topic === "agent") {
			this.agent = { ...data, at: Date.now() };
			this.isolated = data.info.isolated;
		} else {
			// The first part of an event names its kind.
			const [kind, parts] = this.parts.get(topic) ?? [name, []];
			parts.push(Object.values(data.response)[0]);
			this.parts.set(topic, [kind, parts]);
			if (data.more) return undefined;
			this.parts.delete(topic);
			this.isolated = parts.at(-1).isolated;
			if (kind === "history") parts.forEach(part => this.events.record(part.events));
			else if (kind === "instances") this.replaceInstances(parts.flatMap(part => part.instances));
			else if (kind === "changes") parts.forEach(part => part.instances.forEach(one => this.change(one)));
			else this.takeMembers(kind, parts);
		}
		this.known.add(topic);
		return topic;
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
		all.forEach(one => this.change(one));
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
		if ((after ?? before).node_id !== this.agent?.info.node_id) this.events.note(before, after);
	}

	takeMembers(kind, parts) {
		if (kind === "members") {
			this.members.clear();
			this.massLosses = [];
		}
		for (const part of parts) {
			part.members?.forEach(member => this.members.set(member.node_id, dated(member)));
			part.changes?.forEach(({ event, member }) => {
				if (["left", "force_left", "replaced", "forgotten"].includes(event)) this.members.delete(member.node_id);
				else this.members.set(member.node_id, dated(member));
			});
			if (part.mass_losses || kind === "members") this.massLosses = part.mass_losses ?? this.massLosses;
		}
	}
}

/** A member with the moments of what it tells as ages. */
function dated(member) {
	const ago = ms => (ms == null ? null : Date.now() - ms);
	return { ...member, downAt: ago(member.down_ago_ms), silentAt: ago(member.link_silent_ms) };
}
