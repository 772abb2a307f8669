// The kernel's type data: offsets of members, also within unnamed structs, and bytes that are none.
import { existsSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KernelTypes } from "../../src/capture/btf.js";
import { btf } from "./hosts.js";

const HERE = "/sys/kernel/btf/vmlinux";

describe("type data", () => {
	const bytes = btf([
		{
			name: "range",
			members: [
				["mm", 0],
				["start", 8],
			],
		},
		{
			name: "fault",
			members: [
				[
					{
						name: "",
						members: [
							["vma", 0],
							["address", 24],
						],
					},
					8,
				],
				["flags", 48],
			],
		},
	]);
	const types = new KernelTypes(bytes);

	it("tells where members lie", () => {
		expect(types.offset("range", "start")).toBe(8);
		expect(types.offset("fault", "address")).toBe(32);
		expect(types.offset("fault", "flags")).toBe(48);
	});

	it("knows what it does not have", () => {
		expect(types.has("range")).toBe(true);
		expect(types.has("no_such")).toBe(false);
		expect(types.offset("range", "vma")).toBeUndefined();
		expect(types.offset("no_such", "mm")).toBeUndefined();
	});

	it("refuses what is none, and never hangs on what is damaged", () => {
		expect(() => new KernelTypes(new Uint8Array(0))).toThrow(RangeError);
		fc.assert(
			fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.nat(bytes.length), (at, value, cut) => {
				const damaged = Uint8Array.from(bytes).subarray(0, Math.max(cut, at + 1));
				damaged[at] = value;
				try {
					new KernelTypes(damaged).offset("fault", "address");
				} catch (error) {
					expect(error).toBeInstanceOf(RangeError);
				}
			}),
			{ numRuns: 2000 },
		);
	});

	it.skipIf(!existsSync(HERE))("reads that of the kernel here", () => {
		const kernel = new KernelTypes(readFileSync(HERE));
		expect(kernel.offset("vm_area_struct", "vm_mm")).toBeGreaterThan(0);
		expect(kernel.offset("mmu_notifier_range", "start")).toBeDefined();
	});
});
