// A trace as text in the layout of /sys/kernel/tracing/trace, a line for each record and its header in comments: for tools that read such text, and
// back through import (src/import/recordlines.ts). What stands in a line: docs/import.md, "The way back".
import { encodeHeader } from "../trace/header.js";
import { Access, AgentKind, Operation } from "../trace/kinds.js";
import { OPERATION_BY_NAME } from "../trace/operations.js";
import type { Agent, TraceHeader, TraceRecord } from "../trace/record.js";

/** Begins the line with the trace's header. */
export const HEADER_MARK = "# mmreplay records 1 ";
/** Before the name of each event. */
export const EVENT_PREFIX = "mmreplay_";
export const AGENT_NAMES: readonly string[] = ["", ...Object.keys(AgentKind)];
export const ACCESS_NAMES: readonly string[] = Object.keys(Access);

export function tracefsHead(header: TraceHeader): string {
	return [
		"# tracer: nop",
		"#",
		`${HEADER_MARK}${Buffer.from(encodeHeader(header)).toString("base64")}`,
		"#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION",
		"#              | |         |   |||||     |         |",
	].join("\n");
}

function taskOf(agent: Agent): string {
	if (agent.kind === AgentKind.guest) return `vm${agent.vm}.vcpu`;
	if (agent.kind === AgentKind.vm) return `vm${agent.vm}`;
	return `mm${agent.mm}`;
}

/** seconds.nanoseconds; a record without a time has none behind the point. */
function timeOf(ns: number | undefined): string {
	if (ns === undefined) return "0.0";
	return `${Math.floor(ns / 1e9)}.${String(ns % 1e9).padStart(9, "0")}`;
}

export function tracefsLine(record: TraceRecord): string {
	const { agent, page, ns, offset } = record;
	const task = `${taskOf(agent).slice(0, 15).padStart(16)}-${String(agent.kind === AgentKind.guest ? agent.vcpu : agent.thread).padEnd(7)}`;
	const who = `agent=${AGENT_NAMES[agent.kind] ?? ""}/${agent.vm}/${agent.vcpu}/${agent.mm}/${agent.thread}`;
	const where = `page=0x${page.toString(16)}${offset === undefined ? "" : ` offset=0x${offset.toString(16)}`}`;
	const head = `${task} [000] ..... ${timeOf(ns).padStart(12)}: ${EVENT_PREFIX}`;
	if (record.kind === "access") return `${head}${ACCESS_NAMES[record.access] ?? ""}: ${who} ${where}`;
	const text = OPERATION_BY_NAME.get(record.name)?.text ?? -1;
	const args = Operation[record.name].args.map((name, at) => (at === text ? "" : ` ${name}=${record.args[at] ?? 0}`)).join("");
	return `${head}${record.name}: ${who} ${where}${args}${text < 0 ? "" : ` text=${JSON.stringify(record.text ?? "")}`}`;
}
