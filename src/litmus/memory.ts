// The bytes of a state and the verbs on them: page tables, TLBs, frames, KVM's sequence. One page is one address, one frame one page of memory; a content
// is the value last written. What each verb stands for: kernel.md 1.2 to 1.6, 3.2 to 3.6, 4.
//
// An entry of any table or TLB, in one byte:   P W D - f f f f   present, writable, dirty, frame
import { LimitError } from "../errors.js";
import { RULE_BIT, type Rule } from "./rules.js";
import type { FrameKind, Mapping, Scenario } from "./scenario.js";

/** A state of the machine. */
export type State = Uint8Array;

export const PRESENT = 0x80;
export const WRITABLE = 0x40;
export const DIRTY = 0x20;
const FRAME_MASK = 0x0f;
export const frameOf = (entry: number): number => entry & FRAME_MASK;
/** Whether an entry lets an access through: a write also needs the dirty bit in it, or a walk sets it. */
export const permits = (entry: number, write: boolean): boolean => (entry & PRESENT) !== 0 && (!write || (entry & WRITABLE) !== 0);

/** Bits of a frame's flags. */
export const FrameBit = { allocated: 1, ksm: 2, exclusive: 4, dirty: 8, freed: 16 } as const;
/** The zero page: no counts, never written, never freed. */
export const ZERO_FRAME = 0;
const FRAMES = 16;
const PIN = 0x10;

/** Where the bytes of one page's address stand. -1 where nobody in the scenario has such a thing. */
export interface PageSlots {
	readonly index: number;
	readonly name: string;
	readonly pte: number;
	/** Page-table lock: thread + 1. */
	readonly ptl: number;
	/** Frame + 1 that ksmd holds locked. */
	readonly pageLock: number;
	/** The window between set-pte-write-protected and make-writable in which write faults wait: thread + 1. */
	readonly window: number;
	/** Content that a read must see. */
	readonly latest: number;
	/** Content that a fault without a PTE finds: swap, file, or 0. */
	readonly backing: number;
	readonly spte: number;
	readonly mirror: number;
	/** The mirror's interval: invalidations in progress, and their sequence. */
	readonly mirrorCount: number;
	readonly mirrorSeq: number;
	readonly device: number;
	/** 1: the guests' TLBs are to be flushed some time. */
	readonly flushRequest: number;
	readonly guestTlbs: readonly number[];
	readonly hostTlbs: readonly number[];
	/** Every place that may hold a translation to one of its frames, the PTE apart. */
	readonly translations: readonly number[];
}

export interface MemoryNeeds {
	/** How many pages the programs may allocate. */
	readonly copies: number;
	/** Guest TLB flushes may be requested without being waited for. */
	readonly flushes: boolean;
	/** Pages may be kept write-protected for a notifier. */
	readonly windows: boolean;
}

export class Memory {
	#width = 0;
	/** Bits of broken rules. */
	readonly rules = this.byte();
	readonly flags: number;
	/** KVM: mmu_invalidate_seq, in_progress, and the pages of the hull as bits; -1 without a guest. */
	readonly seq: number;
	readonly inProgress: number;
	readonly hull: number;
	readonly pages: readonly PageSlots[];
	readonly frameNames: readonly string[];
	/** Three bytes each: content, counts (mappings, and pins above them), flags. */
	readonly #frames: number;
	readonly frameCount: number;
	readonly hasGuest: boolean;
	readonly hasMirror: boolean;
	readonly hasDevice: boolean;

