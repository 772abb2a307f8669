// What src/generate and assembly/generator both know (scripts/generate-constants.mjs).

/** Where the pages of accesses come from. */
export const Pattern = { hits: 0, zipf: 1, uniform: 2, scan: 3, mixed: 4 } as const;
export type PatternName = keyof typeof Pattern;

/** Bytes of a column of Zipf's alias table: { threshold of 2^32, below it the column's own number, else its alias, nothing }, 32-bit words. */
export const ZIPF_COLUMN_BYTES = 16;
