// Memslots that a capture does not record: inferred with their evidence, refused where they contradict themselves, or given by hand.
import { describe, expect, it } from "vitest";
import { readMemslots } from "../../src/import/knownvm.js";
import type { OperationRecord } from "../../src/trace/record.js";
import { asTracefs, smallRun } from "./encode.js";
import { failure, file, type ImportedSources, imported, operations } from "./sources.js";

const run = smallRun();

/** [first hva page, slot, as, gfn, pages] of each memslot. */
const slots = ({ causes }: ImportedSources): number[][] =>
	causes
		.filter((record): record is OperationRecord => record.kind === "operation" && record.name === "memslot")
		.map((record) => [record.page, ...record.args.slice(0, 4)]);

describe("inferred memslots", () => {
	it("stand on zaps of one gfn in a range of one page, and say so", async () => {
		const trace = await imported(asTracefs(run));
		expect(slots(trace)).toEqual([[0x7f0000000, 0, 0, 0, 16]]);
		expect(trace.header.warnings.join()).toMatch(
			/memslots of vm 0 \(task 201\) are inferred: gpa 0x0-0x10000 at hva 0x7f0000000000: 16 pages by their zaps/,
		);
	});

	it("stand on faults and their copies alone where SPTE changes are not recorded", async () => {
		const blind = run.filter((event) => event.name !== "kvm_tdp_mmu_spte_changed");
		const trace = await imported(asTracefs(blind));
		expect(slots(trace)).toEqual([[0x7f0000000, 0, 0, 0, 16]]);
		expect(trace.header.warnings.join()).toMatch(/SPTE changes are not recorded/);
		expect(operations(trace)).toMatchObject({ fault: 40, cow: 4, ksmMerge: 16 });
	});

	it("that contradict themselves are an error, and with --lenient the likelier page", async () => {
		const moved = run.map((event) =>
			event.comm === "CPU 0/KVM"
				? {
						...event,
						fields: event.fields.map(
							([name, value, type]) =>
								[name, name === "start" || name === "end" || name === "addr" ? value + 0x1000_0000n : value, type] as const,
						),
					}
				: event,
		);
		const error = await failure(asTracefs(moved));
		expect(error.what).toMatch(/4 guest pages have more than one host page/);
		expect(error.hint).toMatch(/--memslots FILE/);
		expect((await imported(asTracefs(moved), { lenient: true })).header.warnings.join()).toMatch(/4 guest pages have more than one/);
	});

	it("need something to stand on", async () => {
		const bare = run.filter((event) => event.name === "kvm_page_fault" || event.name.startsWith("ksm_"));
		const error = await failure(asTracefs(bare));
		expect(error.what).toMatch(/nothing tells which VM|not recorded and nothing in the capture tells them/);
	});

	it("leave devices out: pages that fault and never get an entry", async () => {
		const vga =
			"       CPU 0/KVM-201     [001] .....    10.020500: kvm_page_fault: vcpu 0 rip 0x9 address 0x0000000000005008 error_code 0x10000000f\n";
		const without = run.filter(
			(event) =>
				!event.fields.some(([name, value]) => name === "fault_address" && value >> 12n === 5n) &&
				!event.fields.some(([name, value]) => name === "gfn" && value === 5n),
		);
		const trace = await imported(asTracefs(without) + vga);
		expect(slots(trace).map(([page, , , gfn, pages]) => [page, gfn, pages])).toEqual([
			[0x7f0000000, 0, 5],
			[0x7f0000006, 6, 10],
		]);
		expect(operations(trace).mmio).toBe(1);
	});
});

describe("memslots by hand", () => {
	it("in the layout of slots.txt, or with sizes", async () => {
		const layout = file(
			[
				"# a comment",
				"vm0 pid 201 mm 0xffff888100001000",
				"  slot 0 gpa 0x000000000 - 0x000010000 hva 0x7f0000000000 - 0x7f0000010000 flags 0x0",
				"  slot 65537 gpa 0x20000 hva 0x7f1000000000 size 0x1000 flags 0x2",
				"vm1 pid 9 tasks 10,11",
				"  slot 0 gpa 0x0 hva 0x7e0000000000 size 0x1000",
			].join("\n"),
		);
		const vms = await readMemslots(layout);
		expect(vms).toMatchObject([
			{
				vm: 0,
				pid: 201,
				mm: Number(BigInt.asIntN(64, 0xffff888100001000n)),
				tasks: [],
				slots: [
					{ slot: 0, as: 0, gfn: 0, pages: 16, flags: 0 },
					{ slot: 1, as: 1, gfn: 32, pages: 1, flags: 2 },
				],
			},
			{ vm: 1, pid: 9, mm: 0, tasks: [10, 11], slots: [{ pages: 1 }] },
		]);
		const trace = await imported(asTracefs(run), { memslots: layout });
		expect(slots(trace)).toHaveLength(3);
		expect(operations(trace)).toMatchObject({ vmexit: 40, ksmMerge: 16, cow: 4 });
		expect(trace.header.warnings.join()).not.toMatch(/inferred/);
	});

	it.each([
		["a slot before any vm", "slot 0 gpa 0x0 hva 0x1000 size 0x1000", /a slot before any vm/],
		["lengths that differ", "vm0 pid 1\nslot 0 gpa 0x0 - 0x2000 hva 0x1000 - 0x2000", /differ in length/],
		["no length", "vm0 pid 1\nslot 0 gpa 0x0 hva 0x1000", /without its length/],
		["half pages", "vm0 pid 1\nslot 0 gpa 0x10 hva 0x1000 size 0x1000", /not made of whole pages/],
		["a vm twice", "vm0 pid 1\nslot 0 gpa 0x0 hva 0x1000 size 0x1000\nvm0 pid 2", /vm 0 twice/],
		["a vm without slots", "vm0 pid 1", /no slots of vm 0/],
		["nothing", "\n", /no vm in the file/],
		["something else", "vm0 pid 1\nmemslot: yes", /neither a vm nor a slot/],
		["tasks that are none", "vm0 pid 1 tasks a,b\nslot 0 gpa 0x0 hva 0x1000 size 0x1000", /tasks are a list/],
	])("%s", async (_name, text, what) => {
		await expect(readMemslots(file(text))).rejects.toThrow(what);
	});
});
