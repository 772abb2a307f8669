// HTML as values: everything put into it is escaped unless it is markup already.

export class Markup {
	readonly text: string;
	constructor(text: string) {
		this.text = text;
	}
}

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escaped(text: string): string {
	return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

type Part = Markup | string | number | readonly Markup[];

function textOf(part: Part): string {
	if (part instanceof Markup) return part.text;
	if (typeof part === "string" || typeof part === "number") return escaped(String(part));
	return part.map(({ text }) => text).join("");
}

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
	return new Markup(strings.reduce((text, string, at) => `${text}${at === 0 ? "" : textOf(parts[at - 1] ?? "")}${string}`, ""));
}

export const NOTHING = new Markup("");

/** A value for a script, inside a `<script type="application/json">`. */
export function jsonMarkup(value: unknown): Markup {
	return new Markup(JSON.stringify(value).replaceAll("<", "\\u003c"));
}
