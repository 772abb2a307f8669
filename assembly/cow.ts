// The COW break as an operation that an access makes: by a guest's fault or by a host thread (kernel.md 1.2, 1.3).
import { countAll } from "./counters";
import { isSharedPage } from "./files";
import { Counter, Kind } from "./generated/constants";
import { isHuge, splitFirst } from "./huge";
import { copyHugetlb, isHugetlbPage } from "./hugetlb";
import { Bit, NODE_ENTRIES } from "./layout";
import { wholeOperation } from "./operation";
import { frameOf, mustCopy, populateFresh, pteOf, reusePage } from "./primary";
import { begin, commit, end } from "./steps";
import { Mm } from "./world";

/** wp_page_reuse, of a shared mapping too (finish_mkwrite_fault), or the whole PMD where it is a huge one: no notifier of any kind (1.2, 1.15, I-16). */
function reuse(mm: Mm, page: u64): void {
	countAll(Counter.cowReuses);
	const huge = isHuge(mm, page);
	const first = huge ? page & ~(<u64>NODE_ENTRIES - 1) : page;
	const last = huge ? first + NODE_ENTRIES : page + 1;
	for (let at = first; at < last; at++) if ((pteOf(mm, at) & Bit.present) != 0) reusePage(mm, at);
}

/** A write fault on a read-only PTE, by whoever: copy in one piece, or reuse. Says whether it copied. */
export function breakOrReuse(mm: Mm, page: u64, hint: u32): bool {
	const frame = frameOf(pteOf(mm, page));
	if (isSharedPage(mm, page) || !mustCopy(frame, hint)) {
		reuse(mm, page);
		return false;
	}
	if (isHuge(mm, page) && isHugetlbPage(mm, page)) {
		copyHugetlb(mm, page);
		return true;
	}
	splitFirst(mm, page);
	if ((pteOf(mm, page) & Bit.present) == 0) {
		// The split of a file's huge mapping has left nothing: do_cow_fault.
		populateFresh(mm, page, true);
		return false;
	}
	const operation = wholeOperation(Kind.cow, mm, page, 1);
	begin(operation);
	commit(operation);
	end(operation);
	return true;
}
