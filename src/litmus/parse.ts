// Reads a scenario file. The grammar is in docs/litmus.md; every error names file, line and column and says what could stand there.
import { BadInputError } from "../errors.js";
import { STEP_CODES, type Step } from "../strategies/steps.js";
import { Line } from "./line.js";
import { RULES } from "./rules.js";
import {
	type Condition,
	FRAME_KINDS,
	type FrameSpec,
	type Mapping,
	type PageSpec,
	type Scenario,
	type Statement,
	THREAD_KINDS,
	type ThreadKind,
	type ThreadSpec,
	WHOLE_OPERATIONS,
} from "./scenario.js";

const SECTIONS = ["litmus", "title", "source", "frame", "page", "thread", "forbidden", "allowed", "without"] as const;
const TABLES = ["pte", "spte", "mirror", "device"] as const;
const ACCESSES = ["read", "write", "signal", "await"] as const;
const DMA = ["pin", "dma", "unpin", "signal", "await"] as const;
const HOST = [...ACCESSES, ...WHOLE_OPERATIONS] as const;
const VERBS: Readonly<Record<ThreadKind, readonly string[]>> = {
	host: HOST,
	ksmd: [...HOST, "merge"],
	vcpu: ACCESSES,
	mirror: ACCESSES,
	sva: ACCESSES,
	dma: DMA,
};
/** Bits of the flags' byte, pages of the hull's, threads whose steps fit a line. */
const MAX = { flags: 8, pages: 4, threads: 6 } as const;

const STEP_NAMES = Object.keys(STEP_CODES) as Step["step"][];
const MODES = ["update", "establish"] as const;
const WRITABLE = ["zap", "map", "refuse"] as const;

/** @throws BadInputError */
export function parseScenario(text: string, file: string): Scenario {
	return new ScenarioParser(file).parse(text);
}

class ScenarioParser {
	readonly #file: string;
	#name = "";
	#title = "";
	#source = "";
	readonly #frames: FrameSpec[] = [];
	readonly #pages: PageSpec[] = [];
	readonly #threads: (ThreadSpec & { statements: Statement[] })[] = [];
	#forbidden: Condition | null = null;
	readonly #allowed: string[] = [];
	readonly #without: { thread: string; strategies: string[]; reason: string }[] = [];
	/** The condition may speak of threads that come after it. */
	#condition: Line | null = null;

	constructor(file: string) {
		this.#file = file;
	}

