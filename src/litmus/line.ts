// One line of a scenario file as words with their columns, and the errors that point at them.
import { BadInputError } from "../errors.js";

interface Word {
	readonly text: string;
	/** From 1. */
	readonly column: number;
}

/** Brackets, commas, colons and comparisons stand for themselves; a strategy's options stay with its name. */
const WORDS = /[a-z0-9][\w.-]*(?::[a-zA-Z]+=[a-z]+)+|[\w.-]+|!=|[(),:=]|\S/g;

export class Line {
	readonly file: string;
	readonly number: number;
	readonly text: string;
	readonly indented: boolean;
	readonly #words: readonly Word[];
	#at = 0;

	/** A comment goes from `#` to the end. */
	constructor(file: string, number: number, text: string) {
		this.file = file;
		this.number = number;
		this.text = text.replace(/(^|\s)#.*$/, "").trimEnd();
		this.indented = /^\s/.test(this.text);
		this.#words = [...this.text.matchAll(WORDS)].map((match) => ({ text: match[0], column: match.index + 1 }));
	}

	get empty(): boolean {
		return this.#words.length === 0;
	}

	/** The next word, not taken; empty at the end. */
	get next(): string {
		return this.#words[this.#at]?.text ?? "";
	}

	get done(): boolean {
		return this.#at >= this.#words.length;
	}

	/** @throws BadInputError that points at the last word taken, or at the one to come */
	fail(what: string, hint: string, which: "last" | "next" = "last"): never {
		const word = this.#words[which === "last" ? this.#at - 1 : this.#at];
		const column = word?.column ?? this.text.length + 1;
		throw new BadInputError(what, { where: `${this.file}:${this.number}:${column}`, hint });
	}

	/** The next word. `what`: what should stand there. */
	take(what: string, hint: string): string {
		if (this.done) this.fail(`${what} is missing`, hint, "next");
		return this.#words[this.#at++].text;
	}

	/** Take the next word if it is this one. */
	accept(text: string): boolean {
		if (this.next !== text) return false;
		this.#at++;
		return true;
	}

	expect(text: string, hint: string): void {
		if (!this.accept(text)) this.fail(this.done ? `${text} is missing` : `${this.next} where ${text} should stand`, hint, "next");
	}

	/** One of a few words. */
	oneOf<W extends string>(what: string, known: readonly W[]): W {
		const word = this.take(what, `one of ${known.join(", ")}`);
		return known.find((each) => each === word) ?? this.fail(`unknown ${what} ${word}`, `one of ${known.join(", ")}`);
	}

	/** A name of the scenario's own. */
	name(what: string): string {
		const word = this.take(what, "a name: letters, digits and _");
		if (!/^[A-Za-z_]\w*$/.test(word)) this.fail(`${word} is not a name`, "a name: letters, digits and _");
		return word;
	}

	/** A content: with one more it still fits a byte. */
	value(what: string): number {
		const word = this.take(what, "a number from 0 to 200");
		if (!/^\d+$/.test(word) || Number(word) > 200) this.fail(`${word} is not a value`, "a number from 0 to 200");
		return Number(word);
	}

	/** All that is left, as written. */
	rest(): string {
		const from = this.#words[this.#at]?.column;
		this.#at = this.#words.length;
		return from === undefined ? "" : this.text.slice(from - 1).trim();
	}

	end(): void {
		if (!this.done) this.fail(`${this.next} is too much`, "nothing may follow here", "next");
	}
}
