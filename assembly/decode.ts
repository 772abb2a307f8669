// An EventBlock (traces/mmtrace.proto) from the file's own bytes: the fields found, held against each other, and made columns that the event
// loop reads. `op` of one byte a record and fixed32 pages stay where they are; the others become 32-bit words in a buffer beside.
import { failure, refuse } from "./failure";
import { AGENT_SHIFT, Failure } from "./generated/constants";
import { enlarge, give, take } from "./heap";
import { allBelow, atEnd, bad, countVarints, cursor, readVarint, skipBytes, startReading, unzigzag, widenDeltas } from "./varint";

/** Fields of EventBlock by number. */
const enum Field {
	events = 1,
	agent = 2,
	strings = 3,
	op = 4,
	page = 5,
	pageDelta = 6,
	argument = 7,
	offset = 8,
	time = 9,
	position = 10,
}
// @ts-ignore: decorator
@inline
const LAST_FIELD: u32 = 10;

/** Who records speak of. The addresses are found when the first record of the block does. */
@unmanaged
export class Agent {
	/** A guest's vCPU once a record has spoken of it; else 0. */
	vcpu: usize;
	/** A host agent's thread, likewise. */
	thread: usize;
	/** Added to the pages of its records. */
	base: u64;
	kind: u32;
	vmId: u32;
	vcpuId: u32;
	mmId: u32;
	threadId: u32;
	/** Another engine replays it (shard.ts). */
	isForeign: bool;
}

// The columns of the block at hand.
export let events: u32 = 0;
/** Words (u32) instead of bytes. */
export let opWide: bool = false;
export let opAt: usize = 0;
export let pageAt: usize = 0;
export let argumentAt: usize = 0;
export let argumentEnd: usize = 0;
/** The column of times; 0 where the block has none. */
export let timeAt: usize = 0;
export let timeEnd: usize = 0;
/** The payload's first byte: failures are said to lie so many bytes behind it. */
export let payload: usize = 0;
let payloadEnd: usize = 0;
let payloadBytes: usize = 0;

export let agents: usize = 0;
let agentBytes: usize = 0;
export let agentCount: u32 = 0;
/** { address: u32 | bytes: u32 } each. */
let strings: usize = 0;
let stringBytes: usize = 0;
export let stringCount: u32 = 0;
let opWords: usize = 0;
let opWordBytes: usize = 0;
let pageWords: usize = 0;
let pageWordBytes: usize = 0;
/** First byte and end of each column by field number; 0 where it is not there. */
const chunks: usize = memory.data(<i32>((LAST_FIELD + 1) * 8));

export function resetDecode(): void {
	payload = 0;
	payloadBytes = 0;
	agents = 0;
	agentBytes = 0;
	strings = 0;
	stringBytes = 0;
	opWords = 0;
	opWordBytes = 0;
	pageWords = 0;
	pageWordBytes = 0;
	events = 0;
}

// @ts-ignore: decorator
@inline
export function agentAt(index: u32): Agent {
	return changetype<Agent>(agents + <usize>index * offsetof<Agent>());
}

// @ts-ignore: decorator
@inline
export function opOf(index: u32): u32 {
	return opWide ? load<u32>(opAt + ((<usize>index) << 2)) : load<u8>(opAt + index);
}

/** Take these columns instead: some of the block's records, `op` as wide as before. */
export function setColumns(count: u32, ops: usize, pages: usize): void {
	events = count;
	opAt = ops;
	pageAt = pages;
}

/** Records of [from, end) whose kind is in a set, given as bits. */
export function countOps(from: u32, end: u32, kinds: u32): u64 {
	return countIn(opAt, opWide, from, end, kinds);
}

