// The yardstick in plain JavaScript: bench/native/floor.c once more, over typed arrays and without WebAssembly, as fast as V8 makes it. It knows the
// same few records and gives the same counters. Arguments and answer: src/bench/child.ts.
import { AGENT_SHIFT, Operation } from "../src/trace/kinds.js";
import { openTrace } from "../src/trace/reader.js";
import type { VarintReader } from "../src/trace/varint.js";
import { BlockType } from "../src/trace/wire.js";
import { type Agent, type Columns, decode } from "./plaincolumns.js";

const PRESENT = 1;
const WRITABLE = 2;
const ACCESSED = 4;
const KSM = 8;
const FRAME_SHIFT = 6;
const FRAME_MASK = ~63;
const Cause = { firstTouch: 0, ksm: 1, readOnlySpte: 2, retryAfterCow: 3 } as const;
const Site = { none: 0, cow: 1, ksmWriteProtect: 2, ksmReplace: 3 } as const;
/** A first level is 16 sets of 4 tags and 4 entries, most recently used first; a second one 128 sets of 12 and 12. */
const L1_WORDS = 16 * 8;
const L2_WORDS = 128 * 24;

/** u32 words. Grown by doubling; every place in it is an index. */
let words = new Int32Array(1 << 20);
let used = 0;

function reserve(count: number): number {
	const at = used;
	used += count;
	if (used > words.length) {
		const grown = new Int32Array(Math.max(words.length * 2, used));
		grown.set(words);
		words = grown;
	}
	return at;
}

class Vm {
	readonly vcpus: Vcpu[] = [];
	/** Leaves of 512 words by page >> 9; 0: none. */
	sptes = new Int32Array(0);
	ptes = new Int32Array(0);
	pages = 0;
	hva = 0;
	seq = 0;
}

class Vcpu {
	readonly vm: Vm;
	readonly l1 = reserve(L1_WORDS);
	readonly l2 = reserve(L2_WORDS);
	filled = false;

	constructor(vm: Vm) {
		this.vm = vm;
	}
}

const vms = new Map<number, Vm>();
// Word 0 stays unused, so that leaf 0 is none.
reserve(64);
let frames = 0;
const free: number[] = [];
let lookups = 0;
let reads = 0;
let writes = 0;
let vmexits = 0;
let exitWrites = 0;
let exitProtection = 0;
let fixed = 0;
let retried = 0;
let cowZero = 0;
let cowKsm = 0;
let merges = 0;
let zapped = 0;
let guestFlushes = 0;
let primaryFlushes = 0;
let memslots = 0;
let l1Miss = 0;
let l2Hit = 0;
let l2Miss = 0;
const causes = new Float64Array(8);
/** By site: count, sptePresent, exitsCaused, flushes, mmuLockWrite. */
const sites = new Float64Array(4 * 5);

/** The entry of a tag with enough rights, now first of its set; 0 where there is none. */
function find(at: number, ways: number, tag: number, need: number): number {
	for (let way = 0; way < ways; way++) {
		if (words[at + way] !== tag) continue;
		const entry = words[at + ways + way];
		if ((entry & need) !== need) return 0;
		if (way > 0) toFront(at, ways, way, tag, entry);
		return entry;
	}
	return 0;
}

function toFront(at: number, ways: number, way: number, tag: number, entry: number): void {
	for (let index = at + way; index > at; index--) {
		words[index] = words[index - 1];
		words[index + ways] = words[index + ways - 1];
	}
	words[at] = tag;
	words[at + ways] = entry;
}

function fill(at: number, ways: number, tag: number, entry: number): void {
	let way = 0;
	while (way < ways - 1 && words[at + way] !== tag) way++;
	toFront(at, ways, way, tag, entry);
}

function drop(at: number, ways: number, tag: number): void {
	let way = 0;
	while (way < ways && words[at + way] !== tag) way++;
	for (; way < ways; way++) {
		words[at + way] = way + 1 < ways ? words[at + way + 1] : 0;
		words[at + ways + way] = way + 1 < ways ? words[at + ways + way + 1] : 0;
	}
}

function flushPage(vcpu: Vcpu, page: number): void {
	if (!vcpu.filled) return;
	drop(vcpu.l1 + (page & 15) * 8, 4, (page >>> 4) + 1);
	drop(vcpu.l2 + (page & 127) * 24, 12, (page >>> 7) + 1);
}

function flushVm(vm: Vm): void {
	for (const vcpu of vm.vcpus) {
		if (!vcpu.filled) continue;
		vcpu.filled = false;
		words.fill(0, vcpu.l1, vcpu.l1 + L1_WORDS);
		words.fill(0, vcpu.l2, vcpu.l2 + L2_WORDS);
	}
}

