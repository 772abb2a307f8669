// Single faults: the class that the replay gives each vCPU's k-th exit, against the class that the captured kernel's own SPTEs gave it.
import { counterIndex } from "../counters.js";
import type { Machine } from "../machine/machine.js";
import { ReferenceModel } from "../model/replay.js";
import { simulated } from "../model/simulated.js";
import type { Strategy } from "../strategies/steps.js";
import { VMEXIT_CAUSES, type VmexitCause } from "../trace/kinds.js";
import type { KvmHost } from "../trace/kvmhost.js";
import type { TraceReader } from "../trace/reader.js";
import type { OperationRecord, TraceRecord } from "../trace/record.js";
import { records } from "../trace/records.js";
import { isWriteAccess } from "./access.js";

export interface FaultDifference {
	/** Causes before it in the trace. */
	readonly event: number;
	readonly vm: number;
	readonly vcpu: number;
	readonly gfn: number;
	readonly access: "read" | "write";
	/** null: the replay has no such exit, or the capture has none. */
	readonly predicted: VmexitCause | null;
	readonly observed: VmexitCause | null;
	readonly text: string;
}

interface Exit {
	readonly event: number;
	readonly gfn: number;
	readonly write: boolean;
	readonly cause: VmexitCause;
}

const EXITS = counterIndex("vmexits");
const BY_CAUSE = VMEXIT_CAUSES.map((cause) =>
	["read", "write", "fetch"].map((access) => counterIndex(`vmexitsByCause.${cause}.${access}`)),
);

/** The classes that one record's replay added, retries last: they follow the exit that they repeat. */
class CauseTally {
	readonly #before = VMEXIT_CAUSES.map(() => 0n);
	#exits = 0n;

	added(counters: BigUint64Array): VmexitCause[] {
		const exits = counters[EXITS] ?? 0n;
		if (exits === this.#exits) return [];
		this.#exits = exits;
		const found: VmexitCause[] = [];
		VMEXIT_CAUSES.forEach((cause, at) => {
			const now = (BY_CAUSE[at] ?? []).reduce((sum, index) => sum + (counters[index] ?? 0n), 0n);
			for (let count = this.#before[at] ?? 0n; count < now; count++) found.push(cause);
			this.#before[at] = now;
		});
		return found.sort((a, b) => Number(a.startsWith("retry")) - Number(b.startsWith("retry")));
	}
}

/** Exits of one vCPU that the other side has not shown yet. */
class Lane {
	readonly predicted: Exit[] = [];
	readonly observed: Exit[] = [];
}

class Pairing {
	readonly found: FaultDifference[] = [];
	readonly #lanes = new Map<string, Lane>();
	readonly #limit: number;

	constructor(limit: number) {
		this.#limit = limit;
	}

	get full(): boolean {
		return this.found.length >= this.#limit;
	}

	add(side: "predicted" | "observed", vm: number, vcpu: number, exit: Exit): void {
		const key = `${vm}.${vcpu}`;
		const lane = this.#lanes.get(key) ?? new Lane();
		this.#lanes.set(key, lane);
		lane[side].push(exit);
		for (;;) {
			const [predicted, observed] = [lane.predicted[0], lane.observed[0]];
			if (predicted === undefined || observed === undefined) return;
			lane.predicted.shift();
			lane.observed.shift();
			if (predicted.cause !== observed.cause || predicted.gfn !== observed.gfn) this.#differ(vm, vcpu, predicted, observed);
		}
	}

	/** A phase ends: what is left on one side has no partner. */
	settle(): void {
		for (const [key, lane] of this.#lanes) {
			const [vm = 0, vcpu = 0] = key.split(".").map(Number);
			for (const exit of lane.predicted) this.#differ(vm, vcpu, exit, undefined);
			for (const exit of lane.observed) this.#differ(vm, vcpu, undefined, exit);
		}
		this.#lanes.clear();
	}

	#differ(vm: number, vcpu: number, predicted: Exit | undefined, observed: Exit | undefined): void {
		const at = observed ?? predicted;
		if (at === undefined || this.full) return;
		const access = at.write ? "write" : "read";
		const where =
			predicted !== undefined && observed !== undefined && predicted.gfn !== observed.gfn
				? ` (predicted at gfn 0x${predicted.gfn.toString(16)})`
				: "";
		const text = `event ${at.event}: vm ${vm} vcpu ${vcpu} gfn 0x${at.gfn.toString(16)} ${access}: ${predicted?.cause ?? "no exit"} predicted, ${observed?.cause ?? "no exit"} observed${where}`;
		this.found.push({
			event: at.event,
			vm,
			vcpu,
			gfn: at.gfn,
			access,
			predicted: predicted?.cause ?? null,
			observed: observed?.cause ?? null,
			text,
		});
	}
}

function observedExit(record: OperationRecord, event: number): Exit {
	const [access = 0, , cause = 0] = record.args;
	return { event, gfn: record.page, write: isWriteAccess(access), cause: VMEXIT_CAUSES[cause] ?? "other" };
}

const isPhaseStart = (record: TraceRecord): boolean => record.kind === "operation" && record.name === "mark" && record.args[1] === 0;

function accessOf(record: TraceRecord): number {
	if (record.kind === "access") return record.access;
	return record.name === "fault" ? (record.args[1] ?? 0) : (record.args[0] ?? 0);
}

/**
 * Up to `limit` faults in the trace's order. The reference model replays the trace; vCPU by vCPU its exits are laid beside the observed ones,
 * anew in each phase. One fault too many on either side moves all that follow it in its phase.
 */
export function listDifferences(trace: TraceReader, strategy: Strategy, machine: Machine, limit: number, host: KvmHost): FaultDifference[] {
	const model = new ReferenceModel({ strategy, ...simulated(machine), copiesRecorded: trace.header.copiesRecorded, host });
	const tally = new CauseTally();
	const pairing = new Pairing(limit);
	for (const { record, sequence } of records(trace)) {
		if (pairing.full) break;
		const { agent } = record;
		if (record.kind === "operation" && record.name === "vmexit") {
			pairing.add("observed", agent.vm, agent.vcpu, observedExit(record, sequence));
			continue;
		}
		if (isPhaseStart(record)) pairing.settle();
		model.replay(record, sequence);
		for (const cause of tally.added(model.world.counters)) {
			pairing.add("predicted", agent.vm, agent.vcpu, { event: sequence, gfn: record.page, write: isWriteAccess(accessOf(record)), cause });
		}
	}
	pairing.settle();
	return pairing.found;
}
