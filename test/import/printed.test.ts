// A trace as text in the kernel's layout, and back: equal means every record, in order, with its time, and the header.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { importSources } from "../../src/import/index.js";
import { tracefsHead, tracefsLine } from "../../src/report/tracefstext.js";
import { openTrace } from "../../src/trace/reader.js";
import type { TraceRecord } from "../../src/trace/record.js";
import { records } from "../../src/trace/records.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { asTracefs, smallRun } from "./encode.js";
import { fixture, sourcesOf } from "./fixture.js";
import { failure, file, imported } from "./sources.js";

/** A file that a trace is written to. */
async function written(sources: Parameters<typeof importSources>[0]): Promise<{ path: string; digest: string }> {
	const path = file("");
	const writer = new TraceWriter(path);
	return { path, digest: writer.finish(await importSources(sources, writer)).digest };
}

function printed(path: string): string {
	const trace = openTrace(path);
	try {
		return [tracefsHead(trace.header), ...[...records(trace)].map(({ record }) => tracefsLine(record)), ""].join("\n");
	} finally {
		trace.close();
	}
}

const LACKEY = " S 1ffeffe70,8\n L 1ffeffe70,8\nI  4000,3\n M 500010,4\n".repeat(50);

describe("a printed trace", () => {
	it("of a capture with and without its access log, and of a stream, is the same file again", async () => {
		const { trace, access, stats } = sourcesOf("stock-tiny");
		for (const sources of [
			{ sources: [trace], access, stats, lenient: false },
			{ sources: [file(asTracefs(smallRun()))], lenient: false },
			{ sources: [file(LACKEY)], lenient: false },
		]) {
			const before = await written(sources);
			const text = printed(before.path);
			const after = await written({ sources: [file(text)], lenient: false });
			expect(after.digest).toBe(before.digest);
			expect(printed(after.path)).toBe(text);
			const packed = await written({ sources: [file(gzipSync(text))], lenient: false });
			expect(readFileSync(packed.path)).toEqual(readFileSync(before.path));
		}
	});

	it("has a line for each record, whatever a mark says", async () => {
		const agent = { kind: 3, vm: 0, vcpu: 0, mm: 0, thread: 0 } as const;
		await fc.assert(
			fc.asyncProperty(fc.string({ unit: "binary", maxLength: 200 }), fc.nat(2 ** 40), async (text, ns) => {
				const record: TraceRecord = { kind: "operation", name: "mark", agent, page: 0, args: [1, 2, 0], ns, text };
				const content = `${tracefsHead((await imported(asTracefs(smallRun()))).header)}\n${tracefsLine(record)}\n`;
				expect((await imported(content)).causes).toEqual([record]);
			}),
			{ numRuns: 20 },
		);
	});

	it("that is damaged ends in one line, or is counted", async () => {
		const text = printed(`${fixture("../stock-tiny.mmtrace")}`.replace(/\/$/, ""));
		const lines = text.split("\n");
		const hurt = [...lines.slice(0, 50), lines[50]?.replace("=0x", "=0y") ?? "", ...lines.slice(51)].join("\n");
		expect((await failure(hurt)).message).toMatch(/a damaged line: no record: .* \(.*, line 51\)/);
		const trace = await imported(hurt, { lenient: true });
		expect(trace.header.losses).toEqual([{ name: "damaged", count: 1 }]);
		expect(trace.causes.length + trace.observations.length).toBe(lines.filter((line) => line.includes(": mmreplay_")).length - 1);
		expect((await failure(text.slice(0, -20))).message).toMatch(/cut off/);
		expect((await failure(text.replace("# mmreplay records 1 ", "# mmreplay records 1 AAAA"))).message).toMatch(/header/);
	});
});
