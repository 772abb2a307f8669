// trace.dat as a source of events: the pages of each CPU decoded one at a time, and merged by time.
import { BadInputError, LimitError } from "../errors.js";
import { type BinaryTemplate, binaryTemplate, readBinary } from "./binarytemplate.js";
import { type ByteFile, openByteFile } from "./bytefile.js";
import { type EventBatch, KernelEvent } from "./event.js";
import { type EventFormat, rendererOf } from "./eventformat.js";
import { isGzip } from "./input.js";
import type { Intake } from "./intake.js";
import { Kallsyms } from "./kallsyms.js";
import { readPage } from "./ringbuffer.js";
import { damage, damageOf, type EventSource, lose, newFacts, type SourceFacts } from "./source.js";
import { RECIPE_NAMES } from "./symbols.js";
import { isSound } from "./template.js";
import { type CpuPages, Option, readTraceDat, type TraceDat } from "./tracedatfile.js";
import type { TracefsEvent } from "./tracefs.js";
import { isKsmTracepoint, TRACEPOINTS, WITHOUT_MEANING } from "./tracepoints.js";

/** trace-cmd compresses a few pages at a time. */
const MAX_CHUNK = 64 << 20;
const BATCH = 4096;
/** Read at once of one CPU, and of all CPUs together. */
const READ_BYTES = 1 << 18;
const ALL_READ_BYTES = 16 << 20;
/** Times above this are not exact as numbers: they are taken from the first one on. */
const EXACT = 2 ** 53;

export function traceDatSource(path: string, lenient: boolean): EventSource {
	return {
		path,
		format: "trace.dat",
		take: (intake) => {
			const facts = newFacts("", 1, lenient);
			return { facts, batches: recordsOf(path, facts, (dat, file) => mergedBatches(dat, file, facts, intake)) };
		},
	};
}

