// The answer to "is it well?": one sentence, and what is wrong, the worst first.

import { command, count, many, memberHref, named, printable, quoted, serviceHref, span } from "./dom.js";
import { partsOf, worseFirst } from "./standing.js";

/** Services that are named one by one. The others are counted. */
const MAX_SERVICES = 25;

const LEVELS = { bad: 0, warn: 1, note: 2 };

const DOCTOR = "hobnob doctor";

/** A problem. `level` is `bad`, `warn` or `note`. The detail, the address of a page and the command that helps may be absent. */
const problem = (level, title, detail, href, command) => ({ level, title, detail, href, command });

/** What is wrong, the worst first. */
export function problems(store) {
	if (!store.agent) return [];
	const found = [...agentProblems(store), ...serviceProblems(store), ...memberProblems(store), ...datacenterProblems(store)];
	return found.sort((a, b) => LEVELS[a.level] - LEVELS[b.level]);
}

/** One sentence: whether it is well. */
export function verdict({ agent, known }, found) {
	if (!agent) return { level: "new", text: "Asking the agent." };
	if (!known.has("instances") || !known.has("members"))
		return { level: "new", text: "The agent answers. What it knows is on the way." };
	if (found.length === 0) return { level: "ok", text: "All is well." };
	const { level, title } = found[0];
	const others = found.filter((one) => one.level === level).length - 1;
	const text = `${title}${others > 0 ? `, and ${many(others, "more problem")}` : ""}.`;
	if (level === "bad") return { level, text };
	return level === "warn" ? { level, text: `It works, but ${lower(text)}` } : { level: "ok", text: `All is well. ${text}` };
}

const lower = (text) => (/^(This|Another|The) /.test(text) ? text[0].toLowerCase() + text.slice(1) : text);

/** How old it is what this agent knows. */
export function freshness({ agent, isolated }) {
	const { last_contact_ago_ms: ago, active_members: active } = agent.info;
	const name = printable(agent.info.name);
	const age = ago == null ? "" : span(ago + Math.max(0, Date.now() - agent.at));
	if (isolated) return `${name} hears no other member${age && ` since ${age}`}: what it shows of others is that old.`;
	if (age) return `${name} heard another member ${age} ago.`;
	return active > 1 ? `${name} has heard no other member yet.` : `${name} is alone: it knows no other member.`;
}

function agentProblems({ agent, isolated }) {
	const {
		duplicate,
		sealed,
		file_problems: files = [],
		voter,
		maintenance,
		udp_blocked: blocked,
		name_conflicts: names = [],
	} = agent.info;
	const silent = duplicate?.silent ? "this agent is the silent one" : "the other one is silent";
	const all = [
		isolated &&
			problem(
				"bad",
				"This agent hears no other member",
				"What it shows of others may be old. Look at the network of this host.",
				null,
				DOCTOR,
			),
		duplicate &&
			problem(
				"bad",
				"Another agent runs under the node id of this agent",
				`At ${duplicate.gossip_address}; ${silent}.`,
				null,
				DOCTOR,
			),
		sealed?.revoked && problem("bad", "This agent is revoked", "An operator revoked it.", "#/keys"),
		sealed?.refusal && problem("bad", "No member lets this agent in", sealed.refusal, null, DOCTOR),
		sealed && sealed.generation == null && problem("bad", "This agent holds no key of the cluster yet", null, null, DOCTOR),
		files.length &&
			problem("bad", `This agent has ${many(files.length, "problem")} in its files`, files[0], null, "hobnob validate"),
		voter &&
			voter.standing !== "votes" &&
			problem("warn", "This agent is a voter and does not vote", voter.problem, null, "hobnob voters"),
		maintenance && problem("warn", "This agent is in maintenance", maintenance.reason, null, "hobnob maintenance off"),
		blocked && problem("warn", "This agent is reached by QUIC alone: UDP does not pass", null, null, DOCTOR),
		names.length &&
			problem(
				"warn",
				"Another member has the name of this agent",
				names.map((one) => one.gossip_address).join(", "),
				null,
				DOCTOR,
			),
	];
	return all.filter(Boolean);
}