/** The same of another column. */
export function countIn(ops: usize, wide: bool, from: u32, end: u32, kinds: u32): u64 {
	let found: u64 = 0;
	let index = from;
	if (ASC_FEATURE_SIMD && !wide) {
		// Each kind's bit as a byte.
		let members = i8x16.splat(0);
		for (let kind: u32 = 0; kind < 1 << AGENT_SHIFT; kind++) {
			const lane = i8x16.eq(i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), i8x16.splat(<i8>kind));
			if (((kinds >> kind) & 1) != 0) members = v128.or(members, lane);
		}
		for (; index + 16 <= end; index += 16) {
			const kind = v128.and(v128.load(ops + index), i8x16.splat(7));
			found += popcnt<u32>(i8x16.bitmask(i8x16.swizzle(members, kind)));
		}
	}
	for (; index < end; index++) {
		const op: u32 = wide ? load<u32>(ops + ((<usize>index) << 2)) : load<u8>(ops + index);
		found += (kinds >> (op & 7)) & 1;
	}
	return found;
}

// @ts-ignore: decorator
@inline
export function stringAt(index: u32): usize {
	return <usize>load<u32>(strings + ((<usize>index) << 3));
}

// @ts-ignore: decorator
@inline
export function stringLength(index: u32): u32 {
	return load<u32>(strings + ((<usize>index) << 3), 4);
}

/** Where a payload of so many bytes is to be written. Wide loads of its last bytes stay inside. */
export function reservePayload(bytes: usize): usize {
	if (bytes + 64 > payloadBytes) {
		if (payload != 0) give(payload, payloadBytes);
		payloadBytes = bytes + 64;
		payload = take(payloadBytes);
	}
	return payload;
}

/** False, with the failure noted, where the payload is not a block of `count` causes. The limits: entries of a table, bytes of a string. */
export function openBlock(bytes: u32, count: u32, maxEntries: u32, maxString: u32): bool {
	payloadEnd = payload + bytes;
	agentCount = 0;
	stringCount = 0;
	memory.fill(chunks, 0, (LAST_FIELD + 1) * 8);
	const announced = walkFields(maxEntries, maxString);
	if (failure != Failure.none) return false;
	if (announced != count) return refuse(Failure.events, announced, 0);
	events = count;
	return openOps() && openPages() && openRest();
}

// @ts-ignore: decorator
@inline
function chunkFrom(field: u32): usize {
	return <usize>load<u32>(chunks + ((<usize>field) << 3));
}

// @ts-ignore: decorator
@inline
function chunkTo(field: u32): usize {
	return <usize>load<u32>(chunks + ((<usize>field) << 3), 4);
}

// @ts-ignore: decorator
@inline
function offsetInPayload(address: usize): u32 {
	return <u32>(address - payload);
}

/** Walks the message; returns its `events`, or notes a failure. Unknown fields are skipped: a newer minor version may add some. */
function walkFields(maxEntries: u32, maxString: u32): u64 {
	let announced: u64 = 0xffff_ffff_ffff_ffff;
	startReading(payload, payloadEnd);
	while (!atEnd() && failure == Failure.none) {
		const at = offsetInPayload(cursor);
		const tag = readVarint();
		const field = <u32>min<u64>(tag >> 3, 0xffff_ffff);
		const isKnown = field <= LAST_FIELD;
		const wire = <u32>tag & 7;
		let length: u64 = 0;
		if (wire == 0) length = readVarint();
		else if (wire == 1) skipBytes(8);
		else if (wire == 5) skipBytes(4);
		else if (wire == 2) {
			length = readVarint();
			const from = cursor;
			skipBytes(length);
			if (bad == 0 && isKnown && field > <u32>Field.events) takeChunk(field, from, cursor, at, maxEntries, maxString);
		} else refuse(Failure.wireType, field, at);
		if (tag >> 32 != 0) refuse(Failure.tooWide, field, at);
		else if (bad != 0) refuse(bad, field, at);
		else if (isKnown && wire != (field == Field.events ? 0 : 2)) refuse(Failure.wireType, field, at);
		else if (field == Field.events) {
			if (announced != 0xffff_ffff_ffff_ffff) refuse(Failure.twice, field, at);
			announced = length;
		}
	}
	return announced;
}

