// Pins by their number: gup(FOLL_PIN | FOLL_WRITE) of one page (kernel.md 1.4, 4).
import { breakOrReuse } from "./cow";
import { noteSharedWritable, pin, settleFreed, unpin } from "./frames";
import { Hint } from "./generated/constants";
import { Bit } from "./layout";
import { canReuseFrames } from "./oracle";
import { frameOf, presentAfterFault, pteOf, writingAllowed } from "./primary";
import { get, remove, resetTable, set, TABLE_BYTES, Table } from "./table";
import { Mm } from "./world";

/** Pinned frames + 1 by the number of their pin. */
const pinned = changetype<Table>(memory.data(<i32>TABLE_BYTES));

export function resetPins(): void {
	resetTable(pinned);
}

/** gup(FOLL_PIN | FOLL_WRITE): a write fault where the PTE is not writable, then a reference on the page. Nothing where the VMA forbids it. */
export function pinPage(mm: Mm, page: u64, id: u64): void {
	letGoOfPin(id);
	let pte = pteOf(mm, page);
	if ((pte & Bit.present) == 0) pte = presentAfterFault(mm, page, true);
	if (pte != 0 && (pte & Bit.writable) == 0 && writingAllowed(mm, page)) breakOrReuse(mm, page, Hint.derive);
	const now = pteOf(mm, page);
	if ((now & (Bit.present | Bit.writable)) != (Bit.present | Bit.writable)) return;
	pin(frameOf(now));
	// A fork copies the page beside a PTE that stays writable.
	noteSharedWritable();
	set(pinned, id, frameOf(now) + 1);
}

export function letGoOfPin(id: u64): void {
	const frame = get(pinned, id);
	if (frame == 0) return;
	remove(pinned, id);
	unpin(frame - 1);
	settleFreed(canReuseFrames());
}
