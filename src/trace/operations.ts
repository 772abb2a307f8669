// Operations by name and by code, from the one list in kinds.ts.
import { FIRST_OBSERVATION, Operation, type OperationName, Point } from "./kinds.js";
import type { Agent, OperationRecord, TraceRecord } from "./record.js";

export interface OperationShape {
	readonly name: OperationName;
	readonly code: number;
	readonly args: readonly string[];
	/** Which argument is an index into the block's strings; -1: none. In a TraceRecord it is 0 and `text` has the string. */
	readonly text: number;
	/** For each argument the largest value that means something; Infinity where any number does. */
	readonly max: readonly number[];
}

const TEXT_ARGUMENTS: Partial<Record<OperationName, string>> = { mark: "label", counters: "name" };

/** Arguments with the same few values wherever they stand. */
const MAXIMA: Readonly<Record<string, number>> = {
	access: 6,
	hint: 2,
	point: Point.set,
	edge: 2,
	device: 2,
	writable: 1,
	protection: 1,
	write: 1,
	ksm: 1,
	young: 2,
	vma: 5,
	state: 4,
};

function shapeOf(name: OperationName): OperationShape {
	const { code, args } = Operation[name];
	const names: readonly string[] = args;
	const text = TEXT_ARGUMENTS[name];
	return {
		name,
		code,
		args,
		text: text === undefined ? -1 : names.indexOf(text),
		max: names.map((argument) => (name === "fault" && argument === "point" ? Point.end : (MAXIMA[argument] ?? Number.POSITIVE_INFINITY))),
	};
}

function isOperationName(name: string): name is OperationName {
	return Object.hasOwn(Operation, name);
}

export const OPERATION_BY_NAME: ReadonlyMap<string, OperationShape> = new Map(
	Object.keys(Operation)
		.filter(isOperationName)
		.map((name) => [name, shapeOf(name)]),
);

/** Codes run from 1 to 127; `undefined` where none is defined. */
export const OPERATION_BY_CODE: readonly (OperationShape | undefined)[] = Array.from({ length: 128 }, (_, code) =>
	[...OPERATION_BY_NAME.values()].find((shape) => shape.code === code),
);

/** Whether a record is what the captured kernel did in answer, rather than a cause. */
export function isObservation(record: TraceRecord): boolean {
	return record.kind === "operation" && Operation[record.name].code >= FIRST_OBSERVATION;
}

/** The record of an operation without a text, by its code and its arguments: values[from] and those that follow. @throws RangeError where there is no such code */
export function operationRecord(
	code: number,
	agent: Agent,
	page: number,
	values: Float64Array,
	from: number,
	ns: number | undefined,
): OperationRecord {
	const shape = OPERATION_BY_CODE[code];
	if (shape === undefined) throw new RangeError(`operation code ${code}`);
	return { kind: "operation", name: shape.name, agent, page, args: [...values.subarray(from, from + shape.args.length)], ns };
}
