// Damaged Perfetto traces: what is damaged ends the import, and with --lenient costs itself alone.
import { deflateSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { SMALL_RUN_OPERATIONS, smallRun } from "./encode.js";
import { asPerfetto, bytes, rawZstd } from "./encodebinary.js";
import { failure, imported, operations } from "./sources.js";

const run = smallRun();
const plain = asPerfetto(run, "generic", "none");

/** Places of a trace's packets. */
function packets(trace: Buffer): { at: number; end: number }[] {
	const found = [];
	for (let at = 0; at < trace.length; ) {
		let length = 0;
		let end = at + 1;
		for (let shift = 0; ; shift += 7) {
			const byte = trace[end++] ?? 0;
			length |= (byte & 127) << shift;
			if (byte < 128) break;
		}
		found.push({ at, end: end + length });
		at = end + length;
	}
	return found;
}

async function lenient(content: Buffer): Promise<{ damaged: number; vmexits: number }> {
	expect((await failure(content)).exitCode).toBeGreaterThanOrEqual(3);
	const trace = await imported(content, { lenient: true });
	return { damaged: trace.header.losses.find(({ name }) => name === "damaged")?.count ?? 0, vmexits: operations(trace).vmexit ?? 0 };
}

describe("with --lenient", () => {
	it("an event that cannot be walked is left out alone", async () => {
		const hurt = Buffer.from(plain);
		const at = hurt.indexOf("fault_address", hurt.indexOf("kvm_page_fault", hurt.length >> 1));
		// The name of a field becomes longer than its message.
		hurt[at - 1] = 120;
		expect(await lenient(hurt)).toEqual({ damaged: 1, vmexits: SMALL_RUN_OPERATIONS.vmexit - 1 });
	});

	it("noise between packets is passed over", async () => {
		const places = packets(plain);
		const middle = places[places.length >> 1]?.at ?? 0;
		const noise = Buffer.from([0, 0x0a, 0xff, 0xff, 0xff, 0x1f, 7, 0x0a, 3, 1, 1, 1, 0xfe]);
		const hurt = Buffer.concat([plain.subarray(0, middle), noise, plain.subarray(middle)]);
		const { damaged, vmexits } = await lenient(hurt);
		expect(damaged).toBeGreaterThan(0);
		expect(vmexits).toBe(SMALL_RUN_OPERATIONS.vmexit);
	});

	it("a length that lies costs its packet", async () => {
		const places = packets(plain);
		const { at = 0 } = places[places.length >> 1] ?? {};
		for (const lie of [0x7f, 0x01]) {
			const hurt = Buffer.from(plain);
			hurt[at + 2] = lie;
			const { damaged, vmexits } = await lenient(hurt);
			expect(damaged).toBeGreaterThan(0);
			expect(vmexits).toBeGreaterThan(SMALL_RUN_OPERATIONS.vmexit / 2);
		}
	});

	it("packets whose packing is damaged are left out", async () => {
		const [first, ...others] = packets(plain);
		const kept = Buffer.concat([plain.subarray(0, first?.end), ...others.map(({ at, end }) => plain.subarray(at, end))]);
		const packing = deflateSync(Buffer.alloc(4096));
		const broken = rawZstd(Buffer.from("hello"));
		broken[broken.length - 6] = 0xff;
		for (const packed of [bytes(50, packing), bytes(50, packing.subarray(0, 12)), bytes(133, broken), bytes(50, Buffer.from("x"))]) {
			const { damaged, vmexits } = await lenient(Buffer.concat([kept, bytes(1, packed)]));
			expect(damaged).toBe(1);
			expect(vmexits).toBe(SMALL_RUN_OPERATIONS.vmexit);
		}
	});

	it("a trace that is cut off keeps what it has", async () => {
		const { damaged, vmexits } = await lenient(plain.subarray(0, plain.length - 100));
		expect(damaged).toBe(1);
		expect(vmexits).toBeGreaterThan(SMALL_RUN_OPERATIONS.vmexit / 2);
	});
});
