// What changed, as lines for the pages: the history of this agent, and what this page saw of instances of other agents.

import { CHECKS, standing, standingWords } from "./standing.js";

/** The most lines of the history, and of what this page saw. Beyond it the oldest go. */
export const MAX_LINES = 5_000;
/** A further change of one instance within this time counts in the line of the one before. */
const TOGETHER_MS = 60_000;
const RECENT_MS = 15 * 60_000;

export const newestFirst = (a, b) => b.at - a.at || (b.number ?? 0) - (a.number ?? 0);

/** The lines. One that changes is replaced and never edited. */
export class Events {
	constructor() {
		Object.assign(this, { recorded: new Map(), seen: new Map(), latest: new Map(), openedAt: Date.now() });
	}

	/** Takes events of the history. One with a number that came before takes its place. */
	record(events) {
		for (const event of events) putLast(this.recorded, ofHistory(event));
		while (this.recorded.size > MAX_LINES || isOld(first(this.recorded))) this.recorded.delete(first(this.recorded).id);
	}

	/** Notes what this page saw of an instance: its state before and after. One of them is missing when it appeared or went. */
	note(before, after) {
		const line = ofSeen(before, after);
		if (!line) return;
		const key = `${line.nodeId}/${line.instance}`;
		const last = this.latest.get(key);
		const now = last && line.at - last.at < TOGETHER_MS ? further(last, line) : { ...line, id: `s${key}@${line.at}` };
		this.latest.set(key, now);
		putLast(this.seen, now);
		while (this.seen.size > MAX_LINES || isOld(first(this.seen))) this.drop(first(this.seen));
	}

	drop({ id, nodeId, instance }) {
		const key = `${nodeId}/${instance}`;
		this.seen.delete(id);
		if (this.latest.get(key).id === id) this.latest.delete(key);
	}

	recent() {
		return [...this.recorded.values(), ...this.seen.values()].filter(line => !isOld(line)).sort(newestFirst);
	}
}

const first = lines => lines.values().next().value;
const isOld = line => line !== undefined && line.at < Date.now() - RECENT_MS;

function putLast(lines, line) {
	lines.delete(line.id);
	lines.set(line.id, line);
}

/** A change that this page saw, as a line without an id. Nothing if both states look the same. */
function ofSeen(before, after) {
	const [from, to] = [before ? standingWords(before) : "absent", after ? standingWords(after) : "gone"];
	const changed = before && after && from === to ? differences(before, after) : null;
	if (changed === "") return null;
	const { id: instance, node_id: nodeId, service, namespace, node: member } = after ?? before;
	const subject = { instance, nodeId, service, namespace, member, at: Date.now(), by: "seen by this page", count: 1 };
	if (changed) return { ...subject, what: `${changed} changed`, level: "gone" };
	const what = !before ? "instance appeared" : !after ? "instance went" : "instance changed";
	return { ...subject, what, from, to, level: after ? standing(after) : "gone" };
}

/** The line of a change that came shortly after another one of the same instance. */
function further(last, line) {
	// A status tells more than a registration does.
	const { what, level } = line.to === undefined ? last : line;
	return { ...last, ...line, what, level, id: last.id, from: last.from ?? line.from, count: last.count + 1 };
}

/** The fields in which two states of an instance differ, in a word. */
function differences(before, after) {
	const fields = ["weight", "address", "port", "draining", "zone", "scope"];
	const changed = fields.filter(field => before[field] !== after[field]);
	const lists = ["tags", "meta"].filter(field => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
	return [...changed, ...lists].join(", ");
}

const LEVELS = {
	bad: "member_down members_lost member_revoked datacenter_unreachable cut_off link_broken isolated declared_down gave_way",
	warn: "stalled duplicate reload_failed",
	ok: "member_back members_back datacenter_reachable link_mended connected resumed datacenter_rejoined"
};

function levelOf({ what, to }) {
	if (what === "check_changed") return CHECKS[to] ?? "new";
	return Object.keys(LEVELS).find(level => LEVELS[level].split(" ").includes(what)) ?? "gone";
}

/** An event of the history as a line of the page of changes. */
export function ofHistory(event) {
	const { number, what, by, count = 1 } = event;
	const at = Date.parse(event.last_at ?? event.at);
	return { ...event, id: `h${number}`, at, what: what.replaceAll("_", " "), by: byWords(by), count, level: levelOf(event) };
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
