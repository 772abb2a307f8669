// The container of trace-cmd: trace.dat version 6 (sequential) and 7 (sections, compressed) down to its metadata and the places of its ring-buffer
// pages (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5); formats.md 2.1).
import { inflateSync } from "node:zlib";
import { BadInputError, LimitError } from "../errors.js";
import type { ByteFile } from "./bytefile.js";
import { type EventFormat, type PageFormat, parseEventFormat, parsePageFormat } from "./eventformat.js";
import type { Damage } from "./input.js";
import { unzstd } from "./zstd.js";

/** Sections are metadata: the largest, kallsyms, has some MB. */
const MAX_SECTION = 256 << 20;
const MAX_CPUS = 8192;
const MAX_FORMATS = 65536;
const MAX_OPTIONS = 4096;

/** Pages of one CPU's buffer: bytes of the file, in chunks that are compressed or not. */
export interface CpuPages {
	readonly cpu: number;
	readonly offset: number;
	readonly bytes: number;
	readonly chunked: boolean;
	readonly pageBytes: number;
}

type Decompress = (bytes: Uint8Array, maxBytes: number, where: string) => Uint8Array;

export interface TraceDat {
	readonly version: number;
	readonly page: PageFormat;
	readonly formats: ReadonlyMap<number, EventFormat>;
	readonly comms: ReadonlyMap<number, string>;
	readonly kallsyms: () => string;
	readonly cpus: readonly CpuPages[];
	readonly decompress: Decompress;
	/** Latency-format text instead of pages: its place. */
	readonly options: ReadonlyMap<number, readonly Uint8Array[]>;
	/** Buffers of instances that were left out. */
	readonly instances: number;
}

export const Option = { done: 0, cpustat: 2, buffer: 3, clock: 4, uname: 5, tsc2nsec: 14 } as const;
const Section = { headerInfo: 16, ftraceEvents: 17, eventFormats: 18, kallsyms: 19, cmdlines: 21 } as const;

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Reads numbers and strings on, from a part of the file or from a section that was inflated. */
class Bytes {
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	readonly #where: string;
	at = 0;

	constructor(bytes: Uint8Array, where: string) {
		this.#bytes = bytes;
		this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		this.#where = where;
	}

	get left(): number {
		return this.#bytes.length - this.at;
	}

