// Who the records of an import speak of: one agent object for each, however many records.
import { AgentKind } from "../trace/kinds.js";
import type { Agent } from "../trace/record.js";

/** A VM by its id, and its mm's. */
interface Ids {
	readonly id: number;
	readonly mm: number;
}

interface Known extends Ids {
	readonly guests: (Agent | undefined)[];
	readonly hostAgent: Agent;
	readonly mmAgent: Agent;
	readonly vmAgent: Agent;
}

/** The host's own, of no VM. */
export const HOST: Agent = { kind: AgentKind.mm, vm: 0, vcpu: 0, mm: 0, thread: 0 };

export class VmAgents {
	readonly #known: (Known | undefined)[] = [];

	#of({ id, mm }: Ids): Known {
		const known = this.#known[id];
		if (known !== undefined && known.mm === mm) return known;
		const made: Known = {
			id,
			mm,
			guests: [],
			hostAgent: { kind: AgentKind.host, vm: id, vcpu: 0, mm, thread: 1 },
			mmAgent: { kind: AgentKind.mm, vm: 0, vcpu: 0, mm, thread: 0 },
			vmAgent: { kind: AgentKind.vm, vm: id, vcpu: 0, mm, thread: 0 },
		};
		this.#known[id] = made;
		return made;
	}

	guest(vm: Ids, vcpu: number): Agent {
		const { guests } = this.#of(vm);
		let agent = guests[vcpu];
		if (agent === undefined) {
			agent = { kind: AgentKind.guest, vm: vm.id, vcpu, mm: vm.mm, thread: 0 };
			guests[vcpu] = agent;
		}
		return agent;
	}

	host(vm: Ids): Agent {
		return this.#of(vm).hostAgent;
	}

	mm(vm: Ids): Agent {
		return this.#of(vm).mmAgent;
	}

	vm(vm: Ids): Agent {
		return this.#of(vm).vmAgent;
	}
}
