// "Did you mean": the nearest known word to one that is not known.

/** Insertions, deletions, replacements and swaps of neighbours between two words. */
function distance(a: string, b: string): number {
	let before: number[] = [];
	let last = Array.from({ length: b.length + 1 }, (_, at) => at);
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1];
			let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
			if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] ?? 0) + 1);
			row.push(best);
		}
		before = last;
		last = row;
	}
	return last[b.length] ?? 0;
}

/** The known word that is meant, if one is near enough: two slips, or a beginning of it. */
function nearest(word: string, known: Iterable<string>): string | undefined {
	let best: string | undefined;
	let bestDistance = Math.min(3, Math.max(2, Math.ceil(word.length / 2)));
	for (const candidate of known) {
		const d = candidate.startsWith(word) && word.length >= 3 ? 0.5 : distance(word, candidate);
		if (d < bestDistance) {
			best = candidate;
			bestDistance = d;
		}
	}
	return best;
}

/** A hint for an unknown word: the nearest known one, or all of them. */
export function didYouMean(word: string, known: readonly string[], all: string): string {
	const near = nearest(word, known);
	return near === undefined ? all : `did you mean ${near}? ${all}`;
}
