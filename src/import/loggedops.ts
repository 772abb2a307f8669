// What the host operations of an access log (D P p U M F K k e) say of the brackets that the kernel recorded for them (data page, kernel.md 1.9 to 1.14).
import { NotifyEvent, OpFlag, Point } from "../trace/kinds.js";
import type { AccessLog, LoggedOperation } from "./accesslog.js";
import type { CapturedVm } from "./host.js";
import type { BracketItem, ChildCopy, Item, ObservedItem } from "./items.js";
import type { PhaseSpan } from "./phases.js";

const PAGE = 4096;
/** Ids of forked children's mms: above those of the VMs. */
const FIRST_CHILD = 1000;

/** Gives brackets their operation where the log tells it, and forked children their copies and their end: changes `items` in place. */
export function applyLoggedOperations(
	items: Item[],
	observed: ObservedItem[],
	childCopies: readonly ChildCopy[],
	spans: readonly PhaseSpan[],
	logs: ReadonlyMap<CapturedVm, AccessLog>,
): void {
	const brackets = items.filter((item): item is BracketItem => item.kind === "bracket");
	let children = FIRST_CHILD;
	for (const [vm, log] of logs) {
		for (const span of spans) {
			const phase = log.phases.get(span.number);
			if (phase === undefined || phase.operations.length === 0) continue;
			const within = brackets.filter((item) => item.vm === vm && item.begin >= span.begin && item.begin < span.end);
			for (const operation of phase.operations) {
				const forks = operation.letter === "K" || operation.letter === "k";
				if (forks) children++;
				for (const item of within) tell(item, operation, children);
				const mm = children;
				if (forks) {
					for (const copy of childCopies)
						if (copy.at >= span.begin && copy.at < span.end && vm.hits(copy.page, 1)) addChildCopy(items, observed, copy, mm);
				}
				if (operation.letter === "K" || operation.letter === "e")
					items.push({ kind: "instant", name: "exit", vm: null, mm, page: 0, args: [], begin: span.end - 1, pending: 0 });
			}
		}
	}
}

function addChildCopy(items: Item[], observed: ObservedItem[], copy: ChildCopy, mm: number): void {
	items.push({ kind: "instant", name: "childCow", vm: null, mm, page: copy.page, args: [Point.whole, 0, 0], begin: copy.at, pending: 0 });
	observed.push({ at: copy.at, name: "cowCopy", vm: null, vcpu: 0, page: copy.page, args: [copy.ksm ? 1 : 0], dropped: false });
}

function tell(item: BracketItem, operation: LoggedOperation, child: number): void {
	const first = Math.floor(operation.hva / PAGE);
	const end = first + Math.ceil(operation.bytes / PAGE);
	const inside = item.page >= first && item.page + item.pages <= end;
	if ((operation.letter === "P" || operation.letter === "p") && inside && item.event === NotifyEvent.protectionVma) {
		item.name = "protect";
		if (operation.letter === "p") item.flags |= OpFlag.writable;
	} else if ((operation.letter === "K" || operation.letter === "k") && item.event === NotifyEvent.protectionPage) {
		item.name = "fork";
		item.child = child;
	}
}