function place(leaves: Int32Array, page: number): number {
	const known = leaves[page >>> 9];
	if (known !== 0) return known + (page & 511);
	const leaf = reserve(512);
	leaves[page >>> 9] = leaf;
	return leaf + (page & 511);
}

function newFrame(): number {
	return free.pop() ?? ++frames;
}

function translate(vcpu: Vcpu, spte: number, page: number, write: number): boolean {
	const need = PRESENT | (write << 1);
	const one = vcpu.l1 + (page & 15) * 8;
	const tag1 = (page >>> 4) + 1;
	lookups++;
	if (find(one, 4, tag1, need) !== 0) return true;
	l1Miss++;
	const two = vcpu.l2 + (page & 127) * 24;
	const tag2 = (page >>> 7) + 1;
	const found = find(two, 12, tag2, need);
	if (found !== 0) {
		l2Hit++;
		fill(one, 4, tag1, found);
		return true;
	}
	l2Miss++;
	if ((words[spte] & need) !== need) {
		flushPage(vcpu, page);
		return false;
	}
	words[spte] |= ACCESSED;
	vcpu.filled = true;
	fill(one, 4, tag1, words[spte]);
	fill(two, 12, tag2, words[spte]);
	return true;
}

/** A bracket's begin and, since nothing comes in between, its end. */
function bracket(vm: Vm, spte: number, site: number): void {
	sites[site * 5]++;
	sites[site * 5 + 4] += 2;
	vm.seq++;
	primaryFlushes++;
	if ((words[spte] & PRESENT) === 0) return;
	sites[site * 5 + 1]++;
	sites[site * 5 + 3]++;
	zapped++;
	guestFlushes++;
	words[spte] = ((site === Site.cow ? Cause.retryAfterCow : Cause.ksm) << 6) | (site << 12);
	flushVm(vm);
}

function countExit(spte: number, write: number): void {
	const present = spte & PRESENT;
	vmexits++;
	exitWrites += write;
	exitProtection += present;
	causes[(present !== 0 ? Cause.readOnlySpte : (spte >>> 6) & 63) * 2 + write]++;
	sites[(present !== 0 ? 0 : spte >>> 12) * 5 + 2]++;
}

function miss(vcpu: Vcpu, page: number, write: number): void {
	const { vm } = vcpu;
	const spte = place(vm.sptes, page);
	if (translate(vcpu, spte, page, write)) return;
	countExit(words[spte], write);
	const pte = place(vm.ptes, page);
	const snapshot = vm.seq;
	const mapped = words[pte];
	if ((mapped & PRESENT) === 0) words[pte] = write !== 0 ? (newFrame() << FRAME_SHIFT) | PRESENT | WRITABLE : PRESENT;
	else if (write !== 0 && (mapped & WRITABLE) === 0) {
		bracket(vm, spte, Site.cow);
		if ((mapped & KSM) !== 0) cowKsm++;
		else if (mapped >>> FRAME_SHIFT === 0) cowZero++;
		else throw new Error("a page that is neither zero nor merged and read-only");
		words[pte] = (newFrame() << FRAME_SHIFT) | PRESENT | WRITABLE;
	}
	if (vm.seq !== snapshot) {
		retried++;
		if ((words[spte] & PRESENT) === 0) words[spte] = Cause.retryAfterCow << 6;
		if (translate(vcpu, spte, page, write)) throw new Error("a retry that went through");
		countExit(words[spte], write);
	}
	fixed++;
	words[spte] = words[pte] & (FRAME_MASK | PRESENT | WRITABLE);
	translate(vcpu, spte, page, write);
}

type Guest = Agent<Vcpu>;

function vmOf(id: number): Vm {
	const known = vms.get(id) ?? new Vm();
	vms.set(id, known);
	return known;
}

function vcpuOf(agent: Guest): Vcpu {
	const vm = vmOf(agent.vm);
	let vcpu = vm.vcpus[agent.vcpu];
	while (vcpu === undefined) {
		vm.vcpus.push(new Vcpu(vm));
		vcpu = vm.vcpus[agent.vcpu];
	}
	return vcpu;
}

