// Encoders of a run as Perfetto traces and trace.dat files.
import { deflateSync, gzipSync } from "node:zlib";
import type { RunEvent } from "./encode.js";

// Perfetto.

function varint(value: bigint): Buffer {
	const bytes: number[] = [];
	for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
		if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
		bytes.push(Number(rest & 127n) | 128);
	}
}
export const int = (field: number, value: bigint | number): Buffer => Buffer.concat([varint(BigInt(field) << 3n), varint(BigInt(value))]);
export const bytes = (field: number, content: Buffer | string): Buffer => {
	const body = Buffer.from(content as string);
	return Buffer.concat([varint((BigInt(field) << 3n) | 2n), varint(BigInt(body.length)), body]);
};

const probeFields = (e: RunEvent): RunEvent["fields"] => [
	...(e.symbol === undefined ? [] : ([[e.returns === true ? "__probe_func" : "__probe_ip", 0xffff_ffff_8132_1130n, "u64"]] as const)),
	...e.fields,
];

function genericEvent(e: RunEvent): Buffer {
	const fields = probeFields(e).map(([name, value, type]) => bytes(2, Buffer.concat([bytes(1, name), int(type === "s32" ? 4 : 5, value)])));
	return bytes(327, Buffer.concat([bytes(1, e.name), ...fields]));
}

const TYPES = { u64: 4, u32: 13, s32: 5 } as const;

function descriptors(events: readonly RunEvent[]): { ids: Map<string, number>; descriptors: Buffer } {
	const ids = new Map<string, number>();
	const out: Buffer[] = [];
	for (const e of events) {
		if (ids.has(e.name)) continue;
		const id = 65536 + ids.size;
		ids.set(e.name, id);
		const fields = probeFields(e).map(([name, , type], at) =>
			bytes(2, Buffer.concat([bytes(1, name), int(3, at + 1), int(4, 1), int(5, TYPES[type])])),
		);
		out.push(bytes(11, Buffer.concat([int(1, id), bytes(2, Buffer.concat([bytes(1, e.name), ...fields]))])));
	}
	return { ids, descriptors: Buffer.concat(out) };
}

/** Bundles CPU by CPU, as traced drains them: not in the order of time. */
export function asPerfetto(events: readonly RunEvent[], encoding: "generic" | "dynamic", packing: "none" | "deflate" | "zstd"): Buffer {
	const { ids, descriptors: shapes } = descriptors(events);
	const packets: Buffer[] = [];
	for (let from = 0; from < events.length; from += 32) {
		for (const cpu of [1, 0]) {
			const chosen = events.slice(from, from + 32).filter((e) => e.cpu === cpu);
			const encoded = chosen.map((e) => {
				const dynamic = Buffer.concat(probeFields(e).map(([, value], at) => int(at + 1, value)));
				const body = encoding === "generic" ? genericEvent(e) : bytes(ids.get(e.name) ?? 0, dynamic);
				return bytes(2, Buffer.concat([int(1, e.ns), int(2, e.pid), body]));
			});
			packets.push(bytes(1, bytes(1, Buffer.concat([int(1, cpu), ...encoded]))));
		}
	}
	const names = new Map(events.map((e) => [e.pid, e.comm]));
	const threads = [...names].map(([pid, comm]) => bytes(2, Buffer.concat([int(1, pid), bytes(2, comm)])));
	packets.unshift(bytes(1, bytes(2, Buffer.concat(threads))));
	// The descriptors stand behind everything that needs them.
	if (encoding === "dynamic") packets.push(bytes(1, bytes(1, shapes)));
	if (packing === "none") return Buffer.concat(packets);
	const half = Math.floor(packets.length / 2);
	return Buffer.concat(
		[packets.slice(0, half), packets.slice(half)].map((part) => {
			const whole = Buffer.concat(part);
			return bytes(1, packing === "deflate" ? bytes(50, deflateSync(whole)) : bytes(133, rawZstd(whole)));
		}),
	);
}

/** A zstd frame of raw blocks: what a decoder must take, without an encoder. */
export function rawZstd(content: Buffer): Buffer {
	const out: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0xa0]), Buffer.alloc(4)];
	out[1]?.writeUInt32LE(content.length);
	for (let at = 0; at < content.length || at === 0; at += 65536) {
		const block = content.subarray(at, at + 65536);
		const last = at + 65536 >= content.length ? 1 : 0;
		const header = (block.length << 3) | last;
		out.push(Buffer.from([header & 255, (header >> 8) & 255, header >> 16]), block);
	}
	return Buffer.concat(out);
}

