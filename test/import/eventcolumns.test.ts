// Events held as columns: put in order of time, and kept between the first look and the import.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Code, type EventBatch, KernelEvent, WIDTHS } from "../../src/import/event.js";
import { EventSpool } from "../../src/import/eventspool.js";
import { inOrder, orderOf } from "../../src/import/order.js";

function made(ns: number, code: number, pid: number, values: readonly number[], text = ""): KernelEvent {
	const event = new KernelEvent();
	event.ns = ns;
	event.code = code;
	event.pid = pid;
	event.tgid = pid % 3 === 0 ? -1 : pid - 1;
	event.comm = `task ${pid % 5}`;
	event.text = code === Code.mark ? text : "";
	event.v.fill(Number.NaN);
	for (let at = 0; at < WIDTHS[code]; at++) event.v[at] = values[at] ?? Number.NaN;
	return event;
}

const shown = ({ code, ns, pid, tgid, comm, v, text }: KernelEvent): unknown[] => [
	code,
	ns,
	pid,
	tgid,
	comm,
	[...v].slice(0, WIDTHS[code]),
	text,
];

const event = fc
	.record({
		ns: fc.nat(50),
		code: fc.nat(Code.silent),
		pid: fc.nat(2000),
		values: fc.array(fc.oneof(fc.double(), fc.nat()), { maxLength: 8 }),
		text: fc.string({ unit: "grapheme" }),
	})
	.map(({ ns, code, pid, values, text }) => made(ns, code, pid, values, text));

describe("the spool of events", () => {
	it.each([0, 3000, 1 << 20])("gives back what it was given, %i bytes of it in memory", (memory) => {
		fc.assert(
			fc.property(fc.array(event, { maxLength: 60 }), fc.nat(400), (events, times) => {
				const spool = new EventSpool(memory);
				const all = Array.from({ length: 1 + times }, () => events).flat();
				for (const each of all) spool.push(each);
				const back: unknown[] = [];
				for (const batch of spool.batches()) batch.each((each) => back.push(shown(each)));
				spool.close();
				expect(back).toEqual(all.map(shown));
			}),
			{ seed: 8, numRuns: 12 },
		);
	});
});

describe("the order of time", () => {
	it("is a stable sort", () => {
		fc.assert(
			fc.property(fc.array(fc.nat(20), { maxLength: 200 }), (times) => {
				const expected = times.map((_, at) => at).sort((a, b) => times[a] - times[b]);
				expect([...orderOf(Float64Array.from(times), times.length)]).toEqual(expected);
			}),
			{ seed: 9, numRuns: 300 },
		);
	});

	it("of a source that drains CPU by CPU, and of an event that comes too late", async () => {
		const events = Array.from({ length: 300_000 }, (_, at) => made(at - (at % 7 === 0 ? 100 : 0), Code.exit, 1 + (at % 4), []));
		events.push(made(5, Code.exit, 9, []));
		async function* batches(): AsyncGenerator<EventBatch> {
			for (let from = 0; from < events.length; from += 1000) {
				const part = events.slice(from, from + 1000);
				yield {
					each: (visit) => {
						for (const each of part) visit(each);
					},
				};
			}
		}
		const late = { count: 0 };
		const back: number[] = [];
		for await (const batch of inOrder(batches(), late)) batch.each(({ ns }) => back.push(ns));
		expect(late.count).toBe(1);
		expect(back).toHaveLength(events.length);
		expect(back.filter((ns, at) => at > 0 && ns < back[at - 1])).toEqual([5]);
	});
});
