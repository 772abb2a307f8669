// ksmd on one page: try_to_merge_one_page with a kpage, or its write_protect_page alone (kernel.md 1.4, 1.5). The two operations are the strategy's;
// what is between them is ksmd's: the page lock, and the comparison that decides.
import type { Step, Strategy } from "../strategies/steps.js";
import { type Label, Phase, type ThreadCode } from "./code.js";
import { FrameBit, frameOf, type PageSlots, PRESENT, type State, WRITABLE } from "./memory.js";
import { compileOperation } from "./operation.js";

/** trylock of the page that the PTE maps; a KSM page or none: nothing to do. ksmd holds a reference on the KSM page for the time of the merge. */
function compileLockPage(code: ThreadCode, page: PageSlots, kpage: number, none: Label): void {
	const { memory, footprint } = code;
	const touched = footprint.all(page);
	code.emit({
		label: "lock-page",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			const pte = s[page.pte];
			if ((pte & PRESENT) === 0 || memory.isImmutable(s, frameOf(pte)) || s[page.pageLock] !== 0) return none.at;
			if (kpage !== 0 && memory.has(s, kpage, FrameBit.freed)) return none.at;
			s[page.pageLock] = frameOf(pte) + 1;
			if (kpage !== 0) memory.pin(s, kpage);
			return undefined;
		},
	});
}

function compileUnlockPage(code: ThreadCode, page: PageSlots, kpage: number): void {
	const { memory, footprint, locals } = code;
	const touched = footprint.all(page);
	code.emit({
		label: "unlock-page",
		page,
		reads: touched,
		writes: touched,
		run: (s) => {
			s[page.pageLock] = 0;
			s[locals.phase] = 0;
			s[locals.protectedPte] = 0;
			if (kpage !== 0) memory.unpin(s, kpage);
			return undefined;
		},
	});
}

/** Somebody could still write to the page while its content decides (I-9). */
function hasWriter(s: State, page: PageSlots, frame: number): boolean {
	const writes = (slot: number): boolean => (s[slot] & WRITABLE) !== 0 && frameOf(s[slot]) === frame;
	return writes(page.pte) || page.translations.some(writes);
}

export function compileMerge(code: ThreadCode, page: PageSlots, kpage: number, strategy: Strategy): void {
	const { memory, footprint, locals } = code;
	const none: Label = { at: -1 };
	const unlock: Label = { at: -1 };
	compileLockPage(code, page, kpage, none);
	compileOperation(code, {
		kind: "ksm-write-protect",
		page,
		steps: strategy.operations["ksm-write-protect"],
		replaceFollows: true,
	});
	const touched = footprint.all(page);
	code.emit({
		label: "compare",
		page,
		reads: touched,
		run: (s) => {
			const frame = s[page.pageLock] - 1;
			if ((s[locals.phase] & Phase.failed) !== 0 || memory.content(s, frame) !== memory.content(s, kpage)) return unlock.at;
			if (hasWriter(s, page, frame)) memory.break(s, "I-9");
			return undefined;
		},
	});
	compileOperation(code, { kind: "ksm-replace", page, steps: strategy.operations["ksm-replace"], kpage });
	unlock.at = code.here;
	compileUnlockPage(code, page, kpage);
	none.at = code.here;
}

/** A write_protect_page after which the page stays as it is: its checksum has moved, or no page is like it. */
export function compileWriteProtect(code: ThreadCode, page: PageSlots, steps: readonly Step[]): void {
	const none: Label = { at: -1 };
	compileLockPage(code, page, 0, none);
	compileOperation(code, { kind: "ksm-write-protect", page, steps });
	compileUnlockPage(code, page, 0);
	none.at = code.here;
}
