// A first look at a capture without access logs: which events it has, which kernel they are of, and what they tell of memslots and VMs.
import { CODES, Code, type KernelEvent, MmFault, SHAPES, Spte } from "./event.js";
import type { KernelSigns } from "./profiles.js";
import type { SlotEvidence } from "./slotevidence.js";
import type { TracefsEvent } from "./tracefs.js";
import { isKsmTracepoint } from "./tracepoints.js";

/** Pointers that the kernel printed with %p: hashed, with the upper half zero. */
const HASHED = /\b(?:mm|rmap_item|sptep|page)[ =](?:0x)?0{8}[0-9a-f]{8}\b/;

/** Tracepoints that print pointers. */
const WITH_POINTERS = /^ksm_/;
/** FAULT_FLAG_VMA_LOCK. */
const VMA_LOCK = 0x1000;

export class Scout {
	/** Evidence for memslots; null where they are known. */
	readonly slots: SlotEvidence | null;
	/** How many there are of each event with meaning, by its code. */
	readonly #counts = new Float64Array(CODES);
	readonly signs: KernelSigns = {
		rangeLayout: "",
		changePte: false,
		ranges: false,
		ksmTracepoints: false,
		faultHasVcpu: undefined,
		merges: false,
		vmaLock: false,
	};
	/** The first event with a hashed pointer. */
	hashed = "";
	#lettersInSptes = false;
	/** Memslots are recorded before the first nested fault: the rest of the capture need not be looked at. */
	complete = false;

	constructor(slots: SlotEvidence | null) {
		this.slots = slots;
	}

	/** An event as the source has it; of those that are alike, the first is enough. */
	lookRaw({ name, text }: TracefsEvent): void {
		if (WITH_POINTERS.test(name)) {
			if (isKsmTracepoint(name)) this.signs.ksmTracepoints = true;
			if (this.hashed === "" && HASHED.test(text)) this.hashed = name;
		}
		// The rewritten text always has one.
		if (name === "kvm_page_fault") this.signs.faultHasVcpu ??= /\bvcpu/.test(text);
	}

	look(event: KernelEvent): void {
		const { code, v } = event;
		this.#counts[code]++;
		if (code === Code.changePte) this.signs.changePte = true;
		else if (code === Code.rangeStart) this.signs.ranges = true;
		else if (code === Code.mergeWithKsmPage || code === Code.mergeOnePage) this.signs.merges = true;
		else if (code === Code.handleMmFault || code === Code.doWpPage) this.signs.vmaLock ||= (v[MmFault.flags] & VMA_LOCK) !== 0;
		else if (code === Code.spteChanged) this.#lettersInSptes ||= hasLetters(v);
		else if (code === Code.memslot && this.#counts[Code.pageFault] === 0) this.complete = true;
		this.slots?.feed(event);
	}

	has(event: string): boolean {
		const code = SHAPES.get(event)?.code;
		return code !== undefined && this.#counts[code] > 0;
	}

	/** SPTEs printed in decimal, where every reader takes them for hex. */
	get decimalSptes(): boolean {
		return !this.#lettersInSptes && this.#counts[Code.spteChanged] >= 64;
	}

	/** Numbers of vCPU tasks among those of their VM, where kvm_page_fault does not have them. */
	vcpuNumbers(groups: readonly (readonly number[])[]): Map<number, number> {
		const numbers = new Map<number, number>();
		for (const tasks of groups) for (const [at, pid] of [...tasks].sort((a, b) => a - b).entries()) numbers.set(pid, at);
		return numbers;
	}
}

/** Nibbles of ten and more. */
const letters = (word: number): boolean => ((word >>> 3) & ((word >>> 2) | (word >>> 1)) & 0x1111_1111) !== 0;

/** An SPTE that needs letters in hex. */
const hasLetters = (v: Float64Array): boolean =>
	letters(v[Spte.oldLow]) || letters(v[Spte.oldHigh]) || letters(v[Spte.newLow]) || letters(v[Spte.newHigh]);
