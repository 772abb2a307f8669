// Event formats of the kernel's binary traces: the text of events/*/*/format, and records rendered by it as name=value (formats.md 2.1).
import { BadInputError } from "../errors.js";

interface FormatField {
	readonly name: string;
	readonly type: string;
	readonly offset: number;
	readonly size: number;
	readonly signed: boolean;
}

export interface EventFormat {
	readonly id: number;
	readonly name: string;
	readonly fields: readonly FormatField[];
}

const FIELD = /^\s*field:(.*?)([\w]+)(\[[^\]]*\])?;\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d);)?/;
const MAX_FIELDS = 256;

/** undefined where the text has no name or no id. */
export function parseEventFormat(text: string): EventFormat | undefined {
	const name = /^name: (\S+)$/m.exec(text)?.[1];
	const id = /^ID: (\d+)$/m.exec(text)?.[1];
	if (name === undefined || id === undefined) return undefined;
	const fields: FormatField[] = [];
	for (const line of text.split("\n")) {
		if (line.startsWith("print fmt:") || fields.length >= MAX_FIELDS) break;
		const match = FIELD.exec(line);
		if (match === null) continue;
		const [, type = "", fieldName = "", array = "", offset, size, signed] = match;
		fields.push({
			name: fieldName,
			type: `${type.trim()}${array}`,
			offset: Number(offset),
			size: Number(size),
			signed: signed === "1",
		});
	}
	return { id: Number(id), name, fields };
}

export interface PageFormat {
	/** Bytes of the commit field. */
	readonly commitBytes: number;
	/** Where the page's data begins. */
	readonly dataOffset: number;
}

/** header_page: where a ring-buffer page has its commit and its data. @throws BadInputError where it does not say */
export function parsePageFormat(text: string, where: string): PageFormat {
	const fields = text
		.split("\n")
		.map((line) => FIELD.exec(line))
		.filter((match) => match !== null);
	const commit = fields.find(([, , name]) => name === "commit");
	const data = fields.find(([, , name]) => name === "data");
	const commitBytes = Number(commit?.[5] ?? 0);
	const dataOffset = Number(data?.[4] ?? 0);
	if ((commitBytes !== 4 && commitBytes !== 8) || dataOffset < 8 + commitBytes || dataOffset > 64)
		throw new BadInputError("header_page describes no ring-buffer page", { where });
	return { commitBytes, dataOffset };
}

const decoder = new TextDecoder();

function stringAt(record: Uint8Array, from: number, length: number): string {
	const bytes = record.subarray(from, Math.min(record.length, from + length));
	const end = bytes.indexOf(0);
	return decoder.decode(end < 0 ? bytes : bytes.subarray(0, end)).trimEnd();
}

type Value = (record: Uint8Array, view: DataView) => string;

function fieldValue({ type, offset, size, signed }: FormatField): Value {
	if (/__data_loc|__rel_loc/.test(type))
		return (record, view) => {
			if (offset + 4 > record.length) return "";
			const place = view.getUint32(offset, true);
			const base = type.includes("__rel_loc") ? offset + 4 : 0;
			return stringAt(record, base + (place & 0xffff), place >>> 16);
		};
	if (type.includes("char") && type.includes("[")) return (record) => stringAt(record, offset, size === 0 ? record.length : size);
	return (record, view) => {
		if (offset + size > record.length) return "";
		switch (size) {
			case 1:
				return signed ? String(view.getInt8(offset)) : `0x${view.getUint8(offset).toString(16)}`;
			case 2:
				return signed ? String(view.getInt16(offset, true)) : `0x${view.getUint16(offset, true).toString(16)}`;
			case 4:
				return signed ? String(view.getInt32(offset, true)) : `0x${view.getUint32(offset, true).toString(16)}`;
			case 8:
				return signed ? String(view.getBigInt64(offset, true)) : `0x${view.getBigUint64(offset, true).toString(16)}`;
			default:
				return "";
		}
	};
}

const PROBE_FIELDS = new Set(["__probe_ip", "__probe_func", "__probe_ret_ip"]);

/** Function names at an address; the empty string where none is known. */
export type SymbolAt = (address: bigint) => string;

/** What turns records of one event into text: `(symbol+0x0/0x0) name=value …` of a probe, `name=value …` of a tracepoint. */
export function rendererOf(format: EventFormat, symbolAt: SymbolAt): (record: Uint8Array, view: DataView) => string {
	const values = format.fields
		.filter(({ name }) => !name.startsWith("common_") && !PROBE_FIELDS.has(name))
		.map((each) => ({ name: each.name, value: fieldValue(each) }));
	const probe = format.fields.find(({ name }) => name === "__probe_func") ?? format.fields.find(({ name }) => name === "__probe_ip");
	// A probe is at one place: its symbol is looked up once.
	let head: string | undefined;
	return (record, view) => {
		if (probe !== undefined && head === undefined) {
			const address = probe.offset + 8 <= record.length ? view.getBigUint64(probe.offset, true) : 0n;
			const symbol = symbolAt(address);
			const target = symbol === "" ? address.toString(16) : probe.name === "__probe_func" ? symbol : `${symbol}+0x0/0x0`;
			head = probe.name === "__probe_func" ? (symbol === "" ? `(${target} <- 0) ` : `(0 <- ${target}) `) : `(${target}) `;
		}
		let text = head ?? "";
		for (const { name, value } of values) text += `${text === "" || text.endsWith(" ") ? "" : " "}${name}=${value(record, view)}`;
		return text;
	};
}
