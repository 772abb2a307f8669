// Numbers for people.

const UNITS = ["", "k", "M", "G", "T"] as const;

/** Three significant digits with a unit: 84.2 M. */
export function short(value: number): string {
	let scaled = value;
	let unit = 0;
	while (Math.abs(scaled) >= 999.5 && unit < UNITS.length - 1) {
		scaled /= 1000;
		unit++;
	}
	const text = Math.abs(scaled) >= 100 || Number.isInteger(scaled) ? scaled.toFixed(0) : scaled.toPrecision(3);
	return unit === 0 ? text : `${text} ${UNITS[unit] ?? ""}`;
}

export function bytes(value: number): string {
	return value < 1000 ? `${value} B` : `${short(value)}B`;
}

export function percent(value: number | null): string {
	return value === null ? "-" : `${value.toFixed(1)}%`;
}

/** `1 fault`, `2 faults`. */
export function plural(count: number, noun: string, several = `${noun}s`): string {
	return `${count} ${count === 1 ? noun : several}`;
}

/** A list in a sentence: a, b and c. */
export function listed(words: readonly string[]): string {
	return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1) ?? ""}`;
}
