// Lines read as bytes say the same as lines read as text: every line of real captures, and damaged copies of them.
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadInputError } from "../../src/errors.js";
import { DamagedEvents } from "../../src/import/damaged.js";
import { type EventBatch, WIDTHS } from "../../src/import/event.js";
import { openSource, ordered, TEXT_LAYOUTS } from "../../src/import/formats.js";
import { Intake } from "../../src/import/intake.js";
import { NO_DEFINITIONS } from "../../src/import/probes.js";
import { Recogniser } from "../../src/import/recognise.js";
import { Scout } from "../../src/import/scout.js";
import type { EventSource } from "../../src/import/source.js";
import { type TextLayout, textSource } from "../../src/import/textsource.js";
import { asLatency, asPerf, asReport, asTracefs, smallRun } from "./encode.js";
import { fixture } from "./fixture.js";
import { file } from "./sources.js";

interface Taken {
	readonly events: unknown[];
	readonly failed: boolean;
	readonly warnings: string[];
	readonly resolutionNs: number;
	readonly skipped: unknown[];
	readonly signs: unknown;
}

async function eventsOf(source: EventSource, lenient: boolean): Promise<Taken> {
	const recogniser = new Recogniser(NO_DEFINITIONS, "here");
	const scout = new Scout(null);
	const { facts, batches } = source.take(new Intake(recogniser, scout, new DamagedEvents(lenient, "here")));
	const events: unknown[] = [];
	const keep = (batch: EventBatch): void =>
		batch.each((event) => {
			scout.look(event);
			const { code, ns, pid, tgid, comm, v, text } = event;
			events.push([code, ns, pid, tgid, comm, [...v].slice(0, WIDTHS[code]), text]);
		});
	try {
		for await (const batch of batches) keep(batch);
	} catch (reason) {
		if (!(reason instanceof BadInputError)) throw reason;
		// Of several errors in one block, bytes find the first one first and text all bad lines before bad events.
		return { events: [], failed: true, warnings: [], resolutionNs: 0, skipped: [], signs: null };
	}
	const skipped = [...recogniser.unknown, ...recogniser.asked, ...recogniser.byName];
	return { events, failed: false, warnings: facts.warnings, resolutionNs: facts.resolutionNs, skipped, signs: scout.signs };
}

/** As bytes, and as text. */
async function both(content: string | Uint8Array, format: keyof typeof TEXT_LAYOUTS = "tracefs", lenient = true): Promise<[Taken, Taken]> {
	const path = file(content);
	const layout: TextLayout = TEXT_LAYOUTS[format];
	const text = textSource(path, { ...layout, fast: undefined }, lenient);
	const inOrder = format === "perf" || format.startsWith("bpftrace");
	return [await eventsOf(openSource(format, path, lenient), lenient), await eventsOf(inOrder ? ordered(text) : text, lenient)];
}

const tiny = (name: string): string => gunzipSync(readFileSync(`${fixture(name)}trace.txt.gz`)).toString("utf8");

