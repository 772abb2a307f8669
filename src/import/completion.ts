// What a capture of another recipe than the rig's needs once all of it is read, before it is written.
import { NotifyEvent, OpFlag, ZAP_CAUSES } from "../trace/kinds.js";
import { resolveBlindFaults } from "./blindfaults.js";
import type { CapturedVm } from "./host.js";
import type { Item, ObservedItem } from "./items.js";
import type { TracefsEvent } from "./tracefs.js";
import { field, hex, pageOf, word } from "./tracefs.js";
import type { Tracker } from "./tracker.js";

const KVM_ZAP = ZAP_CAUSES.indexOf("kvmZap");

/** After Tracker.finish(). */
export function complete(tracker: Tracker): void {
	if (!tracker.observed.some((item) => item.name === "spteChanged")) resolveBlindFaults(tracker.items);
	if (!tracker.observed.some((item) => item.name === "ksmMerge")) observeMerges(tracker);
	dropTeardown(tracker.items, tracker.observed);
}

/** Where stable_tree_append is not probed, a merge is what returned 0. */
function observeMerges(tracker: Tracker): void {
	for (const item of tracker.items) {
		const promoted = item.kind === "instant" && item.name === "ksmPromote";
		const replaced = item.kind === "bracket" && item.name === "ksmReplace" && (item.flags & (OpFlag.failed | OpFlag.zeroPage)) === 0;
		if (item.vm !== null && (promoted || replaced))
			tracker.observed.push({
				at: item.kind === "bracket" ? item.end : item.begin,
				name: "ksmMerge",
				vm: item.vm,
				vcpu: 0,
				page: item.page,
				args: [],
			});
	}
	tracker.observed.sort((a, b) => a.at - b.at);
}

/** A VM that has ended (exit_mmap's range, which normalise.ts leaves as one of page 0): what KVM zapped and flushed after its last fault and range is its end, not work. */
function dropTeardown(items: readonly Item[], observed: ObservedItem[]): void {
	const ended = new Set<CapturedVm>();
	const last = new Map<CapturedVm, number>();
	for (const item of items) {
		if (item.vm === null || item.kind === "instant") continue;
		if (item.kind === "bracket" && !item.hit && item.page === 0 && item.event === NotifyEvent.unmap) ended.add(item.vm);
		else if (item.kind === "fault" || item.hit) last.set(item.vm, Math.max(last.get(item.vm) ?? 0, item.begin, item.end));
	}
	if (ended.size === 0) return;
	const isEnd = ({ name, vm, at, args }: ObservedItem): boolean =>
		vm !== null &&
		ended.has(vm) &&
		at > (last.get(vm) ?? 0) &&
		(name === "flush" || (name === "spteChanged" && args[3] === 0 && args[4] === KVM_ZAP));
	let kept = 0;
	for (const item of observed) if (!isEnd(item)) observed[kept++] = item;
	observed.length = kept;
}

/** A capture without KVM: what the host did to its own pages, as observations. Only one of the signs of a merge is counted. */
export class HostObserver {
	readonly #tracker: Tracker;
	#tracepoint = false;

	constructor(tracker: Tracker) {
		this.#tracker = tracker;
	}

	feed(event: TracefsEvent): void {
		const { name, text } = event;
		const tracker = this.#tracker;
		if (name === "page_fault_user")
			tracker.observe("hostFault", null, 0, pageOf(hex(field(text, "address"))), [(hex(field(text, "error_code")) & 2) >> 1]);
		else if (name === "wp_page_copy") tracker.observe("cowCopy", null, 0, pageOf(hex(field(text, "addr"))), [0]);
		else if (name === "ksm_merge_with_ksm_page") {
			this.#tracepoint = true;
			if (Number(word(text, "error")) === 0) tracker.observe("ksmMerge", null, 0, 0, []);
		} else if (name === "ksm_try_to_merge_one_page_ret" && !this.#tracepoint && Number(field(text, "ret")) === 0)
			tracker.observe("ksmMerge", null, 0, 0, []);
	}
}