function takeChunk(field: u32, from: usize, to: usize, at: u32, maxEntries: u32, maxString: u32): void {
	if (field == Field.agent) {
		takeAgent(from, to, at, maxEntries);
		startReading(to, payloadEnd);
	} else if (field == Field.strings) {
		if (stringCount >= maxEntries || to - from > <usize>maxString) {
			refuse(Failure.tableLimit, field, at);
			return;
		}
		const used = (<usize>stringCount) << 3;
		if (used + 8 > stringBytes) {
			const wanted = max<usize>(stringBytes * 2, 128);
			strings = enlarge(strings, stringBytes, wanted);
			stringBytes = wanted;
		}
		store<u32>(strings + used, <u32>from);
		store<u32>(strings + used, <u32>(to - from), 4);
		stringCount++;
	} else if (chunkFrom(field) != 0) refuse(Failure.twice, field, at);
	else {
		store<u32>(chunks + ((<usize>field) << 3), <u32>from);
		store<u32>(chunks + ((<usize>field) << 3), <u32>to, 4);
	}
}

/** An Agent message: five required 32-bit ids and a required base. */
function takeAgent(from: usize, to: usize, at: u32, maxEntries: u32): void {
	if (agentCount >= maxEntries) {
		refuse(Failure.tableLimit, Field.agent, at);
		return;
	}
	const used = <usize>agentCount * offsetof<Agent>();
	if (used + offsetof<Agent>() > agentBytes) {
		const wanted = max<usize>(agentBytes * 2, 16 * offsetof<Agent>());
		agents = enlarge(agents, agentBytes, wanted);
		agentBytes = wanted;
	}
	const agent = agentAt(agentCount);
	agent.vcpu = 0;
	agent.thread = 0;
	agent.isForeign = false;
	startReading(from, to);
	let seen: u32 = 0;
	let valid = true;
	while (!atEnd() && bad == 0) {
		const tag = readVarint();
		const field = <u32>min<u64>(tag >> 3, 31);
		const wire = <u32>tag & 7;
		if (field == 6 && wire == 1) {
			if (cursor + 8 <= to) agent.base = load<u64>(cursor);
			skipBytes(8);
		} else if (field >= 1 && field <= 5 && wire == 0) {
			const value = readVarint();
			if (value >> 32 != 0) valid = false;
			if (field == 1) agent.kind = <u32>value;
			else if (field == 2) agent.vmId = <u32>value;
			else if (field == 3) agent.vcpuId = <u32>value;
			else if (field == 4) agent.mmId = <u32>value;
			else agent.threadId = <u32>value;
		} else if (field <= 6) valid = false;
		else if (wire == 0) readVarint();
		else if (wire == 1) skipBytes(8);
		else if (wire == 5) skipBytes(4);
		else if (wire == 2) skipBytes(readVarint());
		else valid = false;
		if (!valid) break;
		seen |= 1 << field;
	}
	// A base is a multiple of 2^32, and a page beyond it stays a number of 53 bits.
	const base = agent.base;
	valid = valid && bad == 0 && (seen & 0b111_1110) == 0b111_1110 && agent.kind >= 1 && agent.kind <= 5;
	if (!valid || <u32>base != 0 || base >> 53 != 0) refuse(Failure.agent, agentCount, at);
	agentCount++;
}

