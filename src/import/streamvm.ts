// An access stream becomes the accesses of one VM: its addresses are guest-physical, memslots cover what it touches, and what it reads first
// was filled before. There are no kernel events in it but those that an overlay lays over it.
import { LimitError } from "../errors.js";
import { Access, AgentKind } from "../trace/kinds.js";
import type { Agent } from "../trace/record.js";
import { type BlockSink, CauseBlocks } from "./causeblock.js";
import type { Devices } from "./devices.js";
import { KsmOverlay, type OverlaySpec } from "./overlay.js";
import { MetPages, TouchedPages } from "./touchedpages.js";

/** A memslot covers 64 MiB, aligned; hva = gpa. */
const SLOT_PAGES = 1 << 14;
/** KVM_USER_MEM_SLOTS of x86. */
const MAX_SLOTS = 32764;

/** More vCPUs than any kernel's KVM takes. */
const MAX_VCPUS = 4096;
/** Distinct MMIO pages: devices have few. */
const MAX_MMIO_PAGES = 1 << 20;

const VM = 0;
const MM = 0;
const VM_AGENT: Agent = { kind: AgentKind.vm, vm: VM, vcpu: 0, mm: MM, thread: 0 };
const MM_AGENT: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: MM, thread: 0 };
const HOST_AGENT: Agent = { kind: AgentKind.host, vm: VM, vcpu: 0, mm: MM, thread: 1 };

/** populate: a private writable page each. */
const FILLED = 1;

export class StreamVm {
	readonly #causes: CauseBlocks;
	readonly #pages = new TouchedPages();
	/** Where no overlay wants their numbers. */
	readonly #met = new MetPages();
	/** The last page of each kind of access, and its number: most accesses stay on it. */
	readonly #lastPage = new Float64Array(8).fill(-1);
	readonly #lastNumber = new Int32Array(8);
	readonly #slots = new Set<number>();
	readonly #mmio = new Set<number>();
	readonly #vcpus: Agent[] = [];
	readonly overlay: KsmOverlay | null;
	/** Accesses that reach into the next page; each is one access, of the page where it begins. */
	crossing = 0;
	accesses = 0;

	readonly #devices: Devices | undefined;

	constructor(sink: BlockSink, overlay: OverlaySpec | undefined, timed = false, devices?: Devices) {
		this.#devices = devices;
		this.#causes = new CauseBlocks(sink, timed);
		this.overlay =
			overlay === undefined
				? null
				: new KsmOverlay(overlay, this.#pages, {
						kernel: (name, page, args) => this.#causes.operation(MM_AGENT, name, page, args),
						hostWrite: (page) => this.#causes.access(HOST_AGENT, Access.hostWrite, page, 0),
					});
	}

	get vcpus(): number {
		return Math.max(1, this.#vcpus.length);
	}

	/** Bytes of the pages that it touches. */
	get memoryBytes(): number {
		return this.#pages.count * 4096;
	}

	/** Time of what follows, in ns from the first. */
	set ns(ns: number) {
		this.#causes.ns = ns;
	}

	/** `page` of an address of 48 bits (four levels of page tables), `offset` under 4096. @throws LimitError on a stream that touches more than a host can map */
	access(vcpu: number, access: Access, page: number, offset: number): void {
		const agent = this.#vcpus[vcpu] ?? this.#newVcpu(vcpu);
		this.accesses++;
		if (this.overlay === null) {
			if (!this.#met.meets(page)) {
				this.#pages.numberOf(page);
				this.#firstTouch(page, access);
			}
		} else this.overlay.access(this.#numberOf(page, access), access === Access.guestWrite);
		this.#causes.access(agent, access, page, offset);
	}

	/** Its number among the pages, for the overlay. */
	#numberOf(page: number, access: Access): number {
		if (this.#lastPage[access] === page) return this.#lastNumber[access];
		const before = this.#pages.count;
		const number = this.#pages.numberOf(page);
		if (number === before) this.#firstTouch(page, access);
		this.#lastPage[access] = page;
		this.#lastNumber[access] = number;
		return number;
	}

	/** An access outside RAM. The first one of a page makes KVM's MMIO entry; from then on the faults have the reserved bit (kernel.md 3.6). */
	mmio(vcpu: number, access: Access, page: number): void {
		const agent = this.#vcpus[vcpu] ?? this.#newVcpu(vcpu);
		const reserved = this.#mmio.has(page) ? 1 : 0;
		if (reserved === 0) {
			if (this.#mmio.size === MAX_MMIO_PAGES) throw new LimitError(`more than ${MAX_MMIO_PAGES} MMIO pages`);
			this.#mmio.add(page);
		}
		this.#causes.operation(agent, "mmio", page, [access, reserved]);
	}

	finish(): void {
		this.#causes.flush();
	}

	#newVcpu(vcpu: number): Agent {
		if (vcpu >= MAX_VCPUS) throw new LimitError(`vCPU ${vcpu}: more than ${MAX_VCPUS} vCPUs`);
		const agent: Agent = { kind: AgentKind.guest, vm: VM, vcpu, mm: MM, thread: 0 };
		for (let id = this.#vcpus.length; id < vcpu; id++) this.#vcpus.push({ ...agent, vcpu: id });
		this.#vcpus[vcpu] = agent;
		return agent;
	}

	/** A store makes its page; what is loaded or fetched first was there before. */
	#firstTouch(page: number, access: Access): void {
		const slot = Math.floor(page / SLOT_PAGES);
		if (!this.#slots.has(slot)) {
			const id = this.#slots.size;
			if (id === MAX_SLOTS)
				throw new LimitError(`the stream touches more than ${MAX_SLOTS} regions of 64 MiB: more memslots than KVM takes`);
			this.#slots.add(slot);
			const first = slot * SLOT_PAGES;
			const args = [id, 0, first, SLOT_PAGES, 0];
			this.#causes.operation(VM_AGENT, "memslot", first, args);
			for (const attachment of this.#devices?.follow({ agent: VM_AGENT, page: first, args }) ?? [])
				this.#causes.operation(attachment.agent, attachment.name, attachment.page, attachment.args);
		}
		if (access !== Access.guestWrite) this.#causes.operation(MM_AGENT, "populate", page, [1, FILLED]);
	}
}
