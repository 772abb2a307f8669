// One small run of KVM and KSM, written by hand, and encoders of it: every format must give the same trace.
import { deflateSync, gzipSync } from "node:zlib";

export interface RunEvent {
	readonly comm: string;
	readonly pid: number;
	readonly cpu: number;
	readonly ns: number;
	readonly name: string;
	/** The probed function; undefined for a tracepoint. */
	readonly symbol?: string;
	readonly returns?: boolean;
	/** Field, value, and its type in the kernel. */
	readonly fields: readonly (readonly [name: string, value: bigint, type: "u64" | "u32" | "s32"])[];
	/** The kernel's own print of a tracepoint. */
	readonly print?: string;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const PAGE = 4096n;
const HVA = 0x7f00_0000_0000n;
const MM = 0xffff_8881_0000_1000n;

class Run {
	readonly events: RunEvent[] = [];
	#ns = 10_000_000_000;

	#add(comm: string, pid: number, event: Omit<RunEvent, "comm" | "pid" | "cpu" | "ns">): void {
		this.#ns += 1_000_000;
		this.events.push({ comm, pid, cpu: pid % 2, ns: this.#ns, ...event });
	}

	probe(who: readonly [string, number], name: string, symbol: string, fields: RunEvent["fields"], returns = false): void {
		this.#add(...who, { name, symbol, fields, returns });
	}

	fault(who: readonly [string, number], gfn: bigint, rip: bigint, errorCode: bigint): void {
		const address = gfn * PAGE + 8n;
		this.#add(...who, {
			name: "kvm_page_fault",
			fields: [
				["vcpu_id", 0n, "u32"],
				["guest_rip", rip, "u64"],
				["fault_address", address, "u64"],
				["error_code", errorCode, "u64"],
			],
			print: `vcpu 0 rip ${hex(rip)} address 0x${address.toString(16).padStart(16, "0")} error_code ${hex(errorCode)}`,
		});
	}

	spte(who: readonly [string, number], gfn: bigint, before: bigint, after: bigint): void {
		this.#add(...who, {
			name: "kvm_tdp_mmu_spte_changed",
			fields: [
				["gfn", gfn, "u64"],
				["old_spte", before, "u64"],
				["new_spte", after, "u64"],
				["level", 1n, "u32"],
				["as_id", 0n, "u32"],
			],
			print: `as id 0 gfn ${gfn.toString(16)} level 1 old_spte ${before.toString(16)} new_spte ${after.toString(16)}`,
		});
	}

	range(who: readonly [string, number], page: bigint, inside: () => void): void {
		const start = HVA + page * PAGE;
		const fields = [
			["mm", MM, "u64"],
			["start", start, "u64"],
			["end", start + PAGE, "u64"],
		] as const;
		this.probe(who, "mn_range_start", "__mmu_notifier_invalidate_range_start", [...fields, ["flags", 1n, "u32"], ["event", 1n, "u32"]]);
		this.#add(...who, {
			name: "kvm_unmap_hva_range",
			fields: [
				["start", start, "u64"],
				["end", start + PAGE, "u64"],
			],
			print: `mmu notifier unmap range: ${hex(start)} -- ${hex(start + PAGE)}`,
		});
		inside();
		this.probe(who, "mn_range_end", "__mmu_notifier_invalidate_range_end", fields);
	}
}

const VCPU = ["CPU 0/KVM", 201] as const;
const KSMD = ["ksmd", 30] as const;
const PAGES = 16n;

/** One VM of 16 pages: all read, all merged in pairs, four written. */
export function smallRun(): RunEvent[] {
	const run = new Run();
	const spteOf = (gfn: bigint, writable: boolean): bigint => ((0x10_0000n + gfn) << 12n) | (writable ? 0xe67n : 0x825n);
	for (let gfn = 0n; gfn < PAGES; gfn++) {
		run.fault(VCPU, gfn, 0x1000n, 0x1_0000_0004n);
		run.spte(VCPU, gfn, 0n, spteOf(gfn, true));
	}
	for (let gfn = 0n; gfn < PAGES; gfn++) {
		const first = gfn % 2n === 0n;
		const struct = 0xffff_ea00_0000_0000n + (gfn << 6n);
		const kpage = first ? 0n : struct - 64n;
		run.probe(KSMD, "ksm_try_to_merge_one_page", "try_to_merge_one_page", [
			["page", struct, "u64"],
			["kpage", kpage, "u64"],
		]);
		run.range(KSMD, gfn, () => run.spte(KSMD, gfn, spteOf(gfn, true), 0n));
		if (!first) run.range(KSMD, gfn, () => undefined);
		run.probe(KSMD, "ksm_try_to_merge_one_page_ret", "try_to_merge_one_page", [["ret", 0n, "s32"]], true);
	}
	for (let gfn = 0n; gfn < PAGES; gfn++) {
		run.fault(VCPU, gfn, 0x2000n, 0x1_0000_0004n);
		run.spte(VCPU, gfn, 0n, spteOf(gfn & ~1n, false));
	}
	for (let gfn = 0n; gfn < PAGES; gfn += 4n) {
		run.fault(VCPU, gfn, 0x3000n, 0x1_0000_0007n);
		const addr = HVA + gfn * PAGE;
		run.probe(VCPU, "wp_page_copy", "wp_page_copy", [
			["addr", addr, "u64"],
			["flags", 0x81dn, "u32"],
			["page", 0xffff_ea00_0000_0000n + (gfn << 6n), "u64"],
		]);
		run.range(VCPU, gfn, () => run.spte(VCPU, gfn, spteOf(gfn, false), 0n));
		run.probe(VCPU, "wp_page_copy_ret", "wp_page_copy", [["ret", 0n, "u32"]], true);
		run.fault(VCPU, gfn, 0x3000n, 0x1_0000_0006n);
		run.spte(VCPU, gfn, 0n, spteOf(gfn + 64n, true));
	}
	return run.events;
}