/** The `op` column: bytes in place where no record has more than one, else words. Every record names an agent of the table. */
function openOps(): bool {
	const from = chunkFrom(Field.op);
	const to = chunkTo(Field.op);
	const at = offsetInPayload(from == 0 ? payloadEnd : from);
	if (<u32>(to - from) == events) {
		if (!allBelow(from, to, 128)) return refuse(Failure.continuation, Field.op, at);
		opWide = false;
		opAt = from;
		return agentCount >= 16 || checkAgents(from, to);
	}
	if (<u32>(to - from) < events || countVarints(from, to) != events) return refuse(Failure.columnLength, Field.op, at);
	const bytes = (<usize>events) << 2;
	if (bytes > opWordBytes) {
		if (opWords != 0) give(opWords, opWordBytes);
		opWords = take(bytes);
		opWordBytes = bytes;
	}
	opWide = true;
	opAt = opWords;
	startReading(from, to);
	for (let word = opWords; word < opWords + bytes; word += 4) {
		const op = readVarint();
		if (op >> 32 != 0) return refuse(Failure.tooWide, Field.op, offsetInPayload(cursor));
		if (<u32>(op >> AGENT_SHIFT) >= agentCount) return refuse(Failure.agentIndex, op >> AGENT_SHIFT, offsetInPayload(cursor));
		store<u32>(word, <u32>op);
	}
	if (bad != 0 || !atEnd()) return refuse(bad != 0 ? bad : <u32>Failure.columnLength, Field.op, offsetInPayload(cursor));
	return true;
}

/** One byte a record: the largest byte names the last agent. */
function checkAgents(from: usize, to: usize): bool {
	const limit = agentCount << AGENT_SHIFT;
	if (allBelow(from, to, limit)) return true;
	for (let at = from; at < to; at++) {
		if (load<u8>(at) >= limit) return refuse(Failure.agentIndex, load<u8>(at) >> AGENT_SHIFT, offsetInPayload(at));
	}
	return true;
}

/** The page column: fixed32 in place, or deltas made words. */
function openPages(): bool {
	const fixed = chunkFrom(Field.page);
	const delta = chunkFrom(Field.pageDelta);
	if (fixed != 0 && delta != 0) return refuse(Failure.pageColumns, Field.pageDelta, offsetInPayload(delta));
	if (fixed == 0 && delta == 0) return events == 0 || refuse(Failure.pageColumns, Field.page, 0);
	if (fixed != 0) {
		pageAt = fixed;
		if (chunkTo(Field.page) - fixed == (<usize>events) << 2) return true;
		return refuse(Failure.columnLength, Field.page, offsetInPayload(fixed));
	}
	const to = chunkTo(Field.pageDelta);
	if (countVarints(delta, to) != events) return refuse(Failure.columnLength, Field.pageDelta, offsetInPayload(delta));
	const bytes = (<usize>events) << 2;
	if (bytes > pageWordBytes) {
		if (pageWords != 0) give(pageWords, pageWordBytes);
		pageWords = take(bytes);
		pageWordBytes = bytes;
	}
	pageAt = pageWords;
	startReading(delta, to);
	const end = pageWords + bytes;
	let page: i64 = 0;
	for (let word = pageWords; word < end; ) {
		const next = widenDeltas(word, end, <u32>page);
		if (next != word) page = load<u32>(next - 4);
		const some = min<usize>(next + 16, end);
		for (word = next; word < some; word += 4) {
			page += unzigzag(readVarint());
			if (page < 0 || page > 0xffff_ffff) return refuse(Failure.pageRange, Field.pageDelta, offsetInPayload(cursor));
			store<u32>(word, <u32>page);
		}
	}
	if (bad != 0 || !atEnd()) return refuse(bad != 0 ? bad : <u32>Failure.columnLength, Field.pageDelta, offsetInPayload(cursor));
	return true;
}

/** Arguments and times are read as they are needed; offsets are not, but a block that has too few of them is damaged. */
function openRest(): bool {
	for (let field: u32 = Field.offset; field <= <u32>Field.time; field++) {
		const from = chunkFrom(field);
		if (from != 0 && countVarints(from, chunkTo(field)) != events) return refuse(Failure.columnLength, field, offsetInPayload(from));
	}
	const position = chunkFrom(Field.position);
	if (position != 0) return refuse(Failure.position, Field.position, offsetInPayload(position));
	argumentAt = chunkFrom(Field.argument);
	argumentEnd = chunkTo(Field.argument);
	timeAt = chunkFrom(Field.time);
	timeEnd = chunkTo(Field.time);
	return true;
}
