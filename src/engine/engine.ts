// One instance of the engine: loads the WASM build that this machine can run and gives its exports the types and the errors of the rest.
// The memory is the instance's own and grows: after any call into it, views of it are taken anew. An instance is reset, not made again.
import { readFileSync } from "node:fs";
import { instantiateSync } from "@assemblyscript/loader";
import type { Violation } from "../coherence.js";
import { COUNTER_PATHS } from "../counters.js";
import { BadInputError } from "../errors.js";
import type { SimulatedMachine } from "../machine/machine.js";
import { type ArchitecturalState, ENTRY_WORDS } from "../state.js";
import { encodeStrategy, type Strategy } from "../strategies/steps.js";
import { DEFAULT_HOST, type KvmHost } from "../trace/kvmhost.js";
import { HostFlag, LOG_ENTRY_BYTES, Stop, VIOLATION_WORDS } from "./boundary.js";
import { failureError } from "./failure.js";
import { encodeMachine } from "./machinewords.js";
import { readViolations } from "./violations.js";

/** release: SIMD; scalar: without; debug: with assertions. */
export type Build = "release" | "scalar" | "debug" | "profile";

/** What a world is made of. */
export interface WorldSetup {
	/** At most MAX_STRATEGIES, with the same effect on the primary page table (see `primarySignature`). */
	readonly strategies: readonly Strategy[];
	readonly machine: SimulatedMachine;
	/** TraceHeader.copiesRecorded. */
	readonly copiesRecorded: boolean;
	/** By default a current Intel host. */
	readonly host?: KvmHost | undefined;
	/** Count violations of coherence. */
	readonly check: boolean;
	/** Cap of the memory in bytes; 4 GiB by default. */
	readonly memoryBytes?: number | undefined;
	/** One of several engines that share a trace out among them (src/engine/split.ts). */
	readonly part?: Part | undefined;
}

export interface Part {
	readonly index: number;
	readonly of: number;
}

/** vmexits in a piece of a VM's memory. */
export interface ExitRange {
	readonly vm: number;
	readonly gfn: number;
	readonly pages: number;
	/** One a strategy. */
	readonly vmexits: readonly number[];
}

/** assembly/exits.ts. */
const EXIT_RANGE_PAGES = 512;
const EXIT_RANGE_BYTES = 16;

interface Exports extends Record<string, unknown> {
	host(flags: number): void;
	shard(count: number, index: number): void;
	ksmFrames(): number;
	ksmFrameEntries(): number;
	reset(count: number, copiesRecorded: boolean, check: boolean, walkReferences: number, memoryPages: number): number;
	machine(): number;
	start(): void;
	payloadBuffer(bytes: number): number;
	checksum(bytes: number): number;
	decode(bytes: number, events: number, firstSequence: number, firstNs: number, maxEntries: number, maxString: number): number;
	run(): number;
	runLogged(): number;
	logEntries(): number;
	logEntryCount(): number;
	position(): number;
	failureCode(): number;
	failureOffset(): number;
	failureNumber(): number;
	markPhase(): number;
	markLabel(): number;
	markLabelBytes(): number;
	counters(): number;
	exitRanges(): number;
	violationsKept(strategy: number): number;
	violationList(strategy: number): number;
	mmAfter(at: number): number;
	mmId(at: number): number;
	vmAfter(at: number): number;
	vmId(at: number): number;
	beginListing(): number;
	morePtes(mm: number): number;
	moreSptes(vm: number, addressSpace: number, strategy: number): number;
}

const MAX_MEMORY_BYTES = 2 ** 32;
const WASM_PAGE = 2 ** 16;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

// i8x16.splat and i8x16.popcnt in a function: valid only where there is SIMD.
const SIMD_PROBE = Uint8Array.of(
	0,
	97,
	115,
	109,
	1,
	0,
	0,
	0,
	1,
	5,
	1,
	96,
	0,
	1,
	123,
	3,
	2,
	1,
	0,
	10,
	10,
	1,
	8,
	0,
	65,
	0,
	253,
	15,
	253,
	98,
	11,
);

/** The build for this machine. */
export function defaultBuild(): Build {
	return WebAssembly.validate(SIMD_PROBE) ? "release" : "scalar";
}

const modules = new Map<Build, WebAssembly.Module>();

/** The compiled engine: threads share it. */
export function engineModule(build: Build): WebAssembly.Module {
	const known = modules.get(build);
	if (known !== undefined) return known;
	// From src/engine and from dist/engine alike.
	const module = new WebAssembly.Module(readFileSync(new URL(`../../dist/engine/${build}.wasm`, import.meta.url)));
	modules.set(build, module);
	return module;
}

