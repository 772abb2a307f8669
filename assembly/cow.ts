// The COW break as an operation that an access makes: by a guest's fault or by a host thread (kernel.md 1.2, 1.3).
import { Kind } from "./generated/constants";
import { frameOf, mustCopy, pteOf, reuse } from "./primary";
import { begin, commit, end, wholeOperation } from "./steps";
import { Mm } from "./world";

/** A write fault on a read-only PTE, by whoever: copy in one piece, or reuse. Says whether it copied. */
export function breakOrReuse(mm: Mm, page: u64, hint: u32): bool {
	const frame = frameOf(pteOf(mm, page));
	if (!mustCopy(frame, hint)) {
		reuse(mm, page, frame);
		return false;
	}
	const operation = wholeOperation(Kind.cow, mm, page, 1);
	begin(operation);
	commit(operation);
	end(operation);
	return true;
}
