// trace.dat as a source of events: the pages of each CPU decoded one at a time, and merged by time.
import { BadInputError, LimitError } from "../errors.js";
import { type ByteFile, openByteFile } from "./bytefile.js";
import { type EventFormat, rendererOf } from "./eventformat.js";
import { isGzip } from "./input.js";
import { Kallsyms } from "./kallsyms.js";
import { readPage } from "./ringbuffer.js";
import { damage, type EventSource, lose, newFacts, type Reading, type SourceFacts } from "./source.js";
import { RECIPE_NAMES } from "./symbols.js";
import { type CpuPages, Option, readTraceDat, type TraceDat } from "./tracedatfile.js";
import type { TracefsEvent } from "./tracefs.js";
import { isKsmTracepoint, TRACEPOINTS, WITHOUT_MEANING } from "./tracepoints.js";

/** trace-cmd compresses a few pages at a time. */
const MAX_CHUNK = 64 << 20;
const BATCH = 4096;
/** Times above this are not exact as numbers: they are taken from the first one on. */
const EXACT = 2 ** 53;

export function traceDatSource(path: string, lenient: boolean): EventSource {
	return { path, format: "trace.dat", read: () => reading(path, lenient) };
}

function reading(path: string, lenient: boolean): Reading {
	const facts = newFacts("", 1, lenient);
	return { facts, batches: batchesOf(path, facts) };
}

async function* batchesOf(path: string, facts: SourceFacts): AsyncGenerator<TracefsEvent[]> {
	const file = await openByteFile(path, isGzip(path), facts.digest);
	try {
		const dat = readTraceDat(file);
		tell(dat, facts);
		yield* merged(dat, file, facts);
	} finally {
		file.close();
	}
}

const decoded = (bytes: Uint8Array | undefined): string =>
	bytes === undefined ? "" : new TextDecoder().decode(bytes).replace(/\0.*$/s, "");

function tell(dat: TraceDat, facts: SourceFacts): void {
	facts.kernel = /(?:^|\s)(\d+\.\d+\S*)/.exec(decoded(dat.options.get(Option.uname)?.[0]))?.[1] ?? "";
	// "local [global] mono": the one in brackets was on.
	const clock = decoded(dat.options.get(Option.clock)?.[0]);
	facts.clock = /\[(\S+)\]/.exec(clock)?.[1] ?? (/^\w+$/.test(clock.trim()) ? clock.trim() : "");
	for (const stat of dat.options.get(Option.cpustat) ?? []) {
		const lines = decoded(stat);
		for (const match of lines.matchAll(/^(?:commit )?overrun: (\d+)$|^dropped events: (\d+)$/gm))
			lose(facts, "overrun", Number(match[1] ?? match[2]));
	}
	if (dat.options.has(Option.tsc2nsec) && facts.clock === "x86-tsc")
		throw new BadInputError("timestamps are ticks of the x86-tsc clock", { where: facts.digest.name, hint: "record with -C mono" });
	if (dat.instances > 0) facts.warnings.push(`${dat.instances} buffers of instances are in the file and were left out`);
}

/** Records of one CPU, a page of them at a time. */
class CpuCursor {
	readonly cpu: number;
	readonly #pages: Generator<Uint8Array>;
	readonly #records: (page: Uint8Array, cpu: number) => TracefsEvent[];
	#held: TracefsEvent[] = [];
	#at = 0;

	constructor(cpu: number, pages: Generator<Uint8Array>, records: (page: Uint8Array, cpu: number) => TracefsEvent[]) {
		this.cpu = cpu;
		this.#pages = pages;
		this.#records = records;
	}

	/** The next event; undefined at the end. */
	peek(): TracefsEvent | undefined {
		while (this.#at >= this.#held.length) {
			const page = this.#pages.next();
			if (page.done === true) return undefined;
			this.#held = this.#records(page.value, this.cpu);
			this.#at = 0;
		}
		return this.#held[this.#at];
	}

	skip(): void {
		this.#at++;
	}
}

