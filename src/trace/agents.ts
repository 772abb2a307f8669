// The agent table of a block under construction: who its records speak of, each with the base of its pages.
import type { Agent } from "./record.js";
import { PAGE_SPAN } from "./wire.js";

/** A table entry. Pages of its records are `basePage` plus a 32-bit value. */
export interface AgentEntry {
	readonly agent: Agent;
	/** A multiple of 2^32. */
	readonly basePage: number;
}

/** Slots of the cache before the map: a power of two, more than the agents that a block usually has. */
const SLOTS = 256;

export class AgentTable {
	readonly entries: AgentEntry[] = [];
	readonly #indexes = new Map<string, number>();
	/** Index into `entries` by a hash of the agent, -1 where empty: spares the map's string key, which costs more than the record. */
	readonly #slots = new Int32Array(SLOTS).fill(-1);

	/** The entry that was asked for last: often it is asked for again. */
	#lastAgent: Agent | null = null;
	#lastBase = 0;
	#lastIndex = 0;

	clear(): void {
		this.#lastAgent = null;
		this.entries.length = 0;
		this.#indexes.clear();
		this.#slots.fill(-1);
	}

	/** Index of the entry for an agent and a page, added where it is new. */
	indexOf(agent: Agent, page: number): number {
		const basePage = page < PAGE_SPAN ? 0 : page - (page % PAGE_SPAN);
		if (this.#lastAgent === agent && this.#lastBase === basePage) return this.#lastIndex;
		const index = this.#find(agent, basePage);
		this.#lastAgent = agent;
		this.#lastBase = basePage;
		this.#lastIndex = index;
		return index;
	}

	#find(agent: Agent, basePage: number): number {
		const slot = (agent.kind + agent.vcpu * 8 + agent.vm * 40 + agent.mm * 72 + agent.thread * 16) & (SLOTS - 1);
		const cached = this.#slots[slot];
		if (cached >= 0) {
			const entry = this.entries[cached];
			if (entry.basePage === basePage && sameAgent(entry.agent, agent)) return cached;
		}
		const key = `${agent.kind}:${agent.vm}:${agent.vcpu}:${agent.mm}:${agent.thread}:${basePage}`;
		let index = this.#indexes.get(key);
		if (index === undefined) {
			checkAgent(agent);
			index = this.entries.push({ agent, basePage }) - 1;
			this.#indexes.set(key, index);
		}
		this.#slots[slot] = index;
		return index;
	}
}

function sameAgent(a: Agent, b: Agent): boolean {
	return a === b || (a.kind === b.kind && a.vm === b.vm && a.vcpu === b.vcpu && a.mm === b.mm && a.thread === b.thread);
}

/** @throws RangeError */
export function checkAgent(agent: Agent): void {
	if (!(agent.kind >= 1 && agent.kind <= 5)) throw new RangeError(`agent kind ${agent.kind}`);
	for (const id of [agent.vm, agent.vcpu, agent.mm, agent.thread]) {
		if (id >>> 0 !== id) throw new RangeError(`agent id ${id} is not an unsigned 32-bit number`);
	}
}
