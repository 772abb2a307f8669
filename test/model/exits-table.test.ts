// The table of kernel.md 10.2: exits until the next access of a guest completes, by operation, SPTE before it, access, strategy, with A/D bits and
// without. Two cells are told apart further than there: a guest's own copy under `fix-map` takes one exit where the SPTE was present, since change_pte
// maps the copy before the retry; and `establish`, read-only as the captured kernels have it, refuses a writable new PTE, so a read exits too.
import { describe, expect, it } from "vitest";
import { OpFlag, Point } from "../../src/trace/kinds.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { AD, filled, hostWrite, mm, NO_AD, op, PAGE, play, promote, read, replace, slot, write, writeProtect, zap } from "./kvmscene.js";

const STRATEGIES = ["wrapped", "drop", "fix", "fix-map", "establish", "establish-map"] as const;

/** What the operation finds: the SPTE, only its leaf table (made by the page beside it), or neither. */
type Before = "present" | "table" | "nothing";

interface Row {
	readonly operation: string;
	/** What there was before: the page, and the access that made its SPTE. */
	readonly before: readonly TraceRecord[];
	readonly touch: TraceRecord;
	readonly steps: readonly TraceRecord[];
	readonly access: "read" | "write";
	/** Exits by strategy, in the order of STRATEGIES: with A/D bits, and of those without A/D bits how many more are fast ones. */
	readonly exits: Readonly<Record<Before, readonly number[]>>;
	readonly fast: Readonly<Record<Before, readonly number[]>>;
}

const NEIGHBOUR = 1;
const page = (...more: TraceRecord[]): TraceRecord[] => [slot(), filled(0, 2), ...more];
const ksm = page(writeProtect(), promote());
const unmerged = op("cow", mm, PAGE, Point.whole, 0, OpFlag.breakKsm);
const unshared = op("unshare", mm, PAGE, Point.whole, 0, 0);
const forked = op("fork", mm, PAGE, Point.whole, 0, 2, 3, 9);
const protectedRange = op("protect", mm, PAGE, Point.whole, 0, 2, 2, OpFlag.writable);
const same = (exits: number): Readonly<Record<Before, readonly number[]>> => {
	const list = STRATEGIES.map(() => exits);
	return { present: list, table: list, nothing: list };
};
const none = same(0);
const each = (present: number[], table: number[], nothing: number[]): Readonly<Record<Before, readonly number[]>> => ({
	present,
	table,
	nothing,
});
const ONE = [1, 1, 1, 1, 1, 1];
const ZERO = [0, 0, 0, 0, 0, 0];
const TWO = [2, 2, 2, 2, 2, 2];

/** A read-only PTE for a read-only one: in place by fix, made by establish where it can be. */
const kept = each([1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], ONE);
const keptFast = each([0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1], ZERO);
/** A guest's own copy. */
const ownCopy = each([2, 2, 2, 1, 2, 1], [2, 2, 2, 2, 2, 1], TWO);
const ownCopyFast = each([0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 1], ZERO);
/** A writable copy made by the host. */
const mapped = each([1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 0], ONE);
const mappedFast = each([0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 0, 1], ZERO);

