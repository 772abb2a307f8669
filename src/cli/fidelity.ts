// mmreplay fidelity: each trace held against what its own kernel was seen to do.
import type { Command } from "commander";
import { BadInputError } from "../errors.js";
import { listDifferences } from "../fidelity/differences.js";
import { DEFAULT_MACHINE } from "../machine/machine.js";
import { differingRows, fidelityTraceJson, type HeldTrace, rowsTable } from "../report/fidelitylines.js";
import { tableLines } from "../report/table.js";
import { caveatLines, fidelityLine } from "../report/verdict.js";
import { findStrategy } from "../strategies/index.js";
import { knownParts } from "../trace/kvmhost.js";
import { wholeNumber } from "./choices.js";
import { openInput } from "./input.js";
import { type CaptureFlags, captureOptions, type HostFlags, toldHost, withCapture, withHost, withVoice } from "./options.js";
import { type Voice, voiceOf, writeJson, writeOut } from "./output.js";
import { replayHeld } from "./replayed.js";

interface FidelityOptions extends CaptureFlags, HostFlags {
	json?: boolean;
	all?: boolean;
	stale?: boolean;
	listDifferences?: number;
}

/** Rows of a trace that differs, unless --all is given. */
const SHOWN_ROWS = 20;

export function define(command: Command): void {
	withVoice(withHost(withCapture(command), "the captured host"))
		.argument("<trace...>", "traces, captures or folders of captures; - for standard input")
		.option("--all", "show every row that differs")
		.option("--stale", "list the phases that the replay leaves with stale SPTEs, and those whose guest met one")
		.option("--list-differences <n>", "list up to n faults that fall into another class than the captured kernel's", wholeNumber)
		.option("--json", "print one JSON document")
		.action(run);
}

async function run(paths: string[], options: FidelityOptions): Promise<void> {
	const voice = voiceOf(options);
	const told = knownParts(toldHost(options));
	const all: HeldTrace[] = [];
	const documents: object[] = [];
	for (const path of paths) {
		const input = await openInput(path, captureOptions(options));
		try {
			const strategy = findStrategy(input.header.strategy);
			if (strategy === undefined) {
				const what = input.header.strategy === "" ? "is not known" : `is ${input.header.strategy}, none of ours`;
				throw new BadInputError(`the strategy of the captured kernel ${what}`, { where: path, hint: "--captured-strategy NAME tells it" });
			}
			const own = { ...input, header: { ...input.header, host: { ...input.header.host, ...told } } };
			const { facts, held } = replayHeld(own, { strategies: [strategy], machine: DEFAULT_MACHINE, check: undefined }, voice);
			const one = { trace: facts, held };
			all.push(one);
			const limit = options.listDifferences;
			const differences = limit === undefined ? null : listDifferences(input.trace, strategy, DEFAULT_MACHINE, limit, facts.host);
			documents.push({ ...fidelityTraceJson(one), ...(differences === null ? {} : { differences }) });
			if (options.json !== true)
				writeOut(`${[...traceLines(one, options, voice), ...(differences ?? []).map(({ text }) => text)].join("\n")}\n`);
		} finally {
			input.close();
		}
	}
	if (options.json === true) {
		const exact = all.every(({ held }) => "rows" in held && held.exact);
		writeJson({ schema: "mmreplay/fidelity/1", traces: documents, exact });
	}
	if (all.some(({ held }) => "rows" in held && held.differing > 0)) process.exitCode = 1;
}

/** One line where the trace reproduces itself; the rows that differ otherwise. */
function traceLines({ trace, held }: HeldTrace, options: FidelityOptions, voice: Voice): string[] {
	const head = [`${trace.path}: ${fidelityLine(held)}`, ...caveatLines({ trace })];
	const plain = (lines: readonly string[]): string[] => (voice.columns === undefined ? lines.map((line) => `# ${line}`) : [...lines]);
	if (options.stale === true && "rows" in held) {
		const rows = held.rows.filter(({ source }) => source === "ok");
		if (rows.length === 0) return plain([...head, "no phase with a stale SPTE, in the replay or by the capture's own check"]);
		return [...plain(head), ...tableLines(rowsTable(rows), voice.columns, voice.color)];
	}
	if (!("rows" in held) || held.exact) return head;
	const rows = differingRows(held);
	const shown = options.all === true ? rows : rows.slice(0, SHOWN_ROWS);
	const more = rows.length > shown.length ? [`… and ${rows.length - shown.length} more rows: --all shows them`] : [];
	const table = shown.length === 0 ? [] : tableLines(rowsTable(shown), voice.columns, voice.color);
	return [...plain(head), ...table, ...more];
}
