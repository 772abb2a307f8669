// The time line for Perfetto: what the reference model counted, event by event, and a file that protoc knows every field of.
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { COUNTER_PATHS, counterIndex } from "../../src/counters.js";
import { DEFAULT_MACHINE } from "../../src/machine/machine.js";
import { perfettoTrace } from "../../src/report/perfetto/timeline.js";
import { findStrategy } from "../../src/strategies/index.js";
import type { Strategy } from "../../src/strategies/steps.js";
import { openTrace } from "../../src/trace/reader.js";
import { mmreplay } from "../cli/process.js";
import { fixture, withFolder } from "../cli/traces.js";

const strategies = ["drop", "fix", "establish-map"].map(findStrategy).filter((one): one is Strategy => one !== undefined);
const compiler = "protoc";
const missing = spawnSync(compiler, ["--version"]).error !== undefined;
const docs = fileURLToPath(new URL("../../docs", import.meta.url));

function written(name: string): { bytes: Buffer; counters: BigUint64Array[] } {
	const trace = openTrace(fixture(name));
	const parts: Uint8Array[] = [];
	try {
		const counters = perfettoTrace(trace, trace.header, { strategies, machine: DEFAULT_MACHINE, check: true }, (bytes) =>
			parts.push(bytes.slice()),
		);
		return { bytes: Buffer.concat(parts), counters };
	} finally {
		trace.close();
	}
}

describe("the time line", () => {
	it("counts what the engine counts", async () => {
		const { counters } = written("fix-tiny");
		const ended = await mmreplay(["compare", fixture("fix-tiny"), "--json", "--strategies", "drop,fix,establish-map"]);
		const { strategies: replayed } = JSON.parse(ended.stdout) as { strategies: { counters: { vmexits: number } }[] };
		expect(counters.map((one) => Number(one[counterIndex("vmexits")]))).toEqual(replayed.map((one) => one.counters.vmexits));
		expect(counters[0]).toHaveLength(COUNTER_PATHS.length);
	});

	it.skipIf(missing)("has only fields of Perfetto's schema, slices that close, flows that begin, and an instant for each vmexit", () => {
		const { bytes, counters } = written("stock-tiny");
		const text = execFileSync(compiler, ["--decode", "perfetto.protos.Trace", "-I", docs, "perfetto.proto"], {
			input: bytes,
			maxBuffer: 1 << 28,
		}).toString();
		expect(text).not.toMatch(/^\s*\d+[:{ ]/m);
		const count = (pattern: RegExp): number => [...text.matchAll(pattern)].length;
		expect(count(/^ {4}type: 1$/gm)).toBe(count(/^ {4}type: 2$/gm));
		const ids = (field: string): string[] => [...text.matchAll(new RegExp(`^ {4}${field}: (\\d+)$`, "gm"))].map(([, id]) => id ?? "");
		const begun = new Set(ids("flow_ids"));
		const ended = ids("terminating_flow_ids");
		expect(ended.length).toBeGreaterThan(10);
		expect(ended.filter((id) => !begun.has(id))).toEqual([]);
		const category = /event_categories \{\s+iid: (\d+)\s+name: "vmexit"/.exec(text)?.[1];
		const exits = count(new RegExp(`^ {4}category_iids: ${category}$`, "gm"));
		expect(exits).toBe(counters.reduce((sum, one) => sum + Number(one[counterIndex("vmexits")]), 0));
		// Everything that is counted is there: as many instants, or their counts.
		const sumOf = (track: string, path: string): void => {
			const expected = counters.reduce((sum, one) => sum + Number(one[counterIndex(path)]), 0);
			const uuids = [...text.matchAll(/track_descriptor \{\s+uuid: (\d+)\s+name: "([^"]*)"/g)].filter(([, , name]) => name === track);
			const packets = text.split(/^packet \{$/m).filter((packet) => uuids.some(([, uuid]) => packet.includes(`    track_uuid: ${uuid}\n`)));
			const counted = packets.map((packet) => Number(/uint_value: (\d+)/.exec(track === "zaps" ? "" : packet)?.[1] ?? 1));
			expect(
				counted.reduce((sum, one) => sum + one, 0),
				track,
			).toBe(expected);
		};
		sumOf("guest TLB flushes", "flush.guestTlb");
		sumOf("retries", "vmexitsRetried");
		sumOf("zaps", "spteZapped");
		// Written again by the published schema it is the same file.
		const again = execFileSync(compiler, ["--encode", "perfetto.protos.Trace", "-I", docs, "perfetto.proto"], {
			input: text,
			maxBuffer: 1 << 28,
		});
		const decoded = execFileSync(compiler, ["--decode", "perfetto.protos.Trace", "-I", docs, "perfetto.proto"], {
			input: again,
			maxBuffer: 1 << 28,
		});
		expect(decoded.toString()).toBe(text);
	});

	it("is written by compare --perfetto, of one trace", () =>
		withFolder(async (folder) => {
			const file = join(folder, "t.pftrace");
			const ended = await mmreplay(["compare", fixture("stock-tiny"), "--perfetto", file, "--strategies", "drop,fix,establish-map"]);
			expect(ended.stderr).toBe("");
			expect(readFileSync(file).equals(written("stock-tiny").bytes)).toBe(true);
			const two = await mmreplay(["compare", fixture("stock-tiny"), fixture("fix-tiny"), "--perfetto", file]);
			expect(two.status).toBe(2);
		}));
});
