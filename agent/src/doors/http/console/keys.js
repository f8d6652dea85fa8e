// The keys of a sealed cluster: the generation in use, and the members that lack something.

import { badge, copyable, count, el, facts, heading, many, named, span } from "./dom.js";
import { standingOf } from "./members.js";
import { Asking } from "./stream.js";
import { List, badgeColumn, memberColumn, ofMembers, textColumn, timeColumn } from "./table.js";

/** The agent asks other members for the answer, so the page asks seldom. */
const AGAIN_MS = 30_000;

const isLiving = ({ status }) => status === "alive" || status === "suspect";

/** What a member lacked of what this agent holds when it last showed its keys. */
function lacks(one) {
	if (one.revoked) return "revoked";
	if (one.shown_ago_ms == null) return "never showed its keys";
	const missing = { "the newest generation": one.has_newest, revocations: one.has_revocations, "CA keys": one.has_authorities };
	return Object.keys(missing)
		.filter(what => missing[what] === false)
		.join(", ");
}

const shownWords = ({ shown_ago_ms: ago }) => (ago == null ? "" : `${span(ago)} ago`);

const rankOf = one => (lacks(one) ? (isLiving(one) ? 0 : 1) : 2);

export class Keys {
	constructor(store, route) {
		this.title = "Keys";
		this.heading = heading("Keys of the cluster");
		this.body = el("div", el("p.fresh", "Asking the members which keys they hold."));
		this.list = new List(route, {
			title: "Members",
			name: "keys",
			also: one => one.node_id,
			...ofMembers(rankOf),
			columns: [
				memberColumn(),
				badgeColumn("state n2", "Status", standingOf, one => one.status),
				textColumn("generation", "Generation"),
				badgeColumn(
					"lacks n3",
					"Lacks",
					one => (one.revoked ? "bad" : lacks(one) ? "warn" : "ok"),
					one => lacks(one) || "nothing"
				),
				timeColumn("shown n4", "Shown", shownWords, one => one.shown_ago_ms ?? Infinity),
				textColumn("token", "Token")
			]
		});
		this.list.element.hidden = true;
		this.element = el("div", el("div.well", this.heading, this.body), this.list.element);
		const fail = (message, code) => this.fail(message, code);
		this.asking = new Asking("keys", {}, keys => this.draw(keys), fail, AGAIN_MS);
	}

	close() {
		this.asking.close();
	}

	update() {}

	fail(message, code) {
		const clear = "This cluster is not sealed and has no keys: everybody who reaches a gossip port can take part.";
		this.body.replaceChildren(el("p.fresh", code === "not_sealed" ? clear : message));
	}

	draw(keys) {
		const { generation, next, members, revocations, long_tokens: long, authorities, unkept } = keys;
		const living = members.filter(isLiving);
		const laggards = living.filter(one => lacks(one) && !one.revoked);
		const names = named(laggards.map(one => one.name));
		const behind = `${many(laggards.length, "living member lacks", "living members lack")} something: ${names}.`;
		const all = `All ${count(living.length)} living members hold generation ${next?.number ?? generation?.number}.`;
		const [level, text] = !generation
			? ["bad", "This agent uses no generation yet."]
			: laggards.length
				? ["warn", behind]
				: ["ok", all];
		const revoked = ({ kind, fingerprint, members: of, by }) => el("li", `${kind} ${fingerprint}: ${named(of)}, by ${by}`);
		this.body.replaceChildren(
			el("p.fresh", badge(level, text)),
			facts({
				Generation: generation && `${generation.number}, hash ${generation.hash}`,
				"Held for": generation?.held_for_ms != null && span(generation.held_for_ms),
				Next: next && `${next.number}, in use in ${span(next.in_use_in_ms)}`,
				"Cluster id": keys.cluster_id,
				"CA keys": authorities.join(", "),
				"Signs orders": keys.operator ? "this agent" : "an operator's credential",
				"Long tokens": long.length && count(long.length),
				"Untimely tokens": keys.untimely_tokens && count(keys.untimely_tokens),
				"Not on disk": unkept,
				Revocations: revocations.length && el("ul", revocations.slice(0, 20).map(revoked))
			}),
			el("p", copyable("hobnob keys status"), " ", copyable("hobnob keys rotate"))
		);
		this.list.element.hidden = false;
		this.list.set(members);
	}
}
