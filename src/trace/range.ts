// What a replay cannot take although it can be written down: pages beyond 48-bit addresses, KSM pages beyond 32 bits, a third address
// space, files beyond what a replay keeps.
import { OperationArgs } from "./arguments.js";
import { AgentKind, FIRST_OBSERVATION, MAX_FILE_PAGES, MAX_FILES, Operation } from "./kinds.js";
import type { OperationRecord, TraceRecord } from "./record.js";

/** Page numbers of 48-bit addresses (PAGE_LIMIT in assembly/layout.ts). */
const PAGE_LIMIT = 2 ** 36;
const KPAGE_LIMIT = 2 ** 32;

/** A memslot ends where addresses end, on both sides. */
function memslotFlaw(record: OperationRecord, args: OperationArgs): string | undefined {
	if (args.get("as") > 1) return `a memslot in address space ${args.get("as")}`;
	const pages = args.get("pages");
	if (pages === 0) return undefined;
	const end = Math.max(record.page, args.get("gfn")) + pages;
	return end > PAGE_LIMIT ? `page ${end} is beyond 48-bit addresses` : undefined;
}

/** Why a replay refuses a record; undefined where it takes it. */
export function rangeFlaw(record: TraceRecord): string | undefined {
	const beyond = record.page >= PAGE_LIMIT ? `page ${record.page} is beyond 48-bit addresses` : undefined;
	if (record.kind === "access") return record.agent.kind === AgentKind.host ? beyond : undefined;
	if (Operation[record.name].code >= FIRST_OBSERVATION) return undefined;
	const args = new OperationArgs(record);
	switch (record.name) {
		case "fault":
		case "mmio":
		case "exit":
		case "mark":
		case "deviceDetach":
		case "unpin":
		case "kvmZapAll":
			return undefined;
		case "dirtyLog":
			return args.get("as") > 1 ? `a memslot in address space ${args.get("as")}` : undefined;
		case "mremap": {
			const end = args.get("to") + args.get("pages");
			return beyond ?? (end > PAGE_LIMIT ? `mremap to page ${end}, which is beyond 48-bit addresses` : undefined);
		}
		case "access":
			return record.agent.kind === AgentKind.host ? beyond : undefined;
		case "mmap": {
			const known = args.get("file") < MAX_FILES && args.get("offset") < MAX_FILE_PAGES;
			return beyond ?? (known ? undefined : `page ${args.get("offset")} of file ${args.get("file")} is more than a replay keeps`);
		}
		case "remapFilePages":
			return (
				beyond ?? (args.get("offset") < MAX_FILE_PAGES ? undefined : `page ${args.get("offset")} of a file is more than a replay keeps`)
			);
		case "memslot":
			return memslotFlaw(record, args);
		default:
			return beyond ?? (args.get("kpage") >= KPAGE_LIMIT ? `KSM page ${args.get("kpage")} is over 32 bits` : undefined);
	}
}
