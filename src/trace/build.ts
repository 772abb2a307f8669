// Records to the payload of a block: the columns of an EventBlock (traces/mmtrace.proto) while they fill.
import { AgentTable } from "./agents.js";
import { agentFields, type BuiltBlock, checkOffset, checkTime, opBytes, type PageEncoding, pageColumns } from "./columns.js";
import { mmreplay } from "./generated/schema.js";
import { AGENT_SHIFT, FIRST_OBSERVATION, OPERATION } from "./kinds.js";
import { OPERATION_BY_CODE, OPERATION_BY_NAME, type OperationShape } from "./operations.js";
import type { Agent, OperationRecord, TraceRecord } from "./record.js";
import { Tally } from "./tally.js";
import { VarintBuffer } from "./varint.js";
import { LIMITS, NO_OFFSET, PAGE_SPAN } from "./wire.js";

const isWhole = (value: number): boolean => value >= 0 && value <= Number.MAX_SAFE_INTEGER && Math.floor(value) === value;

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

	/** Whether a record with a time fits. */
	get takesTimed(): boolean {
		return this.events === 0 || this.#times;
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
		if (!isWhole(page)) throw new RangeError(`page ${page}`);
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
		this.#begin(kind, code, record.agent, page);
		if (record.kind === "operation") this.#appendArguments(record, code);
		if (offset !== undefined || this.#offsets) this.#appendOffset(offset);
		if (ns !== undefined) this.#appendTime(ns);
		this.#end(position);
	}

	/** As `add` of an operation without a text, by its code: its arguments are values[from] and those that follow, which are lent. */
	operation(code: number, agent: Agent, page: number, values: Float64Array, from: number, ns: number, position = 0): void {
		const shape = OPERATION_BY_CODE[code];
		if (shape === undefined || shape.text >= 0) throw new RangeError(`operation code ${code}`);
		if (code >= FIRST_OBSERVATION !== this.#observations) throw this.#misplaced(shape);
		if (!isWhole(page)) throw new RangeError(`page ${page}`);
		checkTime(ns);
		const { max } = shape;
		const count = max.length;
		for (let index = 0; index < count; index++) {
			const value = values[from + index];
			if (!(isWhole(value) && value <= max[index])) throw new RangeError(`${shape.name}: ${shape.args[index]} ${value}`);
		}
		this.#begin(OPERATION, code, agent, page);
		this.#argument.counted(code, values, from, count);
		if (this.#offsets) this.#appendOffset(undefined);
		this.#appendTime(ns);
		this.#end(position);
	}

	#begin(kind: number, code: number, agent: Agent, page: number): void {
		const agentsBefore = this.#agents.entries.length;
		const index = this.#agents.indexOf(agent, page);
		if (index === agentsBefore) this.#tally.agent(agent);
		const at = this.events;
		if (at === this.#op.length) this.#grow();
		const op = kind | (index << AGENT_SHIFT);
		if (op > this.#highestOp) this.#highestOp = op;
		this.#op[at] = op;
		this.#page[at] = page < PAGE_SPAN ? page : page % PAGE_SPAN;
		this.#tally.totals[code]++;
	}

	#end(position: number): void {
		if (this.#observations) {
			this.#position.unsigned(position - this.#beforePosition);
			this.#beforePosition = position;
		}
		this.events++;
	}

	#misplaced({ name }: OperationShape): RangeError {
		return new RangeError(`${name} is ${this.#observations ? "a cause" : "an observation"}`);
	}

	#checkOperation(record: OperationRecord): number {
		const shape = OPERATION_BY_NAME.get(record.name);
		if (shape === undefined) throw new RangeError(`operation ${record.name}`);
		if (shape.code >= FIRST_OBSERVATION !== this.#observations) throw this.#misplaced(shape);
		if (record.args.length !== shape.args.length) {
			throw new RangeError(`${record.name} takes ${shape.args.length} arguments (${shape.args.join(", ")}), not ${record.args.length}`);
		}
		for (let index = 0; index < shape.args.length; index++) {
			const value = record.args[index];
			if (!(isWhole(value) && value <= shape.max[index])) {
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
		const args = text < 0 ? record.args : record.args.with(text, this.#string(record.text ?? ""));
		this.#argument.counted(code, args, 0, args.length);
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
