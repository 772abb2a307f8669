// Where in the VMs' memory vmexits happened, in as many pieces as a reader can see: pieces of a VM have one size, a power of two of pages.
import type { ExitRange } from "../engine/engine.js";
import type { ReplayResult } from "../engine/replay.js";

/** Pieces of one VM, and of all together. */
const MAX_OF_VM = 128;
const MAX_OF_ALL = 4096;
const LEAST_OF_VM = 8;
/** Empty pieces in a row that are left out. */
const HOLE = 8;

export interface VmRanges {
	readonly vm: number;
	/** Of each piece. */
	readonly pages: number;
	/** Those that took a vmexit under some strategy, by gfn. */
	readonly ranges: readonly ExitRange[];
	/** Of the whole VM, one a strategy. */
	readonly vmexits: readonly number[];
}

function joined(ranges: readonly ExitRange[], pages: number): ExitRange[] {
	const found = new Map<number, { vm: number; gfn: number; pages: number; vmexits: number[] }>();
	for (const { vm, gfn, vmexits } of ranges) {
		const first = gfn - (gfn % pages);
		const known = found.get(first);
		if (known === undefined) found.set(first, { vm, gfn: first, pages, vmexits: [...vmexits] });
		else for (const [at, count] of vmexits.entries()) known.vmexits[at] = (known.vmexits[at] ?? 0) + count;
	}
	return [...found.values()];
}

/** Pieces that lie together, without the holes between them: RAM, and far above it what a device left. */
export interface Island {
	/** First gfn, and the one behind the last. */
	readonly gfn: number;
	readonly end: number;
	/** Place of its first piece among all that are shown. */
	readonly at: number;
}

/** `ranges` by gfn. How many places they take in all is the end of the last one. */
export function islandsOf({ ranges, pages }: Pick<VmRanges, "ranges" | "pages">): Island[] {
	const found: { gfn: number; end: number; at: number }[] = [];
	for (const range of ranges) {
		const gfn = range.gfn - (range.gfn % pages);
		const end = Math.ceil((range.gfn + range.pages) / pages) * pages;
		const open = found.at(-1);
		if (open !== undefined && gfn - open.end <= HOLE * pages) open.end = Math.max(open.end, end);
		else found.push({ gfn, end, at: open === undefined ? 0 : open.at + (open.end - open.gfn) / pages + 1 });
	}
	return found;
}

function ofVm(vm: number, unsorted: readonly ExitRange[], most: number): VmRanges {
	const ranges = [...unsorted].sort((a, b) => a.gfn - b.gfn);
	const places = (size: number): number => {
		const last = islandsOf({ ranges, pages: size }).at(-1);
		return last === undefined ? 0 : last.at + (last.end - last.gfn) / size;
	};
	let pages = ranges.reduce((largest, range) => Math.max(largest, range.pages), 1);
	while (places(pages) > most) pages *= 2;
	const pieces = joined(ranges, pages);
	const vmexits = (pieces[0]?.vmexits ?? []).map((_, at) => pieces.reduce((sum, piece) => sum + (piece.vmexits[at] ?? 0), 0));
	return { vm, pages, ranges: pieces, vmexits };
}

/** A replay, and those of its strategies that are shown. */
interface Ranged {
	readonly result: Pick<ReplayResult, "ranges" | "strategies">;
	readonly strategies: readonly { readonly name: string }[];
}

/** By VM; counts in the order of the strategies shown. */
export function rangesByVm({ result, strategies }: Ranged): VmRanges[] {
	const places = strategies.map(({ name }) => result.strategies.findIndex((replay) => replay.name === name));
	const byVm = new Map<number, ExitRange[]>();
	for (const range of result.ranges) {
		const shown = { ...range, vmexits: places.map((place) => range.vmexits[place] ?? 0) };
		if (shown.vmexits.every((count) => count === 0)) continue;
		const known = byVm.get(range.vm);
		if (known === undefined) byVm.set(range.vm, [shown]);
		else known.push(shown);
	}
	const most = Math.max(LEAST_OF_VM, Math.min(MAX_OF_VM, Math.floor(MAX_OF_ALL / Math.max(1, byVm.size))));
	return [...byVm].sort(([a], [b]) => a - b).map(([vm, ranges]) => ofVm(vm, ranges, most));
}
