// Tables: fitted to a terminal, TSV where there is none, Markdown and CSV for files.

export interface Column {
	/** Words; on a terminal they may stand on several lines. */
	readonly title: string;
	readonly align: "left" | "right";
}

export interface Table {
	readonly columns: readonly Column[];
	/** Cells by column; missing values are empty. */
	readonly rows: readonly (readonly string[])[];
}

const GAP = "  ";

function pad(text: string, width: number, align: Column["align"]): string {
	return align === "right" ? text.padStart(width) : text.padEnd(width);
}

/** Words put on lines of at most `width` where they fit. */
function wrapWords(text: string, width: number): string[] {
	const lines: string[] = [];
	for (const word of text.split(" ")) {
		const last = lines.at(-1);
		if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
		else lines.push(word);
	}
	return lines;
}

interface Layout {
	readonly widths: readonly number[];
	readonly heads: readonly (readonly string[])[];
}

function layoutOf({ columns, rows }: Table): Layout {
	const cells = columns.map((_, at) => Math.max(0, ...rows.map((row) => (row[at] ?? "").length)));
	const heads = columns.map(({ title }, at) => wrapWords(title, Math.max(cells[at] ?? 0, ...title.split(" ").map((word) => word.length))));
	return { widths: cells.map((width, at) => Math.max(width, ...(heads[at] ?? []).map((line) => line.length))), heads };
}

const widthOf = ({ widths }: Layout): number => widths.reduce((sum, width) => sum + width + GAP.length, -GAP.length);

function bold(text: string, color: boolean): string {
	return color ? `\x1b[1m${text}\x1b[22m` : text;
}

function draw(table: Table, layout: Layout, color: boolean): string[] {
	const { columns, rows } = table;
	const { heads, widths } = layout;
	const height = Math.max(...heads.map((head) => head.length));
	const line = (cells: readonly string[]): string =>
		cells
			.map((cell, at) => pad(cell, widths[at] ?? 0, columns[at]?.align ?? "left"))
			.join(GAP)
			.trimEnd();
	const title = Array.from({ length: height }, (_, at) => bold(line(heads.map((head) => head[at - (height - head.length)] ?? "")), color));
	return [...title, ...rows.map(line)];
}

/** Columns become rows: for terminals that are too narrow. The first column's cells are the new titles. */
function transpose({ columns, rows }: Table): Table {
	const [first, ...rest] = columns;
	return {
		columns: [{ title: first?.title ?? "", align: "left" }, ...rows.map((row) => ({ title: row[0] ?? "", align: "right" as const }))],
		rows: rest.map((column, at) => [column.title, ...rows.map((row) => row[at + 1] ?? "")]),
	};
}

/** A table of the first column and some of the others. */
function only({ columns, rows }: Table, from: number, to: number): Table {
	const pick = <T>(cells: readonly T[]): T[] => [...cells.slice(0, 1), ...cells.slice(from, to)];
	return { columns: pick(columns), rows: rows.map(pick) };
}

/** As many columns beside the first as fit, then the next ones below. */
function inParts(table: Table, width: number, color: boolean): string[] {
	const lines: string[] = [];
	for (let from = 1; from < table.columns.length; ) {
		let to = from + 1;
		while (to < table.columns.length && widthOf(layoutOf(only(table, from, to + 1))) <= width) to++;
		const part = only(table, from, to);
		if (lines.length > 0) lines.push("");
		lines.push(...draw(part, layoutOf(part), color));
		from = to;
	}
	return lines;
}

/** For a terminal of `width` columns: as it is, turned on its side, or in parts. */
export function textTable(table: Table, width: number, color: boolean): string[] {
	const layout = layoutOf(table);
	if (widthOf(layout) <= width) return draw(table, layout, color);
	const turned = transpose(table);
	const turnedLayout = layoutOf(turned);
	if (widthOf(turnedLayout) <= width) return draw(turned, turnedLayout, color);
	// A long table keeps its rows.
	return inParts(table.rows.length > turned.rows.length ? table : turned, width, color);
}

/** Tab-separated, titles in the first line. */
export function tsvTable({ columns, rows }: Table): string[] {
	return [columns.map(({ title }) => title), ...rows].map((row) => row.map((cell) => cell.replace(/[\t\n]/g, " ")).join("\t"));
}

/** RFC 4180. */
export function csvTable({ columns, rows }: Table): string[] {
	const quoted = (cell: string): string => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
	return [columns.map(({ title }) => title), ...rows].map((row) => row.map(quoted).join(","));
}

export function markdownTable({ columns, rows }: Table): string[] {
	const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
	return [
		line(columns.map(({ title }) => title)),
		`|${columns.map(({ align }) => (align === "right" ? "---:" : "---")).join("|")}|`,
		...rows.map(line),
	];
}

/** For wherever standard output goes. */
export function tableLines(table: Table, columns: number | undefined, color: boolean): string[] {
	return columns === undefined ? tsvTable(table) : textTable(table, columns, color);
}
