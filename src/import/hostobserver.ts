// A capture without events of KVM: what the host did to its own pages, as observations. Only one of the signs of a merge is counted.
import { Code, FIRST, HostFault, type KernelEvent, MmFault } from "./event.js";
import { pageOf } from "./tracefs.js";
import type { Tracker } from "./tracker.js";

export class HostObserver {
	readonly #tracker: Tracker;
	#tracepoint = false;

	constructor(tracker: Tracker) {
		this.#tracker = tracker;
	}

	feed({ code, v }: KernelEvent): void {
		const tracker = this.#tracker;
		if (code === Code.hostFault) tracker.observe("hostFault", null, 0, pageOf(v[HostFault.address]), [(v[HostFault.errorCode] & 2) >> 1]);
		else if (code === Code.copy) tracker.observe("cowCopy", null, 0, pageOf(v[MmFault.addr]), [0]);
		else if (code === Code.mergeTracepoint) {
			this.#tracepoint = true;
			if (v[FIRST] === 0) tracker.observe("ksmMerge", null, 0, 0, []);
		} else if (code === Code.mergeOnePageReturn && !this.#tracepoint && v[FIRST] === 0) tracker.observe("ksmMerge", null, 0, 0, []);
	}
}
