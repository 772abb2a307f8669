// Text in 80 columns.

export const WIDTH = 80;

/** Words in lines of at most 80 columns, the first after `head`, the others indented below it. */
export function wrapped(head: string, words: readonly string[]): string[] {
	const lines: string[] = [];
	let line = head;
	for (const word of words) {
		if (line.length + 1 + word.length > WIDTH && line.trim() !== "") {
			lines.push(line.trimEnd());
			line = " ".repeat(head.length);
		}
		line += `${line.endsWith(" ") ? "" : " "}${word}`;
	}
	return [...lines, line.trimEnd()];
}
