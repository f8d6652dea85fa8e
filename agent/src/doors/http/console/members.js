// The members: a map of who hears whom, the datacenters with their lag, and a list.

import {
	badge,
	command,
	copyable,
	count,
	detail,
	el,
	facts,
	heading,
	many,
	memberHref,
	named,
	placeOf,
	redraw,
	say,
	span
} from "./dom.js";
import { MemberMap, isLate } from "./map.js";
import { MEMBERS } from "./standing.js";
import { Asking } from "./stream.js";
import { List, badgeColumn, memberColumn, ofMembers, textColumn, timeColumn } from "./table.js";

const RANKS = { down: 0, suspect: 1, unreachable: 2, alive: 4 };
const rankOf = member => (member.silentAt == null ? (RANKS[member.status] ?? 3) : 1.5);

export const standingOf = ({ status, silentAt }) =>
	status === "alive" && silentAt != null ? "warn" : (MEMBERS[status] ?? "gone");

/** For how long a member has had its state, where that is known. */
function since(member) {
	const at = member.silentAt ?? member.downAt;
	return at == null ? "" : span(Math.max(0, Date.now() - at));
}

const stateWords = ({ status, silentAt }) => (silentAt != null && status === "alive" ? "alive, link broken" : status);

const LEGEND = {
	own: "this agent watches it",
	late: "no answer to this agent",
	by: "watches this agent",
	verdict: "called it down"
};

export class Members {
	constructor(store, route) {
		Object.assign(this, { store, title: "Members" });
		this.heading = heading("Members");
		[this.summary, this.pointed, this.links] = [el("p.fresh"), el("p.pointed"), el("p.note")];
		[this.datacenters, this.aside] = [el("section"), el("div.aside")];
		const point = member => say(this.pointed, member ? `${member.name}: ${stateWords(member)} ${since(member)}` : "");
		this.map = new MemberMap(store, ({ node_id: id }) => route.go(memberHref(id)), point);
		const ours = ({ node_id: id }) => (id === store.agent?.info.node_id ? "this agent" : "");
		this.list = new List(route, {
			title: "Members",
			name: "members",
			...ofMembers(rankOf),
			stampOf: one => `${one.status}${one.name}${one.gossip_address}${since(one)}`,
			columns: [
				memberColumn(ours),
				badgeColumn("state n2", "Status", standingOf, stateWords, rankOf),
				timeColumn("since n4", "For", since, one => one.silentAt ?? one.downAt ?? Infinity),
				textColumn("address", "Gossip address", one => one.gossip_address),
				textColumn("zone n3", "DC/zone", placeOf),
				textColumn("node-id", "Node id", one => one.node_id)
			]
		});
		const statuses = Object.entries(MEMBERS).map(([word, at]) => el("li", badge(at, word)));
		const lines = Object.entries(LEGEND).map(([kind, word]) => el(`li.line.${kind}`, word));
		const head = el("h2", "Who hears whom, as this agent knows");
		const map = el("section", head, this.map.canvas, this.pointed, el("ul.legend", statuses, lines), this.links);
		const stack = el("div.stack", map, this.datacenters, this.list.element);
		this.element = el("div.split", el("div.well", this.heading, this.summary), this.aside, stack);
		this.open(route.parts[0]);
	}

	/** Shows a member beside the list, or none. */
	open(nodeId) {
		this.asking?.close();
		this.asking = null;
		this.element.classList.toggle("alone", nodeId === undefined);
		this.aside.replaceChildren();
		if (nodeId === undefined) return;
		const [head, body] = [el("h2"), el("div")];
		this.aside.append(detail("Member", head, "#/members", body));
		const draw = ({ members }) => {
			const found = members.find(one => one.member.node_id === nodeId);
			if (!found) return;
			say(head, found.member.name);
			body.replaceChildren(...inFull(found));
		};
		this.asking = new Asking("explain", { subject: nodeId }, draw, message => body.replaceChildren(el("p.none", message)));
	}

	follow({ page, parts }) {
		if (page !== "members") return false;
		this.open(parts[0]);
		return true;
	}

	close() {
		this.map.close();
		this.asking?.close();
	}

