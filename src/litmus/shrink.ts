// Makes a program that breaks a rule smaller while it still does: fewer threads, fewer steps, fewer devices. What the guest has mapped at first stays: with
// it or without are different races (a, e).
import type { Scenario } from "./scenario.js";

/** Every scenario that is one simplification away, the boldest first. */
function* simpler(scenario: Scenario): Generator<Scenario> {
	const { threads, pages, frames } = scenario;
	for (const gone of threads) yield { ...scenario, threads: threads.filter((thread) => thread !== gone) };
	for (const thread of threads) {
		for (const gone of thread.statements) {
			const statements = thread.statements.filter((statement) => statement !== gone);
			if (statements.length > 0)
				yield { ...scenario, threads: threads.map((other) => (other === thread ? { ...thread, statements } : other)) };
		}
	}
	for (const gone of pages) {
		const used = threads.some(({ statements }) => statements.some((statement) => "page" in statement && statement.page === gone.name));
		if (!used && pages.length > 1) yield { ...scenario, pages: pages.filter((page) => page !== gone) };
	}
	for (const table of ["mirror", "device"] as const) {
		for (const page of pages) {
			if (page[table] !== null) yield { ...scenario, pages: pages.map((other) => (other === page ? { ...page, [table]: null } : other)) };
		}
	}
	for (const gone of frames) {
		const mapped = pages.some((page) => [page.pte, page.spte, page.mirror, page.device].some((entry) => entry?.frame === gone.name));
		const merged = threads.some(({ statements }) =>
			statements.some((statement) => statement.do === "merge" && statement.frame === gone.name),
		);
		if (!mapped && !merged) yield { ...scenario, frames: frames.filter((frame) => frame !== gone) };
	}
	for (const thread of threads) {
		for (const [at, statement] of thread.statements.entries()) {
			if (statement.do !== "operation" || !statement.earlyFree) continue;
			const statements = thread.statements.with(at, { ...statement, earlyFree: false });
			yield { ...scenario, threads: threads.map((other) => (other === thread ? { ...thread, statements } : other)) };
		}
	}
}

/** A scenario of which no simplification still `breaks`. */
export function shrink(scenario: Scenario, breaks: (scenario: Scenario) => boolean): Scenario {
	let smallest = scenario;
	for (let shrunk = true; shrunk; ) {
		shrunk = false;
		for (const candidate of simpler(smallest)) {
			// dma steps go together: half of them is no program.
			if (!isWhole(candidate) || !breaks(candidate)) continue;
			smallest = candidate;
			shrunk = true;
			break;
		}
	}
	return smallest;
}

function isWhole({ threads }: Scenario): boolean {
	return (
		threads.length > 0 &&
		threads.every(
			({ kind, statements }) => kind !== "dma" || (statements[0]?.do === "pin" && statements.some((statement) => statement.do === "dma")),
		)
	);
}