	#take(length: number, what: string): number {
		if (length > this.left || length < 0)
			throw new BadInputError(`${what} of ${length} bytes where ${this.left} are left`, { where: `${this.#where}, byte ${this.at}` });
		const at = this.at;
		this.at += length;
		return at;
	}

	u8(what: string): number {
		return this.#view.getUint8(this.#take(1, what));
	}
	u16(what: string): number {
		return this.#view.getUint16(this.#take(2, what), true);
	}
	u32(what: string): number {
		return this.#view.getUint32(this.#take(4, what), true);
	}
	u64(what: string): number {
		const value = this.#view.getBigUint64(this.#take(8, what), true);
		if (value > BigInt(Number.MAX_SAFE_INTEGER))
			throw new BadInputError(`${what} is ${value}`, { where: `${this.#where}, byte ${this.at - 8}` });
		return Number(value);
	}
	bytes(length: number, what: string): Uint8Array {
		const at = this.#take(length, what);
		return this.#bytes.subarray(at, at + length);
	}
	string(what: string): string {
		const end = this.#bytes.indexOf(0, this.at);
		if (end < 0) throw new BadInputError(`${what} has no end`, { where: `${this.#where}, byte ${this.at}` });
		const found = this.#bytes.subarray(this.at, end);
		this.at = end + 1;
		return text(found);
	}
	tag(expected: string): void {
		const found = this.string(expected);
		if (found !== expected) throw new BadInputError(`"${found.slice(0, 20)}" where ${expected} should be`, { where: this.#where });
	}
}

function decompressor(name: string, where: string): Decompress {
	if (name === "zstd") return unzstd;
	if (name === "zlib")
		return (bytes, maxBytes, place) => {
			try {
				return inflateSync(bytes, { maxOutputLength: maxBytes });
			} catch (cause) {
				throw new BadInputError("a compressed chunk is damaged", { where: place, cause });
			}
		};
	if (name === "none" || name === "") return (bytes) => bytes;
	throw new BadInputError(`a trace.dat compressed with ${name}`, {
		where,
		hint: "trace-cmd convert --compression none makes one that can be read",
	});
}

class FormatTable {
	readonly formats = new Map<number, EventFormat>();
	#count = 0;

	add(bytes: Uint8Array): void {
		if (++this.#count > MAX_FORMATS) throw new LimitError(`more than ${MAX_FORMATS} event formats`);
		const format = parseEventFormat(text(bytes));
		if (format !== undefined) this.formats.set(format.id, format);
	}

	ftrace(from: Bytes): void {
		const count = from.u32("the number of ftrace formats");
		for (let each = 0; each < count; each++) this.add(from.bytes(from.u64("a format's length"), "an event's format"));
	}

	systems(from: Bytes): void {
		const systems = from.u32("the number of event systems");
		for (let system = 0; system < systems; system++) {
			from.string("the name of an event system");
			const count = from.u32("the number of its events");
			for (let each = 0; each < count; each++) this.add(from.bytes(from.u64("a format's length"), "an event's format"));
		}
	}
}

function readComms(lines: string): Map<number, string> {
	const comms = new Map<number, string>();
	for (const line of lines.split("\n")) {
		const space = line.indexOf(" ");
		if (space > 0) comms.set(Number(line.slice(0, space)), line.slice(space + 1));
	}
	return comms;
}

function headerPage(from: Bytes, where: string): PageFormat {
	from.tag("header_page");
	const page = parsePageFormat(text(from.bytes(from.u64("header_page's length"), "header_page")), where);
	from.tag("header_event");
	from.bytes(from.u64("header_event's length"), "header_event");
	return page;
}

function readOptions(from: Bytes, options: Map<number, Uint8Array[]>): void {
	for (let count = 0; from.left >= 2; count++) {
		if (count > MAX_OPTIONS) throw new LimitError(`more than ${MAX_OPTIONS} options`);
		const id = from.u16("an option");
		if (id === Option.done && from.left < 4) return;
		const data = id === Option.done && from.left === 0 ? new Uint8Array(0) : from.bytes(from.u32("an option's size"), "an option");
		const known = options.get(id) ?? [];
		known.push(data);
		options.set(id, known);
		if (id === Option.done) return;
	}
}

/** @throws BadInputError, LimitError */
export function readTraceDat(file: ByteFile, cut: Damage): TraceDat {
	const where = file.path;
	const head = new Bytes(file.read(0, Math.min(file.size, 256), "the header"), where);
	head.bytes(10, "the magic");
	const version = Number(head.string("the version"));
	if (version !== 6 && version !== 7)
		throw new BadInputError(`trace.dat version ${version}`, {
			where,
			hint: "trace-cmd convert --file-version 6 makes one that can be read",
		});
	if (head.u8("the byte order") !== 0) throw new BadInputError("a big-endian trace.dat", { where });
	head.u8("the size of a long");
	const pageBytes = head.u32("the page size");
	if (pageBytes < 1024 || pageBytes > 1 << 24) throw new BadInputError(`pages of ${pageBytes} bytes`, { where });
	return version === 6 ? readVersion6(file, head.at, pageBytes, cut) : readVersion7(file, head, pageBytes, cut);
}

function readVersion6(file: ByteFile, start: number, pageBytes: number, cut: Damage): TraceDat {
	const where = file.path;
	// Everything before the pages is read at once; the pages are not.
	const all = new Bytes(file.read(start, Math.min(file.size - start, MAX_SECTION), "the metadata"), where);
	const page = headerPage(all, where);
	const table = new FormatTable();
	table.ftrace(all);
	table.systems(all);
	const kallsyms = all.bytes(all.u32("kallsyms' size"), "kallsyms");
	all.bytes(all.u32("printk's size"), "printk formats");
	const comms = readComms(text(all.bytes(all.u64("the size of the comms"), "the comms")));
	const cpus = all.u32("the number of CPUs");
	if (cpus > MAX_CPUS) throw new LimitError(`${cpus} CPUs`, { where });
	const options = new Map<number, Uint8Array[]>();
	let tag = text(all.bytes(10, "the kind of the data"));
	if (tag.startsWith("options")) {
		for (let count = 0; ; count++) {
			const id = all.u16("an option");
			if (id === Option.done) break;
			if (count > MAX_OPTIONS) throw new LimitError(`more than ${MAX_OPTIONS} options`, { where });
			const known = options.get(id) ?? [];
			known.push(all.bytes(all.u32("an option's size"), "an option"));
			options.set(id, known);
		}
		tag = text(all.bytes(10, "the kind of the data"));
	}
	if (!tag.startsWith("flyrecord"))
		throw new BadInputError(`a trace.dat of the kind "${tag.replace(/[^ -~]+/g, "")}"`, {
			where,
			hint: tag.startsWith("latency") ? "trace-cmd report makes text of it that can be read" : undefined,
		});
	const places = Array.from({ length: cpus }, (_, cpu): CpuPages => {
		const offset = all.u64("a CPU's place");
		const bytes = within(file, cpu, offset, all.u64("a CPU's size"), cut);
		return { cpu, offset, bytes, chunked: false, pageBytes };
	});
	return {
		version: 6,
		page,
		formats: table.formats,
		comms,
		kallsyms: () => text(kallsyms),
		cpus: places,
		decompress: (bytes) => bytes,
		options,
		instances: options.get(Option.buffer)?.length ?? 0,
	};
}

function readVersion7(file: ByteFile, head: Bytes, pageBytes: number, cut: Damage): TraceDat {
	const where = file.path;
	const compression = head.string("the compression");
	head.string("the compression's version");
	const decompress = decompressor(compression, where);
	const section = (offset: number, what: string): Bytes => {
		const header = new Bytes(file.read(offset, 16, `the header of ${what}`), `${where}, byte ${offset}`);
		header.u16("a section's id");
		const compressed = (header.u16("a section's flags") & 1) !== 0;
		header.u32("a section's description");
		const size = header.u64("a section's size");
		if (size > MAX_SECTION) throw new LimitError(`${what} has ${size} bytes`, { where });
		const stored = file.read(offset + 16, size, what);
		if (!compressed) return new Bytes(stored, `${where}, ${what}`);
		const packed = new Bytes(stored, `${where}, ${what}`);
		const length = packed.u32("a compressed size");
		const plain = packed.u32("an uncompressed size");
		if (plain > MAX_SECTION) throw new LimitError(`${what} has ${plain} bytes`, { where });
		return new Bytes(decompress(packed.bytes(length, what), plain, `${where}, ${what}`), `${where}, ${what}`);
	};
	const options = new Map<number, Uint8Array[]>();
	const seen = new Set<number>();
	for (let next = head.u64("the place of the options"); next !== 0; ) {
		if (seen.has(next)) throw new BadInputError("the options go in a circle", { where: `${where}, byte ${next}` });
		seen.add(next);
		options.delete(Option.done);
		readOptions(section(next, "the options"), options);
		const [done] = options.get(Option.done) ?? [];
		next = done !== undefined && done.length >= 8 ? new Bytes(done, where).u64("the place of more options") : 0;
	}
	const sectionOf = (id: number, what: string): Bytes | undefined => {
		const [place] = options.get(id) ?? [];
		return place === undefined ? undefined : section(new Bytes(place, where).u64(`the place of ${what}`), what);
	};
	const info = sectionOf(Section.headerInfo, "the header info");
	if (info === undefined) throw new BadInputError("no header info: the file was not written to its end", { where });
	const page = headerPage(info, where);
	const table = new FormatTable();
	const ftrace = sectionOf(Section.ftraceEvents, "the ftrace formats");
	if (ftrace !== undefined) table.ftrace(ftrace);
	const systems = sectionOf(Section.eventFormats, "the event formats");
	if (systems !== undefined) table.systems(systems);
	const comms = sectionOf(Section.cmdlines, "the comms");
	const cpus: CpuPages[] = [];
	for (const buffer of options.get(Option.buffer) ?? []) cpus.push(...bufferCpus(file, buffer, pageBytes, compression !== "none", cut));
	return {
		version: 7,
		page,
		formats: table.formats,
		comms: comms === undefined ? new Map() : readComms(text(comms.bytes(comms.u64("the size of the comms"), "the comms"))),
		kallsyms: () => {
			const symbols = sectionOf(Section.kallsyms, "kallsyms");
			return symbols === undefined ? "" : text(symbols.bytes(symbols.u32("kallsyms' size"), "kallsyms"));
		},
		cpus,
		decompress,
		options,
		instances: 0,
	};
}

/** As many of a CPU's bytes as the file has. */
function within(file: ByteFile, cpu: number, offset: number, bytes: number, cut: Damage): number {
	if (bytes === 0 || offset + bytes <= file.size) return bytes;
	cut(`the pages of CPU ${cpu} reach to byte ${offset + bytes} of ${file.size}: the file is cut off`, file.path);
	return Math.max(0, file.size - offset);
}

/** BUFFER: u64 place, name, clock, u32 page size, u32 CPUs, then {u32 cpu, u64 place, u64 size}. */
function bufferCpus(file: ByteFile, option: Uint8Array, filePageBytes: number, chunked: boolean, cut: Damage): CpuPages[] {
	const from = new Bytes(option, file.path);
	from.u64("a buffer's place");
	from.string("a buffer's name");
	from.string("a buffer's clock");
	const pageBytes = from.u32("a buffer's page size") || filePageBytes;
	if (pageBytes < 1024 || pageBytes > 1 << 24) throw new BadInputError(`pages of ${pageBytes} bytes`, { where: file.path });
	const count = from.u32("a buffer's CPUs");
	if (count > MAX_CPUS) throw new LimitError(`${count} CPUs`, { where: file.path });
	return Array.from({ length: count }, (): CpuPages => {
		const cpu = from.u32("a CPU");
		const offset = from.u64("a CPU's place");
		const bytes = within(file, cpu, offset, from.u64("a CPU's size"), cut);
		return { cpu, offset, bytes, chunked, pageBytes };
	});
}
