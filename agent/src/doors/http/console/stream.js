// The one stream of events from the agent: read, watched, and opened again with back-off.

/** Without a byte for this long the stream is taken for broken. The agent says something each second. */
const SILENT_MS = 5_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** A page that nobody sees lets go of its stream after this long. */
const HIDDEN_MS = 30_000;

function open(headers = {}) {
	const abort = new AbortController();
	return { abort, opened: fetch("/ui/events", { headers, signal: abort.signal, cache: "no-store" }) };
}

/** The first connection. The catalog is on its way while the other files of the page load. */
let first = open();
// `read` tells of a failure.
first.opened.catch(() => {});

/** Follows the agent. `onEvent(name, data)` gets each event, `onState(state)` each change of the connection. */
export class Stream {
	constructor(onEvent, onState) {
		Object.assign(this, { onEvent, onState, last: "", pause: FIRST_PAUSE_MS, heardAt: 0 });
		document.addEventListener("visibilitychange", () => this.seen());
		addEventListener("online", () => this.wake());
		this.run();
	}

	async run() {
		for (;;) {
			if (document.hidden && this.isPaused) await this.awaken();
			let why;
			try {
				why = await this.read();
			} catch (error) {
				// A browser tells scripts no more of a connection that failed.
				why = error instanceof TypeError ? "the agent does not answer" : error.message || String(error);
			}
			if (this.isRefused) {
				this.onState({ live: false, why, needsKey: true });
				await this.awaken();
				continue;
			}
			const pause = this.isPaused ? 0 : this.pause * (0.75 + Math.random() / 2);
			this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
			this.onState({ live: false, why: this.isPaused ? "the page was hidden" : why, againAt: Date.now() + pause });
			if (!this.isPaused) await Promise.race([new Promise(done => setTimeout(done, pause)), this.awaken()]);
		}
	}

	/** Ends when somebody looks at the page, or asks to go on. */
	awaken() {
		return new Promise(done => (this.woken = done));
	}

	wake() {
		this.woken?.();
	}

	seen() {
		clearTimeout(this.hiding);
		if (!document.hidden) {
			this.isPaused = false;
			this.wake();
			return;
		}
		this.hiding = setTimeout(() => {
			this.isPaused = true;
			this.abort?.abort();
		}, HIDDEN_MS);
	}

	/** Reads one connection to its end. Returns or throws why it ended. */
	async read() {
		const { abort, opened } = first ?? open(this.last ? { "Last-Event-ID": this.last } : {});
		first = null;
		this.abort = abort;
		const watch = setInterval(() => {
			if (performance.now() - this.heardAt > SILENT_MS) abort.abort(new Error(`nothing came for ${SILENT_MS / 1_000} s`));
		}, 1_000);
		this.heardAt = performance.now();
		this.ended = undefined;
		try {
			const answer = await opened;
			this.isRefused = answer.status === 403;
			if (!answer.ok) return `the agent refused: ${(await answer.text()).trim().slice(0, 300) || answer.status}`;
			const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
			let text = "";
			for (;;) {
				const { done, value } = await reader.read();
				if (done) return this.ended ?? "the agent ended the stream";
				this.heardAt = performance.now();
				// Only the new part can have the end of an event, or the second half of one.
				let from = Math.max(0, text.length - 1);
				text += value;
				for (let end; (end = text.indexOf("\n\n", from)) >= 0; from = 0) {
					this.take(text.slice(0, end));
					text = text.slice(end + 2);
				}
			}
		} finally {
			clearInterval(watch);
			abort.abort();
		}
	}

	take(piece) {
		const fields = { event: "", data: "", id: "" };
		for (const line of piece.split("\n")) {
			const at = line.indexOf(":");
			if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trimStart();
		}
		if (!fields.data) return;
		const data = JSON.parse(fields.data);
		if (fields.event === "error") {
			this.ended = data.response.error.message;
			return;
		}
		this.pause = FIRST_PAUSE_MS;
		this.onEvent(fields.event, data);
		if (fields.id) this.last = fields.id;
		this.onState({ live: true });
	}
}

/** Asks the agent's API one question. Throws an error with the message and `code` of the agent. */
export async function ask(question, parameters = {}) {
	const query = new URLSearchParams(parameters).toString();
	const answer = await fetch(`/v1/hobnob/${question}${query && `?${query}`}`, { cache: "no-store" });
	const text = await answer.text();
	let response;
	try {
		response = JSON.parse(text).response;
	} catch {
		throw new Error(text.trim().slice(0, 300) || `the agent answered ${answer.status}`);
	}
	if (response.error) throw Object.assign(new Error(response.error.message), { code: response.error.code });
	return Object.values(response)[0];
}

/** An explanation is asked for again after this long. */
const AGAIN_MS = 5_000;

/** Asks a question at once, every few seconds, and when told to, until it is closed. */
export class Asking {
	constructor(question, parameters, onAnswer, onFailure, everyMs = AGAIN_MS) {
		Object.assign(this, { question, parameters, onAnswer, onFailure });
		this.timer = setInterval(() => this.now(), everyMs);
		this.now();
	}

	close() {
		clearInterval(this.timer);
		this.isClosed = true;
	}

	/** Asks, unless it asks already; then it asks once more afterwards. */
	async now() {
		if (document.hidden || this.isClosed) return;
		this.isWanted = this.isAsking;
		if (this.isAsking) return;
		this.isAsking = true;
		const answer = await ask(this.question, this.parameters).catch(error => error);
		this.isAsking = false;
		if (this.isClosed) return;
		if (answer instanceof Error) this.onFailure(answer.message, answer.code);
		else this.onAnswer(answer);
		if (this.isWanted) this.now();
	}
}
