// One strategy in a Perfetto trace: what the engine's log says of it, record by record.
import type { LoggedCounter } from "../../engine/boundary.js";
import type { Strategy } from "../../strategies/steps.js";
import { AgentKind, Point } from "../../trace/kinds.js";
import type { TraceRecord } from "../../trace/record.js";
import type { Flow, PacketWriter } from "./packets.js";

const WINDOWED: ReadonlySet<string> = new Set(["ksmWriteProtect", "ksmReplace", "cow", "unshare", "zap", "protect", "invalidate", "fork"]);

/** VMs by the number that their flows have. */
export class FlowNumbers {
	readonly #vms = new Map<number, number>();

	/**
	 * The flow from a zap of a page to the exit that misses it. There is one at a time of each page and strategy, so its number says which: gfn in 36
	 * bits, then 6 of the strategy's place and the VM's own.
	 */
	of(strategy: number, vm: number, gfn: number): Flow {
		let number = this.#vms.get(vm);
		if (number === undefined) {
			number = this.#vms.size + 1;
			this.#vms.set(vm, number);
		}
		return { low: gfn >>> 0, high: Math.floor(gfn / 2 ** 32) | (strategy << 4) | (number << 10) };
	}
}

export class StrategyTracks {
	readonly #writer: PacketWriter;
	readonly #place: number;
	readonly #process: number;
	readonly #tracks = new Map<string, number>();
	readonly #counters = new Map<string, { track: number; last: number }>();
	readonly #flows: FlowNumbers;
	/** Lane of each open window. */
	readonly #windows = new Map<number, number>();
	/** SPTEs and KSM pages so far. */
	#present = 0;
	#shared = 0;
	/** The record at hand. */
	readonly #grown = new Map<LoggedCounter, number>();
	#record: TraceRecord | undefined;
	#ns = 0;

	constructor(writer: PacketWriter, strategy: Strategy, place: number, flows: FlowNumbers) {
		this.#writer = writer;
		this.#place = place;
		this.#flows = flows;
		this.#process = writer.process(`strategy ${strategy.name}`, strategy.title);
		this.#count("SPTEs present", 0);
		this.#count("KSM merges minus COW breaks", 0);
	}

	/** What is told from here on happens at `record`. */
	begin(record: TraceRecord, ns: number): void {
		this.#record = record;
		this.#ns = ns;
		this.#window(record, ns);
	}

	exit(vm: number, vcpu: number, gfn: number, cause: string, zapped: boolean): void {
		const flowEnd = zapped ? this.#flows.of(this.#place, vm, gfn) : undefined;
		const track = this.#track(`vm${vm} vcpu${vcpu}: vmexits`);
		this.#writer.instant(track, this.#ns, cause, "vmexit", { annotations: { gfn }, flowEnd });
	}

	zap(vm: number, gfn: number): void {
		const record = this.#record;
		const by = record === undefined || record.kind === "access" ? "access" : record.name;
		const flow = this.#flows.of(this.#place, vm, gfn);
		this.#writer.instant(this.#track("zaps"), this.#ns, `zap by ${by}`, "zap", { annotations: { vm, gfn }, flow });
	}

	growth(counter: LoggedCounter, by: number): void {
		this.#grown.set(counter, by);
	}

	/** Everything of the record has been told. */
	end(): void {
		if (this.#grown.size === 0) return;
		const grew = (counter: LoggedCounter): number => this.#grown.get(counter) ?? 0;
		const record = this.#record;
		if (record?.kind === "operation" && record.agent.kind !== AgentKind.guest) this.#operation(record, grew);
		this.#counted("guest TLB flushes", "kvm_flush_remote_tlbs", "flush", grew("flush.guestTlb"));
		this.#counted("retries", "retried", "retry", grew("vmexitsRetried"));
		this.#counted("violations of coherence", "violation", "coherence", grew("coherence.violations"));
		this.#present += grew("spteInstalled") - grew("spteZapped");
		this.#shared += grew("ksmMerges") - grew("cowBreaks");
		this.#grown.clear();
		this.#count("SPTEs present", this.#present);
		this.#count("KSM merges minus COW breaks", this.#shared);
	}

	#counted(track: string, name: string, category: string, count: number): void {
		if (count > 0) this.#writer.instant(this.#track(track), this.#ns, name, category, count > 1 ? { annotations: { count } } : {});
	}

	#operation(record: TraceRecord & { readonly kind: "operation" }, grew: (counter: LoggedCounter) => number): void {
		const counts = {
			"mmu_lock writes": grew("mmuLockWrite"),
			"SPTEs zapped": grew("spteZapped"),
			"SPTEs established": grew("notifier.changePteEstablished"),
		};
		if (counts["mmu_lock writes"] === 0 && counts["SPTEs zapped"] === 0) return;
		const annotations = Object.fromEntries([["page", record.page] as const, ...Object.entries(counts).filter(([, count]) => count > 0)]);
		this.#writer.instant(this.#track("operations"), this.#ns, record.name, "operation", { annotations });
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

	/** Windows that the trace leaves open end with it. */
	close(ns: number): void {
		for (const lane of this.#windows.values()) this.#writer.end(this.#track(`bracket windows${lane === 0 ? "" : ` ${lane + 1}`}`), ns);
		this.#windows.clear();
	}

	#track(name: string): number {
		const known = this.#tracks.get(name);
		if (known !== undefined) return known;
		const made = this.#writer.track(this.#process, name);
		this.#tracks.set(name, made);
		return made;
	}

	#count(name: string, value: number): void {
		const known = this.#counters.get(name);
		if (known?.last === value) return;
		const track = known?.track ?? this.#writer.track(this.#process, name, true);
		this.#counters.set(name, { track, last: value });
		this.#writer.counter(track, this.#ns, value);
	}
}