describe("lines as bytes", () => {
	it.each(["stock-tiny", "linux-6.12-tiny"])("of %s say what their text says", async (name) => {
		const [bytes, text] = await both(tiny(name));
		expect(bytes).toEqual(text);
		expect(bytes.events.length).toBeGreaterThan(300);
	});

	it("of every layout of the kernel's own", async () => {
		const run = smallRun();
		for (const content of [asTracefs(run), asTracefs(run).replaceAll("\n", "\r\n"), asTracefs(run).trimEnd()]) {
			const [bytes, text] = await both(content);
			expect(bytes).toEqual(text);
		}
		for (const raw of [false, true]) {
			const [bytes, text] = await both(asReport(run, raw), "trace-cmd");
			expect(bytes).toEqual(text);
		}
	});

	it("of perf script, and damaged ones", async () => {
		const whole = Buffer.from(asPerf(smallRun()));
		const [bytes, text] = await both(whole, "perf");
		expect(bytes).toEqual(text);
		await fc.assert(
			fc.asyncProperty(
				fc.nat(whole.length - 1),
				fc.constantFrom(...Buffer.from("0x9f =:[]()-\n\t/\0")),
				fc.boolean(),
				async (at, byte, lenient) => {
					const content = Buffer.from(whole);
					content[at] = byte;
					const [hurt, read] = await both(content, "perf", lenient);
					expect(hurt).toEqual(read);
				},
			),
			{ seed: 4, numRuns: 60 },
		);
	});

	it("of bpftrace's recipe, and damaged ones", async () => {
		const pf = (at: number, comm: string): string =>
			`M ${1_000_000_000 + at * 1234} 1 77 ${78 + (at % 2)} ${comm} KVM_PF vcpu=${at % 2} rip=10ab gpa=${(at * 4096).toString(16)} ec=100000004`;
		const range = (at: number, name: string): string =>
			`M ${1_000_000_400 + at * 1234} 0 0 30 ksmd ${name} mm=ffff888100059b80 start=7f0000${at % 10}000 end=7f0000${(at % 10) + 1}000 flags=1 event=1`;
		const lines = Array.from({ length: 12 }, (_, at) => [
			pf(at, at % 3 === 0 ? "CPU 0/KVM" : "A B"),
			range(at, "MN_START"),
			range(at, "MN_END"),
		]).flat();
		const whole = Buffer.from(`# mmtrace 1 clock=monotonic\n${lines.join("\n")}\n@n: 4\n`);
		const [bytes, text] = await both(whole, "bpftrace");
		expect(bytes).toEqual(text);
		expect(bytes.events).toHaveLength(36);
		await fc.assert(
			fc.asyncProperty(
				fc.nat(whole.length - 1),
				fc.constantFrom(...Buffer.from("0x9f =:AM_-\n\t/\0")),
				fc.boolean(),
				async (at, byte, lenient) => {
					const content = Buffer.from(whole);
					content[at] = byte;
					const [hurt, read] = await both(content, "bpftrace", lenient);
					expect(hurt).toEqual(read);
				},
			),
			{ seed: 3, numRuns: 100, examples: [[1580, 0x20, false]] },
		);
	});

	it("of the latency format, and damaged ones", async () => {
		const whole = Buffer.from(asLatency(smallRun()));
		const report = asReport(smallRun(), false).replace(/\[00(\d)\]/g, "  $1d..1.");
		for (const content of [whole, report]) {
			const [bytes, text] = await both(content, "latency");
			expect(bytes).toEqual(text);
			expect(bytes.events).toHaveLength(smallRun().length);
		}
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.record({ at: fc.nat(whole.length - 1), byte: fc.constantFrom(...Buffer.from("0x9f =:.us+()-\n\t/\0")) }), {
					minLength: 1,
					maxLength: 20,
				}),
				fc.boolean(),
				async (edits, lenient) => {
					const content = Buffer.from(whole);
					for (const { at, byte } of edits) content[at] = byte;
					const [hurt, read] = await both(content, "latency", lenient);
					expect(hurt).toEqual(read);
				},
			),
			{ seed: 5, numRuns: 100 },
		);
	});

	it("of bpftrace's JSON, and damaged ones", async () => {
		const said = (text: string): string => JSON.stringify({ type: "printf", data: text }).replace('","', '", "').replaceAll('":"', '": "');
		const pf = (at: number, comm: string): string =>
			`M ${1_000_000_000 + at * 1234} 1 77 ${78 + (at % 2)} ${comm} KVM_PF vcpu=${at % 2} rip=10ab gpa=${(at * 4096).toString(16)} ec=100000004\n`;
		const lines = Array.from({ length: 20 }, (_, at) => said(pf(at, at % 3 === 0 ? 'CPU "0"\\' : "A B")));
		lines.push(said(`${pf(20, "A")}${pf(21, "A")}`), '{"type": "lost_events", "data": {"events": 3}}', "");
		const whole = Buffer.from(lines.join("\n"));
		const [bytes, text] = await both(whole, "bpftrace-json");
		expect(bytes).toEqual(text);
		expect(bytes.events).toHaveLength(22);
		await fc.assert(
			fc.asyncProperty(
				fc.nat(whole.length - 1),
				fc.constantFrom(...Buffer.from('0x9f =:AM_-\n\t/\0\\"{}')),
				fc.boolean(),
				async (at, byte, lenient) => {
					const content = Buffer.from(whole);
					content[at] = byte;
					const [hurt, read] = await both(content, "bpftrace-json", lenient);
					expect(hurt).toEqual(read);
				},
			),
			{ seed: 6, numRuns: 100 },
		);
	});

	it("with names that look like anything", async () => {
		const event = "kvm_page_fault: vcpu 0 rip 0x10 address 0x2000 error_code 0x4";
		const lines = [
			"a b-1-77 [000] d.... 1.5",
			"CPU 0/KVM-5 [001] 1.000001",
			"x[1]-3 (  12) [002] ..... 2.123456789",
			"ü-9 (-----) [003] .N. 3.1",
		];
		const [bytes, text] = await both(`${lines.flatMap((line) => [1, 2, 3].map(() => `  ${line}: ${event}`)).join("\n")}\n`);
		expect(bytes).toEqual(text);
		expect(bytes.events).toHaveLength(12);
	});

	it("and damaged ones are damaged either way", async () => {
		const whole = Buffer.from(tiny("stock-tiny").split("\n").slice(0, 150).join("\n"));
		const edit = fc.record({
			at: fc.nat(whole.length - 1),
			byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from("0x9f =:[]()-\n\t"))),
		});
		await fc.assert(
			fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 40 }), fc.boolean(), async (edits, lenient) => {
				const content = Buffer.from(whole);
				for (const { at, byte } of edits) content[at] = byte;
				const [bytes, text] = await both(content, "tracefs", lenient);
				expect(bytes).toEqual(text);
			}),
			{ seed: 3, numRuns: 100 },
		);
	});
});