	/** @throws LimitError */
	constructor(scenario: Scenario, needs: MemoryNeeds) {
		const { copies } = needs;
		const count = (kind: string): number => scenario.threads.filter((thread) => thread.kind === kind).length;
		const guests = count("vcpu");
		const hosts = count("host") + count("ksmd");
		const mapped = (table: "spte" | "mirror" | "device"): boolean => scenario.pages.some((page) => page[table] !== null);
		this.hasGuest = guests > 0 || mapped("spte");
		this.hasMirror = count("mirror") > 0 || mapped("mirror");
		this.hasDevice = count("sva") > 0 || mapped("device");
		const signals = scenario.threads.some(({ statements }) => statements.some((statement) => statement.do === "signal"));
		this.flags = this.#byteIf(signals);
		this.seq = this.#byteIf(this.hasGuest);
		this.inProgress = this.#byteIf(this.hasGuest);
		this.hull = this.#byteIf(this.hasGuest);
		const merges = scenario.threads.some(({ statements }) => statements.some((s) => s.do === "merge" || s.do === "operation"));
		const optional = {
			pageLock: merges,
			flushRequest: this.hasGuest && needs.flushes,
			window: needs.windows && (this.hasMirror || this.hasDevice),
		};
		this.pages = scenario.pages.map(({ name }, index) => this.#page(name, index, guests, hosts, optional));
		const names = ["Z", ...scenario.frames.map((frame) => frame.name)];
		this.frameCount = names.length + copies;
		if (this.frameCount > FRAMES) {
			throw new LimitError(`${scenario.name}: ${this.frameCount} frames, more than ${FRAMES}`, {
				where: scenario.file,
				hint: "every write that may copy its page needs one: use fewer writes",
			});
		}
		for (let fresh = 1; names.length < this.frameCount; fresh++) names.push(copies === 1 ? "N" : `N${fresh}`);
		this.frameNames = names;
		this.#frames = this.#width;
		this.#width += 3 * this.frameCount;
	}

	/** A byte of its own. */
	byte(): number {
		return this.#width++;
	}

	#byteIf(wanted: boolean): number {
		return wanted ? this.byte() : -1;
	}

	/** Bytes of a state, in whole words. */
	get width(): number {
		return (this.#width + 3) & ~3;
	}

	#page(
		name: string,
		index: number,
		guests: number,
		hosts: number,
		optional: Readonly<Record<"pageLock" | "flushRequest" | "window", boolean>>,
	): PageSlots {
		const bytes = (length: number): number[] => Array.from({ length }, () => this.byte());
		const spte = this.#byteIf(this.hasGuest);
		const mirror = this.#byteIf(this.hasMirror);
		const device = this.#byteIf(this.hasDevice);
		const guestTlbs = bytes(guests);
		const hostTlbs = bytes(hosts);
		return {
			index,
			name,
			pte: this.byte(),
			ptl: this.byte(),
			pageLock: this.#byteIf(optional.pageLock),
			window: this.#byteIf(optional.window),
			latest: this.byte(),
			backing: this.byte(),
			spte,
			mirror,
			mirrorCount: this.#byteIf(this.hasMirror),
			mirrorSeq: this.#byteIf(this.hasMirror),
			device,
			flushRequest: this.#byteIf(optional.flushRequest),
			guestTlbs,
			hostTlbs,
			translations: [spte, mirror, device, ...guestTlbs, ...hostTlbs].filter((slot) => slot >= 0),
		};
	}

