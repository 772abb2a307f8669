// Events at addresses that no machine has: damage where a number cannot be one, a wrong probe where a range cannot be one, and no word where a
// program or the kernel may well ask for it.
import { describe, expect, it } from "vitest";
import { asBpftrace, asReport, asTracefs, SMALL_RUN_OPERATIONS, smallRun } from "./encode.js";
import { asPerfetto, asTraceDat } from "./encodebinary.js";
import { failure, file, imported, importedSources, operations } from "./sources.js";

const run = smallRun();
const text = asTracefs(run);

/** The run with one field of the nth event of a name changed. */
const changed = (name: string, field: string, value: bigint, nth = 3): typeof run => {
	let seen = 0;
	return run.map((event) =>
		event.name !== name || seen++ !== nth
			? event
			: { ...event, fields: event.fields.map(([key, old, type]) => [key, key === field ? value : old, type] as const) },
	);
};

const KERNEL = 0xffff_f000_0000_1000n;
const NOT_CANONICAL = 0x0100_0000_0000_0000n;

describe("an address of a user's page that is none", () => {
	it.each([
		["in the kernel's half", KERNEL],
		["beyond five levels of page tables", NOT_CANONICAL],
		["the last one", 0xffff_ffff_ffff_ffffn],
	])("%s is refused in every format, and left out with --lenient", async (_name, value) => {
		const hurt = changed("wp_page_copy", "addr", value);
		const sources = [
			asTracefs(hurt),
			asReport(hurt, true),
			asBpftrace(hurt),
			asPerfetto(hurt, "generic", "none"),
			asPerfetto(hurt, "dynamic", "none"),
			asTraceDat(hurt, { version: 6, compression: "none" }),
		];
		for (const source of sources) {
			const error = await failure(source);
			expect(error.what).toMatch(/an event at an address that no process has: wp_page_copy/);
			expect(error.exitCode).toBe(3);
			const { header } = await imported(source, { lenient: true });
			expect(header.losses).toEqual([{ name: "damaged", count: 1 }]);
		}
	});

	it("of a memslot, though nothing follows it", async () => {
		const slot = (hva: string): string =>
			`        CPU 0/KVM-201     [001] .....    10.000500: kvm_set_memory_region: (__kvm_set_memory_region+0x0/0x100) kvm=0xffff888100000000 slot=0x0 flags=0x0 gpa=0x0 size=0x10000 hva=${hva}\n`;
		const head = text.indexOf("       CPU 0/KVM");
		const whole = (hva: string): string => `${text.slice(0, head)}${slot(hva)}${text.slice(head)}`;
		expect((await imported(whole("0x7f0000000000"))).header.losses).toEqual([]);
		expect((await failure(whole("0xffff800000000000"))).what).toMatch(/no process has: kvm_set_memory_region/);
	});
});

describe("a notifier range", () => {
	const start = (value: string): string => text.replace(/(mn_range_start: .*?start=)0x7f0000003000 end=0x7f0000004000/, `$1${value}`);

	it.each([
		["in the kernel's half", "0xfffffffffffff000 end=0xffffffffffffffff"],
		["of the last page", "0xfffffffffffff000 end=0x0"],
		["that ends before it begins", "0x7f0000003000 end=0x7f0000002000"],
		["beyond users' addresses", "0x800000003000 end=0x800000004000"],
		["from a page to the end of all", "0x7f0000003000 end=0xffffffffffffffff"],
	])("%s is an impossible one", async (_name, value) => {
		const error = await failure(start(value));
		expect(error.what).toMatch(/notifier ranges are impossible/);
		const trace = await imported(start(value), { lenient: true });
		expect(trace.header.losses).toEqual([{ name: "badRanges", count: 1 }]);
		expect(operations(trace).rangeStart).toBe(27);
	});

	it("of the whole address space is that of a process that ends, or of clear_refs", async () => {
		const line = (event: number, name: string): string =>
			`            ksmd-30     [000] .....    99.000000: mn_range_${name}: (__mmu_notifier_invalidate_range_${name}+0x0/0x100) mm=0xffff888100001000 start=0x0 end=0xffffffffffffffff flags=0x1 event=${event}\n`;
		for (const event of [0, 4]) {
			const trace = await imported(`${text}${line(event, "start")}${line(event, "end")}`);
			expect(trace.header.losses).toEqual([]);
			expect(operations(trace)).toMatchObject({ ...SMALL_RUN_OPERATIONS, rangeStart: 29, rangeEnd: 29 });
		}
	});
});

describe("a page fault of a program", () => {
	it("at the vsyscall page or a wild pointer is no damage", async () => {
		const fault = (at: number, address: string): string =>
			`            a.out-77     [000] .....    10.00000${at}: page_fault_user: address=${address} ip=0x401000 error_code=0x5\n`;
		const host = ["0x7f0000000000", "0xffffffffff600000", "0xdeadbeefdeadbeef"].map((address, at) => fault(at, address)).join("");
		const trace = await importedSources([file(`# tracer: nop\n#\n${host}`)]);
		expect(operations(trace)).toEqual({ hostFault: 1 });
		const together = await imported(`${text}${host.replaceAll("    10.", "    99.")}`);
		expect(together.header.losses).toEqual([]);
	});
});
