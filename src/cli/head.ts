// mmreplay head: the first records of a trace.
import type { Command } from "commander";
import { wholeNumber } from "./choices.js";
import { type RecordFlags, withRecords, writeRecords } from "./recordlines.js";

export function define(command: Command): void {
	withRecords(command)
		.option("-n, --lines <n>", "how many", wholeNumber, 10)
		.action((path: string, options: RecordFlags & { lines: number }) => writeRecords(path, options, options.lines));
}
