// The engine's list of violations of coherence, read.
import { RULES, type Violation } from "../coherence.js";
import { AgentKind } from "../trace/kinds.js";
import { VIOLATION_WORDS } from "./boundary.js";

function agentName(kind: number, owner: number, member: number): string {
	switch (kind) {
		case AgentKind.guest:
			return `vm${owner} vcpu${member}`;
		case AgentKind.vm:
			return `vm${owner}`;
		case AgentKind.device:
			return `mm${owner} device${member}`;
		case AgentKind.host:
			return `mm${owner} thread${member}`;
		default:
			return `mm${owner}`;
	}
}

/** `words`: VIOLATION_WORDS each. */
export function readViolations(words: Uint32Array): Violation[] {
	const found: Violation[] = [];
	for (let at = 0; at < words.length; at += VIOLATION_WORDS) {
		const [eventLow = 0, eventHigh = 0, pageLow = 0, pageHigh = 0, rule = 0, kind = 0, owner = 0, member = 0] = words.subarray(at);
		found.push({
			event: eventHigh * 2 ** 32 + eventLow,
			rule: RULES[rule] ?? "",
			agent: agentName(kind, owner, member),
			address: (pageHigh * 2 ** 32 + pageLow) * 4096,
		});
	}
	return found;
}
