// Why engines do not share a trace out among them (assembly/shard.ts).
import { SplitRefusal } from "./boundary.js";

const REASONS: Readonly<Record<number, string>> = {
	[SplitRefusal.operation]: "it has an operation that concerns several address spaces",
	[SplitRefusal.vm]: "a VM of it has two address spaces",
	[SplitRefusal.ksmPage]: "a KSM page of it changes its number, or has none",
	[SplitRefusal.lock]: "ksmd leaves a page of one VM locked while it works on another's",
	[SplitRefusal.window]: "a window of it belongs to two address spaces",
	[SplitRefusal.pending]: "an access of one VM goes on because of another's bracket",
	[SplitRefusal.suspect]: "its VMs share KSM pages, and a strategy leaves stale translations",
};

/** One engine cannot replay a part of a trace for itself. Nothing is wrong with the trace. */
export class CannotSplit extends Error {
	constructor(why: number | string) {
		super(typeof why === "string" ? why : (REASONS[why] ?? `for reason ${why}`));
	}
}
