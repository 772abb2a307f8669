// One record as a line: text for people, JSON for programs.
import { Access, AgentKind, DeviceKind, Operation, Point } from "../trace/kinds.js";
import type { Agent, TraceRecord } from "../trace/record.js";
import type { Sequenced } from "../trace/records.js";

function nameOf(table: Readonly<Record<string, number>>, code: number): string {
	return Object.entries(table).find(([, value]) => value === code)?.[0] ?? String(code);
}

function agentText(agent: Agent): string {
	switch (agent.kind) {
		case AgentKind.guest:
			return `vm${agent.vm}.vcpu${agent.vcpu}`;
		case AgentKind.host:
			return `mm${agent.mm}.thread${agent.thread}`;
		case AgentKind.mm:
			return `mm${agent.mm}`;
		case AgentKind.vm:
			return `vm${agent.vm}`;
		case AgentKind.device:
			return `mm${agent.mm}.device${agent.thread}`;
	}
}

/** Arguments by name; those with words of their own in words. */
function argumentsOf(record: Extract<TraceRecord, { kind: "operation" }>): Record<string, number | string> {
	const named: Record<string, number | string> = {};
	Operation[record.name].args.forEach((name, at) => {
		const value = record.args[at] ?? 0;
		if (name === "access") named[name] = nameOf(Access, value);
		else if (name === "point") named[name] = nameOf(Point, value);
		else if (name === "device") named[name] = nameOf(DeviceKind, value);
		else if (record.text !== undefined && (name === "label" || name === "name")) named[name] = record.text;
		else named[name] = value;
	});
	return named;
}

const seconds = (ns: number): string => (ns / 1e9).toFixed(9);

export function recordText({ sequence, record }: Sequenced): string {
	const time = record.ns === undefined ? "" : ` ${seconds(record.ns)}`;
	const address = `0x${(record.page * 4096 + (record.offset ?? 0)).toString(16)}`;
	const head = `${String(sequence).padStart(9)}${time} ${agentText(record.agent).padEnd(14)}`;
	if (record.kind === "access") return `${head} ${nameOf(Access, record.access)} ${address}`;
	const named = Object.entries(argumentsOf(record)).map(
		([name, value]) => `${name}=${typeof value === "string" ? JSON.stringify(value) : value}`,
	);
	return `${head} ${[record.name, address, ...named].join(" ")}`;
}

/** Exactly one line. */
export function recordJson({ sequence, record }: Sequenced): string {
	const { agent, page, ns, offset } = record;
	const what =
		record.kind === "access" ? { name: "access", access: nameOf(Access, record.access) } : { name: record.name, ...argumentsOf(record) };
	return JSON.stringify({ sequence, ns, agent: { ...agent, kind: nameOf(AgentKind, agent.kind) }, page, offset, ...what });
}
