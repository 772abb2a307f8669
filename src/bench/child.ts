// One measurement in a process of its own: what it is told as JSON in its argument, it answers as JSON on standard output. Fresh processes,
// because where V8 places code and which build of it runs is decided anew in each (docs/performance.md).
import { readFileSync } from "node:fs";
import { COUNTER_PATHS } from "../counters.js";
import { type Build, defaultBuild, Engine } from "../engine/engine.js";
import { readInto } from "../engine/feed.js";
import { ReadAhead } from "../engine/readahead.js";
import type { ReplayOptions } from "../engine/replay.js";
import { replayTrace } from "../engine/replay.js";
import { replayThreads } from "../engine/threads.js";
import { ReferenceModel } from "../model/replay.js";
import { simulated } from "../model/simulated.js";
import { STRATEGIES } from "../strategies/index.js";
import type { Strategy } from "../strategies/steps.js";
import { openTrace } from "../trace/reader.js";
import { records } from "../trace/records.js";
import { BlockType } from "../trace/wire.js";

export interface Task {
	/** engine: blocks one by one, their parts timed apart. replay: as the commands do it. threads: by two. model: the reference model. */
	readonly mode: "engine" | "replay" | "threads" | "model";
	readonly trace: string;
	readonly strategies: readonly string[];
	readonly check: boolean;
	/** Blocks that begin before this event are replayed and not timed. */
	readonly skip: number;
	readonly build?: Build;
	/** By this part of its time: to try the gate on. */
	readonly slowed?: number;
	/** engine: read on this thread alone, whatever the trace's length. */
	readonly alone?: boolean;
}

export interface Measured {
	/** Events that were timed. */
	readonly events: number;
	/** Seconds of these. */
	readonly seconds: number;
	/** Processor time of the whole process meanwhile: what a busy machine does not stretch. */
	readonly cpuSeconds: number;
	/** Processor time of the parts on the replay's own thread, where they were timed apart. Reading: with checksums and framing. */
	readonly readSeconds: number;
	/** By the clock: waiting for the thread that reads ahead. */
	readonly waitSeconds: number;
	readonly decodeSeconds: number;
	readonly engineSeconds: number;
	/** Processor time of the thread that reads ahead, over the whole trace; 0 where there is none. */
	readonly readerSeconds: number;
	readonly memoryBytes: number;
	/** Of the first strategy, over all events; those that are not 0. */
	readonly counters: Readonly<Record<string, number>>;
	/** Digest of all counters and the state at the end, by strategy; the engine's whole replays have them. */
	readonly digests?: Readonly<Record<string, string>>;
}

/** What the yardsticks simulate: LRU, one table level after the other, whatever the default machine is. */
const MACHINE: ReplayOptions["machine"] = {
	tlb: { l1: { entries: 64, ways: 4 }, l2: { entries: 1536, ways: 12 } },
	guestLevels: 4,
	hostLevels: 4,
};

interface Start {
	readonly at: number;
	readonly cpu: NodeJS.CpuUsage;
	readonly own: number | undefined;
}

function start(): Start {
	return { at: performance.now(), cpu: process.cpuUsage(), own: ownSeconds() };
}

function since({ at, cpu }: Start): { seconds: number; cpuSeconds: number } {
	const { user, system } = process.cpuUsage(cpu);
	return { seconds: (performance.now() - at) / 1000, cpuSeconds: (user + system) / 1e6 };
}

/** Processor time of this thread alone, where the system tells. */
function ownSeconds(): number | undefined {
	try {
		return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[0]) / 1e9;
	} catch {
		return undefined;
	}
}

function named(counters: BigUint64Array | undefined): Record<string, number> {
	return Object.fromEntries(
		COUNTER_PATHS.map((path, at) => [path, Number(counters?.[at] ?? 0n)] as const).filter(([, value]) => value !== 0),
	);
}

function strategiesOf(names: readonly string[]): Strategy[] {
	return names.map((name) => {
		const found = STRATEGIES.find((strategy) => strategy.name === name);
		if (found === undefined) throw new Error(`no strategy ${name}`);
		return found;
	});
}

