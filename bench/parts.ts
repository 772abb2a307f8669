// How long the engine's parts take (bundled into dist/bench, two levels below the root): `npm run bench`. Ratios within one run are what to quote
// (docs/performance.md).
import { Bench } from "tinybench";
import { defaultBuild, Engine } from "../src/engine/engine.js";
import { readInto } from "../src/engine/feed.js";
import type { ReplayOptions } from "../src/engine/replay.js";
import { generatedHeader, generateInto } from "../src/generate/generate.js";
import { WORKLOADS } from "../src/generate/workload.js";
import { findStrategy } from "../src/strategies/index.js";
import type { Strategy } from "../src/strategies/steps.js";
import type { PageEncoding } from "../src/trace/columns.js";
import { crc32c } from "../src/trace/crc32c.js";
import { emptyHeader } from "../src/trace/header.js";
import { Access, AgentKind, NotifyEvent, type OperationName, OpFlag } from "../src/trace/kinds.js";
import { openTrace } from "../src/trace/reader.js";
import type { Agent, TraceRecord } from "../src/trace/record.js";
import { records } from "../src/trace/records.js";
import { TraceWriter, type WriterOptions } from "../src/trace/writer.js";

const MACHINE: ReplayOptions["machine"] = {
	tlb: { l1: { entries: 64, ways: 4 }, l2: { entries: 1536, ways: 12 } },
	guestLevels: 4,
	hostLevels: 4,
};
const EVENTS = 65_536;
const PAGES = 512;
const HVA = 0x7_0000_0000;

const found = findStrategy("drop");
if (found === undefined) throw new Error("no strategy drop");
const DROP: Strategy = found;

function written(header: Parameters<TraceWriter["finish"]>[0], options: WriterOptions): { writer: TraceWriter; bytes: () => Uint8Array } {
	const parts: Uint8Array[] = [];
	const writer = new TraceWriter(
		{ write: (bytes) => void parts.push(bytes.slice()) },
		{ ...options, ...(header === undefined ? {} : { header }) },
	);
	return { writer, bytes: () => Buffer.concat(parts) };
}

async function workload(name: string, pages: PageEncoding = "fixed", blockEvents = 8192): Promise<Uint8Array> {
	const known = WORKLOADS.find((each) => each.name === name);
	if (known === undefined) throw new Error(`no workload ${name}`);
	const made = { ...known.workload, warm: false };
	const { writer, bytes } = written(generatedHeader(name, made), { pages });
	await generateInto(writer, made, { events: EVENTS, seed: 1, blockEvents });
	writer.finish();
	return bytes();
}

const none = { vm: 0, vcpu: 0, mm: 0, thread: 0 };
const GUEST: Agent = { ...none, kind: AgentKind.guest };
const MM: Agent = { ...none, kind: AgentKind.mm };
const HOST: Agent = { ...none, kind: AgentKind.host };
const operation = (name: OperationName, agent: Agent, page: number, ...args: number[]): TraceRecord => ({
	kind: "operation",
	name,
	agent,
	page,
	args,
});
const write = (page: number): TraceRecord => ({ kind: "access", agent: GUEST, page, access: Access.guestWrite });

/** The same few pages again and again: what comes to a page, after the guest's write that brings it back. */
function repeated(round: (page: number) => readonly TraceRecord[]): Uint8Array {
	const { writer, bytes } = written(emptyHeader(), {});
	writer.cause(operation("memslot", { ...none, kind: AgentKind.vm }, HVA, 0, 0, 0, PAGES, 0));
	for (let page = 0; page < PAGES; page++) writer.cause(write(page));
	for (let turn = 0; writer.causes < EVENTS; turn++) for (const record of round(turn % PAGES)) writer.cause(record);
	writer.finish();
	return bytes();
}

