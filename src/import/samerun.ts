// Whether an access log is of the run that was captured: the rig marks each VM in the trace as it makes it ("VM 0 pid=96 pages=16 gpa=… hva=…"), and a
// VM whose process never shows is of another run.
import { BadInputError } from "../errors.js";
import type { AccessLog } from "./accesslog.js";
import type { CapturedHost } from "./host.js";

const MARK = /^VM (\d+) pid=(\d+) pages=(\d+) gpa=(0x[0-9a-f]+) hva=(0x[0-9a-f]+)/;

/** Marks that tell of a VM. */
export const isVmMark = (text: string): boolean => MARK.test(text);

function difference(log: AccessLog, marks: readonly string[], host: CapturedHost): string | undefined {
	for (const mark of marks) {
		const [, id, pid, pages, gpa, hva] = MARK.exec(mark) ?? [];
		if (Number(id) !== log.vm) continue;
		if (Number(pid) !== log.pid) return `its process is ${log.pid} in the log and ${pid} in the capture`;
		const slot = log.slots.find((candidate) => candidate.hva === Number(hva));
		if (slot === undefined || slot.gpa !== Number(gpa) || slot.bytes !== Number(pages) * 4096)
			return `the log has no memslot of ${pages} pages at gpa ${gpa}, hva ${hva}`;
		return undefined;
	}
	return host.hasTask(log.pid) ? undefined : `no event in the capture is of its process, ${log.pid}`;
}

/** What is wrong, where the user is lenient; "" if nothing is. @throws BadInputError otherwise */
export function checkSameRun(logs: readonly AccessLog[], marks: readonly string[], host: CapturedHost, lenient: boolean): string {
	for (const log of logs) {
		const found = difference(log, marks, host);
		if (found === undefined) continue;
		const what = `the access log of vm ${log.vm} is of another run: ${found}`;
		if (!lenient) throw new BadInputError(what, { where: log.source.name, hint: "name the log that was written while this capture ran" });
		return what;
	}
	return "";
}