async function* recordsOf<T>(path: string, facts: SourceFacts, read: (dat: TraceDat, file: ByteFile) => Generator<T>): AsyncGenerator<T> {
	const file = await openByteFile(path, isGzip(path), facts.digest, damageOf(facts));
	try {
		const dat = readTraceDat(file, damageOf(facts));
		tell(dat, facts);
		yield* read(dat, file);
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

/** More records than a page of a ring buffer has. */
const PAGE_RECORDS = 1 << 12;

/** Records of one CPU, a page of them at a time. */
class CpuCursor {
	readonly cpu: number;
	readonly #pages: Generator<Uint8Array>;
	readonly #load: (cursor: CpuCursor, page: Uint8Array) => void;
	page: Uint8Array = new Uint8Array(0);
	view: DataView = new DataView(new ArrayBuffer(0));
	#times = new Float64Array(PAGE_RECORDS);
	#froms = new Int32Array(PAGE_RECORDS);
	#lengths = new Int32Array(PAGE_RECORDS);
	#count = 0;
	#at = 0;
	/** Time of the next record; Infinity at the end. */
	time = Number.POSITIVE_INFINITY;

	constructor(cpu: number, pages: Generator<Uint8Array>, load: (cursor: CpuCursor, page: Uint8Array) => void) {
		this.cpu = cpu;
		this.#pages = pages;
		this.#load = load;
		this.#settle();
	}

	get from(): number {
		return this.#froms[this.#at];
	}

	get length(): number {
		return this.#lengths[this.#at];
	}

	add(time: number, from: number, length: number): void {
		if (this.#count === this.#times.length) this.#grow();
		this.#times[this.#count] = time;
		this.#froms[this.#count] = from;
		this.#lengths[this.#count++] = length;
	}

	#grow(): void {
		const [times, froms, lengths] = [this.#times, this.#froms, this.#lengths];
		this.#times = new Float64Array(times.length * 2);
		this.#times.set(times);
		this.#froms = new Int32Array(froms.length * 2);
		this.#froms.set(froms);
		this.#lengths = new Int32Array(lengths.length * 2);
		this.#lengths.set(lengths);
	}

	skip(): void {
		this.#at++;
		this.#settle();
	}

	#settle(): void {
		while (this.#at >= this.#count) {
			const page = this.#pages.next();
			if (page.done === true) {
				this.time = Number.POSITIVE_INFINITY;
				return;
			}
			this.page = page.value;
			this.view = new DataView(page.value.buffer, page.value.byteOffset, page.value.byteLength);
			this.#count = 0;
			this.#at = 0;
			this.#load(this, page.value);
		}
		this.time = this.#times[this.#at];
	}
}

/** A CPU's pages, out of their chunks. */
function* pagesOf(
	file: ByteFile,
	dat: TraceDat,
	facts: SourceFacts,
	{ offset, bytes, chunked, pageBytes, cpu }: CpuPages,
): Generator<Uint8Array> {
	if (bytes === 0) return;
	const where = `${file.path}, pages of CPU ${cpu}`;
	if (!chunked) {
		// Several pages at once, each lent until the next.
		const wanted = Math.min(READ_BYTES, ALL_READ_BYTES / dat.cpus.length);
		const buffer = new Uint8Array(pageBytes * Math.max(1, Math.floor(wanted / pageBytes)));
		for (let at = 0; at + 16 <= bytes; at += buffer.length) {
			const read = file.readInto(buffer.subarray(0, Math.min(buffer.length, bytes - at)), offset + at, "a page");
			for (let page = 0; page + 16 <= read.length; page += pageBytes) yield read.subarray(page, page + pageBytes);
		}
		return;
	}
	const u32 = (at: number, what: string): number => {
		const four = file.read(at, 4, what);
		return new DataView(four.buffer, four.byteOffset).getUint32(0, true);
	};
	const end = offset + bytes;
	const chunks = u32(offset, "the number of chunks");
	let at = offset + 4;
	let chunk = 0;
	for (; chunk < chunks && at < end; chunk++) {
		let length = Number.POSITIVE_INFINITY;
		let data: Uint8Array = new Uint8Array(0);
		try {
			length = u32(at, "a chunk's size");
			const plain = u32(at + 4, "a chunk's size");
			if (plain > MAX_CHUNK) throw new LimitError(`a chunk of ${plain} bytes`, { where });
			data = dat.decompress(file.read(at + 8, length, "a chunk"), plain, where);
		} catch (error) {
			if (!facts.lenient || !(error instanceof BadInputError || error instanceof LimitError)) throw error;
			damage(facts, error.what, where);
		}
		for (let page = 0; page + 16 <= data.length; page += pageBytes) yield data.subarray(page, page + pageBytes);
		at += 8 + length;
	}
	if (chunk === chunks && end - at < 8) return;
	damage(facts, `${chunks} chunks do not fill their section of ${bytes} bytes`, where);
}

interface KnownEvent {
	readonly name: string;
	readonly format: EventFormat;
	/** How its records are read without text, once one has been read with it. */
	template: BinaryTemplate | null;
	learned: boolean;
	/** null: nobody reads its text. */
	readonly render: ((record: Uint8Array, view: DataView) => string) | null;
}

/** Ids of events have 16 bits. */
const MAX_IDS = 1 << 16;

/** Events by id, made when the first of each comes; null: one that says nothing here. */
class EventTable {
	readonly #dat: TraceDat;
	/** By the id; undefined: none of it has come. */
	readonly #known: (KnownEvent | null | undefined)[];
	#symbols: Kallsyms | undefined;
	readonly unknownIds = { count: 0 };

	constructor(dat: TraceDat) {
		this.#dat = dat;
		this.#known = Array.from({ length: MAX_IDS });
	}

	get(id: number): KnownEvent | null {
		let known = this.#known[id];
		if (known === undefined) {
			const format = this.#dat.formats.get(id);
			known = format === undefined ? null : this.#make(format);
			this.#known[id] = known;
		}
		if (known === null && !this.#dat.formats.has(id)) this.unknownIds.count++;
		return known;
	}

	#make(format: EventFormat): KnownEvent | null {
		const { name } = format;
		const probe = format.fields.some((field) => field.name === "__probe_ip" || field.name === "__probe_func");
		if (!probe && TRACEPOINTS[name] === undefined && RECIPE_NAMES[name] === undefined) {
			if (WITHOUT_MEANING.has(name) && !isKsmTracepoint(name)) return null;
			return { name, format, template: null, learned: false, render: null };
		}
		return { name, format, template: null, learned: false, render: rendererOf(format, (address) => this.#symbolAt(address)) };
	}

	#symbolAt(address: bigint): string {
		this.#symbols ??= new Kallsyms(this.#dat.kallsyms());
		return this.#symbols.at(address);
	}
}

/** Records of all CPUs in the order of time. */
class MergedRecords {
	readonly #dat: TraceDat;
	readonly #facts: SourceFacts;
	readonly #table: EventTable;
	readonly #cursors: CpuCursor[];
	#first: CpuCursor | null = null;
	#otherTime = Number.NEGATIVE_INFINITY;
	/** Whose record came last. */
	#pid = -1;
	#comm = "<...>";
	#missed = 0;
	#origin: number | undefined;

	constructor(dat: TraceDat, file: ByteFile, facts: SourceFacts) {
		this.#dat = dat;
		this.#facts = facts;
		this.#table = new EventTable(dat);
		const load = (cursor: CpuCursor, page: Uint8Array): void =>
			readPage(page, dat.page, {
				record: (time, from, length) => {
					if (length < 8 || this.#table.get(cursor.view.getUint16(from, true)) === null) return;
					this.#origin ??= time >= EXACT ? time : 0;
					cursor.add(time, from, length);
				},
				missed: (events) => {
					this.#missed += Math.max(1, events);
				},
				damaged: (offset) =>
					damage(facts, "a page of the ring buffer is damaged", `${file.path}, a page of CPU ${cursor.cpu}, byte ${offset} of it`),
			});
		this.#cursors = dat.cpus.map((place) => new CpuCursor(place.cpu, pagesOf(file, dat, facts, place), load));
	}

	/** Visits the next `most` records; false where there were none. */
	visit(most: number, visit: (cursor: CpuCursor, known: KnownEvent, ns: number) => void): boolean {
		for (let count = 0; count < most; count++) {
			if (this.#first === null || this.#first.time >= this.#otherTime) this.#choose();
			const first = this.#first;
			if (first === null) return count > 0;
			const known = this.#table.get(first.view.getUint16(first.from, true));
			if (known !== null) visit(first, known, first.time - (this.#origin ?? 0));
			first.skip();
		}
		return true;
	}

	/** The CPU whose record comes next, the first of several; and the time of the others' next one, to which it can go on. */
	#choose(): void {
		this.#first = null;
		let time = Number.POSITIVE_INFINITY;
		this.#otherTime = Number.POSITIVE_INFINITY;
		for (const cursor of this.#cursors) {
			if (cursor.time < time) {
				this.#otherTime = time;
				time = cursor.time;
				this.#first = cursor;
			} else if (cursor.time < this.#otherTime) this.#otherTime = cursor.time;
		}
	}

	raw({ cpu, view, page, from, length }: CpuCursor, known: KnownEvent, ns: number): TracefsEvent {
		const pid = view.getInt32(from + 4, true);
		const record = page.subarray(from, from + length);
		return {
			comm: this.comm(pid),
			pid,
			tgid: -1,
			cpu,
			ns,
			name: known.name,
			text: known.render === null ? "" : known.render(record, new DataView(record.buffer, record.byteOffset, record.byteLength)),
		};
	}

	comm(pid: number): string {
		if (pid !== this.#pid) {
			this.#pid = pid;
			this.#comm = this.#dat.comms.get(pid) ?? (pid === 0 ? "<idle>" : "<...>");
		}
		return this.#comm;
	}

	finish(): void {
		// Overruns are counted by the tracer as a whole, and marked again in the pages behind them.
		lose(this.#facts, "missed", Math.max(0, this.#missed - (this.#facts.losses.get("overrun") ?? 0)));
		const { count } = this.#table.unknownIds;
		if (count > 0) this.#facts.warnings.push(`${count} records are of events whose format is not in the file`);
	}
}

/** Without text where the format of an event tells where its values are. */
function* mergedBatches(dat: TraceDat, file: ByteFile, facts: SourceFacts, intake: Intake): Generator<EventBatch> {
	const records = new MergedRecords(dat, file, facts);
	const event = new KernelEvent();
	let more = true;
	const each = (visit: (event: KernelEvent) => void): void => {
		more = records.visit(BATCH, (cursor, known, ns) => {
			const { template } = known;
			if (
				template !== null &&
				ns <= Number.MAX_SAFE_INTEGER &&
				readBinary(template, cursor.view, cursor.from, cursor.length, event.v) &&
				isSound(template.code, event.v)
			) {
				event.code = template.code;
				event.ns = ns;
				event.pid = cursor.view.getInt32(cursor.from + 4, true);
				event.comm = records.comm(event.pid);
				visit(event);
				return;
			}
			const raw = records.raw(cursor, known, ns);
			const taken = intake.take(raw);
			if (!known.learned) {
				known.learned = true;
				const values = intake.values(raw);
				if (values !== null) known.template = binaryTemplate(known.format, values.shape, values.given);
			}
			if (taken !== null) visit(taken);
		});
	};
	while (more) yield { each };
	records.finish();
}
