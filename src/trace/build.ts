// Records to the payload of a block: the columns of an EventBlock (traces/mmtrace.proto) while they fill.
import { AgentTable } from "./agents.js";
import { agentFields, type BuiltBlock, checkOffset, checkTime, opBytes, type PageEncoding, pageColumns } from "./columns.js";
import { mmreplay } from "./generated/schema.js";
import { AGENT_SHIFT, FIRST_OBSERVATION, OPERATION } from "./kinds.js";
import { OPERATION_BY_CODE, OPERATION_BY_NAME } from "./operations.js";
import type { OperationRecord, TraceRecord } from "./record.js";
import { Tally } from "./tally.js";
import { VarintBuffer } from "./varint.js";
import { LIMITS, NO_OFFSET, PAGE_SPAN } from "./wire.js";

export class BlockBuilder {
	/** Records of one kind only: causes or observations. */
	readonly #observations: boolean;
	readonly #agents = new AgentTable();
	readonly #strings = new Map<string, number>();
	readonly #argument = new VarintBuffer();
	readonly #offset = new VarintBuffer();
	readonly #time = new VarintBuffer();
	readonly #position = new VarintBuffer();
	readonly #tally = new Tally();
	#op = new Uint32Array(1024);
	#page = new Uint32Array(1024);
	#highestOp = 0;
	#stringBytes = 0;
	#offsets = false;
	#times = false;
	#firstNs = 0;
	#beforeNs = 0;
	#beforePosition = 0;
	events = 0;

	constructor(observations: boolean) {
		this.#observations = observations;
	}

	/** About how long the payload would be now. */
	get bytes(): number {
		return (
			this.events * 6 +
			this.#argument.length +
			this.#time.length +
			this.#offset.length +
			this.#stringBytes +
			this.#agents.entries.length * 24
		);
	}

	/** Whether a record fits into this block: all records of a block have a time, or none has. */
	takes(record: TraceRecord): boolean {
		return this.events === 0 || (record.ns !== undefined) === this.#times;
	}

	#grow(): void {
		const op = new Uint32Array(this.events * 2);
		const page = new Uint32Array(this.events * 2);
		op.set(this.#op);
		page.set(this.#page);
		this.#op = op;
		this.#page = page;
	}

	/**
	 * Append a record. `position`: causes before it, from the block's first_sequence (observations only).
	 * A RangeError leaves the block as it was.
	 */
	add(record: TraceRecord, position = 0): void {
		const { page, ns, offset } = record;
		if (!(page >= 0 && page <= Number.MAX_SAFE_INTEGER && Math.floor(page) === page)) throw new RangeError(`page ${page}`);
		if (ns !== undefined) checkTime(ns);
		if (offset !== undefined) checkOffset(offset);
		let kind = OPERATION as number;
		let code = 0;
		if (record.kind === "operation") code = this.#checkOperation(record);
		else {
			kind = record.access;
			if (this.#observations) throw new RangeError("an access is not an observation");
			if (!(kind >= 0 && kind < OPERATION)) throw new RangeError(`access ${kind}`);
		}
		const agentsBefore = this.#agents.entries.length;
		const agent = this.#agents.indexOf(record.agent, page);
		if (agent === agentsBefore) this.#tally.agent(record.agent);
		if (record.kind === "operation") this.#appendArguments(record, code);

		const at = this.events;
		if (at === this.#op.length) this.#grow();
		const op = kind | (agent << AGENT_SHIFT);
		if (op > this.#highestOp) this.#highestOp = op;
		this.#op[at] = op;
		this.#page[at] = page % PAGE_SPAN;
		this.#tally.totals[code]++;
		if (offset !== undefined || this.#offsets) this.#appendOffset(offset);
		if (ns !== undefined) this.#appendTime(ns);
		if (this.#observations) {
			this.#position.unsigned(position - this.#beforePosition);
			this.#beforePosition = position;
		}
		this.events = at + 1;
	}

	#checkOperation(record: OperationRecord): number {
		const shape = OPERATION_BY_NAME.get(record.name);
		if (shape === undefined) throw new RangeError(`operation ${record.name}`);
		if (shape.code >= FIRST_OBSERVATION !== this.#observations) {
			throw new RangeError(`${record.name} is ${this.#observations ? "a cause" : "an observation"}`);
		}
		if (record.args.length !== shape.args.length) {
			throw new RangeError(`${record.name} takes ${shape.args.length} arguments (${shape.args.join(", ")}), not ${record.args.length}`);
		}
		for (let index = 0; index < shape.args.length; index++) {
			const value = record.args[index];
			if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value && value <= shape.max[index])) {
				throw new RangeError(`${record.name}: ${shape.args[index]} ${value}`);
			}
		}
		if (shape.text >= 0 && Buffer.byteLength(record.text ?? "") > LIMITS.stringBytes) {
			throw new RangeError(`${record.name}: a text of more than ${LIMITS.stringBytes} bytes`);
		}
		return shape.code;
	}

	#appendArguments(record: OperationRecord, code: number): void {
		const text = OPERATION_BY_CODE[code]?.text ?? -1;
		this.#argument.counted(code, text < 0 ? record.args : record.args.with(text, this.#string(record.text ?? "")));
	}

	#string(text: string): number {
		const known = this.#strings.get(text);
		if (known !== undefined) return known;
		const index = this.#strings.size;
		this.#strings.set(text, index);
		this.#stringBytes += Buffer.byteLength(text) + 4;
		return index;
	}

	#appendOffset(offset: number | undefined): void {
		if (!this.#offsets) {
			this.#offsets = true;
			for (let earlier = 0; earlier < this.events; earlier++) this.#offset.unsigned(NO_OFFSET);
		}
		this.#offset.unsigned(offset ?? NO_OFFSET);
	}

	#appendTime(ns: number): void {
		if (this.events === 0) {
			this.#times = true;
			this.#firstNs = ns;
			this.#beforeNs = ns;
		}
		this.#time.signed(ns - this.#beforeNs);
		this.#beforeNs = ns;
		if (ns > this.#tally.lastNs) this.#tally.lastNs = ns;
	}

	/** The block so far; `clear` afterwards. The tally is shared with the builder. */
	build(encoding: PageEncoding): BuiltBlock {
		const message: mmreplay.IEventBlock = {
			events: this.events,
			agent: agentFields(this.#agents.entries),
			strings: [...this.#strings.keys()],
			op: opBytes(this.#op.subarray(0, this.events), this.#highestOp),
			...pageColumns(this.#page.subarray(0, this.events), encoding),
		};
		if (this.#argument.length > 0) message.argument = this.#argument.view();
		if (this.#offsets) message.offset = this.#offset.view();
		if (this.#times) message.time = this.#time.view();
		if (this.#observations) message.position = this.#position.view();
		return { payload: mmreplay.EventBlock.encode(message).finish(), events: this.events, firstNs: this.#firstNs, tally: this.#tally };
	}

	clear(): void {
		this.#agents.clear();
		this.#strings.clear();
		this.#argument.clear();
		this.#offset.clear();
		this.#time.clear();
		this.#position.clear();
		this.#tally.clear();
		this.#highestOp = 0;
		this.#stringBytes = 0;
		this.#offsets = false;
		this.#times = false;
		this.#firstNs = 0;
		this.#beforeNs = 0;
		this.#beforePosition = 0;
		this.events = 0;
	}
}