// trace.dat.

const u16 = (value: number): Buffer => {
	const out = Buffer.alloc(2);
	out.writeUInt16LE(value);
	return out;
};
export const u32 = (value: number): Buffer => {
	const out = Buffer.alloc(4);
	out.writeUInt32LE(value >>> 0);
	return out;
};
export const u64 = (value: number | bigint): Buffer => {
	const out = Buffer.alloc(8);
	out.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
	return out;
};
const z = (text: string): Buffer => Buffer.from(`${text}\0`);
const sized = (text: string): Buffer => Buffer.concat([u64(text.length), Buffer.from(text)]);

const SIZES = { u64: 8, u32: 4, s32: 4 } as const;
const KERNEL_TYPES = { u64: "u64", u32: "unsigned int", s32: "s32" } as const;

interface Shape {
	readonly id: number;
	readonly text: string;
	encode(e: RunEvent): Buffer;
}

function shapesOf(events: readonly RunEvent[], addressOf: (symbol: string) => bigint): Map<string, Shape> {
	const shapes = new Map<string, Shape>();
	for (const first of events) {
		if (shapes.has(first.name)) continue;
		const id = 1000 + shapes.size;
		let offset = 8;
		const lines = [
			"\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;",
			"\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;",
		];
		const places = probeFields(first).map(([name, , type]) => {
			const size = SIZES[type];
			offset = Math.ceil(offset / size) * size;
			const place = offset;
			lines.push(`\tfield:${KERNEL_TYPES[type]} ${name};\toffset:${place};\tsize:${size};\tsigned:${type === "s32" ? 1 : 0};`);
			offset += size;
			return { place, size };
		});
		const length = Math.ceil(offset / 4) * 4;
		shapes.set(first.name, {
			id,
			text: `name: ${first.name}\nID: ${id}\nformat:\n${lines.join("\n")}\n\nprint fmt: ""\n`,
			encode: (e) => {
				const record = Buffer.alloc(length);
				record.writeUInt16LE(id, 0);
				record.writeInt32LE(e.pid, 4);
				probeFields(e).forEach(([name, value], at) => {
					const { place = 0, size = 8 } = places[at] ?? {};
					const stored = name.startsWith("__probe") ? addressOf(e.symbol ?? "") : value;
					if (size === 8) record.writeBigUInt64LE(BigInt.asUintN(64, stored), place);
					else record.writeUInt32LE(Number(BigInt.asUintN(32, stored)), place);
				});
				return record;
			},
		});
	}
	return shapes;
}

export const PAGE_BYTES = 4096;

/** Ring-buffer pages of one CPU: time extends between the records, one record in its long form. */
function pagesOf(events: readonly RunEvent[], shapes: ReadonlyMap<string, Shape>): Buffer {
	const pages: Buffer[] = [];
	let parts: Buffer[] = [];
	let used = 0;
	let begin = events[0]?.ns ?? 0;
	let last = begin;
	const flush = (): void => {
		const page = Buffer.alloc(PAGE_BYTES);
		Buffer.concat([u64(begin), u64(used), ...parts]).copy(page);
		pages.push(page);
		parts = [];
		used = 0;
	};
	events.forEach((e, at) => {
		const record = shapes.get(e.name)?.encode(e) ?? Buffer.alloc(0);
		const delta = e.ns - last;
		const extend = Buffer.concat([u32(((delta % 2 ** 27) << 5) | 30), u32(Math.floor(delta / 2 ** 27))]);
		const body = at % 3 === 0 ? Buffer.concat([u32(0), u32(record.length + 4), record]) : Buffer.concat([u32(record.length / 4), record]);
		if (used + extend.length + body.length > PAGE_BYTES - 16) {
			flush();
			begin = last;
		}
		parts.push(extend, body);
		used += extend.length + body.length;
		last = e.ns;
	});
	flush();
	return Buffer.concat(pages);
}

const HEADER_PAGE =
	"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:1;\n";

export interface DatOptions {
	readonly version: 6 | 7;
	readonly compression: "none" | "zlib" | "zstd";
	/** What each CPU's section says it has chunks, of which it has one. */
	readonly chunks?: number;
}