const seconds = (ns: number, digits: number): string => (ns / 1e9).toFixed(digits);
const shown = ([name, value, type]: RunEvent["fields"][number]): string =>
	`${name}=${type === "s32" || name === "event" ? value : hex(value)}`;

function tracefsBody(event: RunEvent): string {
	if (event.print !== undefined) return event.print;
	const fields = event.fields.map(shown).join(" ");
	return event.returns === true ? `(caller+0x10/0x100 <- ${event.symbol}) ${fields}` : `(${event.symbol}+0x0/0x100) ${fields}`;
}

export const asTracefs = (events: readonly RunEvent[]): string =>
	[
		"# tracer: nop",
		"#",
		`# entries-in-buffer/entries-written: ${events.length}/${events.length}   #P:2`,
		...events.map(
			(e) => `${e.comm.padStart(16)}-${e.pid}     [00${e.cpu}] ..... ${seconds(e.ns, 6).padStart(12)}: ${e.name}: ${tracefsBody(e)}`,
		),
		"",
	].join("\n");

export const asLatency = (events: readonly RunEvent[]): string =>
	[
		"# tracer: nop",
		"#",
		"# nop latency trace v1.1.5 on 6.1.0-50-amd64",
		`# latency: 0 us, #${events.length}/${events.length}, CPU#0 | (M:desktop VP:0, KP:0, SP:0 HP:0 #P:1)`,
		...events.map((e) => `${e.comm.slice(0, 8).padStart(8)}-${e.pid}       ${e.cpu}...1. ${e.ns / 1000}us+: ${e.name}: ${tracefsBody(e)}`),
		"",
	].join("\n");

function rawBody(event: RunEvent): string {
	const fields = event.fields.map(([name, value, type]) => {
		const bare = name === "gfn" || name === "old_spte" || name === "new_spte";
		return `${name}=${type === "s32" || name === "event" || name === "level" || name === "vcpu_id" || name === "as_id" ? value : bare ? value.toString(16) : hex(value)}`;
	});
	if (event.symbol !== undefined)
		fields.unshift(
			event.returns === true ? "__probe_func=ffffffff81321130 __probe_ret_ip=ffffffff81322ce7" : "__probe_ip=ffffffff81321130",
		);
	return fields.join(" ");
}

export const asReport = (events: readonly RunEvent[], raw: boolean): string =>
	[
		"cpus=2",
		...events.map((e) => {
			const head = e.returns === true ? "(ffffffff81321130 <- ffffffff81322ce7)" : "(ffffffff81321130)";
			const body = raw ? rawBody(e) : (e.print ?? `${head} ${e.fields.map(shown).join(" ")}`);
			return `${e.comm.padStart(16)}-${e.pid}   [00${e.cpu}] ${seconds(e.ns, 9).padStart(16)}: ${`${e.name}:`.padEnd(22)} ${body}`;
		}),
		"",
	].join("\n");

export const asPerf = (events: readonly RunEvent[]): string =>
	[
		...events.map((e) => {
			const name = e.symbol === undefined ? `kvm:${e.name}` : `probe:${e.symbol}${e.returns === true ? "__return" : ""}`;
			const head = e.returns === true ? "(ffffffff81321130 <- ffffffff81322ce7)" : "(ffffffff81321130)";
			return `${e.comm.padStart(16)} ${String(e.pid).padStart(5)}/${String(e.pid).padEnd(5)} [00${e.cpu}] ${seconds(e.ns, 9).padStart(15)}: ${name.padStart(28)}: ${e.print ?? `${head} ${e.fields.map(shown).join(" ")}`}`;
		}),
		"",
	].join("\n");

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
}

export function asTraceDat(events: readonly RunEvent[], { version, compression }: DatOptions): Buffer {
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
		const chunk = Buffer.concat([u32(1), u32(packed.length), u32(pages.length), packed]);
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
