// Several sources of one host in the order of one clock; and events of one source that its tracer wrote CPU by CPU, put in order within a window.

const BATCH = 4096;

interface Timed {
	readonly ns: number;
}

interface Cursor<T extends Timed> {
	readonly batches: AsyncGenerator<T[]>;
	batch: readonly T[];
	at: number;
}

async function filled<T extends Timed>(cursor: Cursor<T>): Promise<boolean> {
	while (cursor.at >= cursor.batch.length) {
		const next = await cursor.batches.next();
		if (next.done === true) return false;
		cursor.batch = next.value;
		cursor.at = 0;
	}
	return true;
}

/** Events of all sources by time; of equal times, those of the source named first come first. Each source keeps its own order. */
export async function* mergeByTime<T extends Timed>(sources: readonly AsyncGenerator<T[]>[]): AsyncGenerator<T[]> {
	const [only, ...others] = sources;
	if (only !== undefined && others.length === 0) {
		yield* only;
		return;
	}
	const open: Cursor<T>[] = [];
	for (const batches of sources) {
		const cursor: Cursor<T> = { batches, batch: [], at: 0 };
		if (await filled(cursor)) open.push(cursor);
	}
	let out: T[] = [];
	while (open.length > 0) {
		let first = open[0];
		for (const cursor of open) if ((cursor.batch[cursor.at]?.ns ?? 0) < (first?.batch[first.at]?.ns ?? 0)) first = cursor;
		if (first === undefined) break;
		const event = first.batch[first.at++];
		if (event !== undefined) out.push(event);
		if (!(await filled(first))) open.splice(open.indexOf(first), 1);
		if (out.length >= BATCH) {
			yield out;
			out = [];
		}
	}
	yield out;
}

/** Events that are held back to be put in order: per-CPU buffers are drained in turns much shorter than this. */
const WINDOW = 1 << 16;

/**
 * Events by time, equal times in the source's order, as long as none is more than WINDOW events late. `late` counts those that are: they come where
 * they are found.
 */
export async function* inOrder<T extends Timed>(batches: AsyncGenerator<T[]>, late: { count: number }): AsyncGenerator<T[]> {
	let held: T[] = [];
	let last = Number.NEGATIVE_INFINITY;
	const release = (count: number): T[] => {
		// Sorting is stable.
		held.sort((a, b) => a.ns - b.ns);
		const out = held.slice(0, count);
		held = held.slice(count);
		for (const event of out) {
			if (event.ns < last) late.count++;
			else last = event.ns;
		}
		return out;
	};
	for await (const batch of batches) {
		for (const event of batch) held.push(event);
		if (held.length >= 2 * WINDOW) yield release(held.length - WINDOW);
	}
	yield release(held.length);
}
