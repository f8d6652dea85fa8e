// How instances and services do: one word for each, and the order that has the worst first.

import { byWord } from "./dom.js";

/** How an instance does: `ok`, `warn` (healthy, a check warns), `bad`, `lost` (was healthy, its member is down), `new`, `out`. */
export function standing(instance) {
	if (instance.basis === "maintenance" || instance.basis === "drained") return "out";
	if (instance.status === "healthy") return instance.check === "warning" ? "warn" : "ok";
	if (instance.status === "unhealthy") return "bad";
	return instance.basis === "last_known" ? "lost" : "new";
}

const WORDS = { warn: "healthy, warning", lost: "last known", new: "not checked yet" };

export function standingWords(instance) {
	const at = standing(instance);
	if (at === "out") return instance.basis === "drained" ? "drained" : "maintenance";
	if (instance.draining) return `${instance.status}, draining`;
	if (at === "ok" && instance.basis === "unanswered") return "healthy, unanswered";
	return WORDS[at] ?? instance.status;
}

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

export function worseFirst(a, b) {
	const share = one => one.healthy / Math.max(1, one.total - one.out);
	return RANKS[a.level] - RANKS[b.level] || share(a) - share(b) || b.bad - a.bad || byWord(a.key, b.key);
}

const STANDINGS = { bad: 0, lost: 1, new: 2, out: 3, warn: 4, ok: 5 };

/** How a member and a check do. */
export const MEMBERS = { alive: "ok", suspect: "warn", down: "bad", unreachable: "lost" };
export const CHECKS = { passing: "ok", warning: "warn", critical: "bad" };

/** The place of an instance in the order that has the worst first. */
export const rankOf = instance => (instance.rank ??= STANDINGS[standing(instance)]);

/** The parts of a service's instances that are not healthy, in words. */
export function partsOf(one, before = "") {
	const parts = { unhealthy: one.bad, "last known": one.lost, "not checked yet": one.new, "out of service": one.out };
	const words = Object.entries(parts).filter(([, n]) => n > 0);
	return words.length ? before + words.map(([word, n]) => `${n} ${word}`).join(", ") : "";
}
