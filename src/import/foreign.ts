// What is not a capture that can be read, told by its first bytes or lines, with what to do instead.

export interface Foreign {
	readonly what: string;
	readonly hint: string;
}

interface Magic extends Foreign {
	readonly bytes: readonly number[];
	/** Where the bytes stand. */
	readonly at?: number;
}

const bytesOf = (text: string): number[] => [...Buffer.from(text, "latin1")];

const unpacked = (tool: string): string => `${tool} FILE | mmreplay import - …`;
const NO_CAPTURE = "name a capture (docs/import.md lists what can be read)";
const PERF = "perf script --ns -F comm,pid,tid,cpu,time,event,trace makes text of it";

const UTF16: Foreign = { what: "text in UTF-16", hint: unpacked("iconv -f UTF-16 -t UTF-8") };

const MAGICS: readonly Magic[] = [
	{ bytes: bytesOf("PERFILE2"), what: "a perf.data file", hint: PERF },
	{ bytes: bytesOf("2ELIFREP"), what: "a perf.data file of the other byte order", hint: PERF },
	{ bytes: [0x28, 0xb5, 0x2f, 0xfd], what: "compressed with zstd", hint: unpacked("zstd -dc") },
	{ bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], what: "compressed with xz", hint: unpacked("xz -dc") },
	{ bytes: [0x04, 0x22, 0x4d, 0x18], what: "compressed with lz4", hint: unpacked("lz4 -dc") },
	{ bytes: [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], at: 4, what: "compressed with bzip2", hint: unpacked("bzip2 -dc") },
	{ bytes: bytesOf("LZIP"), what: "compressed with lzip", hint: unpacked("lzip -dc") },
	{ bytes: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], what: "a 7z archive", hint: "unpack it and name the files in it" },
	{ bytes: bytesOf("PK\u0003\u0004"), what: "a zip archive", hint: "unpack it and name the files in it" },
	{ bytes: bytesOf("ustar"), at: 257, what: "a tar archive", hint: "unpack it and name the files in it" },
	{ bytes: bytesOf("\u007fELF"), what: "an ELF binary", hint: NO_CAPTURE },
	{ bytes: [0xd4, 0xc3, 0xb2, 0xa1], what: "a pcap file of network packets", hint: NO_CAPTURE },
	{ bytes: [0xa1, 0xb2, 0xc3, 0xd4], what: "a pcap file of network packets", hint: NO_CAPTURE },
	{ bytes: [0x4d, 0x3c, 0xb2, 0xa1], what: "a pcap file of network packets", hint: NO_CAPTURE },
	{ bytes: [0x0a, 0x0d, 0x0d, 0x0a], what: "a pcapng file of network packets", hint: NO_CAPTURE },
	{ bytes: [0xc1, 0x1f, 0xfc, 0xc1], what: "a CTF stream (LTTng)", hint: "record with trace-cmd, perf or bpftrace: mmreplay capture" },
	{ bytes: [0x75, 0xd1, 0x1d, 0x57], what: "CTF metadata (LTTng)", hint: "record with trace-cmd, perf or bpftrace: mmreplay capture" },
	{ bytes: bytesOf("SQLite format 3\u0000"), what: "an SQLite database", hint: NO_CAPTURE },
	{ bytes: bytesOf("\u0089PNG"), what: "a picture", hint: NO_CAPTURE },
	{ bytes: bytesOf("%PDF"), what: "a PDF", hint: NO_CAPTURE },
	{ bytes: [0xff, 0xfe], ...UTF16 },
	{ bytes: [0xfe, 0xff], ...UTF16 },
];

const beginsWith = (head: Uint8Array, { bytes, at = 0 }: Magic): boolean => bytes.every((byte, index) => head[at + index] === byte);