	parse(text: string): Scenario {
		let last = new Line(this.#file, 1, "");
		for (const [at, raw] of text.split(/\r?\n/).entries()) {
			const line = new Line(this.#file, at + 1, raw);
			if (line.empty) continue;
			last = line;
			if (line.indented) this.#statement(line);
			else this.#section(line);
		}
		if (this.#name === "") throw this.#incomplete(last, "no name", "a scenario begins with: litmus NAME");
		if (this.#pages.length === 0) throw this.#incomplete(last, "no page", "page v: pte A ro, spte A ro");
		if (this.#threads.length === 0) throw this.#incomplete(last, "no thread", "thread T host");
		if (this.#condition === null) throw this.#incomplete(last, "no forbidden outcome", "forbidden I-2, or forbidden T.r = 0");
		this.#forbidden = this.#anyOf(this.#condition);
		this.#condition.end();
		this.#checkFlags(last);
		return {
			file: this.#file,
			name: this.#name,
			title: this.#title,
			source: this.#source,
			frames: this.#frames,
			pages: this.#pages,
			threads: this.#threads,
			forbidden: this.#forbidden,
			allowed: this.#allowed,
			without: this.#without,
		};
	}

	#incomplete(last: Line, what: string, hint: string): BadInputError {
		return new BadInputError(`the scenario has ${what}`, { where: `${this.#file}:${last.number}`, hint });
	}

	#section(line: Line): void {
		switch (line.oneOf("section", SECTIONS)) {
			case "litmus":
				this.#name = line.take("a name", "letters, digits and dashes: a1-third-thread");
				if (!/^[a-z][a-z0-9-]*$/.test(this.#name)) line.fail(`${this.#name} is not a scenario's name`, "small letters, digits and dashes");
				line.end();
				return;
			case "title":
				this.#title = line.rest();
				return;
			case "source":
				this.#source = this.#source === "" ? line.rest() : `${this.#source} ${line.rest()}`;
				return;
			case "frame":
				this.#frame(line);
				return;
			case "page":
				this.#page(line);
				return;
			case "thread":
				this.#thread(line);
				return;
			case "forbidden":
				if (this.#condition !== null) line.fail("a second forbidden outcome", "join the two with: or");
				this.#condition = line;
				return;
			case "allowed":
				line.expect("under", "allowed under NAME NAME");
				this.#allowed.push(...this.#strategies(line));
				line.end();
				return;
			case "without":
				this.#absent(line);
				return;
		}
	}

	#frame(line: Line): void {
		const name = line.name("frame");
		if (name === "Z" || this.#frames.some((frame) => frame.name === name))
			line.fail(`frame ${name} is there already`, "Z is the zero page");
		const kind = line.oneOf("frame kind", FRAME_KINDS);
		const value = line.accept("=") ? line.value("content") : 0;
		const held = line.accept("held");
		line.end();
		this.#frames.push({ name, kind, value, held });
	}

	#mapping(line: Line): Mapping {
		if (line.accept("none")) return null;
		const frame = line.name("frame");
		if (frame !== "Z" && !this.#frames.some(({ name }) => name === frame))
			line.fail(`unknown frame ${frame}`, "declare it first: frame A private");
		return { frame, writable: line.oneOf("right", ["ro", "rw"]) === "rw" };
	}

	#page(line: Line): void {
		const name = line.name("page");
		if (this.#pages.some((page) => page.name === name)) line.fail(`page ${name} is there already`, "every page is declared once");
		if (this.#pages.length === MAX.pages) line.fail(`more than ${MAX.pages} pages`, "use fewer pages");
		const page: Record<(typeof TABLES)[number], Mapping> = { pte: null, spte: null, mirror: null, device: null };
		line.expect(":", "page v: pte A ro, spte A ro");
		do {
			page[line.oneOf("table", TABLES)] = this.#mapping(line);
		} while (line.accept(","));
		line.end();
		this.#pages.push({ name, ...page });
	}

	#thread(line: Line): void {
		const name = line.name("thread");
		if (this.#threads.some((thread) => thread.name === name)) line.fail(`thread ${name} is there already`, "every thread has its own name");
		if (this.#threads.length === MAX.threads) line.fail(`more than ${MAX.threads} threads`, "use fewer threads");
		const kind = line.oneOf("thread kind", THREAD_KINDS);
		const about = line.accept(":") ? line.rest() : "";
		line.end();
		this.#threads.push({ name, kind, about, statements: [] });
	}

	#strategies(line: Line): string[] {
		const names: string[] = [];
		while (!line.done && line.next !== ":") names.push(line.take("a strategy", "mmreplay strategies lists them"));
		if (names.length === 0) line.fail("a strategy is missing", "mmreplay strategies lists them", "next");
		return names;
	}

	#absent(line: Line): void {
		const thread = line.name("thread");
		if (!this.#threads.some(({ name }) => name === thread)) line.fail(`unknown thread ${thread}`, "threads come first");
		line.expect("under", "without D under NAME: reason");
		const strategies = this.#strategies(line);
		line.expect(":", "without D under NAME: reason");
		this.#without.push({ thread, strategies, reason: line.rest() });
	}

	#pageName(line: Line): string {
		const page = line.name("page");
		if (!this.#pages.some(({ name }) => name === page))
			line.fail(`unknown page ${page}`, `pages: ${this.#pages.map(({ name }) => name).join(", ")}`);
		return page;
	}

	#statement(line: Line): void {
		const thread = this.#threads.at(-1);
		if (thread === undefined) {
			line.fail("a step outside a thread", "thread T host, then its steps, indented", "next");
			return;
		}
		const verb = line.oneOf(`step of a ${thread.kind}`, VERBS[thread.kind]);
		thread.statements.push(this.#stepOf(line, verb, thread));
		line.end();
	}

	#stepOf(line: Line, verb: string, thread: ThreadSpec): Statement {
		const { number } = line;
		switch (verb) {
			case "read": {
				const page = this.#pageName(line);
				const register = line.name("register");
				const taken = thread.statements.some((statement) => statement.do === "read" && statement.register === register);
				if (taken) line.fail(`register ${register} is read into twice`, "every read has a register of its own");
				return { do: "read", page, register, line: number };
			}
			case "write":
			case "dma": {
				const page = this.#pageName(line);
				line.accept("=");
				const value = line.value("value");
				if (verb === "dma" && !thread.statements.some((statement) => statement.do === "pin"))
					line.fail("dma without a pin", "pin the page first");
				return { do: verb, page, value, line: number };
			}
			case "signal":
			case "await":
				return { do: verb, flag: line.name("flag"), line: number };
			case "merge": {
				const page = this.#pageName(line);
				const frame = line.name("frame");
				const known = this.#frames.find(({ name }) => name === frame);
				if (known?.kind !== "ksm") line.fail(`${frame} is no KSM page`, "frame K ksm");
				return { do: "merge", page, frame, line: number };
			}
			case "pin":
			case "unpin":
				return { do: verb, page: this.#pageName(line), line: number };
			default: {
				const operation = WHOLE_OPERATIONS.find((each) => each === verb);
				if (operation === undefined) return line.fail(`unknown step ${verb}`, "see docs/litmus.md");
				const page = this.#pageName(line);
				const earlyFree = line.accept("early-free");
				const steps = line.accept("by") ? this.#steps(line) : null;
				return { do: "operation", operation, page, earlyFree, steps, line: number };
			}
		}
	}

	/** A step list of the scenario's own: `by lock clear-flush change-pte(update, map) set-pte unlock`. */
	#steps(line: Line): Step[] {
		const steps: Step[] = [];
		while (!line.done) {
			const step = line.oneOf("step", STEP_NAMES);
			const words: string[] = [];
			if (line.accept("(")) {
				do words.push(line.take("a parameter", "see docs/litmus.md"));
				while (line.accept(","));
				line.expect(")", "the parameters end with )");
			}
			steps.push(this.#step(line, step, words));
		}
		if (steps.length === 0) line.fail("a step is missing", `steps: ${STEP_NAMES.join(", ")}`, "next");
		return steps;
	}

	#step(line: Line, step: Step["step"], words: readonly string[]): Step {
		const known = (allowed: readonly string[]): void => {
			const odd = words.find((word) => !allowed.includes(word));
			if (odd !== undefined)
				line.fail(`unknown parameter ${odd} of ${step}`, allowed.length === 0 ? "it has none" : `one of ${allowed.join(", ")}`);
		};
		const has = (word: string): boolean => words.includes(word);
		if (step === "change-pte") {
			known([...MODES, ...WRITABLE, "own-bracket", "unless-replace-follows", "deferred"]);
			return {
				step,
				mode: MODES.find(has) ?? "update",
				writable: WRITABLE.find(has) ?? "zap",
				...(has("own-bracket") ? { guard: "own-bracket" } : {}),
				...(has("unless-replace-follows") ? { unless: "replace-follows" } : {}),
				...(has("deferred") ? { flush: "deferred" } : {}),
			};
		}
		if (step === "range-start" || step === "range-end") {
			known(["no-kvm"]);
			return has("no-kvm") ? { step, kvm: false } : { step };
		}
		if (step === "set-pte-write-protected") {
			known(["reuse"]);
			return has("reuse") ? { step, reuse: "allowed" } : { step };
		}
		if (step === "alloc-copy") {
			known(["unless-own"]);
			return has("unless-own") ? { step, retry: "unless-own" } : { step };
		}
		known([]);
		return { step };
	}

	#anyOf(line: Line): Condition {
		const of = [this.#allOf(line)];
		while (line.accept("or")) of.push(this.#allOf(line));
		return of.length === 1 ? of[0] : { is: "any", of };
	}

	#allOf(line: Line): Condition {
		const of = [this.#atom(line)];
		while (line.accept("and")) of.push(this.#atom(line));
		return of.length === 1 ? of[0] : { is: "all", of };
	}

	#atom(line: Line): Condition {
		if (line.accept("(")) {
			const inner = this.#anyOf(line);
			line.expect(")", "a bracket is open");
			return inner;
		}
		const hint = `a rule (${RULES.join(", ")}), or a register: T.r = 0`;
		const word = line.take("a condition", hint);
		const rule = RULES.find((each) => each === word);
		if (rule !== undefined) return { is: "rule", rule };
		const [thread = "", register = "", ...more] = word.split(".");
		const reads = this.#threads.find(({ name }) => name === thread)?.statements.flatMap((s) => (s.do === "read" ? [s.register] : []));
		if (register === "" || more.length > 0) return line.fail(`unknown condition ${word}`, hint);
		if (reads === undefined) return line.fail(`unknown thread ${thread}`, `threads: ${this.#threads.map(({ name }) => name).join(", ")}`);
		if (!reads.includes(register))
			return line.fail(`${thread} reads nothing into ${register}`, `its registers: ${reads.join(", ") || "none"}`);
		const equal = !line.accept("!=");
		if (equal) line.expect("=", "T.r = 0, or T.r != 0");
		return { is: "register", thread, register, value: line.value("value"), equal };
	}

	/** A flag that nobody raises would be waited for in vain. */
	#checkFlags(last: Line): void {
		const flagsOf = (what: "signal" | "await"): string[] =>
			this.#threads.flatMap(({ statements }) => statements.flatMap((s) => (s.do === what ? [s.flag] : [])));
		const raised = new Set(flagsOf("signal"));
		const missing = flagsOf("await").find((flag) => !raised.has(flag));
		if (missing !== undefined) throw this.#incomplete(last, `nobody who signals ${missing}`, `signal ${missing}, in some other thread`);
		if (raised.size > MAX.flags) throw this.#incomplete(last, `more than ${MAX.flags} flags`, "use fewer");
	}
}