	/** The state that a scenario begins in: TLBs hold what the tables say, the worst case for anybody who forgets them. */
	initial(scenario: Scenario): State {
		const state = new Uint8Array(this.width);
		const ids = new Map(scenario.frames.map((frame, at) => [frame.name, at + 1]));
		const entry = (mapping: Mapping, dirty: number): number =>
			mapping === null ? 0 : PRESENT | (mapping.writable ? WRITABLE | dirty : 0) | (ids.get(mapping.frame) ?? ZERO_FRAME);
		const kindBits: Record<FrameKind, number> = { private: FrameBit.exclusive, shared: 0, ksm: FrameBit.ksm };
		state[this.#flag(ZERO_FRAME)] = FrameBit.allocated;
		for (const frame of scenario.frames) {
			const id = ids.get(frame.name) ?? ZERO_FRAME;
			const mappings = scenario.pages.filter(({ pte }) => pte?.frame === frame.name).length;
			state[this.#content(id)] = frame.value;
			state[this.#refs(id)] = mappings + (frame.kind === "shared" || frame.held ? 1 : 0);
			state[this.#flag(id)] = FrameBit.allocated | kindBits[frame.kind];
		}
		for (const [at, page] of scenario.pages.entries()) {
			const slots = this.pages[at];
			if (slots === undefined) continue;
			const set = (slot: number, value: number): void => {
				if (slot >= 0) state[slot] = value;
			};
			const content = page.pte === null ? 0 : (scenario.frames.find((frame) => frame.name === page.pte?.frame)?.value ?? 0);
			set(slots.pte, entry(page.pte, 0));
			set(slots.spte, entry(page.spte, DIRTY));
			set(slots.mirror, entry(page.mirror, DIRTY));
			set(slots.device, entry(page.device, DIRTY));
			set(slots.latest, content);
			set(slots.backing, content);
			for (const slot of slots.guestTlbs) set(slot, entry(page.spte, DIRTY));
			for (const slot of slots.hostTlbs) set(slot, entry(page.pte, 0));
		}
		return state;
	}

	#content(frame: number): number {
		return this.#frames + 3 * frame;
	}

	#refs(frame: number): number {
		return this.#frames + 3 * frame + 1;
	}

	#flag(frame: number): number {
		return this.#frames + 3 * frame + 2;
	}

	break(s: State, rule: Rule): void {
		s[this.rules] |= RULE_BIT[rule];
	}

	content(s: State, frame: number): number {
		return s[this.#content(frame)];
	}

	setContent(s: State, frame: number, value: number): void {
		s[this.#content(frame)] = value;
	}

	has(s: State, frame: number, bit: number): boolean {
		return (s[this.#flag(frame)] & bit) !== 0;
	}

	mark(s: State, frame: number, bit: number): void {
		s[this.#flag(frame)] |= bit;
	}

	unmark(s: State, frame: number, bit: number): void {
		s[this.#flag(frame)] &= ~bit;
	}

	/** KSM pages and the zero page are read-only always (I-5). */
	isImmutable(s: State, frame: number): boolean {
		return frame === ZERO_FRAME || this.has(s, frame, FrameBit.ksm);
	}

	mappings(s: State, frame: number): number {
		return s[this.#refs(frame)] & 0x0f;
	}

	pins(s: State, frame: number): number {
		return s[this.#refs(frame)] >> 4;
	}

	/** A new page without a mapping. @throws LimitError */
	allocate(s: State): number {
		for (let frame = 1; frame < this.frameCount; frame++) {
			if (s[this.#flag(frame)] !== 0) continue;
			s[this.#flag(frame)] = FrameBit.allocated;
			return frame;
		}
		throw new LimitError(`more than ${this.frameCount} frames in one execution`, { hint: "use fewer writes" });
	}

	/** A copy that nobody has seen goes back. */
	release(s: State, frame: number): void {
		s[this.#content(frame)] = 0;
		s[this.#refs(frame)] = 0;
		s[this.#flag(frame)] = 0;
	}

	map(s: State, frame: number): void {
		if (frame !== ZERO_FRAME) s[this.#refs(frame)]++;
	}

	unmap(s: State, frame: number): void {
		if (frame === ZERO_FRAME || this.mappings(s, frame) === 0) return;
		s[this.#refs(frame)]--;
		this.#put(s, frame);
	}

	/** get_page, as gup does it. */
	pin(s: State, frame: number): void {
		if (frame !== ZERO_FRAME) s[this.#refs(frame)] += PIN;
	}

	unpin(s: State, frame: number): void {
		if (frame === ZERO_FRAME || this.pins(s, frame) === 0) return;
		s[this.#refs(frame)] -= PIN;
		this.#put(s, frame);
	}

	/** The last reference frees the page; from then on nothing may lead to it (I-1). */
	#put(s: State, frame: number): void {
		if (s[this.#refs(frame)] !== 0) return;
		this.mark(s, frame, FrameBit.freed);
		for (const page of this.pages)
			for (const slot of page.translations) if ((s[slot] & PRESENT) !== 0 && frameOf(s[slot]) === frame) this.break(s, "I-1");
	}

	/** A table or TLB lets go of its entry; a dirty one tells the page (I-15). Says whether there was one. */
	zap(s: State, slot: number): boolean {
		if (slot < 0 || s[slot] === 0) return false;
		if ((s[slot] & DIRTY) !== 0) this.mark(s, frameOf(s[slot]), FrameBit.dirty);
		s[slot] = 0;
		return true;
	}

	/** Put an entry into a secondary table; a new mapping of a freed page is I-1, a writable one of a KSM page I-5. */
	install(s: State, slot: number, entry: number): void {
		if (s[slot] !== entry) this.zap(s, slot);
		s[slot] = entry;
		const frame = frameOf(entry);
		if (this.has(s, frame, FrameBit.freed)) this.break(s, "I-1");
		if ((entry & WRITABLE) !== 0 && this.isImmutable(s, frame)) this.break(s, "I-5");
	}

	/** kvm_flush_remote_tlbs, for one page. */
	flushGuests(s: State, page: PageSlots): void {
		for (const slot of page.guestTlbs) s[slot] = 0;
	}

	/** flush_tlb_page. */
	flushHosts(s: State, page: PageSlots): void {
		for (const slot of page.hostTlbs) s[slot] = 0;
	}

	/** Whether a bracket holds off faults on a page (mmu_invalidate_retry_hva, first clause). */
	inHull(s: State, page: PageSlots): boolean {
		return s[this.inProgress] !== 0 && (s[this.hull] & (1 << page.index)) !== 0;
	}

	/** Pages between the lowest and the highest of two sets: the hull is one range. */
	widenHull(s: State, page: PageSlots): void {
		const both = s[this.hull] | (1 << page.index);
		const low = both & -both;
		const high = 1 << (31 - Math.clz32(both));
		s[this.hull] = (high << 1) - low;
	}

	/** What a read through `entry` finds; stale content or a freed page breaks a rule. */
	read(s: State, page: PageSlots, entry: number): number {
		const frame = frameOf(entry);
		const value = this.content(s, frame);
		if (this.has(s, frame, FrameBit.freed)) this.break(s, "I-1");
		else if (value !== s[page.latest]) this.break(s, this.#leadsAstray(s, page, frame) ? "I-2" : "I-19");
		return value;
	}

	write(s: State, page: PageSlots, entry: number, value: number): void {
		const frame = frameOf(entry);
		if (this.has(s, frame, FrameBit.freed)) this.break(s, "I-1");
		else if ((s[page.pte] & PRESENT) !== 0 && this.#leadsAstray(s, page, frame)) this.break(s, "I-2");
		if (this.isImmutable(s, frame)) this.break(s, "I-5");
		this.setContent(s, frame, value);
		s[page.latest] = value;
	}

	#leadsAstray(s: State, page: PageSlots, frame: number): boolean {
		return (s[page.pte] & PRESENT) === 0 || frameOf(s[page.pte]) !== frame;
	}

	/** What is wrong once every thread has finished (I-2, I-3 at quiescence; I-19 for what nobody has read). */
	brokenAtEnd(s: State): number {
		let broken = s[this.rules];
		for (const page of this.pages) {
			const pte = s[page.pte];
			for (const slot of page.translations) {
				const entry = s[slot];
				if ((entry & PRESENT) === 0) continue;
				if ((pte & PRESENT) === 0 || frameOf(pte) !== frameOf(entry)) broken |= RULE_BIT["I-2"];
				else if ((entry & WRITABLE) !== 0 && (pte & WRITABLE) === 0) broken |= RULE_BIT["I-3"];
			}
			const found = (pte & PRESENT) !== 0 ? this.content(s, frameOf(pte)) : s[page.backing];
			if (found !== s[page.latest]) broken |= RULE_BIT["I-19"];
		}
		return broken;
	}
}
