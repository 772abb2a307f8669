// KVM's host on the command line: what a trace records, what a replay assumes, and what is said of both.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostOf, type RecordedHost } from "../../src/trace/kvmhost.js";
import { mmreplay } from "./process.js";
import { fixture, GUEST, MM, memslot, withFolder, writeTrace } from "./traces.js";

const TRACE = fixture("stock-tiny");

interface Compared {
	readonly host: unknown;
	readonly fidelity: { readonly exact: boolean };
	readonly strategies: { readonly name: string; readonly counters: Record<string, number> }[];
}

async function compared(...args: string[]): Promise<Compared> {
	const ended = await mmreplay(["compare", "--json", ...args]);
	expect(ended.stderr).toBe("");
	return JSON.parse(ended.stdout) as Compared;
}

const countersOf = (run: Compared, name: string): Record<string, number> => run.strategies.find((one) => one.name === name)?.counters ?? {};

describe("the host on the command line", () => {
	it("is a current Intel one unless told; without A/D bits it makes each SPTE that fix kept exit to the fast path; the trace is held against its own host all the same", async () => {
		const [own, noAd] = await Promise.all([compared(TRACE), compared(TRACE, "--no-ad")]);
		expect(own.host).toEqual({ mmu: "tdp", eptAd: true, pml: true });
		expect(noAd.host).toEqual({ mmu: "tdp", eptAd: false, pml: false });
		const fix = countersOf(noAd, "fix");
		expect(fix.vmexitsFast).toBeGreaterThan(0);
		expect((fix.vmexits ?? 0) - (fix.vmexitsFast ?? 0)).toBe(countersOf(own, "fix").vmexits);
		expect(countersOf(noAd, "drop").vmexits).toBe(countersOf(own, "drop").vmexits);
		expect([own.fidelity.exact, noAd.fidelity.exact]).toEqual([true, true]);
	});

	it("with the legacy MMU prefetches, and takes mmu_lock at faults", async () => {
		const [own, legacy] = await Promise.all([compared(TRACE), compared(TRACE, "--mmu", "legacy")]);
		const [drop, before] = [countersOf(legacy, "drop"), countersOf(own, "drop")];
		expect(drop.sptePrefetched).toBeGreaterThan(0);
		expect(drop.vmexits).toBeLessThan(before.vmexits ?? 0);
		expect(drop.mmuLockWrite).toBe((before.mmuLockWrite ?? 0) + (drop.vmexits ?? 0));
		expect(legacy.fidelity.exact).toBe(true);
	});

	it("as told to fidelity is the captured one, and then the trace does not fit it", async () => {
		const ended = await mmreplay(["fidelity", TRACE, "--mmu", "legacy", "--json"]);
		expect(ended.status).toBe(1);
		expect((JSON.parse(ended.stdout) as { traces: { host: unknown }[] }).traces[0]?.host).toEqual({
			mmu: "legacy",
			eptAd: true,
			pml: true,
		});
	});

	it("is recorded in a trace, shown by info, and assumed by a replay", async () => {
		await withFolder(async (folder) => {
			const path = join(folder, "t.mmtrace");
			const host: RecordedHost = { mmu: "legacy", eptAd: false };
			const aged = { kind: "operation", name: "age", agent: MM, page: 256, args: [8, 0] } as const;
			const access = { kind: "access", access: 0, agent: GUEST, page: 1 } as const;
			writeTrace(path, { causes: [memslot(8), access, aged, access], header: { access: "complete", host } });
			const info = await mmreplay(["info", path, "--json"]);
			expect((JSON.parse(info.stdout) as { host: unknown; causes: unknown }).host).toEqual(host);
			const run = await compared(path);
			expect([run.host, countersOf(run, "drop").vmexitsFast]).toEqual([{ mmu: "legacy", eptAd: false, pml: false }, 1]);
		});
	});

	it.each([
		[["compare", TRACE, "--mmu", "shadow"], "--mmu"],
		[["replay", TRACE, "--no-ad", "--pml"], "--pml"],
	])("mmreplay %j is refused in one line", async (args, where) => {
		const ended = await mmreplay(args);
		expect([ended.status, ended.stdout]).toEqual([2, ""]);
		expect(ended.stderr.split("\n")[0]).toContain(where);
	});
});

describe("hostOf", () => {
	it("believes the first who tells a part, and knows no page-modification logging without A/D bits", () => {
		expect(hostOf({ mmu: undefined }, { mmu: "legacy", pml: false })).toEqual({ mmu: "legacy", eptAd: true, pml: false });
		expect(hostOf({ eptAd: false }, { eptAd: true, pml: true })).toEqual({ mmu: "tdp", eptAd: false, pml: false });
		expect(hostOf({ eptAd: true }, { eptAd: false, pml: true })).toEqual({ mmu: "tdp", eptAd: true, pml: true });
	});
});