const ROWS: readonly Row[] = [
	{
		operation: "write_protect",
		before: page(),
		touch: write(),
		steps: [writeProtect(0, OpFlag.unlocks)],
		access: "read",
		exits: kept,
		fast: keptFast,
	},
	{
		operation: "write_protect, reuse",
		before: page(),
		touch: write(),
		steps: [writeProtect(0, OpFlag.unlocks)],
		access: "write",
		exits: same(1),
		fast: none,
	},
	{
		operation: "write_protect, must copy",
		before: page(),
		touch: write(),
		steps: [writeProtect(0, OpFlag.kpageGiven)],
		access: "write",
		exits: ownCopy,
		fast: ownCopyFast,
	},
	{
		operation: "replace_page",
		before: page(writeProtect(0, OpFlag.kpageGiven)),
		touch: read(),
		steps: [replace()],
		access: "read",
		exits: kept,
		fast: keptFast,
	},
	{
		operation: "replace_page",
		before: page(writeProtect(0, OpFlag.kpageGiven)),
		touch: read(),
		steps: [replace()],
		access: "write",
		exits: ownCopy,
		fast: ownCopyFast,
	},
	{ operation: "host-side COW", before: ksm, touch: read(), steps: [hostWrite()], access: "read", exits: mapped, fast: mappedFast },
	{ operation: "host-side COW", before: ksm, touch: read(), steps: [hostWrite()], access: "write", exits: mapped, fast: mappedFast },
	{ operation: "break_ksm to 6.1", before: ksm, touch: read(), steps: [unmerged], access: "read", exits: mapped, fast: mappedFast },
	{ operation: "break_ksm to 6.1", before: ksm, touch: read(), steps: [unmerged], access: "write", exits: mapped, fast: mappedFast },
	{ operation: "break_ksm from 6.2 (unshare)", before: ksm, touch: read(), steps: [unshared], access: "read", exits: kept, fast: keptFast },
	{
		operation: "break_ksm from 6.2 (unshare), reuse",
		before: ksm,
		touch: read(),
		steps: [unshared],
		access: "write",
		exits: same(1),
		fast: none,
	},
	{ operation: "own write to a KSM page", before: ksm, touch: read(), steps: [], access: "write", exits: ownCopy, fast: ownCopyFast },
	{ operation: "fork", before: page(), touch: write(), steps: [forked], access: "read", exits: same(1), fast: none },
	{ operation: "mprotect", before: page(), touch: write(), steps: [protectedRange], access: "read", exits: same(1), fast: none },
	{ operation: "zap", before: page(), touch: write(), steps: [zap()], access: "write", exits: same(1), fast: none },
];

const CASES = ROWS.flatMap((row) => (["present", "table", "nothing"] as const).map((before) => [row, before] as const));

describe("kernel.md 10.2: exits until the next access completes", () => {
	it.each(CASES.map(([row, before]) => [`${row.operation}, SPTE ${before}, then a ${row.access}`, row, before] as const))(
		"10.2 given %s",
		(_, row, before) => {
			const touches = before === "present" ? [row.touch] : before === "table" ? [read(NEIGHBOUR)] : [];
			const next = row.access === "read" ? read() : write();
			const counted = (kvm: typeof AD): number[][] => {
				const scenes = STRATEGIES.map((strategy) => {
					// Only the access counts, not what the steps' own host threads do.
					const all = play(strategy, kvm, [...row.before, ...touches, ...row.steps, next]);
					const earlier = play(strategy, kvm, [...row.before, ...touches, ...row.steps]);
					return ["vmexits", "vmexitsFast", "vmexitsFixed"].map((path) => all.count(path) - earlier.count(path));
				});
				return [0, 1, 2].map((at) => scenes.map((scene) => scene[at] ?? Number.NaN));
			};
			expect(counted(AD).slice(0, 2), "with A/D bits").toEqual([row.exits[before], ZERO]);
			const more = row.exits[before].map((exits, at) => exits + (row.fast[before][at] ?? 0));
			expect(counted(NO_AD).slice(0, 2), "without A/D bits").toEqual([more, row.fast[before]]);
		},
	);

	it("10.3 given untouched memory, when the guest reads and writes, then three exits, two where change_pte maps the copy", () => {
		const exits = (kvm: typeof AD): number[] =>
			STRATEGIES.map((strategy) => play(strategy, kvm, [slot(), read(), write()]).count("vmexits"));
		expect(exits(AD)).toEqual([3, 3, 3, 2, 3, 2]);
		expect(exits(NO_AD)).toEqual([3, 3, 3, 3, 3, 3]);
	});
});
