// One name for programs that differ in names only, and how much two programs are alike.
import type { Scenario, Statement, ThreadSpec } from "./scenario.js";

const shape = (statement: Statement): string => {
	const verb = statement.do === "operation" ? statement.operation : statement.do;
	return "page" in statement ? `${verb} ${statement.page}` : verb;
};

/** Threads in order of kind and shape, named T1, T2, …; registers and values counted anew. The forbidden outcome must be a rule. */
export function canonical(scenario: Scenario): Scenario {
	const key = ({ kind, statements }: ThreadSpec): string => `${kind} ${statements.map(shape).join(" ")}`;
	const sorted = scenario.threads.toSorted((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
	let values = 0;
	let registers = 0;
	const renamed = (statement: Statement): Statement => {
		if (statement.do === "write" || statement.do === "dma") return { ...statement, value: ++values };
		return statement.do === "read" ? { ...statement, register: `r${++registers}` } : statement;
	};
	return {
		...scenario,
		threads: sorted.map((thread, at) => ({ ...thread, name: `T${at + 1}`, statements: thread.statements.map(renamed) })),
	};
}

/** Who does what, to pages of which kind, and under whom it goes wrong: the words by which two scenarios are compared. */
function words({ threads, pages, frames, allowed }: Scenario): Set<string> {
	const deeds = threads.flatMap(({ kind, statements }) =>
		statements
			.filter(({ do: verb }) => verb !== "await" && verb !== "signal")
			// A write to a read-only page is what leads to a copy.
			.map((statement) => `${kind} ${shape(statement).split(" ")[0]}`.replace(/ cow$/, " write")),
	);
	const mapped = pages.flatMap(({ pte, spte, mirror, device }) => [
		...(pte === null ? [] : [`a ${frames.find(({ name }) => name === pte.frame)?.kind ?? "zero"} page`]),
		...Object.entries({ spte, mirror, device }).flatMap(([table, entry]) => (entry === null ? [] : [table])),
	]);
	return new Set([...deeds, ...mapped, ...allowed.map((name) => `under ${name}`)]);
}

/** From 0, nothing in common, to 1. */
export function likeness(a: Scenario, b: Scenario): number {
	const [left, right] = [words(a), words(b)];
	const common = [...left].filter((word) => right.has(word)).length;
	return common / (left.size + right.size - common);
}
