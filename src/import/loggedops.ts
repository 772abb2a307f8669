// What the host operations of an access log (D P p U M F K k e) say of the brackets that the kernel recorded for them (data page, kernel.md 1.9 to 1.14).
import { NotifyEvent, OpFlag, Point } from "../trace/kinds.js";
import type { AccessLog, LoggedOperation } from "./accesslog.js";
import type { CapturedVm } from "./host.js";
import type { BracketItem, ChildCopy, InstantItem, Item, ObservedItem } from "./items.js";
import type { PhaseSpan } from "./phases.js";

const PAGE = 4096;
/** Ids of forked children's mms: above those of the VMs. */
const FIRST_CHILD = 1000;

const forks = ({ letter }: LoggedOperation): boolean => letter === "K" || letter === "k";

/** The child that each VM has forked last when a phase begins: children are numbered VM by VM. */
export function childrenBefore(
	spans: readonly PhaseSpan[],
	logs: ReadonlyMap<CapturedVm, AccessLog>,
): Map<CapturedVm, Map<PhaseSpan, number>> {
	const before = new Map<CapturedVm, Map<PhaseSpan, number>>();
	let children = FIRST_CHILD;
	for (const [vm, log] of logs) {
		const bySpan = new Map<PhaseSpan, number>();
		before.set(vm, bySpan);
		for (const span of spans) {
			const operations = log.phases.get(span.number)?.operations ?? [];
			if (operations.length === 0) continue;
			bySpan.set(span, children);
			children += operations.filter(forks).length;
		}
	}
	return before;
}

/** What the operations add to a phase. */
interface ToldItems {
	readonly items: InstantItem[];
	readonly observed: ObservedItem[];
}

/**
 * Gives brackets of a phase their operation where the log tells it, and forked children their copies and, with the phase's last part, their end.
 * Changes `within` in place.
 */
export function tellOperations(
	span: PhaseSpan,
	within: readonly Item[],
	childCopies: readonly ChildCopy[],
	logs: ReadonlyMap<CapturedVm, AccessLog>,
	before: ReadonlyMap<CapturedVm, ReadonlyMap<PhaseSpan, number>>,
	last: boolean,
): ToldItems {
	const told: ToldItems = { items: [], observed: [] };
	for (const [vm, log] of logs) {
		let child = before.get(vm)?.get(span);
		if (child === undefined) continue;
		const brackets = within.filter((item): item is BracketItem => item.kind === "bracket" && item.vm === vm);
		for (const operation of log.phases.get(span.number)?.operations ?? []) {
			if (forks(operation)) child++;
			for (const item of brackets) tell(item, operation, child);
			if (forks(operation)) for (const copy of childCopies) if (vm.hits(copy.page, 1)) addChildCopy(told, copy, child);
			if (last && (operation.letter === "K" || operation.letter === "e"))
				told.items.push({ kind: "instant", name: "exit", vm: null, mm: child, page: 0, args: [], begin: span.end - 1, pending: 0 });
		}
	}
	return told;
}

function addChildCopy({ items, observed }: ToldItems, copy: ChildCopy, mm: number): void {
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
	} else if (forks(operation) && item.event === NotifyEvent.protectionPage) {
		item.name = "fork";
		item.child = child;
	}
}