function operate(agent: Guest, page: number, argument: VarintReader): void {
	const code = argument.uint32();
	const args = Array.from({ length: argument.uint32() }, () => argument.unsigned());
	const [first = 0, , third = 0, fourth = 0] = args;
	if (code === Operation.memslot.code) {
		const vm = vmOf(agent.vm);
		if (vm.pages !== 0 || third !== 0) throw new Error("a memslot that is not the first");
		memslots++;
		vm.pages = fourth;
		vm.hva = page;
		vm.sptes = new Int32Array(Math.ceil(fourth / 512));
		vm.ptes = new Int32Array(Math.ceil(fourth / 512));
		return;
	}
	const vm = vmOf(agent.mm);
	const gfn = page - vm.hva;
	const protects = code === Operation.ksmWriteProtect.code;
	if ((!protects && code !== Operation.ksmReplace.code) || first !== 0)
		throw new Error("an operation that the benchmark's workloads have not");
	bracket(vm, place(vm.sptes, gfn), protects ? Site.ksmWriteProtect : Site.ksmReplace);
	const pte = place(vm.ptes, gfn);
	if (protects) words[pte] &= ~WRITABLE;
	else {
		merges++;
		free.push(words[pte] >>> FRAME_SHIFT);
		words[pte] = ((1 << 25) << FRAME_SHIFT) | KSM | PRESENT;
	}
}

function run({ agents, op, page, argument }: Columns<Vcpu>): void {
	let stores = 0;
	for (let index = 0; index < op.length; index++) {
		const record = op[index];
		const agent = agents[record >>> AGENT_SHIFT];
		const kind = record & 7;
		if (kind === 7) {
			operate(agent, agent.base + page[index], argument);
			continue;
		}
		agent.of ??= vcpuOf(agent);
		const vcpu = agent.of;
		const write = kind & 1;
		stores += write;
		const gfn = page[index];
		if (find(vcpu.l1 + (gfn & 15) * 8, 4, (gfn >>> 4) + 1, PRESENT | (write << 1)) !== 0) lookups++;
		else miss(vcpu, gfn, write);
	}
	writes += stores;
	reads += op.length - stores;
}

function counters(): Record<string, number> {
	const brackets = sites[5] + sites[10] + sites[15];
	const all: Record<string, number> = {
		"accesses.guestRead": reads - memslots - sites[10] - sites[15],
		"accesses.guestWrite": writes,
		vmexits,
		vmexitsFixed: fixed,
		vmexitsRetried: retried,
		vmexitsRead: vmexits - exitWrites,
		vmexitsWrite: exitWrites,
		vmexitsNotPresent: vmexits - exitProtection,
		vmexitsProtection: exitProtection,
		cowBreaks: cowKsm,
		"cowCopies.ksm": cowKsm,
		"cowCopies.zero": cowZero,
		ksmMerges: merges,
		ksmWriteProtects: sites[10],
		ksmReplaces: sites[15],
		"notifier.rangeStart": brackets,
		"notifier.rangeEnd": brackets,
		spteInstalled: fixed,
		spteZapped: zapped,
		"spteZappedByCause.ksm": sites[11] + sites[16],
		"spteZappedByCause.cow": sites[6],
		mmuLockWrite: 2 * brackets,
		"bySite.memslot.count": memslots,
		"flush.primaryTlb": primaryFlushes,
		"flush.guestTlb": guestFlushes,
		"tlb.l1Hit": lookups - l1Miss,
		"tlb.l1Miss": l1Miss,
		"tlb.l2Hit": l2Hit,
		"tlb.l2Miss": l2Miss,
		"walk.count": l2Miss,
		"walk.memoryReferences": l2Miss * 24,
	};
	for (const [name, cause] of Object.entries(Cause)) {
		all[`vmexitsByCause.${name}.read`] = causes[cause * 2];
		all[`vmexitsByCause.${name}.write`] = causes[cause * 2 + 1];
	}
	for (const [name, site] of Object.entries(Site)) {
		if (site === Site.none) continue;
		for (const [at, field] of ["count", "sptePresent", "exitsCaused", "flushes", "mmuLockWrite"].entries()) {
			all[`bySite.${name}.${field}`] = sites[site * 5 + at];
		}
	}
	return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== 0));
}

const [, , path = "", skip = "0"] = process.argv;
const trace = openTrace(path);
let payload = new Uint8Array(0);
let began: { at: number; cpu: NodeJS.CpuUsage } | undefined;
let events = 0;
for (const block of trace.blocks()) {
	if (block.type !== BlockType.events) continue;
	if (began === undefined && block.firstSequence >= Number(skip)) began = { at: performance.now(), cpu: process.cpuUsage() };
	if (payload.length < block.rawLength) payload = new Uint8Array(block.rawLength * 2);
	const length = trace.readPayload(block, payload);
	run(decode(payload.subarray(0, length), block.events));
	if (began !== undefined) events += block.events;
}
const { user, system } = process.cpuUsage(began?.cpu);
const seconds = (performance.now() - (began?.at ?? 0)) / 1000;
const parts = { readSeconds: 0, decodeSeconds: 0, engineSeconds: 0, memoryBytes: words.byteLength };
process.stdout.write(JSON.stringify({ events, seconds, cpuSeconds: (user + system) / 1e6, ...parts, counters: counters() }));
