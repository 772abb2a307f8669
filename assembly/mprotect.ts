// mprotect over a VMA whose range, unlike those of a capture, is not yet that of its brackets (kernel.md 1.13).
import { rangeEnd } from "./change";
import { Kind, OpFlag } from "./generated/constants";
import { PUD_PAGES, widen } from "./hugetlb";
import { NODE_ENTRIES } from "./layout";
import { wholeOperation } from "./operation";
import { leafEnd, nextPresent, setVmaReadOnly } from "./pagetable";
import { isSomething, pteOf } from "./primary";
import { begin, commit, end } from "./steps";
import { Mm } from "./world";

/**
 * In each stretch (1 GiB, or 512 GiB from 6.12 on) one bracket, from the first 2 MiB (1 GiB) that have anything to the end of the stretch; where nothing is
 * mapped there is none.
 */
export function protectRanges(mm: Mm, page: u64, pages: u64, flags: u32): void {
	const last = rangeEnd(page, pages);
	setVmaReadOnly(mm.ptes, page, last, (flags & OpFlag.writable) == 0);
	const step: u64 = (flags & OpFlag.fromPmd) != 0 ? NODE_ENTRIES : PUD_PAGES;
	const stretch = (flags & OpFlag.fromPmd) != 0 ? PUD_PAGES : PUD_PAGES * NODE_ENTRIES;
	for (let at = nextMapped(mm, page, last); at < last; at = nextMapped(mm, at, last)) {
		const first = max<u64>(page, at & ~(step - 1));
		at = min<u64>((at & ~(stretch - 1)) + stretch, page + pages);
		const operation = wholeOperation(Kind.protect, mm, first, at - first);
		operation.flags = flags;
		widen(operation);
		begin(operation);
		commit(operation);
		end(operation);
	}
}

/** The first page at or after `page` that has a PTE of any kind; `last` where there is none before it. */
function nextMapped(mm: Mm, page: u64, last: u64): u64 {
	for (let at = nextPresent(mm.ptes, page, last); at < last; at = nextPresent(mm.ptes, at, last)) {
		const next = leafEnd(at, last);
		for (; at < next; at++) if (isSomething(pteOf(mm, at))) return at;
	}
	return last;
}