/** By the first bytes, whatever follows. */
export function foreignBytes(head: Uint8Array): Foreign | undefined {
	const first = head.subarray(0, 64);
	const every = (parity: number): Uint8Array => first.filter((_, at) => at % 2 === parity);
	const isHalf = (parity: number): boolean => every(parity).every((byte) => byte === 0) && isPlainText(every(1 - parity));
	if (first.length >= 16 && (isHalf(0) || isHalf(1))) return UTF16;
	return MAGICS.find((magic) => beginsWith(head, magic));
}

const TRACER = /^# tracer: (function_graph|hwlat|osnoise|timerlat|blk|mmiotrace|branch)$/;

/** A text by a line of its head: the first that fits. */
const TEXTS: readonly (Foreign & { readonly line: RegExp })[] = [
	{
		line: /^\s*\d+\.\d{3} .*\/\d+ [\w-]+:\w+\(/,
		what: "the output of perf trace",
		hint: "perf record, and then perf script --ns -F comm,pid,tid,cpu,time,event,trace",
	},
	{
		line: /^.{16}\s+(?:-1|\d+)(?:\/\d+)?\s+(?:\[\d+\]\s+)?[\w-]+:\w+: /,
		what: "perf script without times",
		hint: "perf script --ns -F comm,pid,tid,cpu,time,event,trace prints them",
	},
	{
		line: /^==\d+== (?!Lackey)\w[\w-]*, an? /,
		what: "a report of another tool of valgrind's than lackey",
		hint: "valgrind --tool=lackey --trace-mem=yes prints accesses",
	},
	{
		line: /^(?:[\w./]+:\d+:\d+(?:-\d+)?: )?ERROR: /,
		what: "errors of bpftrace, and no event",
		hint: "mmreplay capture asks for the probes that the host has",
	},
	{
		line: /^(?:Attach(?:ing|ed)(?: to)? \d+ probes?|@\w*\[|@\w+: \d)/,
		what: "the output of a bpftrace program that is not mmreplay's recipe",
		hint: "mmreplay capture --method bpftrace prints the program that can be imported",
	},
	{ line: /^\s*(?:<!DOCTYPE html|<html)/i, what: "an HTML page", hint: "save the trace's own text or bytes" },
	{ line: /^\[\s*\d+\.\d{6}\] /, what: "the kernel's log", hint: "cat /sys/kernel/tracing/trace, not dmesg" },
	{
		line: /^\s*[[{]\s*(?:"traceEvents"|\{\s*"(?:name|ph|cat|ts|pid)")/,
		what: "Chrome's JSON of a trace",
		hint: "import the capture that it was made of",
	},
	{
		line: /^\s*(?:\{|\[\s*(?:[{["\]]|$))/,
		what: "JSON, and not bpftrace's",
		hint: "bpftrace -f json prints an object a line; mmreplay capture has the program",
	},
	{ line: /^[0-9a-f]{16} [a-zA-Z] \w/, what: "a list of symbols", hint: NO_CAPTURE },
	{ line: /^(?:kprobe )?[pr]\d*:[\w./-]+ \S/, what: "definitions of probes", hint: "--events FILE beside the capture that they are of" },
	{ line: /^(?:#\s*)?vm\s*\d+ pid \d/, what: "memslots", hint: "--memslots FILE beside the capture that they are of" },
];

/** By a line of a text of which no line is of a format. */
export function foreignText(lines: readonly string[]): Foreign | undefined {
	const tracer = lines.map((line) => TRACER.exec(line)?.[1]).find((name) => name !== undefined);
	if (tracer !== undefined)
		return { what: `the output of the ${tracer} tracer`, hint: "echo nop > /sys/kernel/tracing/current_tracer, and record events" };
	const first = lines.slice(0, 40);
	return TEXTS.find((text) => first.some((line) => text.line.test(line)));
}

/** Whether bytes are those of plain text: nothing below a space but its white space. */
export const isPlainText = (head: Uint8Array): boolean =>
	head.every((byte) => byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127));
