// The benchmark's workloads as files: generated once into a cache outside the repository's history, by name and size.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GENERATOR_VERSION, generatedHeader, generateInto, Repetition } from "../generate/generate.js";
import { WORKLOADS } from "../generate/workload.js";
import type { PageEncoding } from "../trace/columns.js";
import { TraceWriter } from "../trace/writer.js";

export const BENCHED = ["p", "h", "z", "m", "r", "k"] as const;
export type Benched = (typeof BENCHED)[number];

export interface WorkloadFile {
	readonly name: Benched;
	readonly path: string;
	/** Of the whole file, and of those that warm up. */
	readonly events: number;
	readonly skip: number;
	readonly sha256: string;
}

const CAPTURE = fileURLToPath(new URL("../../traces/ksm-xmedium-6.1-fix.mmtrace", import.meta.url));
const BLOCK_EVENTS = 32_768;
/** Replayed before the clock starts in any case: V8's first compilation, and the first touch of memory. */
const LEAST_WARMING = 1 << 18;
const START_EVENTS = 10_000;

/** `events` that are timed; `pages`: of r, instead of 16 Mi. @throws BadInputError */
export async function workloadFile(
	cache: string,
	name: Benched,
	events: number,
	pages: PageEncoding,
	rPages?: number,
): Promise<WorkloadFile> {
	mkdirSync(cache, { recursive: true });
	const known = WORKLOADS.find((workload) => workload.name === name);
	const workload =
		known === undefined ? undefined : { ...known.workload, ...(name === "r" && rPages !== undefined ? { pages: rPages } : {}) };
	const warming = workload?.warm === true ? workload.pages * workload.vms : 0;
	const skip = Math.max(warming, LEAST_WARMING);
	const all = skip + events;
	const size = workload === undefined ? "" : `-${workload.pages}`;
	const path = join(cache, `${name}${size}-${all}-${pages}-v${GENERATOR_VERSION}.mmtrace`);
	if (!existsSync(path) || !existsSync(`${path}.sha256`)) {
		if (workload === undefined) {
			const repetition = new Repetition(CAPTURE, "repeat", BLOCK_EVENTS, pages);
			const writer = new TraceWriter(path, { header: repetition.header, pages });
			await repetition.writeInto(writer, all);
			writer.finish();
		} else {
			const writer = new TraceWriter(path, { header: generatedHeader(`${name} --seed 1`, workload), pages });
			await generateInto(writer, workload, { events: all, seed: 1, blockEvents: BLOCK_EVENTS });
			writer.finish();
		}
		writeFileSync(`${path}.sha256`, await sha256Of(path));
	}
	return { name, path, events: all, skip, sha256: readFileSync(`${path}.sha256`, "utf8") };
}

/** What a start is timed on: so small that replaying it is a millisecond. */
export async function startFile(cache: string): Promise<string> {
	mkdirSync(cache, { recursive: true });
	const known = WORKLOADS.find(({ name }) => name === "h");
	if (known === undefined) throw new RangeError("no workload h");
	const path = join(cache, `start-v${GENERATOR_VERSION}.mmtrace`);
	if (!existsSync(path)) {
		const writer = new TraceWriter(path, { header: generatedHeader("h --seed 1", known.workload) });
		await generateInto(writer, known.workload, { events: START_EVENTS, seed: 1, blockEvents: START_EVENTS });
		writer.finish();
	}
	return path;
}

async function sha256Of(path: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
	return hash.digest("hex");
}
