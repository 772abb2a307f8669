// Several sources of one host in the order of one clock.

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
