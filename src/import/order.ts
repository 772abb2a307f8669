// Events of one source that its tracer wrote CPU by CPU, put in order of time within a window.
import { type EventBatch, KernelEvent } from "./event.js";
import { EventColumns, TaskNames } from "./eventcolumns.js";

/** Events that are held back to be put in order: per-CPU buffers are drained in turns much shorter than this. */
const WINDOW = 1 << 16;

/**
 * Events by time, equal times in the source's order, as long as none is more than WINDOW events late. `late` counts those that are: they come where
 * they are found.
 */
export async function* inOrder(batches: AsyncGenerator<EventBatch>, late: { count: number }): AsyncGenerator<EventBatch> {
	const tasks = new TaskNames();
	let held = new EventColumns(tasks);
	let rest = new EventColumns(tasks);
	const lent = new KernelEvent();
	let last = Number.NEGATIVE_INFINITY;
	const keep = (event: KernelEvent): void => held.push(event);
	const release = (count: number): EventBatch => {
		const order = orderOf(held.ns, held.count);
		const released = held;
		for (let at = 0; at < count; at++) {
			const ns = released.ns[order[at]];
			if (ns < last) late.count++;
			else last = ns;
		}
		rest.clear();
		for (let at = count; at < released.count; at++) {
			released.lend(order[at], lent);
			rest.push(lent);
		}
		held = rest;
		rest = released;
		return {
			each: (visit) => {
				for (let at = 0; at < count; at++) {
					released.lend(order[at], lent);
					visit(lent);
				}
			},
		};
	};
	for await (const batch of batches) {
		batch.each(keep);
		if (held.count >= 2 * WINDOW) yield release(held.count - WINDOW);
	}
	yield release(held.count);
}

/** Places by time, equal times in their order: runs that are in order already, merged two by two. */
export function orderOf(times: Float64Array, count: number): Uint32Array {
	let order = new Uint32Array(count);
	let runs: number[] = [0];
	for (let at = 0; at < count; at++) {
		order[at] = at;
		if (at > 0 && times[at] < times[at - 1]) runs.push(at);
	}
	runs.push(count);
	let merged = runs.length > 2 ? new Uint32Array(count) : order;
	while (runs.length > 2) {
		const left: number[] = [];
		for (let run = 0; run + 1 < runs.length; run += 2) {
			left.push(runs[run]);
			mergeRuns(times, order, merged, runs[run], runs[run + 1], runs[Math.min(run + 2, runs.length - 1)]);
		}
		left.push(count);
		runs = left;
		[order, merged] = [merged, order];
	}
	return order;
}

/** order[from..middle) and order[middle..to) into `merged`. */
function mergeRuns(times: Float64Array, order: Uint32Array, merged: Uint32Array, from: number, middle: number, to: number): void {
	let left = from;
	let right = middle;
	for (let at = from; at < to; at++)
		merged[at] = right >= to || (left < middle && times[order[left]] <= times[order[right]]) ? order[left++] : order[right++];
}
