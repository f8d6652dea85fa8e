// The answer to "is it well?": one sentence, and what is wrong, the worst first.

import { command, count, many, memberHref, named, quoted, serviceHref, span } from "./dom.js";
import { partsOf, worseFirst } from "./standing.js";

/** Services that are named one by one. The others are counted. */
const MAX_SERVICES = 10;

const LEVELS = { bad: 0, warn: 1, note: 2 };

const DOCTOR = "hobnob doctor";

/** A problem. `level` is `bad`, `warn` or `note`. The detail, the command that helps and the address of a page may be absent. */
const problem = (level, title, detail, command, href) => ({ level, title, detail, command, href });

export function problems(store) {
	if (!store.agent) return [];
	const found = [...agentProblems(store), ...serviceProblems(store), ...memberProblems(store), ...datacenterProblems(store)];
	return found.sort((a, b) => LEVELS[a.level] - LEVELS[b.level]);
}

export function verdict({ agent, known }, found) {
	if (!agent) return { level: "new", text: "Asking the agent." };
	if (!known.has("instances") || !known.has("members"))
		return { level: "new", text: "The agent answers. What it knows is on the way." };
	if (found.length === 0) return { level: "ok", text: "All is well." };
	const { level, title } = found[0];
	const others = found.filter(one => one.level === level).length - 1;
	const text = `${title}${others > 0 ? `, and ${many(others, "more problem")}` : ""}.`;
	if (level === "bad") return { level, text };
	return level === "warn" ? { level, text: `It works, but ${lower(text)}` } : { level: "ok", text: `All is well. ${text}` };
}

const lower = text => (/^(This|Another|The) /.test(text) ? text[0].toLowerCase() + text.slice(1) : text);

/** How old it is what this agent knows. */
export function freshness({ agent, isolated }) {
	const { name, last_contact_ago_ms: ago, active_members: active } = agent.info;
	const age = ago == null ? "" : span(ago + Math.max(0, Date.now() - agent.at));
	if (isolated) return `${name} hears no other member${age && ` for ${age}`}: what it shows of others is that old.`;
	if (age) return `${name} heard another member ${age} ago.`;
	return active > 1 ? `${name} has heard no other member yet.` : `${name} is alone: it knows no other member.`;
}

function agentProblems({ agent: { info }, isolated }) {
	const { duplicate, sealed, voter, maintenance, file_problems: files = [], name_conflicts: names = [] } = info;
	const old = "What it shows of others may be old. They are down, or this host is cut off.";
	const double = duplicate && `At ${duplicate.gossip_address}; ${duplicate.silent ? "this agent" : "the other one"} is silent.`;
	const conflicts = names.map(one => one.gossip_address).join(", ");
	return those([
		[isolated, "bad", "This agent hears no other member", old, DOCTOR],
		[duplicate, "bad", "Another agent runs under the node id of this agent", double, DOCTOR],
		[sealed?.revoked, "bad", "This agent is revoked", "An operator revoked it.", null, "#/keys"],
		[sealed?.refusal, "bad", "No member lets this agent in", sealed?.refusal, DOCTOR],
		[sealed && sealed.generation == null, "bad", "This agent holds no key of the cluster yet", null, DOCTOR],
		[files.length, "bad", `This agent has ${many(files.length, "problem")} in its files`, files[0], "hobnob validate"],
		[voter && voter.standing !== "votes", "warn", "This agent is a voter and does not vote", voter?.problem, "hobnob voters"],
		[maintenance, "warn", "This agent is in maintenance", maintenance?.reason, "hobnob maintenance off"],
		[info.udp_blocked, "warn", "This agent is reached by QUIC alone: UDP does not pass", null, DOCTOR],
		[names.length, "warn", "Another member has the name of this agent", conflicts, DOCTOR]
	]);
}

/** The problems that there are, of rows that begin with whether one is there. */
const those = rows => rows.filter(([is]) => is).map(([, ...told]) => problem(...told));

