// One strategy in a Perfetto trace. The reference model replays it record by record, and what its counters grew by at a record is what happened there.
import { COUNTER_PATHS, counterIndex } from "../../counters.js";
import { type Machine, setsOf } from "../../machine/machine.js";
import { ReferenceModel } from "../../model/replay.js";
import type { Strategy } from "../../strategies/steps.js";
import { AgentKind, Point } from "../../trace/kinds.js";
import type { TraceHeader, TraceRecord } from "../../trace/record.js";
import type { PacketWriter } from "./packets.js";

const CAUSES = COUNTER_PATHS.flatMap((path, place) =>
	path.startsWith("vmexitsByCause.") ? [{ place, name: path.slice("vmexitsByCause.".length) }] : [],
);
const place = {
	vmexits: counterIndex("vmexits"),
	retried: counterIndex("vmexitsRetried"),
	flush: counterIndex("flush.guestTlb"),
	zapped: counterIndex("spteZapped"),
	installed: counterIndex("spteInstalled"),
	merges: counterIndex("ksmMerges"),
	breaks: counterIndex("cowBreaks"),
	lock: counterIndex("mmuLockWrite"),
	established: counterIndex("notifier.changePteEstablished"),
	violations: counterIndex("coherence.violations"),
} as const;

/** Pages of one operation that flows are drawn for. */
const MAX_FLOW_PAGES = 512;

/** Flows of all strategies have numbers of their own. */
export class FlowNumbers {
	#last = 0;
	next(): number {
		return ++this.#last;
	}
}

export class StrategyTracks {
	readonly #writer: PacketWriter;
	readonly #model: ReferenceModel;
	readonly #process: number;
	readonly #tracks = new Map<string, number>();
	readonly #counters = new Map<string, { track: number; last: number }>();
	readonly #flows: FlowNumbers;
	/** Flow of each zapped gfn that no fault has followed yet. */
	readonly #zapped = new Map<string, number>();
	/** Lane of each open window. */
	readonly #windows = new Map<number, number>();

	constructor(writer: PacketWriter, strategy: Strategy, machine: Machine, header: TraceHeader, flows: FlowNumbers) {
		this.#writer = writer;
		this.#flows = flows;
		const { l1, l2 } = machine.tlb;
		const tlb = { l1: { sets: setsOf(l1), ways: l1.ways }, l2: { sets: setsOf(l2), ways: l2.ways } };
		const { guestLevels, hostLevels } = machine;
		this.#model = new ReferenceModel({ strategy, tlb, guestLevels, hostLevels, copiesRecorded: header.copiesRecorded });
		this.#process = writer.process(`strategy ${strategy.name}`, strategy.title);
		this.#count("SPTEs present", 0, 0);
		this.#count("KSM merges minus COW breaks", 0, 0);
	}

	/** Replayed so far. */
	get counters(): BigUint64Array {
		return this.#model.world.counters;
	}

	replay(record: TraceRecord, sequence: number, ns: number): void {
		const { world } = this.#model;
		const before = world.counters.slice();
		const present = this.#presentPages(record);
		this.#model.replay(record, sequence);
		const grew = (at: number): number => Number((world.counters[at] ?? 0n) - (before[at] ?? 0n));
		this.#window(record, ns);
		const zapped = present.filter(({ vm, gfn }) => (world.vms.get(vm)?.root(0).peek(gfn)?.frame ?? null) === null);
		this.#operation(record, ns, grew, zapped);
		if (grew(place.vmexits) > 0) this.#exits(record, ns, grew);
		const flushes = grew(place.flush);
		if (flushes > 0)
			this.#writer.instant(this.#track("guest TLB flushes"), ns, "kvm_flush_remote_tlbs", "flush", { annotations: { count: flushes } });
		if (grew(place.violations) > 0) this.#writer.instant(this.#track("violations of coherence"), ns, "violation", "coherence");
		const total = (at: number): number => Number(world.counters[at] ?? 0n);
		this.#count("SPTEs present", ns, total(place.installed) - total(place.zapped));
		this.#count("KSM merges minus COW breaks", ns, total(place.merges) - total(place.breaks));
	}

