// The series of `--series` as a Parquet file, with types: one row a stretch and strategy, counters as unsigned 64-bit integers.
import { type ColumnSource, parquetWriteBuffer, type SchemaElement } from "hyparquet-writer";
import { COUNTER_PATHS } from "../counters.js";
import type { Comparison } from "./compare.js";
import { type SeriesRow, seriesRows } from "./seriestable.js";

type Leaf = Pick<SchemaElement, "type" | "converted_type">;

const TEXT: Leaf = { type: "BYTE_ARRAY", converted_type: "UTF8" };
const U64: Leaf = { type: "INT64", converted_type: "UINT_64" };
const NUMBER: Leaf = { type: "DOUBLE" };

interface Field {
	readonly name: string;
	readonly leaf: Leaf;
	readonly value: (row: SeriesRow) => string | bigint | number | null;
}

const whole = (value: number | null): bigint | null => (value === null ? null : BigInt(value));

const FIELDS: readonly Field[] = [
	{ name: "trace", leaf: TEXT, value: ({ trace }) => trace },
	{ name: "kind", leaf: TEXT, value: ({ kind }) => kind },
	{ name: "number", leaf: U64, value: ({ number }) => whole(number) },
	{ name: "label", leaf: TEXT, value: ({ label }) => label },
	{ name: "event", leaf: U64, value: ({ event }) => whole(event) },
	{ name: "events", leaf: U64, value: ({ events }) => whole(events) },
	{ name: "ns", leaf: NUMBER, value: ({ ns }) => ns },
	{ name: "strategy", leaf: TEXT, value: ({ strategy }) => strategy },
	...COUNTER_PATHS.map((name, at): Field => ({ name, leaf: U64, value: ({ counters }) => counters[at] ?? null })),
];

/** What a whole file of these comparisons is. Counters that a trace does not decide are null, as `event`, `events` and `ns` of phases are. */
export function parquetSeries(comparisons: readonly Comparison[]): Uint8Array {
	const rows = [...seriesRows(comparisons)];
	const schema: SchemaElement[] = [
		{ name: "series", num_children: FIELDS.length },
		...FIELDS.map(({ name, leaf }): SchemaElement => ({ name, ...leaf, repetition_type: "OPTIONAL" })),
	];
	const columnData = FIELDS.map(({ name, value }): ColumnSource => ({ name, data: rows.map(value) }));
	return new Uint8Array(parquetWriteBuffer({ columnData, schema, createdBy: "mmreplay" }));
}
