// The index: found by the last nine bytes, right about its blocks, rebuilt where it is missing.
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { crc32c } from "../../src/trace/crc32c.js";
import { encodeFooter, IndexBuilder } from "../../src/trace/footer.js";
import { encodeFrame } from "../../src/trace/frame.js";
import { openTrace } from "../../src/trace/reader.js";
import { records } from "../../src/trace/records.js";
import { hasBit } from "../../src/trace/tally.js";
import { readAll, sample, sequenced, withIndex, writeTo, writeToMemory } from "./arbitraries.js";
import { agent, message, sealedBlock, sealedTrace, varints, words } from "./sealed.js";

const list = sample(2000);
let directory = "";
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), "mmtrace-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

it("tells each block's place, records, times, kinds and VMs", () => {
	const trace = openTrace(withIndex(list, { causesPerBlock: 300 }));
	const index = trace.storedIndex();
	const blocks = [...trace.blocks()];
	expect(index?.entries.map(({ offset }) => offset)).toEqual(blocks.map(({ offset }) => offset));
	for (const entry of index?.entries ?? []) {
		const [block] = trace.blocks(entry.offset);
		const found = [...records(trace, { blocks: [block] })].map(({ record }) => record);
		expect(found.length).toBe(entry.causes + entry.observations);
		const times = found.map(({ ns }) => ns ?? 0);
		expect(entry.firstNs).toBe(times[0]);
		expect(entry.lastNs).toBe(Math.max(...times));
		expect(hasBit(entry.causeKinds, 0)).toBe(found.some(({ kind }) => kind === "access"));
		expect(hasBit(entry.causeKinds, 7)).toBe(found.some((record) => record.kind === "operation" && record.name === "cow"));
		expect(hasBit(entry.observationKinds, 0)).toBe(found.some((record) => record.kind === "operation" && record.name === "vmexit"));
		for (const vm of [0, 1, 2]) expect(hasBit(entry.vms, vm)).toBe(found.some(({ agent }) => agent.kind === 1 && agent.vm === vm));
	}
	const cows = list.filter(({ record }) => record.kind === "operation" && record.name === "cow").length;
	expect(index?.totals?.get(7)).toBe(cows);
});

it("leads to any block, from where reading goes on", () => {
	const bytes = withIndex(list, { causesPerBlock: 300 });
	const trace = openTrace(bytes);
	const entry = trace.index().entries.find(({ firstSequence }) => firstSequence === 900);
	const rest = [...records(trace, { blocks: trace.blocks(entry?.offset), observations: false })];
	expect(rest).toEqual(sequenced(list).filter(({ sequence }, at) => !list[at].observation && sequence >= 900));
});

it("is rebuilt from the block headers where there is none", () => {
	const streamed = openTrace(writeToMemory(list, { causesPerBlock: 300 }));
	expect(streamed.storedIndex()).toBeUndefined();
	const stored = openTrace(withIndex(list, { causesPerBlock: 300 })).storedIndex();
	const plain = (entries = stored?.entries ?? []) =>
		entries.map(({ offset, firstSequence, causes, observations }) => ({ offset, firstSequence, causes, observations }));
	expect(plain([...streamed.index().entries])).toEqual(plain());
});

it("stays small: beyond its limit, neighbours become one entry", () => {
	const builder = new IndexBuilder();
	const blocks = (1 << 17) * 2 + 3;
	const header = { type: 1, codec: 0, storedLength: 1, rawLength: 1, events: 2, firstNs: 0, payloadCrc32c: 0 };
	for (let block = 0; block < blocks; block++) builder.add(block * 100, { ...header, firstSequence: block * 2 });
	const { entries } = builder.build();
	expect(entries.length).toBeLessThanOrEqual(1 << 17);
	expect(entries.reduce((sum, { causes }) => sum + causes, 0)).toBe(blocks * 2);
	for (const { offset, firstSequence } of entries) expect(offset).toBe(firstSequence * 50);
	expect(encodeFooter({ entries, totals: undefined }, 0).length).toBeLessThan(16 << 20);
});

it("and all offsets go beyond 2 GiB", () => {
	// Blocks of an unknown type, 32 MiB of a hole each, then one of causes: the file takes no room.
	const path = join(directory, "large.mmtrace");
	const hole = 32 << 20;
	const head = sealedTrace([]).slice(0, -9);
	const payload = message([1, 2], [2, agent(1)], [4, varints(0, 1)], [5, words(3, 4)]);
	const last = sealedBlock(payload, { events: 2 });
	const header = {
		type: 99,
		codec: 0,
		storedLength: hole,
		rawLength: hole,
		events: 0,
		firstSequence: 0,
		firstNs: 0,
		payloadCrc32c: crc32c(new Uint8Array(hole)),
	};
	const frame = encodeFrame(header);
	const builder = new IndexBuilder();
	const fd = openSync(path, "w");
	writeSync(fd, head);
	let at = head.length;
	for (let block = 0; block < 140; block++) {
		builder.add(at, header);
		writeSync(fd, frame, 0, frame.length, at);
		at += frame.length + hole;
	}
	builder.add(at, { ...header, type: 1, events: 2 });
	writeSync(fd, last, 0, last.length, at);
	const footer = encodeFooter(builder.build(), at + last.length);
	writeSync(fd, footer, 0, footer.length, at + last.length);
	closeSync(fd);
	expect(statSync(path).size).toBeGreaterThan(2 ** 32);

	expect(readAll(path).map(({ record }) => record.page)).toEqual([3, 4]);
	const trace = openTrace(path);
	const entry = trace.storedIndex()?.entries.at(-1);
	expect(entry?.offset).toBeGreaterThan(2 ** 32);
	const [block] = trace.blocks(entry?.offset);
	const target = new Uint8Array(1 << 16);
	expect(trace.readPayload(block, target)).toBe(payload.length);
	expect(target.slice(0, payload.length)).toEqual(payload);
	trace.close();
});

it("does not help where a file grows shorter while it is read: an error", () => {
	const path = join(directory, "short.mmtrace");
	writeTo(path, list, { causesPerBlock: 300 });
	const trace = openTrace(path);
	const blocks = [...trace.blocks()];
	const fd = openSync(path, "r+");
	ftruncateSync(fd, blocks[3].payloadOffset + 5);
	closeSync(fd);
	expect(() => trace.payload(blocks[3])).toThrow(/cut off after 3 whole blocks/);
	trace.close();
});
