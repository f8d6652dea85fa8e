// The map of members: a cell for each, by datacenter and zone, and lines for who hears whom.

import { byWord, el } from "./dom.js";
import { MEMBERS } from "./standing.js";

const LABEL = 16;
const GAP = 18;
const LARGEST = 32;
const SMALLEST = 4;
/** A member that is watched and has not answered for this long is drawn as silent. */
const LATE_MS = 5_000;

/** Members by datacenter and zone, the own datacenter first. */
function groupsOf(members, own) {
	const groups = new Map();
	for (const member of members) {
		const name = [member.datacenter, member.zone].filter(Boolean).join("/") || "unknown";
		if (!groups.has(name)) groups.set(name, { name, isOwn: member.datacenter === own, members: [] });
		groups.get(name).members.push(member);
	}
	return [...groups.values()].sort((a, b) => b.isOwn - a.isOwn || byWord(a.name, b.name));
}

/** The place of each member for a cell of this size, and the height of it all. */
function place(groups, width, size) {
	const places = new Map();
	const labels = [];
	let [x, y, tallest] = [0, 0, 0];
	for (const { name, members } of groups) {
		const across = Math.max(1, Math.min(Math.ceil(Math.sqrt(members.length * 2)), Math.floor(width / size)));
		const wide = Math.max(across * size, 7 * name.length);
		if (x > 0 && x + wide > width) [x, y, tallest] = [0, y + tallest + GAP / 2, 0];
		labels.push({ name, x, y: y + LABEL - 5 });
		members.forEach((member, n) =>
			places.set(member.node_id, { x: x + (n % across) * size, y: y + LABEL + Math.floor(n / across) * size })
		);
		tallest = Math.max(tallest, LABEL + Math.ceil(members.length / across) * size);
		x += wide + GAP;
	}
	return { places, labels, height: y + tallest + 2, size };
}

export class MemberMap {
	constructor(store, onOpen, onPoint) {
		this.store = store;
		const pointed = event => {
			const member = this.at(event);
			this.canvas.classList.toggle("points", Boolean(member));
			onPoint(member);
		};
		this.canvas = el("canvas.map", {
			role: "img",
			onclick: event => this.at(event) && onOpen(this.at(event)),
			onmousemove: pointed,
			onmouseleave: () => onPoint()
		});
		this.resized = new ResizeObserver(() => this.draw());
		this.resized.observe(this.canvas);
		this.closing = new AbortController();
		const { signal } = this.closing;
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
	}

	close() {
		this.resized.disconnect();
		this.closing.abort();
	}

	at(event) {
		if (!this.laid) return undefined;
		const { places, size } = this.laid;
		const isIn = (at, from) => at >= from && at < from + size;
		const found = [...places].find(([, { x, y }]) => isIn(event.offsetX, x) && isIn(event.offsetY, y));
		return this.store.members.get(found?.[0]);
	}

	/** The cells as they were, unless there are other members or places for them. */
	lay(width) {
		const { members: known, agent } = this.store;
		const members = [...known.values()].sort((a, b) => byWord(a.name, b.name));
		const own = agent?.info.datacenter;
		const key = [own, width, innerHeight, ...members.map(one => [one.node_id, one.datacenter, one.zone])].join();
		if (this.laid?.key === key) return this.laid;
		const groups = groupsOf(members, own);
		const tallest = Math.max(220, Math.min(360, innerHeight * 0.4));
		for (let size = LARGEST; ; size -= 1) {
			const laid = place(groups, width, size);
			if (laid.height <= tallest || size === SMALLEST) return (this.laid = { ...laid, key });
		}
	}

	draw() {
		const width = this.canvas.clientWidth;
		if (width === 0 || this.store.members.size === 0) return;
		const laid = this.lay(width);
		const ratio = devicePixelRatio || 1;
		this.canvas.style.height = `${laid.height}px`;
		// A canvas that is given a size is empty.
		Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(laid.height * ratio) });
		const styles = getComputedStyle(this.canvas);
		const colour = name => styles.getPropertyValue(name).trim();
		const ink = this.canvas.getContext("2d");
		ink.scale(ratio, ratio);
		ink.font = `12px ${styles.fontFamily}`;
		ink.fillStyle = colour("--muted");
		laid.labels.forEach(({ name, x, y }) => ink.fillText(name, x, y));
		this.drawCells(ink, laid, colour);
		this.drawLines(ink, laid, colour);
	}

	drawCells(ink, { places, size }, colour) {
		const own = this.store.agent?.info.node_id;
		const inner = size - (size > 8 ? 3 : 1);
		for (const [id, { x, y }] of places) {
			const { status } = this.store.members.get(id);
			ink.fillStyle = colour(`--${MEMBERS[status] ?? "muted"}`);
			ink.beginPath();
			// The form tells what the colour tells: only the living are whole.
			if (status === "alive") ink.rect(x, y, inner, inner);
			else if (status === "suspect") ink.ellipse(x + inner / 2, y + inner / 2, inner / 2, inner / 2, 0, 0, 7);
			else {
				const cut = inner / 3;
				ink.rect(x, y, cut, inner);
				ink.rect(x + inner - cut, y, cut, inner);
			}
			ink.fill();
			if (id === own) {
				ink.strokeStyle = colour("--ink");
				ink.lineWidth = 2;
				ink.strokeRect(x - 1.5, y - 1.5, inner + 3, inner + 3);
			}
		}
	}

	drawLines(ink, { places, size, height }, colour) {
		const { agent } = this.store;
		if (!agent) return;
		const line = (from, to, stroke, width, dash = []) => {
			const [a, b] = [places.get(from), places.get(to)];
			if (!a || !b || a === b) return;
			const half = size / 2 - 1;
			const [x, y, u, v] = [a.x + half, a.y + half, b.x + half, b.y + half];
			ink.strokeStyle = colour(stroke);
			ink.lineWidth = width;
			ink.setLineDash(dash);
			ink.beginPath();
			ink.moveTo(x, y);
			ink.quadraticCurveTo((x + u) / 2, Math.min((y + v) / 2 + Math.hypot(u - x, v - y) / 8, height), u, v);
			ink.stroke();
			ink.setLineDash([]);
		};
		const own = agent.info.node_id;
		agent.links.watched_by.forEach(by => line(by, own, "--faint", 1));
		for (const { by, agreed, member } of agent.links.verdicts)
			[by, ...agreed].forEach(one => line(one, member, "--bad", 1, [2, 3]));
		for (const link of agent.links.watches)
			line(own, link.node_id, isLate(link) ? "--bad" : "--accent", 2, isLate(link) ? [5, 4] : []);
	}
}

/** Whether a member that this agent watches does not answer it. */
export function isLate({ silent_ms: silent, answered_ago_ms: answered }) {
	return silent != null || (answered != null && answered > LATE_MS);
}