function byParts(task: Task): Measured {
	const trace = openTrace(task.trace);
	const engine = new Engine(task.build ?? defaultBuild());
	const { copiesRecorded } = trace.header;
	engine.begin({ strategies: strategiesOf(task.strategies), machine: MACHINE, check: task.check, copiesRecorded });
	let events = 0;
	let readSeconds = 0;
	let decodeSeconds = 0;
	let engineSeconds = 0;
	let began = start();
	let timed = false;
	const ahead = task.alone === true ? undefined : ReadAhead.begin(trace, 0);
	ahead?.up(5000);
	let waitedBefore = 0;
	let t0 = performance.now();
	for (const block of trace.blocks(undefined, ahead?.foreseen)) {
		if (block.type !== BlockType.events) continue;
		if (!timed && block.firstSequence >= task.skip) {
			timed = true;
			began = start();
			waitedBefore = ahead?.waitedSeconds ?? 0;
			t0 = performance.now();
		}
		const where = trace.where(block);
		readInto(engine, trace, block, where, ahead);
		const t1 = performance.now();
		engine.decode(block, trace.limits, where);
		const t2 = performance.now();
		while (engine.run(where));
		if (task.slowed !== undefined) slowDown(t1, task.slowed);
		const t3 = performance.now();
		if (timed) {
			events += block.events;
			readSeconds += t1 - t0;
			decodeSeconds += t2 - t1;
			engineSeconds += t3 - t2;
		}
		t0 = t3;
	}
	const times = since(began);
	const own = ownSeconds();
	const readerSeconds = ahead?.end() ?? 0;
	// To ask for processor time at every block would cost as much as the block: the clock's parts, shortened as the whole is.
	const ownCpu = own === undefined || began.own === undefined ? times.cpuSeconds : own - began.own;
	const waitSeconds = (ahead?.waitedSeconds ?? 0) - waitedBefore;
	const part = ownCpu / (times.seconds - waitSeconds) / 1000;
	return {
		events,
		...times,
		readSeconds: (readSeconds - waitSeconds * 1000) * part,
		waitSeconds,
		decodeSeconds: decodeSeconds * part,
		engineSeconds: engineSeconds * part,
		readerSeconds,
		memoryBytes: engine.memoryBytes,
		counters: named(engine.counters()[0]),
	};
}

function whole(task: Task): Measured {
	const trace = openTrace(task.trace);
	let began = start();
	let times = since(began);
	let before = 0;
	let blockBegan = performance.now();
	const all = trace.index().entries.reduce((sum, { causes }) => sum + causes, 0);
	const result = replayTrace(
		trace,
		{ strategies: strategiesOf(task.strategies), machine: MACHINE, check: task.check, build: task.build },
		(events) => {
			if (task.slowed !== undefined) slowDown(blockBegan, task.slowed);
			blockBegan = performance.now();
			if (before === 0 && task.skip > 0 && events >= task.skip) {
				began = start();
				before = events;
			}
			if (events === all) times = since(began);
		},
	);
	const events = result.events - before;
	const none = { readSeconds: 0, waitSeconds: 0, decodeSeconds: 0, engineSeconds: 0, readerSeconds: 0 };
	const digests = Object.fromEntries(result.strategies.map(({ name, digest }) => [name, digest]));
	return { events, ...times, ...none, memoryBytes: result.peakMemoryBytes, counters: named(result.strategies[0]?.counters), digests };
}

/** The start of the second thread is in it, and what warms up. */
function byThreads(task: Task): Measured {
	const trace = openTrace(task.trace);
	const began = start();
	const result = replayThreads(
		trace,
		{ strategies: strategiesOf(task.strategies), machine: MACHINE, check: task.check, build: task.build },
		2,
	);
	if (result.whole !== undefined) throw new Error(`not by two threads: ${result.whole}`);
	const none = { readSeconds: 0, waitSeconds: 0, decodeSeconds: 0, engineSeconds: 0, readerSeconds: 0 };
	const counters = named(result.strategies[0]?.counters);
	return { events: result.events, ...since(began), ...none, memoryBytes: result.peakMemoryBytes, counters };
}

function byModel(task: Task): Measured {
	const trace = openTrace(task.trace);
	const { copiesRecorded } = trace.header;
	const models = strategiesOf(task.strategies).map((strategy) => new ReferenceModel({ strategy, ...simulated(MACHINE), copiesRecorded }));
	let began = start();
	let events = 0;
	for (const { record, sequence } of records(trace, { observations: false })) {
		if (sequence === task.skip) began = start();
		if (sequence >= task.skip) events++;
		for (const model of models) model.replay(record, sequence);
	}
	const times = since(began);
	const none = { readSeconds: 0, waitSeconds: 0, decodeSeconds: 0, engineSeconds: 0, readerSeconds: 0, memoryBytes: 0 };
	return { events, ...times, ...none, counters: named(models[0]?.world.counters) };
}

/** Burn as much again as a part of what a block took: a slower build, to try the gate on. */
function slowDown(since: number, part: number): void {
	for (const until = performance.now() + (performance.now() - since) * part; performance.now() < until; );
}

const task = JSON.parse(process.argv[2] ?? "{}") as Task;
const run = { engine: byParts, replay: whole, threads: byThreads, model: byModel }[task.mode];
process.stdout.write(JSON.stringify(run(task)));
