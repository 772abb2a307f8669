// JSON files that users write (machines, costs, strategies), read field by field: what is wrong is said with the field's path.
import { BadInputError } from "../errors.js";

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads the fields of one object; `done` complains of those that nobody asked for. */
export class FieldReader {
	readonly #fields: Fields;
	readonly #path: string;
	readonly #where: string;
	readonly #asked = new Set<string>();

	constructor(value: unknown, path: string, where: string) {
		this.#path = path;
		this.#where = where;
		if (!isObject(value)) throw new BadInputError(`${path === "" ? "the document" : path}: must be an object`, { where });
		this.#fields = value;
	}

	/** @throws BadInputError */
	fail(name: string, reason: string): never {
		throw new BadInputError(`${this.#at(name)}: ${reason}`, { where: this.#where });
	}

	#at(name: string): string {
		return this.#path === "" ? name : `${this.#path}.${name}`;
	}

	has(name: string): boolean {
		return this.#fields[name] !== undefined;
	}

	/** The raw value; undefined where it is absent. */
	optional(name: string): unknown {
		this.#asked.add(name);
		return this.#fields[name];
	}

	#required(name: string): unknown {
		const value = this.optional(name);
		if (value === undefined) this.fail(name, "is missing");
		return value;
	}

	text(name: string): string {
		const value = this.#required(name);
		return typeof value === "string" ? value : this.fail(name, "must be a string");
	}

	texts(name: string): string[] {
		return this.items(name).map((value, index) => (typeof value === "string" ? value : this.fail(`${name}[${index}]`, "must be a string")));
	}

	items(name: string): readonly unknown[] {
		const value = this.#required(name);
		return Array.isArray(value) ? value : this.fail(name, "must be an array");
	}

	number(name: string, min: number, max: number): number {
		const value = this.#required(name);
		if (typeof value !== "number" || !(value >= min && value <= max)) this.fail(name, `must be a number from ${min} to ${max}`);
		return value;
	}

	integer(name: string, min: number, max: number): number {
		const value = this.number(name, min, max);
		return Number.isInteger(value) ? value : this.fail(name, `must be a whole number from ${min} to ${max}`);
	}

	boolean(name: string): boolean {
		const value = this.#required(name);
		return typeof value === "boolean" ? value : this.fail(name, "must be true or false");
	}

	/** One of the words. */
	word<const W extends string>(name: string, words: readonly W[]): W {
		const value = this.#required(name);
		const known = words.find((word) => word === value);
		return known ?? this.fail(name, `must be one of ${words.join(", ")}`);
	}

	object(name: string): FieldReader {
		return new FieldReader(this.#required(name), this.#at(name), this.#where);
	}

	/** A reader for one item of an array. */
	item(name: string, index: number, value: unknown): FieldReader {
		return new FieldReader(value, `${this.#at(name)}[${index}]`, this.#where);
	}

	/** @throws BadInputError on a field that has no meaning: a misspelt one must not be ignored */
	done(): void {
		const unknown = this.names().find((name) => !this.#asked.has(name));
		if (unknown !== undefined) this.fail(unknown, "there is no such field");
	}

	names(): string[] {
		return Object.keys(this.#fields);
	}
}

/** @throws BadInputError where the text is not JSON, or not an object */
export function readDocument(text: string, where: string, what: string): FieldReader {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (cause) {
		throw new BadInputError(`not JSON, where ${what} is expected`, { where, cause });
	}
	return new FieldReader(value, "", where);
}