	/** Pages of the guest that an operation may zap and that are mapped now. */
	#presentPages(record: TraceRecord): { vm: number; gfn: number }[] {
		if (record.kind !== "operation") return [];
		const { world } = this.#model;
		const mm = world.mms.get(record.agent.mm);
		if (mm === undefined || record.agent.kind === AgentKind.guest) return [];
		const pages = record.name === "zap" || record.name === "protect" || record.name === "invalidate" ? (record.args[2] ?? 1) : 1;
		const found: { vm: number; gfn: number }[] = [];
		for (const vm of world.vmsOf(mm)) {
			for (const run of vm.runs(record.page, Math.min(pages, MAX_FLOW_PAGES))) {
				if (run.as !== 0) continue;
				for (let { gfn } = run, end = gfn + run.pages; gfn < end; gfn++)
					if ((vm.root(0).peek(gfn)?.frame ?? null) !== null) found.push({ vm: vm.id, gfn });
			}
		}
		return found;
	}

	#operation(record: TraceRecord, ns: number, grew: (at: number) => number, zapped: readonly { vm: number; gfn: number }[]): void {
		if (record.kind !== "operation" || record.agent.kind === AgentKind.guest) return;
		const annotations = {
			page: record.page,
			"mmu_lock writes": grew(place.lock),
			"SPTEs zapped": grew(place.zapped),
			"SPTEs established": grew(place.established),
		};
		if (annotations["mmu_lock writes"] === 0 && annotations["SPTEs zapped"] === 0) return;
		this.#writer.instant(this.#track("operations"), ns, record.name, "operation", { annotations });
		for (const { vm, gfn } of zapped) {
			const flow = this.#flows.next();
			this.#zapped.set(`${vm}.${gfn}`, flow);
			this.#writer.instant(this.#track("zaps"), ns, `zap by ${record.name}`, "zap", { annotations: { gfn }, flow });
		}
	}

	/** One instant for each exit of the record, the first with the flow from its zap. */
	#exits({ agent, page }: TraceRecord, ns: number, grew: (at: number) => number): void {
		// A fault that was pending exits when a bracket ends, at a record of somebody else.
		const own = agent.kind === AgentKind.guest;
		const track = this.#track(own ? `vm${agent.vm} vcpu${agent.vcpu}: vmexits` : "vmexits at the end of a bracket");
		const key = `${agent.vm}.${page}`;
		let flowEnd = own ? this.#zapped.get(key) : undefined;
		if (flowEnd !== undefined) this.#zapped.delete(key);
		for (const { place: at, name } of CAUSES) {
			for (let left = grew(at); left > 0; left--) {
				this.#writer.instant(track, ns, name, "vmexit", { annotations: own ? { gfn: page } : {}, flowEnd });
				flowEnd = undefined;
			}
		}
		const retried = grew(place.retried);
		if (retried > 0) this.#writer.instant(this.#track("retries"), ns, "retried", "retry", { annotations: { count: retried } });
	}

	/** Windows that the trace holds apart are slices; those that overlap have lanes of their own. */
	#window(record: TraceRecord, ns: number): void {
		if (record.kind !== "operation" || record.name === "fault" || record.agent.kind === AgentKind.guest) return;
		const [point, window = 0] = record.args;
		if (!WINDOWED.has(record.name)) return;
		if (point === Point.begin) {
			const taken = new Set(this.#windows.values());
			let lane = 0;
			while (taken.has(lane)) lane++;
			this.#windows.set(window, lane);
			this.#writer.begin(this.#track(`bracket windows${lane === 0 ? "" : ` ${lane + 1}`}`), ns, record.name, "bracket", {
				annotations: { page: record.page },
			});
		} else if (point === Point.end) {
			const lane = this.#windows.get(window);
			if (lane === undefined) return;
			this.#windows.delete(window);
			this.#writer.end(this.#track(`bracket windows${lane === 0 ? "" : ` ${lane + 1}`}`), ns);
		}
	}

	#track(name: string): number {
		const known = this.#tracks.get(name);
		if (known !== undefined) return known;
		const made = this.#writer.track(this.#process, name);
		this.#tracks.set(name, made);
		return made;
	}

	#count(name: string, ns: number, value: number): void {
		const known = this.#counters.get(name);
		if (known?.last === value) return;
		const track = known?.track ?? this.#writer.track(this.#process, name, true);
		this.#counters.set(name, { track, last: value });
		this.#writer.counter(track, ns, value);
	}
}

const WINDOWED: ReadonlySet<string> = new Set(["ksmWriteProtect", "ksmReplace", "cow", "unshare", "zap", "protect", "invalidate", "fork"]);
