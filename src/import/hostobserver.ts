// A capture without events of KVM: what the host did to its own pages, as observations. Only one of the signs of a merge is counted.
import { Code, FIRST, HostFault, type KernelEvent, MmFault } from "./event.js";
import type { Timeline } from "./timeline.js";
import { pageOf } from "./tracefs.js";

export class HostObserver {
	readonly #timeline: Timeline;
	#tracepoint = false;

	constructor(timeline: Timeline) {
		this.#timeline = timeline;
	}

	feed({ code, v }: KernelEvent): void {
		const timeline = this.#timeline;
		// A program may ask for the kernel's half, as it does of the vsyscall page: no page of its own.
		if (code === Code.hostFault && v[HostFault.address] < 0) return;
		if (code === Code.hostFault) timeline.observe("hostFault", null, 0, pageOf(v[HostFault.address]), [(v[HostFault.errorCode] & 2) >> 1]);
		else if (code === Code.copy) timeline.observe("cowCopy", null, 0, pageOf(v[MmFault.addr]), [0]);
		else if (code === Code.mergeTracepoint) {
			this.#tracepoint = true;
			if (v[FIRST] === 0) timeline.observe("ksmMerge", null, 0, 0, []);
		} else if (code === Code.mergeOnePageReturn && !this.#tracepoint && v[FIRST] === 0) timeline.observe("ksmMerge", null, 0, 0, []);
	}
}