/** A CPU's pages, out of their chunks. */
function* pagesOf(file: ByteFile, dat: TraceDat, { offset, bytes, chunked, pageBytes, cpu }: CpuPages): Generator<Uint8Array> {
	if (bytes === 0) return;
	const where = `${file.path}, pages of CPU ${cpu}`;
	if (!chunked) {
		for (let at = 0; at + 16 <= bytes; at += pageBytes) yield file.read(offset + at, Math.min(pageBytes, bytes - at), "a page");
		return;
	}
	const u32 = (at: number, what: string): number => {
		const four = file.read(at, 4, what);
		return new DataView(four.buffer, four.byteOffset).getUint32(0, true);
	};
	const chunks = u32(offset, "the number of chunks");
	let at = offset + 4;
	for (let chunk = 0; chunk < chunks; chunk++) {
		const length = u32(at, "a chunk's size");
		const plain = u32(at + 4, "a chunk's size");
		if (plain > MAX_CHUNK) throw new LimitError(`a chunk of ${plain} bytes`, { where });
		const data = dat.decompress(file.read(at + 8, length, "a chunk"), plain, where);
		for (let page = 0; page + 16 <= data.length; page += pageBytes) yield data.subarray(page, page + pageBytes);
		at += 8 + length;
	}
}

interface KnownEvent {
	readonly name: string;
	/** null: nobody reads its text. */
	readonly render: ((record: Uint8Array, view: DataView) => string) | null;
}

/** Events by id, made when the first of each comes; null: one that says nothing here. */
class EventTable {
	readonly #dat: TraceDat;
	readonly #known = new Map<number, KnownEvent | null>();
	#symbols: Kallsyms | undefined;
	readonly unknownIds = { count: 0 };

	constructor(dat: TraceDat) {
		this.#dat = dat;
	}

	get(id: number): KnownEvent | null {
		let known = this.#known.get(id);
		if (known === undefined) {
			const format = this.#dat.formats.get(id);
			known = format === undefined ? null : this.#make(format);
			this.#known.set(id, known);
		}
		if (known === null && !this.#dat.formats.has(id)) this.unknownIds.count++;
		return known;
	}

	#make(format: EventFormat): KnownEvent | null {
		const { name } = format;
		const probe = format.fields.some((field) => field.name === "__probe_ip" || field.name === "__probe_func");
		if (!probe && TRACEPOINTS[name] === undefined && RECIPE_NAMES[name] === undefined) {
			if (WITHOUT_MEANING.has(name) && !isKsmTracepoint(name)) return null;
			return { name, render: null };
		}
		return { name, render: rendererOf(format, (address) => this.#symbolAt(address)) };
	}

	#symbolAt(address: bigint): string {
		this.#symbols ??= new Kallsyms(this.#dat.kallsyms());
		return this.#symbols.at(address);
	}
}

function* merged(dat: TraceDat, file: ByteFile, facts: SourceFacts): Generator<TracefsEvent[]> {
	const table = new EventTable(dat);
	let missed = 0;
	let origin: number | undefined;
	const records = (page: Uint8Array, cpu: number): TracefsEvent[] => {
		const found: TracefsEvent[] = [];
		readPage(page, dat.page, {
			record: (time, record) => {
				if (record.length < 8) return;
				const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
				const event = table.get(view.getUint16(0, true));
				if (event === null) return;
				const pid = view.getInt32(4, true);
				origin ??= time >= EXACT ? time : 0;
				found.push({
					comm: dat.comms.get(pid) ?? (pid === 0 ? "<idle>" : "<...>"),
					pid,
					tgid: -1,
					cpu,
					ns: time - origin,
					name: event.name,
					text: event.render === null ? "" : event.render(record, view),
				});
			},
			missed: (events) => {
				missed += Math.max(1, events);
			},
			damaged: (offset) => {
				damage(facts, "a page of the ring buffer is damaged", `${file.path}, a page of CPU ${cpu}, byte ${offset} of it`);
			},
		});
		return found;
	};
	const cursors = dat.cpus
		.map((place) => new CpuCursor(place.cpu, pagesOf(file, dat, place), records))
		.filter((cursor) => cursor.peek() !== undefined);
	let out: TracefsEvent[] = [];
	while (cursors.length > 0) {
		let first = cursors[0];
		for (const cursor of cursors) if ((cursor.peek()?.ns ?? 0) < (first?.peek()?.ns ?? 0)) first = cursor;
		const event = first?.peek();
		if (first === undefined || event === undefined) break;
		out.push(event);
		first.skip();
		if (first.peek() === undefined) cursors.splice(cursors.indexOf(first), 1);
		if (out.length >= BATCH) {
			yield out;
			out = [];
		}
	}
	yield out;
	// Overruns are counted by the tracer as a whole, and marked again in the pages behind them.
	lose(facts, "missed", Math.max(0, missed - (facts.losses.get("overrun") ?? 0)));
	if (table.unknownIds.count > 0) facts.warnings.push(`${table.unknownIds.count} records are of events whose format is not in the file`);
}
