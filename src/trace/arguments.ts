// Arguments of an operation record by name.
import { type Access, Operation } from "./kinds.js";
import type { OperationRecord } from "./record.js";

export class OperationArgs {
	readonly #record: OperationRecord;

	constructor(record: OperationRecord) {
		this.#record = record;
	}

	/** The named argument; 0 where the operation has none of that name. */
	get(name: string): number {
		const at = (Operation[this.#record.name].args as readonly string[]).indexOf(name);
		return at < 0 ? 0 : (this.#record.args[at] ?? 0);
	}

	access(): Access {
		const value = this.get("access");
		if (value < 0 || value > 6) throw new RangeError(`access ${value}`);
		return value as Access;
	}
}
