// A device that does not translate: gup_fast pins the page behind an address, and DMA writes to that page whatever the tables say (kernel.md litmus m).
import type { Step } from "../strategies/steps.js";
import type { Label, ThreadCode } from "./code.js";
import { compileCopy, faultFootprint, faultReady, takeFault, walked } from "./fault.js";
import { DIRTY, FrameBit, frameOf, type PageSlots, permits } from "./memory.js";

/** gup_fast for writing: read the PTE, take a reference, and look at the PTE again. */
export function compilePin(code: ThreadCode, page: PageSlots, cow: readonly Step[]): void {
	const { memory, locals, footprint } = code;
	const touched = faultFootprint(code, page);
	const look: Label = { at: code.here };
	const take = code.here + 1;
	const copy = code.here + 3;
	const done: Label = { at: -1 };
	code.emit({
		label: `pin ${page.name}`,
		page,
		reads: touched,
		writes: touched,
		ready: (s) => permits(s[page.pte], true) || faultReady(s, page, true),
		run: (s) => {
			if (!permits(s[page.pte], true)) return takeFault(code, s, page, true) ? copy : look.at;
			s[page.pte] = walked(s[page.pte], true);
			s[locals.pinned] = s[page.pte];
			return take;
		},
	});
	code.emit({
		label: "get-page",
		page,
		reads: footprint.frames(page),
		writes: footprint.frames(page),
		run: (s) => {
			const frame = frameOf(s[locals.pinned]);
			// A page without a reference is not to be had.
			if (memory.mappings(s, frame) === 0 && memory.pins(s, frame) === 0) return look.at;
			memory.pin(s, frame);
			return undefined;
		},
	});
	code.emit({
		label: "pte-same",
		page,
		reads: footprint.pte(page),
		writes: footprint.frames(page),
		run: (s) => {
			if ((s[page.pte] & ~DIRTY) === (s[locals.pinned] & ~DIRTY)) return done.at;
			memory.unpin(s, frameOf(s[locals.pinned]));
			s[locals.pinned] = 0;
			return look.at;
		},
	});
	compileCopy(code, page, cow, look);
	done.at = code.here;
}

export function compileDma(code: ThreadCode, page: PageSlots, value: number): void {
	const { memory, locals, footprint } = code;
	code.emit({
		label: `dma ${page.name}=${value}`,
		page,
		reads: footprint.pte(page) | footprint.frames(page),
		writes: footprint.frames(page),
		run: (s) => {
			memory.write(s, page, s[locals.pinned], value);
			memory.mark(s, frameOf(s[locals.pinned]), FrameBit.dirty);
			return undefined;
		},
	});
}

export function compileUnpin(code: ThreadCode, page: PageSlots): void {
	const { memory, locals, footprint } = code;
	code.emit({
		label: `unpin ${page.name}`,
		page,
		reads: footprint.frames(page) | footprint.secondary(page),
		writes: footprint.frames(page),
		run: (s) => {
			memory.unpin(s, frameOf(s[locals.pinned]));
			s[locals.pinned] = 0;
			return undefined;
		},
	});
}