	update(topics) {
		const { members, agent, known } = this.store;
		if (!topics.has("agent") && !topics.has("members")) return;
		const all = [...members.values()];
		const numbers = Object.keys(MEMBERS).map(status => [all.filter(one => one.status === status).length, status]);
		const words = numbers.filter(([n]) => n).map(([n, status]) => `${count(n)} ${status}`);
		const text = `${many(all.length, "member")}: ${words.join(", ")}.`;
		say(this.summary, known.has("members") ? text : "The members are on the way.");
		this.map.canvas.setAttribute("aria-label", `Map of ${text} The list below has the same.`);
		this.map.draw();
		if (agent) {
			say(this.links, linksText(agent.links, members));
			const { datacenters } = agent.datacenters;
			redraw(this.datacenters, JSON.stringify(datacenters), () => [
				el("h2", `Datacenters (${count(datacenters.length)})`),
				el("div.cards", datacenters.map(datacenterCard))
			]);
		}
		this.list.set(all);
		if (topics.has("members")) this.asking?.now();
	}
}

function linksText({ watches, watched_by: watchedBy, verdicts, more }, members) {
	const names = ids => named(ids.map(id => members.get(id)?.name ?? id));
	const idsOf = links => links.map(link => link.node_id);
	const [late, heard] = [watches.filter(isLate), watches.filter(link => !isLate(link))];
	const parts = [
		watches.length ? `This agent watches ${many(watches.length, "member")}.` : "This agent watches no member.",
		heard.length && `Heard from: ${names(idsOf(heard))}.`,
		late.length && `No answer from: ${names(idsOf(late))}.`,
		watchedBy.length && `Watched by: ${names(watchedBy)}.`,
		verdicts.length &&
			`${many(verdicts.length, "member is", "members are")} down by a verdict${more ? ", and more that are not drawn" : ""}.`
	];
	return parts.filter(Boolean).join(" ");
}

function inFull({ member, is_self: isSelf, reason, verdict, heard, watched, records }) {
	const { name, status, node_id: id } = member;
	const cause = verdict && [
		`${verdict.exited ? "its process exited" : verdict.cause.replaceAll("_", " ")}, found by ${verdict.by}`,
		verdict.agreed.length && `agreed by ${named(verdict.agreed)}`,
		`told by ${verdict.told_by} ${span(verdict.ago_ms)} ago`
	];
	const held = watched && (watched.held_ms == null ? "yes, without a connection" : `yes, connected for ${span(watched.held_ms)}`);
	const news = records?.news;
	return [
		el("p", badge(standingOf(member), status), member.down_ago_ms == null ? "" : ` for ${span(member.down_ago_ms)}`),
		el("p.reason", reason),
		facts({
			Verdict: cause && cause.filter(Boolean).join(", "),
			"Heard by this agent": !isSelf && (heard ? `${span(heard.ago_ms)} ago, by ${heard.by}` : "never"),
			"Watched by this agent": !isSelf && (held ?? "no"),
			"Gossip address": member.gossip_address,
			"DC/zone": placeOf(member),
			Instances: records && count(records.instances),
			Records: records && `version ${records.version}${records.behind ? ", newer ones are on their way" : ""}`,
			"Latest news": news && `${span(news.ago_ms)} ago from ${news.from}, by ${news.by}`,
			"Node id": id,
			Epoch: String(member.epoch)
		}),
		el("p", el("a", { href: `#/instances?q=${encodeURIComponent(name)}` }, "Its instances")),
		el("p", copyable(command("explain", name))),
		el("p", copyable(command("history", name))),
		status === "down" ? el("p.note", "If its host is gone for good: ", copyable(command("force-leave", name))) : ""
	];
}

const REACH = {
	own: ["ok", "of this agent"],
	reachable: ["ok", "in reach"],
	out_of_reach: ["bad", "out of reach"],
	isolated: ["out", "isolated by an order"]
};

function datacenterCard({ status, gateways = [], held_back: held, ...one }) {
	const [standing, words] = REACH[status] ?? ["new", status];
	const ago = (ms, before, after = "") => ms != null && `${before}${span(ms)}${after}`;
	return el(
		"div.card",
		el("h3", one.name),
		el("p", badge(standing, words), ago(one.out_of_reach_ago_ms, " for ")),
		facts({
			Alive: count(one.alive),
			Down: one.down && count(one.down),
			Instances: count(one.instances),
			"Lag (round trip)": one.round_trip_ms != null && `${one.round_trip_ms.toFixed(1)} ms`,
			Heard: ago(one.heard_ago_ms, "", " ago"),
			Gateways: gateways.length && named(gateways, 3),
			"Held back": held && `${many(held.changes, "change")}, last of ${held.last} ${span(held.last_ago_ms)} ago`
		})
	);
}
