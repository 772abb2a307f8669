// KSM's work on one page: write_protect_page, replace_page, and the page that becomes a KSM page itself (kernel.md 1.4, 1.5).
import { OpFlag } from "../trace/kinds.js";
import { isPinned } from "./cow.js";
import { faultIn } from "./entries.js";
import { isFile } from "./frames.js";
import type { Mm, Pte } from "./mm.js";
import type { PrimaryChange } from "./operation.js";
import { UNCHANGED } from "./sites.js";
import type { World } from "./world.js";

export function promote(world: World, mm: Mm, page: number, kpage: number, flags: number): void {
	world.locked = -1;
	if (isPinned(mm.get(page)?.frame)) return;
	if ((flags & OpFlag.undone) === 0) world.count("ksmMerges");
	mm.split(page, 1);
	const pte = anonymous(world, mm, page);
	pte.writable = false;
	world.frames.becomeKsm(pte.frame, kpage);
}

/** KSM works on present anonymous pages only: one that the trace has not shown as such was filled unseen. */
function anonymous(world: World, mm: Mm, page: number): Pte {
	faultIn(world, mm, page, false);
	const pte = mm.get(page);
	return pte === undefined || pte.frame.zero || isFile(pte.frame) ? mm.set(page, world.frames.allocate(), true) : pte;
}

/** write_protect_page: acts only if the PTE is writable, dirty, or its page exclusive (1.4). */
export function writeProtect(world: World, mm: Mm, page: number, changed: boolean): PrimaryChange {
	const pte = anonymous(world, mm, page);
	if (!(changed || pte.writable || pte.dirty || pte.frame.exclusive)) return UNCHANGED;
	// page_mapcount + 1 + swapped != page_count: -EFAULT.
	if ((!changed || isPinned(pte.frame)) && pte.frame.holds > 0)
		return { changes: true, frame: null, writable: false, extent: "restored", apply: () => undefined };
	return {
		changes: true,
		frame: pte.frame,
		writable: false,
		apply: () => {
			pte.writable = false;
			pte.dirty = false;
			pte.frame.exclusive = false;
		},
	};
}

/** replace_page: the mapping moves to the KSM page (or the zero page), which has the same content (1.5). */
export function replace(world: World, mm: Mm, page: number, kpage: number, flags: number): PrimaryChange {
	const zero = (flags & OpFlag.zeroPage) !== 0;
	world.locked = -1;
	faultIn(world, mm, page, false);
	const pte = mm.get(page);
	const frame = zero ? world.frames.zeroPage : world.frames.kpage(kpage);
	if (zero) world.count("ksmZeroMerges");
	else if ((flags & OpFlag.undone) === 0) world.count("ksmMerges");
	return {
		changes: true,
		frame,
		writable: false,
		old: pte?.frame,
		apply: () => {
			if (pte !== undefined) pte.frame.content = frame.content;
			mm.set(page, frame, false);
		},
	};
}