export function asTraceDat(events: readonly RunEvent[], { version, compression, chunks = 1 }: DatOptions): Buffer {
	const symbols = [...new Set(events.flatMap((e) => (e.symbol === undefined ? [] : [e.symbol])))];
	const addressOf = (symbol: string): bigint => 0xffff_ffff_8100_0000n + BigInt(symbols.indexOf(symbol) * 4096);
	const shapes = shapesOf(events, addressOf);
	const info = Buffer.concat([z("header_page"), sized(HEADER_PAGE), z("header_event"), sized("type_len")]);
	const ftrace = u32(0);
	const systems = Buffer.concat([u32(1), z("kvm"), u32(shapes.size), ...[...shapes.values()].map((shape) => sized(shape.text))]);
	const kallsymsText = symbols.map((symbol) => `${addressOf(symbol).toString(16)} t ${symbol}\n`).join("");
	const kallsyms = Buffer.concat([u32(kallsymsText.length), Buffer.from(kallsymsText)]);
	const comms = [...new Map(events.map((e) => [e.pid, e.comm]))].map(([pid, comm]) => `${pid} ${comm}\n`).join("");
	const cmdlines = Buffer.concat([u64(comms.length), Buffer.from(comms)]);
	const cpus = [0, 1].map((cpu) =>
		pagesOf(
			events.filter((e) => e.cpu === cpu),
			shapes,
		),
	);
	const start = Buffer.concat([
		Buffer.from([0x17, 0x08, 0x44]),
		Buffer.from("tracing"),
		z(String(version)),
		Buffer.from([0, 8]),
		u32(PAGE_BYTES),
	]);
	const clock = Buffer.from("local [mono]\0");
	const uname = Buffer.from("Linux host 6.1.0-50-amd64 x86_64\0");
	const option = (id: number, data: Buffer): Buffer => Buffer.concat([u16(id), u32(data.length), data]);
	if (version === 6) {
		const options = Buffer.concat([Buffer.from("options  \0"), option(4, clock), option(5, uname), u16(0)]);
		const head = Buffer.concat([start, info, ftrace, systems, kallsyms, u32(0), cmdlines, u32(2), options, Buffer.from("flyrecord\0")]);
		const first = Math.ceil((head.length + 32) / PAGE_BYTES) * PAGE_BYTES;
		const places = cpus.map((pages, cpu) => ({ offset: first + (cpu === 0 ? 0 : (cpus[0]?.length ?? 0)), size: pages.length }));
		const table = Buffer.concat([head, ...places.flatMap(({ offset, size }) => [u64(offset), u64(size)])]);
		return Buffer.concat([table, Buffer.alloc(first - table.length), ...cpus]);
	}
	const pack = (plain: Buffer): Buffer => (compression === "zlib" ? deflateSync(plain) : rawZstd(plain));
	const parts: Buffer[] = [start, z(compression), z("1")];
	let at = parts.reduce((sum, part) => sum + part.length, 0) + 8;
	const body: Buffer[] = [];
	const add = (part: Buffer): number => {
		const place = at;
		body.push(part);
		at += part.length;
		return place;
	};
	const section = (id: number, plain: Buffer): number => {
		const packed = pack(plain);
		const stored = compression === "none" ? plain : Buffer.concat([u32(packed.length), u32(plain.length), packed]);
		return add(Buffer.concat([u16(id), u16(compression === "none" ? 0 : 1), u32(0), u64(stored.length), stored]));
	};
	const places = [
		[16, section(16, info)],
		[17, section(17, ftrace)],
		[18, section(18, systems)],
		[19, section(19, kallsyms)],
		[21, section(21, cmdlines)],
	] as const;
	const buffers = cpus.map((pages, cpu) => {
		if (compression === "none") return Buffer.concat([u32(cpu), u64(add(pages)), u64(pages.length)]);
		const packed = pack(pages);
		const chunk = Buffer.concat([u32(chunks), u32(packed.length), u32(pages.length), packed]);
		return Buffer.concat([u32(cpu), u64(add(chunk)), u64(chunk.length)]);
	});
	const options = section(
		0,
		Buffer.concat([
			...places.map(([id, place]) => option(id, u64(place))),
			option(4, clock),
			option(5, uname),
			option(3, Buffer.concat([u64(0), z(""), z("mono"), u32(PAGE_BYTES), u32(2), ...buffers])),
			option(0, u64(0)),
		]),
	);
	return Buffer.concat([...parts, u64(options), ...body]);
}

export const gzipped = (content: Buffer | string): Buffer => gzipSync(content);
