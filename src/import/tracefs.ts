// Lines of /sys/kernel/tracing/trace: comm-pid, an optional (tgid), [cpu], flags, seconds, event: text. Layouts and traps: formats.md 2.2.

/** One event line. `text` is what follows "event: ". */
export interface TracefsEvent {
	readonly comm: string;
	readonly pid: number;
	/** Thread group, where the capture has a TGID column; otherwise -1. */
	readonly tgid: number;
	readonly cpu: number;
	readonly ns: number;
	readonly name: string;
	readonly text: string;
}

// comm may hold spaces, '-', ':' and brackets: the greedy first group leaves the last "-pid [cpu]" to the rest. Flags begin with the irqs-off column,
// which is no digit. The clocks counter and x86-tsc have no seconds.
const BEFORE = "^\\s*(.*)-(\\d+)\\s+(?:\\(\\s*([-\\d]+)\\)\\s+)?\\[(\\d+)\\]\\s+(?:[^\\s\\d:][^\\s:]*\\s+)?(\\d+)(?:\\.(\\d+))?: ";
const LINE = new RegExp(`${BEFORE}([\\w.]+): ?(.*)$`, "s");
/** What the kernel prints at its place in a trace and is no event: headings of call chains, calls of the function tracer, system calls. */
const NO_EVENT = new RegExp(
	`${BEFORE}(?:<(?:user )?stack trace>|\\S+(?: \\[\\w+\\])? <-\\S+(?: \\[\\w+\\])?|sys_\\w+(?:\\(.*\\)| -> 0x[0-9a-f]+))\\s*$`,
);
const FRAME = /^\s*=> /;
const LOST = /^CPU:(\d+) \[LOST (\d+) EVENTS\]/;
const WRITTEN = /entries-in-buffer\/entries-written: (\d+)\/(\d+)/;

/** What a line is: an event, a note of lost events, the counts of the header, a comment, or nothing that this format has. */
export type TracefsLine =
	/** ticks: its time has no unit. */
	| { readonly kind: "event"; readonly event: TracefsEvent; readonly ticks?: true }
	| { readonly kind: "lost"; readonly cpu: number; readonly events: number }
	| { readonly kind: "written"; readonly inBuffer: number; readonly written: number }
	| { readonly kind: "comment" }
	| { readonly kind: "foreign" };

/** TASK_COMM_LEN less its NUL. */
const MAX_COMM = 15;

const COMMENT: TracefsLine = { kind: "comment" };
const FOREIGN: TracefsLine = { kind: "foreign" };

export function parseTracefsLine(line: string): TracefsLine {
	if (line.startsWith("#")) {
		const counts = WRITTEN.exec(line);
		return counts === null ? COMMENT : { kind: "written", inBuffer: Number(counts[1]), written: Number(counts[2]) };
	}
	const match = LINE.exec(line);
	if (match === null) {
		const lost = LOST.exec(line);
		if (lost !== null) return { kind: "lost", cpu: Number(lost[1]), events: Number(lost[2]) };
		return line.trim() === "" || FRAME.test(line) || NO_EVENT.test(line) ? COMMENT : FOREIGN;
	}
	const [, comm = "", pid, tgid, cpu, time = "", fraction, name = "", text = ""] = match;
	// Two lines in one: what lies between them is lost.
	if (comm.length > MAX_COMM) return FOREIGN;
	const ns = fraction === undefined ? ticksOf(time) : Number(time) * 1e9 + Number(fraction.padEnd(9, "0").slice(0, 9));
	const event = { comm, pid: Number(pid), tgid: tgid === undefined ? -1 : Number(tgid), cpu: Number(cpu), ns, name, text };
	return fraction === undefined ? { kind: "event", event, ticks: true } : { kind: "event", event };
}

/** What a number has exactly of a counter of 64 bits. */
const EXACT_BITS = 53;
const ticksOf = (time: string): number => Number(BigInt.asUintN(EXACT_BITS, BigInt(time)));

/** `key=value` of a kprobe line; undefined where there is none. */
export function field(text: string, key: string): string | undefined {
	let at = text.indexOf(`${key}=`);
	while (at > 0 && text.charCodeAt(at - 1) !== 32) at = text.indexOf(`${key}=`, at + 1);
	if (at < 0) return undefined;
	const from = at + key.length + 1;
	const to = text.indexOf(" ", from);
	return text.slice(from, to < 0 ? undefined : to);
}

/** The word after `key` in a tracepoint's "key value" text; undefined where there is none. */
export function word(text: string, key: string): string | undefined {
	let at = text.indexOf(`${key} `);
	while (at > 0 && text.charCodeAt(at - 1) !== 32) at = text.indexOf(`${key} `, at + 1);
	if (at < 0) return undefined;
	const from = at + key.length + 1;
	const to = text.indexOf(" ", from);
	return text.slice(from, to < 0 ? undefined : to);
}

/** A hexadecimal number with or without 0x; NaN where it is missing or none, as in "(fault)". */
export function hex(text: string | undefined): number {
	return text === undefined ? Number.NaN : Number(text.startsWith("0x") ? text : `0x${text}`);
}

/** Bytes of a page. */
export const PAGE = 4096;

export const pageOf = (address: number): number => Math.floor(address / PAGE);
