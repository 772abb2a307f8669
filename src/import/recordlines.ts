// Text that `cat --format tracefs` made of a trace: each line is a record again, and the header is that of the trace.
import { BadInputError } from "../errors.js";
import { ACCESS_NAMES, AGENT_NAMES, EVENT_PREFIX, HEADER_MARK } from "../report/tracefstext.js";
import { decodeHeader, emptyHeader } from "../trace/header.js";
import type { Access, AgentKind } from "../trace/kinds.js";
import { isObservation, OPERATION_BY_NAME } from "../trace/operations.js";
import type { Agent, TraceHeader, TraceRecord } from "../trace/record.js";
import type { RecordSink } from "./emit.js";
import { type Line, readLines, type SourceDigest } from "./input.js";

const LINE = new RegExp(
	`^\\s*\\S+-\\d+\\s+\\[\\d+\\] \\S+\\s+(\\d{1,9})\\.(\\d+): ${EVENT_PREFIX}(\\w+): agent=(\\w+)/(\\d+)/(\\d+)/(\\d+)/(\\d+) page=0x([0-9a-f]{1,13})(?: offset=0x([0-9a-f]{1,3}))?((?: \\w+=-?\\d+)*)(?: text=(".*"))?$`,
);

/** Whether the first lines of a text are of this kind. */
export const looksLikeRecords = (lines: readonly string[]): boolean => lines.some((line) => line.startsWith(HEADER_MARK));

function recordOf(text: string): TraceRecord | undefined {
	const match = LINE.exec(text);
	if (match === null) return undefined;
	const [, seconds, fraction = "", name = "", kindName = "", vm, vcpu, mm, thread, page, offset, args = "", label] = match;
	const kind = AGENT_NAMES.indexOf(kindName);
	if (kind < 1 || (fraction.length !== 9 && fraction !== "0")) return undefined;
	const agent: Agent = { kind: kind as AgentKind, vm: Number(vm), vcpu: Number(vcpu), mm: Number(mm), thread: Number(thread) };
	const base = {
		agent,
		page: Number(`0x${page}`),
		...(fraction === "0" ? {} : { ns: Number(seconds) * 1e9 + Number(fraction) }),
		...(offset === undefined ? {} : { offset: Number(`0x${offset}`) }),
	};
	const access = ACCESS_NAMES.indexOf(name);
	if (access >= 0) return args === "" ? { kind: "access", access: access as Access, ...base } : undefined;
	const shape = OPERATION_BY_NAME.get(name as Parameters<typeof OPERATION_BY_NAME.get>[0]);
	if (shape === undefined) return undefined;
	const given = args.split(" ").slice(1);
	const values: number[] = [];
	for (const [at, argument] of shape.args.entries()) {
		if (at === shape.text) values.push(0);
		else {
			const [key, value] = given.shift()?.split("=") ?? [];
			if (key !== argument) return undefined;
			values.push(Number(value));
		}
	}
	if (given.length > 0 || shape.text >= 0 !== (label !== undefined)) return undefined;
	const said = label === undefined ? undefined : textOf(label);
	if (label !== undefined && said === undefined) return undefined;
	return { kind: "operation", name: shape.name, args: values, ...(said === undefined ? {} : { text: said }), ...base };
}

function textOf(label: string): string | undefined {
	try {
		const said: unknown = JSON.parse(label);
		return typeof said === "string" ? said : undefined;
	} catch {
		return undefined;
	}
}

function headerOf(line: string, where: string): TraceHeader {
	return decodeHeader(Buffer.from(line.slice(HEADER_MARK.length).trim(), "base64"), where).header;
}

/** @throws BadInputError at a line that is no record, unless lenient */
export async function importRecords(path: string, sink: RecordSink, lenient: boolean): Promise<TraceHeader> {
	const digest: SourceDigest = { name: "", sha256: "" };
	let header: TraceHeader | undefined;
	let damaged = 0;
	const take = ({ text, number, complete }: Line): void => {
		const where = `${path}, line ${number}`;
		if (text.startsWith(HEADER_MARK)) {
			if (header !== undefined) throw new BadInputError("a second header: two texts put end to end", { where });
			header = headerOf(text, where);
			return;
		}
		if (text.startsWith("#") || text.trim() === "") return;
		const record = complete ? recordOf(text) : undefined;
		try {
			if (record === undefined) throw new RangeError(complete ? "no record" : "cut off");
			if (isObservation(record)) sink.observe(record);
			else sink.cause(record);
		} catch (reason) {
			// What the writer does not take: a number that is out of its bounds.
			if (!(reason instanceof RangeError)) throw reason;
			damaged++;
			if (!lenient)
				throw new BadInputError(`a damaged line: ${reason.message}: ${text.trim().slice(0, 100)}`, {
					where,
					hint: "--lenient leaves such lines out",
				});
		}
	};
	for await (const lines of readLines(path, digest)) for (const line of lines) take(line);
	const found = header ?? emptyHeader();
	if (damaged > 0) {
		found.losses.push({ name: "damaged", count: damaged });
		found.warnings.push(`${damaged} damaged lines were left out`);
	}
	return found;
}