const merged = (page: number): TraceRecord[] => [
	operation("ksmWriteProtect", MM, HVA + page, 0, 0, OpFlag.kpageGiven),
	operation("ksmReplace", MM, HVA + page, 0, 0, 0, 1 + (page % 7)),
];
const OPERATIONS: Readonly<Record<string, (page: number) => readonly TraceRecord[]>> = {
	"first touch, and a discarded page": (page) => [operation("zap", MM, HVA + page, 0, 0, 1, NotifyEvent.clear), write(page)],
	"merge, and the guest's break": (page) => [...merged(page), write(page)],
	"merge, and a break by a host thread": (page) => [
		...merged(page),
		{ kind: "access", agent: HOST, page: HVA + page, access: Access.hostWrite },
	],
	unshare: (page) => [...merged(page), operation("unshare", MM, HVA + page, 0, 0, 0)],
	"protect and back": (page) => [
		operation("protect", MM, HVA + page, 0, 0, 1, NotifyEvent.protectionVma, 0),
		operation("protect", MM, HVA + page, 0, 0, 1, NotifyEvent.protectionVma, OpFlag.writable),
		write(page),
	],
	"a bracket that changes nothing": (page) => [operation("invalidate", MM, HVA + page, 0, 0, 1, NotifyEvent.clear), write(page)],
};

/** Every block of a trace through an engine. `reset`: a new world first. */
function replay(engine: Engine, bytes: Uint8Array, run = true): void {
	const trace = openTrace(bytes);
	engine.begin({ strategies: [DROP], machine: MACHINE, check: false, copiesRecorded: false });
	for (const block of trace.blocks()) {
		readInto(engine, trace, block, "here");
		engine.decode(block, trace.limits, "here");
		if (run) while (engine.run("here"));
	}
}

const release = new Engine(defaultBuild());
const scalar = new Engine("scalar");
const bench = new Bench({ time: 600, warmupTime: 150 });
const events = new Map<string, number>();
function part(name: string, count: number, run: () => void): void {
	events.set(name, count);
	bench.add(name, run);
}

const bytes = await workload("p");
const varint = await workload("r", "delta");
part("checksum in JavaScript, a byte", bytes.length, () => void crc32c(bytes));
release.begin({ strategies: [DROP], machine: MACHINE, check: false, copiesRecorded: false });
release.payload(bytes.length, "here").set(bytes);
part("checksum in the engine, a byte", bytes.length, () => void release.checksum(bytes.length));
part("records as objects", EVENTS, () => {
	for (const { sequence } of records(openTrace(bytes), { observations: false })) if (sequence < 0) throw new Error("never");
});
part("read and decode, fixed pages", EVENTS, () => replay(release, bytes, false));
part("read and decode, deltas", EVENTS, () => replay(release, varint, false));
part("read and decode, deltas, scalar build", EVENTS, () => replay(scalar, varint, false));
for (const [name, what] of [
	["p", "hits of the first level"],
	["m", "first touches, then walks"],
	["z", "Zipf with merges and breaks"],
] as const) {
	const trace = await workload(name);
	part(`${what} (${name})`, EVENTS, () => replay(release, trace));
	part(`${what} (${name}), scalar build`, EVENTS, () => replay(scalar, trace));
}
for (const [name, round] of Object.entries(OPERATIONS)) {
	const trace = repeated(round);
	part(name, EVENTS, () => replay(release, trace));
}
part("a call into the engine", 1, () => void release.checksum(0));
for (const size of [1, 16, 256]) {
	const trace = await workload("p", "fixed", size);
	part(`blocks of ${size}`, EVENTS, () => replay(release, trace));
}
await bench.run();

console.table(
	bench.tasks.map(({ name, result }) => {
		if (!("latency" in result)) return { part: name, "ns (median)": "failed", "±": "", samples: 0 };
		const { p50, rme, samplesCount } = result.latency;
		return {
			part: name,
			"ns (median)": ((p50 * 1e6) / (events.get(name) ?? 1)).toFixed(2),
			"±": `${rme.toFixed(1)}%`,
			samples: samplesCount,
		};
	}),
);