function serviceProblems({ services }) {
	const all = [...services.values()].sort(worseFirst);
	const of = level => all.filter(service => service.level === level);
	const found = ["bad", "warn"].flatMap(level => {
		const [named, { length }] = [of(level).slice(0, MAX_SERVICES), of(level).slice(MAX_SERVICES)];
		const title = `${many(length, "more service has", "more services have")} too few healthy instances`;
		return [...named.map(serviceProblem), ...those([[length, level, title, null, null, "#/"]])];
	});
	const failing = of("note").reduce((sum, one) => sum + one.bad + one.lost, 0);
	const title = `${many(failing, "instance is", "instances are")} not healthy, in services with enough others`;
	return [...found, ...those([[failing, "note", title, null, null, "#/instances?q=-healthy -maintenance -drained"]])];
}

function serviceProblem(service) {
	const { level, namespace, service: name, total, out, healthy, offered } = service;
	const wanted = count(total - out);
	const has = level === "bad" ? `no healthy instance of ${wanted}` : `${count(healthy)} of ${wanted} instances healthy`;
	const offer = healthy === 0 && offered > 0 ? ` Offered, since healthy when last known: ${count(offered)}.` : "";
	const within = namespace === "default" ? "" : ` --namespace=${quoted(namespace)}`;
	const ask = quoted(namespace) && command(`resolve --all${within}`, name);
	return problem(level, `${name} has ${has}`, `${partsOf(service)}.${offer}`, ask, serviceHref(service));
}

function memberProblems({ members, massLosses, agent }) {
	const all = [...members.values()];
	const of = status => all.filter(member => member.status === status);
	const names = some => `${named(some.map(member => member.name))}.`;
	const [down, suspect] = [of("down"), of("suspect")];
	const silent = all.filter(member => member.silentAt != null);
	const twice = agent.info.name_conflicts?.length ? [] : all.filter(member => member.name_conflict);
	const [first] = down;
	const explain = first && command("explain", first.name);
	const unheard = `This agent gets no answer from ${many(silent.length, "member")} that others hear`;
	const suspected = `${many(suspect.length, "member is", "members are")} suspect`;
	const rows = [
		[down.length === 1, "warn", `${first?.name} is down`, null, explain, memberHref(first?.node_id)],
		[down.length > 1, "warn", `${count(down.length)} members are down`, names(down), explain, "#/members?q=down"],
		[silent.length, "warn", unheard, names(silent), DOCTOR, "#/members"],
		[twice.length, "warn", `${count(twice.length)} living members share their names`, names(twice), null, "#/members"],
		[suspect.length, "note", suspected, names(suspect), null, "#/members?q=suspect"]
	];
	return [...massLosses.map(massLoss), ...those(rows)];
}

function massLoss({ lost, of, missing, ago_ms: ago, exited = 0 }) {
	const cause =
		exited >= lost ? "their processes exited" : `probably a cut${exited ? `; the processes of ${count(exited)} exited` : ""}`;
	const detail = `${span(ago)} ago: ${cause}. ${count(missing)} are missing still.`;
	return problem("bad", `${count(lost)} of ${many(of, "member")} were lost at once`, detail, null, "#/members?q=down");
}

function datacenterProblems({ agent }) {
	const [href, ask] = ["#/members", "hobnob datacenters"];
	return agent.datacenters.datacenters.flatMap(one => {
		const { status, out_of_reach_ago_ms: lost = 0, isolated_ago_ms: isolated = 0, held_back: held } = one;
		const { name } = one;
		const waiting = held && `Of ${many(held.waiting, "member")}, the last of ${held.last}.`;
		return those([
			[status === "out_of_reach", "bad", `The datacenter ${name} is out of reach`, `For ${span(lost)}.`, ask, href],
			[
				status === "isolated",
				"warn",
				`The datacenter ${name} is isolated by an order`,
				`For ${span(isolated)}.`,
				command("datacenters rejoin", name),
				href
			],
			[held?.waiting, "warn", `This gateway holds back changes for ${name}`, waiting, ask, href]
		]);
	});
}
