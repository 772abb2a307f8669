// A machine in the reference model's terms.
import { type SimulatedMachine, setsOf, type TlbArray, type TlbLevel } from "../machine/machine.js";
import type { TlbGeometry } from "./tlb.js";
import type { WorldOptions } from "./world.js";

type Shape = Omit<TlbGeometry["l1"], "huge">;

function shapeOf(array: TlbArray): Shape {
	return { sets: setsOf(array), ways: array.ways, ...(array.replacement === undefined ? {} : { replacement: array.replacement }) };
}

function levelOf(level: TlbLevel): TlbGeometry["l1"] {
	const { huge } = level;
	if (huge === undefined) return shapeOf(level);
	return { ...shapeOf(level), huge: typeof huge === "string" ? huge : shapeOf(huge) };
}

/** What a world takes from its machine. */
export function simulated(machine: SimulatedMachine): Omit<WorldOptions, "strategy" | "copiesRecorded"> {
	const { tlb, psc, guestLevels, hostLevels, guestPageSize, flush } = machine;
	return {
		tlb: { l1: levelOf(tlb.l1), l2: levelOf(tlb.l2) },
		guestLevels,
		hostLevels,
		...(psc === undefined ? {} : { psc }),
		...(guestPageSize === undefined ? {} : { guestPageSize }),
		...(flush === undefined ? {} : { flush }),
	};
}
