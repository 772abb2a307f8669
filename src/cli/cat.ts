// mmreplay cat: all records of a trace.
import type { Command } from "commander";
import { type RecordFlags, withRecords, writeRecords } from "./recordlines.js";

export function define(command: Command): void {
	withRecords(command).action((path: string, options: RecordFlags) => writeRecords(path, options, Number.POSITIVE_INFINITY));
}
