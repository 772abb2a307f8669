// What is left of captures that are cut off, or that anything was done to: with --lenient a trace that is valid, else one clear line. The larger
// runs are in salvage.ci.test.ts.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { DamagedEvents } from "../../src/import/damaged.js";
import { importSources } from "../../src/import/index.js";
import type { TracefsEvent } from "../../src/import/tracefs.js";
import { TraceWriter } from "../../src/trace/writer.js";
import { collector } from "../engine/traces.js";
import { asReport, asTracefs, SMALL_RUN_OPERATIONS, smallRun } from "./encode.js";
import { asPerfetto, asTraceDat, gzipped, PAGE_BYTES } from "./encodebinary.js";
import { failure, file, imported, operations } from "./sources.js";
import { SPOILED, spoiledEndsCleanly } from "./spoil.js";

const run = smallRun();
const anyEvent: TracefsEvent = { comm: "qemu", pid: 1, tgid: -1, cpu: 0, ns: 1, name: "", text: "" };
const many = Buffer.concat(Array.from({ length: 60 }, () => Buffer.from(asTracefs(run).slice(asTracefs(run).indexOf("       CPU")))));

describe("with --lenient", () => {
	it("a trace.dat whose last pages are cut off keeps its others, gzip'ed too", async () => {
		const whole = asTraceDat(run, { version: 6, compression: "none" });
		const cut = whole.subarray(0, whole.length - PAGE_BYTES - 100);
		for (const source of [cut, gzipped(cut)]) {
			expect((await failure(source)).what).toMatch(/the file is cut off/);
			const trace = await imported(source, { lenient: true });
			expect(trace.header.losses.find(({ name }) => name === "damaged")?.count).toBeGreaterThan(0);
			expect(operations(trace).vmexit).toBeGreaterThan(0);
		}
	});

	it.each([0, 2, 0x7fff_ffff])("a trace.dat that says of each CPU it has %d chunks, and has one", async (chunks) => {
		const source = asTraceDat(run, { version: 7, compression: "zlib", chunks });
		expect((await failure(source)).what).toMatch(/\d+ chunks do not fill their section|a chunk's size/);
		// Without any there is nothing left.
		if (chunks === 0) return;
		const trace = await imported(source, { lenient: true });
		expect(trace.header.losses.find(({ name }) => name === "damaged")?.count).toBeGreaterThan(0);
	});

	it("a gzip that is cut off keeps what comes before", async () => {
		const packed = gzipped(many);
		const cut = packed.subarray(0, packed.length - 40);
		expect((await failure(cut)).what).toMatch(/cannot be read to its end/);
		const trace = await imported(cut, { lenient: true });
		expect(trace.header.losses.find(({ name }) => name === "damaged")?.count).toBeGreaterThan(0);
		expect(operations(trace).vmexit).toBeGreaterThan(SMALL_RUN_OPERATIONS.vmexit);
	});
});

describe("a trace", () => {
	it("is the same whatever the capture's folder is called", async () => {
		const content = asPerfetto(run, "generic", "none");
		const written = async (path: string): Promise<string> => {
			const { sink, bytes } = collector();
			const writer = new TraceWriter(sink);
			const header = await importSources({ sources: [path], lenient: false }, writer);
			for (const source of header.sources) source.name = "";
			expect(header.warnings.join()).toMatch(/the capture shows no symbols/);
			writer.finish(header);
			return createHash("sha256").update(bytes()).digest("hex");
		};
		expect(await written(file(content))).toBe(await written(file(content)));
	});
});

describe("the kernel of a distribution that takes later code into it", () => {
	it("is told by what its events show", async () => {
		const text = asReport(run, false).replace("cpus=2\n", "cpus=2\n uname: Linux host 5.14.0-427.13.1.el9_4.x86_64\n");
		const { header } = await imported(text);
		expect(header.kernel).toBe("5.14.0-427.13.1.el9_4.x86_64");
		expect(header.strategyEvidence.at(-1)).toMatch(/inferred, since 5\.14\.0-427\S* has parts of later kernels/);
		// Another release of that number has none.
		const stock = await failure(text.replace(".el9_4.x86_64", "-generic"));
		expect(stock.what).toMatch(/does not fit its kernel: kvm_page_fault with its vCPU/);
	});
});

describe("hosts that are out of the ordinary", () => {
	it("delete a memslot of KVM's own, which has no address", () => {
		const event = (text: string): TracefsEvent => ({ ...anyEvent, name: "kvm_set_memory_region", text });
		const damaged = new DamagedEvents(true, "here");
		const gone = "kvm=0xffffc90000a3d000 slot=0x1ff flags=0x0 gpa=0x0 size=0x0 hva=0xdead000000000000";
		expect(damaged.accepts(event(gone))).toBe(true);
		expect(damaged.accepts(event(gone.replace("size=0x0", "size=0x1000")))).toBe(false);
	});

	it("have hundreds of CPUs, of which most record nothing", async () => {
		const empty = Array.from({ length: 900 }, (_, cpu) => `CPU ${cpu + 2} is empty\n`).join("");
		const trace = await imported(asReport(run, false).replace("cpus=2\n", `cpus=902\n${empty}`));
		expect(operations(trace).vmexit).toBe(SMALL_RUN_OPERATIONS.vmexit);
	});

	it("run ELRepo's kernel, which is the release that it says", async () => {
		const text = asReport(run, false).replace("cpus=2\n", "cpus=2\n uname: Linux host 6.1.90-1.el9.elrepo.x86_64\n");
		expect((await imported(text)).header.strategyEvidence.at(-1)).toMatch(/kernel profile 6\.1 \(found in the source/);
	});
});

describe("spoiled sources", () => {
	it.each(Object.keys(SPOILED))("%s", async (name) => {
		for (let seed = 0; seed < 8; seed++) await spoiledEndsCleanly(name, seed);
	});
});