/** The compiled engine of another thread. */
export function adoptModule(build: Build, module: WebAssembly.Module): void {
	modules.set(build, module);
}

function hostFlags({ mmu, eptAd, pml }: KvmHost): number {
	return (mmu === "legacy" ? HostFlag.legacyMmu : 0) | (eptAd ? 0 : HostFlag.noAd) | (pml ? 0 : HostFlag.noPml);
}

export class Engine {
	readonly build: Build;
	readonly #exports: Exports;
	readonly #memory: WebAssembly.Memory;
	#strategies = 0;

	constructor(build: Build = defaultBuild(), module: WebAssembly.Module = engineModule(build)) {
		this.build = build;
		const { exports } = instantiateSync<Exports>(module);
		if (exports.memory === undefined) throw new Error("the engine has no memory");
		this.#exports = exports;
		this.#memory = exports.memory;
	}

	get memoryBytes(): number {
		return this.#memory.buffer.byteLength;
	}

	/** Begin an empty world; whatever was there is gone. @throws LimitError */
	begin(setup: WorldSetup): void {
		const { strategies, machine } = setup;
		this.#strategies = strategies.length;
		const pages = Math.floor(Math.min(setup.memoryBytes ?? MAX_MEMORY_BYTES, MAX_MEMORY_BYTES) / WASM_PAGE);
		const references = (machine.guestLevels + 1) * (machine.hostLevels + 1) - 1;
		this.guard("its start", () => {
			this.#exports.host(hostFlags(setup.host ?? DEFAULT_HOST));
			this.#exports.shard(setup.part?.of ?? 1, setup.part?.index ?? 0);
			let at = this.#exports.reset(strategies.length, setup.copiesRecorded, setup.check, references, pages) >>> 0;
			for (const strategy of strategies) {
				const program = encodeStrategy(strategy);
				this.bytes(at, program.length).set(program);
				at += program.length;
			}
			const words = encodeMachine(machine);
			new Uint32Array(this.#memory.buffer, this.#exports.machine() >>> 0, words.length).set(words);
			this.#exports.start();
		});
	}

	bytes(at: number, length: number): Uint8Array {
		return new Uint8Array(this.#memory.buffer, at >>> 0, length);
	}

	/** Where the payload of a block goes; valid until the next call. @throws LimitError */
	payload(bytes: number, where: string): Uint8Array {
		return this.guard(where, () => this.bytes(this.#exports.payloadBuffer(bytes), bytes));
	}

	/** CRC-32C of the payload's bytes. */
	checksum(bytes: number): number {
		return this.#exports.checksum(bytes) >>> 0;
	}

	/** Find and check the columns of the payload. @throws BadInputError, LimitError */
	decode(
		block: { readonly rawLength: number; readonly events: number; readonly firstSequence: number; readonly firstNs: number },
		limits: { readonly entries: number; readonly stringBytes: number },
		where: string,
	): void {
		const valid = this.guard(where, () =>
			this.#exports.decode(block.rawLength, block.events, block.firstSequence, block.firstNs, limits.entries, limits.stringBytes),
		);
		if (valid === 0) throw failureError(this.#failure(), `${where}, payload byte ${this.#exports.failureOffset() >>> 0}`);
	}

	/** Replay the block on: true at a mark that begins a phase, false at the block's end. @throws BadInputError, LimitError */
	run(where: string): boolean {
		return (
			this.#expectRun(
				this.guard(where, () => this.#exports.run()),
				where,
			) === Stop.mark
		);
	}

	/** The same, and write down what happens; true where the block goes on. @throws BadInputError, LimitError */
	runLogged(where: string): boolean {
		return (
			this.#expectRun(
				this.guard(where, () => this.#exports.runLogged()),
				where,
			) !== Stop.end
		);
	}

	/** What `runLogged` wrote: LOG_ENTRY_BYTES an entry; valid until the next call. */
	log(): DataView {
		const { logEntries, logEntryCount } = this.#exports;
		return new DataView(this.#memory.buffer, logEntries() >>> 0, logEntryCount() * LOG_ENTRY_BYTES);
	}

	#expectRun(stop: number, where: string): number {
		if (stop !== Stop.failure) return stop;
		const place = `payload byte ${this.#exports.failureOffset() >>> 0}, event ${this.#exports.position() >>> 0}`;
		throw failureError(this.#failure(), `${where}, ${place}`);
	}

	#failure(): { code: number; detail: number } {
		return { code: this.#exports.failureCode(), detail: this.#exports.failureNumber() };
	}

	/** Call into the engine; a trap that says why becomes the error that it means, any other is a defect. */
	guard<T>(where: string, call: () => T): T {
		try {
			return call();
		} catch (error) {
			if (!(error instanceof WebAssembly.RuntimeError)) throw error;
			const failure = this.#failure();
			if (failure.code !== 0) throw failureError(failure, where);
			throw new Error(`the engine failed: ${error.message} (${where})`, { cause: error });
		}
	}

	/** Number and label of the phase whose mark `run` stopped at. @throws BadInputError where the label is not UTF-8 */
	mark(where: string): { phase: number; label: string } {
		const label = this.bytes(this.#exports.markLabel(), this.#exports.markLabelBytes());
		try {
			return { phase: this.#exports.markPhase(), label: UTF8.decode(label) };
		} catch (cause) {
			throw new BadInputError("a mark whose label is not UTF-8", { where, cause });
		}
	}

	/** Each strategy's counters as they are now: copies. */
	counters(): BigUint64Array<ArrayBuffer>[] {
		const at = this.#exports.counters() >>> 0;
		const count = COUNTER_PATHS.length;
		return Array.from({ length: this.#strategies }, (_, index) =>
			new BigUint64Array(this.#memory.buffer, at + index * count * 8, count).slice(),
		);
	}

	/** vmexits by VM and 2 MiB of its memory, by VM and gfn. */
	exitRanges(): ExitRange[] {
		const found: ExitRange[] = [];
		const { buffer } = this.#memory;
		const words = new Uint32Array(buffer);
		for (let at = this.#exports.exitRanges() >>> 0; at !== 0; at = words[at / 4 + 2] ?? 0) {
			const counts = new BigUint64Array(buffer, at + EXIT_RANGE_BYTES, this.#strategies);
			const gfn = (words[at / 4] ?? 0) * EXIT_RANGE_PAGES;
			found.push({ vm: words[at / 4 + 1] ?? 0, gfn, pages: EXIT_RANGE_PAGES, vmexits: Array.from(counts, Number) });
		}
		return found.sort((a, b) => a.vm - b.vm || a.gfn - b.gfn);
	}

	/** The frames that are KSM pages, and which. */
	ksmPages(): Map<number, number> {
		const words = new Uint32Array(this.#memory.buffer, this.#exports.ksmFrames() >>> 0, (this.#exports.ksmFrameEntries() >>> 0) * 4);
		const pages = new Map<number, number>();
		for (let at = 0; at < words.length; at += 4) if (words[at + 2] !== 0) pages.set((words[at + 2] ?? 0) - 1, words[at] ?? 0);
		return pages;
	}

	/** A strategy's violations of coherence in their order, the first VIOLATIONS_KEPT. */
	violations(strategy: number): Violation[] {
		const kept = this.#exports.violationsKept(strategy) >>> 0;
		return readViolations(new Uint32Array(this.#memory.buffer, this.#exports.violationList(strategy) >>> 0, kept * VIOLATION_WORDS));
	}

	/** A strategy's state, for its digest. */
	state(strategy: number): ArchitecturalState {
		return { counters: this.counters()[strategy] ?? new BigUint64Array(), entries: () => this.#entries(strategy) };
	}

	*#entries(strategy: number): Generator<Uint32Array> {
		const exports = this.#exports;
		for (const { at } of this.#byId(exports.mmAfter, exports.mmId)) yield* this.#batches(() => exports.morePtes(at));
		for (const { at } of this.#byId(exports.vmAfter, exports.vmId)) {
			for (const as of [0, 1]) yield* this.#batches(() => exports.moreSptes(at, as, strategy));
		}
	}

	#byId(after: (at: number) => number, id: (at: number) => number): { at: number; id: number }[] {
		const found = [];
		for (let at = after(0) >>> 0; at !== 0; at = after(at) >>> 0) found.push({ at, id: id(at) >>> 0 });
		return found.sort((a, b) => a.id - b.id);
	}

	*#batches(more: () => number): Generator<Uint32Array> {
		const buffer = this.guard("the state", () => this.#exports.beginListing()) >>> 0;
		for (let entries = more(); entries > 0; entries = more()) {
			yield new Uint32Array(this.#memory.buffer, buffer, entries * ENTRY_WORDS);
		}
	}
}
