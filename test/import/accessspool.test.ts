// Accesses beyond what is held in memory come back from the file as they were.
import { expect, it } from "vitest";
import { AccessSpool } from "../../src/import/accessspool.js";

it("gives back every access, from memory, from the file and from what is not stored yet", () => {
	const spool = new AccessSpool();
	const count = 700_001;
	const gpa = (at: number): number => (at * 0x1_2345) % 2 ** 40;
	const hva = (at: number): number => 0x7f00_0000_0000 + ((at * 4097) % 2 ** 32);
	for (let at = 0; at < count; at++) spool.push(gpa(at), hva(at), at % 3 === 0);
	expect(spool.length).toBe(count);
	let wrong = 0;
	for (let step = 0; step < 3000; step++) {
		// Forwards, with leaps.
		const at = (step * 233 + (step % 7) * 99_991) % count;
		spool.read(at);
		if (spool.gpa !== gpa(at) || spool.hva !== hva(at) || spool.write !== (at % 3 === 0)) wrong++;
	}
	spool.read(count - 1);
	expect([wrong, spool.gpa]).toEqual([0, gpa(count - 1)]);
	spool.close();
});
