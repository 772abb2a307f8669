// Records of binary traces read without their text say the same as their text: those of every encoding, and damaged copies of them.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BadInputError, LimitError } from "../../src/errors.js";
import { DamagedEvents } from "../../src/import/damaged.js";
import { WIDTHS } from "../../src/import/event.js";
import { openSource } from "../../src/import/formats.js";
import { Intake } from "../../src/import/intake.js";
import { NO_DEFINITIONS } from "../../src/import/probes.js";
import { Recogniser } from "../../src/import/recognise.js";
import { smallRun } from "./encode.js";
import { asPerfetto, asTraceDat } from "./encodebinary.js";
import { file } from "./sources.js";

/** Never tells where the values are, so that every record is read as text. */
class TextIntake extends Intake {
	override values(): null {
		return null;
	}
}

async function eventsOf(content: Uint8Array, format: "perfetto" | "trace.dat", asText: boolean): Promise<unknown[] | "damaged"> {
	const path = file(content);
	const intake = new (asText ? TextIntake : Intake)(new Recogniser(NO_DEFINITIONS, path), null, new DamagedEvents(true, path));
	const { facts, batches } = openSource(format, path, true).take(intake);
	const events: unknown[] = [];
	try {
		for await (const batch of batches)
			batch.each(({ code, ns, pid, tgid, comm, v, text }) => events.push([code, ns, pid, tgid, comm, [...v].slice(0, WIDTHS[code]), text]));
	} catch (reason) {
		if (reason instanceof BadInputError || reason instanceof LimitError) return "damaged";
		throw reason;
	}
	return [...events, facts.clock, [...facts.losses], facts.warnings];
}

const ENCODINGS = [
	["perfetto", "generic", asPerfetto(smallRun(), "generic", "none")],
	["perfetto", "dynamic", asPerfetto(smallRun(), "dynamic", "none")],
	["perfetto", "dynamic, deflate", asPerfetto(smallRun(), "dynamic", "deflate")],
	["trace.dat", "v6", asTraceDat(smallRun(), { version: 6, compression: "none" })],
	["trace.dat", "v7", asTraceDat(smallRun(), { version: 7, compression: "zlib" })],
] as const;

describe("records without their text", () => {
	it.each(ENCODINGS)("of %s, %s", async (format, _encoding, content) => {
		const records = await eventsOf(content, format, false);
		expect(records).toEqual(await eventsOf(content, format, true));
		expect(records.length).toBeGreaterThan(smallRun().length);
	});

	it.each(ENCODINGS.filter(([, encoding]) => encoding !== "v7"))("of %s, %s, damaged", async (format, _encoding, content) => {
		const edit = fc.record({ at: fc.nat(content.length - 1), byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 128, 255)) });
		await fc.assert(
			fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 6 }), async (edits) => {
				const hurt = Buffer.from(content);
				for (const { at, byte } of edits) hurt[at] = byte;
				expect(await eventsOf(hurt, format, false)).toEqual(await eventsOf(hurt, format, true));
			}),
			{ seed: 7, numRuns: 40 },
		);
	});
});