function serviceProblems({ services }) {
	const all = [...services.values()].sort(worseFirst);
	const of = (level) => all.filter((service) => service.level === level);
	const found = ["bad", "warn"].flatMap((level) => {
		const [named, rest] = [of(level).slice(0, MAX_SERVICES), of(level).slice(MAX_SERVICES)];
		const more = problem(
			level,
			`${many(rest.length, "more service has", "more services have")} too few healthy instances`,
			null,
			"#/",
		);
		return [...named.map(serviceProblem), ...(rest.length ? [more] : [])];
	});
	const failing = of("note").reduce((sum, one) => sum + one.bad + one.lost, 0);
	const title = `${many(failing, "instance is", "instances are")} not healthy, in services with enough others`;
	return failing ? [...found, problem("note", title, null, "#/instances?q=-healthy -maintenance -drained")] : found;
}

function serviceProblem(service) {
	const { level, namespace, total, out, healthy, offered } = service;
	const [name, wanted] = [printable(service.service), count(total - out)];
	const title =
		level === "bad"
			? `${name} has no healthy instance of ${wanted}`
			: `${name} has ${count(healthy)} of ${wanted} instances healthy`;
	const offer =
		healthy === 0 && offered > 0 ? ` ${count(offered)} of earlier knowledge ${offered === 1 ? "is" : "are"} offered.` : "";
	const within = namespace === "default" ? "" : ` --namespace=${quoted(namespace)}`;
	const ask = quoted(namespace) && command(`resolve --all${within}`, service.service);
	return problem(level, title, `${partsOf(service)}.${offer}`, serviceHref(service), ask);
}

function memberProblems({ members, massLosses, agent }) {
	const all = [...members.values()];
	const of = (status) => all.filter((member) => member.status === status);
	const names = (some) => `${named(some.map((member) => member.name))}.`;
	const [down, suspect] = [of("down"), of("suspect")];
	const silent = all.filter((member) => member.silentAt != null);
	const twice = agent.info.name_conflicts?.length ? [] : all.filter((member) => member.name_conflict);
	const [first] = down;
	const one =
		down.length === 1 &&
		problem("warn", `${printable(first.name)} is down`, null, memberHref(first.node_id), command("explain", first.name));
	const some =
		down.length > 1 &&
		problem("warn", `${count(down.length)} members are down`, names(down), "#/members?q=down", command("explain", first.name));
	const rest = [
		one || some,
		silent.length &&
			problem(
				"warn",
				`This agent gets no answer from ${many(silent.length, "member")} that others hear`,
				names(silent),
				"#/members",
				DOCTOR,
			),
		twice.length && problem("warn", `${count(twice.length)} living members share their names`, names(twice), "#/members"),
		suspect.length &&
			problem("note", `${many(suspect.length, "member is", "members are")} suspect`, names(suspect), "#/members?q=suspect"),
	];
	return [...massLosses.map(massLoss), ...rest.filter(Boolean)];
}

function massLoss({ lost, of, missing, ago_ms: ago, exited = 0 }) {
	const cause =
		exited >= lost ? "their processes exited" : `probably a cut${exited ? `; the processes of ${count(exited)} exited` : ""}`;
	const detail = `${span(ago)} ago: ${cause}. ${count(missing)} are missing still.`;
	return problem("bad", `${count(lost)} of ${many(of, "member")} were lost at once`, detail, "#/members?q=down");
}

function datacenterProblems({ agent }) {
	const [href, ask] = ["#/members", "hobnob datacenters"];
	return agent.datacenters.datacenters.flatMap(
		({ name, status, out_of_reach_ago_ms: lost = 0, isolated_ago_ms: isolated = 0, held_back: held }) => {
			const [shown, rejoin] = [printable(name), command("datacenters rejoin", name)];
			const all = [
				status === "out_of_reach" && problem("bad", `The datacenter ${shown} is out of reach`, `For ${span(lost)}.`, href, ask),
				status === "isolated" &&
					problem("warn", `The datacenter ${shown} is isolated by an order`, `For ${span(isolated)}.`, href, rejoin),
				held?.waiting &&
					problem(
						"warn",
						`This gateway holds back changes for ${shown}`,
						`Of ${many(held.waiting, "member")}, the last of ${printable(held.last)}.`,
						href,
						ask,
					),
			];
			return all.filter(Boolean);
		},
	);
}
