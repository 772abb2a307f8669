// A witness as text: one column a thread, and beside it what the tables say of the page after each step. 80 columns where four threads or fewer run.
import { RULE_TEXT } from "./rules.js";
import type { PageView, Witness, WitnessStep } from "./witness.js";
import { WIDTH, wrapped } from "./wrap.js";

/** Narrower columns would cut the names of steps. */
const MIN_THREAD = 10;

interface StateColumn {
	readonly title: string;
	readonly width: number;
	of(view: PageView, step: WitnessStep | null): string;
}

/** The columns beside the threads: only those that the scenario has. */
function stateColumns(witness: Witness): StateColumn[] {
	const first = witness.initial[0];
	const columns: StateColumn[] = [];
	const add = (title: string, width: number, of: StateColumn["of"]): void => void columns.push({ title, width, of });
	const sample = witness.steps[0];
	if (witness.initial.length > 1) add("pg", 3, (view) => view.page);
	add("PTE", 6, (view) => view.pte);
	if (first?.spte !== undefined) add("SPTE", 6, (view) => view.spte ?? "-");
	for (const [at] of (first?.tlb ?? []).entries())
		add((first?.tlb?.length ?? 0) > 1 ? `TLB${at}` : "TLB", 6, (view) => view.tlb?.[at] ?? "-");
	if (first?.mirror !== undefined) add("mirror", 7, (view) => view.mirror ?? "-");
	if (first?.device !== undefined) add("device", 7, (view) => view.device ?? "-");
	if (sample?.seq !== undefined) {
		add("seq", 4, (_, step) => String(step?.seq ?? 0));
		add("in", 2, (_, step) => String(step?.inProgress ?? 0));
	}
	return columns;
}

const cut = (text: string, width: number): string => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

/** Lines of a timeline; `*` marks the step from which the outcome holds. */
export function timelineLines(witness: Witness, threads: readonly string[]): string[] {
	const columns = stateColumns(witness);
	const beside = columns.reduce((sum, { width }) => sum + width, 0);
	const acting = threads.filter((name) => witness.steps.some(({ thread }) => thread === name));
	const width = Math.max(MIN_THREAD, Math.min(24, Math.floor((WIDTH - 4 - beside) / Math.max(1, acting.length))));
	const row = (head: string, cells: readonly string[], states: readonly string[]): string =>
		[
			head.padStart(3),
			" ",
			...cells.map((cell) => cut(cell, width - 1).padEnd(width)),
			...states.map((text, at) => text.padEnd(columns[at].width)),
		]
			.join("")
			.trimEnd();
	const lines = [
		row(
			"",
			acting,
			columns.map(({ title }) => title),
		),
	];
	const nobody = acting.map(() => "");
	for (const view of witness.initial)
		lines.push(
			row(
				"",
				nobody,
				columns.map((column) => column.of(view, null)),
			),
		);
	for (const [at, step] of witness.steps.entries()) {
		const cells = acting.map((name) => (name === step.thread ? step.does : ""));
		lines.push(
			row(
				`${step.breaks ? "*" : ""}${at + 1}`,
				cells,
				columns.map((column) => column.of(step.view, step)),
			),
		);
	}
	const breaking = witness.steps.findIndex(({ breaks }) => breaks) + 1;
	const rules = witness.rules.map((rule) => `${rule}, ${RULE_TEXT[rule]}`).join("; ");
	const why = rules === "" ? "" : ` (${rules})`;
	lines.push(...wrapped("  *  ", `step ${breaking}: from here on the outcome is certain${why}`.split(" ")));
	return lines;
}
